"""The long axis of the left ventricle: its usual direction, and the levels of short-axis slices along it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from CMRLib.errors import InputError
from CMRLib.geometry import Geometry

LEVELS = ("basal", "mid", "apical")

# In most people the left ventricle's long axis points from base to apex to the left, to the front and down: in LPS,
# +x, -y, -z, each about as much. A short-axis plane's normal is within some 40 degrees of it; the normal of a
# long-axis plane (two, three or four chambers) is about perpendicular to it.
BASE_TO_APEX = np.array([1.0, -1.0, -1.0]) / np.sqrt(3.0)

# LPS directions of a usual short-axis view: towards the apex, and along the columns' and rows' growth on display.
APEX = np.array([0.68, -0.52, -0.52]) / np.linalg.norm([0.68, -0.52, -0.52])
_ALONG_COLUMNS = np.array([0.72, 0.69, 0.08]) - APEX * (APEX @ [0.72, 0.69, 0.08])
DISPLAY_COLUMN = _ALONG_COLUMNS / np.linalg.norm(_ALONG_COLUMNS)
DISPLAY_ROW = np.cross(-APEX, DISPLAY_COLUMN)

# Share of the ventricle, from base to apex, at which a level ends. Cerqueira 2002 cuts the long axis into thirds and
# gives the resulting parts of the 17-segment model as 35, 35 and 30 % of the myocardium (6, 6 and 5 segments of 17).
_BASAL_END, _MID_END = 0.35, 0.70

_LEAST_ALIGNMENT = 0.25  # cosine to the usual long axis below which an image is no short-axis image


def check_level(level: str) -> None:
    """Raise InputError when the level is none of `LEVELS`."""
    if level not in LEVELS:
        raise InputError(f"{level!r} is no level of the ventricle; choose basal, mid or apical.")


def along_axis(geometry: Geometry | None) -> tuple[float, float]:
    """Cosines to the usual long axis, base to apex: of columns x rows, and of the way in which slices are counted.

    Both are 0 where the geometry says nothing about the heart: nobody acquires a short-axis image exactly along the
    body's axes, so such a geometry is a placeholder.

    Raises:
        InputError: by its orientation the image is no short-axis image.
    """
    if geometry is None or np.all(np.max(np.abs(geometry.matrix), axis=0) > 1.0 - 1e-6):
        return 0.0, 0.0
    columns, rows, slices = geometry.matrix.T
    normal = float(np.cross(columns, rows) @ BASE_TO_APEX)
    if abs(normal) < _LEAST_ALIGNMENT:
        raise InputError(
            "By its orientation this is no short-axis image, so it has no AHA segments; choose a short-axis image."
        )
    return normal, float(slices @ BASE_TO_APEX)


def is_placed(geometry: Geometry) -> bool:
    """Whether a geometry says where a slice lies in the patient, and is no placeholder."""
    try:
        return along_axis(geometry) != (0.0, 0.0)
    except InputError:  # no short-axis slice, whose place is known all the same
        return True


def levels_along_stack(positions: Sequence[int], geometry: Geometry | None = None) -> dict[int, str]:
    """Level of each slice of a stack by its place between the first and the last slice of the left ventricle.

    Args:
        positions: indices of the slices that show the left ventricle's myocardium, in any order.
        geometry: of the stack; without it, or with a placeholder (see `along_axis`), slice 0 is taken to be nearest the
            base.

    Returns:
        Slice index -> level. A slice counts with its middle: one slice is mid, three are basal, mid and apical.

    Raises:
        InputError: by its orientation the stack is no short-axis stack.
    """
    towards_apex = along_axis(geometry)[1] >= 0
    if len(positions) == 0:
        return {}
    ordered = sorted(set(positions), reverse=not towards_apex)
    first, count = ordered[0], abs(ordered[-1] - ordered[0]) + 1
    shares = {index: (abs(index - first) + 0.5) / count for index in ordered}
    return {
        index: "basal" if share < _BASAL_END else "mid" if share < _MID_END else "apical"
        for index, share in shares.items()
    }
