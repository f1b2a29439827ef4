"""The nodes of the extracellular volume of a native T1 map: its maps and the table of its segments."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import slicer
import vtk

from CMRLib import provenance
from CMRLib.anatomy.aha import SEGMENTS
from CMRLib.files.color_tables import t1_colors_for_field
from CMRLib.scene.display import MapDisplay, labelColorNode, setMapDisplay
from CMRLib.scene.results import findResult, markResult
from CMRLib.scene.volumes import setVolumeArray, volumeGeometry
from CMRLib.terms import ECV, PERCENT
from CMRT1MappingLib.ecv.calculation import EcvFlag, RegionEcv
from CMRT1MappingLib.ecv.files import ECV_MAPS, EcvOfMap
from CMRT1MappingLib.scene.t1maps import setT1Colors

POST = "CMR.PostContrastMap"  # the map after contrast that ECV was made with
TABLE_ROLE = "ecv_segments"
# What a result's nodes say of it (``CMR.<name>``): the values of its slices, and why they are doubtful.
FOUND = ("Mean", "Hematocrit", "HematocritSource", "BloodNativeT1", "BloodPostT1", "Registration")
DOUBT = "Doubt"
# Result -> ending of the node's name.
ECV_NAMES = {
    "ecv": "ECV map",
    "ecv_error": "ECV standard error",
    "ecv_flags": "ECV flags",
    "post_t1": "T1 map after contrast, registered",
}
_DISPLAYS = {
    "ecv": MapDisplay("ECV [%]", PERCENT, ECV, "CMR_ECV"),
    "ecv_error": MapDisplay("ECV standard error [%]", PERCENT, window=(0, 10)),
}
_FLAG_WORDS = {
    EcvFlag.NO_NATIVE_T1: "no native T1",
    EcvFlag.NO_POST_T1: "no T1 after contrast",
    EcvFlag.NO_UPTAKE: "T1 not shorter after contrast",
    EcvFlag.IMPOSSIBLE: "ECV above 100 %",
}
_ERROR = "Standard error [%]"
_COLUMNS = ("ECV [%]", _ERROR, "SD [%]", "Median [%]", "Pixels", "Excluded")


def mapClass(role: str) -> str:
    """The class of the node that holds a result: flags are a label map, so that they can lie over another map."""
    return "vtkMRMLLabelMapVolumeNode" if role == "ecv_flags" else "vtkMRMLScalarVolumeNode"


def findEcv(nativeMap: Any) -> dict[str, Any]:
    """The nodes that hold the ECV of a native map so far, by role; roles without a node are left out."""
    found = {role: findResult(nativeMap, role, mapClass(role)) for role in ECV_NAMES}
    found[TABLE_ROLE] = findResult(nativeMap, TABLE_ROLE, "vtkMRMLTableNode")
    return {role: node for role, node in found.items() if node is not None}


def storeEcv(
    nativeMap: Any, value: EcvOfMap, postMap: Any = None, fieldStrength: float | None = None
) -> dict[str, Any]:
    """Put the ECV of a native map into its nodes; those of an earlier run are used again.

    A map that this run does not have, as the standard error where a T1 map has none, loses its node.

    Args:
        nativeMap: the T1 map before contrast.
        value: its ECV.
        postMap: the T1 map after contrast, where it is one node.
        fieldStrength: of the scanner in tesla, for the colors of the registered map.

    Returns:
        role -> node.
    """
    earlier, nodes = findEcv(nativeMap), dict[str, Any]()
    geometry = volumeGeometry(nativeMap)
    columns, rows, slices = nativeMap.GetImageData().GetDimensions()
    for role in ECV_MAPS:
        stack = value.stack(role, (slices, rows, columns))
        node: Any = earlier.get(role)
        if stack is None:
            if node is not None:
                slicer.mrmlScene.RemoveNode(node)
            continue
        isNew = node is None
        if isNew:
            name = slicer.mrmlScene.GenerateUniqueName(f"{nativeMap.GetName()} {ECV_NAMES[role]}")
            node = slicer.mrmlScene.AddNewNodeByClass(mapClass(role), name)
        setVolumeArray(node, stack, geometry)
        attributes = provenance.result_attributes(role, source=nativeMap.GetID(), parameters=_parameters(value))
        markResult(node, nativeMap, attributes)
        node.SetNodeReferenceID(POST, None if postMap is None else postMap.GetID())
        if isNew:
            _show(node, role, fieldStrength)
        nodes[role] = node
    table = _storeSegments(nativeMap, value, earlier.get(TABLE_ROLE))
    return nodes if table is None else nodes | {TABLE_ROLE: table}


def _parameters(value: EcvOfMap) -> dict[str, str]:
    """What the nodes say of the slices; what is the same in all of them is said once."""
    slices = [{**one.result.parameters(), "Mean": _meanText(one.result.mean)} for one in value.slices]
    found = {name: ", ".join(dict.fromkeys(str(one[name]) for one in slices)) for name in FOUND}
    return found | {DOUBT: " ".join(dict.fromkeys(reason for one in value.slices for reason in one.reasons))}


def _meanText(mean: RegionEcv) -> str:
    return f"{mean.percent:.1f} %" if mean.error is None else f"{mean.percent:.1f} ± {mean.error:.1f} %"


def _show(node: Any, role: str, fieldStrength: float | None) -> None:
    if role == "post_t1":
        setT1Colors(node, t1_colors_for_field(fieldStrength))
    elif role == "ecv_flags":
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().SetAndObserveColorNodeID(_flagColors().GetID())
    else:
        setMapDisplay(node, _DISPLAYS[role])


def _flagColors() -> Any:
    """The color table in which the names of a pixel's flags can be read under the cursor; they are not drawn."""
    colors = [("ECV", (0.0, 0.0, 0.0, 0.0))]
    for flags in range(1, 2 * max(EcvFlag)):
        words = ", ".join(words for flag, words in _FLAG_WORDS.items() if flag & flags)
        drawn = flags & (EcvFlag.NO_UPTAKE | EcvFlag.IMPOSSIBLE)
        colors.append((words, (1.0, 0.0, 1.0, 1.0) if drawn else (0.0, 0.0, 0.0, 0.0)))
    return labelColorNode("CMR ECV flags", colors)


