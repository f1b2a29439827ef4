"""Statistics of T1 in regions that the analyst drew, in the panel."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from CMRLib.errors import CMRError
from CMRLib.scene.tables import STATISTICS_NAMES, STATISTICS_ROLE, measureRegions


class RegionStatistics:
    """Measures the panel's T1 map in its ``regionNode`` and shows its ``statisticsTable``."""

    def __init__(self, panel: Any) -> None:
        """Put a table view into ``statisticsWidget`` of the panel."""
        self._panel = panel
        self._view = slicer.qMRMLTableView()
        self._view.setMRMLScene(slicer.mrmlScene)
        self._view.minimumHeight = 120
        panel.ui.statisticsWidget.layout().addWidget(self._view)
        panel.ui.measureButton.connect("clicked(bool)", self.onMeasureButton)
        self.show(None)

    def show(self, table: Any) -> None:
        """Show a table, or none."""
        self._panel.ui.statisticsWidget.visible = table is not None
        if self._view.mrmlTableNode() is not table:
            self._view.setMRMLTableNode(table)

    def updateButton(self) -> None:
        """Enable the button where there is something to be measured, and say why where there is not."""
        reason = whyNotMeasure(self._panel.parameterNode)
        self._panel.ui.measureButton.enabled = not reason and not self._panel.isRunning
        self._panel.ui.measureButton.toolTip = reason or _(
            "Put mean, SD, median and range of T1 in each region into the table."
        )

    def onMeasureButton(self) -> None:
        """Measure T1 in the selected regions."""
        parameters = self._panel.parameterNode
        t1Map, region, table = parameters.t1Map, parameters.regionNode, parameters.statisticsTable
        mayOverwrite = self._panel.mayOverwrite(t1Map, {STATISTICS_ROLE: table}, STATISTICS_NAMES)
        if mayOverwrite is None:
            return
        with slicer.util.tryWithErrorDisplay(_("The regions could not be measured."), waitCursor=True):
            try:
                table = measureRegions(t1Map, region, table, mayOverwrite)
            except CMRError as error:
                self._panel.say(str(error))
                slicer.util.errorDisplay(str(error), windowTitle=self._panel.title)
            else:
                parameters.statisticsTable = table
                self._view.resizeColumnsToContents()
                self._panel.showResult()  # in place of the reason why an earlier measurement failed


def whyNotMeasure(parameters: Any) -> str:
    """Why T1 cannot be measured with these parameters, in a sentence; empty when it can."""
    if parameters.t1Map is None:
        return _("Compute a T1 map first, or select one under Outputs.")
    if parameters.regionNode is None:
        return _("Select a segmentation, an ROI or a closed curve.")
    return ""
