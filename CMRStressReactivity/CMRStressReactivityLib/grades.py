"""The colors of dT1: those of the map, and of the bull's-eye, whose colors change at the thresholds."""

from __future__ import annotations

from collections.abc import Sequence

from CMRLib.anatomy.bullseye import ColorScale
from CMRLib.errors import InputError
from CMRLib.files.color_tables import read_color_table
from CMRStressReactivityLib.reactivity import THRESHOLDS_PERCENT, grade

COLOR_TABLE = "CMR_dT1"
TITLE = "dT1 [%]"
# Below the first threshold, between them, and above the last one: no, little, some and full response.
GRADE_COLORS = ((0.60, 0.10, 0.15), (0.95, 0.50, 0.15), (0.95, 0.88, 0.30), (0.20, 0.65, 0.35))
GRADE_WORDS = ("no response", "little response", "some response", "full response")


def map_scale() -> ColorScale:
    """The colors of a dT1 map."""
    return read_color_table(COLOR_TABLE, TITLE)


def graded_scale(thresholds: Sequence[float] = THRESHOLDS_PERCENT) -> ColorScale:
    """Colors that change at three thresholds, in percent.

    Raises:
        InputError: they are not three, or do not rise.
    """
    if len(thresholds) != len(GRADE_COLORS) - 1:
        raise InputError(f"The bull's-eye of dT1 has three thresholds, not {len(thresholds)}; give three.")
    grade(0.0, thresholds)
    low, middle, high = thresholds
    values = (low - (middle - low), low, low, middle, middle, high, high, high + (high - middle))
    colors = tuple(color for color in GRADE_COLORS for _ in range(2))
    return ColorScale(values, colors, TITLE, None, "{:.1f}")
