"""What the report of a study shows of its T1 maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from CMRLib.anatomy.bullseye import ColorScale
from CMRLib.export.report.items import Group, Measure, Picture, ReportSource, Section, title_of
from CMRLib.export.report.pixels import colored, grey
from CMRLib.files.color_tables import T1_COLOR_TABLES, read_color_table, t1_colors_for_field
from CMRLib.study.schemes import TITLES
from CMRT1MappingLib.fit.reconstruction import PixelFlag
from CMRT1MappingLib.motion.correction import Correction

ERROR_WINDOW_MS = (0.0, 50.0)
# As in Slicer: where several are set, the last one gives the color.
FLAG_COLORS = {PixelFlag.POLARITY_UNCERTAIN: (255, 0, 255), PixelFlag.T1_UNRESOLVED: (255, 140, 0)}
TEXT = (
    "T1, the quality of fit R² and the standard error of T1, from the images after motion correction where it was "
    "kept. On R², magenta marks pixels whose signal has an uncertain sign that matters for T1, orange those whose T1 "
    "cannot be told."
)


def _r2(entry: Mapping[str, Any]) -> float | None:
    """R² in the heart of the images that were fitted."""
    corrected = entry.get("motion_correction") == Correction.KEPT.value
    value: float | None = entry.get("r2_after" if corrected else "r2_before")
    return value


MEASURES = (
    Measure("Scheme", lambda entry: TITLES.get(entry.get("scheme", ""), "–")),
    Measure("Motion correction", lambda entry: entry.get("motion_correction")),
    Measure("Motion", lambda entry: entry.get("motion_px"), "px", "{:.1f}", worst="high"),
    Measure("R² as acquired", lambda entry: entry.get("r2_before"), "", "{:.3f}"),
    Measure("R² of the fit", _r2, "", "{:.3f}", worst="low"),
)


def t1_section(entries: Sequence[Mapping[str, Any]], source: ReportSource) -> Section:
    """The maps of every acquisition.

    Raises:
        InputError: a file of the results cannot be read.
    """
    return Section("T1 maps", TEXT if entries else "", tuple(_maps(entry, source) for entry in entries))


def _maps(entry: Mapping[str, Any], source: ReportSource) -> Group:
    title, key = title_of(entry), entry["t1_file"].removesuffix("_t1.nrrd")
    maps = {role: source.images(key, role) for role in ("t1", "r2", "t1_error", "flags")}
    column_mm, row_mm, _ = maps["t1"][1].spacing
    t1_scale = read_color_table(T1_COLOR_TABLES[t1_colors_for_field(source.field_strength_t(key))], "T1 [ms]")
    r2_scale = read_color_table("CMR_R2", "R²", "{:.2f}")
    error_scale = ColorScale(ERROR_WINDOW_MS, ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)), "SE [ms]")
    r2 = colored(maps["r2"][0][0], r2_scale)
    flags = np.rint(maps["flags"][0][0]).astype(int)
    for flag, color in FLAG_COLORS.items():
        r2[(flags & flag != 0) & (flags & PixelFlag.NO_SIGNAL == 0)] = color
    shown = (
        ("T1", colored(maps["t1"][0][0], t1_scale), t1_scale),
        ("Quality of fit R² and flags", r2, r2_scale),
        ("Standard error of T1", grey(maps["t1_error"][0][0], ERROR_WINDOW_MS), error_scale),
    )
    pictures = tuple(
        Picture(name, f"{name}, {title}", pixels, (row_mm, column_mm), scale=scale) for name, pixels, scale in shown
    )
    return Group(title, pictures)
