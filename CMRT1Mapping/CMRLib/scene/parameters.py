"""What other modules' panels are set to, from outside: they show it when they are opened."""

from __future__ import annotations

from typing import Any

import slicer

_CLASS = "vtkMRMLScriptedModuleNode"


def setModuleNodes(moduleName: str, nodes: dict[str, Any]) -> None:
    """Set parameters of a module that hold nodes; it need not have been opened, nor be there.

    It is written as the module's own parameter node wrapper would, into the parameter node that the module finds or
    would make, so that it is saved with the scene.

    Args:
        moduleName: the module's name.
        nodes: parameter -> node, or None for none.
    """
    parameters = slicer.mrmlScene.GetSingletonNode(moduleName, _CLASS)
    if parameters is None:
        parameters = slicer.mrmlScene.CreateNodeByClass(_CLASS)
        parameters.UnRegister(None)
        parameters.SetSingletonTag(moduleName)
        parameters.SetAttribute("ModuleName", moduleName)
        parameters.SetName(slicer.mrmlScene.GenerateUniqueName(moduleName))
        parameters = slicer.mrmlScene.AddNode(parameters)
    with slicer.util.NodeModify(parameters):
        for name, node in nodes.items():
            parameters.SetParameter(name, "")  # by which the wrapper knows that the parameter has been set
            parameters.SetNodeReferenceID(name, None if node is None else node.GetID())
        parameters.Modified()
