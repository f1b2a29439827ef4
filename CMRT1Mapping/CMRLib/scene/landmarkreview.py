"""The review of a volume's landmarks, slice by slice, kept as an attribute of their node."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from CMRLib.anatomy.landmarks import LANDMARKS, Point
from CMRLib.errors import InputError

ATTRIBUTE = "CMR.Landmarks.Review"
AUTO, CORRECTED, ACCEPTED, MISSING = "auto", "corrected", "accepted", "missing"

_MOVED_PIXELS = 0.01


@dataclass(frozen=True)
class SliceReview:
    """What is known about the landmarks of one slice.

    Attributes:
        slice: its index, from 0.
        status: "auto" (as the model placed them), "corrected", "accepted", or "missing".
        flagged: whether the model's answer is likely to be wrong.
        reason: why it is flagged, as the model says; or empty.
        confidence: of each landmark, 0 to 1, in the order of `LANDMARKS`; empty for a slice never given to a model.
        model: the model's answer, (row, column) in pixels or None, in the order of `LANDMARKS`; may be empty.
        accepted: where the landmarks were when the analyst accepted them, as ``model``; empty before.
        level: "basal", "mid", "apical" or "none" (left out) as the analyst chose; empty for automatic.
    """

    slice: int
    status: str = MISSING
    flagged: bool = False
    reason: str = ""
    confidence: tuple[float, ...] = ()
    model: tuple[Point | None, ...] = ()
    accepted: tuple[Point | None, ...] = ()
    level: str = ""

    @property
    def leastConfidence(self) -> float:
        """Confidence of the least certain landmark; NaN where there is none."""
        return min(self.confidence, default=float("nan"))

    @property
    def needsALook(self) -> bool:
        """Whether the slice is flagged and nobody has corrected or accepted it."""
        return self.flagged and self.status in (AUTO, MISSING)

    @property
    def hasModelAnswer(self) -> bool:
        """Whether the model gave an answer, however unsure."""
        return len(self.model) == len(LANDMARKS) and None not in self.model[:2]

    def statusAt(self, points: Sequence[Point | None]) -> str:
        """The status when the landmarks are at these places, in the order of `LANDMARKS`."""
        if points[0] is None or points[1] is None:
            return MISSING
        if _areSame(points, self.accepted):
            return ACCEPTED
        return AUTO if _areSame(points, self.model) else CORRECTED


def readReview(landmarksNode: Any) -> list[SliceReview]:
    """The review of every slice, in the order of slices; empty for a node that holds none."""
    text = landmarksNode.GetAttribute(ATTRIBUTE)
    try:
        entries = json.loads(text) if text else []
        return [
            SliceReview(
                **{
                    **entry,
                    "confidence": tuple(entry["confidence"]),
                    **{name: tuple(p and (p[0], p[1]) for p in entry[name]) for name in ("model", "accepted")},
                }
            )
            for entry in entries
        ]
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"The review kept with {landmarksNode.GetName()} is damaged; click Apply again.") from error


def writeReview(landmarksNode: Any, entries: Iterable[SliceReview]) -> None:
    """Keep the review of every slice with the landmarks."""
    landmarksNode.SetAttribute(ATTRIBUTE, json.dumps([asdict(entry) for entry in entries]))


def reviewOrder(entries: Iterable[SliceReview]) -> list[int]:
    """Slices in the order of the review: those that need a look, then untouched ones, the less certain first."""

    def place(entry: SliceReview) -> tuple[bool, bool, float, int]:
        touched = entry.status in (CORRECTED, ACCEPTED)
        return not entry.needsALook, touched, entry.leastConfidence if entry.confidence else 2.0, entry.slice

    return [entry.slice for entry in sorted(entries, key=place)]


def _areSame(points: Sequence[Point | None], others: Sequence[Point | None]) -> bool:
    """Whether two sets of landmarks are the same but for rounding on the way to millimetres and back."""
    return len(points) == len(others) and all(
        one is other or (one and other and np.abs(np.subtract(one, other)).max() <= _MOVED_PIXELS)
        for one, other in zip(points, others, strict=True)
    )
