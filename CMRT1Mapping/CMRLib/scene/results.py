"""Result nodes: found again by what they are and what they were made from, filed beside their source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import slicer

from CMRLib import provenance
from CMRLib.scene.acquisitions import shownVolume

# MRML renumbers nodes when a scene is added to another, and renumbers references with them, but not attributes: the
# reference is what results are found by, the attribute what other programs read.
SOURCE_REFERENCE = provenance.SOURCE


def findResult(source: Any, role: str, className: str) -> Any:
    """The node of class ``className`` that holds result ``role`` of ``source``, or None."""
    nodes = slicer.util.getNodesByClass(className)
    for node in nodes:
        if node.GetAttribute(provenance.ROLE) == role and node.GetNodeReference(SOURCE_REFERENCE) is source:
            return node
    return None


def markResult(node: Any, source: Any, attributes: Mapping[str, str]) -> None:
    """Give a result node its provenance, and file a new one beside its source.

    Attributes of an earlier run that this one does not set are removed, so that none of them describes other pixels.
    """
    for name in node.GetAttributeNames():
        if name.startswith("CMR.") and name not in attributes:
            node.RemoveAttribute(name)
    for name, value in attributes.items():
        node.SetAttribute(name, value)
    node.SetNodeReferenceID(SOURCE_REFERENCE, source.GetID())
    if node.IsA("vtkMRMLTransformableNode"):
        shown = shownVolume(source)
        node.SetAndObserveTransformNodeID(None if shown is None else shown.GetTransformNodeID())
    _fileBeside(node, source)


def _fileBeside(node: Any, source: Any) -> None:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    root = parent = hierarchy.GetSceneItemID()
    for beside in (shownVolume(source), source):
        if beside is not None and hierarchy.GetItemByDataNode(beside):
            parent = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(beside))
            break
    item = hierarchy.GetItemByDataNode(node)
    if not item:
        hierarchy.CreateItem(parent, node)
    elif hierarchy.GetItemParent(item) == root:  # where Slicer files new nodes; one that was moved elsewhere stays
        hierarchy.SetItemParent(item, parent)
