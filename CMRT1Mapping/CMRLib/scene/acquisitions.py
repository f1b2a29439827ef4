"""Inversion-recovery acquisitions in the scene: their images, phase and inversion times.

An acquisition is a sequence node whose items are volumes of one slice and whose index is the inversion time in ms, or
a volume whose slices are the frames. Its phase, if there is any, is a second node of the same kind that the first one
refers to under the role ``CMR.Phase``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer

from CMRLib import provenance
from CMRLib.errors import InputError
from CMRLib.geometry import Geometry
from CMRLib.scene.volumes import setVolumeArray, volumeArray, volumeGeometry
from CMRLib.study.schemes import OTHER

if TYPE_CHECKING:
    from CMRLib.study.series import Series, SeriesImages

INVERSION_TIME_INDEX = "InversionTime"
INVERSION_TIMES = "CMR.InversionTimes"
PHASE = "CMR.Phase"
SCHEME = "CMR.Scheme"
STATE = "CMR.State"
SLICE = "CMR.Slice"
SERIES_ROLE = "CMR.SeriesRole"  # of a volume that was no acquisition: what series it shows
FIELD_STRENGTH = "CMR.FieldStrength"


def createAcquisition(
    name: str,
    images: np.ndarray,
    inversionTimesMs: Sequence[float],
    geometry: Geometry,
    phase: np.ndarray | None = None,
    attributes: Mapping[str, str] | None = None,
) -> Any:
    """Add an acquisition to the scene as a sequence that can be browsed.

    Args:
        name: name of the sequence and of the volume that shows its current image.
        images: magnitude, axes (frame, row, column).
        inversionTimesMs: one per frame, in ms, all different.
        geometry: of one frame.
        phase: radians, axes as ``images``; becomes a second sequence in the same browser.
        attributes: more attributes of the sequence, as `SCHEME`, `STATE` and `SLICE`.

    Returns:
        The magnitude's sequence node; its phase is ``phaseOf(sequence)``.
    """
    if len(set(inversionTimesMs)) != len(images):
        raise InputError(f"{name} needs one inversion time for each of its {len(images)} images, all different.")
    sequence = _createSequence(name, images, inversionTimesMs, geometry)
    for key, value in (attributes or {}).items():
        sequence.SetAttribute(key, value)
    browser = browserFor(sequence)
    if phase is not None:
        phaseSequence = _createSequence(f"{name} phase", phase, inversionTimesMs, geometry)
        sequence.SetNodeReferenceID(PHASE, phaseSequence.GetID())
        browser.AddSynchronizedSequenceNode(phaseSequence)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    return sequence


def addSeries(name: str, series: Series, images: SeriesImages) -> Any:
    """Add an acquisition that was read from files.

    Returns:
        The magnitude's sequence node; where the inversion times are not known, or not all different, a volume whose
        slices are the frames, for which the panel shows or asks for them. An unknown scheme is
        `CMRLib.study.schemes.OTHER`: all samples count until the user chooses.
    """
    attributes = {SCHEME: series.scheme or OTHER, STATE: series.state, SLICE: series.slice}
    if series.field_strength_t is not None:
        attributes[FIELD_STRENGTH] = f"{series.field_strength_t:g}"
    times = series.inversion_times_ms
    if times is not None and len(set(times)) == len(times):
        return createAcquisition(name, images.images, times, images.geometry, images.phase, attributes)
    volume = _addVolume(name, images.images, images.geometry)
    for key, value in attributes.items():
        volume.SetAttribute(key, value)
    if times is not None:
        setInversionTimes(volume, times)
    if images.phase is not None:
        phase = _addVolume(f"{name} phase", images.phase, images.geometry)
        volume.SetNodeReferenceID(PHASE, phase.GetID())
    return volume


def _addVolume(name: str, array: np.ndarray, geometry: Geometry) -> Any:
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    setVolumeArray(volume, array, geometry)
    volume.CreateDefaultDisplayNodes()
    return volume


def _createSequence(name: str, images: np.ndarray, inversionTimesMs: Sequence[float], geometry: Geometry) -> Any:
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
    sequence.SetIndexName(INVERSION_TIME_INDEX)
    sequence.SetIndexUnit("ms")
    # A numeric index would sort the images by inversion time and lose the order in which they were acquired.
    sequence.SetIndexTypeFromString("text")
    for image, time in zip(images, inversionTimesMs, strict=True):
        sequence.SetDataNodeAtValue(newFrame(name, image, geometry), f"{time:g}")
    return sequence


def newFrame(name: str, image: np.ndarray, geometry: Geometry) -> Any:
    """A volume node that is in no scene, for a sequence to hold: one image with axes (row, column), as float32."""
    volume = slicer.vtkMRMLScalarVolumeNode()
    volume.SetName(name)
    setVolumeArray(volume, np.asarray(image, dtype=np.float32), geometry)
    return volume


def known(node: Any, attribute: str) -> str | None:
    """An attribute of a volume, or else of the acquisition that it was made from."""
    source = node.GetNodeReference(provenance.SOURCE)
    return node.GetAttribute(attribute) or (None if source is None else source.GetAttribute(attribute))


def phaseOf(node: Any) -> Any:
    """The phase that belongs to an acquisition, or None."""
    return node.GetNodeReference(PHASE)


def browserOf(node: Any) -> Any:
    """The browser of an acquisition that is a sequence, or None."""
    if not node.IsA("vtkMRMLSequenceNode"):
        return None
    return slicer.modules.sequences.logic().GetFirstBrowserNodeForSequenceNode(node)


def browserFor(sequence: Any) -> Any:
    """The browser of an acquisition that is a sequence; one is made if it has none."""
    browser = browserOf(sequence)
    if browser is None:
        browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", f"{sequence.GetName()} browser")
        browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    return browser


def acquisitionOf(node: Any) -> Any:
    """The sequence whose current image a volume shows, or the node itself."""
    if node.IsA("vtkMRMLSequenceNode"):
        return node
    browser = slicer.modules.sequences.logic().GetFirstBrowserNodeForProxyNode(node)
    return (None if browser is None else browser.GetSequenceNode(node)) or node


def shownVolume(node: Any) -> Any:
    """The volume in which the acquisition is seen: the sequence's current image, or the volume itself; or None."""
    if not node.IsA("vtkMRMLSequenceNode"):
        return node
    browser = browserOf(node)
    return None if browser is None else browser.GetProxyNode(node)


