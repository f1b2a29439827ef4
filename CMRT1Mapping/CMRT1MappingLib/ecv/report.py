"""What the report of a study shows of its extracellular volume."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from CMRLib.anatomy.bullseye import ColorScale, make_bullseye
from CMRLib.export.report.items import Group, Measure, Picture, ReportSource, Section, SegmentsPicture, title_of
from CMRLib.export.report.pixels import colored, grey, t1_pixels
from CMRLib.files.color_tables import read_color_table

COLOR_TABLE = "CMR_ECV"
ERROR_WINDOW = (0.0, 10.0)
TEXT = (
    "Extracellular volume (ECV) on the native map, its standard error, and the post-contrast T1 map as it was brought "
    "onto the native one. Means and segments leave out the outermost pixels of the wall. The standard error holds what "
    "noise does to T1, blood and haematocrit, not what registration and segmentation leave."
)


def _hematocrit(entry: Mapping[str, Any]) -> str | None:
    value = entry.get("hematocrit")
    return None if value is None else f"{value:.3f} ({entry.get('hematocrit_source', '')})"


MEASURES = (
    Measure("ECV", lambda entry: entry.get("mean_percent"), "%", "{:.1f}", worst="high"),
    Measure("Standard error", lambda entry: entry.get("mean_error"), "%", "{:.2f}"),
    Measure("Haematocrit", _hematocrit),
    Measure("Blood T1 native", lambda entry: entry.get("blood_native_ms"), "ms", "{:.0f}"),
    Measure("Blood T1 post-contrast", lambda entry: entry.get("blood_post_ms"), "ms", "{:.0f}"),
    Measure("Registration", lambda entry: entry.get("registration")),
    Measure("Moved by", lambda entry: entry.get("moved_mm"), "mm", "{:.1f}"),
)


def ecv_section(entries: Sequence[Mapping[str, Any]], source: ReportSource) -> Section:
    """The maps of every slice, and the bull's-eye of its segments.

    Raises:
        InputError: a file of the results cannot be read.
    """
    groups: list[Group] = []
    scale = read_color_table(COLOR_TABLE, "ECV [%]")
    means: dict[int, float | None] = {}
    for file, found in groupby(entries, key=lambda entry: entry["ecv_file"]):
        slices = list(found)
        key = file.removesuffix("_ecv.nrrd")
        groups += _groups(key, slices, source, scale)
        for entry in slices:
            means |= {int(number): value for number, value in entry["segments_percent"].items()}
    if means:
        bullseye = SegmentsPicture("ECV by segment [%]", make_bullseye(means, scale))
        groups.append(Group("ECV by segment", (bullseye,)))
    return Section("Extracellular volume", TEXT if groups else "", tuple(groups))


def _groups(key: str, slices: Sequence[Mapping[str, Any]], source: ReportSource, scale: ColorScale) -> Iterator[Group]:
    percent, geometry = source.images(key, "ecv")
    post, _ = source.images(key, "post_t1")
    has_error = slices[0]["ecv_error_file"] is not None
    spacing = (geometry.spacing[1], geometry.spacing[0])
    error_scale = ColorScale(ERROR_WINDOW, ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)), "SE [%]")
    for entry in slices:
        index = entry["slice"] if len(percent) > 1 else 0
        title = title_of(entry)
        shown: list[tuple[str, Any, ColorScale | None]] = [("ECV", colored(percent[index], scale), scale)]
        if has_error:
            error, _ = source.images(key, "ecv_error")
            shown.append(("Standard error of ECV", grey(error[index], ERROR_WINDOW), error_scale))
        field_t = source.field_strength_t(key)
        shown.append(("T1 after contrast, registered", t1_pixels(post[index], field_t), None))
        pictures = tuple(
            Picture(name, f"{name}, {title}", pixels, spacing, scale=colors) for name, pixels, colors in shown
        )
        yield Group(title, pictures, entry["reason"])
