"""What the trainer needs to train the two stages: random examples, losses and validation.

torch is needed, so import this module inside functions.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor, nn

from CMRLandmarksLib.networks import (
    CROP_SIZE,
    STAGE1,
    STAGE1_FACTOR,
    STAGE2,
    ZOOM_SIZE,
    HeatmapNetwork,
    NetworkShape,
    landmark_loss,
    positions,
    tissue_loss,
)
from CMRLandmarksLib.research import paper
from CMRLandmarksLib.research.dataset import LandmarkBank
from CMRLandmarksLib.research.examples import Examples, LandmarkBatch, shrunken
from CMRLandmarksLib.research.late_enhancement import late_enhanced
from CMRLandmarksLib.research.random_views import crops, upright, zooms
from CMRLandmarksLib.sampling import centroids, points_in_target, sample, standardised
from CMRLib.training.augmentation import (
    PLAIN,
    ContrastStrength,
    chance,
    degraded,
    elastic,
    masked_to_field,
    recurved,
    remapped,
    uniform,
)

# Share of the examples with a labelled RV that are painted as late enhancement.
LATE_ENHANCED = 0.4
# Share of the examples whose heart lies outside the field of view.
HEARTLESS = 0.04
# Of the whole view against true mm: large hearts, and files whose header holds 1 mm for a spacing of up to 1.9 mm.
SMALLEST_SCALE, LARGEST_SCALE = 0.65, 1.9
# Largest standard deviation of the random deformations, as a share of the view: enough to make other hearts of one.
WHOLE_ELASTIC, ZOOM_ELASTIC, CROP_ELASTIC = 0.022, 0.03, 0.03


def _appearance(
    channels: Tensor, points: Tensor, rv_known: Tensor, augment: bool, generator: torch.Generator
) -> Tensor:
    strength = ContrastStrength() if augment else PLAIN
    image = remapped(channels[:, :1], channels[:, 1:], strength.remap, generator)
    image = recurved(image, strength.curve, generator)
    if augment:
        # Without labels of the RV there is nothing to paint it by.
        painted = chance(LATE_ENHANCED, len(image), generator) & (rv_known > 0)
        if painted.any():
            chosen = channels[painted]
            image[painted] = late_enhanced(chosen[:, :1], chosen[:, 1:], points[painted], generator)
    image = degraded(image, strength, generator)
    return standardised(masked_to_field(image, points, strength.field_of_view, generator))


def _seen(
    channels: Tensor, points: Tensor, matrix: Tensor, offset: Tensor, size: int, shift: Tensor | None
) -> tuple[Tensor, Tensor]:
    """A view of images and their landmarks, see `CMRLandmarksLib.sampling.sample`.

    A deformation moves the centre of the LV cavity otherwise than the tissue there, so the LV centre, which is that of
    the cavity, goes with the cavity.
    """
    seen = sample(channels, matrix, offset, size, shift)
    cavity = centroids(channels[:, 3])[:, None]
    moved = points_in_target(torch.cat([points, cavity], dim=1), matrix, offset, shift)
    change = centroids(seen[:, 3]) - moved[:, 3]
    # A cavity that reaches the view's edge goes on behind it.
    rim = seen[:, 3].clone()
    rim[:, 1:-1, 1:-1] = 0.0
    cut = rim.amax(dim=(1, 2)) > 0.0
    center = moved[:, 0] + torch.where(cut[:, None] | change.isnan(), 0.0, change)
    return seen, torch.cat([center[:, None], moved[:, 1:3]], dim=1)


def _batch(image: Tensor, points: Tensor, present: Tensor, tissue: Tensor, rv_known: Tensor) -> LandmarkBatch:
    size = image.shape[-1]
    inside = torch.isfinite(points).all(dim=2) & (points > -0.5).all(dim=2) & (points < size - 0.5).all(dim=2)
    return LandmarkBatch(image, points, inside.float() * present[:, None], present, tissue, rv_known)


class Head(Protocol):
    """A network and how it is trained and read."""

    def network(self) -> nn.Module:
        """A new network."""

    def loss(self, network: nn.Module, batch: LandmarkBatch) -> tuple[Tensor, dict[str, float]]:
        """See `CMRLib.training.trainer.Task.loss`."""

    def locate(self, network: nn.Module, images: Tensor) -> Tensor:
        """Landmarks of a batch."""


class CompactHead:
    """The shipped networks: heat maps with offsets."""

    def __init__(self, shape: NetworkShape) -> None:
        self.shape = shape

    def network(self) -> nn.Module:
        return HeatmapNetwork(self.shape)

    def loss(self, network: nn.Module, batch: LandmarkBatch) -> tuple[Tensor, dict[str, float]]:
        output = network(batch.image.contiguous(memory_format=torch.channels_last))
        loss, terms = landmark_loss(output, batch.points, batch.known, batch.present, self.shape.cell)
        tissue = tissue_loss(output, batch.tissue, batch.rv_known, self.shape.cell)
        return loss + tissue, {**terms, "tissue": float(tissue.detach())}

    def locate(self, network: nn.Module, images: Tensor) -> Tensor:
        """Landmarks of a batch, (image, landmark, 2), (row, column) in input pixels."""
        return positions(network(images), self.shape.cell, window=2)


class PaperHead:
    """The thesis's network: four coordinates, without the inferior insertion."""

    def network(self) -> nn.Module:
        return paper.PaperNetwork()

    def loss(self, network: nn.Module, batch: LandmarkBatch) -> tuple[Tensor, dict[str, float]]:
        size = batch.image.shape[-1]
        loss = paper.paper_loss(network(batch.image), batch.points[:, :2], batch.known[:, :2], size)
        return loss, {"mse": float(loss.detach())}

    def locate(self, network: nn.Module, images: Tensor) -> Tensor:
        """As `CompactHead.locate`; the inferior insertion is NaN."""
        found = paper.positions(network(images), images.shape[-1])
        return torch.cat([found, torch.full_like(found[:, :1], math.nan)], dim=1)


