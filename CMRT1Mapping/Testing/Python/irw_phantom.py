"""A small inversion-recovery phantom whose truth is known in closed form."""

from dataclasses import dataclass

import numpy as np

from CMRLib.geometry import Geometry

SHMOLLI_TIMES = (100.0, 1100.0, 2100.0, 3100.0, 4100.0, 180.0, 260.0)
B_OVER_A = 1.95
TUBES_MS = (300.0, 960.0, 1150.0, 1550.0)

# Oblique, with rows and columns of different spacing: nothing in it is its own mirror image.
OBLIQUE = Geometry(
    origin=(12.0, -34.0, 56.0),
    spacing=(1.5, 1.25, 8.0),
    direction=(0.8, 0.36, -0.48, 0.6, -0.48, 0.64, 0.0, -0.8, -0.6),
)


@dataclass(frozen=True)
class Phantom:
    """Images of four tubes in air; arrays as the reconstruction takes them.

    Attributes:
        images, phase: (frame, row, column), arbitrary units and radians.
        inversion_times_ms: one per frame.
        t1: (row, column) in ms, 0 in air.
        centers: (row, column) of the tubes, in the order of `TUBES_MS`.
    """

    images: np.ndarray
    phase: np.ndarray
    inversion_times_ms: tuple[float, ...]
    t1: np.ndarray
    centers: tuple[tuple[int, int], ...]
    geometry: Geometry = OBLIQUE


def make_phantom(times=SHMOLLI_TIMES, shape=(40, 60), noise=0.5, seed=1) -> Phantom:
    """Tubes of 8 pixels' radius on a grid of two by two; signal 500, complex noise of standard deviation ``noise``."""
    rng = np.random.default_rng(seed)
    rows, columns = shape
    centers = tuple((rows * (2 * i + 1) // 4, columns * (2 * j + 1) // 4) for i in range(2) for j in range(2))
    row, column = np.mgrid[:rows, :columns]
    t1 = np.zeros(shape)
    for (r, c), value in zip(centers, TUBES_MS, strict=True):
        t1[np.hypot(row - r, column - c) < 8] = value
    t1_star = np.where(t1 > 0, t1, 1.0) / (B_OVER_A - 1.0)
    signal = np.stack([500.0 * (1.0 - B_OVER_A * np.exp(-time / t1_star)) for time in times]) * (t1 > 0)
    background = 0.4 + 0.01 * column
    channel = signal * np.exp(1j * background)
    channel = channel + noise * (rng.normal(size=channel.shape) + 1j * rng.normal(size=channel.shape))
    return Phantom(
        images=np.abs(channel).astype(np.float32),
        phase=np.angle(channel).astype(np.float32),
        inversion_times_ms=tuple(times),
        t1=t1.astype(np.float32),
        centers=centers,
    )
