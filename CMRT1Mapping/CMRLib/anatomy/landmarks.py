"""The landmarks of a short-axis slice: what they are called, and where they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Point = tuple[float, float]

# Probability of a heart below which a slice is taken to show none.
LEAST_HEART = 0.5


@dataclass(frozen=True)
class Landmark:
    """A kind of landmark.

    Attributes:
        name: as in results, weights and code.
        label: the short text beside the point in a view.
        title: in words, as "anterior RV insertion".
    """

    name: str
    label: str
    title: str


# In the order of every array, list of points and markups file.
LANDMARKS = (
    Landmark("lv_center", "LV", "LV centre"),
    Landmark("rv_insertion", "A", "anterior RV insertion"),
    Landmark("inferior_rv_insertion", "I", "inferior RV insertion"),
)
LANDMARK_NAMES = tuple(landmark.name for landmark in LANDMARKS)


@dataclass(frozen=True)
class SliceLandmarks:
    """Landmarks of one slice as (row, column) in pixels; pixel centres are at whole numbers.

    Attributes:
        lv_center: centre of the left ventricle's cavity.
        rv_insertion: where the right ventricle's wall joins the left ventricle anteriorly, or None when not known.
        inferior_rv_insertion: where it joins inferiorly, or None when not known.
    """

    lv_center: Point
    rv_insertion: Point | None = None
    inferior_rv_insertion: Point | None = None

    def points(self) -> np.ndarray:
        """The landmarks as float64 (landmark, 2), in the order of `LANDMARKS`, NaN where they are not known."""
        found = (self.lv_center, self.rv_insertion, self.inferior_rv_insertion)
        return np.array([point or (np.nan, np.nan) for point in found], dtype=float)
