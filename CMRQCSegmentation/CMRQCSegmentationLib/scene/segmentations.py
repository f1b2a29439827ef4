"""A segmentation as a node: its segments, their terms and colors, and what the analyst does with its slices."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import slicer

from CMRLib.errors import InputError
from CMRLib.review import Status
from CMRLib.scene import review
from CMRLib.scene.regions import SEGMENTATION_CLASS, findSegmentation
from CMRLib.scene.results import SOURCE_REFERENCE, markResult
from CMRQCSegmentationLib.answers import Answer, digest, labels_from_text, labels_to_text
from CMRQCSegmentationLib.prediction import SliceSegmentation
from CMRQCSegmentationLib.quality import THRESHOLD
from CMRQCSegmentationLib.scene.segmentationreview import (
    ANSWERS,
    ATTRIBUTE,
    TOUCHED,
    SegmentationReview,
    diceWithModel,
    entryOf,
    readAnswer,
    readAnswers,
    readReview,
    whatTheModelSaid,
    writeAnswers,
    writeReview,
)
from CMRQCSegmentationLib.scene.segmentpixels import segmentMask, setSegmentMask
from CMRQCSegmentationLib.segments import SEGMENTS


def sourceVolume(node: Any) -> Any:
    """The volume that a segmentation belongs to, or None when it was removed."""
    return node.GetNodeReference(SOURCE_REFERENCE)


def touchedSlices(volumeNode: Any) -> list[int]:
    """Slices of a volume's segmentation that someone has corrected, accepted or rejected."""
    node = findSegmentation(volumeNode)
    return [] if node is None else [entry.slice for entry in _readableReview(node) if entry.status in TOUCHED]


def storeSegmentation(
    volumeNode: Any,
    results: Sequence[SliceSegmentation],
    attributes: Mapping[str, str],
    keep: Collection[int] = (),
    threshold: float = THRESHOLD,
) -> Any:
    """Put a model's answer for every slice of a volume into its segmentation node, doubtful slices marked for review.

    Args:
        volumeNode: the images that were segmented.
        results: of every slice, in their order.
        attributes: provenance, as `CMRLib.provenance.result_attributes` gives it with role ``segmentation``.
        keep: slices that stay as they are, with their review.
        threshold: of the predicted Dice, below which a slice is flagged.

    Returns:
        The segmentation node.
    """
    node = findSegmentation(volumeNode)
    before = [] if node is None else _readableReview(node)
    earlier = [] if node is None else readAnswers(node)
    labels = np.stack([result.labels for result in results])
    if node is None:
        node = _newNode(volumeNode)
    if len(before) == len(results) == len(earlier):
        kept = set(keep)
        shown = readLabels(node, volumeNode)
    else:
        kept, before, shown = set[int](), [SegmentationReview(index) for index in range(len(results))], labels
    entries, answers = [], []
    for result in results:
        index = result.slice
        if index in kept:
            labels[index] = shown[index]
            entries.append(before[index])
            answers.append(earlier[index])
        else:
            entries.append(replace(entryOf(result, threshold), comment=before[index].comment))
            answers.append(Answer.of(result).to_text())
    wasModifying = node.StartModify()
    markResult(node, volumeNode, {**attributes, **_reviewAttributes(node)})
    writeLabels(node, volumeNode, labels)
    writeAnswers(node, answers)
    for number, past in enumerate(before):  # an answer made anew is a change, also where the status stays
        if number not in kept:
            before[number] = replace(past, status=Status.MISSING)
    writeReview(node, before, isLogged=False)
    writeReview(node, entries, {result.slice: whatTheModelSaid(result) for result in results})
    node.EndModify(wasModifying)
    return node


def readLabels(node: Any, volumeNode: Any) -> np.ndarray:
    """What a segmentation shows on the pixels of its volume, uint8 (slice, row, column)."""
    columns, rows, slices = volumeNode.GetImageData().GetDimensions()
    labels = np.zeros((slices, rows, columns), dtype=np.uint8)
    for segment in SEGMENTS:
        if node.GetSegmentation().GetSegment(segment.name) is not None:
            labels[segmentMask(node, segment.name, volumeNode)] = segment.label
    return labels


def writeLabels(node: Any, volumeNode: Any, labels: np.ndarray) -> None:
    """Show labels in a segmentation; uint8 (slice, row, column) of its volume. A segment that is gone comes back."""
    for segment in SEGMENTS:
        _ensureSegment(node, segment)
        setSegmentMask(node, segment.name, volumeNode, labels == segment.label)


def noticeEdits(node: Any, volumeNode: Any, reviewer: str = "") -> list[int]:
    """Bring the status of every slice in line with what it shows; the indices of changed slices.

    Args:
        node, volumeNode: the segmentation, and the volume whose it is.
        reviewer: who drew.
    """
    entries, labels = readReview(node), readLabels(node, volumeNode)
    changed, notes = list[int](), dict[int, str]()
    if len(entries) != len(labels):  # the volume is not what was segmented any more
        return changed
    for index, drawn in enumerate(labels):
        entry, shown = entries[index], digest(drawn)
        if shown == entry.shown:
            continue
        status = entry.statusOf(shown)
        notes[index] = _noteOn(node, entry, drawn)
        if status is not entry.status:
            changed.append(index)
        elif status is Status.CORRECTED:
            review.noteLastChange(node, index, notes[index])
        entries[index] = replace(entry, status=status, shown=shown, reviewer=reviewer)
    if notes:
        writeReview(node, entries, notes)
    return changed


