"""Reading and writing files with the nodes' own storage nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtCore

from .stand_ins import StandIn, stand_in


@stand_in
class qSlicerIOManager(StandIn, QtCore.QObject):
    """What ``slicer.util`` loads and saves with."""

    _NODE_CLASSES = {
        "VolumeFile": "vtkMRMLScalarVolumeNode",
        "SegmentationFile": "vtkMRMLSegmentationNode",
        "MarkupsFile": "vtkMRMLMarkupsFiducialNode",
        "TableFile": "vtkMRMLTableNode",
    }

    def loadNodes(self, file_type: str, parameters: dict[str, Any], loaded: Any = None, messages: Any = None) -> bool:
        path = parameters["fileName"]
        if file_type == "SceneFile":
            return self.loadScene(path, parameters.get("clear", False))
        if file_type not in self._NODE_CLASSES:
            raise NotImplementedError(f"SlicerHost cannot load a {file_type} yet.")
        name = parameters.get("name") or Path(path).name.split(".")[0]
        node_class = self._NODE_CLASSES[file_type]
        if parameters.get("labelmap"):
            node_class = "vtkMRMLLabelMapVolumeNode"
        node = slicer.mrmlScene.AddNewNodeByClass(node_class, name)
        storage = node.CreateDefaultStorageNode()
        storage.UnRegister(None)
        slicer.mrmlScene.AddNode(storage)
        storage.SetFileName(path)
        node.SetAndObserveStorageNodeID(storage.GetID())
        if not storage.ReadData(node):
            slicer.mrmlScene.RemoveNode(storage)
            slicer.mrmlScene.RemoveNode(node)
            return False
        if hasattr(node, "CreateDefaultDisplayNodes"):
            node.CreateDefaultDisplayNodes()
        if loaded is not None:
            loaded.AddItem(node)
        return True

    def loadScene(self, path: str, clear: bool = True, messages: Any = None) -> bool:
        scene = slicer.mrmlScene
        if path.endswith(".mrb"):
            return bool(scene.ReadFromMRB(path, clear))
        scene.SetURL(path)
        return bool(scene.Connect() if clear else scene.Import())

    def saveNodes(self, file_type: str, parameters: dict[str, Any], messages: Any = None) -> bool:
        path = parameters["fileName"]
        if file_type == "SceneFile":
            if path.endswith(".mrb"):
                return bool(slicer.mrmlScene.WriteToMRB(path, None))
            return bool(slicer.mrmlScene.Commit(path))
        node = slicer.mrmlScene.GetNodeByID(parameters["nodeID"])
        node.AddDefaultStorageNode(path)
        return bool(node.GetStorageNode().WriteData(node))

    def fileWriterFileType(self, node: Any) -> str:
        return f"{node.GetClassName()}File"
