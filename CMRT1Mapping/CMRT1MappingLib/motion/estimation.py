"""Motion between the images of an acquisition, as MOCOnet sees it, and images with that motion taken out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from CMRLib.errors import InputError
from CMRLib.networks.devices import has_fast_bfloat16, resolve_device
from CMRLib.networks.models import ModelEntry, load_weights

if TYPE_CHECKING:
    import torch

    from CMRT1MappingLib.motion.moconet import Moconet

TASK = "motion"
DEFAULT_MODEL = "moconet"
WORKING_SPACING_MM = 1.4  # of the network's images; the acquired resolution of such images is 1.5 to 2 mm
FRAMES = (5, 11)  # fewest and most that the network was trained for
SPACING_RANGE_MM = (0.3, 4.0)


@dataclass(frozen=True)
class MotionModel:
    """A loaded network.

    Attributes:
        network: in evaluation mode, on the device, in the precision that it computes in.
        spacing_mm: of the images it works on.
        device: where it computes.
        entry: what it is.
    """

    network: Moconet
    spacing_mm: float
    device: torch.device
    entry: ModelEntry


@dataclass(frozen=True)
class MotionEstimate:
    """Motion of one acquisition.

    Attributes:
        displacement: float32 (frame, 2, row, column), (row, column) shift in pixels, zero mean over the frames: frame i
            at x + displacement_i(x) shows what the aligned images show at x.
        heart: float32 (row, column), probability of the heart being there in the aligned images.
        model: what estimated it.
        device: where.
    """

    displacement: np.ndarray
    heart: np.ndarray
    model: ModelEntry
    device: str


def load_motion_model(
    model: str | Path = DEFAULT_MODEL, device: str = "auto", *, full_precision: bool = False
) -> MotionModel:
    """Load a model by its id in the manifest or by the path of its weights file.

    Args:
        model: id or path.
        device: see `CMRLib.networks.devices.resolve_device`.
        full_precision: compute in float32 also on a processor that is faster in bfloat16, which training uses too;
            displacements differ by a few hundredths of a pixel.

    Raises:
        MissingDependencyError: torch, safetensors or the weights are missing, or the weights are damaged.
        DeviceError: the device is not available.
        InputError: there is no such model.
    """
    chosen = resolve_device(device)
    weights = load_weights(model, TASK)
    from CMRLib.networks.inference import with_weights
    from CMRT1MappingLib.motion.moconet import Moconet

    network = with_weights(Moconet(), weights.tensors, weights.entry, chosen)
    if chosen.type == "cpu" and has_fast_bfloat16(chosen) and not full_precision:
        network = network.bfloat16()
    return MotionModel(network, float(weights.entry.input["spacing_mm"]), chosen, weights.entry)


def estimate_motion(
    images: np.ndarray,
    spacing_mm: tuple[float, float],
    *,
    model: MotionModel,
    passes: int = 1,
    mirrored: bool = False,
    progress: Callable[[float], None] | None = None,
) -> MotionEstimate:
    """Estimate the motion between the images of one acquisition, whatever their contrasts and inversion times.

    Args:
        images: magnitude (frame, row, column), 5 to 11 frames, any unit.
        spacing_mm: distance of rows and of columns.
        model: see `load_motion_model`.
        passes: how often the network looks; from the second time on at what it has aligned itself.
        mirrored: whether it also looks at the images mirrored along rows, along columns and along both, in every pass;
            the mean of the four answers is better than any of them.
        progress: called with the fraction done after each pass; it may raise `CMRLib.errors.Cancelled`.

    Raises:
        InputError: another number of frames, or a spacing that no heart is imaged with.
    """
    check_motion_input(images, spacing_mm)
    import torch
    from torch.nn import functional

    from CMRLib.networks.normalise import quantile_normalise
    from CMRLib.networks.warp import compose, resize_displacement, warp

    shape = images.shape[1:]
    # The nearest size that the network can take, which changes the working spacing by a few percent.
    multiple = model.network.shape.multiple
    cells = [round(n * step / model.spacing_mm / multiple) for n, step in zip(shape, spacing_mm, strict=True)]
    size = [multiple * max(1, count) for count in cells]
    with torch.inference_mode():
        # What comes before and after the network is little work, and not every GPU can do it.
        stack = torch.as_tensor(np.ascontiguousarray(images, dtype=np.float32))
        small = functional.interpolate(stack[:, None], size=size, mode="bilinear", antialias=True, align_corners=False)
        small = quantile_normalise(small[:, 0])[:, None]
        # On the cells of the network's finest scale, which hold all that it knows.
        look = _look_at_mirrored if mirrored else _look
        displacement, heart = look(small, model)
        for number in range(1, passes + 1):
            if progress is not None:
                progress(number / passes)
            if number < passes:
                rest, heart = look(warp(small, resize_displacement(displacement, small.shape[2:])), model)
                displacement = compose(rest, displacement)
                displacement = displacement - displacement.mean(dim=0, keepdim=True)
        full = resize_displacement(displacement, shape)
        heart = functional.interpolate(heart[None, None], size=shape, mode="bilinear", align_corners=False)[0, 0]
        heart = heart.sigmoid()
    return MotionEstimate(full.numpy(), heart.numpy(), model.entry, str(model.device))


def check_motion_input(images: np.ndarray, spacing_mm: tuple[float, float]) -> None:
    """Refuse what motion cannot be estimated from.

    Raises:
        InputError: see `estimate_motion`.
    """
    fewest, most = FRAMES
    if images.ndim != 3 or min(images.shape[1:]) < 16:
        raise InputError("Motion correction needs a stack of images (frame, row, column) of at least 16 x 16 pixels.")
    if not fewest <= len(images) <= most:
        raise InputError(
            f"Motion correction needs {fewest} to {most} images, not {len(images)}; switch motion correction off."
        )
    low, high = SPACING_RANGE_MM
    if not all(math.isfinite(step) and low <= step <= high for step in spacing_mm):
        raise InputError(
            f"The pixel spacing {spacing_mm[0]:g} x {spacing_mm[1]:g} mm is not that of a heart image "
            f"({low} to {high} mm); correct it or switch motion correction off."
        )


def _look(frames: torch.Tensor, model: MotionModel) -> tuple[torch.Tensor, torch.Tensor]:
    """Displacement (frame, 2, row, column) in cells of the finest scale, and logits of the heart (row, column).

    Args:
        frames: (frame, 1, row, column), sizes multiples of the network's.
        model: the network.
    """
    output = model.network(frames[:, 0][None].to(model.device), near_heart=True)
    return output.scales[-1][0].cpu(), output.heart[0].cpu()


def _look_at_mirrored(frames: torch.Tensor, model: MotionModel) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean of what `_look` says of the frames and of their mirror images, mirrored back."""
    import torch

    displacements, hearts = [], []
    for axes in ((), (-2,), (-1,), (-2, -1)):
        displacement, heart = _look(frames.flip(axes), model)
        # The component along an axis changes its sign with it.
        signs = torch.tensor([-1.0 if axis in axes else 1.0 for axis in (-2, -1)])[:, None, None]
        displacements.append(displacement.flip(axes) * signs)
        hearts.append(heart.flip(axes))
    return torch.stack(displacements).mean(dim=0), torch.stack(hearts).mean(dim=0)


