"""Stress T1 reactivity: dT1 = (T1 stress - T1 rest) / T1 rest x 100 %, and how sure of it one can be.

The measure is that of Liu et al., JACC Cardiovasc Imaging 2016;9:27-36; the thresholds of 3, 6 and 9 % are those of the
thesis's bull's-eye (chapter 3). The standard error follows from those of the two T1 maps by first-order propagation,

    error(dT1) = 100 % (T1 stress / T1 rest) sqrt((error stress / T1 stress)² + (error rest / T1 rest)²).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from CMRLib.anatomy.aha import SEGMENTS
from CMRLib.anatomy.statistics import roi_statistics
from CMRLib.errors import InputError

THRESHOLDS_PERCENT = (3.0, 6.0, 9.0)
# Depths in the wall, 0 at the cavity and 1 at the outer border, that count as inner and outer layer; what lies nearer
# to a border holds blood or fat as well. Nominal: mapping is usually read 10 % away from the contours.
SUBENDOCARDIAL, SUBEPICARDIAL = (0.1, 0.5), (0.5, 0.9)
SIGNIFICANT = 1.96  # standard errors; the two-sided 5 % of a normal distribution


@dataclass(frozen=True)
class ReactivityMap:
    """The change from rest to stress, on the grid of the rest map.

    Attributes:
        percent: float32 (row, column), dT1; NaN where one of the maps holds no T1.
        error: float32 (row, column), its standard error in percentage points, NaN likewise; None without those of the
            T1 maps.
    """

    percent: np.ndarray
    error: np.ndarray | None = None

    @property
    def valid(self) -> np.ndarray:
        """Where there is a change, bool (row, column)."""
        return np.isfinite(self.percent)


@dataclass(frozen=True)
class RegionReactivity:
    """The change in a region.

    Attributes:
        percent: mean dT1 of its pixels.
        error: standard error of that mean in percentage points, from the errors of the T1 maps; None without them.
        sd, median: of the pixels' dT1, percentage points.
        pixels: how many hold a change.
        excluded: how many do not.
    """

    percent: float
    error: float | None
    sd: float
    median: float
    pixels: int
    excluded: int

    @property
    def is_significant(self) -> bool | None:
        """Whether the change is more than noise explains; None where the error is not known."""
        return None if self.error is None else abs(self.percent) > SIGNIFICANT * self.error


@dataclass(frozen=True)
class LayerReactivity:
    """The change in the inner and the outer half of the wall; None for a layer without a pixel that holds a change."""

    subendocardial: RegionReactivity | None
    subepicardial: RegionReactivity | None

    @property
    def difference(self) -> float | None:
        """Subepicardial less subendocardial change, percentage points; positive where the inner layer responds less."""
        if self.subendocardial is None or self.subepicardial is None:
            return None
        return self.subepicardial.percent - self.subendocardial.percent


def reactivity_map(
    rest: np.ndarray,
    stress: np.ndarray,
    rest_error: np.ndarray | None = None,
    stress_error: np.ndarray | None = None,
) -> ReactivityMap:
    """The change of T1 in every pixel of two aligned maps.

    Args:
        rest, stress: T1 in ms, (row, column); 0, negative or not finite where there is none.
        rest_error, stress_error: standard errors of them in ms, or None. Interpolating the stress map makes its
            pixels' errors smaller and dependent; the errors of the pixels before are to be interpolated in its place,
            which is a little too careful for a pixel and right for a region.

    Raises:
        InputError: the maps differ in size, or only one of the errors is given.
    """
    rest, stress = (np.asarray(values, dtype=np.float64) for values in (rest, stress))
    if rest.shape != stress.shape or rest.ndim != 2:
        raise InputError(
            f"The stress map {stress.shape} is not on the rest map's grid {rest.shape}; register it to the rest map."
        )
    if (rest_error is None) != (stress_error is None):
        raise InputError("The standard errors of both T1 maps are needed, or of none; give the other one too.")
    valid = np.isfinite(rest) & np.isfinite(stress) & (rest > 0) & (stress > 0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        percent = np.where(valid, 100.0 * (stress - rest) / rest, np.nan)
        error = None
        if rest_error is not None and stress_error is not None:
            errors = [np.asarray(values, dtype=np.float64) for values in (rest_error, stress_error)]
            if any(values.shape != rest.shape for values in errors):
                raise InputError("The standard errors are not on the grid of the T1 maps; give those of these maps.")
            relative = np.hypot(errors[0] / rest, errors[1] / stress)
            error = np.where(valid, 100.0 * stress / rest * relative, np.nan).astype(np.float32)
    return ReactivityMap(percent.astype(np.float32), error)


def region_reactivity(reactivity: ReactivityMap, region: np.ndarray, dependence: float = 1.0) -> RegionReactivity:
    """The change in a region.

    Args:
        reactivity: see `reactivity_map`.
        region: bool (row, column).
        dependence: how many pixels share one independent measurement: (columns x rows of the image) / (those that were
            acquired) where the scanner interpolated, else 1.

    Raises:
        InputError: shapes differ, no pixel of the region holds a change, or the dependence is below 1.
    """
    if not dependence >= 1.0:
        raise InputError(f"{dependence:g} pixels cannot share a measurement; give 1 or more.")
    statistics = roi_statistics(reactivity.percent, region)
    error = None
    if reactivity.error is not None:
        errors = reactivity.error[np.asarray(region, dtype=bool) & reactivity.valid].astype(np.float64)
        error = float(np.sqrt(dependence * np.sum(errors**2)) / errors.size)
    return RegionReactivity(
        statistics.mean, error, statistics.sd, statistics.median, statistics.pixels, statistics.excluded
    )


def segment_reactivity(
    reactivity: ReactivityMap, segments: np.ndarray, dependence: float = 1.0
) -> dict[int, RegionReactivity | None]:
    """The change in each of the 16 segments.

    Args:
        reactivity, dependence: see `region_reactivity`.
        segments: uint8 (row, column), numbers as `CMRLib.anatomy.aha.label_slice` gives them.

    Returns:
        Segment number -> change, or None for a segment without a pixel that holds one.
    """
    regions = {segment.number: np.asarray(segments) == segment.number for segment in SEGMENTS}
    return {number: _region_or_none(reactivity, region, dependence) for number, region in regions.items()}


def layer_reactivity(
    reactivity: ReactivityMap, depth: np.ndarray, region: np.ndarray | None = None, dependence: float = 1.0
) -> LayerReactivity:
    """The change in the inner and in the outer half of the wall.

    Args:
        reactivity, dependence: see `region_reactivity`.
        depth: see `wall_depth`.
        region: bool (row, column), a part of the wall, as one segment; None for all of it.
    """
    inside = np.isfinite(depth) if region is None else np.isfinite(depth) & np.asarray(region, dtype=bool)
    layers = []
    for least, most in (SUBENDOCARDIAL, SUBEPICARDIAL):
        with np.errstate(invalid="ignore"):
            layer = inside & (depth >= least) & (depth < most)
        layers.append(_region_or_none(reactivity, layer, dependence))
    return LayerReactivity(*layers)


def _region_or_none(reactivity: ReactivityMap, region: np.ndarray, dependence: float) -> RegionReactivity | None:
    there = np.any(region & reactivity.valid)
    return region_reactivity(reactivity, region, dependence) if there else None


def wall_depth(myocardium: np.ndarray, spacing_mm: tuple[float, float] = (1.0, 1.0)) -> np.ndarray:
    """How deep in the wall each pixel of a ring lies: 0 at the cavity, 1 at the outer border.

    Args:
        myocardium: bool (row, column), a closed ring around the cavity.
        spacing_mm: distance of rows and of columns.

    Returns:
        float64 (row, column), NaN outside the myocardium.

    Raises:
        InputError: the myocardium is no closed ring.
    """
    wall = np.asarray(myocardium, dtype=bool)
    filled = ndimage.binary_fill_holes(wall)
    cavity = filled & ~wall
    if not cavity.any():
        raise InputError("The myocardium does not enclose a cavity, so it has no inner layer; close its contour.")
    # Distances end at the borders between pixels, half a pixel before the next one's centre.
    half = 0.5 * min(spacing_mm)
    inner = ndimage.distance_transform_edt(~cavity, sampling=spacing_mm) - half
    outer = ndimage.distance_transform_edt(filled, sampling=spacing_mm) - half
    return np.where(wall, inner / np.maximum(inner + outer, 1e-9), np.nan)


def grade(percent: np.ndarray | float, thresholds: Sequence[float] = THRESHOLDS_PERCENT) -> np.ndarray:
    """How many of the thresholds a change reaches: 0 for none, which is no or too little response; -1 without a change.

    Args:
        percent: dT1, any shape.
        thresholds: rising, percent.

    Raises:
        InputError: the thresholds do not rise.
    """
    steps = np.asarray(thresholds, dtype=float)
    if steps.ndim != 1 or not np.all(np.isfinite(steps)) or np.any(np.diff(steps) <= 0):
        raise InputError(f"The thresholds {', '.join(f'{t:g}' for t in thresholds)} % must rise; correct them.")
    values = np.asarray(percent, dtype=float)
    return np.where(np.isfinite(values), np.digitize(values, steps), -1)


def reactivity_of_means(
    rest: float, stress: float, rest_error: float = 0.0, stress_error: float = 0.0
) -> tuple[float, float]:
    """dT1 and its standard error from the mean T1 (ms) of a region drawn on each map, as it is measured by hand.

    Raises:
        InputError: a mean is not a positive number.
    """
    if not (np.isfinite(rest) and np.isfinite(stress) and min(rest, stress) > 0):
        raise InputError("A mean T1 is not a positive number; draw the region over the myocardium.")
    return 100.0 * (stress - rest) / rest, 100.0 * stress / rest * float(
        np.hypot(rest_error / rest, stress_error / stress)
    )
