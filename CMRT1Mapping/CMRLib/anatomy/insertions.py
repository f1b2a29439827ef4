"""Where labelled tissues show the landmarks of a slice."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from CMRLib.anatomy.landmarks import SliceLandmarks

RIGHT_VENTRICLE, MYOCARDIUM, LEFT_VENTRICLE = 1, 2, 3
_FEWEST_PIXELS = 5  # of cavity and myocardium, below which a slice shows no ventricle


def find_landmarks(labels: np.ndarray) -> SliceLandmarks:
    """LV centre and RV insertion points of one labelled slice.

    The insertion points are the two ends of the stretch where the myocardium touches the RV's cavity; the anterior one
    lies clockwise of the RV on display, as in every short-axis view that is not mirrored. They are None without an RV.
    """
    row, column = ndimage.center_of_mass(labels == LEFT_VENTRICLE)
    center = (float(row), float(column))
    rv = labels == RIGHT_VENTRICLE
    touching = np.argwhere((labels == MYOCARDIUM) & ndimage.binary_dilation(rv, np.ones((3, 3), bool)))
    if len(touching) < 5:
        return SliceLandmarks(center, None, None)
    towards = np.array(ndimage.center_of_mass(rv)) - center
    from_center = touching - np.array(center)
    angle = np.arctan2(from_center[:, 0], from_center[:, 1]) - np.arctan2(towards[0], towards[1])
    angle = (angle + np.pi) % (2.0 * np.pi) - np.pi
    anterior, inferior = touching[np.argmax(angle)], touching[np.argmin(angle)]
    return SliceLandmarks(center, (float(anterior[0]), float(anterior[1])), (float(inferior[0]), float(inferior[1])))


def landmarks_of_labels(labels: np.ndarray) -> np.ndarray:
    """Landmarks of one slice labelled 1 RV cavity, 2 LV myocardium, 3 LV cavity, 0 anything else.

    Returns:
        float64 (landmark, 2), (row, column) in pixels, NaN where the labels do not show them. The insertion points are
        the ends of the stretch where the myocardium touches the RV; LV cavity and myocardium must both be there.
    """
    if min(np.sum(labels == LEFT_VENTRICLE), np.sum(labels == MYOCARDIUM)) < _FEWEST_PIXELS:
        return np.full((3, 2), np.nan)
    return find_landmarks(labels).points()
