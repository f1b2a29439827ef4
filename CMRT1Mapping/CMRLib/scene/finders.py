"""The myocardium and the landmarks of a volume: those that there are, or found by the modules that do so.

The modules are named here and imported when they are used, so that no module depends on another one.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from CMRLib.anatomy.landmarks import SliceLandmarks
from CMRLib.errors import InputError
from CMRLib.review import Status
from CMRLib.scene.aha import levelsOf
from CMRLib.scene.landmarkreview import readReview
from CMRLib.scene.landmarks import ROLE as LANDMARKS_ROLE
from CMRLib.scene.landmarks import findLandmarks, slicePoints
from CMRLib.scene.regions import SEGMENTATION_ROLE, regionMasks

# What is found -> module and function that find it; called with a volume, ``device`` and ``progress``.
FINDERS = {
    SEGMENTATION_ROLE: ("CMRQCSegmentationLib.scene.segmentationrun", "segmentVolume"),
    LANDMARKS_ROLE: ("CMRLandmarksLib.scene.landmarkdetection", "detectLandmarks"),
}


def make(role: str, volumeNode: Any, device: str, progress: Callable[[float], None]) -> Any:
    """Find what is missing in a volume; the new node.

    Args:
        role: a key of `FINDERS`.
        volumeNode: short-axis images.
        device, progress: as the function takes them.

    Raises:
        CMRError: it cannot be found.
    """
    module, function = FINDERS[role]
    return getattr(importlib.import_module(module), function)(volumeNode, device=device, progress=progress)


def myocardiumOn(volumeNode: Any, segmentationNode: Any, name: str = "") -> np.ndarray | None:
    """The myocardium on the pixels of a volume, bool (slice, row, column); None where a segmentation has none there.

    Args:
        volumeNode: the volume.
        segmentationNode: the segmentation, or None.
        name: of the segment; "" for the one that is called myocardium.
    """
    if segmentationNode is None or segmentationNode.GetSegmentation().GetNumberOfSegments() == 0:
        return None
    masks = regionMasks(segmentationNode, volumeNode)
    name = name or next((one for one in masks if "myo" in one.lower()), "")
    mask = masks.get(name)
    return mask if mask is not None and mask.any() else None


def landmarksOn(volumeNode: Any) -> dict[int, tuple[SliceLandmarks, str]]:
    """Landmarks and level ("" where it is unknown) of every slice that has landmarks and is not rejected."""
    node = findLandmarks(volumeNode)
    if node is None:
        return {}
    entries, points = readReview(node), slicePoints(node, volumeNode)
    try:
        levels = levelsOf(node)
    except InputError:  # no short-axis stack
        levels = {}
    found = {}
    for entry, (center, anterior, inferior) in zip(entries, points, strict=True):
        if center is not None and entry.status is not Status.REJECTED:
            found[entry.slice] = SliceLandmarks(center, anterior, inferior), levels.get(entry.slice, "")
    return found
