"""What the trainer needs to train MOCOnet: random moved sets, loss and validation.

As in the thesis (2.2.5 and 2.2.7): random smooth displacements with no mean over the frames, quantile normalisation,
and zero padding (where a crop reaches beyond an image). What was changed because it learns faster: AdamW with a
cosine schedule and averaged weights instead of Adam with a falling rate, crops instead of whole images, simulated
signals that are moved before their magnitude is taken instead of measured images, and the loss (see
`CMRT1MappingLib.motion.moconet.motion_loss`).

torch is needed, so import this module inside functions.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from CMRLib.errors import InputError
from CMRLib.networks.models import ModelEntry
from CMRLib.networks.normalise import quantile_normalise
from CMRLib.training.entries import TrainingData, run_accuracy, write_model
from CMRLib.training.splits import seeds_of_split
from CMRLib.training.trainer import TrainingOptions, read_average, train
from CMRT1MappingLib.motion.estimation import TASK, WORKING_SPACING_MM
from CMRT1MappingLib.motion.moconet import COMPACT, Moconet, heart_loss, heart_share, motion_loss
from CMRT1MappingLib.research.irw_bank import IrwBank, make_bank
from CMRT1MappingLib.research.irw_sets import MotionBatch, random_sets
from CMRT1MappingLib.research.moconet_paper import FRAMES, SIZE, PaperMoconet, paper_loss

CROP = 96
# Now and then sets with more of the body, a quarter as many, from which the network learns what is not the heart.
WIDE_CROP, WIDE_SHARE = 192, 0.5
VALIDATION_ANATOMIES = 60
GAIN_SPREAD = 0.25  # a crop's brightest tissue may be darker than that of a whole image, or brighter
VALIDATION_SEED, VALIDATION_BATCHES, VALIDATION_SETS, WIDE_VALIDATION_BATCHES = 5, 12, 4, 4
EVERY_COUNT = (7, 7, 8, 5, 11, 6, 9, 10)  # of frames; seven, as ShMOLLI has, twice


class MoconetTask:
    """Training of the compact network on crops at its working spacing."""

    name = "moconet-compact"

    def __init__(self, training: IrwBank, validation: IrwBank) -> None:
        self._bank = training
        generator = torch.Generator().manual_seed(VALIDATION_SEED)
        self._validation = [
            random_sets(
                validation,
                VALIDATION_SETS,
                generator,
                frames=EVERY_COUNT[n % len(EVERY_COUNT)],
                size=CROP,
                spacing_mm=WORKING_SPACING_MM,
            )
            for n in range(VALIDATION_BATCHES)
        ]
        self._wide_validation = [
            random_sets(validation, VALIDATION_SETS, generator, frames=7, size=WIDE_CROP, spacing_mm=WORKING_SPACING_MM)
            for _ in range(WIDE_VALIDATION_BATCHES)
        ]

    def network(self) -> nn.Module:
        """A new network."""
        return Moconet(COMPACT)

    def batch(self, size: int, generator: torch.Generator) -> MotionBatch:
        """Sets of equally many frames, which are drawn for each batch; seven most often."""
        wide = float(torch.rand(1, generator=generator)) < WIDE_SHARE
        count, crop = (max(1, size // 4), WIDE_CROP) if wide else (size, CROP)
        return self._sets(count, crop, generator)

    def _sets(self, count: int, crop: int, generator: torch.Generator) -> MotionBatch:
        frames = EVERY_COUNT[int(torch.randint(len(EVERY_COUNT), (1,), generator=generator))]
        sets = random_sets(self._bank, count, generator, frames=frames, size=crop, spacing_mm=WORKING_SPACING_MM)
        gain = (GAIN_SPREAD * torch.randn(count, frames, 1, 1, generator=generator)).exp()
        return sets._replace(images=normalised_sets(sets.images) * gain)

    def loss(self, network: nn.Module, batch: MotionBatch) -> tuple[Tensor, dict[str, float]]:
        """See `CMRLib.training.trainer.Task.loss`."""
        return motion_loss(network(batch.images), batch.displacement, batch.heart, batch.body)

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Displacement error in the heart, pixels at the working spacing, before and after; Dice of the heart found."""
        assert isinstance(network, Moconet)
        device = next(network.parameters()).device
        before: list[float] = []
        after: list[float] = []
        for batch in self._validation:
            output = network(normalised_sets(batch.images).to(device))
            inside = batch.heart[:, None] > 0.5
            count = (inside.sum(dim=(2, 3)) * batch.images.shape[1]).clamp_min(1)
            for errors, found in ((before, torch.zeros(())), (after, output.displacement.cpu())):
                distance = (found - batch.displacement).norm(dim=2)
                means = (distance * inside).sum(dim=(1, 2, 3)) / count[:, 0]
                errors += means[batch.heart.flatten(1).any(dim=1)].tolist()
        error = torch.tensor(after)
        both, sizes = 0.0, 0.0
        for batch in self._wide_validation:
            *_, logits = network.coarse(normalised_sets(batch.images).to(device))
            found = logits.cpu() > 0.0
            seen = heart_share(batch.heart, found) > 0.5
            both += float((found & seen).sum())
            sizes += float(found.sum() + seen.sum())
        return {
            "heart_dice": 2.0 * both / max(sizes, 1.0),
            "score": float(error.mean()),
            "worst_px": float(error.max()),
            "median_px": float(error.median()),
            "before_px": float(torch.tensor(before).mean()),
        }


