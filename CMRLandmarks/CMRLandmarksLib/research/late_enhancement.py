"""Late enhancement painted on other images with the help of their labels, for training.

A cine or a simulated image lends its anatomy and its RV labels; brightness is drawn anew: myocardium from nulled to
hardly nulled, blood from nulled to bright, an RV as bright as the LV, or as dark as lung, or anything, scars anywhere
or at the insertion points, with a dark core or without, fat around the heart, a chest wall at any side, surroundings
sent through a random curve. torch is needed, so import this module inside functions.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from CMRLib.training.augmentation import chance, recurved, uniform


def late_enhanced(image: Tensor, labels: Tensor, points: Tensor, generator: torch.Generator) -> Tensor:
    """Paint late enhancement on a batch.

    Args:
        image: (image, 1, row, column), 0 to 1; 0 stays 0.
        labels: (image, 3, row, column), share of RV cavity, myocardium and LV cavity in each pixel.
        points: (image, landmark, 2), (row, column) in pixels, NaN where unknown.
        generator: random generator.
    """
    count, size = len(image), image.shape[-1]

    def number(low: float, high: float) -> Tensor:
        return uniform(low, high, count, 1, 1, 1, generator=generator)

    labels = functional.avg_pool2d(labels, 3, stride=1, padding=1)  # no contour is as sharp as a label's
    around = recurved(image, 0.8, generator)

    def sometimes(probability: float) -> Tensor:
        return chance(probability, count, generator)[:, None, None, None]

    null = torch.where(sometimes(0.2), number(0.25, 0.5), number(0.0, 0.25))
    blood = torch.where(sometimes(0.2), null + number(-0.05, 0.15), null + number(0.2, 0.7)).clamp_min(0.0)
    right = torch.where(sometimes(0.15), number(0.0, 0.9), blood * number(0.8, 1.15))
    inside = labels.sum(dim=1, keepdim=True)
    mass = labels.sum(dim=(2, 3), keepdim=True).clamp_min(1e-3)
    texture = (image - (image * labels).sum(dim=(2, 3), keepdim=True) / mass) * number(0.05, 0.5)
    wanted = torch.cat([right, null, blood], dim=1)
    heart = (labels * (wanted + texture)).sum(dim=1, keepdim=True)
    scar = _scar(labels[:, 1:2], points, generator) * labels[:, 1:2]
    heart = heart + scar * (torch.maximum(blood, number(0.5, 1.0)) - null)
    around = around + _wall(count, size, generator) * sometimes(0.3) * (number(0.5, 1.0) - around)
    painted = heart + (1.0 - inside).clamp_min(0.0) * around
    fat = _rim(inside, size, generator) * sometimes(0.5)
    painted = painted + fat * (number(0.7, 1.0) - painted)
    painted = painted + number(-0.05, 0.1).clamp_min(0.0) * torch.randn(image.shape, generator=generator)
    painted = painted.clamp(1e-3, 1.2)
    # Phase-sensitive images shown upside down, or magnitude images below the null.
    painted = torch.where(sometimes(0.12), (1.0 - painted).clamp_min(1e-3), painted)
    return torch.where(image > 0, painted, image)


def _noise(count: int, size: int, cells: int, generator: torch.Generator) -> Tensor:
    coarse = torch.randn(count, 1, cells, cells, generator=generator)
    return functional.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=True)


def _scar(myocardium: Tensor, points: Tensor, generator: torch.Generator) -> Tensor:
    """Share of scar in each pixel, (image, 1, row, column): smooth patches, some of them at an insertion point."""
    count, size = len(myocardium), myocardium.shape[-1]
    # Patches about as large as the wall's width and length, whatever the view's scale.
    level = uniform(0.2, 1.6, count, 1, 1, 1, generator=generator)
    patch = torch.sigmoid(6.0 * (_noise(count, size, 14, generator) - level))
    # What no blood reaches stays dark in the middle of a scar.
    core = torch.where(chance(0.25, count, generator)[:, None, None, None], 1.5, 0.0)
    patch = patch * (1.0 - core * patch.square() * (patch > 0.6)).clamp(0.0, 1.0)
    patch = patch * chance(0.6, count, generator)[:, None, None, None]
    axis = torch.arange(size, dtype=myocardium.dtype)
    width = uniform(0.02, 0.07, count, 1, 1, generator=generator) * size
    which = 1 + torch.randint(2, (count,), generator=generator)
    place = points[torch.arange(count), which]
    squared = (axis[None, :, None] - place[:, 0, None, None]) ** 2 + (
        axis[None, None, :] - place[:, 1, None, None]
    ) ** 2
    spot = torch.nan_to_num(torch.exp(-0.5 * squared / width**2))
    spot = (spot * chance(0.25, count, generator)[:, None, None])[:, None]
    return torch.maximum(patch, spot)


def _rim(inside: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Share of fat in each pixel around the heart, patchy, (image, 1, row, column)."""
    width = 2 * int(torch.randint(1, max(2, size // 32), (1,), generator=generator)) + 1
    near = functional.max_pool2d((inside > 0.5).to(inside.dtype), width, stride=1, padding=width // 2)
    rim = functional.avg_pool2d(near, 3, stride=1, padding=1) * (1.0 - inside).clamp_min(0.0)
    return rim * torch.sigmoid(5.0 * _noise(len(inside), size, 7, generator))


def _wall(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Share of a straight bright band at any side of the heart in each pixel, (image, 1, row, column)."""
    axis = torch.linspace(-0.5, 0.5, size)
    angle = uniform(-torch.pi, torch.pi, count, 1, 1, generator=generator)
    along = axis[None, :, None] * angle.sin() + axis[None, None, :] * angle.cos()
    place = uniform(0.25, 0.55, count, 1, 1, generator=generator)
    width = uniform(0.02, 0.1, count, 1, 1, generator=generator)
    return torch.sigmoid((width - (along - place).abs()) / 0.01)[:, None]
