"""The curve of one pixel as plot nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
import vtk

if TYPE_CHECKING:
    from CMRT1MappingLib.fit.curve import PixelCurve

TIME = "Inversion time [ms]"
SIGNAL = "Signal"
_TAG = "CMRT1Curve"

FIT, USED, NOT_USED = "Fit", "Samples used", "Samples not used"
# The line and the two kinds of points as red, green, blue; a text that explains them can show the same colors.
SERIES_COLORS = {FIT: (217, 64, 26), USED: (0, 89, 178), NOT_USED: (153, 153, 153)}


def showCurve(curve: PixelCurve) -> Any:
    """Put the samples and the fitted curve of a pixel into the chart made for it; the chart node is returned.

    The chart and what it refers to are singletons of the scene: the next pixel takes the same nodes. They are passing
    views of the data, so they are neither listed nor saved.
    """
    points = {
        FIT: (curve.curve_times_ms, curve.curve_signal),
        USED: (curve.inversion_times_ms[curve.used], curve.signal[curve.used]),
        NOT_USED: (curve.inversion_times_ms[~curve.used], curve.signal[~curve.used]),
    }
    chart = _singleton("vtkMRMLPlotChartNode", "chart")
    wasModifying = chart.StartModify()
    chart.RemoveAllPlotSeriesNodeIDs()
    for name, (times, signal) in points.items():
        if len(times) > 0:
            chart.AddAndObservePlotSeriesNodeID(_series(name, times, signal).GetID())
    chart.SetTitleVisibility(False)
    chart.SetXAxisTitle(TIME)
    chart.SetYAxisTitle(SIGNAL)
    chart.SetAxisTitleFontSize(12)
    chart.SetAxisLabelFontSize(11)
    chart.SetLegendVisibility(False)  # it would hide the last samples
    chart.SetGridVisibility(True)
    chart.EndModify(wasModifying)
    return chart


def curveViewNode(owner: Any) -> Any:
    """The node of a plot view outside the main layout, as a plot widget in a panel needs; ``owner`` manages it."""
    view = slicer.mrmlScene.GetSingletonNode(f"{_TAG}-view", "vtkMRMLPlotViewNode")
    if view is None:
        view = slicer.mrmlScene.CreateNodeByClass("vtkMRMLPlotViewNode")
        view.UnRegister(None)
        view.SetSingletonTag(f"{_TAG}-view")
        view.SetName("CMR T1 curve view")
        view.SetLayoutName(f"{_TAG}-view")
        view.SetAndObserveParentLayoutNodeID(owner.GetID())  # before it is added: the layout leaves owned views alone
        view.SetSaveWithScene(False)
        view = slicer.mrmlScene.AddNode(view)
    elif view.GetParentLayoutNode() is not owner:  # closing the scene took the reference away
        view.SetAndObserveParentLayoutNodeID(owner.GetID())
    view.SetDoPropagatePlotChartSelection(False)  # a chart that is chosen for the layout's views is not for this one
    return view


def _series(name: str, times: np.ndarray, signal: np.ndarray) -> Any:
    if len(times) == 1:  # a chart draws no line, not even an invisible one, through one point
        times, signal = np.repeat(times, 2), np.repeat(signal, 2)
    table = _singleton("vtkMRMLTableNode", name)
    wasModifying = table.StartModify()
    table.RemoveAllColumns()
    for title, values in ((TIME, times), (SIGNAL, signal)):
        column = vtk.vtkDoubleArray()
        column.SetName(title)
        for value in values:
            column.InsertNextValue(float(value))
        table.AddColumn(column)
    table.EndModify(wasModifying)

    series = _singleton("vtkMRMLPlotSeriesNode", name)
    wasModifying = series.StartModify()
    series.SetName(name)
    # Columns come before what needs them: views see a new table at once, and closing the scene had reset the series.
    series.SetXColumnName(TIME)
    series.SetYColumnName(SIGNAL)
    series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
    series.SetAndObserveTableNodeID(table.GetID())
    series.SetColor(*(part / 255 for part in SERIES_COLORS[name]))
    if name == FIT:
        series.SetLineStyle(slicer.vtkMRMLPlotSeriesNode.LineStyleSolid)
        series.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleNone)
        series.SetLineWidth(2)
    else:
        series.SetLineStyle(slicer.vtkMRMLPlotSeriesNode.LineStyleNone)
        series.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleCircle)
        series.SetMarkerSize(9)
    series.EndModify(wasModifying)
    return series


def _singleton(className: str, name: str) -> Any:
    tag = f"{_TAG}-{name.replace(' ', '-')}"
    node = slicer.mrmlScene.GetSingletonNode(tag, className)
    if node is None:
        node = slicer.mrmlScene.CreateNodeByClass(className)
        node.UnRegister(None)
        node.SetSingletonTag(tag)
        node.SetName(f"CMR T1 curve {name.lower()}")
        node.SetHideFromEditors(True)  # before it is added: Slicer lists what is not hidden by then
        node.SetSaveWithScene(False)
        node = slicer.mrmlScene.AddNode(node)
    return node
