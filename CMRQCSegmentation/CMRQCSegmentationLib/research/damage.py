"""Damaged copies of images that the flags are fitted on; `CMRQCSegmentationLib.research.spoiling` damages the test's.

The two are kept apart on purpose: flags fitted on the very damage that they are tested on would say little of others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
from scipy import ndimage

from CMRQCSegmentationLib.research.bank import place_of
from CMRQCSegmentationLib.research.slices import LabelledSlice

Damage = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]
PLANE_MM, PIXEL_MM = 8.0, 1.5  # nominal distance of slices and pixel size of a plane across a stack


def damaged_copies(slices: Sequence[LabelledSlice], seed: int, copies: int = 2) -> Iterable[LabelledSlice]:
    """Every slice that shows a heart, damaged in so many ways, in turn; each copy is a stack of its own.

    Every twelfth copy is a part of the image without the heart, and every twelfth a plane across the stack.
    """
    rng = np.random.default_rng(seed)
    stacks: dict[str, list[LabelledSlice]] = {}
    for item in slices:
        stacks.setdefault(item.stack, []).append(item)
    names = (*DAMAGES, "elsewhere", "across")
    number = 0
    for item in slices:
        if not np.isfinite(place_of(item.labels)).all():
            continue
        for _ in range(copies):
            kind = names[number % len(names)]
            number += 1
            if kind == "across" and len(stacks[item.stack]) < 5:
                kind = "elsewhere"
            labels = item.labels
            if kind == "across":
                image = _across(stacks[item.stack], item, rng)
            elif kind == "elsewhere":
                image = _elsewhere(item, rng)
            else:
                image = DAMAGES[kind](item.image.astype(np.float32), labels, rng).astype(np.float32)
            if kind in ("across", "elsewhere"):
                labels = np.zeros(image.shape, dtype=np.uint8)
            yield replace(item, image=image, labels=labels, contrast=kind, stack=f"{item.stack} {number} {kind}")


def _level(image: np.ndarray) -> float:
    return float(np.percentile(np.abs(image), 99.0)) + 1e-6


def _by_lines(image: np.ndarray, shifts: np.ndarray, axis: int) -> np.ndarray:
    """The image whose k-space lines were each read when everything lay ``shifts`` (line,) pixels further along."""
    frequency = np.fft.fftfreq(image.shape[axis])
    phase = np.exp(-2j * np.pi * frequency * np.fft.ifftshift(shifts))
    spectrum = np.fft.fft2(image) * (phase[:, None] if axis == 0 else phase[None, :])
    return np.abs(np.fft.ifft2(spectrum)).astype(np.float32)


def _breathing(image: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Periodic motion during the readout: ghosts at a distance."""
    axis = int(rng.integers(2))
    lines = image.shape[axis]
    wave = np.sin(2.0 * np.pi * (rng.uniform(2.0, 15.0) * np.arange(lines) / lines + rng.random()))
    # The middle of k-space says where the heart shows, and the labels are to lie there.
    return _by_lines(image, rng.uniform(1.0, 9.0) * (wave - wave[lines // 2]), axis)


def _jumping(image: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A patient who moved a few times and lay elsewhere afterwards, or drifted."""
    axis = int(rng.integers(2))
    lines = image.shape[axis]
    jumps = rng.normal(0.0, 1.0, lines) * (rng.random(lines) < rng.uniform(1.0, 14.0) / lines)
    path = np.cumsum(jumps) + rng.uniform(-1.0, 1.0) * np.linspace(-1.0, 1.0, lines)
    path = path - path[lines // 2]
    return _by_lines(image, rng.uniform(2.0, 12.0) * path / max(float(path.std()), 0.3), axis)


def _blurred(image: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Motion during every beat."""
    sigma = rng.uniform(0.02, 0.3) * float(np.mean(place_of(labels)[2:]))
    return ndimage.gaussian_filter(image, (sigma, sigma * rng.uniform(0.1, 1.0)))


def _aliased(image: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A field of view too small along one axis: what lies beyond folds in, here all of it at a chosen distance."""
    axis = int(rng.integers(2))
    lines = image.shape[axis]
    distance = int(lines * rng.uniform(0.25, 0.75))
    moved = np.roll(image, distance, axis=axis)
    shading = ndimage.gaussian_filter(rng.standard_normal(image.shape), min(image.shape) / 6.0)
    field = np.exp(lines / 12.0 * shading)
    return image + rng.uniform(0.25, 1.1) * moved * np.clip(field, 0.3, 2.0)


def _undersampled(image: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Failed parallel imaging: the image again at regular distances."""
    axis = int(rng.integers(2))
    count = int(rng.integers(2, 5))
    parts = [np.roll(image, i * image.shape[axis] // count, axis=axis) for i in range(1, count)]
    return image + rng.uniform(0.15, 0.7) * np.sum(parts, axis=0)


def _noisy(image: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Noise that grows towards one place, as parallel imaging makes it."""
    rows, columns = np.indices(image.shape)
    center = rng.uniform(0.2, 0.8, 2) * image.shape
    away = np.hypot(rows - center[0], columns - center[1]) / min(image.shape)
    sd = _level(image) * rng.uniform(0.05, 0.6) * (0.4 + 0.6 * np.exp(-((away / rng.uniform(0.2, 1.0)) ** 2)))
    noise = rng.standard_normal((2, *image.shape))
    if rng.random() < 0.5:
        noise = ndimage.gaussian_filter(noise, (0.0, 0.7, 0.7)) * 2.2
    return np.hypot(image + sd * noise[0], sd * noise[1])


def _void(image: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Metal: an elliptic hole with a bright side, the tissue around it pulled towards it."""
    row, column, *half = place_of(labels)
    radius = float(np.mean(half))
    away, angle = rng.uniform(0.3, 2.0) * radius, rng.uniform(0.0, 2.0 * np.pi)
    rows, columns = np.indices(image.shape)
    down, right = rows - row - away * np.sin(angle), columns - column - away * np.cos(angle)
    turn = rng.uniform(0.0, np.pi)
    along = np.cos(turn) * down + np.sin(turn) * right
    across = np.cos(turn) * right - np.sin(turn) * down
    size = rng.uniform(0.5, 1.8) * radius
    distance = np.hypot(along / size, across / (size * rng.uniform(0.5, 1.0)))
    pull = rng.uniform(0.0, 0.5) * np.exp(-(distance**2))
    moved = ndimage.map_coordinates(image, [rows + pull * down, columns + pull * right], order=1, mode="nearest")
    hole = 1.0 / (1.0 + np.exp((1.0 - distance) * rng.uniform(4.0, 25.0)))
    side = np.clip(along / size + rng.uniform(0.0, 1.0), 0.0, 1.0)
    rim = np.exp(-(((distance - 1.15) / rng.uniform(0.1, 0.3)) ** 2)) * side
    return moved * hole + rng.uniform(0.0, 1.8) * _level(image) * rim


def _banded(image: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Off-resonance bands of balanced SSFP through the heart."""
    row, column, *half = place_of(labels)
    rows, columns = np.indices(image.shape)
    turn = rng.uniform(0.0, np.pi)
    across = np.cos(turn) * (rows - row) + np.sin(turn) * (columns - column)
    bend = rng.uniform(-0.3, 0.3) * (np.cos(turn) * (columns - column) - np.sin(turn) * (rows - row))
    wave = np.sin(np.pi * (across + bend**2 / image.shape[0]) / (rng.uniform(0.6, 3.0) * np.mean(half)) + rng.random())
    return image * np.clip(np.abs(wave) / rng.uniform(0.2, 0.8), 0.05, 1.0)


def _stripes(image: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Spikes in k-space."""
    spectrum = np.fft.fft2(image)
    for _ in range(int(rng.integers(1, 4))):
        place = tuple(int(rng.integers(2, n // 4)) * int(rng.choice([-1, 1])) for n in image.shape)
        spectrum[place] += rng.uniform(0.05, 0.6) * _level(image) * image.size * np.exp(2j * np.pi * rng.random())
    return np.abs(np.fft.ifft2(spectrum))


def _cut(image: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A field of view, or a saturation band, that ends in the heart."""
    axis = int(rng.integers(2))
    row, column, *half = place_of(labels)
    edge = int((row, column)[axis] + rng.uniform(-0.8, 0.8) * half[axis])
    lines = np.arange(image.shape[axis])
    kept = lines < edge if rng.random() < 0.5 else lines > edge
    shade = np.where(kept, 1.0, float(rng.choice([0.0, 0.15])))
    return image * (shade[:, None] if axis == 0 else shade[None, :])


def _across(members: Sequence[LabelledSlice], item: LabelledSlice, rng: np.random.Generator) -> np.ndarray:
    """A plane across the stack, near the heart, at any angle."""
    stack = np.stack([member.image for member in members]).astype(np.float32)
    row, column, *half = place_of(item.labels)
    turn = rng.uniform(0.0, np.pi)
    side = float(min(stack.shape[1:]))
    along = np.arange(int(side)) - side / 2.0
    shift = rng.uniform(-0.7, 0.7) * float(np.mean(half))
    rows = row + along * np.cos(turn) - shift * np.sin(turn)
    columns = column + along * np.sin(turn) + shift * np.cos(turn)
    depth = np.arange(0.0, len(stack) - 1.0, PIXEL_MM / PLANE_MM)
    shape = (len(depth), len(along))
    places = [np.broadcast_to(depth[:, None], shape), np.broadcast_to(rows, shape), np.broadcast_to(columns, shape)]
    return ndimage.map_coordinates(stack, places, order=1, cval=0.0).astype(np.float32)


def _elsewhere(item: LabelledSlice, rng: np.random.Generator) -> np.ndarray:
    """A part of the image that shows none of the labelled heart."""
    shape = np.array(item.image.shape)
    side = max(24, int(shape.min() * rng.uniform(0.25, 0.45)))
    tries = rng.integers(0, shape - side, (40, 2))
    shown = [float((item.labels[r : r + side, c : c + side] > 0).sum()) for r, c in tries]
    row, column = tries[int(np.argmin(shown))]
    part = (slice(row, row + side), slice(column, column + side))
    return np.where(item.labels[part] > 0, 0.0, item.image[part]).astype(np.float32)


DAMAGES: dict[str, Damage] = {
    "breathing": _breathing,
    "jumping": _jumping,
    "blurred": _blurred,
    "aliased": _aliased,
    "undersampled": _undersampled,
    "noisy": _noisy,
    "void": _void,
    "banded": _banded,
    "stripes": _stripes,
    "cut": _cut,
}
