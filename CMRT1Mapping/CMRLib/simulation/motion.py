"""Motion between the frames of a breath-hold: breathing, the beating heart and what deforms smoothly besides.

Displacements are those of the aligned anatomy into each frame, ``aligned(x) = frame_i(x + displacement_i(x))``, in
pixels along rows and columns. They are cubic B-splines over a grid of control points about 5.5 mm apart, so that they
are smooth, and are built for a whole batch at once. torch is imported inside the functions. Amplitudes are nominal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from CMRLib.errors import InputError
from CMRLib.networks.warp import indices, invert, warp

if TYPE_CHECKING:
    from torch import Generator, Tensor

SEVERITIES = ("none", "mild", "moderate", "severe")
# Mean displacement of the myocardium over the frames, in mm: the range that is drawn from.
MEAN_DISPLACEMENT_MM = {"none": (0.0, 0.0), "mild": (0.2, 1.0), "moderate": (1.5, 3.0), "severe": (3.5, 7.0)}
LARGEST_MM = 15.0
CONTROL_SPACING_MM = 5.5
SMALLEST_DETERMINANT = 0.25
# Where the myocardium is about: distance from the LV's centre, and the width of the ring around it.
RING_MM, RING_WIDTH_MM = 28.0, 9.0


@dataclass(frozen=True)
class ControlGrid:
    """Control points of the splines over an image, one row and column of them outside it on every side.

    Attributes:
        shape: rows and columns of the image.
        spacing_mm: of its pixels.
        step_mm: between control points along rows and columns.
        counts: control points along rows and columns.
    """

    shape: tuple[int, int]
    spacing_mm: float
    step_mm: tuple[float, float]
    counts: tuple[int, int]

    @classmethod
    def over(cls, shape: tuple[int, int], spacing_mm: float) -> ControlGrid:
        """The grid for an image of these rows and columns."""
        extents = [max(n - 1, 1) * spacing_mm for n in shape]
        intervals = [max(1, round(extent / CONTROL_SPACING_MM)) for extent in extents]
        rows, columns = (extent / n for extent, n in zip(extents, intervals, strict=True))
        return cls(shape, spacing_mm, (rows, columns), (intervals[0] + 3, intervals[1] + 3))

    def positions_mm(self, like: Tensor) -> Tensor:
        """Positions of the control points from the first pixel's centre, (2, row, column) in mm."""
        import torch

        axes = [
            (torch.arange(n, device=like.device, dtype=like.dtype) - 1) * step
            for n, step in zip(self.counts, self.step_mm, strict=True)
        ]
        return torch.stack(torch.meshgrid(*axes, indexing="ij"))

    def evaluate(self, control: Tensor, shape: tuple[int, int] | None = None) -> Tensor:
        """Values, (..., row, column), of cubic B-splines with these control values.

        At the pixels, or at the points of another number of rows and columns between the same corner points.
        """
        along_rows, along_columns = (
            _spline_matrix(points, (count - 3) / max(points - 1, 1), count, control)
            for points, count in zip(shape or self.shape, self.counts, strict=True)
        )
        return along_rows @ control @ along_columns.T


def _spline_matrix(points: int, ratio: float, count: int, like: Tensor) -> Tensor:
    """Weights (point, control point) of the cubic B-spline; points are ``ratio`` control steps apart."""
    import torch

    position = torch.arange(points, device=like.device, dtype=like.dtype)[:, None] * ratio + 1
    distance = (position - torch.arange(count, device=like.device, dtype=like.dtype)).abs()
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = (2 - distance).clamp_min(0) ** 3 / 6
    return torch.where(distance < 1, near, far)


def uniform(low: float, high: float, *shape: int, generator: Generator) -> Tensor:
    """Uniform random numbers on the generator's device."""
    import torch

    return torch.rand(*shape, generator=generator, device=generator.device) * (high - low) + low


def normal(*shape: int, generator: Generator) -> Tensor:
    """Normal random numbers on the generator's device."""
    import torch

    return torch.randn(*shape, generator=generator, device=generator.device)


