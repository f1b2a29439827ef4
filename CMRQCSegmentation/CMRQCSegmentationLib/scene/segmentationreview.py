"""The review of a segmentation, and with it what the model said and what the analyst chose, slice by slice."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from CMRLib.review import PREFIX, SliceReview, Status
from CMRLib.scene import review
from CMRQCSegmentationLib.answers import Answer, digest
from CMRQCSegmentationLib.candidates import MYOCARDIUM, dice
from CMRQCSegmentationLib.prediction import UNSURE, SliceSegmentation
from CMRQCSegmentationLib.quality import THRESHOLD
from CMRQCSegmentationLib.segments import CORRECTED

# What belongs to segmentations alone; status and history are in the attributes that every review has.
ATTRIBUTE = "CMR.Segmentation.Slices"
ANSWERS = "CMR.Segmentation.Answers"
PREDICTED_DICE = f"{PREFIX}PredictedDice"

TOUCHED = (Status.CORRECTED, Status.ACCEPTED, Status.REJECTED)


@dataclass(frozen=True)
class SegmentationReview(SliceReview):
    """What is known about the segmentation of one slice.

    Attributes:
        lowerBound: what the Dice reaches with 90 % certainty, or None.
        doubt: why the slice is to be looked at whatever its predicted Dice, or "".
        model: digest of the model's answer; "" for a slice that was never given to a model.
        shown: digest of what the slice showed last.
        judged: digest of what the slice showed when the analyst accepted or rejected it; "" before.
        verdict: "accepted" or "rejected", or "" before.
        rejected: what a rejected slice showed, see `CMRQCSegmentationLib.answers.labels_to_text`; or "".
        taken: name of the candidate that the analyst took instead of the model's choice, or "".
    """

    lowerBound: float | None = None
    doubt: str = ""
    model: str = ""
    shown: str = ""
    judged: str = ""
    verdict: str = ""
    rejected: str = ""
    taken: str = ""

    def statusOf(self, shown: str) -> Status:
        """The status when the slice shows what has this digest."""
        if self.verdict and shown == self.judged:
            return Status(self.verdict)
        return self.untouched if shown == self.model else Status.CORRECTED

    def atThreshold(self, threshold: float) -> SegmentationReview:
        """The same where slices of a lower predicted Dice are flagged."""
        isUnsure = self.confidence is not None and self.confidence < threshold
        entry = replace(self, reason=self.doubt or (UNSURE if isUnsure else ""))
        return entry if entry.status in TOUCHED else replace(entry, status=entry.untouched)


def readReview(node: Any) -> list[SegmentationReview]:
    """The review of every slice, in the order of slices; empty for a node that holds none.

    Raises:
        InputError: what the node holds is damaged.
    """
    return review.readExtended(node, ATTRIBUTE, lambda values: SegmentationReview(**values))


def writeReview(
    node: Any, entries: Sequence[SegmentationReview], note: str | Mapping[int, str] = "", isLogged: bool = True
) -> None:
    """Keep the review of every slice with the segmentation; see `CMRLib.scene.review.writeReview`."""
    wasModifying = node.StartModify()
    node.SetAttribute(PREDICTED_DICE, json.dumps([entry.confidence for entry in entries]))
    review.writeExtended(node, ATTRIBUTE, entries, note, isLogged)
    node.EndModify(wasModifying)


def readAnswer(node: Any, index: int) -> Answer:
    """What the model said of a slice.

    Raises:
        InputError: what the node holds is damaged.
    """
    try:
        return Answer.from_text(json.loads(node.GetAttribute(ANSWERS) or "")[index])
    except (ValueError, TypeError, IndexError) as error:
        raise review.damaged(node) from error


def readAnswers(node: Any) -> list[str]:
    """What the model said of every slice, as text; empty where the node holds none or it is damaged."""
    try:
        return list(json.loads(node.GetAttribute(ANSWERS) or "[]"))
    except ValueError:
        return []


def writeAnswers(node: Any, answers: Sequence[str]) -> None:
    """Keep what the model said of every slice, as text."""
    node.SetAttribute(ANSWERS, json.dumps(list(answers)))


def entryOf(result: SliceSegmentation, threshold: float = THRESHOLD) -> SegmentationReview:
    """The review of a slice as the model, or a corrected segmentation that was laid beside the study, leaves it."""
    if result.candidate == CORRECTED:
        return SegmentationReview(result.slice, Status.CORRECTED, shown=digest(result.labels))
    entry = SegmentationReview(
        result.slice,
        confidence=_rounded(result.predicted_dice),
        lowerBound=_rounded(result.lower_bound),
        doubt="" if result.reason == UNSURE else result.reason,
        model=digest(result.labels),
        shown=digest(result.labels),
    )
    return entry.atThreshold(threshold)


def whatTheModelSaid(result: SliceSegmentation) -> str:
    """The model's answer for a slice in words, for the history."""
    if result.candidate == CORRECTED:
        return "corrected segmentation beside the study"
    if not result.candidate:
        return f"model: {result.reason or 'no heart'}"
    return (
        f"model: {result.candidate}, predicted Dice {result.predicted_dice:.3f}, "
        f"at least {result.lower_bound:.3f} with 90 % certainty"
    )


def diceWithModel(answer: Answer, shown: np.ndarray) -> str:
    """How far labels agree with the model's answer, in words, for the history and the list."""
    return f"Dice with the model's answer {dice(answer.shown(), shown, MYOCARDIUM):.3f}"


def _rounded(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None
