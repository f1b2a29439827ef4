"""From the nodes of a volume to its segmentation."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import slicer

from CMRLib import provenance
from CMRLib.errors import Cancelled, InputError
from CMRLib.scene.volumes import checkSlicesLast, volumeArray, volumeGeometry
from CMRQCSegmentationLib.prediction import load_segmentation_model, segment_slices
from CMRQCSegmentationLib.quality import THRESHOLD
from CMRQCSegmentationLib.scene.segmentations import storeSegmentation
from CMRQCSegmentationLib.segments import ROLE


def segmentVolume(
    volumeNode: Any,
    device: str = "auto",
    model: str = "",
    threshold: float = THRESHOLD,
    keep: Collection[int] = (),
    progress: Callable[[float], None] | None = None,
    aboutToStore: Callable[[], None] = lambda: None,
) -> Any:
    """Segment every slice of a volume.

    Args:
        volumeNode: short-axis images of any contrast.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        model: id of a model or path of a weights file; empty for the one that is shipped.
        threshold: of the predicted Dice, below which a slice is flagged.
        keep: slices whose segmentation stays as it is.
        progress: called with the fraction done; what it raises ends the run, with all nodes as they were.
        aboutToStore: called before a node is changed.

    Returns:
        The segmentation node.

    Raises:
        CMRError: a sentence for the user; no node was changed.
    """
    if volumeNode is None:
        raise InputError("Select short-axis images.")
    images, geometry = volumeArray(volumeNode), volumeGeometry(volumeNode)
    checkSlicesLast(volumeNode)
    loaded = load_segmentation_model(model, device) if model else load_segmentation_model(device=device)
    column_mm, row_mm, _thickness = geometry.spacing
    results = segment_slices(images, (row_mm, column_mm), model=loaded, threshold=threshold, progress=progress)
    if slicer.mrmlScene.GetNodeByID(volumeNode.GetID() or "") is not volumeNode:
        raise Cancelled("The scene was closed or the volume was removed; the segmentation was discarded.")
    attributes = provenance.result_attributes(
        ROLE,
        source=volumeNode.GetID(),
        device=str(loaded.device),
        model=loaded.entry.id,
        model_sha256=loaded.entry.sha256,
    )
    aboutToStore()
    return storeSegmentation(volumeNode, results, attributes, keep, threshold)
