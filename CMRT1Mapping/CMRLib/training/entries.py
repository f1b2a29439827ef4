"""What a finished training leaves: a weights file with its entry, and a place in a manifest."""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from CMRLib.errors import OutputError
from CMRLib.networks.models import ModelEntry, add_to_manifest, write_weights

if TYPE_CHECKING:
    import torch

SIMULATED_ANATOMIES = " simulated anatomies"
# ACDC's and EMIDEC's images are under the first, and so is what is trained on them.
LICENCE_OF_REAL_IMAGES, LICENCE_OF_SIMULATED = "CC-BY-NC-SA-4.0", "Apache-2.0"


@dataclass(frozen=True)
class TrainingData:
    """What a network was trained on.

    Attributes:
        data_sets: names of the sets of real images, as "ACDC".
        simulated: number of simulated anatomies.
        contrasts: of the simulated images, where there are several.
        with_validation: whether the validation patients were trained on too.
        notes: further lines about the training; empty ones are left out.
    """

    data_sets: tuple[str, ...] = ()
    simulated: int = 0
    contrasts: tuple[str, ...] = ()
    with_validation: bool = False
    notes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """As an entry has it, one line a source; the split is by patient (see `CMRLib.training.splits`)."""
        patients = "training and validation" if self.with_validation else "training"
        lines = [f"{name} challenge, {patients} patients (see cmr-train)" for name in self.data_sets]
        if self.simulated:
            contrasts = f": {', '.join(self.contrasts)}" if self.contrasts else ""
            lines.append(f"{self.simulated}{SIMULATED_ANATOMIES}{contrasts}")
        return lines + [note for note in self.notes if note]

    @property
    def licence(self) -> str:
        """SPDX identifier of the licence of weights trained on it."""
        return LICENCE_OF_REAL_IMAGES if self.data_sets else LICENCE_OF_SIMULATED


def contrasts_of(entry: ModelEntry) -> tuple[str, ...]:
    """The simulated contrasts that a model was trained on."""
    for line in entry.training_data:
        _, simulated, contrasts = line.partition(f"{SIMULATED_ANATOMIES}: ")
        if simulated:
            return tuple(contrasts.split(", "))
    return ()


def write_model(
    folder: Path,
    model_id: str,
    tensors: Mapping[str, torch.Tensor],
    *,
    task: str,
    architecture: str,
    input: Mapping[str, Any],
    data: TrainingData,
    accuracy: Mapping[str, Any],
) -> ModelEntry:
    """Write a trained network with its entry as ``folder/<model_id>.safetensors``, dated today.

    Args:
        folder: of the run.
        model_id: of the model.
        tensors: by name.
        task, architecture, input: see `CMRLib.networks.models.ModelEntry`.
        data: what it was trained on, which decides the licence.
        accuracy: what was measured on validation images.

    Raises:
        OutputError: the file cannot be written.
    """
    return write_weights(
        folder / f"{model_id}.safetensors",
        tensors,
        id=model_id,
        task=task,
        architecture=architecture,
        input=dict(input),
        training_data=data.lines(),
        licence=data.licence,
        date=datetime.date.today().isoformat(),
        accuracy=dict(accuracy),
    )


def run_accuracy(folder: Path, measured: Path | None = None) -> dict[str, Any]:
    """How long a run took and what it measured on its validation images, for `write_model`.

    Args:
        folder: of the run.
        measured: folder of another run, whose measures are taken instead where the first trained on its validation
            images: whom a network was trained on says nothing of its accuracy.

    Raises:
        InputError: a run is not finished.
    """
    from CMRLib.training.trainer import read_metrics

    record = read_metrics(folder)
    validation = read_metrics(measured or folder)["validation"]
    return {"steps": record["steps"], "seconds": record["seconds"], "validation": validation}


def install_model(entry: ModelEntry, run: Path, models: Path) -> None:
    """Copy a run's weights file into a folder of models and put it into the manifest there.

    Raises:
        OutputError: the folder cannot be written.
        MissingDependencyError: its manifest is damaged.
    """
    try:
        models.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(run / entry.file, models / entry.file)
    except OSError as error:
        raise OutputError(f"{entry.file} cannot be copied to {models}; check the folder's permissions.") from error
    add_to_manifest(entry, models / "manifest.json")


def record_test(manifest: Path, entry: ModelEntry, measured: Mapping[str, Any]) -> None:
    """Put what was measured of a model on test images into its entry of a manifest.

    Raises:
        OutputError: the manifest cannot be written.
        MissingDependencyError: it is damaged.
    """
    add_to_manifest(replace(entry, accuracy={**entry.accuracy, "test": dict(measured)}), manifest)
