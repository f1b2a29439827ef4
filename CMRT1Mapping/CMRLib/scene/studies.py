"""The scene of a processed study, as the panels would have left it: each step adds its own nodes."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk

from CMRLib import provenance
from CMRLib.batch.registry import load_step
from CMRLib.batch.step import StepResult
from CMRLib.errors import CMRError, OutputError
from CMRLib.scene import bullseye, segmentmeasurement
from CMRLib.scene.display import showInSliceViews
from CMRLib.scene.landmarks import findLandmarks
from CMRLib.scene.loaded import markSeries
from CMRLib.scene.regions import findSegmentation, regionMasks
from CMRLib.standalone import createApplication

MYOCARDIUM = "Myocardium"
T1 = "t1"


def addStudy(results: Mapping[str, Sequence[StepResult]], volumes: dict[str, Any], name: str = "") -> None:
    """Add the nodes of a study, measure its T1 maps by segment, and set each module to its part.

    The module that a step names as its ``scene`` has a function ``addNodes(results, volumes)``: it adds the nodes of
    the step's results, and puts the volume in which each is seen into ``volumes``, by the result's key, unless there is
    one already, which is then the one to add to. It may have a function ``openModule(results, volumes)``, which sets
    the step's module to what it is to show first; it is called when all nodes are there.

    Args:
        results: of each step, in the order in which the steps ran.
        volumes: key of a series -> the node that it was read from, for those that are in the scene already; then key of
            a result -> the volume in which it is seen.
        name: of the folder in the data tree that new nodes are put into, unless they lie beside what they were made
            from; "" for none.
    """
    before = {node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLNode")}
    scenes = [(importlib.import_module(load_step(step).scene), made) for step, made in results.items()]
    for scene, made in scenes:
        scene.addNodes(made, volumes)
        for one in made:
            volume = volumes[one.key]
            if not volume.GetAttribute(provenance.ROLE):  # the images of a series
                markSeries(volume, one.series)
    if name:
        everything = slicer.util.getNodesByClass("vtkMRMLDisplayableNode")
        _file([node for node in everything if node.GetID() not in before], name)
    _measure(t1MapsOf(results, volumes))
    for scene, made in scenes:
        openModule = getattr(scene, "openModule", None)
        if openModule is not None:
            openModule(made, volumes)


def t1MapsOf(results: Mapping[str, Sequence[StepResult]], volumes: Mapping[str, Any]) -> list[Any]:
    """The T1 maps of a study: those that were made, then those that were given."""
    everything = [one for made in results.values() for one in made]
    made = [one.key for one in everything if one.role == T1]
    given = [one.key for one in everything if one.series.role == T1]
    return [volumes[key] for key in dict.fromkeys([*made, *given])]


def saveStudyScene(results: Mapping[str, Sequence[StepResult]], path: Path) -> None:
    """Build the nodes of a study and save them as a scene bundle; the scene is empty before and after.

    Args:
        results: of each step, in the order in which the steps ran.
        path: the bundle, ending in ``.mrb``.

    Raises:
        OutputError: the bundle cannot be written.
    """
    createApplication()
    slicer.mrmlScene.Clear(0)
    volumes: dict[str, Any] = {}
    addStudy(results, volumes)
    if volumes:
        showInSliceViews(next(iter(volumes.values())))
    messages = vtk.vtkOutputWindow.GetInstance()
    mode = messages.GetDisplayMode()
    messages.SetDisplayModeToNever()  # the archive would tell of every file in it
    try:
        written = slicer.mrmlScene.WriteToMRB(str(path))
    finally:
        messages.SetDisplayMode(mode)
        slicer.mrmlScene.Clear(0)
    if not written:
        raise OutputError(f"{path} cannot be written; check the folder's permissions and free space.")


def _file(nodes: Sequence[Any], name: str) -> None:
    """Put nodes that Slicer has filed nowhere in particular into a folder of the data tree."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    root = hierarchy.GetSceneItemID()
    items = [hierarchy.GetItemByDataNode(node) for node in nodes]
    items = [item for item in items if item and hierarchy.GetItemParent(item) == root]
    if items:
        folder = hierarchy.CreateFolderItem(root, hierarchy.GenerateUniqueItemName(name))
        for item in items:
            hierarchy.SetItemParent(item, folder)


def _measure(maps: Sequence[Any]) -> None:
    """Divide the maps that have landmarks and a segmentation, and measure them.

    One that cannot be divided is left out; the panel of the landmarks tells why, when it is opened.
    """
    walls: dict[Any, np.ndarray] = {}
    for combineSlices in (False, True):  # those of one state are measured together once all are divided
        for volume in maps:
            with contextlib.suppress(CMRError):
                _measureMap(volume, walls, combineSlices)


def _measureMap(volume: Any, walls: dict[Any, np.ndarray], combineSlices: bool) -> None:
    """Measure a map; its myocardium is kept in ``walls``.

    Raises:
        CMRError: it cannot be divided.
    """
    node, segmentation = findLandmarks(volume), findSegmentation(volume)
    if node is None or segmentation is None:
        return
    if volume not in walls:
        walls[volume] = regionMasks(segmentation, volume).get(MYOCARDIUM, np.zeros(0))
    if walls[volume].any():
        measured = segmentmeasurement.measureSegments(node, volume, walls[volume], combineSlices=combineSlices)
        picture = segmentmeasurement.bullsEyeOf(volume, measured.statistics)
        bullseye.showBullsEye(volume, picture, volume.GetName())
