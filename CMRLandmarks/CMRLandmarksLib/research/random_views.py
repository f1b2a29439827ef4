"""Random views of training images: upright ones, zooms to the heart, and crops along the entry line.

Positions are (row, column) in pixels; a view shows source = matrix @ target + offset. torch is needed, so import this
module inside functions.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from CMRLandmarksLib.networks import LINE_PX, ZOOM_LINE_PX
from CMRLib.training.augmentation import affine, chance, uniform

# Widest errors of the zooms of stage 1 and of the crops of stage 2.
ZOOM_SCALE, ZOOM_SHIFT_PX = 1.4, 12.0
CROP_ANGLE_DEG, CROP_SCALE, CROP_SHIFT_PX = 55.0, 1.35, 10.0
# Direction from the LV centre to the anterior insertion, atan2(row, column), mean of ACDC's training patients.
NOMINAL_HEADING = math.radians(-133.0)


def _stretch(count: int, usual: float, generator: torch.Generator) -> Tensor:
    """Factors (image,) by which an axis is longer. A few are large: resized copies are handed on without a spacing."""
    much = torch.where(chance(0.1, count, generator), 0.2, usual)
    return (torch.randn(count, generator=generator) * much).exp()


def upright(scale: Tensor, generator: torch.Generator) -> Tensor:
    """Matrices (image, 2, 2) of ``scale`` (image,), turned a little, some by any angle or mirrored, and stretched."""
    size = len(scale)
    angle = torch.where(
        chance(0.1, size, generator),
        uniform(-math.pi, math.pi, size, generator=generator),
        torch.randn(size, generator=generator) * math.radians(20.0),
    )
    return affine(angle, scale, _stretch(size, 0.06, generator), chance(0.08, size, generator))


def zooms(points: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Middles (image, 2) and pixel sizes (image,) of zooms to the heart, with the errors of a first look.

    Where no insertion is known, the size is any.
    """
    count = len(points)
    reach = (points[:, 1:] - points[:, :1]).norm(dim=2)
    known = torch.isfinite(reach)
    length = torch.nan_to_num(reach).sum(dim=1) / known.sum(dim=1).clamp_min(1)
    length = torch.where(known.any(dim=1), length, uniform(20.0, 40.0, count, generator=generator)).clamp_min(8.0)
    error = (uniform(-1.0, 1.0, count, generator=generator) * math.log(ZOOM_SCALE)).exp()
    scale = length / ZOOM_LINE_PX * error
    jitter = uniform(-ZOOM_SHIFT_PX, ZOOM_SHIFT_PX, count, 2, generator=generator)
    return points[:, 0] + jitter * scale[:, None], scale


def crops(points: Tensor, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Placements along the true entry line with the errors of a first stage.

    The errors are uniform and wide: near the truth, the placement would tell the network where the landmarks are, and
    it would repeat the first stage's errors.

    Where the anterior insertion is unknown, the line is about as long and steep as in an upright image.

    Returns:
        Matrices (image, 2, 2) and offsets (image, 2) as in `CMRLandmarksLib.sampling.sample`.
    """
    count = len(points)
    center = points[:, 0]
    heading = NOMINAL_HEADING + 0.6 * torch.randn(count, generator=generator)
    length = uniform(20.0, 40.0, count, 1, generator=generator)
    guess = center + length * torch.stack([heading.sin(), heading.cos()], dim=1)
    anterior = torch.where(torch.isfinite(points[:, 1]), points[:, 1], guess)
    line = center - anterior
    length = line.norm(dim=1).clamp_min(3.0)
    angle = torch.atan2(line[:, 0], line[:, 1])
    angle = angle + uniform(-1.0, 1.0, count, generator=generator) * math.radians(CROP_ANGLE_DEG)
    scale = length / LINE_PX * (uniform(-1.0, 1.0, count, generator=generator) * math.log(CROP_SCALE)).exp()
    stretch = _stretch(count, 0.04, generator)
    right = torch.stack([angle.sin(), angle.cos()], dim=1)
    down = torch.stack([right[:, 1], -right[:, 0]], dim=1)
    matrix = torch.stack([down * (scale * stretch)[:, None], right * (scale / stretch)[:, None]], dim=2)
    error = uniform(-CROP_SHIFT_PX, CROP_SHIFT_PX, count, 2, generator=generator)
    middle = (center + anterior) / 2.0 + error * scale[:, None]
    return matrix, middle - matrix.sum(dim=2) * (size - 1) / 2.0
