"""The 16 segments of dT1: the shared section of panels, with a bull's-eye that is graded and a table that says more."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import slicer
import vtk

from CMRLib import provenance
from CMRLib.anatomy.aha import SEGMENTS
from CMRLib.anatomy.bullseye import BullsEye, make_bullseye
from CMRLib.errors import InputError
from CMRLib.scene import aha
from CMRLib.scene.results import SOURCE_REFERENCE, findResult
from CMRLib.scene.segmentmeasurement import Measurement
from CMRLib.scene.segmentssection import SegmentsSection
from CMRLib.scene.volumes import volumeArray, volumeGeometry
from CMRStressReactivityLib.comparison import Divided, SegmentReactivity, reactivity_of_segments
from CMRStressReactivityLib.grades import graded_scale
from CMRStressReactivityLib.reactivity import ReactivityMap, wall_depth
from CMRStressReactivityLib.scene.reactivitynodes import DT1, DT1_ERROR, VOLUME

GRADED = ("mean", "median", "minimum", "maximum")  # statistics that the thresholds are for


class ReactivitySegments(SegmentsSection):
    """Measures the segments of a dT1 map.

    The panel's parameter node has the thresholds ``lowThreshold``, ``middleThreshold`` and ``highThreshold`` as well.

    Attributes:
        found: what was measured last; empty where there is none.
    """

    def __init__(self, panel: Any, place: Any, landmarksNode: Callable[[], Any], changed: Callable[[], None]) -> None:
        self.found: dict[int, SegmentReactivity] = {}
        SegmentsSection.__init__(self, panel, place, landmarksNode, changed)

    def thresholds(self) -> tuple[float, float, float]:
        """The grades' thresholds in percent."""
        parameters = self.panel.parameterNode
        return parameters.lowThreshold, parameters.middleThreshold, parameters.highThreshold

    def settings(self) -> tuple[Any, ...]:
        """See the base class."""
        return (*SegmentsSection.settings(self), *self.thresholds())

    def update(self) -> None:
        """See the base class."""
        self.found = {}
        SegmentsSection.update(self)

    def complete(self, mapNode: Any, measurement: Measurement) -> None:
        """Add the standard error of every segment, and its inner and outer half, to the table of a dT1 map."""
        if isReactivity(mapNode):
            self.found = segmentsOf(mapNode, measurement.labels, self.panel.parameterNode.combineSlices)
            addColumns(measurement.table, self.found)

    def pictureOf(self, mapNode: Any, measurement: Measurement, statistic: str) -> BullsEye:
        """The bull's-eye in grades for a dT1 map, in the colors of the map for any other."""
        if not isReactivity(mapNode) or statistic not in GRADED:
            return SegmentsSection.pictureOf(self, mapNode, measurement, statistic)
        statistics = measurement.statistics
        values = {number: None if one is None else getattr(one, statistic) for number, one in statistics.items()}
        return make_bullseye(values, graded_scale(self.thresholds()))


def isReactivity(mapNode: Any) -> bool:
    """Whether a map is one of dT1."""
    return bool(mapNode.GetAttribute(provenance.ROLE) == DT1)


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
