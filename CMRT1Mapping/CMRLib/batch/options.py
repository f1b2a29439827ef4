"""What a batch is asked for, and what becomes of each input."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from CMRLib.batch.step import StepResult

# Saves the nodes of a study's results, by the step that made them, as a scene file.
SceneSaver = Callable[[Mapping[str, Sequence[StepResult]], Path], None]


@dataclass(frozen=True)
class BatchOptions:
    """What to do with every study.

    Attributes:
        steps: names of the steps to do; None does all that a study allows.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        choices: values of the options that the steps bring, see `CMRLib.batch.step.Argument`.
        inversion_times_ms, scheme: what is stated of inversion-recovery series, see
            `CMRLib.batch.inputs.read_stated`.
        overwrite: process studies again whose results are complete, or that another input has made.
        workers: number of processes.
        scheduler: address of a Dask scheduler whose workers do the work instead; "" for this computer's processes.
        dicom: also write the results as DICOM.
        secret: the key of the pseudonyms under which everything is written, see `CMRLib.export.pseudonyms`; b"" writes
            studies under their own names.
        report: also make the report of every study.
        save_scene: what writes each study's ``scene.mrb``, None for no scene. A function at the top level of a module,
            so that processes can share it. It comes from outside because this layer knows no nodes.
    """

    steps: tuple[str, ...] | None = None
    device: str = "auto"
    choices: Mapping[str, Any] = field(default_factory=dict)
    inversion_times_ms: tuple[float, ...] | None = None
    scheme: str = ""
    overwrite: bool = False
    workers: int = 1
    scheduler: str = ""
    dicom: bool = False
    secret: bytes = field(default=b"", repr=False)
    report: bool = False
    save_scene: SceneSaver | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of one input.

    Attributes:
        results: as in ``results.json``.
        skipped: the results were complete already.
    """

    results: dict[str, Any] = field(repr=False)
    skipped: bool = False

    @property
    def ok(self) -> bool:
        """Whether every result that was asked for is there."""
        return bool(self.results["status"] == "ok")
