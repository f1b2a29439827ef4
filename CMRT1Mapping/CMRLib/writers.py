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
from CMRT1MappingLib.motion_judgement import summary_r2

if TYPE_CHECKING:
    from CMRLib.series import Series
    from CMRT1MappingLib.motion_correction import CorrectedMaps
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
    "corrected_irw_file",
    "displacement_file",
    "markups_file",
    "flagged",
    "motion_correction",
    "motion_px",
    "r2_before",
    "r2_after",
    "r2_smoothed",
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
    folder: Path,
    series: Series,
    maps: T1Maps,
    parameters: Mapping[str, Any],
    seconds: float,
    corrected: CorrectedMaps | None = None,
) -> dict[str, Any]:
    """Write the maps of one acquisition as NRRD with the source's geometry, and return their entry of the results.

    Where motion was corrected, the aligned images (and their phase) are written as well, and the displacement that
    aligned them as vectors in LPS mm, as ITK has displacement fields: the acquired stack resampled through it is the
    aligned one.

    ``motion_correction`` is "corrected", "not needed", "no better", "not possible" or "off". ``motion_px``,
    ``r2_before``, ``r2_after`` and ``r2_smoothed`` are as in
    :class:`CMRT1MappingLib.motion_correction.CorrectedMaps`; where motion was
    not estimated, ``r2_before`` is that of all fitted pixels, and the others are None.

    Args:
        folder: where the files go.
        series: the acquisition; its key names the files.
        maps: its maps, axes (row, column).
        parameters: what was chosen for the fit and became of the correction; kept in the header of every file, as
            ``CMR.<name>``.
        seconds: what loading, aligning and fitting took.
        corrected: how ``maps`` came about; None where no correction was asked for.

    Raises:
        OutputError: a file cannot be written.
    """
    kept = {**parameters, "FieldStrength": series.field_strength_t}

    def write(role: str, array: np.ndarray, unit: str) -> str:
        header = result_attributes(role, source=series.key, device=maps.device, parameters=kept)
        path = folder / f"{series.key}_{role}.nrrd"
        return write_image(path, array, series.geometry, header | ({"CMR.Unit": unit} if unit else {})).name

    files: dict[str, str | None] = {f"{role}_file": write(role, getattr(maps, role), u) for role, u in T1_MAPS.items()}
    files |= dict.fromkeys(("corrected_irw_file", "corrected_phase_file", "displacement_file"))
    if corrected is not None and corrected.kept:
        vectors = series.geometry.displacement_in_lps(corrected.displacement)
        files["corrected_irw_file"] = write("corrected_images", corrected.images, "")
        files["displacement_file"] = write("displacement", vectors, "mm")
        if corrected.phase is not None:
            files["corrected_phase_file"] = write("corrected_phase", corrected.phase, "rad")
    r2_before = summary_r2(maps, maps.samples > 0) if corrected is None else corrected.r2_before
    motion = None if corrected is None or corrected.model is None else corrected
    return {
        "state": series.state,
        "slice": int(series.slice) if series.slice.isdigit() else series.slice,
        **files,
        "motion_correction": "off" if corrected is None else corrected.outcome.value,
        "motion_px": None if motion is None else round(motion.motion_px, 4),
        "r2_before": round(r2_before, 6),
        "r2_after": None if motion is None else round(motion.r2_after, 6),
        "r2_smoothed": None if motion is None else round(motion.r2_smoothed, 6),
        "fit": parameters.get("Fit", ""),
        "molli": parameters.get("Molli", ""),
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
