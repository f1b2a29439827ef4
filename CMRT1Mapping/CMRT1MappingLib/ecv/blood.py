"""T1 of the blood in two aligned maps, from the left ventricle's blood pool.

The pool's outline holds papillary muscles and trabeculae, and its border muscle by partial volume; both shorten native
T1 and lengthen it after contrast. So the border is left out, and of the rest what does not lie with the densest half of
the values, in either map.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from CMRLib.errors import InputError
from CMRT1MappingLib.ecv.calculation import Blood

# From the border, mm; the smaller ones where little is left, as in an apical slice. Acquired pixels are some 2 mm wide.
MARGINS_MM = (4.0, 3.0, 2.0)
FEWEST_PIXELS = 20
MOST_DEVIATIONS = 2.5  # robust standard deviations from the densest half's middle
MOST_SPREAD = 0.15  # robust standard deviation of the blood's T1 over T1
UNEVEN = (
    "The T1 of the blood pool is too uneven to be that of blood; check the segmentation and how the maps lie on "
    "each other."
)
_SHORTEST_HALF_TO_SD = 0.7413  # of a normal distribution: width of its middle half to standard deviation
_LAGS = 2  # pixels over which neighbours may share a measurement
_MOST_SHARED = 9.0


def measure_blood(
    native: np.ndarray,
    post: np.ndarray,
    blood_pool: np.ndarray,
    spacing_mm: tuple[float, float],
    native_error: np.ndarray | None = None,
    post_error: np.ndarray | None = None,
) -> Blood:
    """T1 of the blood before and after contrast, from the same pixels of both maps.

    Args:
        native, post: T1 in ms, (row, column), aligned; 0, negative or not finite where there is none.
        blood_pool: bool (row, column), the left ventricle's, papillary muscles included or not.
        spacing_mm: distance of rows and of columns.
        native_error, post_error: standard errors of the maps in ms, or None.

    Returns:
        Means of the pixels that agree. Their standard errors are those of their spread or, where they are larger, those
        that follow from the maps' standard errors; either with the number of pixels that share a measurement, which is
        read from how alike neighbours in the blood are.

    Raises:
        InputError: shapes differ, or there is too little blood, or too little of it that agrees.
    """
    if not native.shape == post.shape == blood_pool.shape:
        raise InputError("Maps and blood pool differ in size; take the segmentation of the native map.")
    known = np.isfinite(native) & np.isfinite(post) & (np.nan_to_num(native) > 0) & (np.nan_to_num(post) > 0)
    core = _core(np.asarray(blood_pool, dtype=bool), spacing_mm) & known
    if np.count_nonzero(core) < FEWEST_PIXELS:
        raise InputError(
            "There is too little blood in the segmentation to measure its T1; correct the blood pool, or choose a "
            "slice nearer to the base."
        )
    agreeing = core & _near_most(native, core) & _near_most(post, core)
    count = int(np.count_nonzero(agreeing))
    if count < FEWEST_PIXELS:
        raise InputError(UNEVEN)
    shared = _pixels_per_measurement((native, post), agreeing)
    means, errors = [], []
    for values, error in ((native, native_error), (post, post_error)):
        inside = values[agreeing].astype(np.float64)
        spread = float(inside.std(ddof=1)) / np.sqrt(count / shared)
        propagated = 0.0
        if error is not None:
            propagated = float(np.sqrt(shared * np.sum(error[agreeing].astype(np.float64) ** 2)) / count)
        means.append(float(inside.mean()))
        errors.append(max(spread, propagated))
    return Blood(means[0], means[1], errors[0], errors[1], count, agreeing, shared)


def _core(pool: np.ndarray, spacing_mm: tuple[float, float]) -> np.ndarray:
    """The pool without its border."""
    depth = ndimage.distance_transform_edt(pool, sampling=spacing_mm)
    core = pool
    for margin in MARGINS_MM:
        core = depth > margin
        if np.count_nonzero(core) >= 2 * FEWEST_PIXELS:
            break
    return core


def _near_most(values: np.ndarray, core: np.ndarray) -> np.ndarray:
    """Where values lie with the densest half of those in the core, bool.

    Raises:
        InputError: even that half is too wide for blood.
    """
    ordered = np.sort(values[core].astype(np.float64))
    half = len(ordered) // 2
    widths = ordered[half:] - ordered[: len(ordered) - half]
    first = int(np.argmin(widths))
    middle = 0.5 * (ordered[first] + ordered[first + half])
    deviation = _SHORTEST_HALF_TO_SD * float(widths[first])
    if deviation > MOST_SPREAD * middle:
        raise InputError(UNEVEN)
    near: np.ndarray = np.abs(values - middle) <= max(MOST_DEVIATIONS * deviation, 1e-3 * middle)
    return near


def _pixels_per_measurement(maps: tuple[np.ndarray, ...], region: np.ndarray) -> float:
    """Sum of the autocorrelation of the noise over neighbouring pixels, averaged over the maps.

    Scanners interpolate: then neighbours are alike, and the mean of n pixels is as sure as that of n / this many.
    """
    found = []
    for values in maps:
        noise = np.where(region, values - values[region].mean(), 0.0).astype(np.float64)
        padded, inside = (np.pad(image, _LAGS) for image in (noise, region.astype(np.float64)))
        variance = float((noise[region] ** 2).mean())
        total = 0.0
        for row in range(-_LAGS, _LAGS + 1):
            for column in range(-_LAGS, _LAGS + 1):
                pairs = inside * np.roll(inside, (row, column), (0, 1))
                products = padded * np.roll(padded, (row, column), (0, 1))
                if pairs.sum() and variance:
                    total += float(products.sum() / pairs.sum()) / variance
        found.append(total)
    return float(np.clip(np.mean(found), 1.0, _MOST_SHARED))
