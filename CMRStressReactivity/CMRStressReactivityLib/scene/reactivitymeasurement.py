"""The 16 segments of a dT1 map, measured: means, standard errors, and the inner and the outer half of the wall."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import slicer
import vtk

from CMRLib import provenance
from CMRLib.anatomy.aha import SEGMENTS
from CMRLib.errors import InputError
from CMRLib.scene import aha
from CMRLib.scene.finders import myocardiumOn
from CMRLib.scene.landmarks import findLandmarks
from CMRLib.scene.regions import findSegmentation
from CMRLib.scene.results import SOURCE_REFERENCE, findResult
from CMRLib.scene.segmentmeasurement import measureSegments
from CMRLib.scene.volumes import volumeArray, volumeGeometry
from CMRStressReactivityLib.comparison import Divided, SegmentReactivity, reactivity_of_segments
from CMRStressReactivityLib.reactivity import ReactivityMap, wall_depth
from CMRStressReactivityLib.scene.reactivitynodes import DT1, DT1_ERROR, VOLUME


def isReactivity(mapNode: Any) -> bool:
    """Whether a map is one of dT1."""
    return bool(mapNode.GetAttribute(provenance.ROLE) == DT1)


def measureMap(mapNode: Any, segmentationNode: Any = None, myocardium: str = "", rule: str = "equal") -> bool:
    """Divide a dT1 map by the landmarks and the myocardium of its rest map, and fill its table; whether it could be.

    Args:
        mapNode: dT1.
        segmentationNode, myocardium: segmentation to be preferred, and the name of its segment; "" for the one called
            myocardium.
        rule: see `CMRLib.anatomy.aha.segment_borders`.
    """
    rest = mapNode.GetNodeReference(SOURCE_REFERENCE)
    found = None if rest is None else findLandmarks(rest)
    if found is None:
        return False
    wall = myocardiumOn(mapNode, segmentationNode, myocardium)
    wall = myocardiumOn(mapNode, findSegmentation(rest)) if wall is None else wall
    if wall is None:
        return False
    measurement = measureSegments(found, mapNode, wall, rule)
    addColumns(measurement.table, segmentsOf(mapNode, measurement.labels, combineSlices=False))
    return True


def segmentsOf(mapNode: Any, labelNode: Any, combineSlices: bool) -> dict[int, SegmentReactivity]:
    """The change in the segments of a dT1 map, with other slices of the examination if that is wanted.

    Args:
        mapNode: dT1.
        labelNode: its segments.
        combineSlices: see `CMRLib.scene.segmentmeasurement.measureSegments`.
    """
    own = (mapNode, slicer.util.arrayFromVolume(labelNode))
    maps = [own, *(aha.otherSlices(mapNode) if combineSlices else [])]
    return reactivity_of_segments([divided for one, labels in maps for divided in _divided(one, labels)])


def _divided(mapNode: Any, labels: np.ndarray) -> list[Divided]:
    rest = mapNode.GetNodeReference(SOURCE_REFERENCE)
    errorNode = None if rest is None else findResult(rest, DT1_ERROR, VOLUME)
    percent = volumeArray(mapNode)
    error = None if errorNode is None else volumeArray(errorNode)
    column_mm, row_mm, _thickness = volumeGeometry(mapNode).spacing
    slices = []
    for index in np.flatnonzero(labels.any(axis=(1, 2))):
        reactivity = ReactivityMap(percent[index], None if error is None else error[index])
        try:
            depth = wall_depth(labels[index] > 0, (row_mm, column_mm))
        except InputError:  # no closed ring, so it has no layers
            depth = None
        slices.append(Divided(reactivity, labels[index], depth))
    return slices


def addColumns(tableNode: Any, found: dict[int, SegmentReactivity]) -> None:
    """Add columns for the standard error and the layers to the table of segments."""
    columns: dict[str, list[float | None]] = {"SE [%]": [], "Subendocardial [%]": [], "Subepicardial [%]": []}
    words = vtk.vtkStringArray()
    words.SetName("More than noise")
    for segment in SEGMENTS:
        one = found.get(segment.number)
        whole = None if one is None else one.whole
        inner, outer = (None, None) if one is None else (one.layers.subendocardial, one.layers.subepicardial)
        numbers = [None if whole is None else whole.error, *(None if r is None else r.percent for r in (inner, outer))]
        for column, number in zip(columns.values(), numbers, strict=True):
            column.append(number)
        isSignificant = None if whole is None else whole.is_significant
        words.InsertNextValue("" if isSignificant is None else "yes" if isSignificant else "no")
    wasModifying = tableNode.StartModify()
    for name, values in columns.items():
        array = vtk.vtkDoubleArray()
        array.SetName(name)
        for value in values:
            array.InsertNextValue(math.nan if value is None else round(value, 2))
        tableNode.AddColumn(array)
    tableNode.AddColumn(words)
    tableNode.EndModify(wasModifying)
