"""The table of inversion times in the panel: shown, typed in, and gone back to."""

from __future__ import annotations

import math
from typing import Any

import qt
from slicer.i18n import tr as _

from CMRLib.scene import acquisitions


class TimesTable:
    """The inversion times of the panel's input, one cell for each image.

    Attributes:
        problem: why the times in the table cannot be used, in a sentence; empty when they can.
    """

    def __init__(self, panel: Any) -> None:
        """Fill and read ``inversionTimesTable`` of the panel, whose parameter ``inputNode`` has the times."""
        self._panel = panel
        self._table = panel.ui.inversionTimesTable
        self.problem = ""
        self._table.horizontalHeader().setSectionResizeMode(qt.QHeaderView.Stretch)
        self._table.connect("itemChanged(QTableWidgetItem*)", self.onTimeEdited)
        panel.ui.restoreTimesButton.connect("clicked(bool)", self.onRestoreTimesButton)

    def fill(self) -> None:
        """Show the inversion times of the input; cells stay empty where they are not known."""
        node = self._panel.parameterNode.inputNode
        frames = 0 if node is None else acquisitions.numberOfFrames(node)
        times = None if node is None else acquisitions.inversionTimes(node)
        wasBlocked = self._table.blockSignals(True)
        self._table.setColumnCount(frames)
        self._table.setRowCount(1)
        for frame in range(frames):
            self._table.setHorizontalHeaderItem(frame, qt.QTableWidgetItem(str(frame + 1)))
            self._table.setItem(0, frame, qt.QTableWidgetItem("" if times is None else f"{times[frame]:g}"))
        self._table.blockSignals(wasBlocked)
        self._read()

    def _read(self) -> list[float] | None:
        """The inversion times in the table, or None and a reason in ``problem``."""
        self.problem = ""
        times = []
        for frame in range(self._table.columnCount):
            text = self._table.item(0, frame).text().strip()
            time = _numberIn(text)
            if time is None:
                self.problem = (
                    _("{text} is not an inversion time; enter milliseconds for image {image}.")
                    if text
                    else _("Enter the inversion time of image {image} in milliseconds.")
                ).format(text=text, image=frame + 1)
                return None
            times.append(time)
        return times

    def onTimeEdited(self, item: Any) -> None:
        """Keep inversion times that were typed in with the images."""
        parameters = self._panel.parameterNode
        if parameters is None or parameters.inputNode is None:
            return  # the cell was still being edited when the module was left or the scene closed
        times = self._read()
        if times is not None:
            acquisitions.setInversionTimes(parameters.inputNode, times)
        self._panel.updateButtons()

    def onRestoreTimesButton(self) -> None:
        """Go back to the inversion times that the images came with."""
        node = self._panel.parameterNode.inputNode
        if node is not None:
            acquisitions.setInversionTimes(node, None)
            self.fill()
            self._panel.updateButtons()


def _numberIn(text: str) -> float | None:
    """The finite number that was typed, with a decimal point or comma; None if it is none."""
    try:
        number = float(text.replace(",", "."))
    except ValueError:
        return None
    return number if math.isfinite(number) else None
