"""T1 maps as they come from elsewhere, in milliseconds, or a sentence that says why they cannot be used."""

from __future__ import annotations

import numpy as np

from CMRLib.errors import InputError

# Of the tissue in a T1 map: fat has some 300 ms, fluid some 4000 ms. What the middle of a map's values may be.
TISSUE_MS = (150.0, 5000.0)
LEAST_PIXELS = 100
GREY_LEVELS = 255


def t1_in_ms(
    values: np.ndarray, error: np.ndarray | None = None, name: str = "T1 map"
) -> tuple[np.ndarray, np.ndarray | None]:
    """A T1 map and its standard error in milliseconds.

    Args:
        values: (row, column), in ms or in seconds; 0, negative or not finite where there is none.
        error: its standard error, in the same unit, or None.
        name: what to call it in a message, as "stress T1 map".

    Returns:
        float32 (row, column), 0 where there is no T1; and the error, float32 likewise, or None.

    Raises:
        InputError: it is a colour or grey picture of a map, is in neither unit, or holds hardly any value; or the error
            is not that of this map.
    """
    pixels = np.asarray(values)
    if pixels.ndim == 3 and pixels.shape[-1] in (3, 4):
        raise InputError(f"The {name} is a colour picture, not a map of T1; export the map itself, in milliseconds.")
    if pixels.ndim != 2:
        raise InputError(f"The {name} must be a single slice (row, column), not an array of the shape {pixels.shape}.")
    known = np.isfinite(pixels) & (pixels > 0)
    if np.count_nonzero(known) < LEAST_PIXELS:
        raise InputError(f"The {name} holds hardly any value above 0; choose a T1 map.")
    there = pixels[known].astype(np.float64)
    middle, top = float(np.median(there)), float(there.max())
    if top <= GREY_LEVELS and np.array_equal(there, np.rint(there)):
        raise InputError(
            f"The {name} holds grey levels up to {top:.0f}, not T1; export the map itself, in milliseconds."
        )
    low, high = TISSUE_MS
    factor = 1000.0 if low <= 1000.0 * middle <= high else 1.0
    if not low <= factor * middle <= high:
        raise InputError(
            f"The values of the {name}, {middle:.3g} in the middle, are no T1 in milliseconds or seconds; "
            "export it in milliseconds."
        )

    def scaled(image: np.ndarray) -> np.ndarray:
        result: np.ndarray = np.where(known, factor * np.where(known, image, 0.0), 0.0).astype(np.float32)
        return result

    if error is None:
        return scaled(pixels), None
    errors = np.asarray(error)
    if errors.shape != pixels.shape or np.any(errors[known & np.isfinite(errors)] < 0):
        raise InputError(
            f"The standard error of the {name} has another size than the map or negative values; give that of this map."
        )
    return scaled(pixels), scaled(errors)