class Stage1Task:
    """The upright image in any position, with every augmentation: half of the batches the whole at 2 mm, some without a
    heart, half a zoom to the heart as the first look finds it. The thesis's network only looks once.
    """

    def __init__(
        self, examples: Examples, validation: LandmarkBank, augment: bool = True, architecture: str = "compact"
    ) -> None:
        self.head: Head = PaperHead() if architecture == "paper" else CompactHead(STAGE1)
        self.name = f"landmarks-stage1-{architecture}"
        self.factor = 1 if architecture == "paper" else STAGE1_FACTOR
        self.zooms = architecture != "paper"
        self.fine = examples
        self.examples = Examples(shrunken(examples.bank, self.factor))
        self.examples.share = examples.share
        self.fine_validation = validation
        self.validation = shrunken(validation, self.factor)
        self.augment = augment

    def network(self) -> nn.Module:
        return self.head.network()

    def batch(self, size: int, generator: torch.Generator) -> LandmarkBatch:
        if self.zooms and torch.rand(1, generator=generator) < 0.5:
            return self._zoomed(size, generator)
        channels, points, rv_known = self.examples.draw(size, generator)
        if not self.augment:
            return _batch(standardised(channels[:, :1]), points, torch.ones(size), channels[:, 1:], rv_known)
        scale = uniform(math.log(SMALLEST_SCALE), math.log(LARGEST_SCALE), size, generator=generator).exp()
        matrix = upright(scale, generator)
        side = channels.shape[-1]
        middle = torch.full((2,), (side - 1) / 2.0)
        wander = torch.randn(size, 2, generator=generator) * 0.052 * side
        empty = chance(HEARTLESS, size, generator)
        # An image without a heart is one whose heart lies outside the field of view.
        away = uniform(-math.pi, math.pi, size, generator=generator)
        far = torch.stack([away.sin(), away.cos()], dim=1) * 1.15 * side
        wander = torch.where(empty[:, None], far, wander)
        offset = middle + wander - torch.einsum("nij,j->ni", matrix, middle)
        shift = elastic(size, side, WHOLE_ELASTIC * side, generator)
        seen, points = _seen(channels, points, matrix, offset, side, shift)
        image = _appearance(seen, points, rv_known, self.augment, generator)
        return _batch(image, points, 1.0 - empty.float(), seen[:, 1:], rv_known)

    def _zoomed(self, size: int, generator: torch.Generator) -> LandmarkBatch:
        channels, points, rv_known = self.fine.draw(size, generator)
        middle, scale = zooms(points, generator)
        matrix = upright(scale, generator) if self.augment else torch.eye(2) * scale[:, None, None]
        offset = middle - matrix.sum(dim=2) * (ZOOM_SIZE - 1) / 2.0
        shift = elastic(size, ZOOM_SIZE, ZOOM_ELASTIC * ZOOM_SIZE, generator) if self.augment else None
        seen, points = _seen(channels, points, matrix, offset, ZOOM_SIZE, shift)
        image = _appearance(seen, points, rv_known, self.augment, generator)
        return _batch(image, points, torch.ones(size), seen[:, 1:], rv_known)

    def loss(self, network: nn.Module, batch: LandmarkBatch) -> tuple[Tensor, dict[str, float]]:
        return self.head.loss(network, batch)

    def validate(self, network: nn.Module) -> dict[str, float]:
        images = standardised(torch.from_numpy(self.validation.images).float()[:, None] / 255.0)
        points = torch.from_numpy(self.validation.points)
        found = torch.cat([self.head.locate(network, part) for part in images.split(16)])
        whole = _measures(found * self.factor, points * self.factor)
        if not self.zooms:
            return whole
        points = torch.from_numpy(self.fine_validation.points)
        middle, scale = zooms(points, torch.Generator().manual_seed(1))
        matrix = torch.eye(2) * scale[:, None, None]
        offset = middle - matrix.sum(dim=2) * (ZOOM_SIZE - 1) / 2.0
        zoomed = _measures(_located(self.head, network, self.fine_validation, matrix, offset, ZOOM_SIZE), points)
        return {**zoomed, **{f"whole_{name}": value for name, value in whole.items()}}


