"""Finding T1 maps, late enhancement, VNE and cine series among the images of a DICOM study."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from CMRLib.study.dicom.groups import Acquisition, LeftOut, by_place, grouped, in_acquisition_order
from CMRLib.study.dicom.headers import FrameHeader
from CMRLib.study.rules import RoleRule, spaced
from CMRLib.study.slice_order import Plane, place_along_axis

_EVEN_SPACING_MM = 0.5
_NO_MAP = (
    "It is called a T1 map, but it is an image of one inversion time ({time:g} ms) and nothing else shows that it is a "
    "map; export all images of the acquisition, in one series or in series of one name."
)
_MS_PER_UNIT = {"": 1.0, "ms": 1.0, "msec": 1.0, "s": 1000.0, "sec": 1000.0}


def find_maps(frames: Sequence[FrameHeader], rule: RoleRule, left_out: LeftOut) -> list[Acquisition]:
    """The series among images that one rule has recognised as T1 maps, late enhancement, VNE or cine.

    A T1 map is one series per slice, as the acquisition it comes from; slices of the other kinds in one DICOM series
    make a stack where they are parallel and evenly spaced, and one series per slice otherwise; a cine is one series of
    frames per slice. Images that repeat a slice at another time are a series of their own.
    """
    found: list[Acquisition] = []
    for series in grouped(frames, lambda frame: frame.series_uid):
        usable = _usable(series, rule, left_out)
        places = [
            _cine_order(place) if rule.role == "cine" else in_acquisition_order(place)[0] for place in by_place(usable)
        ]
        if rule.role == "cine" and any(len(place) > 1 for place in places):
            found += [Acquisition(rule, tuple(place)) for place in places]
            continue
        for layer in _layers(places, left_out):
            found += _slices_or_stack(rule, layer)
    return found


def _usable(group: list[FrameHeader], rule: RoleRule, left_out: LeftOut) -> list[FrameHeader]:
    """The images that hold what their role says; the others are left out with the reason."""
    usable = []
    for frame in group:
        if rule.role == "t1" and frame.units not in _MS_PER_UNIT:
            left_out.add(
                [frame], f'A T1 map in the unit "{frame.units}", which is not read; export it in milliseconds.'
            )
        elif rule.role == "t1" and not _may_be_map(frame):
            left_out.add([frame], _NO_MAP.format(time=frame.inversion_time), "irw")
        elif frame.component == "imaginary" or (
            frame.component == "phase" and rule.role != "t1" and rule.kind != "psir"
        ):
            left_out.add([frame], f"The {frame.component} part of complex images, which is not analysed for this kind.")
        else:
            usable.append(frame)
    return usable


def _may_be_map(frame: FrameHeader) -> bool:
    """Whether an image that is called a T1 map can be one: one with an inversion time needs more than the name."""
    if frame.inversion_time is None or frame.units:
        return True
    words = spaced(" ".join((*frame.image_type, frame.comments)))
    return re.search(r"\bderived\b|\bt1\b|\bmap\b", words, re.IGNORECASE) is not None


def _cine_order(frames: list[FrameHeader]) -> list[FrameHeader]:
    """The frames of one slice by time after the R wave where every frame gives it, else as they were acquired."""
    delays = [frame.trigger_time for frame in frames]
    ordered, _ = in_acquisition_order(frames)
    if None in delays or len(set(delays)) < len(delays):
        return ordered
    return sorted(ordered, key=lambda frame: frame.trigger_time or 0.0)


def _layers(places: list[list[FrameHeader]], left_out: LeftOut) -> list[list[FrameHeader]]:
    """One image per slice position and repetition; repetitions must differ in time to be told apart."""
    told = []
    for place in places:
        times = [frame.time for frame in place]
        if len(place) > 1 and (None in times or len(set(times)) < len(times)):
            left_out.add(
                place,
                f"{len(place)} images of one slice and one time, so that it cannot be told which one to use; add a "
                "rule on their comments or image type to the series rules.",
            )
        else:
            told.append(place)
    count = max((len(place) for place in told), default=0)
    return [[place[n] for place in told if len(place) > n] for n in range(count)]


def _slices_or_stack(rule: RoleRule, layer: list[FrameHeader]) -> list[Acquisition]:
    """The images as one stack from base to apex, or each on its own."""
    reference = Plane(layer[0].position, layer[0].orientation)
    factor = _MS_PER_UNIT[layer[0].units] if rule.role == "t1" else 1.0
    planes = [Plane(frame.position, frame.orientation) for frame in layer]
    along = [place_along_axis(plane, reference) for plane in planes]
    ordered = tuple(layer[i] for i in np.argsort(along))
    gaps = np.diff(np.sort(along))
    is_stack = (
        rule.role != "t1"
        and len(layer) > 1
        and all(plane.is_parallel(reference) for plane in planes)
        and float(np.ptp(gaps)) <= _EVEN_SPACING_MM
        and _is_straight(ordered, reference)
    )
    if is_stack:
        return [Acquisition(rule, ordered, is_stack=True, factor=factor)]
    return [Acquisition(rule, (frame,), factor=factor) for frame in ordered]


def _is_straight(ordered: tuple[FrameHeader, ...], reference: Plane) -> bool:
    """Whether the slices lie on one regular grid: the same in-plane grid, shifted along the normal only."""
    sizes = {(frame.rows, frame.columns, frame.pixel_spacing) for frame in ordered}
    shifts = np.subtract([frame.position for frame in ordered], ordered[0].position)
    in_plane = shifts - np.outer(shifts @ reference.normal, reference.normal)
    return len(sizes) == 1 and float(np.max(np.abs(in_plane))) <= _EVEN_SPACING_MM
