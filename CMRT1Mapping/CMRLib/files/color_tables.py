"""The colour tables that ship, ``Resources/ColorTables``, as colour scales."""

from __future__ import annotations

import numpy as np

from CMRLib.anatomy.bullseye import ColorScale
from CMRLib.errors import MissingDependencyError
from CMRLib.resources import resource_path

# T1 is longer in a stronger field: normal myocardium would look diseased in the other field's colors.
T1_COLOR_TABLES = {"1.5 T": "CMR_T1_1.5T", "3 T": "CMR_T1_3T"}


def t1_colors_for_field(tesla: float | None) -> str:
    """The key of `T1_COLOR_TABLES` for a field strength; that of the weaker field where it is not known."""
    return "3 T" if tesla is not None and tesla > 2.25 else "1.5 T"


def read_color_table(name: str, title: str = "", text_format: str = "{:.0f}") -> ColorScale:
    """The scale of ``Resources/ColorTables/<name>.txt``, as Slicer shows it.

    Args:
        name: of the file, without its ending.
        title, text_format: of the scale.

    Raises:
        MissingDependencyError: the file is missing or damaged.
    """
    path = resource_path(f"ColorTables/{name}.txt")
    try:
        points = np.loadtxt(path, ndmin=2)
        colors = tuple((float(red), float(green), float(blue)) for _, red, green, blue in points)
    except ValueError as error:
        raise MissingDependencyError(f"The color table {path} cannot be read; install CMRMapping again.") from error
    return ColorScale(tuple(points[:, 0].tolist()), colors, title, None, text_format)
