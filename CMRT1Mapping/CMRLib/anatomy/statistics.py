"""Statistics of a map inside a region of interest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from CMRLib.errors import InputError


@dataclass(frozen=True)
class RoiStatistics:
    """Statistics over the pixels of a region that hold a value; in the unit of the map.

    Attributes:
        mean, sd, median, minimum, maximum: sd is that of the sample (n - 1), 0 for a single pixel.
        pixels: how many pixels were counted.
        excluded: pixels of the region left out because they hold no fit.
    """

    mean: float
    sd: float
    median: float
    minimum: float
    maximum: float
    pixels: int
    excluded: int


def roi_statistics(values: np.ndarray, mask: np.ndarray, fitted: np.ndarray | None = None) -> RoiStatistics:
    """Statistics of ``values`` where ``mask`` is true.

    Args:
        values: a map, any axes.
        mask: the region, of the same shape.
        fitted: where the map holds a value, of the same shape; None takes every finite pixel.

    Raises:
        InputError: shapes differ, or the region holds no pixel with a value.
    """
    values, region = np.asarray(values, dtype=float), np.asarray(mask, dtype=bool)
    if values.shape != region.shape or (fitted is not None and np.shape(fitted) != values.shape):
        raise InputError(f"The region {region.shape} does not match the map {values.shape}; draw it on this map.")
    valid = region & np.isfinite(values)
    if fitted is not None:
        valid &= np.asarray(fitted, dtype=bool)
    inside = values[valid]
    if inside.size == 0:
        raise InputError("The region holds no fitted pixel of the map; draw it over the tissue.")
    return RoiStatistics(
        mean=float(inside.mean()),
        sd=float(inside.std(ddof=1)) if inside.size > 1 else 0.0,
        median=float(np.median(inside)),
        minimum=float(inside.min()),
        maximum=float(inside.max()),
        pixels=int(inside.size),
        excluded=int(np.count_nonzero(region) - inside.size),
    )
