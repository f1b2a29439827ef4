"""The RV entry line, from the LV centre to the anterior RV insertion point."""

from __future__ import annotations

import numpy as np

from CMRLib.errors import InputError

STEP_PX = 0.05


def angle_between(center: np.ndarray, insertion: np.ndarray, other_center: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Unsigned angle in degrees, 0 to 180, between two entry lines; positions are (..., 2), (row, column)."""
    lines = [np.asarray(insertion, float) - center, np.asarray(other, float) - other_center]
    angles = [np.arctan2(line[..., 0], line[..., 1]) for line in lines]
    return np.abs(np.rad2deg((angles[0] - angles[1] + np.pi) % (2.0 * np.pi) - np.pi))


def snapped_insertion(
    center: tuple[float, float], insertion: tuple[float, float], heart: np.ndarray
) -> tuple[float, float]:
    """The point where the entry line meets the epicardium, as the thesis (5.2.2) refines manual insertion points.

    Args:
        center: LV centre, (row, column) in pixels.
        insertion: a point on the entry line, (row, column).
        heart: bool (row, column), what the epicardial contour encloses: LV myocardium and cavity.

    Returns:
        (row, column) of the last place inside ``heart`` along the line from the centre; pixels are squares around their
        centres.

    Raises:
        InputError: the centre lies outside the contour, or both points are the same.
    """
    start, line = np.asarray(center, float), np.asarray(insertion, float) - center
    length = float(np.hypot(*line))
    if length < 1e-6:
        raise InputError("The LV centre and the insertion point are the same point; move one of them.")
    reach = np.arange(0.0, float(np.hypot(*heart.shape)), STEP_PX)
    path = start + reach[:, None] * (line / length)
    pixel = np.rint(path).astype(int)
    valid = np.all((pixel >= 0) & (pixel < heart.shape), axis=1)
    inside = np.zeros(len(path), dtype=bool)
    inside[valid] = heart[pixel[valid, 0], pixel[valid, 1]]
    if not inside[0]:
        raise InputError("The LV centre lies outside the epicardial contour; move the point or redraw the contour.")
    last = path[np.flatnonzero(inside)[-1]]
    return float(last[0]), float(last[1])
