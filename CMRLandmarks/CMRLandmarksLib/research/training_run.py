"""One training of the landmark model: images, first stage, second stage, each resumable, and the weights file.

torch is needed, so import this module inside functions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from CMRLandmarksLib.confidence import FEATURES, ConfidenceModel, fit_confidence
from CMRLandmarksLib.grid import GRID_SIZE, GRID_SPACING_MM
from CMRLandmarksLib.networks import CROP_SIZE, LINE_PX, STAGE1, STAGE2, HeatmapNetwork
from CMRLandmarksLib.prediction import TASK, LandmarkModel, predict_on_grid
from CMRLandmarksLib.research.corruption import corrupted_copies
from CMRLandmarksLib.research.dataset import LandmarkBank, bank_of, labelled_slices, simulated_slices
from CMRLandmarksLib.research.examples import Examples
from CMRLandmarksLib.research.training import Stage1Task, Stage2Task
from CMRLib.errors import InputError
from CMRLib.networks.models import ModelEntry
from CMRLib.simulation.contrasts import CONTRASTS
from CMRLib.training.entries import TrainingData, run_accuracy, write_model
from CMRLib.training.labelled_folders import ACDC, EMIDEC
from CMRLib.training.splits import seeds_of_split
from CMRLib.training.trainer import Task, TrainingOptions, read_average, train

SKIPPED_SEEDS = 100_000  # the first training anatomies are those of other networks
VALIDATION_ANATOMIES = 9
PASSES = 2  # of stage 2
# Shares of the examples by kind, where all kinds are there; simulated images take the rest.
REAL_SHARE = {"acdc": 0.7, "emidec": 0.08}


@dataclass(frozen=True)
class TrainingImages:
    """What a model is trained on.

    Attributes:
        acdc: folder of labelled cine stacks in ACDC's format, or None.
        emidec: folder of labelled LGE stacks in EMIDEC's format, or None; LV centre only.
        simulated: number of simulated anatomies.
        contrasts: of the simulated images; one or a few make a specialist.
        with_validation: whether the validation patients train too, once nothing is left to be chosen with them; what a
            run then measures on them is no accuracy.
    """

    acdc: Path | None = None
    emidec: Path | None = None
    simulated: int = 700
    contrasts: tuple[str, ...] = CONTRASTS
    with_validation: bool = False

    def __post_init__(self) -> None:
        if self.acdc is None and self.emidec is None and self.simulated < 1:
            raise InputError("There is nothing to train on; name a labelled folder or ask for simulated anatomies.")


def training_banks(
    source: TrainingImages, cache: Path | None = None
) -> tuple[LandmarkBank, LandmarkBank, dict[str, float]]:
    """Training images, validation images, and the share of the examples that each real contrast gets.

    Test subjects (see `CMRLib.training.splits`) are left out. ``cache`` is a folder in which simulated images are kept.
    """
    training: list[LandmarkBank] = []
    validation: list[LandmarkBank] = []
    shares: dict[str, float] = {}
    for data_set, folder in ((ACDC, source.acdc), (EMIDEC, source.emidec)):
        if folder is None:
            continue
        training.append(bank_of(labelled_slices(folder, data_set, "training")))
        validation.append(bank_of(labelled_slices(folder, data_set, "validation")))
        if source.with_validation:
            training.append(validation[-1])
        shares[data_set.name] = REAL_SHARE[data_set.name]
    if source.simulated:
        training.append(_simulated_bank(source, cache))
        seeds = seeds_of_split("validation", VALIDATION_ANATOMIES)
        validation.append(bank_of(simulated_slices(seeds, source.contrasts)))
    else:
        total = sum(shares.values())
        shares = {contrast: share / total for contrast, share in shares.items()}
    return LandmarkBank.joined(training), LandmarkBank.joined(validation), shares


def _simulated_bank(source: TrainingImages, cache: Path | None) -> LandmarkBank:
    seeds = seeds_of_split("training", source.simulated, skip=SKIPPED_SEEDS)
    name = "all" if source.contrasts == CONTRASTS else "-".join(source.contrasts)
    path = cache / f"simulated-{source.simulated}-{name}.npz" if cache is not None else None
    return LandmarkBank.load_or_make(path, lambda: bank_of(simulated_slices(seeds, source.contrasts, per_seed=3)))


def train_stage(
    source: TrainingImages,
    output: Path,
    options: TrainingOptions,
    *,
    stage: int,
    augment: bool = True,
    crop_size: int = CROP_SIZE,
    cache: Path | None = None,
    initial: Path | None = None,
    architecture: str = "compact",
    report: Callable[[str], None] = print,
) -> None:
    """Train one stage, in ``output/stage1`` or ``output/stage2``.

    Args:
        source: images.
        output: folder of the run; the same call goes on where a killed one stopped.
        options: limits and rates.
        stage: 1 or 2.
        augment: False leaves out every augmentation, as the thesis's baseline does.
        crop_size: of stage 2.
        cache: folder for simulated images, shared between runs.
        initial: folder of another run, whose averaged weights are where a new one starts.
        architecture: "compact", or "paper" for the thesis's network.
        report: called with a line of text now and then.

    Raises:
        InputError, OutputError, DeviceError: see `CMRLib.training.trainer.train`.
    """
    training, validation, shares = training_banks(source, cache)
    report(f"{len(training)} training and {len(validation)} validation images")
    examples = Examples(training, shares)
    if stage == 1:
        task: Task = Stage1Task(examples, validation, augment, architecture)
    else:
        task = Stage2Task(examples, validation, augment, crop_size, architecture)
    start = read_average(initial / f"stage{stage}") if initial is not None else None
    train(task, output / f"stage{stage}", options, report, start)


@dataclass(frozen=True)
class GridRun:
    """One training of the grid of specialists and configurations.

    Attributes:
        name: what it is trained on: a contrast, or "all".
        folder: of the run, below the grid's.
        source: images.
        augment: with augmentation or without.
        stages: which are trained.
    """

    name: str
    folder: Path
    source: TrainingImages
    augment: bool
    stages: tuple[int, ...]


def grid_runs(simulated: int) -> list[GridRun]:
    """The trainings behind tables 5.2 and 5.3: every specialist and the generalist, in three configurations.

    ``plain`` is one stage without augmentation, ``augmented`` holds both stages with it; its first stage alone is the
    second configuration. All see the same simulated anatomies.
    """
    runs = []
    for name, contrasts in (*((c, (c,)) for c in CONTRASTS), ("all", CONTRASTS)):
        source = TrainingImages(simulated=simulated, contrasts=contrasts)
        runs.append(GridRun(name, Path(name) / "plain", source, False, (1,)))
        runs.append(GridRun(name, Path(name) / "augmented", source, True, (1, 2)))
    return runs


def assemble(
    output: Path,
    model_id: str,
    source: TrainingImages,
    *,
    crop_size: int = CROP_SIZE,
    unseeing: Path | None = None,
    remark: str = "",
    report: Callable[[str], None] = print,
) -> ModelEntry:
    """Put both trained stages and their calibrated confidence into one weights file, ``output/<id>.safetensors``.

    The confidence is fitted on the validation images, half of the copies corrupted (see `corrupted_copies`).

    Args:
        output: folder of the run.
        model_id: of the model.
        source: what the run was trained on.
        crop_size: of stage 2.
        unseeing: folder of the run that this one started from, where this one was trained on the validation patients
            too; its networks give the validation's numbers and the confidence.
        remark: a line about the training.
        report: called with a line of text at the end.

    Raises:
        InputError: a stage is not trained yet.
    """
    tensors, metrics, networks = {}, {}, []
    for stage, shape in ((1, STAGE1), (2, STAGE2)):
        folder = f"stage{stage}"
        measured = (output if unseeing is None else unseeing) / folder
        tensors.update({f"{folder}.{name}": value for name, value in read_average(output / folder).items()})
        metrics[folder] = run_accuracy(output / folder, measured)
        network = HeatmapNetwork(shape)
        # The file holds half precision; calibrate on what it holds.
        average = read_average(measured)
        network.load_state_dict({k: v.half().float() if v.is_floating_point() else v for k, v in average.items()})
        networks.append(network.eval())
    _, validation, _ = training_banks(replace(source, simulated=min(source.simulated, 1)))
    confidence = calibrated(networks[0], networks[1], validation, crop_size)
    before = "validated and calibrated before the validation patients were trained on"
    entry = write_model(
        output,
        model_id,
        tensors,
        task=TASK,
        architecture="compact: two-stage heat maps with offsets",
        input={
            "spacing_mm": GRID_SPACING_MM,
            "size": GRID_SIZE,
            "normalisation": "mean and standard deviation of the non-zero pixels",
            "crop_size": crop_size,
            "line_px": LINE_PX,
            "passes": PASSES,
            "confidence": confidence.to_dict(),
        },
        data=TrainingData(
            tuple(name for name, folder in (("ACDC", source.acdc), ("EMIDEC", source.emidec)) if folder is not None),
            source.simulated,
            source.contrasts,
            source.with_validation,
            (before if unseeing is not None else "", remark),
        ),
        accuracy=metrics,
    )
    report(f"{output / entry.file}: {entry.bytes / 2**20:.1f} MB, sha256 {entry.sha256}")
    return entry


def calibrated(stage1: HeatmapNetwork, stage2: HeatmapNetwork, bank: LandmarkBank, crop_size: int) -> ConfidenceModel:
    """The confidence model of two networks, fitted on a bank's images and on corrupted copies of them."""
    placeholder = ConfidenceModel(
        np.zeros(len(FEATURES)), np.ones(len(FEATURES)), np.zeros((3, len(FEATURES) + 1)), 0.5
    )
    entry = ModelEntry("calibration", TASK, "", "", "", 0, {}, (), "", "")
    model = LandmarkModel(stage1, stage2, placeholder, crop_size, LINE_PX, PASSES, torch.device("cpu"), entry)
    features, errors = [], []
    for images, points in ((bank.images / np.float32(255.0), bank.points), corrupted_copies(bank, seed=1)):
        # One image a call: the images of a bank are no stack.
        for image, truth in zip(images, points, strict=True):
            raw = predict_on_grid(image[None].astype(np.float32), model)
            features.append(raw.features[0])
            errors.append(np.linalg.norm(raw.points[0] - truth, axis=1))
    contrasts = np.array(bank.contrasts)
    shown = set(contrasts[np.isfinite(bank.points[:, 1]).all(axis=1)]) - set(CONTRASTS)
    usual = np.concatenate([np.isin(contrasts, list(shown)), np.zeros(len(bank), dtype=bool)])
    return fit_confidence(np.stack(features), np.stack(errors), usual)
