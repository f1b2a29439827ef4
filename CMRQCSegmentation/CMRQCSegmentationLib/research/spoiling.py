"""Spoiled copies of images, on which segmentation is likely to fail: to fit and to test the prediction of quality."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from scipy import ndimage

from CMRQCSegmentationLib.research.bank import place_of
from CMRQCSegmentationLib.research.slices import LabelledSlice

SPOILINGS = ("motion", "wrap", "noise", "wrong slice", "metal", "no heart")


def spoiled_copies(slices: Sequence[LabelledSlice], seed: int, every: int = 1) -> Iterable[LabelledSlice]:
    """Every so many slices that show a heart, each spoiled in one way, in turn; each is a stack of its own.

    A wrong slice is one along the stack's long axis, and where there are too few slices for that, one without a heart.
    """
    rng = np.random.default_rng(seed)
    shown = [item for item in slices if np.isfinite(place_of(item.labels)).all()]
    stacks: dict[str, list[LabelledSlice]] = {}
    for item in slices:
        stacks.setdefault(item.stack, []).append(item)
    for number, item in enumerate(shown[::every]):
        kind = SPOILINGS[number % len(SPOILINGS)]
        members = stacks[item.stack]
        if kind == "wrong slice" and len(members) < 5:
            kind = "no heart"
        if kind == "wrong slice":
            image, labels = _along_stack(members, item, rng)
        else:
            image, labels = spoil(item.image, item.labels, kind, rng)
        yield replace(item, image=image, labels=labels, contrast=kind, stack=f"{item.stack} {number} {kind}")


def spoil(image: np.ndarray, labels: np.ndarray, kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Damage a slice that shows a heart.

    Args:
        image: float32 (row, column).
        labels: uint8 (row, column).
        kind: one of `SPOILINGS` except "wrong slice".
        rng: random generator.

    Returns:
        The damaged image, and labels that are all 0 where it no longer shows a heart.
    """
    image = image.astype(np.float32)
    row, column, *half = place_of(labels)
    radius = float(np.mean(half))
    level = float(np.percentile(image, 99.0))
    if kind == "motion":
        return _ghosted(image, rng), labels
    if kind == "wrap":
        # The image's edge comes to lie through the heart or near it, and what was beyond lies on the other side.
        axis = int(rng.integers(2))
        place = (row, column)[axis]
        shift = int(place + rng.uniform(-1.5, 1.5) * radius)
        folded = image + rng.uniform(0.3, 1.0) * np.roll(image, -shift, axis=axis)
        return folded.astype(np.float32), labels
    if kind == "noise":
        sd = level * rng.uniform(0.1, 0.7)
        noisy = np.hypot(image + sd * rng.standard_normal(image.shape), sd * rng.standard_normal(image.shape))
        return noisy.astype(np.float32), labels
    if kind == "metal":
        rows, columns = np.indices(image.shape)
        away, angle = rng.uniform(0.0, 1.6) * radius, rng.uniform(0.0, 2.0 * np.pi)
        distance = np.hypot(rows - row - away * np.sin(angle), columns - column - away * np.cos(angle))
        size = rng.uniform(0.4, 1.6) * radius
        void = image * (1.0 - np.exp(-((distance / size) ** 4)))
        rim = level * 1.5 * np.exp(-(((distance - 1.1 * size) / (0.15 * size)) ** 2)) * (rng.random() < 0.6)
        return (void + rim).astype(np.float32), labels
    # No heart: a part of the image as far from it as there is.
    side = max(24, int(min(image.shape) * rng.uniform(0.35, 0.5)))
    corners = [(r, c) for r in (0, image.shape[0] - side) for c in (0, image.shape[1] - side)]
    free = [np.hypot(r + side / 2.0 - row, c + side / 2.0 - column) for r, c in corners]
    r, c = corners[int(np.argmax(free))] if rng.random() < 0.5 else corners[int(np.argsort(free)[-2])]
    part = labels[r : r + side, c : c + side]
    kept = np.where(part > 0, 0.0, image[r : r + side, c : c + side])
    return kept.astype(np.float32), np.zeros((side, side), dtype=np.uint8)


def _ghosted(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blocks of k-space lines from moved positions: blurring and ghosts along one axis."""
    axis = int(rng.integers(2))
    spectrum = np.fft.fftshift(np.fft.fft2(image))
    lines = image.shape[axis]
    blocks = int(rng.integers(3, 12))
    edges = np.sort(rng.integers(0, lines, blocks))
    strength = rng.uniform(2.0, 14.0)
    result = spectrum.copy()
    frequency = np.fft.fftshift(np.fft.fftfreq(lines))
    bounds = list(zip([0, *edges], [*edges, lines], strict=True))
    shifts = rng.normal(0.0, strength, len(bounds))
    # The middle of k-space says where the heart shows, and the labels are to lie there.
    middle = next(i for i, (first, last) in enumerate(bounds) if first <= lines // 2 < last)
    for (first, last), shift in zip(bounds, shifts - shifts[middle], strict=True):
        factor = np.exp(-2j * np.pi * frequency[first:last] * shift)
        part = (slice(first, last), slice(None)) if axis == 0 else (slice(None), slice(first, last))
        result[part] = spectrum[part] * (factor[:, None] if axis == 0 else factor[None, :])
    return np.abs(np.fft.ifft2(np.fft.ifftshift(result))).astype(np.float32)


def _along_stack(
    members: Sequence[LabelledSlice], item: LabelledSlice, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A plane along the stack's long axis through the heart, its slices spread to about 8 mm: no short axis at all."""
    row, column = place_of(item.labels)[:2]
    stack = np.stack([member.image for member in members]).astype(np.float32)
    plane = stack[:, int(row)] if rng.random() < 0.5 else stack[:, :, int(column)]
    spread = ndimage.zoom(plane, (8.0 / 1.5, 1.0), order=1)
    return spread.astype(np.float32), np.zeros(spread.shape, dtype=np.uint8)
