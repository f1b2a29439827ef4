"""What a motion correction leaves in the scene: corrected images, displacements, and R² as it was before.

All of it is kept beside the acquisition, is browsed with it, and goes when the correction is undone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer

from CMRLib import provenance
from CMRLib.geometry import LPS_TO_RAS, Geometry
from CMRLib.scene.acquisitions import (
    FIELD_STRENGTH,
    PHASE,
    SLICE,
    STATE,
    acquisitionOf,
    browserFor,
    browserOf,
    newFrame,
    shownVolume,
)
from CMRLib.scene.display import MapDisplay, copyWindow, setMapDisplay
from CMRLib.scene.gridtransforms import DISPLACEMENT_COLORS, addArrows, gridTransform
from CMRLib.scene.results import DISPLACEMENT, SOURCE_REFERENCE, findResult, markResult
from CMRLib.scene.volumes import setVolumeArray
from CMRLib.terms import MILLIMETER
from CMRT1MappingLib.scene import motionoutcome, t1maps
from CMRT1MappingLib.scene.t1maps import R2_DISPLAY

if TYPE_CHECKING:
    from CMRT1MappingLib.motion.correction import CorrectedMaps

IMAGES = "corrected_images"
IMAGES_PHASE = "corrected_phase"
LENGTH = "displacement_length"
R2_BEFORE = "r2_before_correction"

# Role -> ending of the node's name.
NAMES = {
    IMAGES: "corrected",
    IMAGES_PHASE: "corrected phase",
    DISPLACEMENT: "displacement",
    LENGTH: "mean displacement",
    R2_BEFORE: "R2 map before correction",
}

LENGTH_DISPLAY = MapDisplay(
    "Displacement [mm]",
    MILLIMETER,
    colorTable=DISPLACEMENT_COLORS,
    labelFormat="%.1f",
)


def storeCorrection(
    source: Any, corrected: CorrectedMaps, geometry: Geometry, parameters: Mapping[str, Any]
) -> dict[str, Any]:
    """Put what belongs to a correction that was kept into nodes: those of an earlier run on ``source``, else new ones.

    The nodes are of the source's kind: for a sequence, sequences that the source's browser takes along (of the
    displacement, a grid transform for each image); for a volume whose slices are the images, a volume and one grid
    transform.

    Args:
        source: the acquisition.
        corrected: the corrected images, their displacement, and the maps before.
        geometry: of one image.
        parameters: see `CMRT1MappingLib.scene.t1maps.storeT1Maps`.

    Returns:
        Role (key of `NAMES`) -> node.
    """

    def attributes(role: str) -> dict[str, str]:
        return provenance.result_attributes(role, source=source.GetID(), device=corrected.device, parameters=parameters)

    vectors = geometry.displacement_in_lps(corrected.displacement) * np.diag(LPS_TO_RAS)[:3].astype(np.float32)
    nodes = {IMAGES: _storeImages(source, IMAGES, corrected.images, geometry, attributes(IMAGES))}
    if corrected.phase is None:
        _remove(source, IMAGES_PHASE)
    else:
        phase = _storeImages(source, IMAGES_PHASE, corrected.phase, geometry, attributes(IMAGES_PHASE))
        nodes[IMAGES_PHASE] = phase
    nodes[IMAGES].SetNodeReferenceID(PHASE, nodes[IMAGES_PHASE].GetID() if IMAGES_PHASE in nodes else None)
    nodes[DISPLACEMENT] = _storeTransforms(source, vectors, geometry, attributes(DISPLACEMENT))
    length = np.linalg.norm(vectors, axis=-1).mean(axis=0)
    maps = {LENGTH: (length, LENGTH_DISPLAY), R2_BEFORE: (corrected.original.r2, R2_DISPLAY)}
    for role, (array, display) in maps.items():
        nodes[role], isNew = _findOrAdd(source, role)
        setVolumeArray(nodes[role], array, geometry)
        markResult(nodes[role], source, attributes(role))
        if isNew:
            setMapDisplay(nodes[role], display)
    return nodes


def findCorrection(source: Any) -> dict[str, Any]:
    """The nodes of the correction of an acquisition, by role; empty where its motion is not corrected."""
    found = {role: findResult(source, role, _nodeClass(source, role)) for role in NAMES}
    return {role: node for role, node in found.items() if node is not None}


def isCorrected(source: Any) -> bool:
    """Whether an acquisition, or None, has maps or anything else of a motion correction."""
    if source is None:
        return False
    t1Map = t1maps.findT1Maps(source).get("t1")
    return bool(findCorrection(source)) or (t1Map is not None and motionoutcome.isCorrected(t1Map))


def removeCorrection(source: Any) -> None:
    """Take everything that belongs to the correction of an acquisition out of the scene."""
    for role in NAMES:
        _remove(source, role)


def shownNode(source: Any, role: str) -> Any:
    """The node in which a part of the correction is seen: a volume, or a grid transform; None if there is none.

    Of a sequence that is the browser's proxy node, with the current image or its displacement.
    """
    node = findCorrection(source).get(role)
    return None if node is None else _shown(node)


def sourceOf(node: Any) -> Any:
    """The acquisition that a node stands for: that whose correction it is part of, or whose current image it shows."""
    node = acquisitionOf(node)
    isPart = node.GetAttribute(provenance.ROLE) in NAMES
    return (node.GetNodeReference(SOURCE_REFERENCE) if isPart else None) or node


def showDisplacement(source: Any, visible: bool) -> None:
    """Draw the displacement of the current image of an acquisition as arrows in the slice views, and no other's.

    An arrow of true length leads from a place in the image as acquired to the same place in the corrected image.

    Args:
        source: the acquisition, or None to draw none.
        visible: whether its own is drawn.
    """
    own = None if source is None or not visible else shownNode(source, DISPLACEMENT)
    for node in slicer.util.getNodesByClass("vtkMRMLGridTransformNode"):
        display = node.GetDisplayNode()
        if node is own and display is None:
            display = addArrows(node)
        if display is not None and (node is own or _isDisplacement(node)):
            display.SetVisibility(node is own)


def _nodeClass(source: Any, role: str) -> str:
    if role in (IMAGES, IMAGES_PHASE, DISPLACEMENT) and source.IsA("vtkMRMLSequenceNode"):
        return "vtkMRMLSequenceNode"
    return "vtkMRMLGridTransformNode" if role == DISPLACEMENT else "vtkMRMLScalarVolumeNode"


def _findOrAdd(source: Any, role: str) -> tuple[Any, bool]:
    """The node that holds a part of the correction, and whether it is new."""
    className = _nodeClass(source, role)
    node = findResult(source, role, className)
    if node is not None:
        return node, False
    name = slicer.mrmlScene.GenerateUniqueName(f"{source.GetName()} {NAMES[role]}")
    return slicer.mrmlScene.AddNewNodeByClass(className, name), True


def _storeImages(source: Any, role: str, images: np.ndarray, geometry: Geometry, attributes: Mapping[str, str]) -> Any:
    node, isNew = _findOrAdd(source, role)
    known = {name: source.GetAttribute(name) for name in (STATE, SLICE, FIELD_STRENGTH)}
    attributes = {**attributes, **{name: value for name, value in known.items() if value}}
    if source.IsA("vtkMRMLSequenceNode"):
        _fillSequence(node, source, [newFrame(node.GetName(), image, geometry) for image in images], attributes)
    else:
        setVolumeArray(node, images, geometry)
        markResult(node, source, attributes)
    if isNew and role == IMAGES:
        copyWindow(shownVolume(source), _shown(node))
    return node


def _storeTransforms(source: Any, vectors: np.ndarray, geometry: Geometry, attributes: Mapping[str, str]) -> Any:
    node, isNew = _findOrAdd(source, DISPLACEMENT)
    if not source.IsA("vtkMRMLSequenceNode"):
        node.SetAndObserveTransformFromParent(gridTransform(vectors, geometry))
        markResult(node, source, attributes)
        return node
    if isNew:
        node.SetHideFromEditors(True)  # selectors of images list sequences of whatever they hold
        # Slicer's format for a whole sequence of grid transforms loses index and class of its items on the way.
        storage = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceStorageNode")
        node.SetAndObserveStorageNodeID(storage.GetID())
    frames = []
    for field in vectors:
        frame = slicer.vtkMRMLGridTransformNode()
        frame.SetName(node.GetName())
        frame.SetAndObserveTransformFromParent(gridTransform(field[None], geometry))
        frames.append(frame)
    _fillSequence(node, source, frames, attributes)
    return node


def _fillSequence(sequence: Any, source: Any, frames: Sequence[Any], attributes: Mapping[str, str]) -> None:
    """Make a sequence hold these nodes, at the index values of the source, and have the source's browser show them."""
    sequence.SetIndexName(source.GetIndexName())
    sequence.SetIndexUnit(source.GetIndexUnit())
    sequence.SetIndexType(source.GetIndexType())
    sequence.RemoveAllDataNodes()
    for index, frame in enumerate(frames):
        for name, value in attributes.items():
            frame.SetAttribute(name, value)  # the proxy node takes the attributes of the item that it shows
        sequence.SetDataNodeAtValue(frame, source.GetNthIndexValue(index))
    markResult(sequence, source, attributes)
    browser = browserFor(source)
    if not browser.IsSynchronizedSequenceNode(sequence):
        browser.AddSynchronizedSequenceNode(sequence)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    markResult(browser.GetProxyNode(sequence), source, attributes)


