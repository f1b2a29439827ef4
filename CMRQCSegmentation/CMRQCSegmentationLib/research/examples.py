"""Random training examples: crops around the heart, and views of the whole image, of any appearance.

torch is needed, so import this module inside functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from CMRLib.networks.normalise import quantile_normalise
from CMRLib.networks.sampling import sample
from CMRLib.training.augmentation import (
    ContrastStrength,
    affine,
    chance,
    degraded,
    elastic,
    masked_to_field,
    recurved,
    remapped,
    uniform,
)
from CMRQCSegmentationLib.networks import CROP_RADIUS_PX, CROP_SIZE, WHOLE_SIZE
from CMRQCSegmentationLib.prediction import QUANTILES
from CMRQCSegmentationLib.research.bank import Bank
from CMRQCSegmentationLib.research.painted_scars import painted_scars

STRENGTH = ContrastStrength(
    remap=0.15, curve=0.25, shading=0.35, blur=0.2, noise=0.2, field_of_view=0.12, corruption=0.06
)
SCARS = 0.2  # share of the examples that a scar is painted on
EMPTY_WEIGHT = 3.0  # of slices beyond the heart, which are few
HEARTLESS = 0.07  # share of the examples that look elsewhere
CROP_ELASTIC, WHOLE_ELASTIC = 0.022, 0.015  # largest standard deviation of the deformations, as a share of the view
# Errors of what a crop is made from: the place in crop pixels, and the size as factors.
CROP_SHIFT_PX, CROP_SCALE = 7.0, (0.78, 1.5)
CROP_STRETCH, WHOLE_STRETCH = 0.08, 0.2
WHOLE_SCALE = (0.35, 1.3)
NO_WEIGHTS: Mapping[str, float] = MappingProxyType({})


class Batch(NamedTuple):
    """Training examples.

    Attributes:
        image: (image, 1, row, column), 0 to 1.
        target: (image, class, row, column), share of background, myocardium and blood pool in each pixel.
    """

    image: Tensor
    target: Tensor


class Drawn(NamedTuple):
    """Images of the banks.

    Attributes:
        channels: (image, 4, row, column) from 0 to 1: the image, RV cavity, myocardium, LV cavity.
        centers, radii: (image, 2), see `Bank`.
    """

    channels: Tensor
    centers: Tensor
    radii: Tensor


class Examples:
    """Random images of several banks, each bank with its share; ``weights`` are how often contrasts are drawn in it."""

    def __init__(
        self, banks: Mapping[str, Bank], shares: Mapping[str, float], weights: Mapping[str, float] = NO_WEIGHTS
    ) -> None:
        self.bank = bank = Bank.joined(list(banks.values()))
        share = []
        for name, part in banks.items():
            each = torch.tensor([weights.get(contrast, 1.0) for contrast in part.contrasts])
            share.append(shares[name] * each / each.sum())
        empty = torch.tensor([not labels.any() for labels in bank.labels])[torch.from_numpy(bank.label_of)]
        self.share = torch.cat(share) * torch.where(empty, EMPTY_WEIGHT, 1.0)
        self.images = torch.from_numpy(bank.images)
        self.labels = torch.from_numpy(bank.labels)
        self.label_of = torch.from_numpy(bank.label_of)
        self.centers = torch.from_numpy(bank.centers)
        self.radii = torch.from_numpy(bank.radii)

    def draw(self, count: int, generator: torch.Generator) -> Drawn:
        """Random images."""
        chosen = torch.multinomial(self.share, count, replacement=True, generator=generator)
        return self.take(chosen)

    def take(self, chosen: Tensor) -> Drawn:
        """The images with these numbers."""
        labels = self.labels[self.label_of[chosen]]
        channels = [self.images[chosen].float() / 255.0, *((labels == value).float() for value in (1, 2, 3))]
        return Drawn(torch.stack(channels, dim=1), self.centers[chosen], self.radii[chosen])


def _turned(scale: Tensor, spread: float, generator: torch.Generator) -> Tensor:
    """Matrices (image, 2, 2) of ``scale`` (image,): any quarter turn, mirrored or not, a little more, and stretched.

    Files store short-axis images in any orientation, and some are resized to a square: ``spread`` is the standard
    deviation of the logarithm of the stretch, whose square is the ratio of the axes.
    """
    count = len(scale)
    quarter = torch.randint(4, (count,), generator=generator) * (math.pi / 2.0)
    angle = quarter + torch.randn(count, generator=generator) * math.radians(15.0)
    stretch = (torch.randn(count, generator=generator) * spread).exp()
    return affine(angle, scale, stretch, chance(0.5, count, generator))


def _elsewhere(centers: Tensor, radii: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Random places that lie clear of the heart where the image leaves room for that."""
    tries = uniform(0.1, 0.9, 8, len(centers), 2, generator=generator) * size
    away = (tries - centers).norm(dim=2) / radii.mean(dim=1)
    best = away.argmax(dim=0)
    clear = (away > 3.2).float().argmax(dim=0)
    chosen = torch.where((away > 3.2).any(dim=0), clear, best)
    return tries[chosen, torch.arange(len(centers))]