def numberOfFrames(node: Any) -> int:
    """Number of images of an acquisition."""
    if node.IsA("vtkMRMLSequenceNode"):
        return int(node.GetNumberOfDataNodes())
    return 0 if node.GetImageData() is None else int(node.GetImageData().GetDimensions()[2])


def inversionTimes(node: Any) -> tuple[float, ...] | None:
    """The inversion times in ms, in frame order, or None when they are not known and have to be asked for.

    What was entered by hand (attribute ``CMR.InversionTimes``) comes before the index of the sequence.
    """
    entered = node.GetAttribute(INVERSION_TIMES)
    if entered:
        texts, scale = entered.split(), 1.0
    elif node.IsA("vtkMRMLSequenceNode") and node.GetIndexName() == INVERSION_TIME_INDEX:
        texts = [node.GetNthIndexValue(index) for index in range(node.GetNumberOfDataNodes())]
        scale = {"ms": 1.0, "s": 1000.0}.get(node.GetIndexUnit(), math.nan)
    else:
        return None
    try:
        times = tuple(float(text) * scale for text in texts)
    except ValueError:
        return None
    return times if len(times) == numberOfFrames(node) and all(map(math.isfinite, times)) else None


def hasEnteredTimes(node: Any) -> bool:
    """Whether inversion times were entered by hand for an acquisition."""
    return bool(node.GetAttribute(INVERSION_TIMES))


def setInversionTimes(node: Any, inversionTimesMs: Sequence[float] | None) -> None:
    """Keep inversion times entered by hand with the acquisition; None goes back to those it was loaded with."""
    if inversionTimesMs is None:
        node.RemoveAttribute(INVERSION_TIMES)
    else:
        node.SetAttribute(INVERSION_TIMES, " ".join(f"{time:g}" for time in inversionTimesMs))


def acquisitionImages(node: Any) -> tuple[np.ndarray, Geometry]:
    """The images of an acquisition.

    Returns:
        float32 with axes (frame, row, column), and the geometry of one frame.

    Raises:
        InputError: the node holds no images, or images of different size or position.
    """
    if not node.IsA("vtkMRMLSequenceNode"):
        if node.IsA("vtkMRMLLabelMapVolumeNode"):
            raise InputError(f"{node.GetName()} is a label map; choose the inversion-recovery images.")
        return volumeArray(node), volumeGeometry(node).at_slice(0)
    if node.GetNumberOfDataNodes() == 0:
        raise InputError(f"The sequence {node.GetName()} is empty; load the series again.")
    frames: list[np.ndarray] = []
    geometry: Geometry | None = None
    for index in range(node.GetNumberOfDataNodes()):
        volume = node.GetNthDataNode(index)
        if not volume.IsA("vtkMRMLScalarVolumeNode"):
            raise InputError(f"{node.GetName()} is not a sequence of images; choose the inversion-recovery images.")
        frame = volumeArray(volume)
        if len(frame) != 1:
            raise InputError(
                f"The images of {node.GetName()} have {len(frame)} slices each; "
                "load each slice of the acquisition as a sequence of its own."
            )
        geometry = geometry or volumeGeometry(volume)
        if frames and (frame[0].shape != frames[0].shape or not geometry.is_close(volumeGeometry(volume))):
            raise InputError(
                f"Image {index + 1} of {node.GetName()} differs in size or position from the first; "
                "choose the images of one acquisition of one slice."
            )
        frames.append(frame[0])
    assert geometry is not None
    return np.stack(frames), geometry
