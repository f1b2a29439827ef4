"""The landmarks of a volume's slices: one markups node, with a review of every slice, and the RV entry lines.

Every slice has its three control points, in the order of `CMRLib.anatomy.landmarks.LANDMARKS`, so control point
``3 * slice + kind`` is always the same landmark; one that has not been placed is an undefined point. The model's own
answer and the state of the review are kept with the node, see `CMRLib.scene.landmarkreview`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import slicer
import vtk

from CMRLib import provenance
from CMRLib.anatomy.landmarks import LANDMARK_NAMES, LANDMARKS, LEAST_HEART, Point
from CMRLib.errors import InputError
from CMRLib.review import Status
from CMRLib.scene.landmarkreview import LandmarkReview, readReview, reviewAttributes, writeReview
from CMRLib.scene.results import SOURCE_REFERENCE, findResult, markResult
from CMRLib.scene.volumes import ijkToWorld, numberOfSlices, volumeGeometry, worldToIJK

ROLE = "landmarks"
ENTRY_LINE_ROLE = "entry_line"
CLASS = "vtkMRMLMarkupsFiducialNode"

# What the history says of a change that nobody's hand made, and of one that began with points in the middle.
_COMPUTED, _RESET, _BY_HAND = "found by the model", "back to the model's answer", "placed by hand"

_POINT_COLOR = (1.0, 0.85, 0.1)
_ACTIVE_COLOR = (0.3, 1.0, 0.4)
_LINE_MM = 0.8
_HAND_RADIUS_MM = 30.0  # of points placed by hand before they are dragged: an LV's epicardium


def findLandmarks(volumeNode: Any) -> Any:
    """The landmarks of a volume, or None."""
    return findResult(volumeNode, ROLE, CLASS)


def sourceVolume(landmarksNode: Any) -> Any:
    """The volume that landmarks belong to, or None when it was removed."""
    return landmarksNode.GetNodeReference(SOURCE_REFERENCE)


def storeLandmarks(volumeNode: Any, predictions: Sequence[Any], attributes: dict[str, str]) -> Any:
    """Put a model's answer for every slice of a volume into its landmarks node.

    Slices that the analyst has accepted keep their points, and every slice its comment, level and history.

    Args:
        volumeNode: whose slices they are.
        predictions: what `CMRLandmarksLib.prediction.predict_landmarks` returned for its slices. In a slice where
            it found no heart, its answer is kept, but no point is placed.
        attributes: provenance, as `CMRLib.provenance.result_attributes` gives it with role `ROLE`.

    Returns:
        The markups node.
    """
    node = findLandmarks(volumeNode)
    before = {} if node is None else {entry.slice: entry for entry in _readableReview(node)}
    node = _preparedNode(volumeNode, node, attributes)
    entries = []
    for index, prediction in enumerate(predictions):
        entry = _entryOf(index, prediction)
        kept = before.get(index)
        if kept is not None:
            entry = replace(entry, level=kept.level, comment=kept.comment)
            if kept.status is Status.ACCEPTED:
                entry = replace(
                    entry, status=kept.status, judged=kept.judged, verdict=kept.verdict, reviewer=kept.reviewer
                )
        entries.append(entry)
    _write(node, volumeNode, entries, [entry for entry in entries if entry.status is not Status.ACCEPTED], _COMPUTED)
    return node


def createByHand(volumeNode: Any) -> Any:
    """The landmarks node of a volume; a new one has no point placed yet."""
    node = findLandmarks(volumeNode)
    if node is not None:
        return node
    attributes = provenance.result_attributes(ROLE, source=volumeNode.GetID())
    node = _preparedNode(volumeNode, None, attributes)
    entries = [LandmarkReview(index) for index in range(numberOfSlices(volumeNode))]
    _write(node, volumeNode, entries, entries)
    return node


def slicePoints(landmarksNode: Any, volumeNode: Any) -> list[tuple[Point | None, ...]]:
    """(row, column) in the volume's pixels of the landmarks of every slice, in their own order, or None."""
    worlds = _worldPoints(landmarksNode)
    pixels = worldToIJK(volumeNode, np.nan_to_num(worlds))
    points = [
        (float(pixel[1]), float(pixel[0])) if np.isfinite(world[0]) else None
        for world, pixel in zip(worlds, pixels, strict=True)
    ]
    return [tuple(points[start : start + len(LANDMARKS)]) for start in range(0, len(points), len(LANDMARKS))]


