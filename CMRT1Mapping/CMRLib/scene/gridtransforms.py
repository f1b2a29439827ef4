"""Displacements as grid transforms, and how they are drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from vtkmodules.util.numpy_support import numpy_to_vtk
from vtkmodules.vtkCommonDataModel import vtkImageData

from CMRLib.geometry import Geometry
from CMRLib.scene.display import colorNode

DISPLACEMENT_COLORS = "CMR_Displacement"
ARROW_SPACING_MM = 6.0


def gridTransform(vectors: np.ndarray, geometry: Geometry) -> Any:
    """A grid transform of vectors (slice, row, column, 3) in RAS mm that lie on the voxels of a geometry.

    As ``TransformFromParent`` of a node it takes its vectors from the place that a voxel shows after the transform is
    applied to the place where its value is found: Slicer's resampling direction.
    """
    affine = geometry.ijk_to_ras()
    slices, rows, columns, _ = vectors.shape
    grid = vtkImageData()
    grid.SetDimensions(columns, rows, slices)
    grid.SetSpacing(*geometry.spacing)
    grid.SetOrigin(*affine[:3, 3])
    grid.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(vectors).reshape(-1, 3), deep=True))
    directions = np.eye(4)
    directions[:3, :3] = affine[:3, :3] / np.asarray(geometry.spacing)
    transform = slicer.vtkOrientedGridTransform()
    transform.SetDisplacementGridData(grid)
    transform.SetGridDirectionMatrix(slicer.util.vtkMatrixFromArray(directions))
    return transform


def addArrows(transformNode: Any) -> Any:
    """Show a displacement in slice views as arrows of true length; the display node."""
    transformNode.CreateDefaultDisplayNodes()
    display = transformNode.GetDisplayNode()
    display.SetVisualizationMode(display.VIS_MODE_GLYPH)
    display.SetGlyphType(display.GLYPH_TYPE_ARROW)
    display.SetGlyphScalePercent(100.0)
    display.SetGlyphSpacingMm(ARROW_SPACING_MM)
    display.SetGlyphDisplayRangeMinMm(0.0)
    display.SetAndObserveColorNodeID(colorNode(DISPLACEMENT_COLORS).GetID())
    display.SetVisibility2D(True)
    display.SetVisibility3D(False)
    return display
