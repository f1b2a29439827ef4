"""Which post-contrast slice belongs to which native slice of a study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from CMRLib.anatomy.axis import is_placed
from CMRLib.batch.step import StepResult
from CMRLib.errors import InputError
from CMRLib.geometry import Geometry
from CMRT1MappingLib.ecv.placement import SURE_MM, place_slices


@dataclass(frozen=True)
class MapSlice:
    """One slice of a T1 map of a study.

    Attributes:
        made: the map.
        index: number of the slice in it.
    """

    made: StepResult
    index: int

    @property
    def geometry(self) -> Geometry:
        """Of this slice."""
        return self.made.geometry.at_slice(self.index)

    @property
    def t1(self) -> np.ndarray:
        """ms, (row, column)."""
        pixels: np.ndarray = self.made.images[self.index]
        return pixels


def slices_of(maps: Sequence[StepResult]) -> list[MapSlice]:
    """All slices of maps."""
    return [MapSlice(made, index) for made in maps for index in range(len(made.images))]


def pair_slices(native: Sequence[MapSlice], post: Sequence[MapSlice]) -> list[tuple[MapSlice, MapSlice]]:
    """Pairs that show the same slice, each slice in one of them at most, in the order of the native ones.

    Slices are matched by where they lie in the patient; where the images do not say, by the slice's name and number.
    Maps that came about in the same way (both fitted here, or both read) belong together.
    """
    possible = []
    for i, one in enumerate(native):
        for j, other in enumerate(post):
            apart = _apart(one, other)
            if apart is not None:
                differ = (
                    one.made.series.role != other.made.series.role,
                    one.made.series.kind != other.made.series.kind,
                )
                possible.append((apart > SURE_MM, differ, apart, i, j))
    chosen: dict[int, int] = {}
    for *_, i, j in sorted(possible):
        if i not in chosen and j not in chosen.values():
            chosen[i] = j
    return [(native[i], post[chosen[i]]) for i in sorted(chosen)]


def _apart(one: MapSlice, other: MapSlice) -> float | None:
    """Distance of two slices in mm; None where they do not show the same."""
    if is_placed(one.geometry) and is_placed(other.geometry):
        try:
            return place_slices(one.geometry, _shape(one), other.geometry, _shape(other)).apart_mm
        except InputError:
            return None
    same = (one.made.series.slice, one.index) == (other.made.series.slice, other.index)
    return 0.0 if same else None


def _shape(one: MapSlice) -> tuple[int, int]:
    return one.t1.shape[0], one.t1.shape[1]