def default_mobility(positions_mm: Tensor, center_mm: Tensor) -> Tensor:
    """How far tissue follows the breathing where nothing is known of the body: 1 around the heart, less far from it.

    Args:
        positions_mm: (2, row, column).
        center_mm: (set, 2), the LV's centre.

    Returns:
        (set, row, column), 0 to 1.
    """
    distance = (positions_mm - center_mm[:, :, None, None]).norm(dim=1)
    return 0.25 + 0.75 / (1 + ((distance - 70) / 15).exp())


def breathing_course(count: int, frames: int, generator: Generator) -> Tensor:
    """How far each frame is along the path of the breathing, (set, frame), largest difference about 1.

    Each set has one course: a drift, jumps between breaths, one to three frames that are off, or free breathing; all
    with a little of the others.
    """
    import torch

    device = generator.device
    time = torch.linspace(0, 1, frames, device=device)
    drift = time ** uniform(0.5, 2.0, count, 1, generator=generator)
    change = uniform(0.0, 1.0, count, 2, 1, generator=generator)
    jumps = ((time > change) * normal(count, 2, 1, generator=generator)).sum(1)
    most_off = 2 if frames <= 7 else 3
    least_off = 1 if frames <= 7 else 2
    number = torch.randint(least_off, most_off + 1, (count, 1), generator=generator, device=device)
    rank = uniform(0.0, 1.0, count, frames, generator=generator).argsort(1).argsort(1)
    side = torch.where(uniform(0.0, 1.0, count, frames, generator=generator) < 0.8, 1.0, -0.7)
    off = (rank < number) * side
    free = normal(count, frames, generator=generator) * 0.6
    courses = torch.stack([drift, jumps, off, free], 1)
    kind = torch.multinomial(torch.tensor([0.25, 0.3, 0.25, 0.2], device=device), count, True, generator=generator)
    little = torch.where(uniform(0.0, 1.0, count, 4, generator=generator) < 0.3, 0.2, 0.0)
    share = torch.nn.functional.one_hot(kind, 4) + little
    return (share[:, :, None] * courses).sum(1)


def _breathing(away_mm: Tensor, mobility: Tensor, frames: int, generator: Generator) -> Tensor:
    """Near-rigid motion mostly along the rows, fading where tissue moves less; (set, frame, 2, row, column)."""
    import torch

    count = len(away_mm)
    course = breathing_course(count, frames, generator)
    angle = 0.4 * normal(count, 1, generator=generator) + 0.1 * normal(count, frames, generator=generator)
    shift = course[:, :, None] * torch.stack([angle.cos(), angle.sin()], 2)
    # Per unit of the course, which becomes some millimetres: a small turn (radians) and change of size.
    turn = course * 0.008 * normal(count, 1, generator=generator)
    size = course * 0.006 * normal(count, 1, generator=generator)
    row, column = away_mm[:, None, 0], away_mm[:, None, 1]
    turn, size = turn[:, :, None, None], size[:, :, None, None]
    rigid = torch.stack([size * row - turn * column, turn * row + size * column], 2)
    return (shift[..., None, None] + rigid) * mobility[:, None, None]


def _heart_beat(away_mm: Tensor, frames: int, generator: Generator) -> Tensor:
    """Contraction and twist about the LV's centre, with amplitude 1 at the endocardium in the most different frames."""
    import torch

    count = len(away_mm)
    radius = uniform(17.0, 28.0, count, 1, 1, 1, generator=generator)
    # A few beats differ from the others (mistriggering), or all a little (changing RR interval).
    every = 0.4 * normal(count, frames, generator=generator)
    some = (uniform(0.0, 1.0, count, frames, generator=generator) < 0.2) * uniform(
        0.6, 1.0, count, 1, generator=generator
    )
    phase = torch.where(uniform(0.0, 1.0, count, 1, generator=generator) < 0.5, every, some)[:, :, None, None, None]
    relative = away_mm / radius
    squared = (relative**2).sum(1, keepdim=True)
    inwards = -relative * ((1 - squared) / 2).exp()
    twist = torch.stack([-relative[:, 1], relative[:, 0]], 1) * ((1 - squared) / 3).exp()
    amount = 0.5 * normal(count, 1, 1, 1, generator=generator)
    return phase * (inwards + amount * twist)[:, None]


