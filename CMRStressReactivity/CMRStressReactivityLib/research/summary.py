"""What one method makes of many pairs, in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from CMRStressReactivityLib.research.agreement import area_under_curve, icc
from CMRStressReactivityLib.research.evaluation import PairErrors

# A segment has a defect where its true response is below the first and the slice's best segment above the second, %.
DEFECT_BELOW, NORMAL_ABOVE = 1.5, 3.0


@dataclass(frozen=True)
class PairResult:
    """One pair and the errors of all methods on it."""

    number: int
    subject: str
    response: str
    level: str
    field: float
    real: bool
    errors: dict[str, PairErrors]


def summarised(results: Sequence[PairResult], name: str) -> dict[str, float]:
    """What the tables say of one method."""
    errors = [result.errors[name] for result in results]
    dice, px = ([getattr(e, field) for e in errors] for field in ("dice", "displacement_px"))
    slices = np.array([(e.found, e.true) for e in errors])
    reverse = np.array([e.reversed for e in errors if e.reversed is not None]).reshape(-1, 2)
    segments = np.array([pair for e in errors for pair in e.segments.values()]).reshape(-1, 2)
    still = [abs(r.errors[name].found) for r in results if r.response == "none"]
    summary = {
        "pairs": len(errors),
        "dice": float(np.mean(dice)),
        "dice_sd": sd(dice),
        "displacement_px": float(np.mean(px)),
        "displacement_sd_px": sd(px),
        "displacement_median_px": float(np.median(px)),
        "displacement_worst_px": float(np.max(px)),
        "folded": float(np.mean([e.folded for e in errors])),
        "no_response_percent": float(np.median(still)) if still else float("nan"),
        "defect_auc": defect_auc(results, name),
        "segments": len(segments),
        "segment_abs_error": float(np.abs(segments[:, 0] - segments[:, 1]).mean()) if len(segments) else float("nan"),
    }
    for label, both in (("slice", slices), ("reversed", reverse), ("segment", segments)):
        difference = both[:, 0] - both[:, 1]
        summary[f"{label}_error"] = float(difference.mean()) if len(both) else float("nan")
        summary[f"{label}_error_sd"] = sd(difference)
        summary[f"{label}_icc"] = icc(both[:, 0], both[:, 1])
    return summary


def sd(values: Sequence[float] | np.ndarray) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def segments_with_defects(results: Sequence[PairResult], name: str) -> list[tuple[int, float, bool]]:
    """Number, dT1 found and whether the true one is a defect, of the segments of slices with a territorial defect."""
    found = []
    for result in results:
        parts = result.errors[name].segments
        if result.response != "territorial" or not parts or max(true for _, true in parts.values()) < NORMAL_ABOVE:
            continue
        found += [(number, seen, true < DEFECT_BELOW) for number, (seen, true) in parts.items()]
    return found


def defect_auc(results: Sequence[PairResult], name: str, number: int | None = None) -> float:
    """How well the found dT1 tells segments with a defect, of one number or of all, from the others; see the README."""
    cases = [case for case in segments_with_defects(results, name) if number in (None, case[0])]
    return area_under_curve(np.array([-found for _, found, _ in cases]), np.array([bad for *_, bad in cases], bool))