def crop_batch(
    drawn: Drawn, generator: torch.Generator, strength: ContrastStrength = STRENGTH, scars: float = SCARS
) -> Batch:
    """Crops as a first look at the whole image would make them, that is with errors; a few look elsewhere."""
    count, size = len(drawn.radii), drawn.channels.shape[-1]
    factor = (uniform(math.log(CROP_SCALE[0]), math.log(CROP_SCALE[1]), count, generator=generator)).exp()
    axes = drawn.radii.clamp_min(3.0) / CROP_RADIUS_PX
    matrix = axes[:, :, None] * _turned(factor, CROP_STRETCH, generator)
    jitter = torch.randn(count, 2, generator=generator) * 0.5 * CROP_SHIFT_PX
    middle = drawn.centers + jitter.clamp(-1.5 * CROP_SHIFT_PX, 1.5 * CROP_SHIFT_PX) * axes
    away = chance(HEARTLESS, count, generator)
    middle = torch.where(away[:, None], _elsewhere(drawn.centers, drawn.radii, size, generator), middle)
    offset = middle - matrix.sum(dim=2) * (CROP_SIZE - 1) / 2.0
    shift = elastic(count, CROP_SIZE, CROP_ELASTIC * CROP_SIZE, generator)
    seen = sample(drawn.channels, matrix, offset, CROP_SIZE, shift)
    return _finished(seen, scars, strength, generator)


def whole_batch(
    drawn: Drawn,
    generator: torch.Generator,
    strength: ContrastStrength = STRENGTH,
    scars: float = SCARS,
    view: int = WHOLE_SIZE,
) -> Batch:
    """Views of the whole image or of a part of it, the heart anywhere in them; a few without it."""
    channels, centers, radii = drawn.channels, drawn.centers, drawn.radii
    base = channels.shape[-1] / view
    if base > 1.0 and torch.rand(1, generator=generator) < 0.6:
        channels = functional.avg_pool2d(channels, 2)
        centers, radii, base = (centers - 0.5) / 2.0, radii / 2.0, base / 2.0
    count, size = len(radii), channels.shape[-1]
    scale = base * uniform(math.log(WHOLE_SCALE[0]), math.log(WHOLE_SCALE[1]), count, generator=generator).exp()
    matrix = _turned(scale, WHOLE_STRETCH, generator)
    wander = uniform(-0.34, 0.34, count, 2, generator=generator) * view * scale[:, None]
    away = chance(HEARTLESS, count, generator)
    middle = torch.where(away[:, None], _elsewhere(centers, radii, size, generator), centers + wander)
    offset = middle - matrix.sum(dim=2) * (view - 1) / 2.0
    shift = elastic(count, view, WHOLE_ELASTIC * view, generator)
    seen = sample(channels, matrix, offset, view, shift)
    return _finished(seen, scars, strength, generator)


def fixed_crops(drawn: Drawn, seed: int) -> Batch:
    """Crops with errors of place and size but with the images' own appearance and orientation, for validation."""
    generator = torch.Generator().manual_seed(seed)
    count = len(drawn.radii)
    factor = uniform(0.9, 1.2, count, 1, generator=generator)
    scale = drawn.radii.clamp_min(3.0) / CROP_RADIUS_PX * factor
    matrix = torch.diag_embed(scale)
    middle = drawn.centers + torch.randn(count, 2, generator=generator) * 3.0 * scale
    offset = middle - matrix.sum(dim=2) * (CROP_SIZE - 1) / 2.0
    return _normalised(sample(drawn.channels, matrix, offset, CROP_SIZE))


def whole_views(drawn: Drawn, view: int = WHOLE_SIZE) -> Batch:
    """The whole images in their own appearance and orientation, for validation."""
    return _normalised(functional.interpolate(drawn.channels, size=(view, view), mode="area"))


def _finished(seen: Tensor, scars: float, strength: ContrastStrength, generator: torch.Generator) -> Batch:
    labels = seen[:, 1:]

    # Each change is computed only for the images that it is drawn for, which halves the time of an example.
    def some(image: Tensor, probability: float, change: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        chosen = torch.nonzero(chance(probability, len(image), generator))[:, 0]
        return image.index_copy(0, chosen, change(image[chosen], labels[chosen])) if len(chosen) else image

    image = some(seen[:, :1], strength.remap, lambda part, theirs: remapped(part, theirs, 1.0, generator))
    image = some(image, scars, lambda part, theirs: painted_scars(part, theirs[:, 1:], generator))
    image = some(image, strength.curve, lambda part, theirs: recurved(part.clamp(0.0, 1.0), 1.0, generator))
    image = degraded(image, strength, generator)
    image = masked_to_field(image, _corners(labels[:, 1:].sum(dim=1)), strength.field_of_view, generator)
    return _normalised(torch.cat([image, labels], dim=1))


def _corners(heart: Tensor) -> Tensor:
    """First and last row and column, (image, 2, 2), of masks (image, row, column); NaN where they are empty."""
    result = torch.full((len(heart), 2, 2), math.nan)
    for axis in (1, 2):
        there = heart.amax(dim=3 - axis) > 0.5
        some = there.any(dim=1)
        first = there.float().argmax(dim=1)
        last = there.shape[1] - 1 - there.flip(1).float().argmax(dim=1)
        result[some, 0, axis - 1] = first[some].float()
        result[some, 1, axis - 1] = last[some].float()
    return result


def _normalised(channels: Tensor) -> Batch:
    image = quantile_normalise(channels[:, 0], QUANTILES, 1.0)[:, None]
    heart = channels[:, 2:]
    return Batch(image, torch.cat([1.0 - heart.sum(dim=1, keepdim=True), heart], dim=1))