class Stage2Task:
    """A crop along the entry line as a first stage would find it, that is with errors."""

    def __init__(
        self,
        examples: Examples,
        validation: LandmarkBank,
        augment: bool = True,
        crop_size: int = CROP_SIZE,
        architecture: str = "compact",
    ) -> None:
        self.head: Head = PaperHead() if architecture == "paper" else CompactHead(STAGE2)
        self.name = f"landmarks-stage2-{architecture}-{crop_size}"
        self.examples = examples
        self.validation = validation
        self.augment = augment
        self.crop_size = crop_size

    def network(self) -> nn.Module:
        return self.head.network()

    def batch(self, size: int, generator: torch.Generator) -> LandmarkBatch:
        channels, points, rv_known = self.examples.draw(size, generator)
        matrix, offset = crops(points, self.crop_size, generator)
        shift = elastic(size, self.crop_size, CROP_ELASTIC * self.crop_size, generator) if self.augment else None
        seen, points = _seen(channels, points, matrix, offset, self.crop_size, shift)
        image = _appearance(seen, points, rv_known, self.augment, generator)
        return _batch(image, points, torch.ones(size), seen[:, 1:], rv_known)

    def loss(self, network: nn.Module, batch: LandmarkBatch) -> tuple[Tensor, dict[str, float]]:
        return self.head.loss(network, batch)

    def validate(self, network: nn.Module) -> dict[str, float]:
        points = torch.from_numpy(self.validation.points)
        matrix, offset = crops(points, self.crop_size, torch.Generator().manual_seed(1))
        return _measures(_located(self.head, network, self.validation, matrix, offset, self.crop_size), points)


def _located(head: Head, network: nn.Module, bank: LandmarkBank, matrix: Tensor, offset: Tensor, size: int) -> Tensor:
    """Landmarks that a network finds in views of a bank's images, (image, landmark, 2) in the bank's pixels."""
    images = torch.from_numpy(bank.images)
    found = []
    for i in range(0, len(images), 16):
        part = slice(i, i + 16)
        view = sample(images[part].float()[:, None] / 255.0, matrix[part], offset[part], size)
        place = head.locate(network, standardised(view))
        found.append(torch.einsum("nij,nlj->nli", matrix[part], place) + offset[part, None])
    return torch.cat(found)


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