def _storeSegments(nativeMap: Any, value: EcvOfMap, tableNode: Any) -> Any:
    """The table of the segments of all slices; None where none could be divided, and then there is no table left."""
    regions: dict[int, RegionEcv | None] = {}
    for one in value.slices:
        if one.segments is not None:
            regions |= one.result.segments(one.segments)
    if not regions:
        if tableNode is not None:
            slicer.mrmlScene.RemoveNode(tableNode)
        return None
    if tableNode is None:
        name = slicer.mrmlScene.GenerateUniqueName(f"{nativeMap.GetName()} ECV of segments")
        tableNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", name)
    wasModifying = tableNode.StartModify()
    tableNode.RemoveAllColumns()
    shown = [segment for segment in SEGMENTS if segment.number in regions]
    _addTexts(tableNode, "Segment", [f"{segment.number} {segment.name}" for segment in shown])
    cells = [_cells(regions[segment.number]) for segment in shown]
    for title, numbers in zip(_COLUMNS, zip(*cells, strict=True), strict=True):
        if title == _ERROR and np.isnan(numbers).all():
            continue  # a T1 map that was not computed here has no standard error
        column = vtk.vtkIntArray() if title in ("Pixels", "Excluded") else vtk.vtkDoubleArray()
        column.SetName(title)
        for number in numbers:
            column.InsertNextValue(number)
        tableNode.AddColumn(column)
    _addTexts(tableNode, "SNOMED CT", [segment.code for segment in shown])
    tableNode.SetUseColumnTitleAsColumnHeader(True)
    markResult(tableNode, nativeMap, provenance.result_attributes(TABLE_ROLE, source=nativeMap.GetID()))
    tableNode.EndModify(wasModifying)
    return tableNode


def _addTexts(tableNode: Any, title: str, texts: list[str]) -> None:
    column = vtk.vtkStringArray()
    column.SetName(title)
    for text in texts:
        column.InsertNextValue(text)
    tableNode.AddColumn(column)


def _cells(region: RegionEcv | None) -> tuple[Any, ...]:
    """A row of `_COLUMNS`."""
    if region is None:
        return (math.nan, math.nan, math.nan, math.nan, 0, 0)
    error = math.nan if region.error is None else region.error
    numbers = np.round([region.percent, error, region.sd, region.median], 2).tolist()
    return (*numbers, region.pixels, region.excluded)
