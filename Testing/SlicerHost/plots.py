"""Plot and table views of the layout."""

from __future__ import annotations

import sys

import slicer
import vtk
from PySide6 import QtWidgets

from .qmrml_widgets import qMRMLTableView, qMRMLWidget
from .stand_ins import stand_in
from .views import RenderedWidget

_MARKERS = {
    "MarkerStyleNone": vtk.vtkPlotPoints.NONE,
    "MarkerStyleCross": vtk.vtkPlotPoints.CROSS,
    "MarkerStylePlus": vtk.vtkPlotPoints.PLUS,
    "MarkerStyleSquare": vtk.vtkPlotPoints.SQUARE,
    "MarkerStyleCircle": vtk.vtkPlotPoints.CIRCLE,
    "MarkerStyleDiamond": vtk.vtkPlotPoints.DIAMOND,
}


_LINES = ("Line", "Scatter")  # types of plot that a real Slicer draws as lines, visible or not


class ChartError(RuntimeError):
    """What a real plot view logs as an error."""


@stand_in
class qMRMLPlotView(RenderedWidget):
    """Draws the chart node of a plot view node with the points and lines of its series."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self._scene, self._node, self._observations, self._seen = None, None, [], {}
        self._context = vtk.vtkContextView()
        self._context.GetRenderWindow().SetOffScreenRendering(1)
        self._context.GetRenderer().SetBackground(1, 1, 1)
        self._chart = vtk.vtkChartXY()
        self._context.GetScene().AddItem(self._chart)
        self.destroyed.connect(lambda: self._forget())

    def renderWindow(self):
        return self._context.GetRenderWindow()

    def chart(self):
        return self._chart

    def mrmlScene(self):
        return self._scene

    def setMRMLScene(self, scene):
        self._scene = scene
        self.fire("mrmlSceneChanged(vtkMRMLScene*)", scene)

    def mrmlPlotViewNode(self):
        return self._node

    def setMRMLPlotViewNode(self, node):
        self._node = node
        self._rebuild()

    def fitToContent(self):
        self._chart.RecalculateBounds()

    def _unobserve(self, *_):
        for observed, tag in self._observations:
            observed.RemoveObserver(tag)
        self._observations = []

    def _forget(self, *_):
        self._unobserve()
        for series, tag in self._seen.items():
            series.RemoveObserver(tag)

    def _see(self, series, _event):
        """A series that was shown once is looked at again as soon as it has another table, finished or not."""
        if series.GetTableNode() is not None:
            self._check(series)

    def _rebuild(self, *_):
        self._unobserve()
        chart_node = self._node.GetPlotChartNode() if self._node else None
        series = (
            [chart_node.GetNthPlotSeriesNode(i) for i in range(chart_node.GetNumberOfPlotSeriesNodes())]
            if chart_node
            else []
        )
        tables = [s.GetTableNode() for s in series if s.GetTableNode()]
        watched = [n for n in (self._node, chart_node, *series, *tables) if n]
        self._observations = [(n, n.AddObserver(vtk.vtkCommand.ModifiedEvent, self._rebuild)) for n in watched]
        for node in series:
            if node not in self._seen:
                self._seen[node] = node.AddObserver(slicer.vtkMRMLNode.ReferenceAddedEvent, self._see)
        self._chart.ClearPlots()
        for node in series:
            self._add(node)
        if chart_node:
            self._chart.SetTitle(chart_node.GetTitle() if chart_node.GetTitleVisibility() else "")
            self._chart.SetShowLegend(chart_node.GetLegendVisibility())
            self._show_axis(
                vtk.vtkAxis.BOTTOM,
                chart_node.GetXAxisTitle(),
                chart_node.GetXAxisRangeAuto(),
                chart_node.GetXAxisRange(),
            )
            self._show_axis(
                vtk.vtkAxis.LEFT, chart_node.GetYAxisTitle(), chart_node.GetYAxisRangeAuto(), chart_node.GetYAxisRange()
            )
        self._chart.RecalculateBounds()
        self.update()

    def _show_axis(self, which, title, automatic, extent):
        axis = self._chart.GetAxis(which)
        axis.SetTitle(title or "")
        axis.SetBehavior(vtk.vtkAxis.AUTO if automatic else vtk.vtkAxis.FIXED)
        if not automatic:
            axis.SetRange(*extent)

    def _add(self, node):
        table = node.GetTableNode().GetTable() if node.GetTableNode() else None
        columns = [node.GetXColumnName(), node.GetYColumnName()]
        self._check(node)
        if table is None or not all(name and table.GetColumnByName(name) for name in columns):
            return
        lines = node.GetLineStyle() != slicer.vtkMRMLPlotSeriesNode.LineStyleNone
        plot = self._chart.AddPlot(vtk.vtkChart.LINE if lines else vtk.vtkChart.POINTS)
        plot.SetInputData(table, *columns)
        plot.SetLabel(node.GetName())
        plot.SetColorF(*node.GetColor())
        plot.SetWidth(node.GetLineWidth() if lines else 1)
        name = node.GetMarkerStyleAsString(node.GetMarkerStyle())
        plot.SetMarkerStyle(_MARKERS.get(f"MarkerStyle{name.title()}", vtk.vtkPlotPoints.CIRCLE))
        plot.SetMarkerSize(node.GetMarkerSize())

    @staticmethod
    def _check(series):
        text, table = "", series.GetTableNode()
        if series.GetPlotTypeAsString(series.GetPlotType()) not in _LINES:
            return
        if not series.GetXColumnName():
            text = f"No X column is set for {series.GetName()}"
        elif table is not None and table.GetNumberOfRows() == 1:
            text = f"Attempted to paint a line with <2 points: {series.GetName()}"
        if text:
            error = ChartError(text)
            sys.excepthook(type(error), error, None)


@stand_in
class qMRMLPlotWidget(qMRMLWidget):
    """A plot view in the layout."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self._view = qMRMLPlotView(self)
        QtWidgets.QVBoxLayout(self).addWidget(self._view)

    def plotView(self):
        return self._view

    viewWidget = plotView

    def mrmlPlotViewNode(self):
        return self._view.mrmlPlotViewNode()

    mrmlAbstractViewNode = mrmlPlotViewNode

    def setMRMLPlotViewNode(self, node):
        self._view.setMRMLPlotViewNode(node)

    setMRMLAbstractViewNode = setMRMLPlotViewNode

    def setMRMLScene(self, scene):
        super().setMRMLScene(scene)
        self._view.setMRMLScene(scene)


@stand_in
class qMRMLTableWidget(qMRMLWidget):
    """A table view in the layout: the table that its view node names."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self._view = qMRMLTableView(self)
        self._node, self._tag = None, None
        QtWidgets.QVBoxLayout(self).addWidget(self._view)

    def tableView(self):
        return self._view

    viewWidget = tableView

    def mrmlTableViewNode(self):
        return self._node

    mrmlAbstractViewNode = mrmlTableViewNode

    def setMRMLTableViewNode(self, node):
        if self._node is not None:
            self._node.RemoveObserver(self._tag)
        self._node = node
        if node is not None:
            self._tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._show)
            self._show()

    setMRMLAbstractViewNode = setMRMLTableViewNode

    def _show(self, *_):
        self._view.setMRMLTableNode(self._node.GetTableNode())