class HeartTask(MoconetTask):
    """Training of the part of the compact network that finds the heart, and of nothing else, on views of the body."""

    def batch(self, size: int, generator: torch.Generator) -> MotionBatch:
        """As the other task's, but each a wide one."""
        return self._sets(max(1, size // 4), WIDE_CROP, generator)

    def loss(self, network: nn.Module, batch: MotionBatch) -> tuple[Tensor, dict[str, float]]:
        """Cross-entropy of the heart's mask."""
        assert isinstance(network, Moconet)
        for part in (network.encoder, network.context, network.estimators):
            part.eval().requires_grad_(False)
        *_, heart = network.coarse(batch.images)
        loss = heart_loss(heart, batch.heart)
        return loss, {"mask": float(loss.detach())}


class PaperMoconetTask(MoconetTask):
    """Training of the thesis's network on whole images of seven frames."""

    name = "moconet-paper"

    def network(self) -> nn.Module:
        """A new network."""
        return PaperMoconet()

    def batch(self, size: int, generator: torch.Generator) -> MotionBatch:
        """Sets of seven frames."""
        sets = random_sets(self._bank, size, generator, frames=FRAMES, size=SIZE, spacing_mm=WORKING_SPACING_MM)
        return sets._replace(images=normalised_sets(sets.images))

    def loss(self, network: nn.Module, batch: MotionBatch) -> tuple[Tensor, dict[str, float]]:
        """See `CMRLib.training.trainer.Task.loss`."""
        _, scales = network(batch.images)
        loss = paper_loss(scales, batch.displacement)
        return loss, {"loss": float(loss.detach())}

    def validate(self, network: nn.Module) -> dict[str, float]:
        """The loss on four sets that are not trained on."""
        generator = torch.Generator().manual_seed(VALIDATION_SEED)
        batch = self.batch(VALIDATION_SETS, generator)
        _, scales = network(batch.images.to(next(network.parameters()).device))
        return {"score": float(paper_loss(tuple(s.cpu() for s in scales), batch.displacement))}


def normalised_sets(images: Tensor) -> Tensor:
    """Every frame of (set, frame, row, column) after `CMRLib.networks.normalise.quantile_normalise`."""
    return quantile_normalise(images.flatten(0, 1)).unflatten(0, images.shape[:2])


def motion_banks(acdc: Path | None, simulated: int, cache: Path | None = None) -> tuple[IrwBank, IrwBank]:
    """Anatomies to train and to validate on; test patients and test seeds are in neither.

    Args:
        acdc: folder of labelled cine stacks in ACDC's format, or None.
        simulated: number of simulated anatomies.
        cache: folder that keeps the banks between runs.
    """

    def bank(split: str, count: int) -> IrwBank:
        path = cache / f"irw-{split}-{count}{'-acdc' if acdc else ''}.npz" if cache else None
        return IrwBank.load_or_make(path, lambda: make_bank(seeds_of_split(split, count), acdc, split))

    return bank("training", simulated), bank("validation", VALIDATION_ANATOMIES)


def train_moconet(
    training: IrwBank,
    validation: IrwBank,
    output: Path,
    options: TrainingOptions,
    *,
    architecture: str = "compact",
    heart_only: bool = False,
    initial: Path | None = None,
    report: Callable[[str], None] = print,
) -> None:
    """Train in ``output``, or go on with what it holds.

    Args:
        training, validation: banks.
        output: folder of the run.
        options: limits and rates.
        architecture: "compact" or "paper".
        heart_only: go on with the part of the compact network that finds the heart, and leave the others as they are.
        initial: folder of another run, whose averaged weights are where a new one starts.
        report: called with a line of text now and then.

    Raises:
        InputError, OutputError, DeviceError: see `CMRLib.training.trainer.train`.
    """
    kinds = {"compact": HeartTask if heart_only else MoconetTask, "paper": PaperMoconetTask}
    if architecture not in kinds:
        raise InputError(f'There is no architecture "{architecture}"; choose compact or paper.')
    if heart_only and (architecture != "compact" or initial is None):
        raise InputError("Only a compact network that another run has trained can go on with finding the heart.")
    start = read_average(initial) if initial is not None else None
    train(kinds[architecture](training, validation), output, options, report, start)


def assemble(output: Path, model_id: str, data: TrainingData) -> ModelEntry:
    """Put a finished compact run into one weights file, ``output/<id>.safetensors``.

    Raises:
        InputError: the run is not finished.
    """
    accuracy = run_accuracy(output)
    return write_model(
        output,
        model_id,
        read_average(output),
        task=TASK,
        architecture=MoconetTask.name,
        input={
            "spacing_mm": WORKING_SPACING_MM,
            "frames": [min(EVERY_COUNT), max(EVERY_COUNT)],
            "normalisation": "quantiles of every frame",
        },
        data=data,
        accuracy=accuracy,
    )
