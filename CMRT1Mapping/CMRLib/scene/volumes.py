"""Volume nodes and arrays with geometry."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk

from CMRLib.errors import InputError
from CMRLib.geometry import Geometry


def volumeGeometry(volumeNode: Any) -> Geometry:
    """The geometry of a volume node in its own coordinates, that is without its parent transform.

    Raises:
        InputError: the axes or the spacing are not those of an image.
    """
    matrix = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(matrix)
    return Geometry.from_ijk_to_ras(slicer.util.arrayFromVTKMatrix(matrix))


def volumeArray(volumeNode: Any) -> np.ndarray:
    """The pixels of a volume node as float32 with axes (slice, row, column); a copy.

    Raises:
        InputError: the volume is empty, or has more than one value a pixel.
    """
    array = None if volumeNode.GetImageData() is None else slicer.util.arrayFromVolume(volumeNode)
    if array is None or array.size == 0:
        raise InputError(f"{volumeNode.GetName()} holds no image; load the series again.")
    if array.ndim != 3:
        raise InputError(f"{volumeNode.GetName()} has more than one value a pixel; choose a plain (scalar) volume.")
    return array.astype(np.float32)


def checkSlicesLast(volumeNode: Any) -> None:
    """Raise InputError where the slices of a volume are not counted by its third axis."""
    columns, rows, slices = volumeNode.GetImageData().GetDimensions()
    if volumeGeometry(volumeNode).slice_axis((columns, rows, slices)) != 2:
        raise InputError(
            f"The axes of {volumeNode.GetName()} were turned by another program, so that its slices do not come last; "
            "load the original images, or turn them back with the module Orient Scalar Volume."
        )


def setVolumeArray(volumeNode: Any, array: np.ndarray, geometry: Geometry) -> None:
    """Put an array with axes (slice, row, column) or (row, column) into a volume node, with its geometry.

    The pixel type is kept (float32, uint8 ...). Display settings of the node are left alone.
    """
    array = np.asarray(array)
    wasModifying = volumeNode.StartModify()
    slicer.util.updateVolumeFromArray(volumeNode, np.ascontiguousarray(array if array.ndim == 3 else array[None]))
    volumeNode.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(geometry.ijk_to_ras()))
    volumeNode.EndModify(wasModifying)


def worldToIJK(volumeNode: Any, points: np.ndarray) -> np.ndarray:
    """Voxel coordinates (column, row, slice), not rounded, of world positions.

    Args:
        volumeNode: a volume, with or without a parent transform.
        points: RAS mm in the world, as the cursor and markups have them, shape (n, 3).
    """
    points = np.asarray(points, dtype=float).reshape(-1, 3)
    if volumeNode.GetParentTransformNode() is not None:
        fromWorld = vtk.vtkGeneralTransform()
        slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(None, volumeNode.GetParentTransformNode(), fromWorld)
        points = np.array([fromWorld.TransformPoint(point) for point in points])
    matrix = vtk.vtkMatrix4x4()
    volumeNode.GetRASToIJKMatrix(matrix)
    affine = slicer.util.arrayFromVTKMatrix(matrix)
    return points @ affine[:3, :3].T + affine[:3, 3]


def ijkToWorld(volumeNode: Any, indices: np.ndarray) -> np.ndarray:
    """World positions (RAS mm) of voxel coordinates (column, row, slice); shape (n, 3) in and out."""
    matrix = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(matrix)
    affine = slicer.util.arrayFromVTKMatrix(matrix)
    points = np.asarray(indices, dtype=float).reshape(-1, 3) @ affine[:3, :3].T + affine[:3, 3]
    if volumeNode.GetParentTransformNode() is None:
        return points
    toWorld = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(volumeNode.GetParentTransformNode(), None, toWorld)
    return np.array([toWorld.TransformPoint(point) for point in points])


def addVolume(name: str, array: np.ndarray, geometry: Geometry) -> Any:
    """A new volume of that name with these pixels, (slice, row, column), ready to be shown."""
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    setVolumeArray(volume, array, geometry)
    volume.CreateDefaultDisplayNodes()
    return volume


def numberOfSlices(volumeNode: Any) -> int:
    """How many slices a volume has; 0 for an empty one."""
    return 0 if volumeNode.GetImageData() is None else int(volumeNode.GetImageData().GetDimensions()[2])
