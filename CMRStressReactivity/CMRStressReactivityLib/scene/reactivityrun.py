"""From the volumes of both states to the nodes of their reactivity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer

from CMRLib.errors import Cancelled, InputError
from CMRLib.scene import landmarks
from CMRLib.scene.finders import make, myocardiumOn
from CMRLib.scene.regions import SEGMENTATION_ROLE, findSegmentation
from CMRLib.scene.volumes import numberOfSlices, volumeGeometry
from CMRStressReactivityLib.comparison import SliceReactivity, T1Slice, compare, match_chosen, match_maps
from CMRStressReactivityLib.registration import load_registration_model
from CMRStressReactivityLib.scene.reactivitynodes import storeReactivity
from CMRStressReactivityLib.scene.t1volumes import Slot, readSlices, slotsOf
from CMRStressReactivityLib.volumes import volume_of


@dataclass(frozen=True)
class Compared:
    """What a run has made.

    Attributes:
        nodes: rest volume -> its nodes by role, see `CMRStressReactivityLib.scene.reactivitynodes`.
        told: a sentence for each slice that has no partner or cannot be used.
    """

    nodes: dict[Any, dict[str, Any]]
    told: tuple[str, ...]


def compareVolumes(
    restVolumes: Sequence[Any],
    stressVolumes: Sequence[Any],
    partners: Sequence[int | None] | None = None,
    segmentationNode: Any = None,
    myocardium: str = "",
    findMissing: bool = True,
    device: str = "auto",
    progress: Callable[[float], None] | None = None,
) -> Compared:
    """Bring every stress slice onto its rest slice, and put the change of T1 into nodes.

    Args:
        restVolumes, stressVolumes: T1 maps, of one slice or several each.
        partners: for every slice of the rest volumes, in their order, the number of its stress slice or None for none;
            None matches them by their place.
        segmentationNode, myocardium: contours at rest, see `CMRStressReactivityLib.scene.t1volumes.readSlices`.
        findMissing: whether the myocardium and the landmarks are found where a volume has none.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        progress: called with the fraction done; what it raises ends the run, with all nodes as they were.

    Raises:
        CMRError: a sentence for the user; no node was changed.
    """
    report = progress or (lambda fraction: None)
    model = load_registration_model(device=device)
    made: list[Any] = []
    try:
        if findMissing:
            _findMissing(restVolumes, stressVolumes, segmentationNode, myocardium, device, report, made)
        slots = [slotsOf(volumes) for volumes in (restVolumes, stressVolumes)]
        rest, fixed, restProblems = readSlices(slots[0], segmentationNode, myocardium)
        stress, moving, stressProblems = readSlices(slots[1])
        problems = [*restProblems, *stressProblems]
        if problems and not (fixed and moving):
            raise InputError(problems[0])
        if partners is None:
            matching = match_maps(fixed, moving)
        else:
            matching = match_chosen(fixed, moving, _chosenPairs(partners, slots, rest, stress))
        compared: dict[int, SliceReactivity] = {}
        for done, match in enumerate(matching.matches):
            report(0.5 + 0.5 * done / len(matching.matches) if findMissing else done / len(matching.matches))
            try:
                compared[match.rest] = compare(fixed[match.rest], moving[match.stress], match, model)
            except InputError as error:
                problems.append(str(error))
        report(1.0)
        if not compared:
            raise InputError(problems[0])
        _checkStillThere([*restVolumes, *stressVolumes])
    except BaseException:
        _remove(made)
        raise
    nodes = _store(compared, rest, stress, fixed)
    return Compared(nodes, (*problems, *matching.left_out))


def _findMissing(
    restVolumes: Sequence[Any],
    stressVolumes: Sequence[Any],
    segmentationNode: Any,
    myocardium: str,
    device: str,
    report: Callable[[float], None],
    made: list[Any],
) -> None:
    """Find the myocardium of every volume and the landmarks of the rest volumes where there are none."""
    wanted = []
    for volume in [*restVolumes, *stressVolumes]:
        isRest = volume in restVolumes
        chosen = myocardiumOn(volume, segmentationNode, myocardium) if isRest else None
        if chosen is None and findSegmentation(volume) is None:
            wanted.append((SEGMENTATION_ROLE, volume))
        if isRest and landmarks.findLandmarks(volume) is None:
            wanted.append((landmarks.ROLE, volume))
    for done, (role, volume) in enumerate(wanted):

        def part(fraction: float, done: int = done) -> None:
            report(0.5 * (done + fraction) / len(wanted))

        made.append(make(role, volume, device, part))


def _chosenPairs(
    partners: Sequence[int | None], slots: Sequence[Sequence[Slot]], rest: Sequence[Slot], stress: Sequence[Slot]
) -> list[tuple[int, int]]:
    """Chosen pairs of slots as numbers among those that can be used.

    Raises:
        InputError: a stress slice was chosen twice, or one that cannot be used was chosen.
    """
    chosen = [partner for partner in partners if partner is not None]
    if len(set(chosen)) < len(chosen):
        raise InputError("A stress slice was chosen for two rest slices; choose another one for one of them.")
    pairs = []
    for slot, partner in zip(slots[0], partners, strict=True):
        if partner is None:
            continue
        other = slots[1][partner]
        if slot not in rest or other not in stress:
            name = (slot if slot not in rest else other).name
            raise InputError(f"{name} holds no T1 that can be used; choose no partner for it.")
        pairs.append((rest.index(slot), stress.index(other)))
    return pairs


def _store(
    compared: dict[int, SliceReactivity],
    rest: Sequence[Slot],
    stress: Sequence[Slot],
    fixed: Sequence[T1Slice],
) -> dict[Any, dict[str, Any]]:
    nodes: dict[Any, dict[str, Any]] = {}
    for volume in dict.fromkeys(rest[number].volume for number in compared):
        own = {rest[number].index: number for number in compared if rest[number].volume is volume}
        columns, rows, count = volume.GetImageData().GetDimensions()
        t1, wall = np.zeros((count, rows, columns), np.float32), np.zeros((count, rows, columns), bool)
        for slot, one in zip(rest, fixed, strict=True):
            if slot.volume is volume:
                t1[slot.index] = one.t1
                wall[slot.index] = False if one.myocardium is None else one.myocardium
        found = volume_of({index: compared[number] for index, number in own.items()}, t1.shape, wall)
        partners = {index: stress[compared[number].match.stress] for index, number in own.items()}
        stressVolumes = list(dict.fromkeys(slot.volume for slot in partners.values()))
        names = {index: slot.name for index, slot in partners.items()}
        nodes[volume] = storeReactivity(volume, t1, found, volumeGeometry(volume), stressVolumes, names)
    return nodes


def _checkStillThere(volumes: Sequence[Any]) -> None:
    for volume in volumes:
        isThere = slicer.mrmlScene.GetNodeByID(volume.GetID() or "") is volume
        if not isThere or numberOfSlices(volume) == 0:
            raise Cancelled("The scene was closed or a volume was removed; the result was discarded.")


def _remove(nodes: Sequence[Any]) -> None:
    """Take what a run that ended early has made out of the scene."""
    for node in nodes:
        if not slicer.mrmlScene.IsNodePresent(node):
            continue
        display = node.GetDisplayNode()
        slicer.mrmlScene.RemoveNode(node)
        if display is not None and slicer.mrmlScene.IsNodePresent(display):
            slicer.mrmlScene.RemoveNode(display)
    landmarks.removeStrayLines()
