"""Whether a T1 map means anything: most of the heart must have a T1 that can be trusted."""

from __future__ import annotations

import numpy as np

from CMRT1MappingLib.fit.reconstruction import PixelFlag, T1Maps

LARGEST_BAD_SHARE = 0.5
_MIDDLE = 0.5  # of rows and columns: where the heart lies in an image that was planned on it


def map_fault(maps: T1Maps, heart: np.ndarray | None = None) -> str:
    """Why a T1 map is no result, as one sentence; "" where it is one.

    Args:
        maps: the maps.
        heart: where the heart is, bool (row, column); None takes what has signal in the middle of the image.
    """
    missing = (maps.flags & PixelFlag.NO_SIGNAL) != 0
    region = _middle(maps.t1.shape) & ~missing if heart is None else heart
    if not region.any():
        return "The middle of the images holds no signal, so there is no T1 to map; check that they are the right ones."
    bad = missing | ((maps.flags & PixelFlag.T1_UNRESOLVED) != 0) | (maps.t1 <= 0)
    share = float(np.mean(bad[region]))
    if share <= LARGEST_BAD_SHARE:
        return ""
    return (
        f"In {100 * share:.0f} % of the {_where(heart)} the images follow no curve of inversion recovery, so their T1 "
        "means nothing; check that the images are inversion-recovery magnitudes and that the inversion times, their "
        "order and their unit are right."
    )


def map_doubt(maps: T1Maps, heart: np.ndarray | None = None) -> str:
    """A warning, as one sentence, about a map most of whose heart is flagged for any reason; "" otherwise.

    Arguments are as for `map_fault`; a map that has a fault has no doubt besides.
    """
    region = _middle(maps.t1.shape) & ((maps.flags & PixelFlag.NO_SIGNAL) == 0) if heart is None else heart
    share = float(np.mean(maps.flags[region] != 0)) if region.any() else 0.0
    if share <= LARGEST_BAD_SHARE or map_fault(maps, heart):
        return ""
    return (
        f"{100 * share:.0f} % of the {_where(heart)} is flagged, mostly as the samples fit as well with other signs; "
        "look at the flags, and give phase images if there are any."
    )


def _middle(shape: tuple[int, ...]) -> np.ndarray:
    middle = np.zeros(shape, dtype=bool)
    middle[tuple(slice(int(n * (0.5 - _MIDDLE / 2)), int(np.ceil(n * (0.5 + _MIDDLE / 2)))) for n in shape)] = True
    return middle


def _where(heart: np.ndarray | None) -> str:
    return "middle of the image" if heart is None else "heart"
