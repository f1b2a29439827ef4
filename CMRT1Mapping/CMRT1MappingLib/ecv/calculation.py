"""The extracellular volume fraction of every pixel and of regions, with standard errors.

ECV = (1 - Hct) (1 / T1 post - 1 / T1 native) of the myocardium over that of the blood (Arheden et al., Radiology
1999;211:698-708; Kellman et al., J Cardiovasc Magn Reson 2012;14:63 for the map). Its standard error follows by
first-order propagation from those of the four T1 and of the haematocrit (Kellman et al., J Cardiovasc Magn Reson
2013;15:56, for the T1): what comes from the myocardium's T1 differs from pixel to pixel and averages out over a region;
what comes from the blood and the haematocrit is common to all pixels and does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag

import numpy as np
from scipy import ndimage

from CMRLib.anatomy.aha import SEGMENTS
from CMRLib.anatomy.statistics import roi_statistics
from CMRLib.errors import InputError
from CMRT1MappingLib.ecv.hematocrit import Hematocrit

LEAST_INNER = 1.0 / 3.0  # of a region's pixels, without which its border is measured too


class EcvFlag(IntFlag):
    """Why a pixel has no ECV."""

    NO_NATIVE_T1 = 1
    NO_POST_T1 = 2
    NO_UPTAKE = 4  # T1 is not shorter after contrast
    IMPOSSIBLE = 8  # more than all of the tissue


@dataclass(frozen=True)
class Blood:
    """T1 of the blood, as `CMRT1MappingLib.ecv.blood.measure_blood` gives it.

    Attributes:
        native_ms, post_ms: T1 before and after contrast.
        native_error_ms, post_error_ms: their standard errors.
        pixels: how many were averaged.
        region: bool (row, column), those pixels.
        pixels_per_measurement: how many neighbouring pixels share one independent measurement, 1 or more.
    """

    native_ms: float
    post_ms: float
    native_error_ms: float
    post_error_ms: float
    pixels: int
    region: np.ndarray
    pixels_per_measurement: float = 1.0

    @property
    def rate_change(self) -> float:
        """Change of the relaxation rate by the contrast agent, 1/ms."""
        return 1.0 / self.post_ms - 1.0 / self.native_ms

    @property
    def relative_error(self) -> float:
        """Standard error of the change over the change."""
        return float(
            np.hypot(self.native_error_ms / self.native_ms**2, self.post_error_ms / self.post_ms**2) / self.rate_change
        )


@dataclass(frozen=True)
class EcvMap:
    """ECV on the grid of the native map.

    Attributes:
        percent: float32 (row, column); NaN where ``flags`` says why.
        flags: uint8 (row, column), see `EcvFlag`; 0 where there is an ECV.
        own_error: float32 (row, column), standard error from the pixel's own T1, percentage points; NaN where there is
            no ECV; None without standard errors of the T1 maps.
        common_error: standard error from blood and haematocrit as a fraction of ECV, the same everywhere.
    """

    percent: np.ndarray
    flags: np.ndarray
    own_error: np.ndarray | None
    common_error: float

    @property
    def error(self) -> np.ndarray | None:
        """float32 (row, column), the standard error of every pixel in percentage points; None as ``own_error``."""
        if self.own_error is None:
            return None
        return np.hypot(self.own_error, self.common_error * self.percent)


@dataclass(frozen=True)
class RegionEcv:
    """ECV of a region, percentage points.

    Attributes:
        percent: mean of its pixels.
        error: standard error of the mean; None without standard errors of the T1 maps.
        sd, median: of the pixels.
        pixels: how many have an ECV.
        excluded: how many have none.
    """

    percent: float
    error: float | None
    sd: float
    median: float
    pixels: int
    excluded: int


def ecv_map(
    native: np.ndarray,
    post: np.ndarray,
    blood: Blood,
    hematocrit: Hematocrit,
    native_error: np.ndarray | None = None,
    post_error: np.ndarray | None = None,
) -> EcvMap:
    """ECV of every pixel of two aligned maps.

    Args:
        native, post: T1 in ms before and after contrast, (row, column); 0, negative or not finite where there is none.
        blood: of the same maps.
        hematocrit: see `CMRT1MappingLib.ecv.hematocrit`.
        native_error, post_error: standard errors of the maps in ms; of an interpolated map those of its pixels
            interpolated likewise, which is a little too careful for a pixel and right for a region.

    Raises:
        InputError: the maps differ in size, only one of the errors is given, or the blood took up no contrast agent.
    """
    native, post = (np.asarray(values, dtype=np.float64) for values in (native, post))
    if native.shape != post.shape or native.ndim != 2:
        raise InputError(
            f"The post-contrast map {post.shape} is not on the native map's grid {native.shape}; register it first."
        )
    if (native_error is None) != (post_error is None):
        raise InputError("The standard errors of both T1 maps are needed, or of none; give the other one too.")
    check_uptake(blood)
    flags = np.zeros(native.shape, np.uint8)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        known = [np.isfinite(values) & (values > 0) for values in (native, post)]
        change = 1.0 / post - 1.0 / native
        scale = 100.0 * (1.0 - hematocrit.value) / blood.rate_change
        percent = scale * change
        flags[~known[0]] |= np.uint8(EcvFlag.NO_NATIVE_T1)
        flags[~known[1]] |= np.uint8(EcvFlag.NO_POST_T1)
        both = known[0] & known[1]
        flags[both & (change <= 0)] = EcvFlag.NO_UPTAKE
        flags[both & (percent > 100.0)] = EcvFlag.IMPOSSIBLE
        own_error = None
        if native_error is not None and post_error is not None:
            if native_error.shape != native.shape or post_error.shape != native.shape:
                raise InputError("The standard errors are not on the grid of the T1 maps; give those of these maps.")
            own = scale * np.hypot(native_error / native**2, post_error / post**2)
            own_error = np.where(flags == 0, own, np.nan).astype(np.float32)
    common = float(np.hypot(blood.relative_error, hematocrit.error / (1.0 - hematocrit.value)))
    return EcvMap(np.where(flags == 0, percent, np.nan).astype(np.float32), flags, own_error, common)


def check_uptake(blood: Blood) -> None:
    """Refuse blood whose T1 is not shorter after contrast.

    Raises:
        InputError: see above.
    """
    if not 0 < blood.post_ms < blood.native_ms:
        raise InputError(
            f"The blood's T1 is {blood.native_ms:.0f} ms in the native and {blood.post_ms:.0f} ms in the post-contrast "
            "map, so no contrast agent shows in it; check which map is which, and the blood pool."
        )


def region_ecv(ecv: EcvMap, region: np.ndarray, pixels_per_measurement: float = 1.0) -> RegionEcv:
    """ECV of a region.

    Args:
        ecv: see `ecv_map`.
        region: bool (row, column).
        pixels_per_measurement: see `Blood`.

    Raises:
        InputError: shapes differ, or no pixel of the region has an ECV.
    """
    statistics = roi_statistics(ecv.percent, region)
    error = None
    if ecv.own_error is not None:
        own = ecv.own_error[np.asarray(region, dtype=bool) & (ecv.flags == 0)].astype(np.float64)
        # A region of fewer pixels than share a measurement holds one measurement.
        independent = np.sqrt(min(pixels_per_measurement, own.size) * np.sum(own**2)) / own.size
        error = float(np.hypot(independent, ecv.common_error * statistics.mean))
    return RegionEcv(statistics.mean, error, statistics.sd, statistics.median, statistics.pixels, statistics.excluded)


def inner_wall(myocardium: np.ndarray) -> np.ndarray:
    """The myocardium without its outermost pixels, which hold blood or fat as well; all of it where little would stay.

    Mapping is read away from the contours (Messroghli et al., J Cardiovasc Magn Reson 2017;19:75). In simulated slices
    the border raises the mean ECV of a segment by more than one percentage point.

    Args:
        myocardium: bool (row, column).
    """
    wall = np.asarray(myocardium, dtype=bool)
    inner = ndimage.binary_erosion(wall)
    return inner if np.count_nonzero(inner) >= LEAST_INNER * np.count_nonzero(wall) else wall


def segment_ecv(ecv: EcvMap, segments: np.ndarray, pixels_per_measurement: float = 1.0) -> dict[int, RegionEcv | None]:
    """ECV of the segments that a slice shows, each without the wall's outermost pixels (see `inner_wall`).

    Args:
        ecv, pixels_per_measurement: see `region_ecv`.
        segments: uint8 (row, column), numbers as `CMRLib.anatomy.aha.label_slice` gives them.

    Returns:
        Segment number -> ECV, or None for a segment without a pixel that has one.
    """
    inner = ndimage.binary_erosion(segments > 0)
    found: dict[int, RegionEcv | None] = {}
    for number in (one.number for one in SEGMENTS if np.any(segments == one.number)):
        whole = segments == number
        region = whole & inner
        if np.count_nonzero(region) < LEAST_INNER * np.count_nonzero(whole):
            region = whole
        there = np.any(region & (ecv.flags == 0))
        found[number] = region_ecv(ecv, region, pixels_per_measurement) if there else None
    return found
