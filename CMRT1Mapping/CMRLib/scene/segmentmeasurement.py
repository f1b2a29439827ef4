"""The AHA segments of a map, measured: label map, table and bull's-eye together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer

from CMRLib.anatomy.bullseye import BullsEye, make_bullseye
from CMRLib.anatomy.statistics import RoiStatistics
from CMRLib.scene import aha, bullseye

_WIDE_RANGE = 50.0  # values of a map that spans more are written without decimals


@dataclass(frozen=True)
class Measurement:
    """Segments of a map, measured.

    Attributes:
        statistics: of each segment, 1 to 16; None for one without a value.
        levels: slice of the landmarks' volume -> its level.
        problems: a sentence for every slice that could not be divided.
        others: maps of other slices that were measured together with this one.
        labels, table: the nodes.
    """

    statistics: dict[int, RoiStatistics | None]
    levels: dict[int, str]
    problems: tuple[str, ...]
    others: tuple[Any, ...]
    labels: Any
    table: Any


def measureSegments(
    landmarksNode: Any, mapNode: Any, myocardium: np.ndarray, rule: str = "equal", combineSlices: bool = False
) -> Measurement:
    """Divide the myocardium on a map into AHA segments and measure them; label map and table are updated.

    Args:
        landmarksNode: landmarks of the map or of other images of the same patient.
        mapNode: what is measured.
        myocardium: true in the myocardium, with the map's axes (slice, row, column).
        rule: ``equal`` or ``insertions``, see `CMRLib.anatomy.aha.segment_borders`.
        combineSlices: measure maps of other slices of the examination, which were divided before, together with it.
    """
    division = aha.divide(landmarksNode, mapNode, myocardium, rule)
    problems = division.problems
    if not problems and not division.labels.any():
        problems = ("No slice with landmarks shows the myocardium; check the segmentation and the map.",)
    others = aha.otherSlices(mapNode) if combineSlices else []
    statistics = aha.segmentValues([(mapNode, division.labels), *others])
    labels = aha.storeSegments(landmarksNode, mapNode, division.labels)
    table = aha.storeTable(mapNode, statistics, unitOf(mapNode))
    return Measurement(statistics, division.levels, problems, tuple(node for node, _labels in others), labels, table)


def bullsEyeOf(mapNode: Any, statistics: dict[int, RoiStatistics | None], field: str = "mean") -> BullsEye:
    """The bull's-eye of one statistic of each segment, in the colors of the map.

    Args:
        mapNode: the map.
        statistics: of each segment.
        field: of `CMRLib.anatomy.statistics.RoiStatistics`.

    Raises:
        InputError: the map has no colors.
    """
    unit = unitOf(mapNode)
    legend = slicer.modules.colors.logic().GetColorLegendDisplayNode(mapNode)
    title = legend.GetTitleText() if legend is not None else f"[{unit}]" if unit else ""
    low, high = mapNode.GetImageData().GetScalarRange()
    scale = bullseye.mapColorScale(mapNode, title, "{:.0f}" if high - low > _WIDE_RANGE else "{:.2f}")
    values = {number: None if found is None else getattr(found, field) for number, found in statistics.items()}
    return make_bullseye(values, scale)


def unitOf(mapNode: Any) -> str:
    """Unit of a map's values, as in the scene; empty where it has none."""
    units = mapNode.GetVoxelValueUnits()
    code = "" if units is None else units.GetCodeValue() or ""
    return "" if code in ("1", "[arb'U]") else code


def showTable(tableNode: Any) -> None:
    """Show a table in every table view."""
    views = slicer.util.getNodesByClass("vtkMRMLTableViewNode")
    if any(view.GetTableNodeID() != tableNode.GetID() for view in views):
        slicer.app.applicationLogic().GetSelectionNode().SetActiveTableID(tableNode.GetID())
        slicer.app.applicationLogic().PropagateTableSelection()
