"""Corrupted copies of images, on which landmarks are likely to fail; for calibrating and testing the confidence."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from CMRLandmarksLib.research.dataset import LandmarkBank

CORRUPTIONS = ("noise", "ghosts", "blur", "stripes", "off centre", "no heart")


def corrupt(
    image: np.ndarray, points: np.ndarray, kind: str, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Damage an image on the standard grid.

    Args:
        image: float32 (row, column), 0 to 1, 0 where there is no data.
        points: (landmark, 2), (row, column) in grid pixels.
        kind: one of `CORRUPTIONS`.
        rng: random generator.

    Returns:
        The damaged image and its landmarks, infinitely far away where the image no longer shows them.
    """
    inside = image > 0
    size = image.shape[0]
    if kind == "noise":
        noisy = image + rng.uniform(0.2, 1.2) * rng.standard_normal(image.shape)
        return np.where(inside, np.abs(noisy), 0.0).astype(np.float32), points
    if kind == "ghosts":
        result = image.copy()
        for i in range(1, 4):
            result = result + rng.uniform(0.3, 0.9) * np.roll(
                image, i * int(rng.integers(15, 60)), axis=int(rng.integers(2))
            )
        return result.astype(np.float32), points
    if kind == "blur":
        return np.where(inside, ndimage.gaussian_filter(image, rng.uniform(3.0, 10.0)), 0.0).astype(np.float32), points
    if kind == "stripes":
        result = image.copy()
        for _ in range(int(rng.integers(2, 8))):
            start = int(np.clip(rng.normal(points[0, 0], 25.0), 0, size - 12))
            result[start : start + int(rng.integers(4, 12))] = 0.0
        return result, points
    away = rng.uniform(0.0, 2.0 * np.pi)
    if kind == "off centre":  # the edge of the image cuts through the heart or near it
        edge = points[0] + np.array([np.sin(away), np.cos(away)]) * rng.uniform(-5.0, 45.0)
    else:
        edge = points[0] + np.array([np.sin(away), np.cos(away)]) * 70.0
    rows, columns = np.indices(image.shape)
    beyond = (rows - edge[0]) * np.sin(away) + (columns - edge[1]) * np.cos(away)
    result = np.where(beyond > 0 if kind == "off centre" else beyond < 0, 0.0, image).astype(np.float32)
    seen = points.copy()
    along = (points[:, 0] - edge[0]) * np.sin(away) + (points[:, 1] - edge[1]) * np.cos(away)
    hidden = along > 3.0 if kind == "off centre" else np.ones(len(points), dtype=bool)
    seen[hidden & np.isfinite(points[:, 0])] = np.inf
    return result, seen


def corrupted_copies(bank: LandmarkBank, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Every image of a bank, damaged in one way each.

    Returns:
        float32 (image, row, column) from 0 to 1 and the landmarks as in `corrupt`, (image, landmark, 2).
    """
    rng = np.random.default_rng(seed)
    images, points = [], []
    for i, (image, truth) in enumerate(zip(bank.images, bank.points, strict=True)):
        kind = CORRUPTIONS[i % len(CORRUPTIONS)]
        damaged, seen = corrupt(image.astype(np.float32) / 255.0, truth.astype(float), kind, rng)
        images.append(damaged)
        points.append(seen)
    return np.stack(images), np.stack(points)
