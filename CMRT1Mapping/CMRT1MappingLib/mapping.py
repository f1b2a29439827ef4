"""The T1 result of one acquisition: what the panel shows and the batch writes come from here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from CMRT1MappingLib.fit.reconstruction import FitOptions, T1Maps, reconstruct
from CMRT1MappingLib.motion.correction import CorrectedMaps, correct_and_reconstruct
from CMRT1MappingLib.motion.estimation import DEFAULT_MODEL

if TYPE_CHECKING:
    from CMRT1MappingLib.motion.estimation import MotionModel

MOTION_OFF = "off"  # what becomes of a correction that was not asked for


@dataclass(frozen=True)
class T1Result:
    """The maps of one acquisition.

    Attributes:
        maps: those kept.
        corrected: how the maps came about; None where no correction was asked for.
        parameters: what was chosen for the maps and became of the correction, for the provenance of every result
            (see `CMRLib.provenance.result_attributes`).
    """

    maps: T1Maps
    corrected: CorrectedMaps | None
    parameters: dict[str, Any]

    @property
    def heart(self) -> np.ndarray | None:
        """Where the heart was found, bool (row, column); None where it was not looked for or not found."""
        if self.corrected is None or np.array_equal(self.corrected.heart, self.corrected.original.samples > 0):
            return None
        return self.corrected.heart


def map_t1(
    images: np.ndarray,
    inversion_times_ms: Sequence[float],
    phase: np.ndarray | None = None,
    spacing_mm: tuple[float, float] = (1.0, 1.0),
    *,
    scheme: str = "shmolli",
    options: FitOptions | None = None,
    model: MotionModel | str | Path | None = DEFAULT_MODEL,
    device: str = "auto",
    progress: Callable[[float], None] | None = None,
) -> T1Result:
    """Map T1 of one acquisition, of aligned images where aligning them helps.

    Args:
        images: magnitude images, axes (frame, row, column), any unit.
        inversion_times_ms: one per frame, in the order of the frames, ms.
        phase: radians, of the same shape, or None.
        spacing_mm: distance between pixel centres along (row index, column index).
        scheme: see `CMRT1MappingLib.fit.reconstruction.reconstruct`.
        options: see there.
        model: what corrects motion, see `CMRT1MappingLib.motion.correction.correct_and_reconstruct`; None fits the
            images as acquired.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        progress: called with the fraction done; what it raises ends the work.

    Raises:
        InputError: images, phase or inversion times cannot be used, or there is no such model.
        DeviceError: the device is not available.
        MissingDependencyError: PyTorch or the weights are missing, or the weights are damaged.
    """
    options = options or FitOptions()
    parameters: dict[str, Any] = {
        "Scheme": scheme,
        "InversionTimes": tuple(inversion_times_ms),
        **options.parameters(scheme),
    }
    if model is None:
        maps = reconstruct(
            images, inversion_times_ms, phase, scheme=scheme, options=options, device=device, progress=progress
        )
        return T1Result(maps, None, parameters | {"MotionCorrection": MOTION_OFF})
    corrected = correct_and_reconstruct(
        images,
        inversion_times_ms,
        phase,
        spacing_mm,
        scheme=scheme,
        options=options,
        model=model,
        device=device,
        progress=progress,
    )
    return T1Result(corrected.maps, corrected, parameters | corrected.parameters())
