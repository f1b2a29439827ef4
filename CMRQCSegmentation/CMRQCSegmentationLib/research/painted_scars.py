"""Scars painted on images of any contrast while training: bright or dark, with or without a dark core.

torch is needed, so import this module inside functions.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from CMRLib.training.augmentation import chance, uniform


def painted_scars(image: Tensor, heart: Tensor, generator: torch.Generator) -> Tensor:
    """Images with a scar each: a part of the wall in another brightness; nothing changes where there is no wall.

    A blurred mask of the cavity says how deep in the wall a pixel lies: it falls from one half at the cavity's border
    to nothing some pixels further out.

    Args:
        image: (image, 1, row, column), 0 to 1.
        heart: (image, 2, row, column), share of myocardium and LV cavity in each pixel.
        generator: of the random numbers.

    Returns:
        (image, 1, row, column).
    """
    count, size = len(image), image.shape[-1]
    wall, cavity = heart[:, :1], heart[:, 1:]
    near = cavity
    for _ in range(2):
        near = functional.avg_pool2d(near, 5, stride=1, padding=2)
    mass = cavity.sum(dim=(1, 2, 3))
    axis = torch.arange(size, dtype=image.dtype)
    row = (cavity.sum(dim=(1, 3)) * axis).sum(dim=1) / mass.clamp_min(1.0)
    column = (cavity.sum(dim=(1, 2)) * axis).sum(dim=1) / mass.clamp_min(1.0)
    down = axis[None, :, None] - row[:, None, None]
    right = axis[None, None, :] - column[:, None, None]
    angle = torch.atan2(down, right)[:, None]
    bumps = functional.interpolate(
        torch.randn(count, 1, 9, 9, generator=generator), size=(size, size), mode="bicubic", align_corners=True
    )

    def column_of(low: float, high: float) -> Tensor:
        return uniform(low, high, count, 1, 1, 1, generator=generator)

    away = torch.remainder(angle - column_of(-math.pi, math.pi) + math.pi, 2.0 * math.pi) - math.pi
    away = away.abs() + 0.15 * bumps
    half = column_of(0.2, 1.4)
    depth = near + 0.05 * bumps
    inner = torch.where(chance(0.75, count, generator)[:, None, None, None], 1.0, column_of(0.12, 0.3))
    outer = torch.where(chance(0.4, count, generator)[:, None, None, None], -1.0, column_of(0.01, 0.25))
    scar = wall * (away < half) * (depth > outer) * (depth < inner)
    core = scar * (away < 0.6 * half) * (depth > 0.08) * chance(0.25, count, generator)[:, None, None, None]

    def mean(mask: Tensor) -> Tensor:
        return (image * mask).sum(dim=(1, 2, 3), keepdim=True) / mask.sum(dim=(1, 2, 3), keepdim=True).clamp_min(1.0)

    blood, muscle = mean(cavity), mean(wall)
    usual = chance(0.8, count, generator)[:, None, None, None]
    level = torch.where(usual, (blood * column_of(0.8, 1.7)).clamp_min(0.05), column_of(0.02, 1.0))
    grain = 0.6 + 0.4 * image / muscle.clamp_min(0.02)
    painted = image + scar * (level * grain.clamp(0.5, 1.5) - image)
    return painted + core * (muscle * column_of(0.5, 1.2) - painted)
