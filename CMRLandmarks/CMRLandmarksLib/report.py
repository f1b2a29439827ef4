"""What the report of a study shows of its landmarks: every slice around the heart, with points and segments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from CMRLib.anatomy.aha import counting_direction, segment_borders
from CMRLib.anatomy.axis import LEVELS, levels_along_stack
from CMRLib.anatomy.landmarks import LANDMARKS, Point, SliceLandmarks
from CMRLib.errors import InputError
from CMRLib.export.report.items import Group, Mark, Measure, Picture, ReportSource, Section, title_of
from CMRLib.export.report.pixels import around, grey, t1_pixels
from CMRLib.export.report.segments import SegmentValues
from CMRLib.files.color_tables import T1_COLOR_TABLES, read_color_table, t1_colors_for_field
from CMRLib.files.images import read_image
from CMRLib.files.markups import LANDMARKS_ENDING
from CMRLib.files.segmentations import LABELS_ENDING
from CMRLib.geometry import Geometry

MYOCARDIUM = 1  # in label maps of results
SIDE_MM = 130.0  # of what is shown around the LV centre
BORDERS_MM = (14.0, 42.0)  # from the LV centre to the begin and the end of a border between segments
NUMBERS_MM = 47.0
TEXT = (
    "Centre of the left ventricle (LV), anterior (A) and inferior (I) insertion of the right ventricle as the network "
    "found them, in mm to the right, front and head (RAS), the lowest confidence of the three, and where the AHA "
    "segments border on each other. Slices "
    "that are likely to be wrong are flagged; look at all of them."
)
MEASURES = (
    Measure("Confidence", lambda entry: min(entry.get("confidence", {}).values(), default=None), worst="low"),
    *(
        Measure(landmark.title, lambda entry, name=landmark.name: _position(entry, name), "mm")  # type: ignore[misc]
        for landmark in LANDMARKS
    ),
)


def _position(entry: Mapping[str, Any], name: str) -> str | None:
    ras = entry.get(f"{name}_ras")
    return None if ras is None else " ".join(f"{value:.1f}" for value in ras)


def landmarks_section(entries: Sequence[Mapping[str, Any]], source: ReportSource) -> Section:
    """The slices of each series or map; of a cine those frames that are flagged, and the first one.

    Raises:
        InputError: the images cannot be read.
    """
    pictures: dict[str, list[Picture]] = {}
    segments: dict[str, SegmentValues] = {}
    scale, left_out = read_color_table(T1_COLOR_TABLES[t1_colors_for_field(None)], "T1 [ms]"), 0
    for file, found in groupby(entries, key=lambda entry: entry["markups_file"]):
        slices = list(found)
        key, role = file.removesuffix(LANDMARKS_ENDING), slices[0]["role"]
        images, geometry = source.images(key, role)
        levels, field_t = _levels(slices, geometry), source.field_strength_t(key)
        shown = [n for n, entry in enumerate(slices) if "frame" not in entry or n == 0 or entry["flagged"]]
        left_out += len(slices) - len(shown)
        title = title_of({"role": role, "state": slices[0]["state"]})
        drawn = [t1_pixels(images[n], field_t) if role == "t1" else grey(images[n]) for n in shown]
        pictures.setdefault(title, []).extend(
            _picture(slices[n], pixels, geometry, levels.get(n)) for n, pixels in zip(shown, drawn, strict=True)
        )
        labels = source.folder / f"{key}{LABELS_ENDING}"
        if role == "t1" and labels.is_file():
            scale = read_color_table(T1_COLOR_TABLES[t1_colors_for_field(field_t)], "T1 [ms]")
            myocardium = np.rint(read_image(labels)[0]) == MYOCARDIUM
            segments.setdefault(title, SegmentValues()).add(
                images, myocardium, [_landmarks(entry) for entry in slices], levels, geometry
            )
    text = TEXT + (f" {left_out} frames of cines that are not flagged are left out here." if left_out else "")
    groups = [Group(title, tuple(shown)) for title, shown in pictures.items()]
    for title, gathered in segments.items():
        bullseye = gathered.picture(f"{title}: mean of each segment [ms]", scale)
        if bullseye is not None:
            groups.append(Group(f"{title} by segment", (bullseye,)))
    return Section("Landmarks and segments", text if groups else "", tuple(groups))


def _landmarks(entry: Mapping[str, Any]) -> SliceLandmarks | None:
    center = entry["lv_center_px"]
    others = [entry["rv_insertion_px"], entry["inferior_rv_insertion_px"]]
    return None if center is None else SliceLandmarks(tuple(center), *(point and tuple(point) for point in others))


def _levels(slices: Sequence[Mapping[str, Any]], geometry: Geometry) -> dict[int, str]:
    """Level of each slice that shows a heart, by its index; a slice whose place is not known has none."""
    if "frame" in slices[0] or len(slices) == 1:
        return {index: entry["slice"] for index, entry in enumerate(slices) if entry["slice"] in LEVELS}
    try:
        return levels_along_stack([n for n, entry in enumerate(slices) if entry["lv_center_px"] is not None], geometry)
    except InputError:  # no short-axis images, so they have no segments
        return {}


def _picture(entry: Mapping[str, Any], pixels: np.ndarray, geometry: Geometry, level: str | None) -> Picture:
    spacing = (geometry.spacing[1], geometry.spacing[0])
    title = title_of(entry) + (" – flagged" if entry["flagged"] else "")
    center = entry["lv_center_px"]
    if center is None:
        return Picture(f"{title} – no heart found", "The image, in which no heart was found", pixels, spacing)
    cut, corner = around(pixels, center, spacing, SIDE_MM)
    found = {mark.name: entry[f"{mark.name}_px"] for mark in LANDMARKS if entry[f"{mark.name}_px"] is not None}
    points = {name: (point[0] - corner[0], point[1] - corner[1]) for name, point in found.items()}
    marks = [Mark("spot", (points[mark.name],), mark.label) for mark in LANDMARKS if mark.name in points]
    if level is not None and "rv_insertion" in points:
        marks = [*_borders(points, level, geometry), *marks]
    words = ", ".join(mark.title for mark in LANDMARKS if mark.name in points)
    return Picture(title, f"{words} on {title_of(entry)}", cut, spacing, tuple(marks))


def _borders(points: Mapping[str, Point], level: str, geometry: Geometry) -> Iterator[Mark]:
    """The lines between segments, and the segments' numbers."""
    center, insertion = points["lv_center"], points["rv_insertion"]
    try:
        borders = segment_borders(SliceLandmarks(center, insertion), level, geometry)
        direction = counting_direction(geometry)
    except InputError:  # by its orientation it is no short-axis image, or the points lie on each other
        return
    column_mm, row_mm, _ = geometry.spacing
    zero = np.arctan2((insertion[0] - center[0]) * row_mm, (insertion[1] - center[1]) * column_mm)

    def place(degrees: float, distance_mm: float) -> Point:
        angle = zero + direction * np.radians(degrees)
        return (
            float(center[0] + np.sin(angle) * distance_mm / row_mm),
            float(center[1] + np.cos(angle) * distance_mm / column_mm),
        )

    for number, (begin, end) in borders.items():
        yield Mark("line", (place(begin, BORDERS_MM[0]), place(begin, BORDERS_MM[1])))
        yield Mark("text", (place((begin + end) / 2, NUMBERS_MM),), str(number))
