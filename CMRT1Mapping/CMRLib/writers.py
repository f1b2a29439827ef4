"""The files of one processed study (``cmr-results/1``) and the table of a run."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from CMRLib.errors import OutputError
from CMRLib.images import write_image
from CMRLib.provenance import result_attributes, software_versions

if TYPE_CHECKING:
    from CMRLib.series import Series
    from CMRT1MappingLib.reconstruction import T1Maps

RESULTS_SCHEMA = "cmr-results/1"
RESULTS_FILE = "results.json"
SUMMARY_FILE = "summary.csv"
STEPS = ("t1", "stress", "segmentation", "landmarks")
SUMMARY_COLUMNS = (
    "id",
    "status",
    "step",
    "role",
    "state",
    "slice",
    "frame",
    "t1_file",
    "r2_file",
    "samples_file",
    "markups_file",
    "flagged",
    "motion_px",
    "r2_before",
    "r2_after",
    "seconds",
    "message",
)

# Map of T1Maps -> its unit, "" where it has none.
T1_MAPS = {"t1": "ms", "r2": "", "samples": "", "residual": "", "t1_error": "ms", "flags": ""}


def new_results(study_id: str) -> dict[str, Any]:
    """Results of a study before anything was computed, with every key of the schema."""
    empty: dict[str, Any] = {step: [] for step in STEPS}
    return {
        "schema": RESULTS_SCHEMA,
        "id": study_id,
        "status": "failed",
        "software": software_versions(),
        "models": {},
        "device": "",
        **empty,
        "warnings": [],
        "errors": [],
    }


def write_t1(
    folder: Path, series: Series, maps: T1Maps, parameters: Mapping[str, Any], seconds: float
) -> dict[str, Any]:
    """Write the maps of one acquisition as NRRD with the source's geometry, and return their entry of the results.

    ``r2_before`` is the median R² of the pixels whose fit carries no flag, None when there is none. Images are fitted
    as acquired, so ``corrected_irw_file``, ``motion_px`` and ``r2_after`` are None.

    Args:
        folder: where the files go.
        series: the acquisition; its key names the files.
        maps: its maps, axes (row, column).
        parameters: what was chosen for the fit; kept in the header of every file, as ``CMR.<name>``.
        seconds: what loading and fitting took.

    Raises:
        OutputError: a file cannot be written.
    """
    files = {}
    kept = {**parameters, "FieldStrength": series.field_strength_t}
    for role, unit in T1_MAPS.items():
        header = result_attributes(role, source=series.key, device=maps.device, parameters=kept)
        path = folder / f"{series.key}_{role}.nrrd"
        write_image(path, getattr(maps, role), series.geometry, header | ({"CMR.Unit": unit} if unit else {}))
        files[f"{role}_file"] = path.name
    trusted = maps.r2[maps.flags == 0]
    return {
        "state": series.state,
        "slice": int(series.slice) if series.slice.isdigit() else series.slice,
        **files,
        "corrected_irw_file": None,
        "motion_px": None,
        "r2_before": round(float(np.median(trusted)), 6) if trusted.size else None,
        "r2_after": None,
        "seconds": round(seconds, 3),
    }


def write_results(folder: Path, results: Mapping[str, Any]) -> Path:
    """Write ``results.json`` into ``folder``.

    Raises:
        OutputError: the file cannot be written.
    """
    return _write_text(folder / RESULTS_FILE, json.dumps(results, indent=1, allow_nan=False) + "\n")


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
    writer = csv.DictWriter(text, SUMMARY_COLUMNS, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(row for results in studies for row in _summary_rows(results))
    return _write_text(folder / SUMMARY_FILE, text.getvalue())


def _summary_rows(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    study = {"id": results["id"], "status": results["status"]}
    rows = [{**study, "step": step, **entry} for step in STEPS for entry in results[step]]
    return rows + [{**study, "message": message} for message in results["errors"]]


def _write_text(path: Path, text: str) -> Path:
    """Write beside the file's place and rename, so that a reader never sees half of it."""
    partial = path.with_name(f".partial-{path.name}")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise OutputError(f"{path} cannot be written; check the folder's permissions and free space.") from error
    return path
