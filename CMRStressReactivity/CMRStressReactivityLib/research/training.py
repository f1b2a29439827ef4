"""What the trainer needs to train the registration of stress to rest: random pairs, losses and validation.

Two losses. "images" is the thesis's (appendix A.2): the mean squared difference of the registered stress map from the
rest map, T1 from 0 to 1, and 0.02 times the mean squared gradient of the displacement in pixels. It rewards whatever
makes the maps equal, true changes included. "known" takes what the simulation knows: the distance from the true
displacement, most in and around the heart, and the squared difference of the registered stress map from the stress map
as it would be without motion and errors, at the true response, which makes borders count where a displacement alone
would not.

torch is needed, so import this module inside functions.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from CMRLib.errors import InputError
from CMRLib.networks.models import ModelEntry
from CMRLib.networks.warp import warp
from CMRLib.training.entries import TrainingData, run_accuracy, write_model
from CMRLib.training.splits import seeds_of_split
from CMRLib.training.trainer import TrainingOptions, read_average, train
from CMRStressReactivityLib.networks import NETWORKS, PATCH, in_pixels, integrated
from CMRStressReactivityLib.registration import SIZE, SPACING_MM, TASK, estimate, scaled_t1
from CMRStressReactivityLib.research.pairs import PairBatch, random_pairs
from CMRStressReactivityLib.research.paper import PaperSwinRegistration
from CMRStressReactivityLib.research.scenes import FIRST_SEED, SceneBank, make_scenes

LOSSES = ("known", "images")
SMOOTHNESS = 0.02  # thesis, A.2
LONGEST_T1_MS = 2500.0  # that becomes 1 in the thesis's loss
GROWN = 5  # blocks of PATCH pixels, of the square by which the heart is grown to hold what borders on it
COMPARED = slice(32, SIZE - 32)  # rows and columns in which images are compared; they hold the heart
IMAGE_WEIGHT = 2.0
VALIDATION_ANATOMIES, VALIDATION_STACKS = 30, 8
VALIDATION_SEED, VALIDATION_BATCHES, VALIDATION_PAIRS = 5, 6, 8
VALIDATION_LOOKS = 2


def as_seen(pairs: PairBatch) -> Tensor:
    """Rest and stress map as the network sees them, (pair, 2, row, column)."""
    return scaled_t1(torch.cat([pairs.rest, pairs.stress], dim=1))


def smoothness(displacement: Tensor) -> Tensor:
    """Mean squared gradient of a displacement (pair, 2, row, column), rows plus columns (thesis, A.2)."""
    return sum(
        (displacement.diff(dim=axis).square().sum(dim=1).mean() for axis in (2, 3)), start=displacement.new_zeros(())
    )


def image_loss(displacement: Tensor, pairs: PairBatch) -> tuple[Tensor, dict[str, float]]:
    """The thesis's loss, see the module's text.

    Args:
        displacement: (pair, 2, row, column), pixels.
        pairs: what it belongs to.
    """
    rest, stress = ((t1 / LONGEST_T1_MS).clamp(0.0, 1.0) for t1 in (pairs.rest, pairs.stress))
    difference = (warp(stress, displacement) - rest).square().mean()
    smooth = smoothness(displacement)
    return difference + SMOOTHNESS * smooth, {"mse": float(difference.detach()), "smooth": float(smooth.detach())}


def known_loss(displacement: Tensor, pairs: PairBatch) -> tuple[Tensor, dict[str, float]]:
    """The loss that knows the motion and the response, see the module's text.

    Args:
        displacement: (pair, 2, row, column) on blocks of PATCH pixels, in blocks.
        pairs: what it belongs to.
    """
    truth = functional.avg_pool2d(pairs.displacement, PATCH)
    near = functional.max_pool2d(functional.avg_pool2d(pairs.heart, PATCH), GROWN, 1, GROWN // 2)
    body = functional.avg_pool2d((pairs.clean > 0).float(), PATCH)
    weight = 0.02 + 0.15 * body + near
    distance = ((PATCH * displacement - truth).square().sum(dim=1, keepdim=True) + 0.01).sqrt()
    far = (distance * weight).sum() / weight.sum()
    fine = in_pixels(displacement)[..., COMPARED, COMPARED]
    corner = fine.new_full((2, 1, 1), float(COMPARED.start))
    moved = warp(scaled_t1(pairs.stress), fine + corner)
    wanted = scaled_t1(pairs.unmoved)[..., COMPARED, COMPARED]
    inside = functional.interpolate(near, scale_factor=PATCH, mode="nearest")[..., COMPARED, COMPARED]
    difference = ((moved - wanted).square() * inside).sum() / inside.sum()
    smooth = smoothness(PATCH * displacement - truth)
    terms = {"far_px": float(far.detach()), "mse": float(difference.detach()), "smooth": float(smooth.detach())}
    return far + IMAGE_WEIGHT * difference + SMOOTHNESS * smooth, terms


def overlap(one: Tensor, other: Tensor) -> Tensor:
    """Dice of two masks (pair, 1, row, column), (pair,)."""
    both = (one & other).sum(dim=(1, 2, 3))
    return 2.0 * both / (one.sum(dim=(1, 2, 3)) + other.sum(dim=(1, 2, 3))).clamp_min(1)


class StressTask:
    """Training of a compact network.

    Args:
        training, validation: scenes.
        backbone: key of `CMRStressReactivityLib.networks.NETWORKS`.
        loss: one of LOSSES.
    """

    def __init__(self, training: SceneBank, validation: SceneBank, backbone: str = "swin", loss: str = "known") -> None:
        self.name = f"stress-{backbone}-{loss}"
        self._build, self._loss = NETWORKS[backbone], loss
        self._bank = training
        generator = torch.Generator().manual_seed(VALIDATION_SEED)
        self._validation = [
            random_pairs(validation, VALIDATION_PAIRS, generator, varied=False) for _ in range(VALIDATION_BATCHES)
        ]

    def network(self) -> nn.Module:
        """A new network."""
        return self._build()

    def batch(self, size: int, generator: torch.Generator) -> PairBatch:
        """Random pairs."""
        return random_pairs(self._bank, size, generator)

    def loss(self, network: nn.Module, batch: PairBatch) -> tuple[Tensor, dict[str, float]]:
        """See `CMRLib.training.trainer.Task.loss`."""
        displacement = integrated(network(as_seen(batch)))
        return image_loss(in_pixels(displacement), batch) if self._loss == "images" else known_loss(displacement, batch)

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Displacement error in the myocardium in pixels, Dice of the myocardium, before and after two looks."""
        device = next(network.parameters()).device
        measured: list[Tensor] = []
        for pairs in self._validation:
            found = in_pixels(estimate(as_seen(pairs), network, device, VALIDATION_LOOKS))
            inside = pairs.myocardium > 0.5
            moved = pairs.moved
            rows = []
            for displacement in (torch.zeros_like(found), found):
                distance = (displacement - pairs.displacement).norm(dim=1, keepdim=True)
                error = (distance * inside).sum(dim=(1, 2, 3)) / inside.sum(dim=(1, 2, 3)).clamp_min(1)
                rows += [error, overlap(inside, warp(moved, displacement) > 0.5)]
            measured.append(torch.stack(rows))
        before_px, before_dice, after_px, after_dice = torch.cat(measured, dim=1).mean(dim=1).tolist()
        return {"score": after_px, "dice": after_dice, "before_px": before_px, "before_dice": before_dice}


