"""The sampling schemes of inversion recovery: names, how inversion times tell them, and which times can be fitted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SHMOLLI, MOLLI, LOOK_LOCKER, OTHER = "shmolli", "molli", "look-locker", "other"
# Scheme -> how it is shown to the user. All samples of a scheme other than ShMOLLI enter the fit.
TITLES = {SHMOLLI: "ShMOLLI", MOLLI: "MOLLI", LOOK_LOCKER: "Look-Locker", OTHER: "Other"}
SCHEMES = tuple(TITLES)

SHMOLLI_IMAGES = 7
FEWEST_IMAGES = 4  # S = A - B exp(-TI/T1*) has three unknowns, and a residual needs one sample more
_LONGEST_TIME_MS = 30000.0
_SECONDS = 20.0  # no acquisition ends before 20 ms: such times are seconds
_SHORTEST_BEAT_MS = 300.0  # 200 beats a minute
# A Look-Locker train is read out at equal steps, and a heart beats as evenly; more uneven steps are something else.
_MOST_UNEVEN_STEP = 2.0
# ShMOLLI's second and third inversion are read out 80 ms later each (Piechnik et al., JCMR 2010, 12:69).
_LONGEST_OFFSET_MS = 200.0
_MOST_UNEVEN_BEAT = {"told": 1.5, "named": 2.5}  # longest over shortest: by the times alone; a beat may be missed


def scheme_from_times(inversion_times_ms: Sequence[float]) -> str:
    """The scheme that inversion times in acquisition order show; "" where there are too few to fit.

    After an inversion the times grow by the heart's period; where they fall, or grow by less than half of what they
    usually do, the next inversion begins. Several inversions of even beats are MOLLI, one run of even steps is
    Look-Locker, and anything else is `OTHER`. ShMOLLI is 5, 1 and 1 images per inversion, in any order.
    """
    times = np.asarray(inversion_times_ms, dtype=float)
    if times.size < FEWEST_IMAGES:
        return ""
    if _can_be_shmolli(times, "told"):
        return SHMOLLI
    steps = np.diff(times)
    if not np.any(steps > 0):
        return OTHER
    begins = steps < 0.5 * np.median(steps[steps > 0])
    within = steps[~begins]
    if within.max() > _MOST_UNEVEN_STEP * within.min():
        return OTHER
    if not begins.any():
        return LOOK_LOCKER
    return MOLLI if within.min() >= _SHORTEST_BEAT_MS else OTHER


def _can_be_shmolli(times: np.ndarray, how: str) -> bool:
    """Whether seven times in any order are five of one inversion, a beat apart, and one each of two more inversions."""
    if times.size != SHMOLLI_IMAGES:
        return False
    ordered = np.sort(times)
    beats = np.diff(ordered[[0, 3, 4, 5, 6]])
    offsets = np.diff(ordered[:3])
    return bool(
        beats.min() >= _SHORTEST_BEAT_MS
        and beats.max() <= _MOST_UNEVEN_BEAT[how] * beats.min()
        and offsets.min() > 0
        and offsets.max() <= _LONGEST_OFFSET_MS
        and offsets.sum() < beats.min()
    )


def inversion_time_fault(inversion_times_ms: Sequence[float], images: int, scheme: str) -> str | None:
    """Why inversion times do not fit a set of images or cannot be fitted; None if they do.

    This is the one rule for reading, for the panel and for the fit; each adds its own remedy.

    Args:
        inversion_times_ms: one time in ms per image, or empty where they are not known.
        images: number of images.
        scheme: one of `SCHEMES`, or "" where none is named.

    Returns:
        A clause such as "it has 6 images where ShMOLLI has 7", without a full stop.
    """
    times = [float(t) for t in inversion_times_ms]
    if scheme == SHMOLLI and images != SHMOLLI_IMAGES:
        return f"it has {images} image{'s' if images != 1 else ''} where ShMOLLI has {SHMOLLI_IMAGES}"
    if images < FEWEST_IMAGES:
        return f"it has {images} image{'s' if images != 1 else ''} and a T1 fit needs at least {FEWEST_IMAGES}"
    if not times:
        return None
    if len(times) != images:
        return f"it has {images} images but {len(times)} inversion times"
    if not all(0 < t <= _LONGEST_TIME_MS for t in times):  # false for NaN too
        return f"its inversion times are not all numbers of milliseconds between 0 and {_LONGEST_TIME_MS:g}"
    if max(times) < _SECONDS:
        return "its inversion times look like seconds and must be milliseconds"
    if len(set(times)) < FEWEST_IMAGES:
        return f"it has {len(set(times))} different inversion times and a T1 fit needs at least {FEWEST_IMAGES}"
    repeated = next((t for t in sorted(times) if times.count(t) > 1), None)
    if repeated is not None and scheme != OTHER:
        return f'the inversion time {repeated:g} ms occurs {times.count(repeated)} times, which only "{OTHER}" may have'
    if scheme == SHMOLLI and not _can_be_shmolli(np.array(times), "named"):
        return (
            "its inversion times are not those of ShMOLLI, which has five images of one inversion, a heart beat apart, "
            "and one each of two more inversions"
        )
    return None
