"""What the trainer needs to train the two stages: random examples, losses and validation.

torch is needed, so import this module inside functions.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from CMRLandmarksLib import paper
from CMRLandmarksLib.augmentation import (
    PLAIN,
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
from CMRLandmarksLib.dataset import Bank
from CMRLandmarksLib.networks import (
    CROP_SIZE,
    LINE_PX,
    STAGE1,
    STAGE1_FACTOR,
    STAGE2,
    HeatmapNetwork,
    NetworkShape,
    landmark_loss,
    positions,
)
from CMRLandmarksLib.sampling import points_in_target, sample, standardised

# Share of the examples whose heart lies outside the field of view.
HEARTLESS = 0.04
# Widest errors of the crops of stage 2.
CROP_ANGLE_DEG, CROP_SCALE, CROP_SHIFT_PX = 55.0, 1.35, 10.0


class Batch(NamedTuple):
    """Training examples.

    Attributes:
        image: (image, 1, row, column), standardised.
        points: (image, landmark, 2), (row, column) in input pixels, NaN where unknown.
        known: (image, landmark), 1 where the landmark is known and inside the image.
        present: (image,), 1 where there is a heart.
    """

    image: Tensor
    points: Tensor
    known: Tensor
    present: Tensor


class Examples:
    """Random images of a bank, every (source, contrast) group with its weight."""

    def __init__(self, bank: Bank, weights: dict[str, float] | None = None) -> None:
        """``weights`` gives the share of each contrast; the others, by default all, share the rest evenly by image."""
        self.bank = bank
        share = np.ones(len(bank))
        contrasts = np.array(bank.contrasts)
        for contrast, weight in (weights or {}).items():
            members = contrasts == contrast
            if members.any():
                share[members] = weight / members.sum() * len(bank)
        self.share = torch.from_numpy(share / share.sum())
        self.images = torch.from_numpy(bank.images)
        self.labels = torch.from_numpy(bank.labels)
        self.points = torch.from_numpy(bank.points)

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Images and one-hot labels, (image, 4, row, column) from 0 to 1, and their points."""
        chosen = torch.multinomial(self.share, count, replacement=True, generator=generator)
        labels = self.labels[torch.from_numpy(self.bank.label_of[chosen.numpy()])]
        channels = [self.images[chosen].float() / 255.0, *((labels == value).float() for value in (1, 2, 3))]
        return torch.stack(channels, dim=1), self.points[chosen]


