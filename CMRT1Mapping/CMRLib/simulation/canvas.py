"""Painting smooth shapes on a fine grid and turning it into tissue fractions per pixel.

Positions are (x, y) in mm from the centre of the image: x grows with the column, y with the row (downwards on display).
Angles are in radians from the x axis towards the y axis, that is clockwise on display.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

ANGLES = 720


def angles() -> np.ndarray:
    """The angles at which the outline of a shape is given, (ANGLES,) radians in [0, 2 pi)."""
    return np.arange(ANGLES) * (2.0 * np.pi / ANGLES)


def wavy(rng: np.random.Generator, amplitude: float, orders: range) -> np.ndarray:
    """A random smooth periodic function of the angle with the root mean square ``amplitude``, (ANGLES,)."""
    theta = angles()
    wave = np.zeros(ANGLES)
    for order in orders:
        wave += rng.standard_normal() / order * np.cos(order * theta + rng.uniform(0.0, 2.0 * np.pi))
    return amplitude * wave / max(float(np.sqrt(np.mean(wave**2))), 1e-9)


def ellipse(a: float, b: float, rotation: float = 0.0, exponent: float = 2.0) -> np.ndarray:
    """Radius (mm) of a (super)ellipse with half axes ``a`` and ``b`` about its centre, (ANGLES,)."""
    theta = angles() - rotation
    power = np.abs(np.cos(theta) / a) ** exponent + np.abs(np.sin(theta) / b) ** exponent
    return power ** (-1.0 / exponent)


class Canvas:
    """A map of tissues on a grid ``supersampling`` times finer than the pixels; later shapes cover earlier ones.

    ``names`` are the tissues that can be painted; everything starts as the first of them.
    """

    def __init__(self, shape: tuple[int, int], spacing_mm: float, names: Sequence[str], supersampling: int = 3) -> None:
        self.shape = shape
        self.spacing_mm = spacing_mm
        self.supersampling = supersampling
        self._index = {name: number for number, name in enumerate(names)}
        step = spacing_mm / supersampling
        rows, columns = shape[0] * supersampling, shape[1] * supersampling
        self._y = ((np.arange(rows) - (rows - 1) / 2.0) * step).astype(np.float32)
        self._x = ((np.arange(columns) - (columns - 1) / 2.0) * step).astype(np.float32)
        self.tissue = np.zeros((rows, columns), dtype=np.uint8)

    def fill(
        self, center: tuple[float, float], outlines: Sequence[tuple[np.ndarray, str]], only: Sequence[str] = ()
    ) -> None:
        """Paint shapes that are star-shaped about one ``center``, in the order given.

        Args:
            center: (x, y) in mm.
            outlines: pairs of an outline, (ANGLES,) mm from the centre, and the tissue's name.
            only: paint only where one of these tissues is now; everywhere when empty.
        """
        reach = float(max(np.max(outline) for outline, _ in outlines))
        left, right = np.searchsorted(self._x, [center[0] - reach, center[0] + reach])
        top, bottom = np.searchsorted(self._y, [center[1] - reach, center[1] + reach])
        if left == right or top == bottom:
            return
        region = self.tissue[top:bottom, left:right]
        dx = self._x[left:right][None, :] - np.float32(center[0])
        dy = self._y[top:bottom][:, None] - np.float32(center[1])
        radius = np.hypot(dx, dy)
        position = np.arctan2(dy, dx) * np.float32(ANGLES / (2.0 * np.pi))
        index = np.floor(position).astype(np.int32)
        weight = position - index
        index %= ANGLES
        allowed = np.isin(region, [self._index[name] for name in only]) if only else None
        for outline, tissue in outlines:
            here = np.asarray(outline, dtype=np.float32)
            edge = here[index] * (1.0 - weight) + np.roll(here, -1)[index] * weight
            inside = radius < edge
            region[inside if allowed is None else inside & allowed] = self._index[tissue]

    def fractions(self) -> np.ndarray:
        """Share of each pixel that each tissue covers, float32 (tissue, row, column); the shares add up to 1."""
        n, (rows, columns), tissues = self.supersampling, self.shape, len(self._index)
        pixel = np.arange(rows * columns).reshape(self.shape)
        code = np.repeat(np.repeat(pixel, n, axis=0), n, axis=1) * tissues + self.tissue
        counts = np.bincount(code.ravel(), minlength=rows * columns * tissues)
        return np.ascontiguousarray(
            (counts.reshape(rows, columns, tissues) / n**2).transpose(2, 0, 1), dtype=np.float32
        )


def smooth_field(rng: np.random.Generator, shape: tuple[int, int], correlation_px: float) -> np.ndarray:
    """A random field with mean 0 and standard deviation 1 that varies over about ``correlation_px`` pixels.

    Returns:
        float32 (row, column).
    """
    ky = np.fft.fftfreq(shape[0])[:, None]
    kx = np.fft.rfftfreq(shape[1])[None, :]
    window = np.exp(-2.0 * (np.pi * correlation_px) ** 2 * (kx**2 + ky**2))
    field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal(shape)) * window, s=shape)
    field -= field.mean()
    return (field / max(float(field.std()), 1e-12)).astype(np.float32)
