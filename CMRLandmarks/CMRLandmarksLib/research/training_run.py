"""One training of the landmark model: images, first stage, second stage, each resumable, and the weights file.

torch is needed, so import this module inside functions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from CMRLandmarksLib.grid import GRID_SIZE, GRID_SPACING_MM
from CMRLandmarksLib.model import TASK
from CMRLandmarksLib.networks import CROP_SIZE, LINE_PX, STAGE1, STAGE2, HeatmapNetwork, NetworkShape
from CMRLandmarksLib.research.calibration import Observations, calibrated, cross_checked, observed, uncalibrated
from CMRLandmarksLib.research.dataset import LandmarkBank, bank_of, labelled_slices, simulated_slices
from CMRLandmarksLib.research.examples import Examples
from CMRLandmarksLib.research.real_data import insertion_marks
from CMRLandmarksLib.research.training import Stage1Task, Stage2Task
from CMRLib.errors import InputError
from CMRLib.networks.inference import with_weights
from CMRLib.networks.models import ModelEntry, Weights, load_weights, write_weights
from CMRLib.simulation.contrasts import CONTRASTS
from CMRLib.training.entries import TrainingData, run_accuracy, write_model
from CMRLib.training.labelled_folders import ACDC, EMIDEC, DataSet
from CMRLib.training.splits import seeds_of_split, split_of
from CMRLib.training.trainer import Task, TrainingOptions, read_average, train

SKIPPED_SEEDS = 100_000  # the first training anatomies are those of other networks
VALIDATION_ANATOMIES = 9
PASSES = 2  # of stage 2
# Shares of the examples by kind, where all kinds are there; simulated images take the rest.
REAL_SHARE = {"acdc": 0.5, "emidec": 0.35}


@dataclass(frozen=True)
class TrainingImages:
    """What a model is trained on.

    Attributes:
        acdc: folder of labelled cine stacks in ACDC's format, or None.
        emidec: folder of labelled LGE stacks in EMIDEC's format, or None; their insertion points are those marked by
            eye (see `CMRLandmarksLib.research.real_data`).
        simulated: number of simulated anatomies.
        contrasts: of the simulated images; one or a few make a specialist.
        with_validation: whether ACDC's validation patients train too, once nothing is left to be chosen with them; what
            a run then measures on them is no accuracy. EMIDEC's always judge: nobody else has marked insertion points.
    """

    acdc: Path | None = None
    emidec: Path | None = None
    simulated: int = 700
    contrasts: tuple[str, ...] = CONTRASTS
    with_validation: bool = False

    def __post_init__(self) -> None:
        if self.acdc is None and self.emidec is None and self.simulated < 1:
            raise InputError("There is nothing to train on; name a labelled folder or ask for simulated anatomies.")

    def real(self) -> list[tuple[DataSet, Path]]:
        """The data sets of real images and their folders."""
        folders = ((ACDC, self.acdc), (EMIDEC, self.emidec))
        return [(data_set, folder) for data_set, folder in folders if folder is not None]


def training_banks(
    source: TrainingImages, cache: Path | None = None
) -> tuple[LandmarkBank, LandmarkBank, dict[str, float]]:
    """Training images, validation images, and the share of the examples that each real contrast gets.

    Test subjects (see `CMRLib.training.splits`) are left out. ``cache`` is a folder in which simulated images are kept.
    """
    training: list[LandmarkBank] = []
    validation: list[LandmarkBank] = []
    shares: dict[str, float] = {}
    for data_set, folder in source.real():
        training.append(bank_of(labelled_slices(folder, data_set, "training")))
        validation.append(bank_of(labelled_slices(folder, data_set, "validation")))
        if source.with_validation and data_set is ACDC:
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

    The confidence is fitted on the validation images and on damaged copies of them.

    Args:
        output: folder of the run.
        model_id: of the model.
        source: what the run was trained on.
        crop_size: of stage 2.
        unseeing: folder of a run before this one, where this one was trained on ACDC's validation patients too; its
            networks give the validation's numbers, and the confidence on those patients.
        remark: a line about the training.
        report: called with a line of text at the end.

    Raises:
        InputError: a stage is not trained yet.
    """
    judged = output if unseeing is None else unseeing
    tensors, metrics = {}, {}
    for stage in (1, 2):
        folder = f"stage{stage}"
        tensors.update({f"{folder}.{name}": value for name, value in read_average(output / folder).items()})
        metrics[folder] = run_accuracy(output / folder, judged / folder)
    observations = _observations(_networks(output), _networks(judged), source, crop_size)
    notes = []
    if source.emidec is not None:
        marks = [case for case, _ in insertion_marks() if split_of(case) == "training"]
        patients = f"{len(set(marks))} EMIDEC training patients"
        notes.append(f"insertion points marked by eye on {len(marks)} slices of {patients}")
    if unseeing is not None:
        notes.append("validated and calibrated with a model that the validation patients had not trained")
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
            "confidence": calibrated(observations).to_dict(),
        },
        data=TrainingData(
            tuple(name for name, folder in (("ACDC", source.acdc), ("EMIDEC", source.emidec)) if folder is not None),
            source.simulated,
            source.contrasts,
            source.with_validation,
            (*notes, remark),
        ),
        accuracy={**metrics, "flags": cross_checked(observations)},
    )
    report(f"{output / entry.file}: {entry.bytes / 2**20:.1f} MB, sha256 {entry.sha256}")
    return entry


