"""The sampling schemes of inversion recovery: their names, and how inversion times tell them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SHMOLLI, MOLLI, LOOK_LOCKER = "shmolli", "molli", "look-locker"
# Scheme -> how it is shown to the user.
TITLES = {SHMOLLI: "ShMOLLI", MOLLI: "MOLLI", LOOK_LOCKER: "Look-Locker"}
SCHEMES = tuple(TITLES)

SHMOLLI_IMAGES = 7
FEWEST_IMAGES = 3  # the signal model S = A - B exp(-TI/T1*) has three unknowns
# A Look-Locker train is read out at equal steps; more uneven steps than this are several inversions put in TI order.
_MOST_UNEVEN_STEP = 2.0


def scheme_from_times(inversion_times_ms: Sequence[float]) -> str:
    """The scheme that inversion times in acquisition order show, or "" where they show none.

    After an inversion the times grow by the heart's period; where they fall, or grow by less than half of what they
    usually do, the next inversion begins. So the lengths of the runs are the images per inversion: 5, 1 and 1 is
    ShMOLLI (Piechnik et al., JCMR 2010, 12:69), any other set of several runs is MOLLI, and one run of even steps is
    Look-Locker.
    """
    times = np.asarray(inversion_times_ms, dtype=float)
    if times.size < FEWEST_IMAGES:
        return ""
    steps = np.diff(times)
    if not np.any(steps > 0):
        return ""
    begins = steps < 0.5 * np.median(steps[steps > 0])
    runs = np.diff(np.concatenate([[0], np.flatnonzero(begins) + 1, [times.size]]))
    if sorted(runs) == [1, 1, 5]:
        return SHMOLLI
    if len(runs) > 1:
        return MOLLI
    return LOOK_LOCKER if steps.max() <= _MOST_UNEVEN_STEP * steps.min() else ""


def inversion_time_fault(inversion_times_ms: Sequence[float], images: int, scheme: str) -> str | None:
    """Why inversion times (or None where unknown, as an empty sequence) do not fit a set of images; None if they do.

    Args:
        inversion_times_ms: one time in ms per image, or empty where they are not known.
        images: number of images.
        scheme: one of `SCHEMES`, or "".

    Returns:
        A clause such as "it has 6 images where ShMOLLI has 7", without a full stop.
    """
    times = [float(t) for t in inversion_times_ms]
    if scheme == SHMOLLI and images != SHMOLLI_IMAGES:
        return f"it has {images} images where ShMOLLI has {SHMOLLI_IMAGES}"
    if images < FEWEST_IMAGES:
        return f"it has {images} image{'s' if images != 1 else ''} and a T1 fit needs at least {FEWEST_IMAGES}"
    if not times:
        return None
    if len(times) != images:
        return f"it has {images} images but {len(times)} inversion times"
    if not all(np.isfinite(t) and t > 0 for t in times):
        return "its inversion times are not all positive numbers of milliseconds"
    repeated = sorted({t for t in times if times.count(t) > 1})
    if repeated:
        return f"the inversion time {repeated[0]:g} ms occurs {times.count(repeated[0])} times"
    return None