def noticeEdits(landmarksNode: Any, volumeNode: Any, reviewer: str = "") -> list[int]:
    """Bring the status of every slice in line with where its points are; the indices of changed slices.

    Args:
        landmarksNode, volumeNode: the landmarks, and the volume whose they are.
        reviewer: who moved the points.
    """
    entries, changed = readReview(landmarksNode), []
    for entry, points in zip(entries, slicePoints(landmarksNode, volumeNode), strict=True):
        status = entry.statusAt(points)
        if status is not entry.status:
            changed.append(entry.slice)
            entries[entry.slice] = replace(entry, status=status, reviewer=reviewer)
    if changed:
        writeReview(landmarksNode, entries)
    return changed


def judge(landmarksNode: Any, volumeNode: Any, slices: Iterable[int], verdict: Status, reviewer: str = "") -> None:
    """Mark the landmarks of slices as accepted or rejected where they are; slices without any stay as they are.

    Args:
        landmarksNode, volumeNode: the landmarks, and the volume whose they are.
        slices: indices.
        verdict: `CMRLib.review.Status.ACCEPTED`, or `CMRLib.review.Status.REJECTED` for a slice that is not to be
            measured.
        reviewer: who says so.
    """
    entries, points = readReview(landmarksNode), slicePoints(landmarksNode, volumeNode)
    for index in set(slices):
        if entries[index].status is not Status.MISSING:
            entries[index] = replace(
                entries[index], status=verdict, judged=points[index], verdict=verdict.value, reviewer=reviewer
            )
    writeReview(landmarksNode, entries)


def reset(landmarksNode: Any, volumeNode: Any, slices: Iterable[int], reviewer: str = "") -> None:
    """Put the landmarks of slices back to where the model saw them, whether or not it took the slice for a heart."""
    entries, chosen = readReview(landmarksNode), set(slices)
    for index in chosen:
        status = entries[index].untouched if entries[index].hasModelAnswer else Status.MISSING
        entries[index] = replace(entries[index], status=status, judged=(), verdict="", reviewer=reviewer)
    _write(landmarksNode, volumeNode, entries, [entries[index] for index in sorted(chosen)], _RESET)


def comment(landmarksNode: Any, index: int, text: str) -> None:
    """Keep the analyst's comment on a slice."""
    entries = readReview(landmarksNode)
    entries[index] = replace(entries[index], comment=text)
    writeReview(landmarksNode, entries)


def placeByHand(landmarksNode: Any, volumeNode: Any, index: int, reviewer: str = "") -> None:
    """Place the landmarks of a slice that it lacks, to be dragged from there.

    They lie around those that are there, or else around the middle of the image.
    """
    geometry = volumeGeometry(volumeNode)
    columns, rows, _slices = volumeNode.GetImageData().GetDimensions()
    middle = np.array([(rows - 1) / 2, (columns - 1) / 2])
    # As on a reader's screen: insertions to the upper and the lower left.
    reach = min(_HAND_RADIUS_MM, rows * geometry.spacing[1] / 4, columns * geometry.spacing[0] / 4)
    offset = np.array([reach * np.sin(np.pi / 3) / geometry.spacing[1], -reach * 0.5 / geometry.spacing[0]])
    usual = np.array([middle, middle + offset * [-1, 1], middle + offset])
    placed = slicePoints(landmarksNode, volumeNode)[index]
    shifts = [np.subtract(point, place) for point, place in zip(placed, usual, strict=True) if point is not None]
    usual += np.mean(shifts, axis=0) if shifts else 0.0
    inside = np.clip(usual, 0, [rows - 1, columns - 1])
    points = [point or (row, column) for point, (row, column) in zip(placed, inside.tolist(), strict=True)]
    movePoints(landmarksNode, volumeNode, index, points)
    entries = readReview(landmarksNode)
    entries[index] = replace(entries[index], status=Status.CORRECTED, reviewer=reviewer)
    writeReview(landmarksNode, entries, _BY_HAND)