def pooled(bank: Bank, factor: int) -> Bank:
    """The bank with pixels averaged over squares of ``factor``; labels are taken from a corner."""
    images = np.empty((len(bank), bank.images.shape[1] // factor, bank.images.shape[2] // factor), dtype=np.uint8)
    for target, image in zip(images, bank.images, strict=True):
        target[:] = image.reshape(target.shape[0], factor, target.shape[1], factor).mean(axis=(1, 3))
    points = (bank.points - (factor - 1) / 2.0) / factor
    return Bank(images, bank.labels[:, ::factor, ::factor].copy(), bank.label_of, points, bank.contrasts, bank.subjects)


def _appearance(channels: Tensor, points: Tensor, strength: ContrastStrength, generator: torch.Generator) -> Tensor:
    image = remapped(channels[:, :1], channels[:, 1:], strength.remap, generator)
    image = recurved(image, strength.curve, generator)
    image = degraded(image, strength, generator)
    return standardised(masked_to_field(image, points, strength.field_of_view, generator))


def _batch(image: Tensor, points: Tensor, present: Tensor) -> Batch:
    size = image.shape[-1]
    inside = torch.isfinite(points).all(dim=2) & (points > -0.5).all(dim=2) & (points < size - 0.5).all(dim=2)
    return Batch(image, points, inside.float() * present[:, None], present)


class Head(Protocol):
    """A network and how it is trained and read."""

    def network(self) -> nn.Module:
        """A new network."""

    def loss(self, network: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """See `CMRLib.training.trainer.Task.loss`."""

    def locate(self, network: nn.Module, images: Tensor) -> Tensor:
        """Landmarks of a batch."""


class CompactHead:
    """The shipped networks: heat maps with offsets."""

    def __init__(self, shape: NetworkShape) -> None:
        self.shape = shape

    def network(self) -> nn.Module:
        return HeatmapNetwork(self.shape)

    def loss(self, network: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        output = network(batch.image.contiguous(memory_format=torch.channels_last))
        return landmark_loss(output, batch.points, batch.known, batch.present, self.shape.cell)

    def locate(self, network: nn.Module, images: Tensor) -> Tensor:
        """Landmarks of a batch, (image, landmark, 2), (row, column) in input pixels."""
        return positions(network(images), self.shape.cell, window=2)


class PaperHead:
    """The thesis's network: four coordinates, without the inferior insertion."""

    def network(self) -> nn.Module:
        return paper.PaperNetwork()

    def loss(self, network: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        size = batch.image.shape[-1]
        loss = paper.paper_loss(network(batch.image), batch.points[:, :2], batch.known[:, :2], size)
        return loss, {"mse": float(loss.detach())}

    def locate(self, network: nn.Module, images: Tensor) -> Tensor:
        """As `CompactHead.locate`; the inferior insertion is NaN."""
        found = paper.positions(network(images), images.shape[-1])
        return torch.cat([found, torch.full_like(found[:, :1], math.nan)], dim=1)


class Stage1Task:
    """The whole image at 2 mm, in any position, with every augmentation; some images show no heart."""

    def __init__(
        self, examples: Examples, validation: Bank, augment: bool = True, architecture: str = "compact"
    ) -> None:
        self.head: Head = PaperHead() if architecture == "paper" else CompactHead(STAGE1)
        self.name = f"landmarks-stage1-{architecture}"
        self.factor = 1 if architecture == "paper" else STAGE1_FACTOR
        self.examples = Examples(pooled(examples.bank, self.factor))
        self.examples.share = examples.share
        self.validation = pooled(validation, self.factor)
        self.strength = ContrastStrength() if augment else PLAIN
        self.augment = augment

    def network(self) -> nn.Module:
        return self.head.network()

    def batch(self, size: int, generator: torch.Generator) -> Batch:
        channels, points = self.examples.draw(size, generator)
        if not self.augment:
            return _batch(standardised(channels[:, :1]), points, torch.ones(size))
        turned = chance(0.08, size, generator)
        angle = torch.where(
            turned,
            uniform(-math.pi, math.pi, size, generator=generator),
            torch.randn(size, generator=generator) * math.radians(20.0),
        )
        scale = uniform(math.log(0.55), math.log(1.3), size, generator=generator).exp()
        stretch = (torch.randn(size, generator=generator) * 0.06).exp()
        matrix = affine(angle, scale, stretch, chance(0.06, size, generator))
        side = channels.shape[-1]
        middle = torch.full((2,), (side - 1) / 2.0)
        wander = torch.randn(size, 2, generator=generator) * 0.052 * side
        empty = chance(HEARTLESS, size, generator)
        # An image without a heart is one whose heart lies outside the field of view.
        away = uniform(-math.pi, math.pi, size, generator=generator)
        far = torch.stack([away.sin(), away.cos()], dim=1) * 1.15 * side
        wander = torch.where(empty[:, None], far, wander)
        offset = middle + wander - torch.einsum("nij,j->ni", matrix, middle)
        shift = elastic(size, side, 0.0078 * side, generator)
        image = sample(channels, matrix, offset, side, shift)
        points = points_in_target(points, matrix, offset, shift)
        image = _appearance(image, points, self.strength, generator)
        return _batch(image, points, 1.0 - empty.float())

    def loss(self, network: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        return self.head.loss(network, batch)

    def validate(self, network: nn.Module) -> dict[str, float]:
        images = standardised(torch.from_numpy(self.validation.images).float()[:, None] / 255.0)
        points = torch.from_numpy(self.validation.points)
        found = torch.cat([self.head.locate(network, part) for part in images.split(16)])
        return _measures(found * self.factor, points * self.factor)


class Stage2Task:
    """A crop along the entry line as a first stage would find it, that is with errors."""

    def __init__(
        self,
        examples: Examples,
        validation: Bank,
        augment: bool = True,
        crop_size: int = CROP_SIZE,
        architecture: str = "compact",
    ) -> None:
        self.head: Head = PaperHead() if architecture == "paper" else CompactHead(STAGE2)
        self.name = f"landmarks-stage2-{architecture}-{crop_size}"
        self.examples = examples
        self.validation = validation
        self.strength = ContrastStrength() if augment else PLAIN
        self.augment = augment
        self.crop_size = crop_size

    def network(self) -> nn.Module:
        return self.head.network()

    def batch(self, size: int, generator: torch.Generator) -> Batch:
        channels, points = self.examples.draw(size, generator)
        matrix, offset = _crops(points, self.crop_size, generator)
        shift = elastic(size, self.crop_size, 1.5, generator) if self.augment else None
        image = sample(channels, matrix, offset, self.crop_size, shift)
        points = points_in_target(points, matrix, offset, shift)
        image = _appearance(image, points, self.strength, generator)
        return _batch(image, points, torch.ones(size))

    def loss(self, network: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        return self.head.loss(network, batch)

    def validate(self, network: nn.Module) -> dict[str, float]:
        generator = torch.Generator().manual_seed(1)
        images = torch.from_numpy(self.validation.images)
        points = torch.from_numpy(self.validation.points)
        matrix, offset = _crops(points, self.crop_size, generator)
        found = []
        for i in range(0, len(images), 16):
            part = slice(i, i + 16)
            crop = sample(images[part].float()[:, None] / 255.0, matrix[part], offset[part], self.crop_size)
            place = self.head.locate(network, standardised(crop))
            found.append(torch.einsum("nij,nlj->nli", matrix[part], place) + offset[part, None])
        return _measures(torch.cat(found), points)


def _crops(points: Tensor, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Placements along the true entry line with the errors of a first stage.

    The errors are uniform and wide: near the truth, the placement would tell the network where the landmarks are, and
    it would repeat the first stage's errors.

    Where the anterior insertion is unknown, the line is any: 32 pixels long and in a random direction.

    Returns:
        Matrices (image, 2, 2) and offsets (image, 2) as in `sample`.
    """
    count = len(points)
    centre = points[:, 0]
    heading = uniform(-math.pi, math.pi, count, generator=generator)
    length = uniform(20.0, 40.0, count, 1, generator=generator)
    guess = centre + length * torch.stack([heading.sin(), heading.cos()], dim=1)
    anterior = torch.where(torch.isfinite(points[:, 1]), points[:, 1], guess)
    line = centre - anterior
    length = line.norm(dim=1).clamp_min(3.0)
    angle = torch.atan2(line[:, 0], line[:, 1])
    angle = angle + uniform(-1.0, 1.0, count, generator=generator) * math.radians(CROP_ANGLE_DEG)
    scale = length / LINE_PX * (uniform(-1.0, 1.0, count, generator=generator) * math.log(CROP_SCALE)).exp()
    stretch = (torch.randn(count, generator=generator) * 0.04).exp()
    right = torch.stack([angle.sin(), angle.cos()], dim=1)
    down = torch.stack([right[:, 1], -right[:, 0]], dim=1)
    matrix = torch.stack([down * (scale * stretch)[:, None], right * (scale / stretch)[:, None]], dim=2)
    error = uniform(-CROP_SHIFT_PX, CROP_SHIFT_PX, count, 2, generator=generator)
    middle = (centre + anterior) / 2.0 + error * scale[:, None]
    return matrix, middle - matrix.sum(dim=2) * (size - 1) / 2.0


def _measures(found: Tensor, points: Tensor) -> dict[str, float]:
    """Median distances (px) and angle (degrees), share beyond 10 px; ``score`` is the mean distance cut at 10 px."""
    distance = (found - points).norm(dim=2)
    known = torch.isfinite(distance)
    both = distance[:, :2][known[:, :2]]
    names = ("centre", "anterior", "inferior")
    result = {name: float(distance[:, i][known[:, i]].median()) for i, name in enumerate(names) if known[:, i].any()}
    line, truth = found[:, 0] - found[:, 1], points[:, 0] - points[:, 1]
    angle = torch.atan2(line[:, 0], line[:, 1]) - torch.atan2(truth[:, 0], truth[:, 1])
    angle = torch.rad2deg(torch.remainder(angle + math.pi, 2.0 * math.pi) - math.pi).abs()
    result["pooled"] = float(both.median())
    result["angle_deg"] = float(angle[torch.isfinite(angle)].median())
    result["beyond_10px"] = float((both > 10.0).float().mean())
    result["score"] = float(both.clamp_max(10.0).mean())
    return result
