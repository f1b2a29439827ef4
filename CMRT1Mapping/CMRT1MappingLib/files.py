"""The files of one T1 result, and its entry of ``results.json``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from CMRLib.batch.results import series_entry
from CMRLib.files.images import write_image
from CMRLib.provenance import result_attributes
from CMRT1MappingLib.mapping import MOTION_OFF, T1Result
from CMRT1MappingLib.motion.judgement import summary_r2

if TYPE_CHECKING:
    from CMRLib.study.series import Series

# Map of `CMRT1MappingLib.fit.reconstruction.T1Maps` -> its unit, "" where it has none.
T1_MAPS = {"t1": "ms", "r2": "", "samples": "", "residual": "", "t1_error": "ms", "flags": ""}


def write_t1(folder: Path, series: Series, result: T1Result, seconds: float) -> dict[str, Any]:
    """Write the maps of one acquisition as NRRD with the source's geometry, and return their entry of the results.

    Where motion was corrected, the aligned images (and their phase) are written as well, and the displacement that
    aligned them as vectors in LPS mm, as ITK has displacement fields: the acquired stack resampled through it is the
    aligned one.

    ``motion_correction`` is "corrected", "not needed", "no better", "not possible" or "off". ``motion_px``,
    ``r2_before``, ``r2_after`` and ``r2_smoothed`` are as in `CMRT1MappingLib.motion.correction.CorrectedMaps`; where
    motion was not estimated, ``r2_before`` is that of all fitted pixels, and the others are None.

    Args:
        folder: where the files go.
        series: the acquisition; its key names the files.
        result: its maps; their parameters are kept in the header of every file, as ``CMR.<name>``.
        seconds: what loading, aligning and fitting took.

    Raises:
        OutputError: a file cannot be written.
    """
    maps, corrected = result.maps, result.corrected
    kept = {**result.parameters, "FieldStrength": series.field_strength_t}

    def write(role: str, array: np.ndarray, unit: str, compressed: bool = True) -> str:
        header = result_attributes(role, source=series.key, device=maps.device, parameters=kept)
        path = folder / f"{series.key}_{role}.nrrd"
        header |= {"CMR.Unit": unit} if unit else {}
        return write_image(path, array, series.geometry, header, compressed=compressed).name

    files: dict[str, str | None] = {f"{role}_file": write(role, getattr(maps, role), u) for role, u in T1_MAPS.items()}
    files |= dict.fromkeys(("corrected_irw_file", "corrected_phase_file", "displacement_file"))
    if corrected is not None and corrected.kept:
        vectors = series.geometry.displacement_in_lps(corrected.displacement)
        files["corrected_irw_file"] = write("corrected_images", corrected.images, "", compressed=False)
        files["displacement_file"] = write("displacement", vectors, "mm", compressed=False)
        if corrected.phase is not None:
            files["corrected_phase_file"] = write("corrected_phase", corrected.phase, "rad", compressed=False)
    r2_before = summary_r2(maps, maps.samples > 0) if corrected is None else corrected.r2_before
    motion = None if corrected is None or corrected.model is None else corrected
    return {
        **series_entry(series),
        "scheme": series.scheme,
        **files,
        "motion_correction": MOTION_OFF if corrected is None else corrected.outcome.value,
        "motion_px": None if motion is None else round(motion.motion_px, 4),
        "r2_before": round(r2_before, 6),
        "r2_after": None if motion is None else round(motion.r2_after, 6),
        "r2_smoothed": None if motion is None else round(motion.r2_smoothed, 6),
        "fit": result.parameters.get("Fit", ""),
        "molli": result.parameters.get("Molli", ""),
        "seconds": round(seconds, 3),
    }
