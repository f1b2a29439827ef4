"""The files of one processed study (``cmr-results/1``) and the table of a run."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from CMRLib.batch.registry import STEP_MODULES, available_steps, load_step
from CMRLib.files.atomic import write_text
from CMRLib.provenance import software_versions
from CMRLib.study.series import STACK

if TYPE_CHECKING:
    from CMRLib.study.series import Series

RESULTS_SCHEMA = "cmr-results/1"
RESULTS_FILE = "results.json"
SUMMARY_FILE = "summary.csv"
# Columns of the summary before and after those of the steps.
FIRST_COLUMNS = ("id", "status", "step", "role", "state", "slice", "frame")
LAST_COLUMNS = ("seconds", "message")


def new_results(study_id: str) -> dict[str, Any]:
    """Results of a study before anything was computed, with every key of the schema."""
    return {
        "schema": RESULTS_SCHEMA,
        "id": study_id,
        "status": "failed",
        "software": software_versions(),
        "models": {},
        "device": "",
        **{step: [] for step in STEP_MODULES},
        "warnings": [],
        "errors": [],
        "notes": [],
        "made_from": {},
    }


def series_entry(series: Series, index: int | None = None) -> dict[str, Any]:
    """What the entry of every result says of the series that it was made from.

    Args:
        series: the series.
        index: number of the slice in its file, for the result of one slice of a stack.
    """
    if series.slice == STACK and index is not None:
        place: int | str = index
    else:
        place = int(series.slice) if series.slice.isdigit() else series.slice
    return {"state": series.state, "slice": place}


def write_results(folder: Path, results: Mapping[str, Any]) -> Path:
    """Write ``results.json`` into ``folder``.

    Raises:
        OutputError: the file cannot be written.
    """
    return write_text(folder / RESULTS_FILE, json.dumps(results, indent=1, allow_nan=False) + "\n")


def read_results(folder: Path) -> dict[str, Any] | None:
    """The results in ``folder``, or None when it holds none of this schema."""
    try:
        results = json.loads((folder / RESULTS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return results if isinstance(results, dict) and results.get("schema") == RESULTS_SCHEMA else None


def write_summary(folder: Path, studies: Iterable[Mapping[str, Any]]) -> Path:
    """Write ``summary.csv``: a row per result of the studies, and one per error.

    Raises:
        OutputError: the file cannot be written.
    """
    text = io.StringIO()
    columns = (*FIRST_COLUMNS, *(c for step in available_steps() for c in load_step(step).columns), *LAST_COLUMNS)
    writer = csv.DictWriter(text, columns, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(row for results in studies for row in _summary_rows(results))
    return write_text(folder / SUMMARY_FILE, text.getvalue())


def _summary_rows(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    study = {"id": results["id"], "status": results["status"]}
    rows = [{**study, "step": step, **entry} for step in STEP_MODULES for entry in results[step]]
    return rows + [{**study, "message": message} for message in results["errors"]]
