"""One plausible left ventricle per slice: no islands, no holes, a closed ring, smooth borders."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from CMRQCSegmentationLib.candidates import CAVITY_MAP, HEART_MAP

FEWEST_PX = 12  # what is smaller is no heart
SMOOTHING_PX = 0.8
# A gap in the ring up to this share of the cavity's border is closed; a wider one is the outflow tract.
WIDEST_GAP = 0.2
CLOSED_PX = 2  # how thick the wall is made there
CLEAR_PX = 3  # how far from the kept part an island's rim may reach


def plausible_heart(maps: np.ndarray) -> np.ndarray:
    """Clean a candidate.

    Of several parts the one with the most cavity is kept, or without any cavity the largest; holes in it are filled; a
    narrow gap in the wall is closed; and both borders are smoothed.

    Args:
        maps: float32 (2, row, column), see `CMRQCSegmentationLib.candidates`.

    Returns:
        The same shape; all 0 where nothing is left.
    """
    heart, cavity = maps[HEART_MAP] > 0.5, maps[CAVITY_MAP] > 0.5
    regions, count = ndimage.label(heart)
    if not count:
        return np.zeros_like(maps)
    numbers = np.arange(1, count + 1)
    size = ndimage.sum_labels(heart, regions, numbers)
    blood = ndimage.sum_labels(cavity & heart, regions, numbers)
    chosen = int(np.argmax(size + 10.0 * blood))
    if size[chosen] < FEWEST_PX:
        return np.zeros_like(maps)
    kept = regions == chosen + 1
    filled = ndimage.binary_fill_holes(kept)
    pool = _main_part(cavity & filled)
    pool = ndimage.binary_fill_holes(pool) if pool.any() else pool
    result = np.empty_like(maps)
    result[HEART_MAP] = np.where(filled & ~kept, 1.0, maps[HEART_MAP] * _reach(kept))
    result[CAVITY_MAP] = np.where(pool & ~cavity, 1.0, maps[CAVITY_MAP] * _reach(pool))
    wall = _closing(filled, pool)
    result[HEART_MAP][wall] = np.maximum(result[HEART_MAP][wall], 0.9)
    smooth = np.stack([ndimage.gaussian_filter(part, SMOOTHING_PX) for part in result])
    smooth[CAVITY_MAP] = np.minimum(smooth[CAVITY_MAP], smooth[HEART_MAP])
    return smooth


def _main_part(mask: np.ndarray) -> np.ndarray:
    """The largest connected part of a mask."""
    regions, count = ndimage.label(mask)
    if count < 2:
        return mask
    return regions == 1 + int(np.argmax(ndimage.sum_labels(mask, regions, np.arange(1, count + 1))))


def _reach(kept: np.ndarray) -> np.ndarray:
    """1 in and near the kept part, 0 elsewhere, so that its soft rim stays and other parts go."""
    if not kept.any():
        return np.zeros(kept.shape, dtype=np.float32)
    return (ndimage.distance_transform_edt(~kept) <= CLEAR_PX).astype(np.float32)


def _closing(heart: np.ndarray, pool: np.ndarray) -> np.ndarray:
    """Where the wall must be added so that the ring is closed."""
    rim = pool & ~ndimage.binary_erosion(pool, border_value=1)
    bare = rim & ndimage.binary_dilation(~heart, np.ones((3, 3), dtype=bool))
    if not bare.any() or bare.sum() > WIDEST_GAP * rim.sum():
        return np.zeros(heart.shape, dtype=bool)
    near = ndimage.distance_transform_edt(~bare) <= CLOSED_PX
    return near & ~heart
