"""The pairs of slices of one rest volume put together again: maps with the axes and the slices of that volume."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from CMRStressReactivityLib.comparison import SliceReactivity


@dataclass(frozen=True)
class ReactivityVolume:
    """The change on the grid of a rest volume; a slice without a partner holds none.

    Attributes:
        slices: number of the slice in the volume -> what was found.
        percent: float32 (slice, row, column), dT1; NaN where there is none.
        error: its standard error in percentage points, NaN likewise; None where no slice has one.
        stress: float32 (slice, row, column), the registered stress map in ms, 0 where there is none.
        unregistered: the same before registration.
        displacement: float32 (slice, 2, row, column), pixels.
        myocardium: bool (slice, row, column), of the rest volume.
        device, model, model_sha256: where and by which weights it was registered.
    """

    slices: Mapping[int, SliceReactivity]
    percent: np.ndarray
    error: np.ndarray | None
    stress: np.ndarray
    unregistered: np.ndarray
    displacement: np.ndarray
    myocardium: np.ndarray
    device: str = ""
    model: str = ""
    model_sha256: str = ""

    @property
    def in_myocardium(self) -> np.ndarray:
        """dT1 in the myocardium, NaN elsewhere; float32 (slice, row, column)."""
        inside: np.ndarray = np.where(self.myocardium, self.percent, np.float32(np.nan)).astype(np.float32)
        return inside


def volume_of(
    slices: Mapping[int, SliceReactivity], shape: tuple[int, int, int], myocardium: np.ndarray | None
) -> ReactivityVolume:
    """Put slices together.

    Args:
        slices: number of the slice in the volume -> what was found; at least one.
        shape: of the rest volume.
        myocardium: bool of that shape, or None.
    """
    percent = np.full(shape, np.nan, dtype=np.float32)
    error = np.full(shape, np.nan, dtype=np.float32)
    stress, unregistered = (np.zeros(shape, dtype=np.float32) for _ in range(2))
    displacement = np.zeros((shape[0], 2, *shape[1:]), dtype=np.float32)
    for index, one in slices.items():
        percent[index], stress[index] = one.reactivity.percent, one.stress
        unregistered[index], displacement[index] = one.unregistered, one.registration.displacement
        if one.reactivity.error is not None:
            error[index] = one.reactivity.error
    registration = next(iter(slices.values())).registration
    entry = registration.model
    return ReactivityVolume(
        slices=dict(slices),
        percent=percent,
        error=error if np.any(np.isfinite(error)) else None,
        stress=stress,
        unregistered=unregistered,
        displacement=displacement,
        myocardium=np.zeros(shape, dtype=bool) if myocardium is None else np.asarray(myocardium, dtype=bool),
        device=registration.device,
        model="" if entry is None else entry.id,
        model_sha256="" if entry is None else entry.sha256,
    )
