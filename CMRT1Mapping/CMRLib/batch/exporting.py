"""The results of a batch as other systems read them: what every step offers, gathered and written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from CMRLib.batch.plan import Plan
from CMRLib.batch.step import StepResult
from CMRLib.export.dicom.items import Exported
from CMRLib.export.dicom.study import write_study
from CMRLib.study.series import Study

DICOM = "dicom"  # key of the files in results.json, which is there where DICOM was asked for


def write_dicom(
    study: Study, plan: Plan, made: Mapping[str, Sequence[StepResult]], folder: Path, results: dict[str, Any]
) -> None:
    """Write what the steps of a study offer as DICOM, and enter it into the results.

    Raises:
        MissingDependencyError: highdicom is missing.
        OutputError: a file cannot be written.
    """
    settings = {name: json.dumps(value, sort_keys=True) for name, value in plan.settings().items()}
    offered = [
        Exported(result.key, result.series, result.geometry, settings[planned.step.name], planned.step.exports(result))
        for planned in plan.steps
        for result in made.get(planned.step.name, ())
    ]
    written = write_study(study, offered, folder)
    results[DICOM] = written.entries
    results["errors"] += written.errors
    results["notes"] += written.notes


def is_written(results: Mapping[str, Any], folder: Path) -> bool:
    """Whether the DICOM files that the results name are there."""
    return DICOM in results and all((folder / entry["file"]).is_file() for entry in results[DICOM])
