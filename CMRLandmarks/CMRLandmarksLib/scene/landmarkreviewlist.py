"""The review list of landmarks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slicer.i18n import tr as _

from CMRLib.anatomy.axis import LEVELS
from CMRLib.review import SliceReview, Status
from CMRLib.scene import aha, display, landmarks
from CMRLib.scene.landmarkreview import LandmarkReview, readReview
from CMRLib.scene.reviewlist import ReviewList
from CMRLib.scene.volumes import numberOfSlices

LEVEL_CHOICES = {"Automatic": "", "Basal": "basal", "Mid": "mid", "Apical": "apical", "Left out": aha.LEFT_OUT}


class LandmarkReviewList(ReviewList):
    """Lists the slices of the panel's images with their landmarks, and changes them.

    The panel has ``landmarksNode`` and ``levels``, and is told by ``pointsChanged`` that landmarks were moved here, in
    ``writing``, where moving points is not taken for the analyst's hand.
    """

    extraTitle = "Level"

    def __init__(self, panel: Any, place: Any) -> None:
        ReviewList.__init__(self, panel, place)
        box = panel.ui.levelComboBox
        for text in LEVEL_CHOICES:
            box.addItem(_(text))
        box.connect("currentIndexChanged(int)", self.onLevelChosen)
        panel.ui.placeButton.connect("clicked(bool)", self.onPlaceButton)

    @property
    def _volume(self) -> Any:
        return self.panel.parameterNode.inputVolume

    def node(self) -> Any:
        """The landmarks of the selected images, or None."""
        return self.panel.landmarksNode()

    def entries(self) -> Sequence[LandmarkReview]:
        """The review of every slice."""
        return readReview(self.node())

    def hasAnswer(self, entry: SliceReview) -> bool:
        """Whether the model saw landmarks in the slice."""
        return isinstance(entry, LandmarkReview) and entry.hasModelAnswer

    def goTo(self, index: int) -> None:
        """Go to a slice in every slice view that shows the images."""
        display.goToSlice(self._volume, index)

    def judge(self, slices: list[int], verdict: Status) -> None:
        """Accept or reject the landmarks of slices where they are."""
        landmarks.judge(self.node(), self._volume, slices, verdict, self.reviewer)
        self.panel.pointsChanged()

    def reset(self, slices: list[int]) -> None:
        """Put the landmarks of slices back to where the model saw them."""
        with self.panel.writing():
            landmarks.reset(self.node(), self._volume, slices, self.reviewer)
        self.panel.pointsChanged()

    def setComment(self, index: int, text: str) -> None:
        """Keep a comment on a slice."""
        landmarks.comment(self.node(), index, text)

    def extraText(self, entry: SliceReview) -> str:
        """The level that the slice is taken for."""
        if isinstance(entry, LandmarkReview) and entry.level == aha.LEFT_OUT:
            return _("left out")
        return _(self.panel.levels().get(entry.slice, "–"))

    def remark(self, entry: SliceReview) -> str:
        """Why a slice is to be looked at, and whether its level was chosen."""
        isChosen = isinstance(entry, LandmarkReview) and entry.level in LEVELS
        remarks = [ReviewList.remark(self, entry), _("level chosen by hand") if isChosen else ""]
        return "; ".join(text for text in remarks if text)

    def selectionChanged(self, entry: SliceReview | None) -> None:
        """Offer what can be done by hand with the slice."""
        parameters = self.panel.parameterNode
        hasVolume = parameters is not None and parameters.inputVolume is not None
        isIncomplete = entry is not None and None in landmarks.slicePoints(self.node(), self._volume)[entry.slice]
        self.panel.ui.placeButton.enabled = hasVolume and (self.node() is None or isIncomplete)
        box = self.panel.ui.levelComboBox
        box.enabled = entry is not None
        level = entry.level if isinstance(entry, LandmarkReview) else ""
        wasBlocked = box.blockSignals(True)
        box.currentIndex = list(LEVEL_CHOICES.values()).index(level)
        box.blockSignals(wasBlocked)

    def onLevelChosen(self, choice: int) -> None:
        """Take the selected slice for another level."""
        index = self.selectedSlice()
        if self.node() is None or index is None:
            return
        landmarks.setLevel(self.node(), index, list(LEVEL_CHOICES.values())[choice])
        self.panel.segments.update()

    def onPlaceButton(self) -> None:
        """Place what the selected slice lacks of landmarks; without any landmarks yet, those of the middle slice."""
        if self.panel.parameterNode is None:
            return
        volume = self._volume
        with self.panel.writing():
            node = landmarks.createByHand(volume)
            index = self.selectedSlice()
            if index is None:
                display.showInSliceViews(volume)
                index = numberOfSlices(volume) // 2
            landmarks.placeByHand(node, volume, index, self.reviewer)
        self.panel.followNodes()
        self.panel.pointsChanged()
        self.fill()
        self.selectSlice(index)
