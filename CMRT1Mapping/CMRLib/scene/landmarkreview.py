"""The review of a volume's landmarks, and with it what the model said and what the analyst chose, slice by slice."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from CMRLib.anatomy.landmarks import LANDMARKS, Point
from CMRLib.review import SliceReview, Status
from CMRLib.scene import review

# What belongs to landmarks alone; status and history are in the attributes that every review has.
ATTRIBUTE = "CMR.Landmarks.Answers"
# Where version 0.1 kept everything.
EARLIER_ATTRIBUTE = "CMR.Landmarks.Review"

_MOVED_PIXELS = 0.01


@dataclass(frozen=True)
class LandmarkReview(SliceReview):
    """What is known about the landmarks of one slice.

    Attributes:
        confidences: of each landmark, 0 to 1, in the order of `LANDMARKS`; empty for a slice never given to a model.
        model: the model's answer, (row, column) in pixels or None, in the order of `LANDMARKS`; may be empty.
        judged: where the landmarks were when the analyst accepted or rejected them, as ``model``; empty before.
        verdict: "accepted" or "rejected", or empty before.
        level: "basal", "mid", "apical" or "none" (left out) as the analyst chose; empty for automatic.
    """

    confidences: tuple[float, ...] = ()
    model: tuple[Point | None, ...] = ()
    judged: tuple[Point | None, ...] = ()
    verdict: str = ""
    level: str = ""

    @property
    def hasModelAnswer(self) -> bool:
        """Whether the model gave an answer, however unsure."""
        return len(self.model) == len(LANDMARKS) and None not in self.model[:2]

    def statusAt(self, points: Sequence[Point | None]) -> Status:
        """The status when the landmarks are at these places, in the order of `LANDMARKS`."""
        if points[0] is None or points[1] is None:
            return Status.MISSING
        if self.verdict and _areSame(points, self.judged):
            return Status(self.verdict)
        return self.untouched if _areSame(points, self.model) else Status.CORRECTED


def readReview(landmarksNode: Any) -> list[LandmarkReview]:
    """The review of every slice, in the order of slices; empty for a node that holds none.

    Raises:
        InputError: what the node holds is damaged.
    """
    try:
        entries = review.readExtended(landmarksNode, ATTRIBUTE, _entry)
        return entries or _readEarlier(landmarksNode.GetAttribute(EARLIER_ATTRIBUTE))
    except (ValueError, TypeError, KeyError) as error:
        raise review.damaged(landmarksNode) from error


def writeReview(landmarksNode: Any, entries: Sequence[LandmarkReview], note: str = "") -> None:
    """Keep the review of every slice with the landmarks; see `CMRLib.scene.review.writeReview`."""
    wasModifying = landmarksNode.StartModify()
    landmarksNode.RemoveAttribute(EARLIER_ATTRIBUTE)
    review.writeExtended(landmarksNode, ATTRIBUTE, entries, note)
    landmarksNode.EndModify(wasModifying)


def reviewAttributes(landmarksNode: Any) -> dict[str, str]:
    """The attributes of landmarks that hold their review; see `CMRLib.scene.review.reviewAttributes`."""
    own = {name: landmarksNode.GetAttribute(name) for name in (ATTRIBUTE, EARLIER_ATTRIBUTE)}
    return review.reviewAttributes(landmarksNode) | {name: text for name, text in own.items() if text is not None}


def _entry(values: Mapping[str, Any]) -> LandmarkReview:
    points = {name: tuple(p and (p[0], p[1]) for p in values[name]) for name in ("model", "judged")}
    return LandmarkReview(**{**values, **points, "confidences": tuple(values["confidences"])})


def _readEarlier(text: str | None) -> list[LandmarkReview]:
    """The review of a scene that version 0.1 saved."""
    entries = []
    for entry in json.loads(text) if text else []:
        reason = (entry["reason"] or "The model is not sure.") if entry["flagged"] else ""
        status = Status(entry["status"])
        values = {
            "slice": entry["slice"],
            "status": Status.FLAGGED if status is Status.AUTO and reason else status,
            "confidence": min(entry["confidence"], default=None),
            "reason": reason,
            "confidences": entry["confidence"],
            "model": entry["model"],
            "judged": entry["accepted"],
            "verdict": Status.ACCEPTED.value if entry["accepted"] else "",
            "level": entry["level"],
        }
        entries.append(_entry(values))
    return entries


def _areSame(points: Sequence[Point | None], others: Sequence[Point | None]) -> bool:
    """Whether two sets of landmarks are the same but for rounding on the way to millimetres and back."""
    return len(points) == len(others) and all(
        point is other or (point and other and np.abs(np.subtract(point, other)).max() <= _MOVED_PIXELS)
        for point, other in zip(points, others, strict=True)
    )