def recalibrate(
    model: str | Path,
    output: Path,
    source: TrainingImages,
    *,
    unseeing: Path | None = None,
    report: Callable[[str], None] = print,
) -> ModelEntry:
    """Fit the confidence of a trained model anew, and write it with the same networks, ``output/<id>.safetensors``.

    Args:
        model: an id or a weights file.
        output: a folder.
        source: where the validation images are.
        unseeing: weights of a model that was not trained on ACDC's validation patients, where this one was.
        report: called with a line of text at the end.

    Raises:
        MissingDependencyError, InputError: see `CMRLib.networks.models.load_weights`.
        OutputError: the file cannot be written.
    """
    weights = load_weights(model, TASK)
    entry = weights.entry
    own = _networks_of(weights)
    judged = own if unseeing is None else _networks_of(load_weights(unseeing, TASK))
    observations = _observations(own, judged, source, int(entry.input["crop_size"]))
    marks = [case for case, _ in insertion_marks() if split_of(case) == "validation"]
    note = (
        f"confidence calibrated on validation patients, with insertion points marked by eye on {len(marks)} slices of "
        f"{len(set(marks))} of EMIDEC"
    )
    made = write_weights(
        output / f"{entry.id}.safetensors",
        weights.tensors,
        id=entry.id,
        task=entry.task,
        architecture=entry.architecture,
        input={**entry.input, "confidence": calibrated(observations).to_dict()},
        training_data=[*(line for line in entry.training_data if line != note), note],
        licence=entry.licence,
        date=entry.date,
        accuracy={**entry.accuracy, "flags": cross_checked(observations)},
    )
    report(f"{output / made.file}: {made.bytes / 2**20:.1f} MB, sha256 {made.sha256}")
    return made


Networks = tuple[HeatmapNetwork, HeatmapNetwork]


def _observations(own: Networks, judged: Networks, source: TrainingImages, crop_size: int) -> Observations:
    """Of the validation images: real ones as the networks ``judged`` see them, simulated ones as ``own`` do."""
    simulated = frozenset(CONTRASTS)
    parts = []
    for data_set, folder in source.real():
        model = uncalibrated(*judged, crop_size, PASSES)
        parts.append(observed(list(labelled_slices(folder, data_set, "validation")), model, simulated))
    if source.simulated:
        model = uncalibrated(*own, crop_size, PASSES)
        seeds = seeds_of_split("validation", VALIDATION_ANATOMIES)
        parts.append(observed(list(simulated_slices(seeds, source.contrasts)), model, simulated))
    return Observations.joined(parts)


def _networks_of(weights: Weights) -> Networks:
    cpu = torch.device("cpu")
    first = with_weights(HeatmapNetwork(STAGE1), weights.part("stage1"), weights.entry, cpu)
    return first, with_weights(HeatmapNetwork(STAGE2), weights.part("stage2"), weights.entry, cpu)


def _networks(folder: Path) -> Networks:
    """The trained networks of a run with the half precision that the weights file holds."""

    def network(stage: int, shape: NetworkShape) -> HeatmapNetwork:
        result = HeatmapNetwork(shape)
        average = read_average(folder / f"stage{stage}")
        result.load_state_dict({k: v.half().float() if v.is_floating_point() else v for k, v in average.items()})
        return result.eval()

    return network(1, STAGE1), network(2, STAGE2)
