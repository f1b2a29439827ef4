"""The files of the results of stress reactivity, and their entries of ``results.json``."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from CMRLib.anatomy.aha import SEGMENTS
from CMRLib.files.atomic import write_text
from CMRLib.files.images import write_image
from CMRLib.geometry import Geometry
from CMRLib.provenance import result_attributes
from CMRStressReactivityLib.comparison import SegmentReactivity, SliceReactivity
from CMRStressReactivityLib.reactivity import RegionReactivity
from CMRStressReactivityLib.volumes import ReactivityVolume

SEGMENTS_FILE = "stress_segments.csv"
# Role of a file -> its unit; all lie on the rest map's pixels.
MAPS = {"dt1": "%", "dt1_error": "%", "registered_stress_t1": "ms", "stress_displacement": "mm"}
SEGMENT_COLUMNS = (
    *("segment", "name", "dt1_percent", "dt1_error", "significant", "sd", "median", "pixels", "excluded"),
    *("subendocardial_percent", "subepicardial_percent", "subepicardial_less_subendocardial"),
)


def write_maps(made: ReactivityVolume, key: str, geometry: Geometry, folder: Path) -> dict[str, str | None]:
    """Write the maps of one rest volume as NRRD, and return their names by their keys in the results.

    The displacement is in LPS mm, as ITK has displacement fields: the stress map resampled through it is the
    registered one. There is no error where the T1 maps have none.

    Raises:
        OutputError: a file cannot be written.
    """
    vectors = geometry.displacement_in_lps(made.displacement)
    arrays = {"dt1": made.percent, "dt1_error": made.error, "registered_stress_t1": made.stress}
    files: dict[str, str | None] = {}
    for role, array in {**arrays, "stress_displacement": vectors}.items():
        if array is None:
            files[f"{role}_file"] = None
            continue
        header = result_attributes(
            role, source=key, device=made.device, model=made.model, model_sha256=made.model_sha256
        ) | {"CMR.Unit": MAPS[role]}
        files[f"{role}_file"] = write_image(folder / f"{key}_{role}.nrrd", array, geometry, header).name
    return files


def write_segments(segments: Mapping[int, SegmentReactivity], folder: Path) -> Path:
    """Write the table of the 16 segments of a study.

    Raises:
        OutputError: the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(SEGMENT_COLUMNS)
    for segment in SEGMENTS:
        writer.writerow([segment.number, segment.name, *_cells(segments[segment.number])])
    return write_text(folder / SEGMENTS_FILE, text.getvalue())


def _cells(found: SegmentReactivity) -> list[Any]:
    whole, layers = found.whole, found.layers
    inner, outer = layers.subendocardial, layers.subepicardial
    if whole is None:
        return [""] * (len(SEGMENT_COLUMNS) - 2)
    significant = "" if whole.is_significant is None else str(whole.is_significant).lower()
    return [
        *(rounded(whole.percent), _cell(rounded(whole.error)), significant, rounded(whole.sd), rounded(whole.median)),
        *(whole.pixels, whole.excluded),
        *(_cell(rounded(None if one is None else one.percent)) for one in (inner, outer)),
        _cell(rounded(layers.difference)),
    ]


def _cell(value: float | None) -> float | str:
    return "" if value is None else value


def slice_entry(one: SliceReactivity) -> dict[str, Any]:
    """What an entry of the results says of one pair of slices."""
    judgement, layers = one.judgement, one.layers
    inner, outer = (None, None) if layers is None else (layers.subendocardial, layers.subepicardial)
    return {
        **region_entry("dt1", one.whole),
        "subendocardial_percent": None if inner is None else rounded(inner.percent),
        "subepicardial_percent": None if outer is None else rounded(outer.percent),
        "apart_mm": rounded(one.match.apart_mm),
        "moved_mm": rounded(judgement.moved_mm),
        "folded": rounded(judgement.folded),
        "likeness_before": rounded(judgement.likeness_before),
        "likeness_after": rounded(judgement.likeness),
        "dice_before": rounded(judgement.dice_before),
        "dice_after": rounded(judgement.dice),
        "flagged": bool(one.reasons),
        "reason": " ".join(one.reasons),
    }


def region_entry(name: str, region: RegionReactivity | None) -> dict[str, Any]:
    """Mean change of a region, its standard error and whether it is more than noise."""
    return {
        f"{name}_percent": None if region is None else rounded(region.percent),
        f"{name}_error": None if region is None else rounded(region.error),
        f"{name}_significant": None if region is None else region.is_significant,
    }


def rounded(value: float | None) -> float | None:
    """As files have numbers; None for what is not known or not finite."""
    return None if value is None or not np.isfinite(value) else round(float(value), 4)
