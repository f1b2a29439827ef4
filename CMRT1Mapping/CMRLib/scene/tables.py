"""Statistics as table nodes."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import slicer
import vtk

from CMRLib import provenance
from CMRLib.anatomy.statistics import RoiStatistics, roi_statistics
from CMRLib.errors import InputError
from CMRLib.scene.outputs import checkOverwriting
from CMRLib.scene.regions import regionMasks
from CMRLib.scene.results import findResult, markResult
from CMRLib.scene.volumes import volumeArray

STATISTICS_ROLE = "t1_statistics"
STATISTICS_NAMES = {STATISTICS_ROLE: "statistics"}

# Column -> what it holds.
STATISTICS_COLUMNS = {
    "Mean": "mean",
    "SD": "sd",
    "Median": "median",
    "Min": "minimum",
    "Max": "maximum",
    "Pixels": "pixels",
    "Excluded": "excluded",
}


def findStatistics(t1Map: Any) -> Any:
    """The table with the statistics of regions of a map; None where there is none, or no map."""
    return None if t1Map is None else findResult(t1Map, STATISTICS_ROLE, "vtkMRMLTableNode")


def measureRegions(t1Map: Any, regionNode: Any, tableNode: Any = None, mayOverwrite: Collection[Any] = ()) -> Any:
    """Statistics of T1 in every region of a node.

    Args:
        t1Map: the map; pixels without a fit (0) are left out and counted.
        regionNode: segmentation, ROI box or closed curve.
        tableNode: table to fill; None takes that of an earlier measurement on this map, or creates one.
        mayOverwrite: the table, if it may lose data of another kind or another map.

    Returns:
        The table node, with a row per region.

    Raises:
        InputError: nothing can be measured; the table is as it was.
    """
    if t1Map is None or regionNode is None:
        raise InputError("Select a T1 map and a region.")
    checkOverwriting(t1Map, {STATISTICS_ROLE: tableNode}, STATISTICS_NAMES, mayOverwrite)
    values = volumeArray(t1Map)
    statistics: dict[str, RoiStatistics | None] = {}
    problems = []
    for name, mask in regionMasks(regionNode, t1Map).items():
        try:
            statistics[name] = roi_statistics(values, mask, values > 0)
        except InputError as error:
            statistics[name] = None
            problems.append(error)
    if len(problems) == len(statistics):
        raise problems[0]
    tableNode = tableNode or findStatistics(t1Map)
    if tableNode is None:
        name = slicer.mrmlScene.GenerateUniqueName(f"{t1Map.GetName()} statistics")
        tableNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", name)
    setStatisticsTable(tableNode, "ms", statistics)
    markResult(tableNode, t1Map, provenance.result_attributes(STATISTICS_ROLE, source=t1Map.GetID()))
    return tableNode


def setStatisticsTable(tableNode: Any, unit: str, statistics: Mapping[str, RoiStatistics | None]) -> None:
    """Fill a table node with a row for each region; what it held before is replaced.

    Args:
        tableNode: a vtkMRMLTableNode.
        unit: of the values, for the column titles; may be empty.
        statistics: name of the region -> its statistics, or None where the region holds no value.
    """
    wasModifying = tableNode.StartModify()
    tableNode.RemoveAllColumns()
    names = vtk.vtkStringArray()
    names.SetName("Region")
    for region in statistics:
        names.InsertNextValue(region)
    tableNode.AddColumn(names)
    for title, field in STATISTICS_COLUMNS.items():
        counts = field in ("pixels", "excluded")
        column = vtk.vtkIntArray() if counts else vtk.vtkDoubleArray()
        column.SetName(title if counts or not unit else f"{title} [{unit}]")
        for values in statistics.values():
            if values is None:
                column.InsertNextValue(0 if counts else math.nan)
            else:
                column.InsertNextValue(getattr(values, field) if counts else round(getattr(values, field), 2))
        tableNode.AddColumn(column)
    tableNode.SetUseColumnTitleAsColumnHeader(True)
    tableNode.EndModify(wasModifying)
