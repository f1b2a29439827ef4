"""From the nodes of an acquisition to the nodes of its T1 maps, and to the curve of one of its pixels."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import slicer

from CMRLib.errors import Cancelled, InputError
from CMRLib.geometry import Geometry
from CMRLib.scene.acquisitions import (
    PHASE,
    acquisitionImages,
    inversionTimes,
    numberOfFrames,
    phaseOf,
    shownVolume,
)
from CMRLib.scene.outputs import checkOutputs, checkOverwriting
from CMRLib.scene.results import findResult
from CMRLib.scene.volumes import worldToIJK
from CMRT1MappingLib.fit.curve import PixelCurve, curve_at
from CMRT1MappingLib.fit.quality import map_doubt, map_fault
from CMRT1MappingLib.fit.reconstruction import FitOptions
from CMRT1MappingLib.fit.schemes import check_inversion_times
from CMRT1MappingLib.mapping import T1Result, map_t1
from CMRT1MappingLib.motion.estimation import DEFAULT_MODEL
from CMRT1MappingLib.scene import motion, motionoutcome, t1maps


def checkInput(
    inputNode: Any,
    phaseNode: Any,
    scheme: str,
    outputs: Mapping[str, Any] | None = None,
    inversionTimesMs: Sequence[float] | None = None,
) -> tuple[float, ...]:
    """The inversion times in ms that will be used: those given, else those of the node.

    Raises:
        InputError: the nodes cannot be reconstructed; the pixels themselves are not looked at.
    """
    times = inversionTimes(inputNode) if inversionTimesMs is None else tuple(inversionTimesMs)
    frames = numberOfFrames(inputNode)
    if times is None:
        raise InputError(f"The inversion times of {inputNode.GetName()} are not known; enter them in the table.")
    if len(times) != frames:
        raise InputError(
            f"There are {frames} images but {len(times)} inversion times; "
            "correct the table or select the whole acquisition."
        )
    check_inversion_times(np.array(times), scheme.lower())
    if phaseNode is inputNode:
        raise InputError("The same images are selected as magnitude and as phase; select the phase series, or none.")
    if phaseNode is not None and numberOfFrames(phaseNode) != frames:
        raise InputError(
            f"There are {frames} images but {numberOfFrames(phaseNode)} phase images; "
            "select the phase of the same acquisition, or none."
        )
    checkOutputs(inputNode, outputs or {}, t1maps.MAP_NAMES, t1maps.mapClass)
    return times


def reconstructT1(
    inputNode: Any,
    inversionTimesMs: Sequence[float] | None = None,
    phaseNode: Any = None,
    scheme: str = "shmolli",
    lastTest: str = "scanner",
    device: str = "auto",
    outputs: Mapping[str, Any] | None = None,
    colors: str = "1.5 T",
    progress: Callable[[float], None] | None = None,
    correctMotion: bool = True,
    mayOverwrite: Collection[Any] = (),
) -> dict[str, Any]:
    """Compute the T1 map of an acquisition and the maps that go with it.

    Where correcting the motion between the images makes them fit better, the maps are those of the corrected images,
    and what belongs to the correction is kept too (`CMRT1MappingLib.scene.motion.storeCorrection`). Otherwise the
    images are fitted as acquired, and what an earlier run left of a correction is removed.

    Args:
        inputNode: sequence of images of one slice, or volume whose slices are the images.
        inversionTimesMs: in ms, one per image; None takes those of the node.
        phaseNode: phase in radians, of the same kind as the input; None searches for the sign of the samples.
        scheme: ShMOLLI, MOLLI or Look-Locker, in any case.
        lastTest: ShMOLLI's last test as the ``scanner`` or the ``paper`` has it.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        outputs: result (key of `CMRT1MappingLib.scene.t1maps.MAP_NAMES`) -> node to put it into; None finds or creates
            nodes.
        colors: field strength whose normal myocardium is green, for a new T1 map.
        progress: called with the fraction done; what it raises ends the run, with all nodes as they were.
        correctMotion: whether motion between the images is corrected first.
        mayOverwrite: those of ``outputs`` that may lose data of another role or another source.

    Returns:
        Result -> node, for every map.

    Raises:
        CMRError: a sentence for the user; no node was changed.
    """
    if inputNode is None:
        raise InputError("Select the inversion-recovery images.")
    times = checkInput(inputNode, phaseNode, scheme, outputs, inversionTimesMs)
    checkOverwriting(inputNode, outputs or {}, t1maps.MAP_NAMES, mayOverwrite)
    images, geometry = acquisitionImages(inputNode)
    phase = None if phaseNode is None else acquisitionImages(phaseNode)[0]
    result = map_t1(
        images,
        times,
        phase,
        (geometry.spacing[1], geometry.spacing[0]),
        scheme=scheme.lower(),
        options=FitOptions(last_test=lastTest),
        model=DEFAULT_MODEL if correctMotion else None,
        device=device,
        progress=progress,
    )
    for node in (inputNode, *(outputs or {}).values()):
        if node is not None and slicer.mrmlScene.GetNodeByID(node.GetID() or "") is not node:
            raise Cancelled("The scene was closed or a volume was removed; the results were discarded.")
    return storeResults(inputNode, result, geometry, phaseNode, outputs, colors, mayOverwrite)


def storeResults(
    source: Any,
    result: T1Result,
    geometry: Geometry,
    phaseNode: Any = None,
    outputs: Mapping[str, Any] | None = None,
    colors: str = "1.5 T",
    mayOverwrite: Collection[Any] = (),
) -> dict[str, Any]:
    """Put maps, and what belongs to the motion correction that they were made with, into nodes.

    Args:
        source, geometry, phaseNode, outputs, colors, mayOverwrite: see `CMRT1MappingLib.scene.t1maps.storeT1Maps`.
        result: the maps and how they came about.

    Returns:
        Result -> node, for every map.

    Raises:
        InputError: a node given holds other data by now; nothing was stored.
    """
    checkOverwriting(source, outputs or {}, t1maps.MAP_NAMES, mayOverwrite)
    corrected = result.corrected
    warning = map_fault(result.maps, result.heart) or map_doubt(result.maps, result.heart)
    parameters = {**result.parameters, **motionoutcome.parametersOf(corrected, geometry), t1maps.WARNING: warning}
    fitted = None
    if corrected is not None and corrected.kept:
        fitted = motion.storeCorrection(source, corrected, geometry, parameters)[motion.IMAGES]
    else:
        motion.removeCorrection(source)
    return t1maps.storeT1Maps(
        source, result.maps, geometry, parameters, phaseNode, outputs, colors, fitted, mayOverwrite
    )


def undoCorrection(
    inputNode: Any, device: str = "auto", progress: Callable[[float], None] | None = None
) -> dict[str, Any]:
    """Map the images of an acquisition as acquired, with the settings of its T1 map, and remove the correction.

    Returns:
        Result -> node, for every map: the nodes that held the maps of the corrected images.

    Raises:
        CMRError: a sentence for the user; no node was changed.
    """
    t1Map = findResult(inputNode, "t1", t1maps.mapClass("t1"))
    if t1Map is None:
        raise InputError(f"There is no T1 map of {inputNode.GetName()}; click Apply first.")
    settings = _settingsOf(t1Map)
    return reconstructT1(
        inputNode,
        settings.inversionTimesMs,
        settings.phaseNode,
        settings.scheme,
        settings.lastTest,
        device,
        progress=progress,
        correctMotion=False,
    )


def pixelAt(inputNode: Any, position: Sequence[float]) -> tuple[int, int] | None:
    """The (row, column) of an acquisition at a world position (RAS mm), or None outside its image."""
    volume = findResult(inputNode, "t1", t1maps.mapClass("t1")) or shownVolume(inputNode)
    if volume is None or volume.GetImageData() is None:
        return None
    column, row, slice_ = np.round(worldToIJK(volume, np.array([position]))[0]).astype(int)
    columns, rows, slices = volume.GetImageData().GetDimensions()
    inside = 0 <= row < rows and 0 <= column < columns and 0 <= slice_ < slices
    return (int(row), int(column)) if inside else None


def pixelCurve(
    inputNode: Any, row: int, column: int, phaseNode: Any = None, scheme: str = "shmolli", lastTest: str = "scanner"
) -> PixelCurve:
    """The samples and the fitted curve of one pixel.

    Where the acquisition has a T1 map already, the pixel is fitted as it was for the map, and the arguments that follow
    ``column`` do not matter.

    Raises:
        CMRError: the pixel cannot be fitted.
    """
    images, times, noise = inputNode, None, None
    t1Map = findResult(inputNode, "t1", t1maps.mapClass("t1"))
    if t1Map is not None and t1Map.GetAttribute("CMR.InversionTimes"):
        settings = _settingsOf(t1Map)
        times, scheme, phaseNode = settings.inversionTimesMs, settings.scheme, settings.phaseNode
        lastTest, noise = settings.lastTest, float(t1Map.GetAttribute("CMR.NoiseSD"))
        images = _fittedImages(inputNode, t1Map)
        if images is not inputNode and phaseNode is not None:
            phaseNode = phaseOf(images)
    times = checkInput(images, phaseNode, scheme, inversionTimesMs=times)
    magnitude, _geometry = acquisitionImages(images)
    phase = None if phaseNode is None else acquisitionImages(phaseNode)[0]
    options = FitOptions(last_test=lastTest, noise_sd=noise)
    return curve_at(magnitude, times, phase, row, column, scheme=scheme.lower(), options=options)


class _Settings(NamedTuple):
    """What a T1 map was made with, as for `reconstructT1`."""

    inversionTimesMs: tuple[float, ...]
    phaseNode: Any
    scheme: str
    lastTest: str


def _settingsOf(t1Map: Any) -> _Settings:
    return _Settings(
        tuple(float(text) for text in t1Map.GetAttribute("CMR.InversionTimes").split()),
        t1Map.GetNodeReference(PHASE),
        t1Map.GetAttribute("CMR.Scheme"),
        t1Map.GetAttribute("CMR.LastTest") or FitOptions().last_test,
    )


def _fittedImages(inputNode: Any, t1Map: Any) -> Any:
    """The images that a T1 map was fitted to: the corrected ones where its motion was corrected."""
    if not motionoutcome.isCorrected(t1Map):
        return inputNode
    images = t1Map.GetNodeReference(t1maps.FITTED_IMAGES)
    if images is None:
        raise InputError(f"The corrected images of {inputNode.GetName()} were removed; click Apply to make them again.")
    return images
