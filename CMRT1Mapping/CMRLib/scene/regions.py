"""Regions drawn by the analyst as masks on the pixels of a map."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk

from CMRLib.errors import InputError
from CMRLib.scene.results import findResult
from CMRLib.scene.volumes import ijkToWorld, worldToIJK

SEGMENTATION_ROLE, SEGMENTATION_CLASS = "segmentation", "vtkMRMLSegmentationNode"


def findSegmentation(volumeNode: Any) -> Any:
    """The segmentation that belongs to a volume, or None."""
    return findResult(volumeNode, SEGMENTATION_ROLE, SEGMENTATION_CLASS)


def regionMasks(regionNode: Any, volumeNode: Any) -> dict[str, np.ndarray]:
    """The regions of a node, by name, as boolean masks with the axes (slice, row, column) of a volume.

    A segmentation has one region for each segment. A pixel belongs to a region when its center does.

    Args:
        regionNode: a segmentation, a box (ROI) or a closed curve; a curve is taken in the slices that it lies in.
        volumeNode: the map.

    Raises:
        InputError: the node is none of these, or has no region yet.
    """
    if regionNode.IsA("vtkMRMLSegmentationNode"):
        return _segmentMasks(regionNode, volumeNode)
    if regionNode.IsA("vtkMRMLMarkupsROINode"):
        return {regionNode.GetName(): _boxMask(regionNode, volumeNode)}
    if regionNode.IsA("vtkMRMLMarkupsClosedCurveNode"):
        return {regionNode.GetName(): _curveMask(regionNode, volumeNode)}
    raise InputError(f"{regionNode.GetName()} is not a region; choose a segmentation, an ROI or a closed curve.")


def _segmentMasks(segmentationNode: Any, volumeNode: Any) -> dict[str, np.ndarray]:
    segmentation = segmentationNode.GetSegmentation()
    masks: dict[str, np.ndarray] = {}
    for segmentId in segmentation.GetSegmentIDs():
        name = segmentation.GetSegment(segmentId).GetName()
        array = slicer.util.arrayFromSegmentBinaryLabelmap(segmentationNode, segmentId, volumeNode)
        masks[name if name not in masks else f"{name} ({segmentId})"] = array > 0
    if not masks:
        raise InputError(f"{segmentationNode.GetName()} has no segments; draw one in the Segment Editor.")
    return masks


def _boxMask(roiNode: Any, volumeNode: Any) -> np.ndarray:
    size = np.array(roiNode.GetSize())
    if roiNode.GetNumberOfControlPoints() == 0 or not np.all(size > 0):
        raise InputError(f"{roiNode.GetName()} has not been placed; draw it on the map.")
    matrix = vtk.vtkMatrix4x4()
    vtk.vtkMatrix4x4.Invert(roiNode.GetObjectToWorldMatrix(), matrix)
    toBox = slicer.util.arrayFromVTKMatrix(matrix)
    points = _pixelCenters(volumeNode) @ toBox[:3, :3].T + toBox[:3, 3]
    return np.all(np.abs(points) <= size / 2, axis=1).reshape(_shape(volumeNode))


def _curveMask(curveNode: Any, volumeNode: Any) -> np.ndarray:
    if curveNode.GetNumberOfControlPoints() < 3:
        raise InputError(f"{curveNode.GetName()} needs at least three points; draw it on the map.")
    points = curveNode.GetCurvePointsWorld()
    corners = np.array([points.GetPoint(index) for index in range(points.GetNumberOfPoints())])
    polygon = worldToIJK(volumeNode, corners)
    slices, rows, columns = _shape(volumeNode)
    near = np.round(polygon[:, 2])
    mask = np.zeros((slices, rows, columns), dtype=bool)
    for index in np.unique(near[(near >= 0) & (near < slices)]).astype(int):
        mask[index] = polygonMask(polygon[:, :2], rows, columns)
    return mask


def polygonMask(polygon: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Pixels whose center lies inside a closed polygon, by the even-odd rule.

    Args:
        polygon: corners as (column, row) in pixels, shape (n, 2).
        rows, columns: size of the mask.
    """
    row, column = np.mgrid[:rows, :columns]
    inside = np.zeros((rows, columns), dtype=bool)
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if y0 == y1:
            continue
        crosses = (row >= min(y0, y1)) & (row < max(y0, y1))
        inside ^= crosses & (column < x0 + (row - y0) / (y1 - y0) * (x1 - x0))
    return inside


def _shape(volumeNode: Any) -> tuple[int, int, int]:
    columns, rows, slices = volumeNode.GetImageData().GetDimensions()
    return slices, rows, columns


def _pixelCenters(volumeNode: Any) -> np.ndarray:
    slices, rows, columns = _shape(volumeNode)
    k, j, i = np.mgrid[:slices, :rows, :columns].reshape(3, -1)
    return ijkToWorld(volumeNode, np.stack([i, j, k], axis=1))
