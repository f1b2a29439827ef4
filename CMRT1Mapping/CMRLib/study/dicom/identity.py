"""Which images are one: copies of one image, and acquisitions whose images were each given a series of their own."""

from __future__ import annotations

import filecmp
import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from CMRLib.errors import InputError
from CMRLib.study.dicom.groups import LeftOut, by_place, grouped
from CMRLib.study.dicom.headers import FrameHeader
from CMRLib.study.dicom.pixels import read_stored
from CMRLib.study.rules import spaced
from CMRLib.study.schemes import FEWEST_IMAGES

LONGEST_PAUSE_S = 10.0  # the images of one acquisition come in one breath-hold, at most a few heart beats apart
# Inversion times of one acquisition span more than this; repeated late enhancement with its time adjusted does not.
_LEAST_SPAN = 3.0

_COPY = "A copy of an image that was read already."


def without_faults_and_copies(headers: Sequence[FrameHeader], left_out: LeftOut) -> list[FrameHeader]:
    """The images that can be used, in an order that does not depend on how the files are called.

    An identifier alone makes no copy: anonymisers have given one to every image.
    """
    ordered = sorted(
        headers,
        key=lambda h: (h.series_number or 0, h.series_uid, h.instance_number or 0, h.sop_uid, h.index, h.time or 0.0),
    )
    seen: dict[tuple[str, int], list[FrameHeader]] = {}
    usable = []
    for header in ordered:
        if header.fault:
            left_out.add([header], header.fault, "unknown" if header.is_mr else "")
            continue
        namesakes = seen.setdefault((header.sop_uid, header.index), []) if header.sop_uid else []
        if any(_is_copy(header, other) for other in namesakes):
            left_out.add([header], _COPY)
        else:
            namesakes.append(header)
            usable.append(header)
    return _series_apart(usable)


def _is_copy(header: FrameHeader, other: FrameHeader) -> bool:
    """Whether two images of one identifier are the same image."""
    if (header.inversion_time, header.position, header.component) != (
        other.inversion_time,
        other.position,
        other.component,
    ):
        return False
    try:
        if filecmp.cmp(header.path, other.path, shallow=False):
            return True
        pixels, others = read_stored(header.path)[header.index], read_stored(other.path)[other.index]
    except (InputError, OSError, IndexError):
        return True
    return bool(np.array_equal(pixels, others))


def _series_apart(frames: list[FrameHeader]) -> list[FrameHeader]:
    """The images with a series identifier of their own where series of several numbers and names share one."""
    kinds: dict[str, set[tuple[int | None, str]]] = {}
    for frame in frames:
        kinds.setdefault(frame.series_uid, set()).add((frame.series_number, frame.description))
    return [
        replace(frame, series_uid=f"{frame.series_uid} {frame.series_number} {frame.description}")
        if len(kinds[frame.series_uid]) > 1
        else frame
        for frame in frames
    ]


def joined(frames: Sequence[FrameHeader]) -> list[FrameHeader]:
    """The images, with one series for the images of an acquisition that each came as a series of its own.

    Joined are images of one kind, name and place that are each alone in their series at that place, where their
    inversion times or their times of acquisition, a few heart beats apart, show one acquisition.
    """
    parts = grouped(frames, lambda frame: (frame.series_uid, frame.component))
    single = [part for part in parts if all(len(place) == 1 for place in by_place(part))]
    series_of: dict[FrameHeader, FrameHeader] = {}
    for alike in grouped([frame for part in single for frame in part], _kind):
        for place in by_place(alike):
            in_order = sorted(place, key=lambda frame: (frame.time or 0.0, frame.series_number or 0))
            if len(place) >= FEWEST_IMAGES and _is_acquisition(in_order):
                first = in_order[0]
                for number, frame in enumerate(in_order, start=1):
                    series_of[frame] = replace(frame, series_uid=f"joined {first.series_uid}", instance_number=number)
    return [series_of.get(frame, frame) for frame in frames]


def _kind(frame: FrameHeader) -> tuple[str, str, str, int, int]:
    """What images of one acquisition share; numbers in names may count the series or tell the inversion time."""
    description, protocol = (re.sub(r"[\d.,]+", "#", spaced(name)) for name in (frame.description, frame.protocol))
    return description, protocol, frame.component, frame.rows, frame.columns


def _is_acquisition(in_order: list[FrameHeader]) -> bool:
    if any("DERIVED" in frame.image_type for frame in in_order):
        return False
    inversion_times = [frame.inversion_time or frame.commented_inversion_time for frame in in_order]
    known = {time for time in inversion_times if time is not None}
    if None not in inversion_times and len(known) >= FEWEST_IMAGES:
        return max(known) >= _LEAST_SPAN * min(known)
    times = [frame.time for frame in in_order]
    if known or None in times:
        return not known and not any(times)
    return bool(np.max(np.diff(np.array(times, dtype=float))) <= LONGEST_PAUSE_S)
