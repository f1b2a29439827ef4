"""What became of the motion correction of a map, in the attributes of its nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from CMRLib.geometry import Geometry
from CMRT1MappingLib.motion.correction import Correction

if TYPE_CHECKING:
    from CMRT1MappingLib.motion.correction import CorrectedMaps

OUTCOME = "CMR.MotionCorrection"


def parametersOf(corrected: CorrectedMaps | None, geometry: Geometry) -> dict[str, Any]:
    """What the nodes say of a motion correction beyond `CMRT1MappingLib.mapping.T1Result.parameters`."""
    if corrected is None:
        return {}
    if corrected.model is None:
        return {"MotionObstacle": corrected.obstacle}
    length = np.linalg.norm(geometry.displacement_in_lps(corrected.displacement), axis=-1)
    foundHeart = not np.array_equal(corrected.heart, corrected.original.samples > 0)
    return {
        "MotionMm": round(float(length[:, corrected.heart].mean()), 4),
        "MotionRegion": "heart" if foundHeart else "image",
    }


@dataclass(frozen=True)
class Outcome:
    """What became of the motion correction that a map was made with; numbers are NaN where nothing was estimated.

    Attributes:
        outcome: value of `CMRT1MappingLib.motion.correction.Correction`, or `CMRT1MappingLib.mapping.MOTION_OFF`.
        pixels, mm: mean length of the displacement in the region.
        r2Before, r2After: R² in the region, of the images as acquired and as corrected.
        r2Smoothed: the same of the images as acquired, smoothed as much as the corrected ones; NaN in older results.
        region: "heart", or "image" where no heart was found.
        obstacle: why motion could not be estimated, as a sentence, or an empty text.
    """

    outcome: str
    pixels: float
    mm: float
    r2Before: float
    r2After: float
    r2Smoothed: float
    region: str
    obstacle: str


def outcomeOf(mapNode: Any) -> Outcome | None:
    """What a map's attributes say of the motion correction; None if they say nothing."""
    outcome = mapNode.GetAttribute(OUTCOME)
    if not outcome:
        return None

    def number(name: str) -> float:
        return float(mapNode.GetAttribute(f"CMR.{name}") or "nan")

    return Outcome(
        outcome,
        number("MotionPixels"),
        number("MotionMm"),
        number("R2Before"),
        number("R2After"),
        number("R2Smoothed"),
        mapNode.GetAttribute("CMR.MotionRegion") or "",
        mapNode.GetAttribute("CMR.MotionObstacle") or "",
    )


def isCorrected(mapNode: Any) -> bool:
    """Whether a map was made of corrected images."""
    return mapNode.GetAttribute(OUTCOME) == Correction.KEPT.value