def apply_motion(
    images: np.ndarray, displacement: np.ndarray, phase: np.ndarray | None = None, mode: str = "bilinear"
) -> tuple[np.ndarray, np.ndarray | None]:
    """Images with their motion taken out.

    With phase the images are moved as complex numbers: next to the null the signal changes its sign, and magnitudes
    alone would be averaged over that. Frames that do not move come back bit for bit.

    Args:
        images: magnitude (frame, row, column).
        displacement: (frame, 2, row, column), see `MotionEstimate`.
        phase: radians, of the same shape, or None.
        mode: "bilinear", which leaves the smaller error of T1 in images with noise, or "bicubic", which is sharper.

    Returns:
        float32 magnitude, not negative, and phase in radians or None, shapes as given.
    """
    import torch

    from CMRLib.networks.warp import warp

    shift, magnitude = (torch.as_tensor(np.ascontiguousarray(a, dtype=np.float32)) for a in (displacement, images))
    with torch.inference_mode():
        still = (shift == 0).all(dim=1)
        if phase is None:
            moved = warp(magnitude[:, None], shift, mode=mode)[:, 0].clamp_min(0.0)
            return torch.where(still, magnitude, moved).numpy(), None
        angle = torch.as_tensor(np.ascontiguousarray(phase, dtype=np.float32))
        parts = torch.stack([magnitude * angle.cos(), magnitude * angle.sin()], dim=1)
        real, imaginary = warp(parts, shift, mode=mode).unbind(dim=1)
        aligned = torch.where(still, magnitude, (real.square() + imaginary.square()).sqrt())
        return aligned.numpy(), torch.where(still, angle, torch.atan2(imaginary, real)).numpy()