def movePoints(landmarksNode: Any, volumeNode: Any, index: int, points: Sequence[Point | None]) -> None:
    """Move the landmarks of a slice to (row, column) in pixels, in their own order; None takes one away."""
    for kind, point in enumerate(points):
        number = index * len(LANDMARKS) + kind
        if point is None:
            landmarksNode.UnsetNthControlPointPosition(number)
        else:
            world = ijkToWorld(volumeNode, np.array([point[1], point[0], index]))[0]
            landmarksNode.SetNthControlPointPositionWorld(number, *world)


def setLevel(landmarksNode: Any, index: int, level: str) -> None:
    """Choose the level of a slice: "basal", "mid", "apical", "none", or empty for automatic."""
    entries = readReview(landmarksNode)
    entries[index] = replace(entries[index], level=level)
    writeReview(landmarksNode, entries)


def updateEntryLines(landmarksNode: Any) -> None:
    """Draw the RV entry line, from the LV centre to the anterior insertion, of every slice that has both."""
    lines = {int(line.GetAttribute("CMR.SliceIndex")): line for line in _entryLines(landmarksNode)}
    worlds = _worldPoints(landmarksNode).reshape(-1, len(LANDMARKS), 3)
    for index, (center, anterior, _inferior) in enumerate(worlds):
        line = lines.pop(index, None)
        if not (np.isfinite(center[0]) and np.isfinite(anterior[0])):
            if line is not None:
                slicer.mrmlScene.RemoveNode(line)
            continue
        _moveLine(line or _createLine(landmarksNode, index), center, anterior)
    for line in lines.values():
        slicer.mrmlScene.RemoveNode(line)


def removeStrayLines() -> None:
    """Remove the entry lines of landmarks that are gone."""
    for line in slicer.util.getNodesByClass("vtkMRMLMarkupsLineNode"):
        if line.GetAttribute(provenance.ROLE) == ENTRY_LINE_ROLE and line.GetNodeReference(SOURCE_REFERENCE) is None:
            slicer.mrmlScene.RemoveNode(line)


def _readableReview(node: Any) -> list[LandmarkReview]:
    """The review of a node; a damaged one is dropped, since the landmarks are found anew."""
    try:
        return readReview(node)
    except InputError:
        for name in reviewAttributes(node):
            node.RemoveAttribute(name)
        return []


def _entryOf(index: int, prediction: Any) -> LandmarkReview:
    """The review of a slice as the model leaves it."""
    model = tuple(_finite(getattr(prediction, name)) for name in LANDMARK_NAMES)
    confidences = tuple(round(float(prediction.confidence[name]), 4) for name in LANDMARK_NAMES)
    entry = LandmarkReview(
        slice=index,
        confidence=min(confidences),
        reason=prediction.reason if prediction.flagged else "",
        confidences=confidences,
        model=model,
    )
    isPlaced = model[0] is not None and model[1] is not None and prediction.heart >= LEAST_HEART
    return replace(entry, status=entry.untouched if isPlaced else Status.MISSING)


def _finite(point: Any) -> Point | None:
    if point is None or not np.all(np.isfinite(point)):
        return None
    return float(point[0]), float(point[1])


