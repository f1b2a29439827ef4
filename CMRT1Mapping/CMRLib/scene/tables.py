"""Statistics as table nodes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import vtk

from CMRT1MappingLib.statistics import RoiStatistics

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


def setStatisticsTable(tableNode: Any, unit: str, statistics: Mapping[str, RoiStatistics | None]) -> None:
    """Fill a table node with a row for each region; what it held before is replaced.

    Args:
        tableNode: a vtkMRMLTableNode.
        unit: of the values, for the column titles.
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
        column.SetName(title if counts else f"{title} [{unit}]")
        for values in statistics.values():
            if values is None:
                column.InsertNextValue(0 if counts else math.nan)
            else:
                column.InsertNextValue(getattr(values, field) if counts else round(getattr(values, field), 2))
        tableNode.AddColumn(column)
    tableNode.SetUseColumnTitleAsColumnHeader(True)
    tableNode.EndModify(wasModifying)
