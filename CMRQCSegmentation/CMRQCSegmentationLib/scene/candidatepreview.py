"""A candidate of the ensemble, shown as an outline over a slice before it is taken."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from CMRLib import provenance
from CMRLib.scene.regions import SEGMENTATION_CLASS
from CMRLib.scene.results import SOURCE_REFERENCE
from CMRQCSegmentationLib.scene.segmentationreview import readAnswer
from CMRQCSegmentationLib.scene.segmentations import sourceVolume
from CMRQCSegmentationLib.scene.segmentpixels import setSegmentMask
from CMRQCSegmentationLib.segments import SEGMENTS

ROLE = "segmentation_candidate"
_COLORS = ((0.20, 0.85, 1.00), (0.75, 0.60, 1.00))  # of the segments, unlike those of the segmentation itself


def showCandidate(node: Any, index: int, name: str) -> Any:
    """Show a candidate's outlines in its slice; one that was shown before goes.

    Args:
        node: the segmentation.
        index: of the slice.
        name: of the candidate.
    """
    removeCandidate()
    volume = sourceVolume(node)
    columns, rows, slices = volume.GetImageData().GetDimensions()
    labels = np.zeros((slices, rows, columns), dtype=np.uint8)
    labels[index] = readAnswer(node, index).shown(name)
    preview = slicer.mrmlScene.CreateNodeByClass(SEGMENTATION_CLASS)
    preview.UnRegister(None)
    preview.SetName(f"Candidate {name}")
    preview.SetHideFromEditors(True)  # it is looked at, and is no object of its own
    preview.SetSaveWithScene(False)
    preview.SetAttribute(provenance.ROLE, ROLE)
    preview = slicer.mrmlScene.AddNode(preview)
    preview.SetNodeReferenceID(SOURCE_REFERENCE, node.GetID())
    preview.CreateDefaultDisplayNodes()
    preview.GetDisplayNode().SetSaveWithScene(False)
    preview.GetDisplayNode().SetOpacity2DFill(0.0)
    preview.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    preview.SetAndObserveTransformNodeID(node.GetTransformNodeID())
    for segment, color in zip(SEGMENTS, _COLORS, strict=True):
        preview.GetSegmentation().AddEmptySegment(segment.name, segment.name, color)
        setSegmentMask(preview, segment.name, volume, labels == segment.label)
    return preview


def shownCandidate() -> Any:
    """The node of the candidate that is shown, or None."""
    nodes = slicer.util.getNodesByClass(SEGMENTATION_CLASS)
    return next((node for node in nodes if node.GetAttribute(provenance.ROLE) == ROLE), None)


def removeCandidate() -> None:
    """Show no candidate any more."""
    preview = shownCandidate()
    if preview is not None:
        slicer.mrmlScene.RemoveNode(preview)