class PaperStressTask(StressTask):
    """Training of the thesis's network with the thesis's loss."""

    def __init__(self, training: SceneBank, validation: SceneBank) -> None:
        super().__init__(training, validation, loss="images")
        self.name = "stress-paper"

    def network(self) -> nn.Module:
        """A new network."""
        return PaperSwinRegistration()

    def loss(self, network: nn.Module, batch: PairBatch) -> tuple[Tensor, dict[str, float]]:
        """See `CMRLib.training.trainer.Task.loss`."""
        return image_loss(network(as_seen(batch)), batch)

    def validate(self, network: nn.Module) -> dict[str, float]:
        """The loss on pairs that are not trained on."""
        device = next(network.parameters()).device
        losses = [image_loss(network(as_seen(pairs).to(device)).cpu(), pairs)[0] for pairs in self._validation]
        return {"score": float(torch.stack(losses).mean())}


def scene_banks(acdc: Path | None, simulated: int, cache: Path | None = None) -> tuple[SceneBank, SceneBank]:
    """Scenes to train and to validate on; test patients and test seeds are in neither.

    Args:
        acdc: folder of labelled cine stacks in ACDC's format, or None.
        simulated: number of simulated bodies.
        cache: folder that keeps the banks between runs.
    """

    def bank(split: str, count: int, skip: int, stacks: int | None) -> SceneBank:
        path = cache / f"stress-{split}-{count}{'-acdc' if acdc else ''}.npz" if cache else None
        seeds = seeds_of_split(split, count, skip=skip)
        return SceneBank.load_or_make(path, lambda: make_scenes(seeds, acdc, split, stacks))

    training = bank("training", simulated, FIRST_SEED, None)
    return training, bank("validation", VALIDATION_ANATOMIES, 0, VALIDATION_STACKS)


def train_stress(
    banks: tuple[SceneBank, SceneBank],
    output: Path,
    options: TrainingOptions,
    *,
    architecture: str = "compact",
    backbone: str = "swin",
    loss: str = "known",
    initial: Path | None = None,
    report: Callable[[str], None] = print,
) -> None:
    """Train in ``output``, or go on with what it holds.

    Args:
        banks: scenes to train and to validate on.
        output: folder of the run.
        options: limits and rates.
        architecture: "compact" or "paper", which has its own network and loss.
        backbone, loss: see `StressTask`.
        initial: folder of another run, whose averaged weights are where a new one starts.
        report: called with a line of text now and then.

    Raises:
        InputError, OutputError, DeviceError: see `CMRLib.training.trainer.train`.
    """
    if architecture == "paper":
        task: StressTask = PaperStressTask(*banks)
    elif architecture == "compact" and backbone in NETWORKS and loss in LOSSES:
        task = StressTask(*banks, backbone=backbone, loss=loss)
    else:
        raise InputError(f'There is no network "{architecture}" with "{backbone}" and "{loss}"; see --help.')
    train(task, output, options, report, read_average(initial) if initial is not None else None)


def assemble(
    output: Path, model_id: str, data: TrainingData, backbone: str = "swin", loss: str = "known"
) -> ModelEntry:
    """Put a finished compact run into one weights file, ``output/<id>.safetensors``.

    Raises:
        InputError: the run is not finished.
    """
    return write_model(
        output,
        model_id,
        read_average(output),
        task=TASK,
        architecture=f"stress-{backbone}-{loss}",
        input={
            "network": backbone,
            "spacing_mm": SPACING_MM,
            "size": [SIZE, SIZE],
            "normalisation": "T1 in ms around 1200 in steps of 500",
        },
        data=data,
        accuracy=run_accuracy(output),
    )
