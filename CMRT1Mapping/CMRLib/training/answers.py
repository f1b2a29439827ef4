"""Answers of other software that take long, kept on a disk between evaluations."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from CMRLib.files.atomic import write_atomically

STEPS_PER_PIXEL = 1000  # of kept displacements


def kept_displacement(file: Path, images: np.ndarray, settings: str, estimate: Callable[[], np.ndarray]) -> np.ndarray:
    """A displacement in pixels: what the file holds, where it is of these images and settings, else a new one, kept.

    Args:
        file: ends in ``.npz``.
        images: what is registered.
        settings: what else the answer depends on.
        estimate: gives the answer, within 32 pixels.

    Raises:
        OutputError: the file cannot be written.
    """
    key = f"{zlib.crc32(images.tobytes()):08x} {settings}"
    if file.is_file():
        with np.load(file) as kept:
            if str(kept["key"]) == key:
                return kept["steps"].astype(np.float32) / STEPS_PER_PIXEL
    steps = np.round(estimate() * STEPS_PER_PIXEL).astype(np.int16)
    write_atomically(file, lambda partial: np.savez_compressed(partial, steps=steps, key=key))
    return steps.astype(np.float32) / STEPS_PER_PIXEL
