"""Random sets of inversion recovery images with known motion, in batches for training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from CMRLib.networks.warp import indices
from CMRLib.simulation.motion import ControlGrid, inverse_of, normal, random_control, uniform
from CMRLib.simulation.tissue import TISSUES
from CMRT1MappingLib.research.irw_appearance import SetAppearance, degraded, random_appearance
from CMRT1MappingLib.research.irw_bank import (
    DENSITY_STEP,
    KINDS,
    NAMES,
    SIGNAL_FREE,
    SIZE,
    SPACING_MM,
    T1_STEP,
    T1_ZERO,
    IrwBank,
)

if TYPE_CHECKING:
    from torch import Generator, Tensor

# How often each is drawn.
SEVERITY_SHARES = {"none": 0.15, "mild": 0.2, "moderate": 0.35, "severe": 0.3}
KIND_SHARES = {"parametric": 0.4, "labelled": 0.45, "shapes": 0.15}
FRAME_SHARES = {5: 0.05, 6: 0.05, 7: 0.5, 8: 0.2, 9: 0.08, 10: 0.06, 11: 0.06}


class MotionBatch(NamedTuple):
    """Sets of frames and what moved them, all on one grid.

    Attributes:
        images: float32 (set, frame, row, column), magnitude in arbitrary units, frames in order of acquisition or,
            now and then, of the inversion times.
        displacement: float32 (set, frame, 2, row, column) in pixels, from the aligned anatomy into each frame.
        heart: float32 (set, row, column), 1 in the ventricles and the LV's wall and 4 mm around, aligned; 0 where a set
            shows no heart.
        body: float32 (set, row, column), 1 where there is tissue with signal, aligned.
    """

    images: Tensor
    displacement: Tensor
    heart: Tensor
    body: Tensor


Choice = TypeVar("Choice")


def _drawn(shares: Mapping[Choice, float], rng: np.random.Generator) -> Choice:
    weights = np.array(list(shares.values()))
    return list(shares)[int(rng.choice(len(weights), p=weights / weights.sum()))]


def _entry(bank: IrwBank, rng: np.random.Generator) -> int:
    """A random slice of the bank: first its kind, among those that are there, then the slice."""
    there = {kind: share for kind, share in KIND_SHARES.items() if np.any(bank.kind == KINDS.index(kind))}
    return int(rng.choice(np.flatnonzero(bank.kind == KINDS.index(_drawn(there, rng)))))


class _Placement(NamedTuple):
    """Where slices of the bank lie: bank pixel = matrix @ (pixel - centre) + the bank's middle; one row for each set.

    Attributes:
        matrix: (set, 2, 2), bank pixels per pixel.
        center: (set, 2) in pixels, where the LV's centre comes to lie.
    """

    matrix: Tensor
    center: Tensor

    def bank_pixels(self, positions: Tensor) -> Tensor:
        """Bank pixels, (set, ..., 2, row, column), of positions in pixels of the same shape."""
        import torch

        ones = (1,) * (positions.ndim - 2)
        row, column = (positions.select(-3, axis) - self.center[:, axis].reshape(-1, *ones) for axis in range(2))
        m = self.matrix.reshape(-1, 2, 2, *ones)
        middle = (SIZE - 1) / 2
        along = [m[:, axis, 0] * row + m[:, axis, 1] * column + middle for axis in range(2)]
        return torch.stack(along, -3)


def _random_placement(count: int, size: int, spacing_mm: float, generator: Generator) -> _Placement:
    """Random size (+-20 %), rotation, mirroring and position of the heart."""
    import torch

    scale = uniform(math.log(0.8), math.log(1.25), count, generator=generator).exp()
    any_angle = uniform(-math.pi, math.pi, count, generator=generator)
    angle = torch.where(
        uniform(0, 1, count, generator=generator) < 0.15, any_angle, 0.35 * normal(count, generator=generator)
    )
    mirrored = torch.where(uniform(0, 1, count, generator=generator) < 0.5, -1.0, 1.0)
    cos, sin = angle.cos(), angle.sin()
    matrix = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin * mirrored, cos * mirrored], 1)], 1)
    matrix = matrix * (spacing_mm / SPACING_MM / scale)[:, None, None]
    offset = (normal(count, 2, generator=generator) * 12.0).clamp(-32.0, 32.0) / spacing_mm
    return _Placement(matrix, (size - 1) / 2 + offset)


def _sampled(images: Tensor, positions: Tensor, padding: str = "zeros") -> Tensor:
    """Images (n, channel, row, column) at positions (n, 2, row, column) in their pixels, bilinear."""
    from torch.nn import functional

    half = positions.new_tensor([(n - 1) / 2 for n in images.shape[2:]])[:, None, None]
    grid = ((positions - half) / half).flip(1).permute(0, 2, 3, 1)
    return functional.grid_sample(images, grid, padding_mode=padding, align_corners=True)


def _crop(positions: Tensor) -> tuple[slice, slice, Tensor]:
    """The part of a bank slice that positions (n, 2, row, column) reach, and their place in it."""
    low = (positions.amin(dim=(0, 2, 3)).floor() - 3).clamp(0, SIZE - 8).long().tolist()
    high = (positions.amax(dim=(0, 2, 3)).ceil() + 4).clamp(8, SIZE).long().tolist()
    rows, columns = (slice(a, max(b, a + 8)) for a, b in zip(low, high, strict=True))
    return rows, columns, positions - positions.new_tensor(low)[:, None, None]


def _render(
    bank: IrwBank, entry: int, look: SetAppearance, shown: Tensor, still: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Signed noise-free frames of one slice, and its heart and body.

    Args:
        bank, entry: which slice.
        look: the signals of its tissues.
        shown: (frame, 2, row, column), bank pixels that each frame shows.
        still: (2, row, column), the same without motion.

    Returns:
        (frame, row, column), (row, column), (row, column).
    """
    import torch

    device, frames = shown.device, len(shown)
    rows, columns, place = _crop(torch.cat([shown, still[None]]))

    def part(values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values[entry][..., rows, columns])).to(device)

    tissue = part(bank.tissue).long().flatten(1)
    share = part(bank.share).float() / 255.0
    longer = (part(bank.t1_factor).float() - T1_ZERO) * T1_STEP
    density = part(bank.density).float() * DENSITY_STEP
    weights = share.new_zeros((len(NAMES), share.numel()))
    weights.scatter_(0, tissue[:1], share.view(1, -1)).scatter_add_(0, tissue[1:], 1 - share.view(1, -1))

    def mixed(table: Tensor) -> Tensor:
        return (table @ weights).view(-1, *share.shape)

    table = torch.from_numpy(np.concatenate([look.signals, look.slopes]).astype(np.float32)).to(device)

    def signal(chosen: Tensor) -> Tensor:
        both = mixed(table * chosen)
        return torch.addcmul(both[:frames], both[frames:], longer) * density

    fat = table.new_tensor([float(TISSUES[name].fat) for name in NAMES])
    if look.fat_shift_px:
        image = signal(1 - fat) + signal(fat).roll(look.fat_shift_px, dims=2)
    else:
        image = signal(torch.ones_like(fat))
    has_signal = table.new_tensor([[float(name not in SIGNAL_FREE) for name in NAMES]])
    masks = torch.cat([part(bank.heart)[None].float() / 255.0, mixed(has_signal)])
    heart, body = _sampled(masks[None], place[-1:])[0]
    return _sampled(image[:, None], place[:-1])[:, 0], heart, body


