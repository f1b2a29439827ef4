"""The pixels of segments as arrays, without nodes in between that panels would take notice of."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy


def segmentMask(node: Any, segmentId: str, volumeNode: Any) -> np.ndarray:
    """The pixels of a volume that lie in a segment, bool (slice, row, column).

    The segmentation and the volume are taken to lie under the same transform.
    """
    grid = _grid(volumeNode)
    columns, rows, slices = grid.GetDimensions()
    stored, moved = slicer.vtkOrientedImageData(), slicer.vtkOrientedImageData()
    if not node.GetBinaryLabelmapRepresentation(segmentId, stored) or stored.IsEmpty():
        return np.zeros((slices, rows, columns), dtype=bool)
    slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(stored, grid, moved, False)
    pixels = vtk_to_numpy(moved.GetPointData().GetScalars()).reshape(slices, rows, columns)
    mask: np.ndarray = pixels > 0
    return mask


def setSegmentMask(node: Any, segmentId: str, volumeNode: Any, mask: np.ndarray) -> None:
    """Make the pixels of a volume that are true, (slice, row, column), those of a segment."""
    image = _grid(volumeNode)
    pixels = numpy_to_vtk(np.ascontiguousarray(mask, dtype=np.uint8).ravel(), deep=True)
    image.GetPointData().SetScalars(pixels)
    slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(
        image, node, segmentId, slicer.vtkSlicerSegmentationsModuleLogic.MODE_REPLACE
    )


def _grid(volumeNode: Any) -> Any:
    """An empty image of uint8 that lies as a volume does, in the volume's own coordinates."""
    matrix = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(matrix)
    image = slicer.vtkOrientedImageData()
    image.SetDimensions(*volumeNode.GetImageData().GetDimensions())
    image.SetGeometryFromImageToWorldMatrix(matrix)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    return image
