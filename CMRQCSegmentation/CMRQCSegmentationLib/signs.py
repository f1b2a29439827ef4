"""Signs of a bad answer that candidates which agree do not show: in the image, in the ring's shape, in the networks."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from CMRQCSegmentationLib.candidates import BLOOD_POOL, CAVITY_MAP, HEART_MAP, MYOCARDIUM, dice_matrix, labels_of

SIGNS = (
    "agreement",
    "least agreement",
    "agreement of pools",
    "doubt of outer border",
    "doubt of inner border",
    "blood brighter",
    "wall brighter",
    "brightness of blood",
    "brightness of wall",
    "grain of wall",
    "grain of blood",
    "grain of blood over noise",
    "noise",
    "inner edge",
    "inner edge all round",
    "outer edge",
    "outer edge all round",
    "dark part",
    "bright part",
    "sharpness",
    "area",
    "share of wall",
    "roundness",
    "roundness of pool",
    "evenness of wall",
    "thinnest wall",
    "elongation",
)
SECTORS = 24  # in which edges and thickness are measured around the ring
EDGE_PX = 2.0  # on either side of a border
_TINY = 1e-6


def signs_of(crop: np.ndarray, maps: np.ndarray, chosen: int) -> np.ndarray:
    """The signs of one answer, in the order of `SIGNS`.

    Args:
        crop: float (row, column), 0 to 1, as the networks saw it.
        maps: (candidate, 2, row, column), see `CMRQCSegmentationLib.candidates`.
        chosen: number of the candidate that is the answer.

    Returns:
        float64 (sign,), all finite.
    """
    labels = labels_of(maps)
    heart, pool, wall = labels[chosen] > 0, labels[chosen] == BLOOD_POOL, labels[chosen] == MYOCARDIUM
    length = np.sqrt(max(float(heart.sum()), 1.0))
    mean = maps[: len(maps) // 2].astype(np.float32).mean(axis=0)
    doubts = [float((4.0 * mean[i] * (1.0 - mean[i])).sum()) / length for i in (HEART_MAP, CAVITY_MAP)]
    walls, pools = (np.delete(dice_matrix(labels, label)[chosen], chosen) for label in (MYOCARDIUM, BLOOD_POOL))
    networks = [float(walls.mean()), float(walls.min()), float(pools.mean()), *doubts]
    image = _image_signs(crop.astype(np.float32), heart, wall, pool)
    return np.nan_to_num(np.array([*networks, *image, *_shape(heart, pool)]))


def _image_signs(crop: np.ndarray, heart: np.ndarray, wall: np.ndarray, pool: np.ndarray) -> list[float]:
    """How the image looks in and around the ring; brightness in units of the crop's own range."""
    shown = crop > 0
    muscle, blood = crop[wall & shown], crop[pool & shown]
    if not len(muscle) or not len(blood):
        return [0.0] * 15
    step = float(np.median(blood) - np.median(muscle))
    contrast = abs(step)
    noise = 1.4826 * float(np.median(np.abs(ndimage.laplace(crop)[shown]))) / np.sqrt(20.0)
    edges = [value for inside in (pool, heart) for value in _edge(crop, inside, contrast)]
    near = ndimage.binary_dilation(wall | pool, iterations=4)
    gradient = np.hypot(*np.gradient(crop))
    fine = np.hypot(*np.gradient(ndimage.gaussian_filter(crop, 1.5)))
    shown_heart = crop[heart]
    return [
        max(step, 0.0),
        max(-step, 0.0),
        float(np.median(blood)),
        float(np.median(muscle)),
        float(muscle.std()),
        float(blood.std()),
        float(np.log((blood.std() + 0.01) / (noise + 0.01))),
        noise / (contrast + 0.05),
        *edges,
        float(np.mean(shown_heart < 0.04)),
        float(np.mean(shown_heart > 0.97)),
        float(fine[near].mean() / (gradient[near].mean() + _TINY)),
    ]


def _edge(crop: np.ndarray, inside: np.ndarray, contrast: float) -> list[float]:
    """Step of brightness across a border: its mean size, and its mean over mean size, 1 where all steps go one way."""
    depth = ndimage.distance_transform_edt(inside) - ndimage.distance_transform_edt(~inside)
    angle = _angles(inside)
    inner, outer = (depth > 0) & (depth <= EDGE_PX), (depth < 0) & (depth >= -EDGE_PX)
    steps = _by_sector(crop, angle, inner) - _by_sector(crop, angle, outer)
    steps = steps[np.isfinite(steps)]
    if not len(steps):
        return [0.0, 0.0]
    size = float(np.abs(steps).mean())
    return [size / (contrast + 0.05), abs(float(steps.mean())) / (size + _TINY)]


def _angles(mask: np.ndarray) -> np.ndarray:
    """Sector of every pixel, int (row, column), around the middle of a mask."""
    rows, columns = np.indices(mask.shape)
    row, column = np.argwhere(mask).mean(axis=0) if mask.any() else np.zeros(2)
    turn = (np.arctan2(rows - row, columns - column) + np.pi) / (2.0 * np.pi)
    return np.minimum((turn * SECTORS).astype(int), SECTORS - 1)


def _by_sector(values: np.ndarray, sector: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Mean of values in each sector, NaN where it is empty."""
    count = np.bincount(sector[where], minlength=SECTORS).astype(float)
    total = np.bincount(sector[where], weights=values[where], minlength=SECTORS)
    return np.where(count > 0, total / np.maximum(count, 1.0), np.nan)


def _shape(heart: np.ndarray, pool: np.ndarray) -> list[float]:
    if not heart.any():
        return [0.0] * 7
    area = float(heart.sum())
    sector = _angles(pool if pool.any() else heart)
    wall = heart & ~pool
    outer = np.sqrt(np.bincount(sector[heart], minlength=SECTORS) * 2.0 * SECTORS / (2.0 * np.pi))
    inner = np.sqrt(np.bincount(sector[pool], minlength=SECTORS) * 2.0 * SECTORS / (2.0 * np.pi))
    thick = outer - inner
    spread = np.argwhere(heart).std(axis=0)
    return [
        float(np.sqrt(area / np.pi)),
        float(wall.sum()) / area,
        _roundness(heart),
        _roundness(pool),
        float(thick.std() / (thick.mean() + _TINY)),
        float(thick.min() / np.sqrt(area)),
        abs(float(np.log((spread[0] + 0.3) / (spread[1] + 0.3)))),
    ]


def _roundness(mask: np.ndarray) -> float:
    """Spread of the border's distance from the middle, over its mean: 0 for a disk."""
    if not mask.any():
        return 1.0
    rim = mask & ~ndimage.binary_erosion(mask)
    points = np.argwhere(rim) - np.argwhere(mask).mean(axis=0)
    distance = np.hypot(*points.T)
    return float(distance.std() / (distance.mean() + _TINY))
