"""T1 maps in the scene as slices to be compared, with what is known of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer

from CMRLib import provenance
from CMRLib.errors import InputError
from CMRLib.geometry import Geometry
from CMRLib.scene import aha
from CMRLib.scene.finders import landmarksOn, myocardiumOn
from CMRLib.scene.regions import findSegmentation
from CMRLib.scene.results import findResult
from CMRLib.scene.volumes import checkSlicesLast, ijkToWorld, numberOfSlices, volumeArray
from CMRStressReactivityLib.comparison import T1Slice, t1_slice

VOLUME = "vtkMRMLScalarVolumeNode"


@dataclass(frozen=True)
class Slot:
    """One slice of a volume.

    Attributes:
        volume: the volume node.
        index: of the slice.
        name: what the user reads.
    """

    volume: Any
    index: int
    name: str


def volumesOf(volumeNode: Any, withOthers: bool = True) -> list[Any]:
    """A volume and, if these are wanted, the maps of the other slices of its examination."""
    if volumeNode is None:
        return []
    nodes = slicer.util.getNodesByClass(VOLUME) if withOthers else []
    return [volumeNode, *(node for node in nodes if aha.isOtherSlice(volumeNode, node) and numberOfSlices(node))]


def slotsOf(volumes: Sequence[Any]) -> list[Slot]:
    """The slices of volumes."""
    slots = []
    for volume in volumes:
        slots += [Slot(volume, index, nameOf(volume, index)) for index in range(numberOfSlices(volume))]
    return slots


def nameOf(volumeNode: Any, index: int) -> str:
    """What the user reads of a slice of a volume."""
    name: str = volumeNode.GetName()
    return name if numberOfSlices(volumeNode) == 1 else f"{name}, slice {index}"


def worldGeometry(volumeNode: Any) -> Geometry:
    """Where a volume lies in the world, with the transforms that it is under.

    Raises:
        InputError: these make it no plain image any more.
    """
    corners = ijkToWorld(volumeNode, np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]))
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = (corners[1:] - corners[0]).T, corners[0]
    return Geometry.from_ijk_to_ras(affine)


def readSlices(
    slots: Sequence[Slot], segmentationNode: Any = None, myocardium: str = ""
) -> tuple[list[Slot], list[T1Slice], list[str]]:
    """The slices as T1 in ms, with their contours, landmarks and standard errors.

    Args:
        slots: slices of volumes.
        segmentationNode, myocardium: segmentation, and name of its segment, of volumes that have none of their own.

    Returns:
        The slots that can be used, their slices, and a sentence for each that cannot.
    """
    usable, slices, problems = list[Slot](), list[T1Slice](), list[str]()
    for volume in dict.fromkeys(slot.volume for slot in slots):
        own = [slot for slot in slots if slot.volume is volume]
        try:
            checkSlicesLast(volume)
            pixels, geometry = volumeArray(volume), worldGeometry(volume)
        except InputError as error:
            problems.append(str(error))
            continue
        contours = _contours(volume, segmentationNode, myocardium)
        landmarks, errors = landmarksOn(volume), _standardError(volume)
        for slot in own:
            points, level = landmarks.get(slot.index, (None, ""))
            try:
                found = t1_slice(
                    slot.name,
                    pixels[slot.index],
                    geometry.at_slice(slot.index),
                    None if errors is None or errors.shape != pixels.shape else errors[slot.index],
                    None if contours is None else contours[slot.index],
                    points,
                    level,
                )
            except InputError as problem:
                problems.append(str(problem))
                continue
            usable.append(slot)
            slices.append(found)
    return usable, slices, problems


def _contours(volume: Any, segmentationNode: Any, myocardium: str) -> np.ndarray | None:
    """The chosen segmentation where it has something there, else that of the volume itself."""
    found = myocardiumOn(volume, segmentationNode, myocardium)
    return found if found is not None else myocardiumOn(volume, findSegmentation(volume))


def _standardError(volume: Any) -> np.ndarray | None:
    """That of a T1 map that CMR T1 Mapping made."""
    source = volume.GetNodeReference(provenance.SOURCE)
    if source is None or volume.GetAttribute(provenance.ROLE) != "t1":
        return None
    node = findResult(source, "t1_error", VOLUME)
    return None if node is None else volumeArray(node)
