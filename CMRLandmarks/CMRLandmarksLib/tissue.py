"""Landmarks that follow from labelled tissues."""

from __future__ import annotations

import numpy as np

from CMRLib.simulation.anatomy import Landmarks
from CMRLib.simulation.labelled_anatomy import find_landmarks

RV, MYOCARDIUM, LV = 1, 2, 3


def landmarks_of_labels(labels: np.ndarray) -> np.ndarray:
    """Landmarks of one slice labelled as in `CMRLandmarksLib.research.dataset.LabelledSlice`.

    Returns:
        float64 (landmark, 2), (row, column) in pixels, NaN where the labels do not show them. The insertion points are
        the ends of the stretch where the myocardium touches the RV; LV cavity and myocardium must both be there.
    """
    if np.sum(labels == LV) < 5 or np.sum(labels == MYOCARDIUM) < 5:
        return points_of_landmarks(None)
    return points_of_landmarks(find_landmarks(labels))


def points_of_landmarks(landmarks: Landmarks | None) -> np.ndarray:
    """Landmarks as float64 (landmark, 2), NaN where they are unknown."""
    if landmarks is None:
        return np.full((3, 2), np.nan)
    found = (landmarks.lv_centre, landmarks.anterior_rv_insertion, landmarks.inferior_rv_insertion)
    return np.array([point or (np.nan, np.nan) for point in found], dtype=float)
