"""From the headers of DICOM images to the series of a study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from CMRLib.errors import InputError
from CMRLib.study.dicom.clock import over_midnight
from CMRLib.study.dicom.groups import Acquisition, LeftOut, by_place, files_of, grouped, place_geometry
from CMRLib.study.dicom.headers import FrameHeader
from CMRLib.study.dicom.identity import joined, without_faults_and_copies
from CMRLib.study.dicom.irw import find_acquisitions, readable_times, with_phase
from CMRLib.study.dicom.maps import find_maps
from CMRLib.study.dicom.states import UNTOLD_STATE, tell_states
from CMRLib.study.rules import ImageText, RoleRule, SeriesRules
from CMRLib.study.series import ROLES, STACK, STATES, Series, Unrecognised, with_unique_keys
from CMRLib.study.slice_order import name_slices

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
    found: list[Acquisition] = []
    irw: list[Acquisition] = []
    not_analysed: list[Acquisition] = []
    usable = joined(over_midnight(without_faults_and_copies(headers, left_out)))
    for rule, frames in _recognised(usable, rules):
        if rule is None:
            left_out.add(frames, _NO_RULE)
        elif rule.role == "none":
            left_out.add(frames, rule.reason, rule.lost_role)
            not_analysed += [Acquisition(rule, (frame,)) for frame in frames]
        elif rule.role == "irw":
            irw += find_acquisitions(frames, rule, rules, left_out)
        else:
            found += find_maps(frames, rule, left_out)
    found = _with_geometry([*with_phase(irw, left_out), *found], left_out)
    told = []
    for acquisition, state in zip(found, tell_states(found, not_analysed, rules), strict=True):
        if state is None:
            left_out.add(acquisition.images, UNTOLD_STATE, acquisition.rule.role)
        else:
            told.append(replace(acquisition, state=state))
    return _named_series(told), left_out.unrecognised()


def _recognised(frames: list[FrameHeader], rules: SeriesRules) -> list[tuple[RoleRule | None, list[FrameHeader]]]:
    """The rules that fit, None where none does, each with its images."""
    found: dict[RoleRule | None, list[FrameHeader]] = {}
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
            found.setdefault(rules.role_of(text), []).append(frame)
    return list(found.items())


def _with_geometry(acquisitions: list[Acquisition], left_out: LeftOut) -> list[Acquisition]:
    """The acquisitions whose headers give a grid; the others are left out."""
    placed = []
    for acquisition in acquisitions:
        try:
            place_geometry(acquisition.first)
        except InputError as error:
            left_out.add(acquisition.images, str(error), acquisition.rule.role)
        else:
            placed.append(acquisition)
    return placed


def _named_series(acquisitions: Sequence[Acquisition]) -> tuple[Series, ...]:
    """The series with slice names and keys, ordered by role, state, slice and time."""
    entries = []
    for family in _FAMILIES:
        members = [acquisition for acquisition in acquisitions if acquisition.rule.role in family]
        single = [acquisition for acquisition in members if not acquisition.is_stack]
        stacks = [acquisition for acquisition in members if acquisition.is_stack]
        places = [*name_slices([acquisition.plane for acquisition in single]), *((STACK, 0.0) for _ in stacks)]
        for acquisition, (name, along) in zip([*single, *stacks], places, strict=True):
            order = (
                ROLES.index(acquisition.rule.role),
                (*STATES, "").index(acquisition.state),
                along,
                acquisition.start or 0.0,
            )
            entries.append(((*order, acquisition.first.series_number or 0), _series(acquisition, name)))
    return with_unique_keys(series for _, series in sorted(entries, key=lambda entry: entry[0]))


def _series(acquisition: Acquisition, slice_name: str) -> Series:
    first = acquisition.first
    if acquisition.is_stack:
        step = np.subtract(acquisition.frames[-1].position, first.position)
        length = float(np.linalg.norm(step))
        geometry = place_geometry(first, length / (len(acquisition.frames) - 1), step / length)
    else:
        geometry = place_geometry(first)
    return Series(
        role=acquisition.rule.role,
        state=acquisition.state,
        slice=slice_name,
        kind=acquisition.rule.kind,
        scheme=acquisition.scheme,
        inversion_times_ms=acquisition.inversion_times_ms,
        description=first.description or first.protocol,
        series_number=first.series_number,
        files=files_of(acquisition.frames),
        phase_files=files_of(acquisition.phase),
        geometry=geometry,
        shape=(len(acquisition.frames), first.rows, first.columns),
        key="",
        source=acquisition,
        field_strength_t=first.field_strength,
    )
