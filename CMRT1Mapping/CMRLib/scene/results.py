"""Result nodes: found again by what they are and what they were made from, filed beside their source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import slicer

from CMRLib import provenance
from CMRLib.scene.acquisitions import acquisitionOf, shownVolume

# MRML renumbers nodes when a scene is added to another, and renumbers references with them, but not attributes: the
# reference is what results are found by, the attribute what other programs read.
SOURCE_REFERENCE = provenance.SOURCE

DISPLACEMENT = "displacement"  # the role of a transform that aligns the images of an acquisition


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
        node.SetAndObserveTransformNodeID(_placementOf(shownVolume(source)))
    if not node.IsA("vtkMRMLSequenceNode"):  # Slicer lists the node that shows its current item
        _fileBeside(node, source)


def _placementOf(volume: Any) -> str | None:
    """Id of the transform that places an acquisition in the world, without the displacement a user may look at it with.

    That one stands between the images as acquired and the corrected ones, of which results are made.
    """
    transform = None if volume is None else volume.GetParentTransformNode()
    while transform is not None and acquisitionOf(transform).GetAttribute(provenance.ROLE) == DISPLACEMENT:
        transform = transform.GetParentTransformNode()
    return None if transform is None else transform.GetID()


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
