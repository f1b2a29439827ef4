"""The ECV of one slice from its native and its post-contrast T1 map: what the panel shows and the batch writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from CMRLib.errors import InputError
from CMRLib.geometry import Geometry
from CMRT1MappingLib.ecv.blood import measure_blood
from CMRT1MappingLib.ecv.calculation import (
    Blood,
    EcvMap,
    RegionEcv,
    check_uptake,
    ecv_map,
    inner_wall,
    region_ecv,
    segment_ecv,
)
from CMRT1MappingLib.ecv.hematocrit import Hematocrit, synthetic_hematocrit
from CMRT1MappingLib.ecv.placement import Placement, place_slices, sampled
from CMRT1MappingLib.ecv.registration import Alignment, align

# Of blood before contrast, from a high haematocrit to anaemia at either field; else it is no T1 in ms, or no blood.
BLOOD_T1_MS = (900.0, 3000.0)
REGISTRATION_OFF = "off"


@dataclass(frozen=True)
class T1Slice:
    """A T1 map of one slice.

    Attributes:
        t1: ms, (row, column); 0, negative or not finite where there is none.
        geometry: of this slice.
        error: its standard error in ms, or None.
    """

    t1: np.ndarray
    geometry: Geometry
    error: np.ndarray | None = None

    @property
    def spacing_mm(self) -> tuple[float, float]:
        """Distance of rows and of columns."""
        return self.geometry.spacing[1], self.geometry.spacing[0]


@dataclass(frozen=True)
class EcvResult:
    """The ECV of one slice, on the grid of the native map.

    Attributes:
        ecv: the map.
        blood: T1 of the blood.
        hematocrit: that was used.
        mean: of the myocardium, see `CMRT1MappingLib.ecv.calculation.inner_wall`.
        post: float32 (row, column), T1 after contrast in ms, registered; 0 where there is none.
        alignment: how it was registered; None where that was not asked for.
        placement: where the slices lie.
    """

    ecv: EcvMap
    blood: Blood
    hematocrit: Hematocrit
    mean: RegionEcv
    post: np.ndarray
    alignment: Alignment | None
    placement: Placement

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the result is doubtful, a sentence each."""
        reasons = () if self.alignment is None else self.alignment.reasons
        return (self.placement.doubt, *reasons) if self.placement.doubt else reasons

    def segments(self, numbers: np.ndarray) -> dict[int, RegionEcv | None]:
        """ECV of segments; see `CMRT1MappingLib.ecv.calculation.segment_ecv`."""
        return segment_ecv(self.ecv, numbers, self.blood.pixels_per_measurement)

    def parameters(self) -> dict[str, Any]:
        """What was chosen and found, for the provenance of every result."""
        return {
            "Hematocrit": round(self.hematocrit.value, 4),
            "HematocritSource": self.hematocrit.source,
            "BloodNativeT1": round(self.blood.native_ms),
            "BloodPostT1": round(self.blood.post_ms),
            "Registration": REGISTRATION_OFF if self.alignment is None else self.alignment.outcome,
        }


def map_ecv(
    native: T1Slice,
    post: T1Slice,
    myocardium: np.ndarray,
    blood_pool: np.ndarray,
    hematocrit: Hematocrit | None,
    *,
    field_strength_t: float | None = None,
    register: bool = True,
    progress: Callable[[float], None] = lambda fraction: None,
) -> EcvResult:
    """ECV of a slice.

    Args:
        native, post: the maps before and after contrast.
        myocardium, blood_pool: bool (row, column), of the left ventricle in the native map.
        hematocrit: of the patient; None estimates it from the blood's native T1.
        field_strength_t: of the scanner, for that estimate.
        register: whether the post-contrast map is registered to the native one; otherwise it is only laid where it lies
            in the patient.
        progress: called with the fraction done; what it raises ends the work.

    Raises:
        InputError: the maps do not show the same slice, no blood can be measured in them, the blood took up no contrast
            agent, or there is no haematocrit.
    """
    shape = native.t1.shape
    if not shape == myocardium.shape == blood_pool.shape:
        raise InputError("The segmentation is not on the native map's grid; take that of the native map.")
    if not myocardium.any():
        raise InputError("There is no myocardium in the segmentation of the native map; draw it first.")
    placement = place_slices(native.geometry, shape, post.geometry, post.t1.shape)
    native_t1 = np.where(np.isfinite(native.t1), np.maximum(np.nan_to_num(native.t1), 0.0), 0.0).astype(np.float32)
    places, alignment = placement.places(shape), None
    if register:
        laid = sampled(post.t1, places)
        alignment = align(native_t1, laid, myocardium | blood_pool, native.spacing_mm, progress)
        places = placement.places(shape, alignment.displacement)
    brought = sampled(post.t1, places)
    errors = None
    if native.error is not None and post.error is not None:
        errors = (native.error, sampled(post.error, places))
    blood = measure_blood(native_t1, brought, blood_pool, native.spacing_mm, *(errors or (None, None)))
    check_uptake(blood)
    low, high = BLOOD_T1_MS
    if not low <= blood.native_ms <= high:
        raise InputError(
            f"The blood's native T1 is {blood.native_ms:.0f}, which is not that of blood in milliseconds; check the "
            "unit of the maps and the blood pool."
        )
    used = hematocrit or synthetic_hematocrit(blood.native_ms, field_strength_t)
    ecv = ecv_map(native_t1, brought, blood, used, *(errors or (None, None)))
    mean = region_ecv(ecv, inner_wall(myocardium), blood.pixels_per_measurement)
    progress(1.0)
    return EcvResult(ecv, blood, used, mean, brought, alignment, placement)
