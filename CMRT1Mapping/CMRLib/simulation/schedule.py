"""When the inversions and the images of a T1 mapping scheme happen, heart beat by heart beat."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from CMRLib.errors import InputError

# Images after each inversion, with the pause in heart beats (or, with "s", seconds) in brackets between them.
PATTERNS = {"shmolli": "5(1)1(1)1", "molli": "5(3)3", "look-locker": "7"}
RR_RANGE_MS = (300.0, 2500.0)
BEATS = 64  # of irregular intervals, more than any scheme has


@dataclass(frozen=True)
class Schedule:
    """One acquisition in time; 0 ms is the first inversion.

    Attributes:
        scheme: "shmolli", "molli" or "look-locker".
        pattern: for instance "5(1)1(1)1".
        inversion_at_ms: (inversion,) when the magnetisation is inverted.
        image_at_ms: (frame,) when the k-space centre of each image is read.
        inversion_of_image: (frame,) index of the inversion that each image follows.
        rr_ms: mean RR interval from the first to the last image.
    """

    scheme: str
    pattern: str
    inversion_at_ms: np.ndarray
    image_at_ms: np.ndarray
    inversion_of_image: np.ndarray
    rr_ms: float

    @property
    def inversion_times_ms(self) -> tuple[float, ...]:
        """Time from the inversion to the k-space centre, in acquisition order."""
        return tuple(float(t) for t in self.image_at_ms - self.inversion_at_ms[self.inversion_of_image])


def scheme_of(pattern: str) -> str:
    """The kind of scheme a pattern is: the name itself, "look-locker" for one inversion, else "molli"."""
    if pattern in PATTERNS:
        return pattern
    if pattern == PATTERNS["shmolli"]:
        return "shmolli"
    return "molli" if "(" in pattern else "look-locker"


def _parse(pattern: str) -> tuple[list[int], list[tuple[float, bool]]]:
    """Images per inversion, and between them the pauses as (length, whether in seconds)."""
    text = PATTERNS.get(pattern, pattern)
    if not re.fullmatch(r"[1-9]\d?(\([1-9]\d?s?\)[1-9]\d?)*", text):
        raise InputError(
            f"'{pattern}' is not a scheme; use shmolli, molli, look-locker or a pattern such as 5(3)3 or 4(1s)3(1s)2."
        )
    images = [int(number) for number in re.sub(r"\([^)]*\)", " ", text).split()]
    pauses = [(float(p.rstrip("s")), p.endswith("s")) for p in re.findall(r"\((\d+s?)\)", text)]
    return images, pauses


def schedule(
    scheme: str = "shmolli",
    rr_ms: float | Sequence[float] = 900.0,
    first_inversion_time_ms: float = 100.0,
    inversion_time_step_ms: float = 80.0,
) -> Schedule:
    """Lay out a scheme on heart beats.

    Every image is read at the same delay after its R wave, so images of one inversion are whole RR intervals apart. The
    first image after the n-th inversion has the inversion time first + n * step. The pause counts heart beats without
    an image before the beat of the next inversion's first image, or, in seconds, lasts at least that long.

    ShMOLLI is 5(1)1(1)1 on nine beats with 100, 180 and 260 ms (Piechnik et al., J Cardiovasc Magn Reson 2010;12:69;
    timing as in the headers of the scan in MRKonrad/tomato); MOLLI 5(3)3 and others use the same two numbers.

    Args:
        scheme: "shmolli", "molli" (5(3)3), "look-locker" (7 images) or a pattern like "5(3s)3" or "4(1)3(1)2".
        rr_ms: the RR interval, or one interval after another for an irregular rhythm.

    Raises:
        InputError: not a pattern, an RR interval out of 300 to 2500 ms, or too few intervals for the pattern.
    """
    images, pauses = _parse(scheme)
    intervals = np.atleast_1d(np.asarray(rr_ms, dtype=float))
    if not np.all((intervals >= RR_RANGE_MS[0]) & (intervals <= RR_RANGE_MS[1])):
        raise InputError("RR intervals must lie between 300 and 2500 ms (24 to 200 beats a minute).")
    if intervals.size == 1:
        beats_needed = sum(images) + sum(
            int(np.ceil(1000.0 * length / intervals[0])) if seconds else int(length) for length, seconds in pauses
        )
        intervals = np.repeat(intervals, beats_needed)
    beat_at = np.concatenate([[0.0], np.cumsum(intervals)])
    beat = 0
    image_at: list[float] = []
    inversion_at: list[float] = []
    inversion_of_image: list[int] = []
    for group, count in enumerate(images):
        if group:
            length, seconds = pauses[group - 1]
            if seconds:
                resume_at = beat_at[min(beat, beat_at.size) - 1] + 1000.0 * length
                beat = int(np.searchsorted(beat_at, resume_at - 1e-6))
            else:
                beat += int(length)
        if beat + count > beat_at.size:
            raise InputError(f"{intervals.size} RR intervals are too few for the scheme {scheme}; give more.")
        inversion_time = first_inversion_time_ms + group * inversion_time_step_ms
        inversion_at.append(beat_at[beat] - inversion_time)
        image_at.extend(beat_at[beat : beat + count])
        inversion_of_image.extend([group] * count)
        beat += count
    origin = inversion_at[0]
    return Schedule(
        scheme=scheme_of(scheme),
        pattern=PATTERNS.get(scheme, scheme),
        inversion_at_ms=np.array(inversion_at) - origin,
        image_at_ms=np.array(image_at) - origin,
        inversion_of_image=np.array(inversion_of_image),
        rr_ms=float(np.mean(intervals[: max(beat - 1, 1)])),
    )


def irregular_rr(rr_ms: float, variability: float, rng: np.random.Generator) -> float | tuple[float, ...]:
    """RR intervals scattered around ``rr_ms`` with a standard deviation of ``variability`` times it."""
    if variability == 0:
        return rr_ms
    return tuple(np.clip(rr_ms * (1.0 + variability * rng.standard_normal(BEATS)), *RR_RANGE_MS))


def shmolli_inversion_times(rr_ms: float | Sequence[float] = 1000.0) -> tuple[float, ...]:
    """The seven inversion times (ms) of ShMOLLI in acquisition order: 100, 100 + RR, ..., 180, 260."""
    return schedule("shmolli", rr_ms).inversion_times_ms


def molli_inversion_times(rr_ms: float | Sequence[float] = 1000.0, pattern: str = "5(3)3") -> tuple[float, ...]:
    """The inversion times (ms) of a MOLLI pattern in acquisition order."""
    return schedule(pattern, rr_ms).inversion_times_ms
