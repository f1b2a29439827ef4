"""What the trainer needs to train the networks: random examples, losses and validation.

torch is needed, so import this module inside functions.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from CMRLib.networks.normalise import part_equalised
from CMRLib.training.augmentation import PLAIN, ContrastStrength
from CMRQCSegmentationLib.networks import DEPTHS, FINDER_EQUALISED, compact_ensemble, finder, segmentation_loss
from CMRQCSegmentationLib.research import paper
from CMRQCSegmentationLib.research.bank import Bank
from CMRQCSegmentationLib.research.examples import (
    SCARS,
    STRENGTH,
    Batch,
    Drawn,
    Examples,
    crop_batch,
    fixed_crops,
    whole_batch,
    whole_views,
)

MOST_VALIDATED = 220


class _SegmentationTask:
    """Several networks that learn from the same examples, each for itself."""

    def __init__(self, name: str, examples: Examples, validation: Bank, augment: bool = True) -> None:
        self.name = name
        self.examples = examples
        step = max(1, len(validation) // MOST_VALIDATED)
        chosen = torch.arange(0, len(validation), step)
        self.validation = Examples({"all": validation}, {"all": 1.0}).take(chosen)
        self.contrasts = [validation.contrasts[int(i)] for i in chosen]
        self.strength: ContrastStrength = STRENGTH if augment else PLAIN
        self.scars = SCARS if augment else 0.0

    def networks(self, network: nn.Module) -> Iterable[nn.Module]:
        return network.children() if isinstance(network, nn.ModuleList) else (network,)

    def network_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        return segmentation_loss(logits, batch.target)

    def loss(self, network: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        image = batch.image.contiguous(memory_format=torch.channels_last)
        losses = [self.network_loss(part(image), batch) for part in self.networks(network)]
        terms = {f"loss{i + 1}": float(loss.detach()) for i, loss in enumerate(losses)}
        return torch.stack(losses).sum(), terms

    def views(self, drawn: Drawn) -> Batch:
        raise NotImplementedError

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Mean Dice of the myocardium of every network, and of the last one by kind of image."""
        images, targets = self.views(self.validation)
        measures: dict[str, float] = {}
        means = []
        for number, part in enumerate(self.networks(network), start=1):
            answers = torch.cat([part(chunk).argmax(dim=1) for chunk in images.split(16)])
            dice = myocardial_dice(answers, targets)
            means.append(float(dice.nanmean()))
            measures[f"dice{number}"] = means[-1]
        for contrast in sorted(set(self.contrasts)):
            chosen = torch.tensor([c == contrast for c in self.contrasts])
            measures[contrast] = float(dice[chosen].nanmean())
        return {**measures, "score": 1.0 - sum(means) / len(means)}


class EnsembleTask(_SegmentationTask):
    """The U-Nets of the ensemble, on crops around the heart."""

    def __init__(
        self, examples: Examples, validation: Bank, augment: bool = True, depths: tuple[int, ...] = DEPTHS
    ) -> None:
        super().__init__(f"segmentation-compact-{'-'.join(map(str, depths))}", examples, validation, augment)
        self.depths = depths

    def network(self) -> nn.Module:
        return compact_ensemble(self.depths)

    def batch(self, size: int, generator: torch.Generator) -> Batch:
        return crop_batch(self.examples.draw(size, generator), generator, self.strength, self.scars)

    def views(self, drawn: Drawn) -> Batch:
        return fixed_crops(drawn, seed=1)


class FinderTask(_SegmentationTask):
    """The network that finds the heart in the whole image."""

    def __init__(self, examples: Examples, validation: Bank, augment: bool = True) -> None:
        super().__init__("segmentation-finder", examples, validation, augment)

    def network(self) -> nn.Module:
        return finder()

    def batch(self, size: int, generator: torch.Generator) -> Batch:
        drawn = self.examples.draw(size, generator)
        return _equalised(whole_batch(drawn, generator, self.strength, self.scars))

    def views(self, drawn: Drawn) -> Batch:
        return _equalised(whole_views(drawn))


class PaperTask(_SegmentationTask):
    """One of the thesis's U-Nets, on whole images of 256 x 256 pixels."""

    def __init__(self, depth: int, examples: Examples, validation: Bank, augment: bool = True) -> None:
        super().__init__(f"segmentation-paper-{depth}", examples, validation, augment)
        self.depth = depth

    def network(self) -> nn.Module:
        return paper.PaperUNet(self.depth)

    def network_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        return paper.paper_loss(logits, batch.target)

    def batch(self, size: int, generator: torch.Generator) -> Batch:
        drawn = self.examples.draw(size, generator)
        return whole_batch(drawn, generator, self.strength, self.scars, paper.SIZE)

    def views(self, drawn: Drawn) -> Batch:
        return whole_views(drawn, paper.SIZE)


def _equalised(batch: Batch) -> Batch:
    image = part_equalised(batch.image[:, 0], FINDER_EQUALISED)[:, None]
    return Batch(image, batch.target)


def myocardial_dice(answers: Tensor, targets: Tensor) -> Tensor:
    """Dice of the myocardium of label maps (image, row, column) with (image, class, row, column); NaN if empty."""
    found, truth = answers == 1, targets[:, 1] > 0.5
    both = (found & truth).sum(dim=(1, 2))
    total = found.sum(dim=(1, 2)) + truth.sum(dim=(1, 2))
    return torch.where(total > 0, 2.0 * both / total, torch.nan)