def _shown(node: Any) -> Any:
    browser = browserOf(node)
    return node if browser is None else browser.GetProxyNode(node)


def _remove(source: Any, role: str) -> None:
    node = findResult(source, role, _nodeClass(source, role))
    if node is None:
        return
    browser, shown = browserOf(node), _shown(node)
    if shown is not None and shown.IsA("vtkMRMLTransformNode"):
        _releaseFrom(shown)
    if browser is not None:
        browser.RemoveSynchronizedSequenceNode(node.GetID())
    for unwanted in (shown, node):
        if unwanted is not None and slicer.mrmlScene.IsNodePresent(unwanted):
            _removeWithCompany(unwanted)


def _releaseFrom(transformNode: Any) -> None:
    """Leave what is seen through a displacement in the place that it has without it."""
    for node in slicer.util.getNodesByClass("vtkMRMLTransformableNode"):
        if node.GetParentTransformNode() is transformNode:
            node.SetAndObserveTransformNodeID(transformNode.GetTransformNodeID())


def _removeWithCompany(node: Any) -> None:
    """Remove a node with its display and storage nodes, which the scene would keep."""
    company = [node.GetStorageNode()]
    if node.IsA("vtkMRMLDisplayableNode"):
        company += [node.GetNthDisplayNode(index) for index in range(node.GetNumberOfDisplayNodes())]
    slicer.mrmlScene.RemoveNode(node)
    for other in company:
        if other is not None and slicer.mrmlScene.IsNodePresent(other):
            slicer.mrmlScene.RemoveNode(other)


def _isDisplacement(transformNode: Any) -> bool:
    """Whether a grid transform is part of a correction; the proxy of a loaded sequence may have lost its attributes."""
    return acquisitionOf(transformNode).GetAttribute(provenance.ROLE) == DISPLACEMENT
