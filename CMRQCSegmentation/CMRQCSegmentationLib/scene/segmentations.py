"""A segmentation as a node: its segments, their terms and colors, and the review of its slices."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import slicer

from CMRLib.review import PREFIX, SliceReview, Status
from CMRLib.scene.results import findResult, markResult
from CMRLib.scene.review import writeReview
from CMRQCSegmentationLib.prediction import SliceSegmentation
from CMRQCSegmentationLib.segments import CORRECTED, ROLE, SEGMENTS

CLASS = "vtkMRMLSegmentationNode"
PREDICTED_DICE = f"{PREFIX}PredictedDice"


def storeSegmentation(volumeNode: Any, answers: Sequence[SliceSegmentation], attributes: Mapping[str, str]) -> Any:
    """Put a model's answer for every slice of a volume into a new segmentation node, flagged slices marked for review.

    Args:
        volumeNode: the images that were segmented.
        answers: of every slice, in their order.
        attributes: provenance, as `CMRLib.provenance.result_attributes` gives it with role ``segmentation``.
    """
    name = slicer.mrmlScene.GenerateUniqueName(f"{volumeNode.GetName()} segmentation")
    node = slicer.mrmlScene.AddNewNodeByClass(CLASS, name)
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
    labels = np.stack([answer.labels for answer in answers])
    for segment in SEGMENTS:
        segmentId = node.GetSegmentation().AddEmptySegment(segment.name, segment.name, segment.color)
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            (labels == segment.label).astype(np.uint8), node, segmentId, volumeNode
        )
        node.GetSegmentation().GetSegment(segmentId).SetTag("TerminologyEntry", segment.terminology)
    markResult(node, volumeNode, attributes)
    entries = [_review(answer) for answer in answers]
    writeReview(node, entries)
    node.SetAttribute(PREDICTED_DICE, json.dumps([entry.confidence for entry in entries]))
    return node


def findSegmentation(volumeNode: Any) -> Any:
    """The segmentation of a volume, or None."""
    return findResult(volumeNode, ROLE, CLASS)


def _review(answer: SliceSegmentation) -> SliceReview:
    confidence = round(float(answer.predicted_dice), 4) if np.isfinite(answer.predicted_dice) else None
    if answer.candidate == CORRECTED:
        return SliceReview(answer.slice, Status.CORRECTED)
    entry = SliceReview(answer.slice, confidence=confidence, reason=answer.reason if answer.flagged else "")
    status = entry.untouched if answer.labels.any() or not answer.flagged else Status.MISSING
    return SliceReview(answer.slice, status, entry.confidence, entry.reason)
