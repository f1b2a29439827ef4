"""Putting the images of a study on one clock where an examination ran over midnight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from CMRLib.study.dicom.headers import FrameHeader

_DAY_S = 86400.0
# No examination has a pause this long: times of one date that are so far apart are an evening and the night after it.
_LONGEST_PAUSE_S = 18 * 3600.0


def over_midnight(frames: Sequence[FrameHeader]) -> list[FrameHeader]:
    """The images with times that go on after midnight, where the dates do not tell of it.

    Dates are missing, are those of the study's start, or were all made the same when the files were anonymised.
    """
    frames = _dated(frames)
    breaks = {day: _morning_end(frames, day) for day in {_day(f.time) for f in frames if f.time is not None}}
    return [
        _later(frame, _DAY_S) if frame.time is not None and frame.time < breaks[_day(frame.time)] else frame
        for frame in frames
    ]


def _dated(frames: Sequence[FrameHeader]) -> Sequence[FrameHeader]:
    """The images with a date for those without: the one of other images that brings them nearest to these."""
    dated = np.array([frame.time for frame in frames if frame.time is not None and frame.time >= _DAY_S])
    if not dated.size:
        return frames
    days = np.unique(np.floor(dated / _DAY_S) * _DAY_S)

    def nearest(time: float) -> float:
        return float(min(days, key=lambda day: np.min(np.abs(dated - (day + time)))))

    return [
        _later(frame, nearest(frame.time)) if frame.time is not None and frame.time < _DAY_S else frame
        for frame in frames
    ]


def _day(time: float) -> float:
    """Seconds up to the midnight before a time."""
    return float(np.floor(time / _DAY_S) * _DAY_S)


def _morning_end(frames: Sequence[FrameHeader], day: float) -> float:
    """The time before which images of a date belong to the night after it; before all of them where none does."""
    times = np.sort([frame.time for frame in frames if frame.time is not None and _day(frame.time) == day])
    pauses = np.diff(times)
    if not pauses.size or pauses.max() < _LONGEST_PAUSE_S:
        return day
    return float(times[np.argmax(pauses) + 1])


def _later(frame: FrameHeader, seconds: float) -> FrameHeader:
    return replace(frame, time=(frame.time or 0.0) + seconds)
