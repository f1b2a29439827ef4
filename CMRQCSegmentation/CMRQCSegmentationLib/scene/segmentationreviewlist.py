"""The review list of a segmentation, and the other candidates of the selected slice."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

from CMRLib.review import SliceReview, Status
from CMRLib.scene import display
from CMRLib.scene.review import readHistory
from CMRLib.scene.reviewlist import ReviewList
from CMRQCSegmentationLib.scene import candidatepreview, segmentations
from CMRQCSegmentationLib.scene.segmentationreview import SegmentationReview, readAnswer, readReview


class SegmentationReviewList(ReviewList):
    """Lists the slices of the panel's images with their segmentation, and changes them.

    The panel has ``segmentationNode``, and ``editor``, the embedded Segment Editor.
    """

    confidenceTitle = "Predicted Dice"

    def __init__(self, panel: Any, place: Any) -> None:
        self._notes: dict[int, str] = {}
        self._offered: tuple[Any, ...] = ()
        self._names: list[str] = []
        self._isWriting = False
        self._isWaiting = False
        ReviewList.__init__(self, panel, place)
        panel.ui.candidateComboBox.connect("currentIndexChanged(int)", self.onCandidateChosen)
        panel.ui.takeButton.connect("clicked(bool)", self.onTakeButton)

    @property
    def _volume(self) -> Any:
        return self.panel.parameterNode.inputVolume

    # What the list is of

    def node(self) -> Any:
        """The segmentation of the selected images, or None."""
        return self.panel.segmentationNode()

    def entries(self) -> Sequence[SegmentationReview]:
        """The review of every slice."""
        return readReview(self.node())

    def hasAnswer(self, entry: SliceReview) -> bool:
        """Whether the model gave an answer, which may be that there is no heart."""
        return isinstance(entry, SegmentationReview) and bool(entry.model)

    def goTo(self, index: int) -> None:
        """Go to a slice in every slice view that shows the images, ready to be corrected."""
        display.goToSlice(self._volume, index)
        self.panel.editor.show(self.node(), self._volume)

    def judge(self, slices: list[int], verdict: Status) -> None:
        """Accept or reject what slices show."""
        self.notice()
        entries = self.entries()
        changesPixels = verdict is Status.REJECTED or any(entries[i].status is Status.REJECTED for i in slices)
        with self.writing(canUndo=changesPixels):
            segmentations.judge(self.node(), self._volume, slices, verdict, self.reviewer)

    def reset(self, slices: list[int]) -> None:
        """Go back to the model's answer in slices."""
        self.notice()
        with self.writing():
            segmentations.reset(self.node(), self._volume, slices, self.reviewer)

    def setComment(self, index: int, text: str) -> None:
        """Keep a comment on a slice."""
        segmentations.comment(self.node(), index, text)

    # What the list says

    def fill(self) -> None:
        """List every slice, those to be looked at first."""
        self._offered = ()
        ReviewList.fill(self)

    def update(self) -> None:
        """Bring the rows in line with the slices."""
        node = self.node()
        self._notes = {} if node is None else {change.slice: change.note for change in readHistory(node)}
        ReviewList.update(self)

    def confidenceText(self, entry: SliceReview) -> str:
        """The predicted Dice of the model's answer."""
        return "–" if entry.confidence is None else f"{entry.confidence:.2f}"

    def hint(self, entry: SliceReview) -> str:
        """How good the model's answer is at least."""
        if not isinstance(entry, SegmentationReview) or entry.lowerBound is None:
            return ""
        return _("The Dice of the model's answer is at least {bound} with 90 % certainty.").format(
            bound=f"{entry.lowerBound:.2f}"
        )

    def remark(self, entry: SliceReview) -> str:
        """Why a slice is to be looked at, or how far the analyst's answer is from the model's."""
        isChanged = entry.status in (Status.CORRECTED, Status.ACCEPTED)
        return self._notes.get(entry.slice, "") if isChanged else ReviewList.remark(self, entry)

    # Candidates

    def selectionChanged(self, entry: SliceReview | None) -> None:
        """Offer the candidates of the slice."""
        key = () if entry is None else (self.node(), entry.slice, getattr(entry, "model", ""))
        if key != self._offered or entry is None:
            self._offered = key
            self._offer(entry)
        self._updateTakeButton()

    def _offer(self, entry: SliceReview | None) -> None:
        candidatepreview.removeCandidate()
        hasAnswer = entry is not None and self.hasAnswer(entry)
        answer = readAnswer(self.node(), entry.slice) if entry is not None and hasAnswer else None
        ordered = [] if answer is None else answer.best_first()
        self._names = [name for name, _dice in ordered]
        box = self.panel.ui.candidateComboBox
        wasBlocked = box.blockSignals(True)
        box.clear()
        box.addItem(_("none shown") if ordered else _("none"))
        for name, dice in ordered:
            isChosen = answer is not None and name == answer.chosen
            box.addItem(f"{name}: {dice:.2f}" + (_(" (the model's answer)") if isChosen else ""))
        box.blockSignals(wasBlocked)
        box.enabled = bool(ordered)

    def _candidate(self) -> str:
        """Name of the candidate that is chosen in the box, or ""."""
        place = self.panel.ui.candidateComboBox.currentIndex - 1
        return self._names[place] if 0 <= place < len(self._names) else ""

    def _updateTakeButton(self) -> None:
        self.panel.ui.takeButton.enabled = bool(self._candidate()) and self.selectedSlice() is not None

    def onCandidateChosen(self, _index: int) -> None:
        """Show the candidate in its slice, as outlines of another color."""
        index, name = self.selectedSlice(), self._candidate()
        if name and index is not None and self.node() is not None:
            candidatepreview.showCandidate(self.node(), index, name)
        else:
            candidatepreview.removeCandidate()
        self._updateTakeButton()

    def onTakeButton(self) -> None:
        """Take the candidate that is shown for the answer of its slice."""
        index, name = self.selectedSlice(), self._candidate()
        if not name or index is None or self.node() is None:
            return
        self.notice()
        with self.writing():
            segmentations.take(self.node(), self._volume, index, name, self.reviewer)
        self.panel.ui.candidateComboBox.currentIndex = 0
        self.fill()

    # Edits

    def watched(self) -> list[tuple[Any, Any, Callable[..., None]]]:
        """Whatever is drawn into the segmentation."""
        node = self.node()
        if node is None:
            return []
        segmentation = node.GetSegmentation()
        events = (segmentation.SourceRepresentationModified, segmentation.SegmentModified, segmentation.SegmentRemoved)
        return [(segmentation, event, self.onSegmentsModified) for event in events]

    @contextlib.contextmanager
    def writing(self, canUndo: bool = True) -> Iterator[None]:
        """What changes now is no drawing of the analyst's.

        Args:
            canUndo: the editor's Undo brings back what was shown before.
        """
        if canUndo:
            self.saveState()
        self._isWriting = True
        try:
            yield
        finally:
            self._isWriting = False

    def saveState(self) -> None:
        """Let the editor's Undo bring back what is shown now."""
        self.panel.editor.show(self.node(), self._volume)
        self.panel.editor.saveState()

    def onSegmentsModified(self, caller: Any, event: Any) -> None:
        """The analyst draws: look at it once all segments have been changed, as Undo changes one after the other."""
        if self._isWriting or self._isWaiting:
            return
        self._isWaiting = True
        qt.QTimer.singleShot(0, self.notice)

    def notice(self) -> None:
        """Bring the statuses in line with what was drawn."""
        self._isWaiting = False
        if self.panel.parameterNode is None or self.node() is None or self._isWriting:
            return
        if segmentations.noticeEdits(self.node(), self._volume, self.reviewer):
            self.updateButtons()
        self.update()
