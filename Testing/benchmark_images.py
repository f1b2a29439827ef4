"""The images of the T1 benchmark, real or simulated, and the pixels of them that are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt
from pathlib import Path

import numpy as np

SEED = 20
T1_RANGE_MS = (600.0, 2000.0)
TUBE_BLOCK = (slice(100, 224), slice(126, 246))  # rows and columns of the real phantom's box of nine tubes
MARGIN_PIXELS = 2  # of a simulated tube, whose border holds two tissues


@dataclass(frozen=True)
class Images:
    """What is reconstructed, and the T1 it is held against.

    Attributes:
        name, reference: in words, for the table.
        magnitude, phase: axes (frame, row, column), frames by inversion time, phase in radians.
        inversion_times_ms: ascending.
        t1: reference in ms, axes (row, column).
        candidates: pixels whose reference can be relied on, bool, axes (row, column).
    """

    name: str
    reference: str
    magnitude: np.ndarray
    phase: np.ndarray
    inversion_times_ms: np.ndarray
    t1: np.ndarray
    candidates: np.ndarray


def real_phantom(folder: Path) -> Images:
    """The ShMOLLI scan of a nine-tube phantom, against the T1 map that the scanner made of it."""
    from CMRLib.study.reading import read_study
    from CMRT1MappingLib.research.scanner_maps import read_scanner_maps

    scanner = read_scanner_maps(sorted(folder.rglob("*.dcm")))
    (series,) = [s for s in read_study(folder).series if s.role == "irw"]
    loaded = series.load()
    candidates = np.zeros(scanner.t1.shape, dtype=bool)
    candidates[TUBE_BLOCK] = scanner.r2[TUBE_BLOCK] > 0.99
    return _images(
        "real ShMOLLI phantom", "the scanner's T1", loaded.images, loaded.phase, series.inversion_times_ms,
        scanner.t1, candidates,
    )  # fmt: skip


def simulated_phantom() -> Images:
    """A simulated ShMOLLI scan of nine tubes, against their true T1."""
    from scipy.ndimage import binary_erosion

    from CMRLib.simulation import simulate_phantom

    (scan,) = simulate_phantom(SEED).acquisitions
    candidates = binary_erosion(scan.truth.labels > 0, iterations=MARGIN_PIXELS)
    return _images(
        "simulated ShMOLLI phantom", "the true T1", scan.images, scan.phase, scan.inversion_times_ms,
        scan.truth.t1, candidates,
    )  # fmt: skip


def _images(
    name: str,
    reference: str,
    magnitude: np.ndarray,
    phase: np.ndarray | None,
    inversion_times_ms: Sequence[float] | None,
    t1: np.ndarray,
    candidates: np.ndarray,
) -> Images:
    if phase is None or inversion_times_ms is None:
        raise SystemExit(f"The {name} holds no phase images or no inversion times.")
    times = np.asarray(inversion_times_ms, dtype=float)
    order = np.argsort(times)
    candidates = candidates & (t1 >= T1_RANGE_MS[0]) & (t1 <= T1_RANGE_MS[1])
    return Images(name, reference, magnitude[order], phase[order], times[order], t1, candidates)


def sample_pixels(candidates: np.ndarray, side: int, seed: int = SEED) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of candidates drawn without repetition, each of shape (s, s).

    s is ``side``, or less where there are fewer candidates. A smaller sample of the same seed is a part of a larger.
    """
    rows, columns = np.nonzero(candidates)
    side = min(side, isqrt(len(rows)))
    drawn = np.random.default_rng(seed).permutation(len(rows))[: side * side].reshape(side, side)
    return rows[drawn], columns[drawn]
