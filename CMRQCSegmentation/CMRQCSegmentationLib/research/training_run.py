"""One training of the segmentation: images, networks, each resumable, and the weights file.

torch is needed, so import this module inside functions.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from CMRLib.errors import InputError
from CMRLib.networks.models import ModelEntry
from CMRLib.training.entries import TrainingData, run_accuracy, write_model
from CMRLib.training.trainer import METRICS, Task, TrainingOptions, read_average, train
from CMRQCSegmentationLib.networks import CROP_RADIUS_PX, CROP_SIZE, DEPTHS, FINDER_DEPTH, FINDER_EQUALISED, WHOLE_SIZE
from CMRQCSegmentationLib.prediction import QUANTILES, TASK
from CMRQCSegmentationLib.research.data import (
    FINDER_SHARES,
    FINDER_WEIGHTS,
    SHARES,
    TrainingImages,
    training_banks,
    validation_bank,
)
from CMRQCSegmentationLib.research.examples import Examples
from CMRQCSegmentationLib.research.training import EnsembleTask, FinderTask, PaperTask

FINDER = "finder"
FINDER_TURNS, TURNS, PASSES = (
    8,
    4,
    3,
)  # how the shipped model looks at a crop, see `CMRQCSegmentationLib.prediction.SegmentationModel`


def part_name(depths: tuple[int, ...]) -> str:
    """Folder of the U-Nets of these depths, which are trained together."""
    return "unets-" + "-".join(map(str, depths))


def train_part(
    source: TrainingImages,
    output: Path,
    options: TrainingOptions,
    *,
    part: str,
    depths: tuple[int, ...] = DEPTHS,
    augment: bool = True,
    architecture: str = "compact",
    cache: Path | None = None,
    initial: Path | None = None,
    report: Callable[[str], None] = print,
) -> None:
    """Train the finder, or U-Nets of some depths together, so that they share the work of making examples.

    Args:
        source: images.
        output: folder of the run; the same call goes on where a killed one stopped.
        options: limits and rates.
        part: "finder" or "unets".
        depths: of the U-Nets.
        augment: False leaves out every change of appearance.
        architecture: "compact", or "paper" for one of the thesis's U-Nets.
        cache: folder for simulated images, shared between runs.
        initial: folder of the training of one U-Net, at least as deep, whose finer levels are where these start.
        report: called with a line of text now and then.

    Raises:
        InputError: the parts of the paper's model are trained one at a time, and it has no finder.
        OutputError, DeviceError: see `CMRLib.training.trainer.train`.
    """
    banks = training_banks(source, cache)
    validation = validation_bank(source, cache)
    report(", ".join(f"{len(bank)} {name}" for name, bank in banks.items()) + f", {len(validation)} for validation")
    examples = Examples(banks, FINDER_SHARES, FINDER_WEIGHTS) if part == FINDER else Examples(banks, SHARES)
    task: Task
    folder = output / (FINDER if part == FINDER else part_name(depths))
    if architecture == "paper":
        if part == FINDER or len(depths) != 1:
            raise InputError("The thesis's U-Nets are trained one at a time; name one depth.")
        task = PaperTask(depths[0], examples, validation, augment)
    elif part == FINDER:
        task = FinderTask(examples, validation, augment)
    else:
        task = EnsembleTask(examples, validation, augment, depths)
    train(task, folder, options, report, None if initial is None else _first_weights(initial, part, depths))


def _first_weights(initial: Path, part: str, depths: tuple[int, ...]) -> dict[str, Tensor]:
    """Weights to start a part with, of a U-Net that is at least as deep."""
    name, _, number = initial.name.rpartition("-")
    if name != "unets" or not number.isdigit() or int(number) < (FINDER_DEPTH if part == FINDER else max(depths)):
        raise InputError(f"{initial} is not the training of one U-Net that is deep enough; name a folder unets-6.")
    donor = read_average(initial)
    tensors = {key.removeprefix("0."): value for key, value in donor.items()}
    if part == FINDER:
        return shallower(tensors, int(number), FINDER_DEPTH)
    return {
        f"{i}.{key}": value
        for i, depth in enumerate(depths)
        for key, value in shallower(tensors, int(number), depth).items()
    }


def shallower(tensors: dict[str, Tensor], depth: int, wanted: int) -> dict[str, Tensor]:
    """The finer levels of a U-Net's weights, as those of a shallower one; its decoder is numbered from the bottom."""
    result = {}
    for key, value in tensors.items():
        kind, _, rest = key.partition(".")
        number, _, name = rest.partition(".")
        if kind == "down" and int(number) <= wanted:
            result[key] = value
        elif kind in ("narrow", "up") and int(number) >= depth - wanted:
            result[f"{kind}.{int(number) - depth + wanted}.{name}"] = value
        elif kind == "head":
            result[key] = value
    return result