def random_sets(
    bank: IrwBank,
    count: int,
    generator: Generator,
    *,
    frames: int | None = None,
    size: int = 128,
    spacing_mm: float = 1.4,
    severities: Sequence[str] | None = None,
) -> MotionBatch:
    """Random sets of frames with random motion around the hearts (and random shapes) of a bank.

    Args:
        bank: anatomies.
        count: sets.
        generator: of torch; everything random comes from it, and the result lies on its device.
        frames: of every set, 5 to 11; by default drawn once for all of them, most often 7.
        size: rows and columns of the images.
        spacing_mm: their pixels' spacing.
        severities: of each set; by default drawn.

    Returns:
        see `MotionBatch`.

    Raises:
        InputError: an unknown severity, or another number of frames.
    """
    import torch

    device = generator.device
    rng = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator, device=device)))
    frames = frames if frames is not None else _drawn(FRAME_SHARES, rng)
    if severities is None:
        severities = [_drawn(SEVERITY_SHARES, rng) for _ in range(count)]
    entries = [_entry(bank, rng) for _ in range(count)]
    looks = [random_appearance(KINDS[bank.kind[entry]], frames, rng) for entry in entries]

    placement = _random_placement(count, size, spacing_mm, generator)
    grid = ControlGrid.over((size, size), spacing_mm)
    nodes = (grid.positions_mm(placement.center) / spacing_mm).expand(count, -1, -1, -1)
    stored = torch.from_numpy(bank.mobility[entries]).to(device).float()[:, None] / 255.0
    step = (SIZE - 1) / (stored.shape[-1] - 1)
    mobility = _sampled(stored, placement.bank_pixels(nodes) / step, "border")[:, 0]
    control = random_control(severities, frames, grid, generator, placement.center * spacing_mm, mobility)
    order = torch.from_numpy(np.stack([look.order for look in looks])).to(device)
    control = torch.stack([nodes_of_set[by] for nodes_of_set, by in zip(control, order, strict=True)])
    displacement = grid.evaluate(control) / spacing_mm
    inverse = inverse_of(control.flatten(0, 1), displacement.flatten(0, 1), grid).view_as(displacement)

    pixels = indices((size, size), displacement)
    shown = placement.bank_pixels(pixels + inverse)
    still = placement.bank_pixels(pixels.expand(count, -1, -1, -1))
    rendered = [_render(bank, *shown_set) for shown_set in zip(entries, looks, shown, still, strict=True)]
    signed, heart, body = (torch.stack(parts) for parts in zip(*rendered, strict=True))
    images, seen = degraded(signed, looks, spacing_mm, generator)
    return MotionBatch(images, displacement, heart * seen, body * seen)
