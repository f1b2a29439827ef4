"""The nodes that a computation is to write into: what they can hold, and what they hold already."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import vtk

from CMRLib import provenance
from CMRLib.errors import InputError
from CMRLib.scene.acquisitions import acquisitionOf
from CMRLib.scene.results import SOURCE_REFERENCE


def checkOutputs(
    source: Any, outputs: Mapping[str, Any], names: Mapping[str, str], className: Callable[[str], str]
) -> None:
    """Check that nodes chosen for results can hold them.

    Args:
        source: the node that the results are made from.
        outputs: role -> node, or None where none was chosen.
        names: role -> what messages call it.
        className: the class of the node that holds the result of a role.

    Raises:
        InputError: they would overwrite each other or the source, or are of another kind.
    """
    chosen = [node for node in outputs.values() if node is not None]
    if len({node.GetID() for node in chosen}) < len(chosen):
        raise InputError("Two results would go into the same volume; choose another one, or none to have it created.")
    for role, node in outputs.items():
        if node is None:
            continue
        if node is source:
            raise InputError(f"The {names[role]} would overwrite the input; choose another volume for it.")
        if acquisitionOf(node) is not node:
            raise InputError(
                f"{node.GetName()} shows an image of a sequence; choose another volume for the {names[role]}."
            )
        if node.GetClassName() != className(role):
            raise InputError(f"{node.GetName()} cannot hold the {names[role]}; choose another volume for it.")


def foreignOutputs(source: Any, outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the nodes chosen for results that hold data of another role or another source; role -> node."""
    return {
        role: node
        for role, node in outputs.items()
        if node is not None and holdsData(node) and not _isResult(node, source, role)
    }


def checkOverwriting(
    source: Any, outputs: Mapping[str, Any], names: Mapping[str, str], mayOverwrite: Collection[Any] = ()
) -> None:
    """Check that no result would overwrite other data.

    Args:
        source, outputs, names: as for `checkOutputs`.
        mayOverwrite: nodes whose data the user has given up.

    Raises:
        InputError: a node holds data of another role or another source.
    """
    for role, node in foreignOutputs(source, outputs).items():
        if node not in mayOverwrite:
            raise InputError(
                f"The {names[role]} would overwrite {node.GetName()}, which holds other data; "
                "choose another node for it, or none to have it created."
            )


def holdsData(node: Any) -> bool:
    """Whether a node holds something that would be lost if a result were written into it."""
    if node.IsA("vtkMRMLSequenceNode"):
        return bool(node.GetNumberOfDataNodes() > 0)
    if node.IsA("vtkMRMLVolumeNode"):
        return node.GetImageData() is not None and node.GetImageData().GetNumberOfPoints() > 0
    if node.IsA("vtkMRMLTableNode"):
        return bool(node.GetNumberOfColumns() > 0)
    if node.IsA("vtkMRMLSegmentationNode"):
        return bool(node.GetSegmentation().GetNumberOfSegments() > 0)
    if node.IsA("vtkMRMLMarkupsNode"):
        return bool(node.GetNumberOfControlPoints() > 0)
    if node.IsA("vtkMRMLGridTransformNode"):
        grid = node.GetTransformFromParent().GetDisplacementGrid()
        return grid is not None and grid.GetNumberOfPoints() > 1
    if node.IsA("vtkMRMLTransformNode") and node.IsLinear():
        matrix = vtk.vtkMatrix4x4()
        node.GetMatrixTransformToParent(matrix)
        return not matrix.IsIdentity()
    return True


def _isResult(node: Any, source: Any, role: str) -> bool:
    return node.GetAttribute(provenance.ROLE) == role and node.GetNodeReference(SOURCE_REFERENCE) is source
