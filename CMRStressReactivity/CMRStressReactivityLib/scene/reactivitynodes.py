"""The nodes of stress reactivity, which belong to the rest map: found again by what they are, and filled anew."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import slicer

from CMRLib import provenance
from CMRLib.files.color_tables import T1_COLOR_TABLES, t1_colors_for_field
from CMRLib.geometry import LPS_TO_RAS, Geometry
from CMRLib.scene.acquisitions import FIELD_STRENGTH, SLICE, STATE, known
from CMRLib.scene.display import MapDisplay, copyWindow, setMapDisplay
from CMRLib.scene.gridtransforms import gridTransform
from CMRLib.scene.results import findResult, markResult
from CMRLib.scene.volumes import setVolumeArray, volumeArray, volumeGeometry
from CMRLib.terms import MILLISECOND, PERCENT, T1, T1_REACTIVITY, T1_REACTIVITY_ERROR
from CMRStressReactivityLib.checkerboard import checkerboard
from CMRStressReactivityLib.files import slice_entry
from CMRStressReactivityLib.grades import COLOR_TABLE, TITLE
from CMRStressReactivityLib.volumes import ReactivityVolume

DT1, DT1_MYOCARDIUM, DT1_ERROR = "dt1", "dt1_myocardium", "dt1_error"
STRESS, UNREGISTERED, REST_GREY = "registered_stress_t1", "unregistered_stress_t1", "rest_t1_grey"
BOARD, BOARD_BEFORE = "checkerboard", "checkerboard_before"
DISPLACEMENT = "stress_displacement"

# Role -> ending of the node's name.
NAMES = {
    DT1: "dT1",
    DT1_MYOCARDIUM: "dT1 in the myocardium",
    DT1_ERROR: "dT1 standard error",
    STRESS: "stress T1, registered",
    UNREGISTERED: "stress T1, not registered",
    REST_GREY: "in grey",
    BOARD: "and stress in squares, registered",
    BOARD_BEFORE: "and stress in squares, not registered",
    DISPLACEMENT: "stress displacement",
}
VOLUME, TRANSFORM = "vtkMRMLScalarVolumeNode", "vtkMRMLGridTransformNode"
T1_WINDOW_MS = (0.0, 2000.0)
SLICES = "CMR.StressSlices"  # attribute of a dT1 map: what is known of each of its slices
STRESS_VOLUMES = "CMR.StressVolumes"  # reference of a dT1 map to the volumes that its slices were compared with

_REACTIVITY = MapDisplay(TITLE, PERCENT, T1_REACTIVITY, COLOR_TABLE)
_GREY_T1 = MapDisplay("T1 [ms]", MILLISECOND, T1, window=T1_WINDOW_MS)
_DISPLAYS = {
    DT1: _REACTIVITY,
    DT1_MYOCARDIUM: _REACTIVITY,
    DT1_ERROR: MapDisplay("dT1 standard error [%]", PERCENT, T1_REACTIVITY_ERROR, window=(0.0, 10.0)),
    REST_GREY: _GREY_T1,
}
_ALL_CHANGES = (-100.0, 1e6)  # percent; pixels without a change are not drawn


def findNodes(restVolume: Any) -> dict[str, Any]:
    """The nodes of the reactivity of a rest map, or of none, by role; those that there are."""
    if restVolume is None:
        return {}
    found = {role: findResult(restVolume, role, _classOf(role)) for role in NAMES}
    return {role: node for role, node in found.items() if node is not None}


def storeReactivity(
    restVolume: Any,
    rest: np.ndarray,
    found: ReactivityVolume,
    geometry: Geometry,
    stressVolumes: Sequence[Any] = (),
    partners: Mapping[int, str] | None = None,
) -> dict[str, Any]:
    """Put the maps of one rest volume into nodes: those of an earlier run, else new ones.

    Args:
        restVolume: the rest map.
        rest: its T1 in ms, (slice, row, column).
        found: what was computed.
        geometry: of the rest map.
        stressVolumes: that its slices were compared with.
        partners: index of a slice -> name of its stress slice, for `sliceEntries`.

    Returns:
        Role (key of `NAMES`) -> node.
    """

    def attributes(role: str) -> dict[str, str]:
        made = provenance.result_attributes(
            role,
            source=restVolume.GetID(),
            device=found.device,
            model=found.model,
            model_sha256=found.model_sha256,
        )
        place = {name: known(restVolume, name) for name in (STATE, SLICE, FIELD_STRENGTH)}
        return {**made, **{name: value for name, value in place.items() if value}}

    arrays = {
        DT1: found.percent,
        DT1_MYOCARDIUM: found.in_myocardium,
        DT1_ERROR: found.error,
        STRESS: found.stress,
        UNREGISTERED: found.unregistered,
        REST_GREY: rest.astype(np.float32),
    }
    nodes: dict[str, Any] = {}
    for role, array in arrays.items():
        if array is None:
            _remove(restVolume, role)
            continue
        nodes[role], isNew = _findOrAdd(restVolume, role)
        setVolumeArray(nodes[role], array, geometry)
        markResult(nodes[role], restVolume, attributes(role))
        if isNew:
            _setDisplay(nodes[role], role, restVolume)
    for role in (BOARD, BOARD_BEFORE):  # of an earlier run
        _remove(restVolume, role)
    vectors = geometry.displacement_in_lps(found.displacement) * np.diag(LPS_TO_RAS)[:3].astype(np.float32)
    nodes[DISPLACEMENT], _isNew = _findOrAdd(restVolume, DISPLACEMENT)
    nodes[DISPLACEMENT].SetAndObserveTransformFromParent(gridTransform(vectors, geometry))
    markResult(nodes[DISPLACEMENT], restVolume, attributes(DISPLACEMENT))
    entries = [
        {"index": index, "stress": (partners or {}).get(index, ""), **slice_entry(one)}
        for index, one in sorted(found.slices.items())
    ]
    nodes[DT1].SetAttribute(SLICES, json.dumps(entries))
    nodes[DT1].RemoveNodeReferenceIDs(STRESS_VOLUMES)
    for volume in stressVolumes:
        nodes[DT1].AddNodeReferenceID(STRESS_VOLUMES, volume.GetID())
    return nodes


def sliceEntries(restVolume: Any) -> list[dict[str, Any]]:
    """What is known of each compared slice of a rest volume; empty before the first run.

    "index" is its number, "stress" the name of its stress slice, the rest as in
    `CMRStressReactivityLib.files.slice_entry`.
    """
    node = findNodes(restVolume).get(DT1)
    text = None if node is None else node.GetAttribute(SLICES)
    try:
        entries: list[dict[str, Any]] = json.loads(text or "[]")
    except ValueError:
        return []
    return entries


def _classOf(role: str) -> str:
    return TRANSFORM if role == DISPLACEMENT else VOLUME


def _findOrAdd(restVolume: Any, role: str) -> tuple[Any, bool]:
    node = findResult(restVolume, role, _classOf(role))
    if node is not None:
        return node, False
    name = slicer.mrmlScene.GenerateUniqueName(f"{restVolume.GetName()} {NAMES[role]}")
    return slicer.mrmlScene.AddNewNodeByClass(_classOf(role), name), True


def checkerboardNode(restVolume: Any, role: str) -> Any:
    """T1 at rest and under stress in squares in turn, made when it is asked for; None before the first run.

    Args:
        restVolume: the rest map.
        role: `BOARD`, or `BOARD_BEFORE` for the stress map as acquired.
    """
    nodes = findNodes(restVolume)
    other = nodes.get(STRESS if role == BOARD else UNREGISTERED)
    if other is None or role in nodes:
        return nodes.get(role)
    rest, geometry = volumeArray(nodes[REST_GREY]), volumeGeometry(restVolume)
    board = checkerboard(rest, volumeArray(other), (geometry.spacing[1], geometry.spacing[0]))
    node, _isNew = _findOrAdd(restVolume, role)
    setVolumeArray(node, board, geometry)
    markResult(node, restVolume, provenance.result_attributes(role, source=restVolume.GetID()))
    setMapDisplay(node, _GREY_T1)
    return node


def _setDisplay(node: Any, role: str, restVolume: Any) -> None:
    if role in (STRESS, UNREGISTERED):
        tesla = node.GetAttribute(FIELD_STRENGTH)
        colors = T1_COLOR_TABLES[t1_colors_for_field(float(tesla) if tesla else None)]
        setMapDisplay(node, MapDisplay("T1 [ms]", MILLISECOND, T1, colors))
        if restVolume.GetDisplayNode() is not None and _isInMs(restVolume):
            copyWindow(restVolume, node)
    else:
        setMapDisplay(node, _DISPLAYS[role])
    if role == REST_GREY:  # it lies below a map whose legend is to be read
        slicer.modules.colors.logic().GetColorLegendDisplayNode(node).SetVisibility(False)
    if role in (DT1, DT1_MYOCARDIUM):
        display = node.GetDisplayNode()
        display.SetLowerThreshold(_ALL_CHANGES[0])
        display.SetUpperThreshold(_ALL_CHANGES[1])
        display.SetApplyThreshold(True)


def _isInMs(volumeNode: Any) -> bool:
    """Whether a map's values, rather than thousandths of them, are those of its registered stress map."""
    return bool(volumeNode.GetImageData().GetScalarRange()[1] > 100.0)


def _remove(restVolume: Any, role: str) -> None:
    """Take a result of an earlier run that this one does not have out of the scene, with its display."""
    node = findResult(restVolume, role, _classOf(role))
    if node is not None:
        display = node.GetDisplayNode()
        slicer.mrmlScene.RemoveNode(node)
        if display is not None and slicer.mrmlScene.IsNodePresent(display):
            slicer.mrmlScene.RemoveNode(display)
