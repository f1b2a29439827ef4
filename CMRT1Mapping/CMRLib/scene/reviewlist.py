"""The review list of a panel: a result's slices, those to be looked at first, and what the analyst says of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from CMRLib.errors import OutputError
from CMRLib.files.atomic import write_text
from CMRLib.review import SliceReview, Status, history_to_csv, review_order
from CMRLib.scene.part import Part
from CMRLib.scene.review import readHistory

NEXT_KEY, PREVIOUS_KEY = "N", "P"
REVIEWER_SETTING = "CMRMapping/Reviewer"

# Status -> color behind its text, which is black.
STATUS_COLORS = {
    Status.AUTO: "#dfe7ef",
    Status.FLAGGED: "#ffc266",
    Status.CORRECTED: "#9fd0ff",
    Status.ACCEPTED: "#a8e0a0",
    Status.REJECTED: "#f0a0a0",
    Status.MISSING: "#d0d0d0",
}
# Confidence -> color: from red at 0 over yellow to green at 1.
_LOW, _MIDDLE, _HIGH = (0.90, 0.45, 0.40), (0.98, 0.90, 0.50), (0.55, 0.85, 0.50)


class ReviewList(Part):
    """Lists the slices of a result and lets the analyst go through them.

    A module says what its result is by overriding the methods that raise here; where a text of a slice besides its
    confidence, status, remark and comment is to be listed, `extraTitle` and `extraText` give it.
    """

    confidenceTitle = "Confidence"
    extraTitle = ""

    def __init__(self, panel: Any, place: Any) -> None:
        Part.__init__(self, panel, "ReviewList.ui", place)
        self._rows: list[int] = []
        titles = [_("Slice"), self.extraTitle, self.confidenceTitle, _("Status"), _("Remark"), _("Comment")]
        self._columns = [index for index, title in enumerate(titles) if title]
        self.ui.reviewTable.setColumnCount(len(self._columns))
        self.ui.reviewTable.setHorizontalHeaderLabels([titles[index] for index in self._columns])
        self.ui.reviewerLineEdit.text = str(qt.QSettings().value(REVIEWER_SETTING, "") or "")
        self._shortcuts = [self._shortcut(NEXT_KEY, self.onNext), self._shortcut(PREVIOUS_KEY, self.onPrevious)]

        self.ui.reviewTable.connect("itemSelectionChanged()", self.onSliceSelected)
        self.ui.nextButton.connect("clicked(bool)", self.onNext)
        self.ui.previousButton.connect("clicked(bool)", self.onPrevious)
        self.ui.acceptButton.connect("clicked(bool)", self.onAccept)
        self.ui.acceptAllButton.connect("clicked(bool)", self.onAcceptAll)
        self.ui.rejectButton.connect("clicked(bool)", self.onReject)
        self.ui.resetButton.connect("clicked(bool)", self.onReset)
        self.ui.resetAllButton.connect("clicked(bool)", self.onResetAll)
        self.ui.commentLineEdit.connect("editingFinished()", self.onCommentEdited)
        self.ui.reviewerLineEdit.connect("editingFinished()", self.onReviewerEdited)
        self.ui.saveHistoryButton.connect("clicked(bool)", self.onSaveHistory)

    # What a module says of its result

    def node(self) -> Any:
        """The result under review, or None."""
        raise NotImplementedError

    def entries(self) -> Sequence[SliceReview]:
        """The review of every slice of the result, in the order of slices."""
        raise NotImplementedError

    def hasAnswer(self, entry: SliceReview) -> bool:
        """Whether the model gave an answer to go back to."""
        raise NotImplementedError

    def goTo(self, index: int) -> None:
        """Show a slice in the views."""
        raise NotImplementedError

    def judge(self, slices: list[int], verdict: Status) -> None:
        """Accept or reject slices; those without a result stay as they are."""
        raise NotImplementedError

    def reset(self, slices: list[int]) -> None:
        """Go back to the model's answer in slices."""
        raise NotImplementedError

    def setComment(self, index: int, text: str) -> None:
        """Keep a comment on a slice."""
        raise NotImplementedError

    def extraText(self, entry: SliceReview) -> str:
        """What is listed of a slice under `extraTitle`."""
        return ""

    def confidenceText(self, entry: SliceReview) -> str:
        """The model's confidence as it is listed."""
        return "–" if entry.confidence is None else f"{100 * entry.confidence:.0f} %"

    def hint(self, entry: SliceReview) -> str:
        """What the tool tip of a slice's row says."""
        return ""

    def remark(self, entry: SliceReview) -> str:
        """What is to be known of a slice: why it is to be looked at."""
        return entry.reason if entry.needs_a_look else ""

    def selectionChanged(self, entry: SliceReview | None) -> None:
        """Called after another slice was selected, or its status changed."""

    # The list

    @property
    def reviewer(self) -> str:
        """The initials that were typed in."""
        return str(self.ui.reviewerLineEdit.text).strip()

    def selectedSlice(self) -> int | None:
        """The slice of the selected row, or None."""
        row = self.ui.reviewTable.currentRow()
        return self._rows[row] if 0 <= row < len(self._rows) else None

    def selectSlice(self, index: int) -> None:
        """Select the row of a slice, if it is listed."""
        if index in self._rows:
            self.ui.reviewTable.setCurrentCell(self._rows.index(index), 0)

    def selectFirst(self) -> None:
        """Select the first row, that of the slice which most needs a look."""
        if self._rows:
            self.ui.reviewTable.setCurrentCell(0, 0)

    def fill(self) -> None:
        """List every slice, those to be looked at first."""
        selected = self.selectedSlice()
        self._rows = [] if self.node() is None else review_order(self.entries())
        table = self.ui.reviewTable
        wasBlocked = table.blockSignals(True)
        table.setRowCount(len(self._rows))
        for row in range(len(self._rows)):
            for column in range(table.columnCount):
                table.setItem(row, column, qt.QTableWidgetItem(""))
        table.blockSignals(wasBlocked)
        self.update()
        if selected is not None:
            self.selectSlice(selected)
        self.updateButtons()

    def update(self) -> None:
        """Bring the rows in line with the slices, in the order that they have."""
        if self.node() is None:
            return
        entries = self.entries()
        for row, index in enumerate(self._rows):
            entry = entries[index]
            texts = [str(index), self.extraText(entry), self.confidenceText(entry), _(entry.status.value)]
            texts.append(self.remark(entry))
            texts.append(entry.comment)
            colors = {2: _confidenceColor(entry.confidence), 3: STATUS_COLORS[entry.status]}
            for column, which in enumerate(self._columns):
                item = self.ui.reviewTable.item(row, column)
                item.setText(texts[which])
                item.setToolTip(self.hint(entry))
                if colors.get(which):
                    item.setBackground(qt.QBrush(qt.QColor(colors[which])))
                    item.setForeground(qt.QBrush(qt.QColor("black")))
        self.ui.reviewTable.resizeColumnsToContents()

    def updateButtons(self) -> None:
        """Enable what can be done with the selected slice."""
        node, index = self.node(), self.selectedSlice()
        entry = None if node is None or index is None else self.entries()[index]
        status = Status.MISSING if entry is None else entry.status
        self.ui.acceptButton.enabled = status not in (Status.MISSING, Status.ACCEPTED)
        self.ui.rejectButton.enabled = status not in (Status.MISSING, Status.REJECTED)
        self.ui.resetButton.enabled = entry is not None and self.hasAnswer(entry)
        for name in ("acceptAllButton", "resetAllButton", "nextButton", "previousButton", "saveHistoryButton"):
            getattr(self.ui, name).enabled = node is not None
        self.ui.commentLineEdit.enabled = entry is not None
        if not self.ui.commentLineEdit.hasFocus():
            self.ui.commentLineEdit.text = "" if entry is None else entry.comment
        self.selectionChanged(entry)

    # What the analyst does

    def onSliceSelected(self) -> None:
        """Go to the slice of the selected row."""
        index = self.selectedSlice()
        self.updateButtons()
        if index is not None and self.node() is not None:
            self.goTo(index)

    def onNext(self) -> None:
        """Go to the next slice that is to be looked at, from the first again after the last."""
        self._step(1)

    def onPrevious(self) -> None:
        """Go to the slice before that is to be looked at, from the last again after the first."""
        self._step(-1)

    def _step(self, by: int) -> None:
        if self.node() is None:
            return
        entries, count = self.entries(), len(self._rows)
        row = self.ui.reviewTable.currentRow()
        start = row if row >= 0 else -1 if by > 0 else 0
        for steps in range(1, count + 1):
            candidate = (start + by * steps) % count
            if entries[self._rows[candidate]].needs_a_look:
                self.ui.reviewTable.setCurrentCell(candidate, 0)
                return

    def onAccept(self) -> None:
        """Accept the selected slice, and go on to the next that is to be looked at."""
        self._judge(Status.ACCEPTED)

    def onReject(self) -> None:
        """Reject the selected slice, and go on to the next that is to be looked at."""
        self._judge(Status.REJECTED)

    def _judge(self, verdict: Status) -> None:
        index = self.selectedSlice()
        if self.node() is None or index is None:
            return
        self.judge([index], verdict)
        self.fill()
        self.selectFirst()

    def onAcceptAll(self) -> None:
        """Accept every slice that has a result."""
        if self.node() is None:
            return
        self.judge([entry.slice for entry in self.entries() if entry.status is not Status.REJECTED], Status.ACCEPTED)
        self.fill()

    def onReset(self) -> None:
        """Go back to the model's answer in the selected slice."""
        index = self.selectedSlice()
        if self.node() is not None and index is not None:
            self.reset([index])
            self.fill()

    def onResetAll(self) -> None:
        """Go back to the model's answer in every slice that has one and a result."""
        if self.node() is None:
            return
        slices = [e.slice for e in self.entries() if self.hasAnswer(e) and e.status is not Status.MISSING]
        if slices:
            self.reset(slices)
            self.fill()

    def onCommentEdited(self) -> None:
        """Keep the comment on the selected slice."""
        index = self.selectedSlice()
        if self.node() is None or index is None:
            return
        text = str(self.ui.commentLineEdit.text).strip()
        if text != self.entries()[index].comment:
            self.setComment(index, text)
            self.update()

    def onReviewerEdited(self) -> None:
        """Remember the initials for the next time."""
        qt.QSettings().setValue(REVIEWER_SETTING, self.reviewer)

    def onSaveHistory(self) -> None:
        """Save the history of the review as a table."""
        node = self.node()
        path = self._askForFile() if node is not None else ""
        if not path or self.node() is not node:  # the scene may have been closed meanwhile
            return
        with slicer.util.tryWithErrorDisplay(_("The history could not be saved."), waitCursor=True):
            if Path(path).suffix.lower() != ".csv":
                raise OutputError(_("The history is saved as .csv; give the file such a name."))
            write_text(Path(path), history_to_csv(readHistory(node), {"result": node.GetName()}))
            self.panel.say(_("Saved {path}.").format(path=path))

    def _askForFile(self) -> str:
        return str(
            qt.QFileDialog.getSaveFileName(slicer.util.mainWindow(), _("Save history"), "review.csv", "CSV (*.csv)")
        )

    def _shortcut(self, key: str, method: Any) -> Any:
        shortcut = qt.QShortcut(qt.QKeySequence(key), self.ui.reviewTable)
        # Wherever the analyst last clicked, as long as the list can be seen.
        shortcut.setContext(qt.Qt.ApplicationShortcut)
        shortcut.connect("activated()", method)
        return shortcut


def _confidenceColor(confidence: float | None) -> str:
    """Color behind a confidence, as "#rrggbb"; empty for None."""
    if confidence is None:
        return ""
    share = min(max(confidence, 0.0), 1.0)
    low, high, part = (_LOW, _MIDDLE, 2 * share) if share < 0.5 else (_MIDDLE, _HIGH, 2 * share - 1)
    return "#" + "".join(f"{round(255 * (a + part * (b - a))):02x}" for a, b in zip(low, high, strict=True))
