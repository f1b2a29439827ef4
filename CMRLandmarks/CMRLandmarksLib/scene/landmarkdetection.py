"""From the nodes of a volume and of its myocardium to landmarks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import slicer
from scipy.ndimage import binary_fill_holes

from CMRLandmarksLib.prediction import load_landmark_model, predict_landmarks
from CMRLib import provenance
from CMRLib.anatomy.entry_line import snapped_insertion
from CMRLib.errors import Cancelled, InputError
from CMRLib.review import Status
from CMRLib.scene import landmarks
from CMRLib.scene.landmarkreview import readReview
from CMRLib.scene.volumes import checkSlicesLast, volumeArray, volumeGeometry


def detectLandmarks(
    volumeNode: Any, device: str = "auto", model: str = "", progress: Callable[[float], None] | None = None
) -> Any:
    """Find the landmarks in every slice of a volume; slices whose landmarks were accepted keep them.

    Args:
        volumeNode: short-axis images of any contrast.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        model: id of a model or path of a weights file; empty for the one that is shipped.
        progress: called with the fraction done; what it raises ends the run, with all nodes as they were.

    Returns:
        The markups node with three points for each slice.

    Raises:
        CMRError: a sentence for the user; no node was changed.
    """
    if volumeNode is None:
        raise InputError("Select short-axis images.")
    images, geometry = volumeArray(volumeNode), volumeGeometry(volumeNode)
    checkSlicesLast(volumeNode)
    loaded = load_landmark_model(model, device) if model else load_landmark_model(device=device)
    found = predict_landmarks(images, geometry, model=loaded, progress=progress)
    if slicer.mrmlScene.GetNodeByID(volumeNode.GetID() or "") is not volumeNode:
        raise Cancelled("The scene was closed or the volume was removed; the landmarks were discarded.")
    attributes = provenance.result_attributes(
        landmarks.ROLE,
        source=volumeNode.GetID(),
        device=str(loaded.device),
        model=loaded.entry.id,
        model_sha256=loaded.entry.sha256,
    )
    node = landmarks.storeLandmarks(volumeNode, found, attributes)
    landmarks.updateEntryLines(node)
    return node


def snapToEpicardium(landmarksNode: Any, myocardium: np.ndarray) -> list[str]:
    """Move the insertion points of corrected slices along their lines to the outline of the myocardium.

    Args:
        landmarksNode: whose points are moved.
        myocardium: true in the myocardium, with the axes (slice, row, column) of the landmarks' volume.

    Returns:
        A sentence for every slice in which that was not possible.
    """
    volume, problems = landmarks.sourceVolume(landmarksNode), []
    points = landmarks.slicePoints(landmarksNode, volume)
    for entry in readReview(landmarksNode):
        center, *insertions = points[entry.slice]
        if entry.status is not Status.CORRECTED or center is None or not myocardium[entry.slice].any():
            continue
        heart = binary_fill_holes(myocardium[entry.slice])
        try:
            snapped = [None if point is None else snapped_insertion(center, point, heart) for point in insertions]
            landmarks.movePoints(landmarksNode, volume, entry.slice, (center, *snapped))
        except InputError as error:
            problems.append(f"Slice {entry.slice}: {error}")
    return problems
