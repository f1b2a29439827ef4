"""The tubes of `irw_phantom`, moved a little between the images; the correction of it is known."""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
from irw_phantom import Phantom, make_phantom
from scipy.ndimage import map_coordinates

from CMRLib.networks.models import ModelEntry
from CMRT1MappingLib.motion import correction as motion_correction
from CMRT1MappingLib.motion.estimation import MotionEstimate, check_motion_input

ENTRY = ModelEntry(
    "known-motion", "motion", "none", "none.safetensors", "0" * 64, 1, {}, ("none",), "CC0-1.0", "2026-11-21"
)


@dataclass(frozen=True)
class MovingPhantom:
    """Arrays as the reconstruction takes them.

    Attributes:
        still: the tubes without motion.
        images, phase: (frame, row, column), of the tubes as they moved.
        displacement: (frame, 2, row, column) in pixels, from the still tubes to their place in each image.
    """

    still: Phantom
    images: np.ndarray
    phase: np.ndarray
    displacement: np.ndarray


def make_moving_phantom(shape=(40, 60), largest=2.5, seed=1) -> MovingPhantom:
    """Every image shifted as a whole by up to ``largest`` pixels, none on average, in row and column unlike."""
    still = make_phantom(shape=shape, noise=0.2)
    frames = len(still.images)
    shifts = np.random.default_rng(seed).uniform(-1.0, 1.0, (frames, 2))
    shifts -= shifts.mean(axis=0)
    shifts *= largest / np.abs(shifts).max()
    grid = np.mgrid[: shape[0], : shape[1]]
    signal = still.images * np.exp(1j * still.phase)
    moved = []
    for frame, shift in zip(signal, shifts, strict=True):
        place = grid - shift[:, None, None]
        parts = [map_coordinates(part, place, order=1, mode="nearest") for part in (frame.real, frame.imag)]
        moved.append(parts[0] + 1j * parts[1])
    displacement = np.broadcast_to(shifts[:, :, None, None], (frames, 2, *shape)).astype(np.float32)
    images, phase = np.abs(moved).astype(np.float32), np.angle(moved).astype(np.float32)
    return MovingPhantom(still, images, phase, np.ascontiguousarray(displacement))


def known_motion(displacement: np.ndarray, spacings: list[tuple[float, float]] | None = None) -> Callable:
    """An ``estimate_motion`` that knows the answer; the spacings that it is asked with are noted."""

    def estimate(images, spacing_mm, *, model, mirrored=False, progress=None):
        check_motion_input(images, spacing_mm)
        if spacings is not None:
            spacings.append(spacing_mm)
        if progress is not None:
            progress(1.0)
        heart = np.zeros(images.shape[1:], np.float32)
        heart[4:-4, 4:-4] = 1.0
        return MotionEstimate(displacement, heart, model.entry, "cpu")

    return estimate


def install_known_motion(monkeypatch, displacement: np.ndarray, spacings: list | None = None) -> None:
    """Let the correction know the motion, so that neither weights nor a network are needed."""
    monkeypatch.setattr(motion_correction, "estimate_motion", known_motion(displacement, spacings))
    monkeypatch.setattr(motion_correction, "refine_motion", lambda images, displacement, *_, **__: displacement)
    model = SimpleNamespace(entry=ENTRY)
    monkeypatch.setattr(motion_correction, "load_motion_model", lambda *_: model)
