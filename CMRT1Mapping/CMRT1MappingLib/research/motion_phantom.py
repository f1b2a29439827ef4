"""A real scan of a phantom as sets with known motion: as it was acquired, and with motion from the simulator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from CMRLib.errors import InputError
from CMRT1MappingLib.fit.reconstruction import reconstruct
from CMRT1MappingLib.research.irw_evaluation import EvaluationSet

# Number of moved copies by severity. Phantoms do not move; whatever moves these is random, so a few are enough.
COPIES: Mapping[str, int] = {"none": 1, "moderate": 5, "severe": 5}
T1_RANGE_MS = (600.0, 2000.0)
LEAST_R2 = 0.99
MARGIN_PIXELS = 2  # of a tube, whose border holds two materials
SEED = 41


def phantom_sets(folder: Path) -> list[EvaluationSet]:
    """The ShMOLLI scan of a phantom below a folder, and copies of it with motion.

    What takes the place of the myocardium are the pixels with T1 from 600 to 2000 ms and R² above 0.99 that lie
    2 pixels or more inside a tube. The truth is the scan itself, noise included.

    Raises:
        InputError: the folder does not hold one acquisition with phase and inversion times.
    """
    images, phase, times, spacing_mm = _scan(folder)
    tubes = tube_mask(images, times, phase)
    severities = [severity for severity, count in COPIES.items() for _ in range(count)]
    return [
        _moved_copy(images, phase, times, spacing_mm, tubes, severity, SEED + number)
        for number, severity in enumerate(severities)
    ]


def phantom_variants(
    folder: Path, count: int, course: str = "still", split: str = "test"
) -> Iterator[tuple[EvaluationSet, bool]]:
    """Variants of the scan, as it is or moved, and whether their phase is to be used.

    Each is turned or mirrored, binned or not, cut to a part around the tubes, has more noise or not, and all its frames
    or some of them, fitted as MOLLI then.

    Args:
        folder: see `phantom_sets`.
        count: how many.
        course: see `CMRT1MappingLib.research.irw_kinds.case`.
        split: "validation" and "test" differ in all that is drawn.

    Raises:
        InputError: see `phantom_sets`.
    """
    images, phase, times, spacing_mm = _scan(folder)
    for number in range(count):
        rng = np.random.default_rng([SEED, number, split == "test"])
        yield _variant(images, phase, times, spacing_mm, number, course, rng), number % 2 == 0


def _scan(folder: Path) -> tuple[np.ndarray, np.ndarray, tuple[float, ...], float]:
    """Magnitude and phase (frame, row, column), inversion times in ms and spacing of the square pixels in mm."""
    from CMRLib.study.reading import read_study

    found = [series for series in read_study(folder).series if series.role == "irw"]
    loaded = found[0].load() if len(found) == 1 else None
    if loaded is None or loaded.phase is None or found[0].inversion_times_ms is None:
        raise InputError(f"{folder} must hold one inversion recovery acquisition with phase; name another folder.")
    times = tuple(float(time) for time in found[0].inversion_times_ms)
    columns_mm, rows_mm = loaded.geometry.spacing[:2]
    if abs(rows_mm - columns_mm) > 1e-3:
        raise InputError(f"The pixels of {folder} are not square; name another folder.")
    return loaded.images, loaded.phase, times, rows_mm


def _variant(
    images: np.ndarray,
    phase: np.ndarray,
    times: tuple[float, ...],
    spacing_mm: float,
    number: int,
    course: str,
    rng: np.random.Generator,
) -> EvaluationSet:
    from CMRT1MappingLib.research.irw_kinds import displacement_of

    signal = images * np.exp(1j * phase)
    margin = rng.integers(0, 70, 4)
    signal = signal[:, margin[0] : signal.shape[1] - margin[1], margin[2] : signal.shape[2] - margin[3]]
    if rng.random() < 0.5:
        rows, columns = (n // 2 for n in signal.shape[1:])
        signal = signal[:, : 2 * rows, : 2 * columns].reshape(len(signal), rows, 2, columns, 2).mean(axis=(2, 4))
        spacing_mm = 2.0 * spacing_mm
    signal = np.ascontiguousarray(np.rot90(signal, int(rng.integers(4)), axes=(1, 2)))
    signal = signal[:, ::-1] if rng.random() < 0.5 else signal
    tubes = tube_mask(np.abs(signal), times, np.angle(signal))
    kept = np.arange(len(times))
    if number % 3 == 2:
        kept = np.sort(rng.permutation(len(times))[: int(rng.integers(5, 7))])
    signal, times = signal[kept], tuple(times[frame] for frame in kept)
    rows, columns = tubes.shape
    center = (float(np.nonzero(tubes)[0].mean()), float(np.nonzero(tubes)[1].mean()))
    displacement = displacement_of(course, len(times), (rows, columns), spacing_mm, rng, center, None)
    noise = float(rng.choice([0.0, 0.0, 0.01, 0.03])) * float(np.percentile(np.abs(signal), 99.0))
    return _moved(
        np.abs(signal), np.angle(signal), times, spacing_mm, tubes, course, displacement, noise=noise, rng=rng
    )


def _scheme(times: Sequence[float]) -> str:
    return "shmolli" if len(times) == 7 else "molli"


def tube_mask(images: np.ndarray, times: Sequence[float], phase: np.ndarray) -> np.ndarray:
    """Pixels (row, column) inside tubes whose T1 can be relied on."""
    from scipy.ndimage import binary_erosion

    maps = reconstruct(images, times, phase, device="cpu")
    low, high = T1_RANGE_MS
    mask: np.ndarray = binary_erosion(
        (maps.r2 > LEAST_R2) & (maps.t1 >= low) & (maps.t1 <= high), iterations=MARGIN_PIXELS
    )
    return mask


def _moved_copy(
    images: np.ndarray,
    phase: np.ndarray,
    times: tuple[float, ...],
    spacing_mm: float,
    tubes: np.ndarray,
    severity: str,
    seed: int,
) -> EvaluationSet:
    import torch

    from CMRLib.simulation.motion import random_motion

    rows, columns = tubes.shape
    row, column = (float(place.mean()) for place in np.nonzero(tubes))
    generator = torch.Generator().manual_seed(seed)
    displacement = random_motion(len(images), (rows, columns), spacing_mm, severity, generator, center=(row, column))
    return _moved(images, phase, times, spacing_mm, tubes, severity, displacement.numpy())


def _moved(
    images: np.ndarray,
    phase: np.ndarray,
    times: tuple[float, ...],
    spacing_mm: float,
    tubes: np.ndarray,
    severity: str,
    displacement: np.ndarray,
    noise: float = 0.0,
    rng: np.random.Generator | None = None,
) -> EvaluationSet:
    """Images with a displacement put into them, and noise if wanted."""
    import torch

    from CMRLib.networks.warp import invert
    from CMRT1MappingLib.motion.estimation import apply_motion

    moved = invert(torch.as_tensor(displacement)).numpy()
    moved_images, moved_phase = apply_motion(images, moved, phase, mode="bicubic")
    assert moved_phase is not None
    if noise and rng is not None:
        parts = rng.normal(0.0, noise, (2, *images.shape))
        signal = moved_images * np.exp(1j * moved_phase) + parts[0] + 1j * parts[1]
        moved_images, moved_phase = np.abs(signal).astype(np.float32), np.angle(signal).astype(np.float32)
    return EvaluationSet(
        number=0,
        subject="phantom",
        severity="none" if severity == "still" else severity,
        state="rest",
        scheme=_scheme(times),
        inversion_times_ms=times,
        spacing_mm=spacing_mm,
        images=moved_images,
        phase=moved_phase,
        still_images=images,
        still_phase=phase,
        displacement=displacement,
        moved=moved,
        labels=tubes.astype(np.uint8),
        myocardium=tubes.astype(np.float32),
        noise_sd=noise,
    )