def _elastic(grid: ControlGrid, count: int, frames: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Smooth random fields with standard deviation 1, and their correlation length sigma (set,) in mm, 8 to 25."""
    import torch

    sigma = uniform(8.0, 25.0, count, generator=generator)
    noise = normal(count, frames, 2, *grid.counts, generator=generator)
    kernels = []
    for n, step in zip(grid.counts, grid.step_mm, strict=True):
        at = torch.arange(n, device=generator.device) * step
        # Half the variance is that of the noise's kernel, half that of its correlation.
        kernel = (-((at[:, None] - at) ** 2) / sigma[:, None, None] ** 2).exp()
        kernels.append(kernel / kernel.norm(dim=2, keepdim=True))
    return kernels[0][:, None, None] @ noise @ kernels[1][:, None, None].transpose(-1, -2), sigma


def _centered(field: Tensor) -> Tensor:
    return field - field.mean(dim=1, keepdim=True)


def _lengths(field: Tensor) -> Tensor:
    """Length of the displacement of (set, frame, 2, row, column)."""
    return field[:, :, 0].hypot(field[:, :, 1])


def _largest_scale(control: Tensor, grid: ControlGrid) -> Tensor:
    """Largest factor up to 1, (set,), by which no frame's Jacobian determinant is below SMALLEST_DETERMINANT."""
    import torch

    by_row, by_column = torch.gradient(control, spacing=grid.step_mm, dim=(3, 4))
    linear = by_row[:, :, 0] + by_column[:, :, 1]
    quadratic = by_row[:, :, 0] * by_column[:, :, 1] - by_row[:, :, 1] * by_column[:, :, 0]
    # 1 + s linear + s^2 quadratic = least, in the form that stays accurate where the quadratic term vanishes.
    room = 1 - SMALLEST_DETERMINANT
    root = (linear**2 - 4 * quadratic * room).clamp_min(0).sqrt()
    crosses = linear**2 >= 4 * quadratic * room
    denominator = root - linear
    scale = torch.where(crosses & (denominator > 0), 2 * room / denominator.clamp_min(1e-9), 1.0)
    return scale.flatten(1).amin(1).clamp_max(1.0)


def random_control(
    severities: Sequence[str],
    frames: int,
    grid: ControlGrid,
    generator: Generator,
    center_mm: Tensor,
    mobility: Tensor | None = None,
) -> Tensor:
    """Control values of random displacements for a batch of sets.

    Breathing is scaled so that the mean displacement around the LV's centre, where the myocardium is about, is what was
    drawn for the severity; the heart beat (up to 4 mm) and smooth random deformation come with it. The mean over the
    frames is taken away, and a set that comes close to folding is scaled down.

    Args:
        severities: one of SEVERITIES for each set.
        frames: frames of each set.
        grid: control points.
        generator: of torch; it says on which device, too.
        center_mm: (set, 2), the LV's centre from the first pixel's centre along rows and columns.
        mobility: (set, row, column) on the control points, how far the tissue follows the breathing; see
            `default_mobility`.

    Returns:
        (set, frame, 2, row, column) in mm.
    """
    import torch

    unknown = [s for s in severities if s not in SEVERITIES]
    if unknown:
        raise InputError(f"There is no severity of motion '{unknown[0]}'; use one of {', '.join(SEVERITIES)}.")
    count, device = len(severities), generator.device
    limits = torch.tensor([MEAN_DISPLACEMENT_MM[s] for s in severities], device=device)
    target = limits[:, 0] + (limits[:, 1] - limits[:, 0]) * uniform(0.0, 1.0, count, generator=generator)
    positions = grid.positions_mm(target)
    if mobility is None:
        mobility = default_mobility(positions, center_mm)
    away = positions - center_mm[:, :, None, None]

    def spread(amplitude: Tensor) -> Tensor:
        return amplitude[:, None, None, None, None]

    fields, sigma = _elastic(grid, count, frames, generator)
    # More than about an eighth of the correlation length would come close to folding.
    elastic_mm = torch.minimum(0.13 * sigma, 0.4 * target) * uniform(0.0, 1.0, count, generator=generator)
    beat_mm = torch.minimum(torch.full_like(target, 4.0), 0.8 * target) * uniform(0.0, 1.0, count, generator=generator)
    breathing = _centered(_breathing(away, mobility, frames, generator))
    others = _centered(spread(elastic_mm) * fields + spread(beat_mm) * _heart_beat(away, frames, generator))

    ring = (-0.5 * ((away[:, 0].hypot(away[:, 1]) - RING_MM) / RING_WIDTH_MM) ** 2).exp()
    ring = ring / ring.sum(dim=(1, 2), keepdim=True).clamp_min(1e-6)

    def mean_length(field: Tensor) -> Tensor:
        return (_lengths(field) * ring[:, None]).sum(dim=(2, 3)).mean(1).clamp_min(1e-6)

    amplitude = target / mean_length(breathing)
    for _ in range(4):
        amplitude = amplitude * (target / mean_length(spread(amplitude) * breathing + others)).clamp(0.2, 5.0)
    control = spread(amplitude) * breathing + others
    peak = (_lengths(control) * (ring > 0.2 * ring.amax(dim=(1, 2), keepdim=True))[:, None]).flatten(1).amax(1)
    control = control * spread((LARGEST_MM / peak.clamp_min(1e-6)).clamp_max(1.0))
    control = control * spread(_largest_scale(control, grid))
    return control * spread((target > 0).to(control.dtype))


def inverse_of(control: Tensor, displacement: Tensor, grid: ControlGrid) -> Tensor:
    """The inverses of displacements: where the anatomy comes from that each pixel of a frame shows.

    Newton's method at the control points, then two steps of fixed-point iteration on the pixels.

    Args:
        control: (n, 2, row, column), control values in mm.
        displacement: (n, 2, row, column) in pixels, the same on the pixels.
        grid: control points.

    Returns:
        (n, 2, row, column) in pixels.
    """
    import torch
    from torch.nn import functional

    half = (max(grid.shape[0] // 2, 2), max(grid.shape[1] // 2, 2))
    per_half = control.new_tensor([(n - 1) / (h - 1) for n, h in zip(grid.shape, half, strict=True)])[:, None, None]
    axes = [torch.linspace(0, h - 1, n - 2, device=control.device) for h, n in zip(half, grid.counts, strict=True)]
    nodes = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    coarse = invert(grid.evaluate(control, half) / grid.spacing_mm / per_half, iterations=3, points=nodes)
    start = functional.interpolate(coarse * per_half, size=grid.shape, mode="bilinear", align_corners=True)
    return -warp(displacement, -warp(displacement, start))


def random_motion(
    frames: int,
    shape: tuple[int, int],
    spacing_mm: float,
    severity: str,
    generator: Generator,
    center: tuple[float, float] | None = None,
    mobility: Tensor | None = None,
) -> Tensor:
    """Random displacements of one set of frames; see `random_control`.

    Args:
        frames: number of frames.
        shape: rows and columns.
        spacing_mm: spacing of the square pixels.
        severity: "none" (exactly 0), "mild", "moderate" or "severe".
        generator: of torch; the result lies on its device.
        center: the LV's centre, (row, column) in pixels; by default the image's.
        mobility: (row, column), 0 to 1, how far the tissue in each pixel follows the breathing.

    Returns:
        float32 (frame, 2, row, column) in pixels, from the aligned anatomy into each frame; the mean over the frames is
        0 in every pixel, and nothing folds.

    Raises:
        InputError: unknown severity.
    """
    import torch

    grid = ControlGrid.over(shape, spacing_mm)
    middle = center if center is not None else ((shape[0] - 1) / 2, (shape[1] - 1) / 2)
    center_mm = torch.tensor([middle], device=generator.device) * spacing_mm
    on_nodes = None
    if mobility is not None:
        to_nodes = grid.positions_mm(mobility) / spacing_mm - indices(grid.counts, mobility)
        on_nodes = warp(mobility[None, None], to_nodes[None])[0]
    control = random_control([severity], frames, grid, generator, center_mm.float(), on_nodes)
    return grid.evaluate(control)[0] / spacing_mm
