"""A real scan of a phantom as sets with known motion: as it was acquired, and with motion from the simulator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    from CMRLib.study.reading import read_study

    found = [series for series in read_study(folder).series if series.role == "irw"]
    loaded = found[0].load() if len(found) == 1 else None
    if loaded is None or loaded.phase is None or found[0].inversion_times_ms is None:
        raise InputError(f"{folder} must hold one inversion recovery acquisition with phase; name another folder.")
    times = tuple(float(time) for time in found[0].inversion_times_ms)
    columns_mm, rows_mm = loaded.geometry.spacing[:2]
    if abs(rows_mm - columns_mm) > 1e-3:
        raise InputError(f"The pixels of {folder} are not square; name another folder.")
    tubes = tube_mask(loaded.images, times, loaded.phase)
    severities = [severity for severity, count in COPIES.items() for _ in range(count)]
    return [
        _moved_copy(loaded.images, loaded.phase, times, rows_mm, tubes, severity, SEED + number)
        for number, severity in enumerate(severities)
    ]


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

    from CMRLib.networks.warp import invert
    from CMRLib.simulation.motion import random_motion
    from CMRT1MappingLib.motion.estimation import apply_motion

    rows, columns = tubes.shape
    row, column = (float(place.mean()) for place in np.nonzero(tubes))
    generator = torch.Generator().manual_seed(seed)
    displacement = random_motion(len(images), (rows, columns), spacing_mm, severity, generator, center=(row, column))
    moved = invert(displacement).numpy()
    moved_images, moved_phase = apply_motion(images, moved, phase, mode="bicubic")
    assert moved_phase is not None
    return EvaluationSet(
        number=0,
        subject="phantom",
        severity=severity,
        state="rest",
        scheme="shmolli",
        inversion_times_ms=times,
        spacing_mm=spacing_mm,
        images=moved_images,
        phase=moved_phase,
        still_images=images,
        still_phase=phase,
        displacement=displacement.numpy(),
        moved=moved,
        labels=tubes.astype(np.uint8),
        myocardium=tubes.astype(np.float32),
        noise_sd=0.0,
    )