def trained_parts(output: Path) -> tuple[dict[str, Tensor], tuple[int, ...], dict[str, Any]]:
    """The networks that a run's folder holds: tensors by name, depths of the U-Nets, and what each part measured.

    Raises:
        InputError: the finder or every U-Net is missing, or a depth is there twice.
    """
    tensors: dict[str, Tensor] = {}
    measured: dict[str, Any] = {}
    depths: list[int] = []
    folders = sorted(path for path in output.glob("unets-*") if path.is_dir())
    for folder in [output / FINDER, *folders]:
        values = read_average(folder)
        if folder.name == FINDER:
            tensors.update({f"{FINDER}.{name}": value for name, value in values.items()})
        else:
            for i, depth in enumerate(int(word) for word in folder.name.split("-")[1:]):
                if depth in depths:
                    raise InputError(f"{output} holds more than one U-Net of depth {depth}; take one away.")
                depths.append(depth)
                start = f"{i}."
                found = {n.removeprefix(start): v for n, v in values.items() if n.startswith(start)}
                tensors.update({f"unet{depth}.{name}": value for name, value in found.items()})
        if (folder / METRICS).is_file():
            measured[folder.name] = run_accuracy(folder)
    if not depths:
        raise InputError(f"{output} holds no trained U-Net; run cmr-train segmentation first.")
    return tensors, tuple(sorted(depths)), measured


def assemble(
    output: Path,
    model_id: str,
    source: TrainingImages,
    *,
    remark: str = "",
    report: Callable[[str], None] = print,
) -> ModelEntry:
    """Write ``output/<id>.safetensors`` from the trained networks, still without a quality model.

    Args:
        output: folder of the run.
        model_id: id of the model.
        source: what it was trained on.
        remark: a line about the training.
        report: called with a line of text at the end.

    Raises:
        InputError: a part is not trained yet.
        OutputError: the file cannot be written.
    """
    tensors, depths, measured = trained_parts(output)
    real = tuple(name for name, folder in (("ACDC", source.acdc), ("EMIDEC", source.emidec)) if folder is not None)
    rendered = "other contrasts rendered from ACDC's labelled hearts, training patients"
    notes = (rendered if source.acdc is not None and source.rendered else "", remark)
    entry = write_model(
        output,
        model_id,
        tensors,
        task=TASK,
        architecture="compact: U-Nets behind a space-to-depth stem, on a crop that another one finds",
        input={
            "size": CROP_SIZE,
            "radius_px": CROP_RADIUS_PX,
            "whole_size": WHOLE_SIZE,
            "normalisation": f"quantiles {QUANTILES[0]} and {QUANTILES[1]} of the view's non-zero pixels to 0 and 1",
            "depths": list(depths),
            "finder_turns": FINDER_TURNS,
            "finder_equalised": FINDER_EQUALISED,
            "turns": TURNS,
            "passes": PASSES,
        },
        data=TrainingData(real, source.simulated, source.contrasts, notes=notes),
        accuracy={"training": measured},
    )
    report(f"{output / entry.file}: {entry.bytes / 2**20:.1f} MB, sha256 {entry.sha256}")
    return entry
