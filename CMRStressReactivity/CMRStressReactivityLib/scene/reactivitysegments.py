"""The 16 segments of dT1: the shared section of panels, with a bull's-eye that is graded and a table that says more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from CMRLib.anatomy.bullseye import BullsEye, make_bullseye
from CMRLib.scene.segmentmeasurement import Measurement
from CMRLib.scene.segmentssection import SegmentsSection
from CMRStressReactivityLib.comparison import SegmentReactivity
from CMRStressReactivityLib.grades import graded_scale
from CMRStressReactivityLib.scene.reactivitymeasurement import addColumns, isReactivity, segmentsOf

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