def _preparedNode(volumeNode: Any, node: Any, attributes: dict[str, str]) -> Any:
    """A landmarks node with three points for each slice of the volume."""
    if node is None:
        name = slicer.mrmlScene.GenerateUniqueName(f"{volumeNode.GetName()} landmarks")
        node = slicer.mrmlScene.AddNewNodeByClass(CLASS, name)
        node.CreateDefaultDisplayNodes()
        _setDisplay(node)
    markResult(node, volumeNode, {**attributes, **reviewAttributes(node)})
    count = numberOfSlices(volumeNode) * len(LANDMARKS)
    if node.GetNumberOfControlPoints() != count:
        node.SetFixedNumberOfControlPoints(False)
        node.RemoveAllControlPoints()
        for index in range(count):
            slice_, kind = divmod(index, len(LANDMARKS))
            node.AddControlPoint(vtk.vtkVector3d(0, 0, 0), f"{LANDMARKS[kind].label} {slice_}")
            node.SetNthControlPointDescription(index, f"{LANDMARKS[kind].title}, slice {slice_}")
            node.SetNthControlPointAssociatedNodeID(index, volumeNode.GetID())
            node.UnsetNthControlPointPosition(index)
        node.SetFixedNumberOfControlPoints(True)  # points are told apart by their place in the list
    return node


def _setDisplay(node: Any) -> None:
    display = node.GetDisplayNode()
    display.SetGlyphTypeFromString("Circle2D")
    display.SetGlyphScale(2.2)
    display.SetTextScale(3.0)
    display.SetColor(*_POINT_COLOR)
    display.SetSelectedColor(*_POINT_COLOR)
    display.SetActiveColor(*_ACTIVE_COLOR)


def _write(
    node: Any, volumeNode: Any, entries: list[LandmarkReview], placed: list[LandmarkReview], note: str = ""
) -> None:
    wasModifying = node.StartModify()
    for entry in placed:
        isMissing = entry.status is Status.MISSING
        movePoints(node, volumeNode, entry.slice, (None,) * len(LANDMARKS) if isMissing else entry.model)
    writeReview(node, entries, note)
    node.EndModify(wasModifying)


def _worldPoints(node: Any) -> np.ndarray:
    """World positions of all control points, (point, 3); NaN where not placed."""
    points = np.full((node.GetNumberOfControlPoints(), 3), np.nan)
    for number in range(len(points)):
        if node.GetNthControlPointPositionStatus(number) == node.PositionDefined:
            node.GetNthControlPointPositionWorld(number, points[number])
    return points


def _entryLines(landmarksNode: Any) -> list[Any]:
    return [
        line
        for line in slicer.util.getNodesByClass("vtkMRMLMarkupsLineNode")
        if line.GetAttribute(provenance.ROLE) == ENTRY_LINE_ROLE
        and line.GetNodeReference(SOURCE_REFERENCE) is landmarksNode
    ]


def _createLine(landmarksNode: Any, index: int) -> Any:
    line = slicer.mrmlScene.CreateNodeByClass("vtkMRMLMarkupsLineNode")
    line.UnRegister(None)
    line.SetName(f"RV entry line {index}")
    line.SetHideFromEditors(True)  # it follows the points and is no object of its own
    line.SetAttribute(provenance.ROLE, ENTRY_LINE_ROLE)
    line.SetAttribute("CMR.SliceIndex", str(index))
    line = slicer.mrmlScene.AddNode(line)
    line.SetNodeReferenceID(SOURCE_REFERENCE, landmarksNode.GetID())
    line.CreateDefaultDisplayNodes()
    line.SetLocked(True)
    display = line.GetDisplayNode()
    display.SetSelectedColor(*_POINT_COLOR)
    display.SetGlyphScale(0.5)
    display.SetCurveLineSizeMode(display.UseLineDiameter)
    display.SetLineDiameter(_LINE_MM)
    display.SetPropertiesLabelVisibility(False)
    display.SetPointLabelsVisibility(False)
    return line


def _moveLine(line: Any, start: np.ndarray, end: np.ndarray) -> None:
    before = slicer.util.arrayFromMarkupsControlPoints(line, world=True)
    if before.shape == (2, 3) and np.allclose(before, [start, end], rtol=0, atol=1e-6):
        return
    wasModifying = line.StartModify()
    for number, point in enumerate((start, end)):
        if number < line.GetNumberOfControlPoints():
            line.SetNthControlPointPositionWorld(number, *point)
        else:
            line.AddControlPointWorld(vtk.vtkVector3d(*point))
    line.EndModify(wasModifying)