def judge(node: Any, volumeNode: Any, slices: Iterable[int], verdict: Status, reviewer: str = "") -> None:
    """Accept or reject what slices show.

    A rejected slice is emptied, so that nothing measures it, and shows again what it did when it is accepted after all.

    Args:
        node, volumeNode: the segmentation, and the volume whose it is.
        slices: indices.
        verdict: `Status.ACCEPTED` or `Status.REJECTED`.
        reviewer: who says so.
    """
    entries, labels = readReview(node), readLabels(node, volumeNode)
    chosen, notes = sorted(set(slices)), {}
    for index in chosen:
        entry, rejected = entries[index], ""
        if entry.status is Status.REJECTED and entry.rejected and not labels[index].any():
            labels[index] = labels_from_text(entry.rejected)
        notes[index] = _noteOn(node, entry, labels[index])
        if verdict is Status.REJECTED:
            rejected = labels_to_text(labels[index])
            labels[index] = 0
        entries[index] = replace(
            entry,
            status=verdict,
            shown=digest(labels[index]),
            judged=digest(labels[index]),
            verdict=verdict.value,
            rejected=rejected,
            reviewer=reviewer,
        )
    _write(node, volumeNode, labels, entries, notes)


def reset(node: Any, volumeNode: Any, slices: Iterable[int], reviewer: str = "") -> None:
    """Go back to the model's answer in slices."""
    entries, labels = readReview(node), readLabels(node, volumeNode)
    chosen = [index for index in sorted(set(slices)) if entries[index].model]
    for index in chosen:
        labels[index] = readAnswer(node, index).shown()
        entry = replace(entries[index], judged="", verdict="", rejected="", taken="", reviewer=reviewer)
        entries[index] = replace(entry, status=entry.untouched, shown=entry.model)
    _write(node, volumeNode, labels, entries, dict.fromkeys(chosen, "back to the model's answer"))


def take(node: Any, volumeNode: Any, index: int, name: str, reviewer: str = "") -> None:
    """Show another candidate of the ensemble in a slice.

    Raises:
        InputError: there is no such candidate.
    """
    answer = readAnswer(node, index)
    if name not in answer.names:
        raise InputError(f"Slice {index} has no candidate {name}; choose one of the list.")
    entries, labels = readReview(node), readLabels(node, volumeNode)
    before, labels[index] = entries[index], answer.shown(name)
    shown = digest(labels[index])
    entry = replace(before, shown=shown, judged="", verdict="", rejected="", reviewer=reviewer)
    entry = replace(entry, taken="" if name == answer.chosen else name)
    entries[index] = replace(entry, status=entry.statusOf(shown))
    note = f"candidate {name} taken; {diceWithModel(answer, labels[index])}"
    if entries[index].status is before.status:
        review.logChange(node, before, entries[index], note)
    _write(node, volumeNode, labels, entries, {index: note})


def comment(node: Any, index: int, text: str) -> None:
    """Keep the analyst's comment on a slice."""
    entries = readReview(node)
    entries[index] = replace(entries[index], comment=text)
    writeReview(node, entries)


def setThreshold(node: Any, threshold: float) -> None:
    """Flag the slices whose predicted Dice is lower and that nobody has dealt with; the history is not told."""
    entries = readReview(node)
    moved = [entry.atThreshold(threshold) for entry in entries]
    if moved != entries:
        writeReview(node, moved, isLogged=False)


def _write(
    node: Any, volumeNode: Any, labels: np.ndarray, entries: list[SegmentationReview], notes: Mapping[int, str]
) -> None:
    wasModifying = node.StartModify()
    writeLabels(node, volumeNode, labels)
    writeReview(node, entries, notes)
    node.EndModify(wasModifying)


def _noteOn(node: Any, entry: SegmentationReview, shown: np.ndarray) -> str:
    """What the history says of a slice that shows these labels: how far the model's answer is from them."""
    if not entry.model or digest(shown) == entry.model:
        return ""
    taken = f"candidate {entry.taken} taken; " if entry.taken else ""
    return taken + diceWithModel(readAnswer(node, entry.slice), shown)


def _newNode(volumeNode: Any) -> Any:
    name = slicer.mrmlScene.GenerateUniqueName(f"{volumeNode.GetName()} segmentation")
    node = slicer.mrmlScene.AddNewNodeByClass(SEGMENTATION_CLASS, name)
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetOpacity2DFill(0.0)  # outlines are what is judged, over the image as it is
    node.GetDisplayNode().SetSliceIntersectionThickness(2)
    node.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
    return node


def _ensureSegment(node: Any, segment: Any) -> None:
    segmentation = node.GetSegmentation()
    if segmentation.GetSegment(segment.name) is None:
        segmentation.AddEmptySegment(segment.name, segment.name, segment.color)
        segmentation.GetSegment(segment.name).SetTag("TerminologyEntry", segment.terminology)


def _reviewAttributes(node: Any) -> dict[str, str]:
    """The attributes of a segmentation that hold its review, to be given back after it was computed again."""
    own = {name: node.GetAttribute(name) for name in (ATTRIBUTE, ANSWERS)}
    return review.reviewAttributes(node) | {name: text for name, text in own.items() if text is not None}


def _readableReview(node: Any) -> list[SegmentationReview]:
    """The review of a node; a damaged one is dropped, since the segmentation is made anew."""
    try:
        return readReview(node)
    except InputError:
        for name in _reviewAttributes(node):
            node.RemoveAttribute(name)
        return []
