"""The table of a panel that says which stress slice each rest slice is compared with, and how well the two lie."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

from CMRLib.errors import InputError
from CMRStressReactivityLib.matching import Matching, match_slices
from CMRStressReactivityLib.scene.reactivitynodes import sliceEntries
from CMRStressReactivityLib.scene.t1volumes import Slot, slotsOf, volumesOf, worldGeometry

NONE = "–"
FLAGGED_COLOR = "#ffc266"
PARTNER_COLUMN = 1


class MatchTable:
    """Fills ``matchTable`` of the panel, and keeps the partners that were chosen in its parameter ``partners``.

    Attributes:
        problem: why the slices cannot be matched, in a sentence; empty when they can.
    """

    def __init__(self, panel: Any) -> None:
        self._panel = panel
        self._table = panel.ui.matchTable
        self._rest: list[Slot] = []
        self._stress: list[Slot] = []
        self._automatic: list[int | None] = []
        self.problem = ""
        titles = [
            *(_("At rest"), _("Under stress"), _("dT1 [%]"), _("Dice before"), _("Dice after"), _("Apart [mm]")),
            _("Doubts"),
        ]
        self._table.setColumnCount(len(titles))
        self._table.setHorizontalHeaderLabels(titles)
        self._table.horizontalHeader().setStretchLastSection(True)
        self._table.connect("itemSelectionChanged()", self.onSliceSelected)
        panel.ui.matchAgainButton.connect("clicked(bool)", self.onMatchAgainButton)

    def volumes(self) -> tuple[list[Any], list[Any]]:
        """The volumes of both states that the panel's parameters select."""
        parameters = self._panel.parameterNode
        return (
            volumesOf(parameters.restVolume, parameters.otherSlices),
            volumesOf(parameters.stressVolume, parameters.otherSlices),
        )

    def partners(self) -> list[int | None] | None:
        """Number of the stress slice of each rest slice as somebody chose it; None where nobody did."""
        chosen = _partnersIn(self._panel.parameterNode.partners)
        isOfThese = chosen is not None and len(chosen) == len(self._rest)
        inRange = chosen is not None and all(one is None or one < len(self._stress) for one in chosen)
        return chosen if isOfThese and inRange else None

    def fill(self) -> None:
        """List the slices at rest, their partners, and what is known of how well they lie on each other."""
        rest, stress = self.volumes()
        self._rest, self._stress = slotsOf(rest), slotsOf(stress)
        self._automatic, self.problem, told = _matched(self._rest, self._stress)
        chosen = self.partners()
        if chosen is not None:
            self.problem = ""
        shown = chosen if chosen is not None else self._automatic
        wasBlocked = self._table.blockSignals(True)
        self._table.setRowCount(len(self._rest))
        known = {volume: {entry["index"]: entry for entry in sliceEntries(volume)} for volume in rest}
        for row, slot in enumerate(self._rest):
            self._fillRow(row, slot, shown[row], known[slot.volume].get(slot.index))
        self._table.resizeColumnsToContents()
        self._table.blockSignals(wasBlocked)
        self._panel.ui.matchAgainButton.enabled = chosen is not None
        self._panel.ui.matchLabel.text = self.problem or ("" if chosen is not None else told)

    def _fillRow(self, row: int, slot: Slot, partner: int | None, entry: Mapping[str, Any] | None) -> None:
        name = None if partner is None else self._stress[partner].name
        if entry is not None and entry["stress"] != name:
            entry = None  # of a partner before
        texts = [slot.name, "", *_texts(entry)]
        for column, text in enumerate(texts):
            item = qt.QTableWidgetItem(text)
            if entry is not None and entry["flagged"]:
                item.setBackground(qt.QBrush(qt.QColor(FLAGGED_COLOR)))
                item.setForeground(qt.QBrush(qt.QColor("#000000")))
            item.setToolTip(entry["reason"] if entry is not None and entry["flagged"] else text)
            self._table.setItem(row, column, item)
        box = qt.QComboBox()
        box.addItem(NONE)
        for other in self._stress:
            box.addItem(other.name)
        box.currentIndex = 0 if partner is None else partner + 1
        box.toolTip = _("The slice under stress that this one is compared with.")
        box.connect("currentIndexChanged(int)", functools.partial(self.onPartnerChosen, row))
        self._table.setCellWidget(row, PARTNER_COLUMN, box)

    def onPartnerChosen(self, row: int, index: int) -> None:
        """Another stress slice was chosen for a rest slice."""
        parameters = self._panel.parameterNode
        if parameters is None or not 0 <= row < len(self._rest):
            return
        partners = list(self.partners() or self._automatic)
        partners[row] = index - 1 if index > 0 else None
        parameters.partners = " ".join(NONE if one is None else str(one) for one in partners)

    def onMatchAgainButton(self) -> None:
        """Go back to the match by place."""
        self._panel.parameterNode.partners = ""

    def onSliceSelected(self) -> None:
        """Show the selected slice in the views."""
        row = self._table.currentRow()
        if 0 <= row < len(self._rest):
            self._panel.goTo(self._rest[row])

    def selectSlice(self, volume: Any, index: int) -> None:
        """Select the row of a slice, if it is listed."""
        for row, slot in enumerate(self._rest):
            if slot.volume is volume and slot.index == index:
                self._table.setCurrentCell(row, 0)


def _partnersIn(text: str) -> list[int | None] | None:
    """Partners as the parameter has them: numbers, or a dash for none; None where it has none."""
    words = text.split()
    if not words or not all(word == NONE or word.isdigit() for word in words):
        return None
    return [None if word == NONE else int(word) for word in words]


def _matched(rest: Sequence[Slot], stress: Sequence[Slot]) -> tuple[list[int | None], str, str]:
    """The stress slice of every rest slice by their place; why there is none; and which slices have no partner."""
    nobody: list[int | None] = [None] * len(rest)
    if not rest or not stress:
        return nobody, "", ""
    try:
        matching = _matching(rest, stress)
    except InputError as error:
        return nobody, str(error), ""
    partners = dict.fromkeys(range(len(rest)), None) | {match.rest: match.stress for match in matching.matches}
    told = [*matching.left_out, *(match.doubt for match in matching.matches if match.doubt)]
    return [partners[number] for number in range(len(rest))], "", " ".join(told)


def _matching(rest: Sequence[Slot], stress: Sequence[Slot]) -> Matching:
    geometries, shapes = [], []
    for slots in (rest, stress):
        whole = {slot.volume: worldGeometry(slot.volume) for slot in slots}
        geometries.append([whole[slot.volume].at_slice(slot.index) for slot in slots])
        sizes = [slot.volume.GetImageData().GetDimensions() for slot in slots]
        shapes.append([(size[1], size[0]) for size in sizes])
    names = [slot.name for slot in rest], [slot.name for slot in stress]
    return match_slices(geometries[0], geometries[1], shapes[0], shapes[1], names)


def _texts(entry: Mapping[str, Any] | None) -> list[str]:
    """Cells of a compared slice: dT1, Dice before and after, distance, and why it should be looked at."""
    if entry is None:
        return ["", "", "", "", ""]
    change = _number(entry["dt1_percent"], "{:.1f}")
    if entry["dt1_error"] is not None:
        change += f" ± {entry['dt1_error']:.1f}"
    overlaps = [_number(entry[name], "{:.2f}") for name in ("dice_before", "dice_after")]
    return [change, *overlaps, _number(entry["apart_mm"], "{:.1f}"), entry["reason"] if entry["flagged"] else ""]


def _number(value: float | None, form: str) -> str:
    return NONE if value is None else form.format(value)
