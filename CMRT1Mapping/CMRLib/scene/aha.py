"""AHA segments in the scene: a label map over a map, a table of its statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk

from CMRLib import provenance
from CMRLib.anatomy.aha import SEGMENTS, label_slice, segment_statistics
from CMRLib.anatomy.axis import LEVELS, levels_along_stack
from CMRLib.anatomy.landmarks import SliceLandmarks
from CMRLib.anatomy.statistics import RoiStatistics
from CMRLib.errors import InputError
from CMRLib.review import Status
from CMRLib.scene.acquisitions import SLICE, STATE, known
from CMRLib.scene.display import labelColorNode, sliceLogics
from CMRLib.scene.landmarkreview import LandmarkReview, readReview
from CMRLib.scene.landmarks import slicePoints, sourceVolume
from CMRLib.scene.results import SOURCE_REFERENCE, findResult, markResult
from CMRLib.scene.tables import setStatisticsTable
from CMRLib.scene.volumes import ijkToWorld, setVolumeArray, volumeArray, volumeGeometry, worldToIJK

LABELS_ROLE = "aha_segments"
TABLE_ROLE = "aha_statistics"
LABELS_CLASS = "vtkMRMLLabelMapVolumeNode"
LEFT_OUT = "none"

# A hue for each wall of the six, lighter towards the apex, so that neighbours always differ.
_WALL_COLORS = {
    "anterior": (0.90, 0.25, 0.20),
    "anteroseptal": (0.95, 0.60, 0.15),
    "septal": (0.95, 0.75, 0.15),
    "inferoseptal": (0.90, 0.85, 0.20),
    "inferior": (0.25, 0.70, 0.30),
    "inferolateral": (0.15, 0.65, 0.80),
    "lateral": (0.20, 0.50, 0.90),
    "anterolateral": (0.45, 0.35, 0.85),
}
_TOWARDS_WHITE = {"basal": 0.0, "mid": 0.25, "apical": 0.45}


@dataclass(frozen=True)
class Division:
    """A map's myocardium divided into segments.

    Attributes:
        labels: uint8 with the map's axes (slice, row, column); 0 outside.
        levels: slice of the landmarks' volume -> the level it was taken for.
        problems: a sentence for every slice that could not be divided.
    """

    labels: np.ndarray
    levels: dict[int, str]
    problems: tuple[str, ...]


def divide(landmarksNode: Any, mapNode: Any, myocardium: np.ndarray, rule: str = "equal") -> Division:
    """Divide the myocardium on a map by the landmarks of a volume, the map itself or another of the same patient.

    A slice of the map takes the landmarks of the volume's slice nearest to it, if they lie within the slice.

    Args:
        landmarksNode: with landmarks and review.
        mapNode: the map.
        myocardium: true in the myocardium, with the map's axes (slice, row, column).
        rule: see `CMRLib.anatomy.aha.segment_borders`.
    """
    volume = sourceVolume(landmarksNode)
    entries = readReview(landmarksNode)
    placed = _landmarksOnMap(landmarksNode, volume, mapNode)
    chosen = {
        there: (index, points)
        for there, (index, points) in placed.items()
        if not _isLeftOut(entries[index]) and myocardium[there].any()
    }
    geometry = volumeGeometry(mapNode)
    labels = np.zeros(myocardium.shape, dtype=np.uint8)
    problems: list[str] = []
    levels: dict[int, str] = {}
    try:
        levels = levelsOf(landmarksNode, sorted(index for index, _points in chosen.values()))
    except InputError as error:
        problems.append(str(error))
    for there, (index, points) in sorted(chosen.items()):
        if index not in levels:
            continue
        try:
            labels[there] = label_slice(myocardium[there], points, levels[index], geometry, rule)
        except InputError as error:
            problems.append(f"Slice {index}: {error}")
    return Division(labels, levels, tuple(problems))


def segmentValues(maps: Sequence[tuple[Any, np.ndarray]]) -> dict[int, RoiStatistics | None]:
    """Statistics in each segment, 1 to 16, of one or more maps together; None for a segment without a value.

    Args:
        maps: map nodes, each with its segments (slice, row, column); of the same kind and unit.
    """
    values, labels, fitted = [], [], []
    for mapNode, segments in maps:
        inside = segments > 0
        values.append(volumeArray(mapNode)[inside])
        labels.append(segments[inside])
        isFitted = mapNode.GetAttribute(provenance.ROLE) != "t1"  # but a T1 map is 0 where it has no fit
        fitted.append(np.isfinite(values[-1]) & (isFitted | (values[-1] > 0)))
    return segment_statistics(np.concatenate(values), np.concatenate(labels), np.concatenate(fitted))


def otherSlices(mapNode: Any) -> list[tuple[Any, np.ndarray]]:
    """Maps of other slices of the same examination that have been divided, each with its segments."""
    others = []
    for labelNode in slicer.util.getNodesByClass(LABELS_CLASS):
        other = labelNode.GetNodeReference(SOURCE_REFERENCE)
        isSegments = labelNode.GetAttribute(provenance.ROLE) == LABELS_ROLE
        if isSegments and other is not None and isOtherSlice(mapNode, other):
            others.append((other, slicer.util.arrayFromVolume(labelNode)))
    return others


def isOtherSlice(mapNode: Any, other: Any) -> bool:
    """Whether another map is of another slice of the same examination.

    T1 maps are often made slice by slice. They belong together when they are of one kind and state, lie beside each
    other in the subject hierarchy, and each is known by the name of its slice.
    """

    def examination(node: Any) -> tuple[Any, ...]:
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        parent = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node))
        return node.GetAttribute(provenance.ROLE), known(node, STATE), parent

    if other is mapNode or known(mapNode, SLICE) is None or known(other, SLICE) is None:
        return False
    return examination(other) == examination(mapNode)


def storeSegments(landmarksNode: Any, mapNode: Any, labels: np.ndarray) -> Any:
    """Put the segments into the label map that belongs to the map; it is created when there is none."""
    node = findResult(mapNode, LABELS_ROLE, LABELS_CLASS)
    isNew = node is None
    if isNew:
        name = slicer.mrmlScene.GenerateUniqueName(f"{mapNode.GetName()} AHA segments")
        node = slicer.mrmlScene.AddNewNodeByClass(LABELS_CLASS, name)
    setVolumeArray(node, labels, volumeGeometry(mapNode))
    parameters = {"Landmarks": landmarksNode.GetID()}
    markResult(node, mapNode, provenance.result_attributes(LABELS_ROLE, source=mapNode.GetID(), parameters=parameters))
    if isNew:
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().SetAndObserveColorNodeID(segmentColors().GetID())
    return node


def storeTable(mapNode: Any, statistics: dict[int, RoiStatistics | None], unit: str) -> Any:
    """Put the statistics of every segment into the table that belongs to the map, with the segment's SNOMED CT code.

    Args:
        mapNode: the map that was measured.
        statistics: of each segment.
        unit: of the values, for the column titles.
    """
    tableNode = findResult(mapNode, TABLE_ROLE, "vtkMRMLTableNode")
    if tableNode is None:
        name = slicer.mrmlScene.GenerateUniqueName(f"{mapNode.GetName()} AHA statistics")
        tableNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", name)
    wasModifying = tableNode.StartModify()
    setStatisticsTable(tableNode, unit, {f"{s.number} {s.name}": statistics[s.number] for s in SEGMENTS})
    codes = vtk.vtkStringArray()
    codes.SetName("SNOMED CT")
    for segment in SEGMENTS:
        codes.InsertNextValue(segment.code)
    tableNode.AddColumn(codes)
    markResult(tableNode, mapNode, provenance.result_attributes(TABLE_ROLE, source=mapNode.GetID()))
    tableNode.EndModify(wasModifying)
    return tableNode


def showSegments(labelNode: Any, mapNode: Any, visible: bool) -> None:
    """Draw the outlines of the segments in every slice view that shows the map, or take them away everywhere."""
    for view in sliceLogics():
        composite = view.GetSliceCompositeNode()
        isShown = composite.GetLabelVolumeID() == labelNode.GetID()
        if visible and composite.GetBackgroundVolumeID() == mapNode.GetID():
            composite.SetLabelVolumeID(labelNode.GetID())
            composite.SetLabelOpacity(1.0)
            view.GetSliceNode().SetUseLabelOutline(True)  # filled, they would mix with the colors of the map
        elif isShown:
            composite.SetLabelVolumeID(None)
            view.GetSliceNode().SetUseLabelOutline(False)


def levelsOf(landmarksNode: Any, slices: list[int] | None = None) -> dict[int, str]:
    """The level of every slice that has landmarks and is not left out: as chosen, else automatic.

    Args:
        landmarksNode: with landmarks and review.
        slices: the slices that show the left ventricle; None takes all that have landmarks.

    Raises:
        InputError: by its orientation the volume is no short-axis stack.
    """
    volume, entries = sourceVolume(landmarksNode), readReview(landmarksNode)
    if slices is None:
        slices = [entry.slice for entry in entries if entry.status is not Status.MISSING and not _isLeftOut(entry)]
    chosen = {index: entries[index].level for index in slices if entries[index].level in LEVELS}
    return _automaticLevels(volume, slices) | chosen


def segmentColors() -> Any:
    """The color table of the 16 segments, in which their names can be read under the cursor."""
    colors = [("background", (0.0, 0.0, 0.0, 0.0))]
    for segment in SEGMENTS:  # in the order of their numbers
        share = _TOWARDS_WHITE[segment.level]
        red, green, blue = ((1 - share) * c + share for c in _WALL_COLORS[segment.wall])
        colors.append((f"{segment.number} {segment.name}", (red, green, blue, 1.0)))
    return labelColorNode("AHA 16 segments", colors)


def _isLeftOut(entry: LandmarkReview) -> bool:
    """Whether the analyst does not want the slice to be measured."""
    return entry.level == LEFT_OUT or entry.status is Status.REJECTED


def _automaticLevels(volume: Any, slices: list[int]) -> dict[int, str]:
    """Levels by the volume's own name for its slice, else by the place of each slice along the stack."""
    name = known(volume, SLICE)
    if name in LEVELS:
        return dict.fromkeys(slices, name)
    return levels_along_stack(slices, volumeGeometry(volume))


def _landmarksOnMap(landmarksNode: Any, volume: Any, mapNode: Any) -> dict[int, tuple[int, SliceLandmarks]]:
    """Slice of the map -> slice of the volume, and its landmarks in pixels of the map."""
    nearest: dict[int, tuple[float, int, SliceLandmarks]] = {}
    slices = mapNode.GetImageData().GetDimensions()[2]
    for index, points in enumerate(slicePoints(landmarksNode, volume)):
        if points[0] is None or points[1] is None:
            continue
        indices = np.array([[0.0, 0.0, index] if p is None else [p[1], p[0], index] for p in points])
        onMap = worldToIJK(mapNode, ijkToWorld(volume, indices))
        depth = float(onMap[:2, 2].mean())
        there = int(np.floor(depth + 0.5))
        if not 0 <= there < slices:
            continue
        center, anterior, inferior = ((float(q[1]), float(q[0])) for q in onMap)
        away = abs(depth - there)
        if there not in nearest or away < nearest[there][0]:
            known = SliceLandmarks(center, anterior, None if points[2] is None else inferior)
            nearest[there] = (away, index, known)
    return {there: (index, points) for there, (_away, index, points) in nearest.items()}
