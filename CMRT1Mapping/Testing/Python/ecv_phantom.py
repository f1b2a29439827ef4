"""A heart of rings before and after contrast, whose ECV is known, as test data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

NATIVE_MS = {"wall": 1000.0, "blood": 1600.0, "fat": 350.0, "lung": 1300.0}
BLOOD_POST_MS = 400.0
SIZE, SPACING_MM = 120, 1.5
ECV, HEMATOCRIT = 28.0, 0.42


@dataclass(frozen=True)
class Rings:
    """The maps of a slice, (row, column): T1 in ms and its errors, and where wall and blood pool are.

    The blood pool holds two papillary muscles.
    """

    native: np.ndarray
    post: np.ndarray
    native_error: np.ndarray
    post_error: np.ndarray
    wall: np.ndarray
    pool: np.ndarray
    papillary: np.ndarray


def rings(
    percent: float = ECV,
    *,
    noise: float = 0.0,
    shift: tuple[float, float] = (0.0, 0.0),
    seed: int = 0,
) -> Rings:
    """A left ventricle beside a right one, in fat and lung.

    Args:
        percent: ECV of the wall.
        noise: standard error of T1 relative to it.
        shift: (row, column) pixels by which the post-contrast map shows everything elsewhere.
        seed: of the noise.
    """
    row, column = np.indices((SIZE, SIZE), dtype=float) - (SIZE - 1) / 2.0

    def disc(down: float, right: float, radius: float) -> np.ndarray:
        return np.hypot(row - down, column - right) <= radius

    pool, outer = disc(0, 0, 15), disc(0, 0, 21)
    right = disc(2, -26, 15) & ~disc(0, 0, 23)
    papillary = disc(6, 7, 3.0) | disc(-6, 7, 3.0)
    wall = outer & ~pool
    tissue = np.full((SIZE, SIZE), "lung", dtype=object)
    tissue[disc(0, -8, 46)] = "fat"
    tissue[right | disc(30, 30, 8)] = "blood"
    tissue[outer | disc(-32, 24, 7)] = "wall"
    tissue[pool & ~papillary] = "blood"
    names = list(NATIVE_MS)
    change = 1.0 / BLOOD_POST_MS - 1.0 / NATIVE_MS["blood"]
    partition = {"wall": percent / 100.0 / (1.0 - HEMATOCRIT), "blood": 1.0, "fat": 0.02, "lung": 0.4}
    native, post = np.zeros((2, SIZE, SIZE))
    for name in names:
        native[tissue == name] = NATIVE_MS[name]
        post[tissue == name] = 1.0 / (1.0 / NATIVE_MS[name] + partition[name] * change)
    if any(shift):
        post = ndimage.shift(post, shift, order=1, mode="nearest")
    rng = np.random.default_rng(seed)
    errors = [noise * image for image in (native, post)]
    maps = [
        image + error * rng.standard_normal(image.shape) for image, error in zip((native, post), errors, strict=True)
    ]
    arrays = [image.astype(np.float32) for image in (*maps, *errors)]
    return Rings(*arrays, wall, pool, papillary)
