"""Files new nodes in the subject hierarchy, as the plugins of Slicer's Subject Hierarchy module do."""

from __future__ import annotations

from typing import Any

import slicer
import vtk

_FILED = (
    "vtkMRMLVolumeNode",
    "vtkMRMLModelNode",
    "vtkMRMLMarkupsNode",
    "vtkMRMLSegmentationNode",
    "vtkMRMLTransformNode",
    "vtkMRMLTableNode",
    "vtkMRMLTextNode",
    "vtkMRMLPlotChartNode",
    "vtkMRMLPlotSeriesNode",
)


def observe(scene: Any) -> list[int]:
    """File every node that comes into the scene, by hand or with a scene file that has no place for it.

    Returns:
        Tags of the scene's observers, to be removed when the host stops.
    """

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def added(_scene: Any, _event: str, node: Any) -> None:
        if not scene.IsImporting():
            _file(scene, node)

    def imported(*_: Any) -> None:
        for index in range(scene.GetNumberOfNodes()):
            _file(scene, scene.GetNthNode(index))

    return [
        scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, added),
        scene.AddObserver(slicer.vtkMRMLScene.EndImportEvent, imported),
    ]


def _file(scene: Any, node: Any) -> None:
    if node.GetHideFromEditors() or not any(node.IsA(name) for name in _FILED):
        return
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    if hierarchy.GetItemByDataNode(node) == hierarchy.GetInvalidItemID():
        hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)
