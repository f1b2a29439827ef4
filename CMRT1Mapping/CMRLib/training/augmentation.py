"""Random geometry, contrast, resolution, noise and corruption for batches of training images, in torch.

Positions are (row, column) in pixels. Batches are float32 tensors (image, channel, row, column). torch is imported by
whoever imports this module: import it inside functions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


def uniform(low: float, high: float, *shape: int, generator: torch.Generator) -> Tensor:
    """Uniform random numbers."""
    return torch.rand(*shape, generator=generator) * (high - low) + low


def chance(probability: float, count: int, generator: torch.Generator) -> Tensor:
    """Random booleans, (count,)."""
    return torch.rand(count, generator=generator) < probability


def elastic(count: int, size: int, strength_px: float, generator: torch.Generator) -> Tensor:
    """Smooth random displacements (image, 2, size, size), in pixels, standard deviation up to ``strength_px``."""
    coarse = torch.randn(count, 2, 5, 5, generator=generator) * uniform(
        0.0, strength_px, count, 1, 1, 1, generator=generator
    )
    return functional.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=True)


def affine(angle: Tensor, scale: Tensor, stretch: Tensor, mirrored: Tensor) -> Tensor:
    """Matrices (image, 2, 2) that turn by ``angle`` (radians), scale, stretch one axis and mirror the columns."""
    cos, sin = angle.cos(), angle.sin()
    turn = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
    sizes = torch.stack([scale * stretch, scale / stretch * torch.where(mirrored, -1.0, 1.0)], 1)
    return turn * sizes[:, None]


@dataclass(frozen=True)
class ContrastStrength:
    """How often each change of appearance is made (probabilities)."""

    remap: float = 0.3
    curve: float = 0.35
    shading: float = 0.4
    blur: float = 0.2
    noise: float = 0.4
    field_of_view: float = 0.2
    corruption: float = 0.12


PLAIN = ContrastStrength(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def remapped(image: Tensor, labels: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Give cavities, myocardium and surroundings random new brightness, keeping their texture.

    Args:
        image: (image, 1, row, column), 0 to 1.
        labels: (image, 3, row, column), share of RV cavity, myocardium and LV cavity in each pixel.
        probability: of doing it to an image.
    """
    count = len(image)
    chosen = chance(probability, count, generator).float()[:, None, None, None]
    mass = labels.sum(dim=(2, 3), keepdim=True)
    mean = (image * labels).sum(dim=(2, 3), keepdim=True) / mass.clamp_min(1e-3)
    wanted = uniform(0.02, 1.0, count, 3, 1, 1, generator=generator)
    blood = uniform(0.02, 1.0, count, 1, 1, 1, generator=generator)
    similar = chance(0.75, count, generator)[:, None, None, None]  # both cavities hold blood
    varied = blood * uniform(0.85, 1.15, count, 3, 1, 1, generator=generator)
    wanted = torch.where(similar, torch.cat([varied[:, :1], wanted[:, 1:2], varied[:, 2:]], 1), wanted)
    # An LV whose labels hold no RV keeps its surroundings as they are.
    wanted = torch.where(mass > 1.0, wanted, mean)
    gain = uniform(0.2, 1.0, count, 3, 1, 1, generator=generator)
    change = (labels * (wanted + gain * (image - mean) - image)).sum(dim=1, keepdim=True)
    return (image + chosen * change).clamp_min(0.0)


def recurved(image: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Send intensities (0 to 1) through a random smooth curve, one in three falling instead of rising; 0 stays 0."""
    count, knots = len(image), 6
    steps = uniform(0.02, 1.0, count, knots, generator=generator)
    curve = functional.pad(steps.cumsum(1) / steps.sum(1, keepdim=True), (1, 0))
    curve = torch.where(chance(0.33, count, generator)[:, None], 1.0 - curve, curve)
    wobble = uniform(-0.2, 0.2, count, knots + 1, generator=generator)
    curve = curve + wobble * chance(0.5, count, generator)[:, None]
    place = image.clamp(0.0, 1.0) * knots
    lower = place.floor().clamp_max(knots - 1)
    index = lower.long().flatten(1)
    low = curve.gather(1, index).view_as(image)
    high = curve.gather(1, index + 1).view_as(image)
    changed = (low + (place - lower) * (high - low)).clamp_min(0.0) + 1e-3
    chosen = chance(probability, count, generator)[:, None, None, None] & (image > 0)
    return torch.where(chosen, changed, image)


def degraded(image: Tensor, strength: ContrastStrength, generator: torch.Generator) -> Tensor:
    """Shading, blur, noise, ghosts and lost stripes; images are 0 to about 1."""
    count, size = len(image), image.shape[-1]

    def chosen(probability: float) -> Tensor:
        return chance(probability, count, generator).float()[:, None, None, None]

    field = torch.randn(count, 1, 3, 3, generator=generator) * 0.35 * chosen(strength.shading)
    image = image * functional.interpolate(field, size=(size, size), mode="bicubic", align_corners=True).exp()
    if strength.blur and torch.rand(1, generator=generator) < strength.blur:
        factor = float(uniform(0.35, 0.8, 1, generator=generator))
        low = functional.interpolate(image, scale_factor=factor, mode="bilinear", antialias=True)
        image = functional.interpolate(low, size=(size, size), mode="bilinear")
    level = uniform(0.0, 0.12, count, 1, 1, 1, generator=generator) * chosen(strength.noise)
    image = (image + level * torch.randn(image.shape, generator=generator)).abs() * (image > 0)
    ghost = uniform(0.1, 0.35, count, 1, 1, 1, generator=generator) * chosen(strength.corruption)
    step = int(size * float(uniform(0.1, 0.4, 1, generator=generator)))
    image = image + ghost * image.roll(step, dims=2 + int(torch.randint(2, (1,), generator=generator)))
    stripe = torch.ones(count, 1, size, 1)
    for i in torch.nonzero(chance(0.5 * strength.corruption, count, generator))[:, 0].tolist():
        start = int(torch.randint(size, (1,), generator=generator))
        stripe[i, :, start : start + int(torch.randint(2, max(3, size // 12), (1,), generator=generator))] = 0.0
    return image * stripe


def masked_to_field(image: Tensor, points: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Set to 0 what lies outside a random rectangle that holds all known points with a margin."""
    count, size = len(image), image.shape[-1]
    axis = torch.arange(size, dtype=image.dtype)
    low = torch.nan_to_num(points, nan=math.inf).amin(dim=1)
    high = torch.nan_to_num(points, nan=-math.inf).amax(dim=1)
    margin = size * uniform(0.08, 0.35, count, 2, generator=generator)
    known = torch.isfinite(low).all(dim=1) & chance(probability, count, generator)
    low = torch.where(known[:, None], low - margin, -1.0)
    high = torch.where(known[:, None], high + size * uniform(0.08, 0.35, count, 2, generator=generator), float(size))
    rows = (axis >= low[:, :1]) & (axis <= high[:, :1])
    columns = (axis >= low[:, 1:]) & (axis <= high[:, 1:])
    return image * (rows[:, None, :, None] & columns[:, None, None, :])
