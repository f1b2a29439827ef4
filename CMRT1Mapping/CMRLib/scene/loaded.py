"""What is loaded as a study: nodes of images are read like the series of a folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import slicer

from CMRLib import provenance
from CMRLib.errors import InputError
from CMRLib.geometry import Geometry
from CMRLib.scene.acquisitions import (
    FIELD_STRENGTH,
    INVERSION_TIMES,
    PHASE,
    SCHEME,
    SERIES_ROLE,
    SLICE,
    STATE,
    acquisitionImages,
    acquisitionOf,
    inversionTimes,
    numberOfFrames,
    phaseOf,
)
from CMRLib.scene.results import SOURCE_REFERENCE
from CMRLib.scene.volumes import checkSlicesLast, volumeArray, volumeGeometry
from CMRLib.study.reading import scan_files
from CMRLib.study.rules import ImageText, SeriesRules, load_rules
from CMRLib.study.schemes import scheme_from_times
from CMRLib.study.series import (
    ROLES,
    ROLES_WITH_STATE,
    STACK,
    STATES,
    Series,
    Study,
    Unrecognised,
    with_unique_keys,
)
from CMRLib.study.slice_order import Plane, name_slices

SEQUENCE, VOLUME = "vtkMRMLSequenceNode", "vtkMRMLScalarVolumeNode"
_INSTANCES = "DICOM.instanceUIDs"  # where Slicer's own DICOM plugins note what a volume was loaded from

_UNKNOWN = (
    "Neither its name nor DICOM files tell what it shows, so it was left out; rename it, with T1 map, LGE, PSIR, VNE "
    "or cine in its name."
)
_NO_TIMES = "Its inversion times are not known; select it as the images and enter them in the table."
_PLAIN_IRW = (
    "It was loaded without its inversion times; load it in the DICOM module as inversion-recovery images, or select it "
    "as the images and enter them in the table."
)


@dataclass(frozen=True)
class _NodePixels:
    """Pixels of a node, read when they are needed."""

    node: Any
    isAcquisition: bool

    def read(self) -> tuple[np.ndarray, np.ndarray | None]:
        """See `CMRLib.study.series.PixelSource`."""
        if not self.isAcquisition:
            return volumeArray(self.node), None
        phase = phaseOf(self.node)
        return acquisitionImages(self.node)[0], None if phase is None else acquisitionImages(phase)[0]


@dataclass(frozen=True)
class _Kind:
    """What a volume shows: as in `CMRLib.study.series.Series`, or the reason why it is left out."""

    role: str = ""
    state: str = ""
    slice: str = ""
    kind: str = ""
    fieldStrength: float | None = None
    reason: str = ""
    lostRole: str = ""


def loadedStudy(folder: Path) -> tuple[Study, dict[str, Any]]:
    """The study of all images in the scene.

    Inversion-recovery acquisitions are known by their attributes and times. Of any other volume its attributes, the
    DICOM files that it was loaded from, or its name tell what it shows, by the rules for series. What was computed from
    other nodes of the scene is no part of the study.

    Args:
        folder: stands for the study's folder; an empty one.

    Returns:
        The study, and the node of each of its series by the series' key.

    Raises:
        InputError: nothing that can be used is loaded, or the rules for series cannot be used.
    """
    found: list[tuple[Series, Any]] = []
    leftOut: list[Unrecognised] = []
    nodes = list(_images())
    kinds = _kindsByFiles([node for node in nodes if not _isAcquisition(node)])
    rules = load_rules()
    for node in nodes:
        kind = _Kind("irw") if _isAcquisition(node) else _kindOf(node, kinds.get(node.GetID()), rules)
        try:
            if not kind.role:
                leftOut.append(Unrecognised(node.GetName(), kind.reason, (), kind.lostRole))
                continue
            found.append((_series(node, kind), node))
        except InputError as error:
            leftOut.append(Unrecognised(node.GetName(), str(error), (), kind.role))
    if not found:
        told = "".join(f" {item.what}: {item.reason}" for item in leftOut)
        raise InputError(f"No images of the heart are loaded; load a study, or choose its folder.{told}")
    found = _named(found)
    found.sort(key=lambda pair: _place(pair[0]))
    series = with_unique_keys(one for one, _node in found)
    nodesByKey = {one.key: node for one, (_series, node) in zip(series, found, strict=True)}
    return Study("scene", series, tuple(leftOut), folder), nodesByKey


def markSeries(node: Any, series: Series) -> None:
    """Note on a volume what it shows, so that it is known again, after the scene was saved too."""
    node.SetAttribute(SERIES_ROLE, series.role)
    field = series.field_strength_t
    known = {
        STATE: series.state,
        SLICE: "" if series.slice == STACK else series.slice,
        FIELD_STRENGTH: "" if field is None else f"{field:g}",
    }
    for name, value in known.items():
        if value:
            node.SetAttribute(name, value)


def _images() -> Iterable[Any]:
    """The nodes that may be part of a study, in the order of the scene."""
    nodes = [node for name in (SEQUENCE, VOLUME) for node in slicer.util.getNodesByClass(name)]
    phases = {node.GetNodeReferenceID(PHASE) for node in nodes}
    for node in nodes:
        isResult = node.GetNodeReference(SOURCE_REFERENCE) is not None
        isResult = isResult or (node.GetAttribute(provenance.ROLE) or ROLES[0]) not in ROLES
        if node.GetID() in phases or isResult or acquisitionOf(node) is not node or numberOfFrames(node) == 0:
            continue
        # Of sequences, only those of acquisitions can be read; label maps and vectors are volumes too, but no images.
        if node.GetClassName() == VOLUME or (node.GetClassName() == SEQUENCE and _isAcquisition(node)):
            yield node


def _isAcquisition(node: Any) -> bool:
    return bool(node.GetAttribute(SCHEME) or node.GetAttribute(INVERSION_TIMES) or inversionTimes(node))


def _series(node: Any, kind: _Kind) -> Series:
    isAcquisition = kind.role == "irw"
    times = inversionTimes(node) if isAcquisition else None
    if isAcquisition:
        if times is None:
            raise InputError(_NO_TIMES)
        images, geometry = acquisitionImages(node)
        shape = images.shape
    else:
        checkSlicesLast(node)
        geometry, shape = volumeGeometry(node), slicer.util.arrayFromVolume(node).shape
        if len(shape) != 3:
            raise InputError("It has more than one value a pixel, so it is no image that can be analysed.")
    field = node.GetAttribute(FIELD_STRENGTH)
    state = node.GetAttribute(STATE) or kind.state
    return Series(
        role=kind.role,
        state=(state if state in STATES else STATES[0]) if kind.role in ROLES_WITH_STATE else "",
        slice=node.GetAttribute(SLICE) or kind.slice or ("" if isAcquisition or shape[0] == 1 else STACK),
        kind=kind.kind,
        scheme=(node.GetAttribute(SCHEME) or scheme_from_times(times or ())) if isAcquisition else "",
        inversion_times_ms=times,
        description=node.GetName(),
        files=(),
        phase_files=(),
        geometry=geometry,
        shape=(int(shape[0]), int(shape[1]), int(shape[2])),
        key="",
        source=_NodePixels(node, isAcquisition),
        field_strength_t=float(field) if field else kind.fieldStrength,
    )


def _kindOf(node: Any, byFiles: _Kind | None, rules: SeriesRules) -> _Kind:
    """What a volume shows, as it says itself, as its files say, or as its name says."""
    marked = node.GetAttribute(SERIES_ROLE) or node.GetAttribute(provenance.ROLE)
    if marked in ROLES:
        return _Kind(marked)
    if byFiles is not None:
        return byFiles
    rule = rules.role_of(ImageText(description=node.GetName()))
    if rule is None:
        return _Kind(reason=_UNKNOWN, lostRole="unknown")
    if rule.role in ("none", "irw"):
        return _Kind(reason=rule.reason or _PLAIN_IRW, lostRole=rule.lost_role or rule.role.replace("none", ""))
    return _Kind(rule.role, rules.state_of(node.GetName(), ""), kind=rule.kind)


def _kindsByFiles(nodes: Sequence[Any]) -> dict[str, _Kind]:
    """Id of each volume that was loaded from DICOM files that are still there -> what these say.

    All files are looked at together, as states and slices are told from each other.
    """
    filesOf = {node.GetID(): _filesOf(node) for node in nodes}
    everything = sorted({file for files in filesOf.values() for file in files})
    if not everything:
        return {}
    series, leftOut = scan_files(everything)
    kinds: dict[str, _Kind] = {}
    for key, files in filesOf.items():
        own = [one for one in series if files & set(one.files)]
        lost = [item for item in leftOut if files & set(item.files)]
        if any(one.role == "irw" for one in own):
            kinds[key] = _Kind(reason=_PLAIN_IRW, lostRole="irw")
        elif own:
            first, isOne = own[0], len(own) == 1
            kinds[key] = _Kind(
                first.role, first.state, first.slice if isOne else "", first.kind, first.field_strength_t
            )
        elif lost and lost[0].lost_role != "unknown":
            kinds[key] = _Kind(reason=lost[0].reason, lostRole=lost[0].lost_role)
    return kinds


def _filesOf(node: Any) -> set[Path]:
    instances = (node.GetAttribute(_INSTANCES) or "").split()
    database = getattr(slicer, "dicomDatabase", None)
    if not instances or database is None:
        return set()
    files = {Path(file) for file in (database.fileForInstance(uid) for uid in instances) if file}
    return {file for file in files if file.is_file()}


def _named(found: Sequence[tuple[Series, Any]]) -> list[tuple[Series, Any]]:
    """The same, with a name for each slice that has none, by its place among those of its kind."""
    named: list[tuple[Series, Any]] = list(found)
    for family in (("irw", "t1"), ("lge",), ("vne",), ("cine",)):
        own = [n for n, (series, _node) in enumerate(found) if series.role in family and series.slice != STACK]
        planes = [_plane(found[n][0].geometry, found[n][0].state) for n in own]
        for n, (text, _along) in zip(own, name_slices(planes), strict=True):
            series, node = found[n]
            named[n] = (replace(series, slice=series.slice or text), node)
    return named


def _plane(geometry: Geometry, state: str) -> Plane:
    columns, rows = geometry.matrix[:, 0], geometry.matrix[:, 1]
    return Plane(geometry.origin, (*columns.tolist(), *rows.tolist()), state)


def _place(series: Series) -> tuple[int, int, int, float]:
    """What a study's series are ordered by: role, state, and slice from base to apex."""
    state = STATES.index(series.state) if series.state else 0
    plane = _plane(series.geometry, series.state)
    return ROLES.index(series.role), state, int(series.slice == STACK), float(np.dot(plane.position, plane.normal))
