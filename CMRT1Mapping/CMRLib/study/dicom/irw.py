"""Finding the inversion-recovery acquisitions among the images of a DICOM study."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from CMRLib.study.dicom.groups import Acquisition, LeftOut, by_place, grouped, in_acquisition_order, is_same_place
from CMRLib.study.dicom.headers import FrameHeader, component_named
from CMRLib.study.dicom.identity import LONGEST_PAUSE_S
from CMRLib.study.dicom.phase import radians_per_value
from CMRLib.study.rules import RoleRule, SeriesRules, spaced
from CMRLib.study.schemes import FEWEST_IMAGES, inversion_time_fault, scheme_from_times

_SAME_START_S = 1.0
_FARTHEST_PARTNER_S = 30.0  # a phase series whose times were rewritten on export
_SAME_TIME_MS = 0.5

_LONELY_PHASE = (
    "Phase images without the magnitude images they belong to (of the same slice, times and processing), so they are "
    "not used; copy the magnitude series as well."
)
_AMBIGUOUS_PHASE = (
    "Phase images that fit several magnitude acquisitions, so that their partner cannot be told; keep one acquisition "
    "in the folder, or pair them in a study.json."
)
_UNKNOWN_SCALE = (
    "Phase images whose header does not tell which values stand for a full turn, so they are not used; export them "
    "with their rescaling, or in radians."
)
_SATURATION = (
    "Saturation recovery by its header, which follows another curve than inversion recovery and cannot be mapped here; "
    "use the T1 map of the scanner."
)
_NO_ORDER = (
    "Neither the inversion times nor the order in which the images were acquired can be read, so times cannot be "
    "asked for either; export the series again with its acquisition times or instance numbers."
)


def find_acquisitions(
    frames: Sequence[FrameHeader], rule: RoleRule, rules: SeriesRules, left_out: LeftOut
) -> list[Acquisition]:
    """The whole acquisitions of magnitude or of phase images among those that one rule has recognised.

    Magnitude and phase may be in one series or in two. What makes no whole acquisition goes to ``left_out``.
    """
    found: list[Acquisition] = []
    for part in grouped(frames, lambda frame: (frame.series_uid, frame.component or "magnitude")):
        component = part[0].component or "magnitude"
        if all(frame.is_saturation_recovery for frame in part):
            left_out.add(part, _SATURATION, rule.role)
        elif component in ("magnitude", "phase"):
            found += _acquisitions_of_series(part, rule, rules, left_out)
        else:
            left_out.add(part, f"The {component} part of complex images; export magnitude and phase instead.")
    return found


def readable_times(frames: Sequence[FrameHeader]) -> tuple[float, ...] | None:
    """The inversion time in ms of each image, or None where they cannot be read.

    (0018,0082), or in enhanced files (0018,9079), comes first, then "TIeff" in the image comments. A single value
    repeated in every image is a protocol parameter, not the time of each image.
    """
    tags = [frame.inversion_time for frame in frames]
    comments = [frame.commented_inversion_time for frame in frames]
    either = [tag if tag is not None else comment for tag, comment in zip(tags, comments, strict=True)]
    for source in (either, comments):
        times = tuple(time for time in source if time is not None)
        if len(times) == len(frames) and len(set(times)) > 1:
            return times
    return None


def _acquisitions_of_series(
    series: list[FrameHeader], rule: RoleRule, rules: SeriesRules, left_out: LeftOut
) -> list[Acquisition]:
    """The whole acquisitions among the magnitude or the phase images of one series."""
    lost_role = "phase" if series[0].component == "phase" else rule.role
    sizes = sorted({f"{frame.rows} x {frame.columns}" for frame in series})
    if len(sizes) > 1:
        left_out.add(
            series,
            f"The images of this series differ in size ({', '.join(sizes)}), so they are not whole acquisitions; "
            "export the series again as the scanner made it.",
            lost_role,
        )
        return []
    places = by_place(series)
    if len(places) > 1 and min(len(place) for place in places) < FEWEST_IMAGES:
        counts = ", ".join(str(len(place)) for place in sorted(places, key=len, reverse=True))
        left_out.add(
            series,
            f"The images of this series lie at {len(places)} positions ({counts} images), so they are not whole "
            "acquisitions; export the series again as the scanner made it.",
            lost_role,
        )
        return []
    found = []
    first = series[0]
    named = rules.scheme_of(first.description, first.protocol, first.sequence)
    for place in places:
        for frames in _split(place, named):
            ordered, order_told = in_acquisition_order(frames)
            times = readable_times(ordered)
            scheme = named or scheme_from_times(times or ())
            fault = inversion_time_fault(times or (), len(ordered), named)
            if fault:
                left_out.add(
                    ordered,
                    f"No whole inversion-recovery acquisition: {fault}; copy the series from the scanner again, or "
                    "state its inversion times and scheme in a study.json.",
                    lost_role,
                )
            elif times is None and not order_told:
                left_out.add(ordered, _NO_ORDER, lost_role)
            else:
                found.append(Acquisition(rule, tuple(ordered), scheme=scheme, inversion_times_ms=times))
    return found


def _split(frames: list[FrameHeader], scheme: str) -> list[list[FrameHeader]]:
    """The acquisitions among images of one slice: apart in time, else by acquisition number, else where TIs repeat."""
    ordered, _ = in_acquisition_order(frames)
    parts = []
    for part in _apart_in_time(ordered):
        numbered = grouped(part, lambda frame: frame.acquisition_number)
        options = [[part], numbered, _where_times_repeat(part)]
        parts += next((option for option in options if _are_acquisitions(option, scheme)), [part])
    return parts


def _are_acquisitions(parts: list[list[FrameHeader]], scheme: str) -> bool:
    """Whether the parts are acquisitions of one kind: as many images in each, and times that fit."""
    if len({len(part) for part in parts}) > 1:
        return False
    return all(inversion_time_fault(readable_times(part) or (), len(part), scheme) is None for part in parts)


def _apart_in_time(ordered: list[FrameHeader]) -> list[list[FrameHeader]]:
    times = [frame.time for frame in ordered]
    if any(time is None for time in times):
        return [ordered]
    breaks = np.flatnonzero(np.diff(np.array(times, dtype=float)) > LONGEST_PAUSE_S) + 1
    parts = [ordered[a:b] for a, b in zip([0, *breaks], [*breaks, len(ordered)], strict=True)]
    return parts if all(len(part) >= FEWEST_IMAGES for part in parts) else [ordered]


def _where_times_repeat(ordered: list[FrameHeader]) -> list[list[FrameHeader]]:
    times = readable_times(ordered)
    parts: list[list[FrameHeader]] = [[]]
    seen: set[float] = set()
    for frame, time in zip(ordered, times or range(len(ordered)), strict=True):
        if time in seen:
            parts.append([])
            seen = set()
        parts[-1].append(frame)
        seen.add(float(time))
    return parts


def with_phase(found: Sequence[Acquisition], left_out: LeftOut) -> list[Acquisition]:
    """The magnitude acquisitions, each with the phase acquisition that belongs to it."""
    magnitudes = [acquisition for acquisition in found if acquisition.first.component != "phase"]
    partner_of: dict[int, Acquisition] = {}
    for phase in (acquisition for acquisition in found if acquisition.first.component == "phase"):
        chosen = _nearest_kin([i for i in range(len(magnitudes)) if i not in partner_of], magnitudes, phase)
        if len(chosen) != 1:
            left_out.add(phase.frames, _AMBIGUOUS_PHASE if chosen else _LONELY_PHASE, "phase")
        elif any(radians_per_value(frame) is None for frame in phase.frames):
            left_out.add(phase.frames, _UNKNOWN_SCALE, "phase")
        else:
            partner_of[chosen[0]] = phase
    return [
        replace(acquisition, phase=_in_order_of(acquisition, partner_of[i])) if i in partner_of else acquisition
        for i, acquisition in enumerate(magnitudes)
    ]


def _nearest_kin(free: list[int], magnitudes: Sequence[Acquisition], phase: Acquisition) -> list[int]:
    """The magnitudes that a phase belongs to equally well: by series, time, the rest of Image Type, and name."""

    def distance(i: int) -> tuple[bool, bool, int, bool]:
        magnitude, other = magnitudes[i].first, phase.first
        return (
            magnitude.series_uid != other.series_uid,
            _seconds_apart(magnitudes[i], phase) > _SAME_START_S,
            len(_processing(magnitude) ^ _processing(other)),
            (magnitude.description, magnitude.protocol) != (other.description, other.protocol),
        )

    fitting = [i for i in free if _fit_together(magnitudes[i], phase)]
    nearest = min((distance(i) for i in fitting), default=None)
    return [i for i in fitting if distance(i) == nearest]


def _processing(frame: FrameHeader) -> set[str]:
    """What was done to an image, by the part of Image Type that does not name the component."""
    return {value.upper() for value in frame.image_type if len(value) > 1 and component_named(value) == ""}


def _is_motion_corrected(frame: FrameHeader) -> bool:
    words = " ".join((*frame.image_type, frame.description))
    return re.search(r"\bmoco\b", spaced(words), re.IGNORECASE) is not None


def _fit_together(magnitude: Acquisition, phase: Acquisition) -> bool:
    if len(magnitude.frames) != len(phase.frames) or not is_same_place(magnitude.first, phase.first):
        return False
    if _seconds_apart(magnitude, phase) > _FARTHEST_PARTNER_S:
        return False
    if _is_motion_corrected(magnitude.first) != _is_motion_corrected(phase.first):
        return False  # moved images and unmoved ones show different things in one pixel
    if magnitude.inversion_times_ms is None or phase.inversion_times_ms is None:
        return magnitude.inversion_times_ms is None and phase.inversion_times_ms is None
    difference = np.subtract(sorted(magnitude.inversion_times_ms), sorted(phase.inversion_times_ms))
    return bool(np.max(np.abs(difference)) <= _SAME_TIME_MS)


def _seconds_apart(acquisition: Acquisition, other: Acquisition) -> float:
    if acquisition.start is None or other.start is None:
        return _FARTHEST_PARTNER_S  # not known: as good as the worst that is accepted
    return abs(acquisition.start - other.start)


def _in_order_of(magnitude: Acquisition, phase: Acquisition) -> tuple[FrameHeader, ...]:
    """The phase images in the order of the magnitude images: by inversion time, else by acquisition order."""
    if magnitude.inversion_times_ms is None or phase.inversion_times_ms is None:
        return phase.frames
    by_time = [phase.frames[i] for i in np.argsort(phase.inversion_times_ms)]
    ranks = np.argsort(np.argsort(magnitude.inversion_times_ms))
    return tuple(by_time[rank] for rank in ranks)
