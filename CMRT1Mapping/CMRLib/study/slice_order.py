"""Ordering slices from the base of the left ventricle to its apex, and naming them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from CMRLib.anatomy.axis import BASE_TO_APEX, LEVELS
from CMRLib.study.series import STATES

_LEAST_ALIGNMENT = 0.45  # cosine (63 degrees) below which a plane is taken for a long-axis plane: no base, no apex
_PARALLEL = 0.985  # cosine of 10 degrees: planes of one prescription, allowing for a re-planned one
_SAME_SLICE_MM = 4.0  # half the usual slice thickness of 8 mm
_MATCH_MM = 12.0  # how far a re-planned slice may lie from the one it repeats


@dataclass(frozen=True)
class Plane:
    """Where an image lies.

    Attributes:
        position: LPS mm of its first pixel's centre.
        orientation: LPS unit vectors along which columns and rows are counted, six numbers as in DICOM.
        state: "rest", "stress", "post" or "".
    """

    position: tuple[float, ...]
    orientation: tuple[float, ...]
    state: str = ""

    @property
    def normal(self) -> np.ndarray:
        """Unit normal of the plane, turned to point from base to apex; of a long-axis plane, either way."""
        normal = np.cross(self.orientation[:3], self.orientation[3:])
        normal = normal / np.linalg.norm(normal)
        return -normal if normal @ BASE_TO_APEX < 0 else normal

    @property
    def is_long_axis(self) -> bool:
        """Whether the plane holds the usual long axis, so that it has no place between base and apex."""
        return bool(abs(self.normal @ BASE_TO_APEX) < _LEAST_ALIGNMENT)

    def is_parallel(self, other: Plane) -> bool:
        """Whether both planes belong to one stack."""
        return bool(abs(self.normal @ other.normal) >= _PARALLEL)

    def is_same_slice(self, other: Plane) -> bool:
        """Whether both planes show the same slice: parallel, and less than half a slice apart."""
        apart = abs((np.subtract(other.position, self.position)) @ self.normal)
        return self.is_parallel(other) and bool(apart <= _SAME_SLICE_MM)


def place_along_axis(plane: Plane, reference: Plane) -> float:
    """Position of a plane in mm along the reference plane's normal; it grows from base to apex."""
    return float(np.asarray(plane.position) @ reference.normal)


def name_slices(planes: Sequence[Plane]) -> list[tuple[str, float]]:
    """Name and axis position (mm, growing from base to apex) of each plane, in the given order.

    Three slices are "basal", "mid" and "apical"; one is "mid"; any other number are "0", "1", ... from the base.
    States are named against the state with most slices: by order where they have as many, else by the nearest slice,
    within 12 mm; where that fails, all slices of all states are numbered together. Planes that are not parallel to
    most of the others, and long-axis planes, are numbered after them.
    """
    names: list[tuple[str, float]] = [("", 0.0)] * len(planes)
    stacks = _stacks(planes)
    taken = 0
    for rank, stack in enumerate(stacks):
        reference = planes[stack[0]]
        along = {i: place_along_axis(planes[i], reference) for i in stack}
        named = rank == 0 and not reference.is_long_axis
        labels = _labels(planes, along, named, taken)
        for i in stack:
            names[i] = (labels[i], along[i])
        taken += len(_distinct(sorted(along.values())))
    return names


def _stacks(planes: Sequence[Plane]) -> list[list[int]]:
    """Indices of parallel planes; short-axis stacks before long-axis ones, larger before smaller."""
    stacks: list[list[int]] = []
    for i, plane in enumerate(planes):
        for stack in stacks:
            if plane.is_parallel(planes[stack[0]]):
                stack.append(i)
                break
        else:
            stacks.append([i])
    return sorted(stacks, key=lambda s: (planes[s[0]].is_long_axis, -len(s), tuple(planes[s[0]].normal)))


def _labels(planes: Sequence[Plane], along: dict[int, float], named: bool, first: int) -> dict[int, str]:
    """The label of each plane of one stack; numbers start at ``first``."""
    places = {state: _distinct(sorted(along[i] for i in along if planes[i].state == state)) for state in ("", *STATES)}
    # max keeps the first of equals: rest, then stress, then post
    reference = max((*STATES, ""), key=lambda state: len(places[state]))
    count = len(places[reference])
    texts = _texts(count, first) if named else [str(first + n) for n in range(count)]
    labels: dict[int, str] = {}
    for state, own in places.items():
        matched = _match(own, places[reference])
        if matched is None:
            everything = _distinct(sorted(along.values()))
            return {i: str(first + _nearest(everything, along[i])) for i in along}
        labels |= {i: texts[matched[_nearest(own, along[i])]] for i in along if planes[i].state == state}
    return labels


def _texts(count: int, first: int) -> list[str]:
    if count == 1:
        return ["mid"]
    return list(LEVELS) if count == len(LEVELS) else [str(first + n) for n in range(count)]


def _match(own: list[float], reference: list[float]) -> list[int] | None:
    """For each place of a state, the index of the reference's place it shows; None where that cannot be told."""
    same_count = len(own) == len(reference)
    chosen = list(range(len(own))) if same_count else [_nearest(reference, place) for place in own]
    far = any(abs(reference[n] - place) > _MATCH_MM for n, place in zip(chosen, own, strict=True))
    return None if far or len(set(chosen)) < len(chosen) else chosen


def _distinct(places: Sequence[float]) -> list[float]:
    """Sorted places with those of one slice (within 4 mm of its first) taken together."""
    distinct: list[float] = []
    for place in places:
        if not distinct or place - distinct[-1] > _SAME_SLICE_MM:
            distinct.append(place)
    return distinct


def _nearest(places: Sequence[float], place: float) -> int:
    return int(np.argmin(np.abs(np.asarray(places) - place)))
