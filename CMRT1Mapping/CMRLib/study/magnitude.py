"""Whether images are magnitudes, and what interpolation leaves below zero."""

from __future__ import annotations

import numpy as np

from CMRLib.errors import InputError

_LARGEST_OVERSHOOT = 0.02  # of the signal; one of ten signed images is several times that


def without_overshoot(images: np.ndarray, label: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Magnitudes with the few negative values set to zero that interpolation leaves beside edges.

    Args:
        images: any axes; every value is finite.
        label: what the images are called in a sentence.

    Returns:
        The images without negative values, and a sentence about those that were set to zero, if any.

    Raises:
        InputError: more of the signal is negative than interpolation can leave.
    """
    negative = images < 0
    if not negative.any():
        return images, ()
    share = float(-images[negative].sum(dtype=float) / np.abs(images).sum(dtype=float))
    if share > _LARGEST_OVERSHOOT:
        raise InputError(
            f"{label} hold negative values, {100 * share:.0f} % of their signal, which magnitudes cannot be; give "
            "magnitude images instead of real or phase images, or, if the values were shifted, undo that."
        )
    count = int(np.count_nonzero(negative))
    note = (
        f"{label} held {count} negative pixel value{'s' if count > 1 else ''} ({100 * share:.2g} % of the signal, as "
        "interpolation leaves beside edges), which were set to zero."
    )
    return np.maximum(images, 0), (note,)
