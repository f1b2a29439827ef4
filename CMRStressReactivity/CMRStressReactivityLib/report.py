"""What the report of a study shows of stress reactivity: dT1 over rest T1, before and after, and the bull's-eye."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from CMRLib.anatomy.bullseye import make_bullseye
from CMRLib.errors import InputError
from CMRLib.export.report.items import Group, Measure, Picture, ReportSource, Section, SegmentsPicture
from CMRLib.export.report.pixels import around, colored, grey
from CMRLib.files.images import read_image
from CMRLib.files.segmentations import LABELS_ENDING
from CMRStressReactivityLib.checkerboard import checkerboard
from CMRStressReactivityLib.grades import graded_scale, map_scale
from CMRStressReactivityLib.reactivity import THRESHOLDS_PERCENT

MYOCARDIUM = 1  # in label maps of results
SIDE_MM = 130.0  # of what is shown around the heart
T1_WINDOW_MS = (0.0, 2000.0)
TEXT = (
    "Change of T1 from rest to stress, dT1 = (stress - rest) / rest, in the myocardium over T1 at rest in grey; and "
    "squares of T1 at rest and of the registered T1 under stress in turn, whose edges continue where the two lie on "
    "each other. Colours of the bull's-eye change at {thresholds} %."
)


def _number(name: str) -> Any:
    return lambda entry: entry.get(name)


def _significant(entry: Mapping[str, Any]) -> str | None:
    found = entry.get("dt1_significant")
    return None if found is None else "yes" if found else "no"


MEASURES = (
    Measure("dT1", _number("dt1_percent"), "%", "{:.1f}", worst="low"),
    Measure("Standard error", _number("dt1_error"), "%", "{:.2f}"),
    Measure("More than noise", _significant),
    Measure("Subendocardial", _number("subendocardial_percent"), "%", "{:.1f}"),
    Measure("Subepicardial", _number("subepicardial_percent"), "%", "{:.1f}"),
    Measure("Dice before", _number("dice_before")),
    Measure("Dice after", _number("dice_after"), worst="low"),
    Measure("Moved", _number("moved_mm"), "mm", "{:.1f}", worst="high"),
    Measure("Alignment", lambda entry: entry.get("reason") or None),
)


def stress_section(entries: Sequence[Mapping[str, Any]], source: ReportSource) -> Section:
    """The pairs of slices of a study, and its bull's-eye.

    Raises:
        InputError: a file of the results cannot be read.
    """
    groups = [Group(_title(entry), _pictures(entry, source), entry["reason"]) for entry in entries]
    table = next((entry["segments_file"] for entry in entries if entry["segments_file"]), None)
    if table:
        values = read_segments(source.folder / table)
        picture = SegmentsPicture("dT1: mean of each segment [%]", make_bullseye(values, graded_scale()))
        groups.append(Group("dT1 by segment", (picture,)))
    text = TEXT.format(thresholds=", ".join(f"{value:g}" for value in THRESHOLDS_PERCENT))
    return Section("Stress T1 reactivity", text if groups else "", tuple(groups))


def read_segments(path: Path) -> dict[int, float | None]:
    """Segment number -> its dT1 in percent, None where there is none.

    Raises:
        InputError: the file is not there or is no table of segments.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return {int(row["segment"]): float(row["dt1_percent"]) if row["dt1_percent"] else None for row in rows}
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path.name} is no table of segments any more; make the results again.") from error


def _title(entry: Mapping[str, Any]) -> str:
    place = entry["slice"]
    return f"dT1 {f'slice {place}' if isinstance(place, int) else place}" + (" – flagged" if entry["flagged"] else "")


def _pictures(entry: Mapping[str, Any], source: ReportSource) -> tuple[Picture, ...]:
    key, index = entry["rest"], entry["rest_index"]
    rest, geometry = source.images(key, "t1")
    percent, stress = (source.images(key, role)[0][index] for role in ("dt1", "registered_stress_t1"))
    spacing = (geometry.spacing[1], geometry.spacing[0])
    base = grey(rest[index], T1_WINDOW_MS)
    labels = source.folder / f"{key}{LABELS_ENDING}"
    myocardium = np.rint(read_image(labels)[0][index]) == MYOCARDIUM if labels.is_file() else np.isfinite(percent)
    overlay, scale = base.copy(), map_scale()
    inside = myocardium & np.isfinite(percent)
    overlay[inside] = colored(percent, scale)[inside]
    board = grey(checkerboard(rest[index], stress, spacing), T1_WINDOW_MS)
    center = np.argwhere(myocardium).mean(axis=0).tolist() if myocardium.any() else [n / 2 for n in percent.shape]
    pictures = (("dT1 over T1 at rest", overlay, scale), ("Rest and registered stress in turn", board, None))
    return tuple(
        Picture(
            name,
            f"{name}, {_title(entry)}",
            around(pixels, (center[0], center[1]), spacing, SIDE_MM)[0],
            spacing,
            scale=bar,
        )
        for name, pixels, bar in pictures
    )
