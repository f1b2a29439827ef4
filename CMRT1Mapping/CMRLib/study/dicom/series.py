"""From the headers of DICOM images to the series of a study."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from CMRLib.errors import InputError
from CMRLib.study.dicom.groups import Acquisition, LeftOut, by_place, files_of, grouped, place_geometry
from CMRLib.study.dicom.headers import FrameHeader
from CMRLib.study.dicom.irw import find_acquisitions, readable_times
from CMRLib.study.dicom.maps import find_maps
from CMRLib.study.dicom.phase import radians_per_value
from CMRLib.study.dicom.pixels import DicomSource, FrameRef
from CMRLib.study.rules import ImageText, RoleRule, SeriesRules
from CMRLib.study.series import ROLES, STACK, STATES, Series, Unrecognised, with_unique_keys
from CMRLib.study.slice_order import Plane, name_slices
from CMRLib.study.states import UNTOLD_STATE, Acquired, tell_states

_NO_RULE = (
    "Nothing says what this series is: no rule fits its description, comments or inversion times; add one to the "
    "series rules if it should be analysed."
)
# Roles that share slice positions: an acquisition and the map made from it carry the same slice names.
_FAMILIES = (("irw", "t1"), ("lge",), ("vne",), ("cine",))


def series_of_study(
    headers: Sequence[FrameHeader], rules: SeriesRules
) -> tuple[tuple[Series, ...], tuple[Unrecognised, ...]]:
    """The usable series of one study, ordered by role, state and slice, and the images that are left out.

    The result does not depend on the order of ``headers``.
    """
    left_out = LeftOut()
    frames = _usable_frames(headers, left_out)
    irw: list[tuple[FrameHeader, RoleRule]] = []
    maps: list[tuple[FrameHeader, RoleRule]] = []
    contrast_only: list[tuple[FrameHeader, RoleRule]] = []
    for frame, rule in _recognise(frames, rules):
        if rule is None:
            left_out.add([frame], _NO_RULE)
        elif rule.role == "none":
            left_out.add([frame], rule.reason)
            contrast_only.append((frame, rule))
        else:
            (irw if rule.role == "irw" else maps).append((frame, rule))
    acquisitions = find_acquisitions(irw, rules, left_out) + find_maps(maps, left_out)
    acquisitions = _with_geometry(acquisitions, left_out)
    states = _states(acquisitions, contrast_only, rules)
    told = []
    for acquisition, state in zip(acquisitions, states, strict=True):
        if state is None:
            left_out.add((*acquisition.frames, *acquisition.phase), UNTOLD_STATE, acquisition.rule.role)
        else:
            told.append((acquisition, state))
    return _named_series(told), left_out.unrecognised()


def _usable_frames(headers: Sequence[FrameHeader], left_out: LeftOut) -> list[FrameHeader]:
    """The images without faults and copies, in an order that does not depend on how the files are called."""
    ordered = sorted(
        headers, key=lambda h: (h.series_number or 0, h.series_uid, h.instance_number or 0, h.sop_uid, h.index)
    )
    seen: set[tuple[str, int]] = set()
    usable = []
    for header in ordered:
        if header.fault:
            left_out.add([header], header.fault)
        elif header.sop_uid and (header.sop_uid, header.index) in seen:
            left_out.add([header], "A copy of an image that was read already.")
        else:
            seen.add((header.sop_uid, header.index))
            usable.append(header)
    return usable


def _recognise(frames: list[FrameHeader], rules: SeriesRules) -> list[tuple[FrameHeader, RoleRule | None]]:
    """Each image with the rule that fits it, or None."""
    found = []
    for part in grouped(frames, lambda frame: (frame.series_uid, frame.component)):
        places = by_place(part)
        most = max(len(place) for place in places)
        has_times = any(readable_times(place) is not None for place in places)
        for frame in part:
            text = ImageText(
                description=frame.description or frame.protocol,
                protocol=frame.protocol,
                sequence=frame.sequence,
                comments=frame.comments,
                image_type=" ".join(frame.image_type),
                images=most,
                has_inversion_times=has_times,
            )
            found.append((frame, rules.role_of(text)))
    return found


def _with_geometry(acquisitions: list[Acquisition], left_out: LeftOut) -> list[Acquisition]:
    """The acquisitions whose headers give a grid; the others are left out."""
    placed = []
    for acquisition in acquisitions:
        try:
            place_geometry(acquisition.frames[0])
        except InputError as error:
            left_out.add((*acquisition.frames, *acquisition.phase), str(error), acquisition.rule.role)
        else:
            placed.append(acquisition)
    return placed


def _states(
    acquisitions: list[Acquisition], contrast_only: list[tuple[FrameHeader, RoleRule]], rules: SeriesRules
) -> list[str | None]:
    """The state of each acquisition; images that were left out still tell when contrast was given."""

    def acquired(frame: FrameHeader, rule: RoleRule, time: float | None) -> Acquired:
        plane = Plane(frame.position, frame.orientation)
        return Acquired(
            rule.role, frame.description, frame.protocol, time, plane, frame.has_contrast_agent, rule.after_contrast
        )

    known = [acquired(one.frames[0], one.rule, one.start) for one in acquisitions]
    others = [acquired(frame, rule, frame.time) for frame, rule in contrast_only]
    return tell_states([*known, *others], rules)[: len(known)]


def _named_series(told: list[tuple[Acquisition, str]]) -> tuple[Series, ...]:
    """The series with slice names and keys, ordered by role, state, slice and time."""
    entries = []
    for family in _FAMILIES:
        members = [(one, state) for one, state in told if one.rule.role in family]
        single = [(one, state) for one, state in members if not one.is_stack]
        planes = [Plane(one.frames[0].position, one.frames[0].orientation, state) for one, state in single]
        names = dict(zip((id(one) for one, _ in single), name_slices(planes), strict=True))
        for one, state in members:
            name, along = names.get(id(one), (STACK, 0.0))
            order = (ROLES.index(one.rule.role), (*STATES, "").index(state), along, one.start or 0.0)
            entries.append(((*order, one.frames[0].series_number or 0), _series(one, state, name)))
    return with_unique_keys(series for _, series in sorted(entries, key=lambda entry: entry[0]))


def _series(one: Acquisition, state: str, slice_name: str) -> Series:
    first = one.frames[0]
    if one.is_stack:
        step = np.subtract(one.frames[-1].position, first.position)
        length = float(np.linalg.norm(step))
        geometry = place_geometry(first, length / (len(one.frames) - 1), step / length)
    else:
        geometry = place_geometry(first)
    return Series(
        role=one.rule.role,
        state=state,
        slice=slice_name,
        kind=one.rule.kind,
        scheme=one.scheme,
        inversion_times_ms=one.inversion_times_ms,
        description=first.description or first.protocol,
        files=files_of(one.frames),
        phase_files=files_of(one.phase),
        geometry=geometry,
        shape=(len(one.frames), first.rows, first.columns),
        key="",
        source=DicomSource(
            frames=tuple(_ref(frame, one.factor) for frame in one.frames),
            phase_frames=tuple(_ref(frame, radians_per_value(frame) or 0.0) for frame in one.phase),
        ),
        field_strength_t=first.field_strength,
    )


def _ref(frame: FrameHeader, factor: float) -> FrameRef:
    return FrameRef(frame.path, frame.index, frame.slope * factor, frame.intercept * factor)
