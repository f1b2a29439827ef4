"""The curve of the pixel under the cursor, in the panel."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from CMRLib.errors import CMRError
from CMRT1MappingLib.scene import plots, t1reconstruction
from CMRT1MappingLib.scene.t1texts import curveText


class CurveProbe:
    """Follows the cursor over the panel's input and draws the samples and the fitted curve of its pixel."""

    def __init__(self, panel: Any) -> None:
        """Draw into ``curvePlotWidget`` and write into ``curveLabel`` of the panel."""
        self._panel = panel
        self._crosshair: Any = None
        self._view: Any = None
        self._pixel: tuple[str, int, int] | None = None

    def follow(self, isWanted: bool) -> None:
        """Follow the cursor, or stop; the plot is there while it is followed."""
        self._observe(isWanted)
        self._panel.ui.curvePlotWidget.visible = isWanted
        self._panel.ui.curveLabel.visible = isWanted

    def forgetPixel(self) -> None:
        """Draw the next pixel even if it is the one before: its samples or its fit are others."""
        self._pixel = None

    def forgetScene(self) -> None:
        """Let go of the scene's nodes."""
        self._observe(False)
        self._pixel = None
        self._panel.ui.curveLabel.text = ""
        if self._view is not None:
            self._view.setMRMLPlotViewNode(None)

    def _observe(self, isWanted: bool) -> None:
        event = slicer.vtkMRMLCrosshairNode.CursorPositionModifiedEvent
        if self._crosshair is not None and self._panel.hasObserver(self._crosshair, event, self.onCursorMoved):
            if isWanted:
                return
            self._panel.removeObserver(self._crosshair, event, self.onCursorMoved)
        self._crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode") if isWanted else None
        if self._crosshair is not None:
            self._panel.addObserver(self._crosshair, event, self.onCursorMoved)
            self._panel.ui.curveLabel.text = _("Move the mouse over the image in a slice view.")

    def onCursorMoved(self, caller: Any, event: Any) -> None:
        """Draw the curve of the pixel under the cursor."""
        parameters = self._panel.parameterNode
        node = None if parameters is None else parameters.inputNode
        position = [0.0, 0.0, 0.0]
        if node is None or self._panel.isRunning or not caller.GetCursorPositionRAS(position):
            return
        pixel = t1reconstruction.pixelAt(node, position)
        if pixel is None or (node.GetID(), *pixel) == self._pixel:
            return
        self._pixel = (node.GetID(), *pixel)
        try:
            curve = t1reconstruction.pixelCurve(
                node, *pixel, parameters.phaseNode, parameters.scheme, parameters.lastTest
            )
        except CMRError as error:
            self._panel.ui.curveLabel.text = str(error)
            return
        self._showChart(plots.showCurve(curve))
        self._panel.ui.curveLabel.text = curveText(curve, *pixel)

    def _showChart(self, chart: Any) -> None:
        if self._view is None:
            self._view = slicer.qMRMLPlotView()
            self._view.setMRMLScene(slicer.mrmlScene)
            self._panel.ui.curvePlotWidget.layout().addWidget(self._view)
        view = plots.curveViewNode(self._panel.parameterNode.parameterNode)
        self._view.setMRMLPlotViewNode(view)
        view.SetPlotChartNodeID(chart.GetID())
