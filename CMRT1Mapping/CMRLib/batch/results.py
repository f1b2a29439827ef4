"""The files of one processed study (``cmr-results/1``) and the table of a run."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from CMRLib.batch.registry import STEP_MODULES, available_steps, load_step
from CMRLib.errors import OutputError
from CMRLib.files.atomic import write_text
from CMRLib.files.locks import locked
from CMRLib.provenance import software_versions
from CMRLib.study.series import STACK

if TYPE_CHECKING:
    from CMRLib.study.series import Series

RESULTS_SCHEMA = "cmr-results/1"
RESULTS_FILE = "results.json"
SUMMARY_FILE = "summary.csv"
SCENE_FILE = "scene.mrb"
SUMMARY_PATIENCE_S = 60.0  # for other runs that write it, which takes them milliseconds
# Columns of the summary before and after those of the steps.
FIRST_COLUMNS = ("id", "status", "step", "role", "state", "slice", "frame", "series_number", "series_description")
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
    entry: dict[str, Any] = {"state": series.state, "slice": place}
    if series.series_number is not None or series.description:  # what comes from DICOM
        entry |= {"series_number": series.series_number, "series_description": series.description}
    return entry


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
    if not isinstance(results, dict) or results.get("schema") != RESULTS_SCHEMA:
        return None
    return {**{step: [] for step in STEP_MODULES}, **results}  # of versions that had fewer steps


def write_summary(folder: Path, studies: Sequence[Mapping[str, Any]]) -> Path:
    """Write ``summary.csv``: a row per result of the studies, and one per error; rows of other runs are kept.

    Several runs may do so at once.

    Args:
        folder: of all results.
        studies: results of this run's studies; theirs are the first rows.

    Raises:
        OutputError: the file cannot be written.
    """
    path = folder / SUMMARY_FILE
    try:
        with locked(folder / f".lock-{SUMMARY_FILE}", SUMMARY_PATIENCE_S):
            rows = [row for results in studies for row in _summary_rows(results)]
            for results in studies:
                kept = None if results["status"] != "failed" else read_results(folder / results["id"])
                if kept is not None and kept["status"] != "failed":  # better results of an earlier run
                    rows += _summary_rows(kept)
            ids = {results["id"] for results in studies}
            rows += [row for row in _read_rows(path) if row.get("id") not in ids and _is_there(folder, row)]
            return write_text(path, _as_csv(rows))
    except OSError as error:
        raise OutputError(f"{path} cannot be written; check the folder's permissions and free space.") from error


def _read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of the summary so far; none where there is none, or where it is no text of ours."""
    try:
        return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))
    except (OSError, ValueError, csv.Error):
        return []


def _is_there(folder: Path, row: Mapping[str, Any]) -> bool:
    return bool(row.get("id")) and (folder / row["id"] / RESULTS_FILE).is_file()


def _as_csv(rows: Iterable[Mapping[str, Any]]) -> str:
    columns = (*FIRST_COLUMNS, *(c for step in available_steps() for c in load_step(step).columns), *LAST_COLUMNS)
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    # Names in another encoding come as characters that no file takes.
    return text.getvalue().encode("utf-8", "backslashreplace").decode("utf-8")


def _summary_rows(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    study = {"id": results["id"], "status": results["status"]}
    rows = [{**study, "step": step, **entry} for step in STEP_MODULES for entry in results[step]]
    return rows + [{**study, "message": message} for message in results["errors"]]
