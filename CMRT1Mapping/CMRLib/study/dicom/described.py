"""DICOM images whose meaning is stated by the user rather than told by their headers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from CMRLib.errors import InputError
from CMRLib.study.dicom.groups import grouped, in_acquisition_order
from CMRLib.study.dicom.headers import FrameHeader, read_all_headers
from CMRLib.study.dicom.series import series_of_study
from CMRLib.study.rules import RoleRule, SeriesRules
from CMRLib.study.series import Series


def described_series(
    files: Iterable[Path],
    role: str,
    kind: str = "",
    scheme: str = "",
    inversion_times_ms: Sequence[float] | None = None,
    series_number: int | None = None,
) -> Series:
    """The one series of a role that DICOM files hold.

    Args:
        files: of the images, and of their phase where there is one.
        role, kind: what the images are, see `CMRLib.study.series`.
        scheme: of an acquisition, "" to tell it from the inversion times.
        inversion_times_ms: in the order in which the images were acquired; None takes those of the headers.
        series_number: only images of this DICOM series are used, and phase images of any.

    Raises:
        InputError: a clause (without capital and full stop) that says what is wrong.
    """
    headers, unreadable = read_all_headers(files)
    frames = [frame for frame in headers if series_number in (None, frame.series_number) or frame.component == "phase"]
    if not frames:
        raise InputError(
            "holds no DICOM image" + ("" if series_number is None else f" of a series numbered {series_number}")
        )
    if inversion_times_ms is not None:
        frames = with_inversion_times(frames, inversion_times_ms)
    series, left_out = series_of_study(frames, _rules(role, kind, scheme))
    if len(series) == 1:
        return series[0]
    reasons = [f"{item.what}: {item.reason.removesuffix('.')}" for item in left_out if not series]
    reasons += [reason.removesuffix(".") for _file, reason in unreadable if not series]
    raise InputError(
        f"holds {len(series)} series of this role where one is needed"
        + (f" ({reasons[0]})" if reasons else '; state its "series_number", or give each its own folder')
    )


def with_inversion_times(frames: Sequence[FrameHeader], inversion_times_ms: Sequence[float]) -> list[FrameHeader]:
    """The images of one acquisition with stated inversion times, in ms and in the order of acquisition.

    Raises:
        InputError: a clause that says why they do not fit.
    """
    stated: list[FrameHeader] = []
    for part in grouped(frames, lambda frame: frame.component or "magnitude"):
        ordered, told = in_acquisition_order(part)
        if len(ordered) != len(inversion_times_ms):
            raise InputError(
                f"holds {len(ordered)} {part[0].component or 'magnitude'} images, but {len(inversion_times_ms)} "
                f"inversion times are stated{_choice(part)}"
            )
        if not told:
            raise InputError(
                "holds images whose order of acquisition cannot be read, so the inversion times cannot be given to them"
            )
        stated += [
            replace(frame, inversion_time=float(time)) for frame, time in zip(ordered, inversion_times_ms, strict=True)
        ]
    return stated


def _choice(frames: Sequence[FrameHeader]) -> str:
    """What to do where images of several series are more than one acquisition."""
    several = len({frame.series_uid for frame in frames}) > 1
    return '; state its "series_number", or give each series its own folder' if several else ""


def _rules(role: str, kind: str, scheme: str) -> SeriesRules:
    """Rules by which every image is of one role."""
    every = RoleRule(
        role=role,
        kind=kind,
        reason="",
        lost_role="",
        patterns=(),
        min_images=1,
        max_images=1_000_000,
        inversion_times=None,
        after_contrast=False,
    )
    rules = SeriesRules(
        roles=(every,),
        states=(("rest", re.compile("")),),
        unlabelled_states=("rest",),
        set_gap_minutes=10.0,
        schemes=(),
    )
    return rules.with_scheme(scheme) if scheme else rules
