"""Slices of one stack support each other: a first guess that fits its neighbours badly is replaced before stage 2."""

from __future__ import annotations

import numpy as np

LEAST_SLICES = 4
# What counts as an outlier, well beyond what one slice differs from the next in a heart; nominal.
CENTRE_PX, ANGLE_DEG, LENGTH_FACTOR = 15.0, 35.0, 1.6


def consistent_guess(points: np.ndarray) -> np.ndarray:
    """First guesses of a stack's LV centres and anterior insertions, outliers replaced by what the others say.

    LV centres should lie along a line through the stack (Theil and Sen's robust fit), entry lines should point one way
    (circular median) and have similar lengths. Stage 2 then looks at the image itself, so a replaced guess decides
    only where it looks.

    Args:
        points: (slice, landmark, 2), (row, column) in grid pixels, in the order of the slices.

    Returns:
        The same shape; unchanged for fewer than four slices.
    """
    if len(points) < LEAST_SLICES:
        return points
    expected = np.column_stack([_theil_sen(points[:, 0, axis]) for axis in range(2)])
    lines = points[:, 1] - points[:, 0]
    angles = np.arctan2(lines[:, 0], lines[:, 1])
    usual = _circular_median(angles)
    length = np.linalg.norm(lines, axis=1)
    usual_length = float(np.median(length))
    result = points.copy()
    for i in range(len(points)):
        lost = np.linalg.norm(points[i, 0] - expected[i]) > CENTRE_PX
        turned = np.abs(_wrapped(angles[i] - usual)) > np.deg2rad(ANGLE_DEG)
        odd = not usual_length / LENGTH_FACTOR < length[i] < usual_length * LENGTH_FACTOR
        if lost:
            result[i, 0] = expected[i]
        if lost or turned or odd:
            angle = usual if lost or turned else angles[i]
            reach = usual_length if lost or odd else length[i]
            result[i, 1] = result[i, 0] + reach * np.array([np.sin(angle), np.cos(angle)])
    return result


def _theil_sen(values: np.ndarray) -> np.ndarray:
    """Values of the line through equidistant points whose slope is the median of the slopes of all pairs.

    The estimator of Theil and Sen as ``scipy.stats.theilslopes`` computes it; importing that takes a second, and fails
    where torch is not installed properly.
    """
    index = np.arange(len(values), dtype=float)
    first, second = np.triu_indices(len(values), 1)
    slope = np.median((values[second] - values[first]) / (second - first))
    return np.asarray(np.median(values) + slope * (index - np.median(index)))


def _wrapped(angle: np.ndarray | float) -> np.ndarray:
    return (np.asarray(angle) + np.pi) % (2.0 * np.pi) - np.pi


def _circular_median(angles: np.ndarray) -> float:
    """The angle among those given that lies closest to all."""
    distance = np.abs(_wrapped(angles[:, None] - angles[None, :])).sum(axis=1)
    return float(angles[np.argmin(distance)])
