"""The extracellular volume of T1 maps in the scene."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from CMRLib.anatomy.axis import is_placed
from CMRLib.errors import Cancelled, InputError
from CMRLib.scene import aha, landmarks
from CMRLib.scene.acquisitions import FIELD_STRENGTH
from CMRLib.scene.regions import regionMasks
from CMRLib.scene.results import SOURCE_REFERENCE, findResult
from CMRLib.scene.volumes import checkSlicesLast, volumeArray, volumeGeometry
from CMRLib.study.hematocrit import hematocrit_fault
from CMRT1MappingLib.ecv.calculation import inner_wall
from CMRT1MappingLib.ecv.files import EcvOfMap, SliceEcv
from CMRT1MappingLib.ecv.hematocrit import measured_hematocrit
from CMRT1MappingLib.ecv.mapping import T1Slice, map_ecv
from CMRT1MappingLib.ecv.placement import place_slices
from CMRT1MappingLib.scene import ecvmaps, t1maps


def readHematocrit(text: str) -> float:
    """The haematocrit that a user has typed, with a point or a comma.

    Raises:
        InputError: it is none.
    """
    try:
        value = float(text.strip().replace(",", "."))
    except ValueError:
        raise InputError("Enter the haematocrit as a fraction, such as 0.42, or have it estimated.") from None
    if fault := hematocrit_fault(value):
        raise InputError(f"{fault[0].upper()}{fault[1:]}.")
    return value


def checkInput(nativeMap: Any, postMap: Any, segmentationNode: Any, hematocrit: float | None) -> None:
    """Say what is missing before anything is computed.

    Args:
        nativeMap, postMap, segmentationNode: nodes, or None where none was chosen.
        hematocrit: measured; None estimates it, for which the field strength must be known.

    Raises:
        InputError: a sentence with the remedy.
    """
    if nativeMap is None:
        raise InputError("Select the native T1 map.")
    if postMap is None:
        raise InputError("Select the T1 map after contrast.")
    if nativeMap is postMap:
        raise InputError("The native and the post-contrast T1 map are the same; select two maps.")
    if segmentationNode is None:
        raise InputError("Select a segmentation of the native map with the myocardium and the blood pool.")
    if nativeMap.GetTransformNodeID() != postMap.GetTransformNodeID():
        raise InputError("The two maps lie under different transforms; harden these, or put both under the same.")
    if hematocrit is None and fieldStrengthOf(nativeMap) is None:
        raise InputError("The scanner's field strength is not known, so the haematocrit cannot be estimated; enter it.")


def computeEcv(
    nativeMap: Any,
    postMap: Any,
    segmentationNode: Any,
    hematocrit: float | None,
    progress: Callable[[float], None] = lambda fraction: None,
) -> dict[str, Any]:
    """Compute the ECV of every slice that both maps show, and put it into the nodes of the native map.

    Args:
        nativeMap, postMap: T1 maps before and after contrast, in ms.
        segmentationNode: with a segment of the myocardium and one of the blood pool, by their terminology or names.
        hematocrit: measured; None estimates it from the blood's native T1.
        progress: called with the fraction done; what it raises ends the run, with all nodes as they were.

    Returns:
        role -> node, see `CMRT1MappingLib.scene.ecvmaps.storeEcv`.

    Raises:
        CMRError: a sentence for the user; no node was changed.
    """
    checkInput(nativeMap, postMap, segmentationNode, hematocrit)
    for node in (nativeMap, postMap):
        checkSlicesLast(node)
    myocardium, bloodPool = wallAndPool(segmentationNode, nativeMap)
    shown = [index for index in range(len(myocardium)) if myocardium[index].any()]
    if not shown:
        raise InputError(f"{segmentationNode.GetName()} shows no myocardium on {nativeMap.GetName()}; draw it there.")
    native, post = _slices(nativeMap), _slices(postMap)
    segments = _segments(nativeMap, myocardium)
    measured = None if hematocrit is None else measured_hematocrit(hematocrit)
    found: list[SliceEcv] = []
    for done, index in enumerate(shown):
        began = time.perf_counter()
        other = _partner(native[index], post, index)
        result = map_ecv(
            native[index],
            other,
            myocardium[index],
            bloodPool[index],
            measured,
            field_strength_t=fieldStrengthOf(nativeMap),
            progress=lambda fraction, done=done: progress((done + fraction) / len(shown)),  # type: ignore[misc]
        )
        numbers = None if segments is None or not segments[index].any() else segments[index]
        seconds = time.perf_counter() - began
        found.append(
            SliceEcv(index, postMap.GetName(), result, inner_wall(myocardium[index]), numbers, result.reasons, seconds)
        )
    for node in (nativeMap, postMap):
        if slicer.mrmlScene.GetNodeByID(node.GetID() or "") is not node:
            raise Cancelled("The scene was closed or a volume was removed; the results were discarded.")
    return ecvmaps.storeEcv(nativeMap, EcvOfMap(tuple(found)), postMap, fieldStrengthOf(nativeMap))


def fieldStrengthOf(t1Map: Any) -> float | None:
    """Field strength in tesla that a map was acquired at, or None."""
    source = t1Map.GetNodeReference(SOURCE_REFERENCE)
    text = t1Map.GetAttribute(FIELD_STRENGTH) or (None if source is None else source.GetAttribute(FIELD_STRENGTH))
    return float(text) if text else None


def wallAndPool(segmentationNode: Any, volumeNode: Any) -> tuple[np.ndarray, np.ndarray]:
    """Myocardium and blood pool on the pixels of a volume, bool (slice, row, column).

    Raises:
        InputError: the segmentation does not name both.
    """
    masks = regionMasks(segmentationNode, volumeNode)
    return _named(masks, "myo", "myocardium", segmentationNode), _named(masks, "blood", "blood pool", segmentationNode)


def _named(masks: Mapping[str, np.ndarray], word: str, title: str, segmentationNode: Any) -> np.ndarray:
    names = [name for name in masks if word in name.lower()]
    if len(names) != 1:
        raise InputError(
            f"{segmentationNode.GetName()} has {len(names)} segments called {title}; give one segment this name."
        )
    return masks[names[0]]


def _slices(t1Map: Any) -> list[T1Slice]:
    """The slices of a map, with the standard errors that were computed with it."""
    values, geometry = volumeArray(t1Map), volumeGeometry(t1Map)
    source = t1Map.GetNodeReference(SOURCE_REFERENCE)
    errorMap = None if source is None else findResult(source, "t1_error", t1maps.mapClass("t1_error"))
    errors = None if errorMap is None else volumeArray(errorMap)
    if errors is not None and errors.shape != values.shape:
        errors = None
    return [
        T1Slice(plane, geometry.at_slice(index), None if errors is None else errors[index])
        for index, plane in enumerate(values)
    ]


def _partner(native: T1Slice, post: list[T1Slice], index: int) -> T1Slice:
    """The post-contrast slice that shows a native one: the nearest in the patient, else the one of the same number."""
    if not (is_placed(native.geometry) and is_placed(post[0].geometry)):
        if index >= len(post):
            raise InputError(f"The post-contrast map has no slice {index}; select the map of the same slices.")
        return post[index]
    reasons, near = [], list[tuple[float, int]]()
    for number, other in enumerate(post):
        try:
            placed = place_slices(native.geometry, _shape(native), other.geometry, _shape(other))
        except InputError as error:
            reasons.append(error)
            continue
        near.append((placed.apart_mm, number))
    if not near:
        raise reasons[0]
    return post[min(near)[1]]


def _shape(one: T1Slice) -> tuple[int, int]:
    return one.t1.shape[0], one.t1.shape[1]


def _segments(nativeMap: Any, myocardium: np.ndarray) -> np.ndarray | None:
    """AHA segments by the landmarks of the map, uint8 (slice, row, column); None where it has none."""
    node = landmarks.findLandmarks(nativeMap)
    return None if node is None else aha.divide(node, nativeMap, myocardium).labels


def summaryOf(nodes: Mapping[str, Any]) -> str:
    """What the ECV of a native map (role -> node) rests on; empty where there is none."""
    node = nodes.get("ecv")
    if node is None:
        return ""
    attributes = {name: node.GetAttribute(f"CMR.{name}") or "" for name in (*ecvmaps.FOUND, ecvmaps.DOUBT)}
    text = _(
        "ECV of the myocardium {mean}; blood T1 {native} ms before and {post} ms after contrast; haematocrit "
        "{hematocrit}; the post-contrast map was {registration}."
    ).format(
        mean=attributes["Mean"],
        native=attributes["BloodNativeT1"],
        post=attributes["BloodPostT1"],
        hematocrit=attributes["Hematocrit"] + _sourceText(attributes["HematocritSource"]),
        registration=_registrationText(attributes["Registration"]),
    )
    return " ".join(part for part in (attributes["Doubt"], text) if part)


def _sourceText(source: str) -> str:
    return _(" (synthetic: estimated from the native T1 of the blood)") if source == "synthetic" else ""


def _registrationText(outcome: str) -> str:
    texts = {
        "as acquired": _("left where it lies, as moving it did not make the maps more alike"),
        "shifted": _("shifted and turned onto the native one"),
        "deformed": _("shifted, turned and deformed onto the native one"),
    }
    return texts.get(outcome, outcome)
