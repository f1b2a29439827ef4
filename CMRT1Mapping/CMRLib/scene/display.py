"""How maps are shown: colors, window, legend, coded units and the slice views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer

from CMRLib.errors import InputError
from CMRLib.resources import resource_path
from CMRLib.scene.volumes import ijkToWorld, volumeGeometry
from CMRLib.terms import Term

COLOR_TABLE = "CMR.ColorTable"
GREY = "vtkMRMLColorTableNodeGrey"
LEGEND_SIZE = (0.1, 0.45)  # width and height as part of the view's
LEGEND_FONT_SIZE = 14
OVERLAY_OPACITY = 0.6
LABEL_OPACITY = 0.8
OWN_VIEW = "CMR"  # beginning of the name of a view that is not for any image: closing a scene resets all else about it


@dataclass(frozen=True)
class MapDisplay:
    """How one kind of map is shown.

    Attributes:
        title: of the legend.
        units: of the values.
        quantity: what the values are, where DICOM has a term for it.
        colorTable: file in ``Resources/ColorTables`` without its ending, which also gives the window; empty for grey.
        window: (lowest, highest) value shown in grey; None leaves it to Slicer.
        labelFormat: of the numbers in the legend.
    """

    title: str
    units: Term
    quantity: Term | None = None
    colorTable: str = ""
    window: tuple[float, float] | None = None
    labelFormat: str = "%.0f"


def colorNode(name: str) -> Any:
    """The color node of ``Resources/ColorTables/<name>.txt``, loaded into the scene when it is not there yet."""
    for node in slicer.util.getNodesByClass("vtkMRMLProceduralColorNode"):
        if node.GetAttribute(COLOR_TABLE) == name:
            return node
    path = resource_path(f"ColorTables/{name}.txt")
    node = slicer.vtkMRMLProceduralColorNode()
    node.SetName(name.replace("_", " "))
    storage = slicer.vtkMRMLProceduralColorStorageNode()
    storage.SetFileName(str(path))
    if not storage.ReadData(node):
        raise InputError(f"The color table {path} cannot be read; install the extension again.")
    node.SetAttribute(COLOR_TABLE, name)
    node.SetAttribute("Category", "Cardiac MR")
    node.SetHideFromEditors(False)  # so that it can be chosen for other volumes, and is saved with the scene
    return slicer.mrmlScene.AddNode(node)


def labelColorNode(name: str, colors: Sequence[tuple[str, tuple[float, float, float, float]]]) -> Any:
    """The color table called ``name`` of a label map, made when it is not in the scene yet.

    Args:
        name: of the table.
        colors: for each label value from 0 on, the words read under the cursor and red, green, blue and opacity.
    """
    for node in slicer.util.getNodesByClass("vtkMRMLColorTableNode"):
        if node.GetAttribute(COLOR_TABLE) == name:
            return node
    node = slicer.vtkMRMLColorTableNode()
    node.SetName(name)
    node.SetTypeToUser()
    node.SetNumberOfColors(len(colors))
    for value, (words, color) in enumerate(colors):
        node.SetColor(value, words, *color)
    node.SetAttribute(COLOR_TABLE, name)
    node.SetAttribute("Category", "Cardiac MR")
    node.SetHideFromEditors(False)
    return slicer.mrmlScene.AddNode(node)


def setMapDisplay(volumeNode: Any, display: MapDisplay) -> None:
    """Set colors, window, units and legend of a map."""
    volumeNode.SetVoxelValueUnits(_codedEntry(display.units))
    if display.quantity is not None:
        volumeNode.SetVoxelValueQuantity(_codedEntry(display.quantity))
    volumeNode.CreateDefaultDisplayNodes()
    node = volumeNode.GetDisplayNode()
    window = display.window
    if display.colorTable:
        colors = colorNode(display.colorTable)
        node.SetAndObserveColorNodeID(colors.GetID())
        window = colors.GetColorTransferFunction().GetRange()  # the window at which a color stands for its own value
    else:
        node.SetAndObserveColorNodeID(GREY)
    node.SetInterpolate(False)  # a pixel shows its own value, not a mixture with its neighbours
    if window is None:
        node.AutoWindowLevelOn()
    else:
        node.AutoWindowLevelOff()
        node.SetWindowLevelMinMax(*window)
    _setLegend(volumeNode, display)


def copyWindow(fromVolume: Any, toVolume: Any) -> None:
    """Show a volume with the window of another, so that the eye sees what differs when they take turns."""
    toVolume.CreateDefaultDisplayNodes()
    if fromVolume is None or fromVolume.GetDisplayNode() is None:
        return
    window, display = fromVolume.GetDisplayNode(), toVolume.GetDisplayNode()
    display.SetAndObserveColorNodeID(window.GetColorNodeID())
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(window.GetWindowLevelMin(), window.GetWindowLevelMax())
    display.SetInterpolate(window.GetInterpolate())


def _setLegend(volumeNode: Any, display: MapDisplay) -> None:
    logic = slicer.modules.colors.logic()
    legend = logic.GetColorLegendDisplayNode(volumeNode)
    if legend is None:
        legend = logic.AddDefaultColorLegendDisplayNode(volumeNode)
    legend.SetTitleText(display.title)
    legend.SetLabelFormat(display.labelFormat)
    legend.SetMaxNumberOfColors(256)
    legend.SetSize(*LEGEND_SIZE)
    for text in (legend.GetTitleTextProperty(), legend.GetLabelTextProperty()):
        text.SetFontFamilyToArial()
        text.SetFontSize(LEGEND_FONT_SIZE)
        text.ShadowOn()  # the legend lies on the image


def showLabels(labelNode: Any, visible: bool) -> None:
    """Lay a label map over every slice view of images, or take it away where it is."""
    for composite in imageComposites():
        if visible:
            composite.SetLabelVolumeID(labelNode.GetID())
            composite.SetLabelOpacity(LABEL_OPACITY)
        elif composite.GetLabelVolumeID() == labelNode.GetID():
            composite.SetLabelVolumeID(None)


def sliceLogics() -> list[Any]:
    """The logics of all slice views; none in a Slicer without main window."""
    logics = slicer.app.applicationLogic().GetSliceLogics()
    return [] if logics is None else [logics.GetItemAsObject(index) for index in range(logics.GetNumberOfItems())]


def imageComposites() -> list[Any]:
    """What the slice views show that are for any image, as a node for each view.

    Left out are views with a purpose of their own, such as the bull's-eye's, and those that the user has excluded from
    the choice of volumes for all views; `slicer.util.setSliceViewerLayers` would put volumes into them all the same.
    """
    return [
        composite
        for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
        if composite.GetDoPropagateVolumeSelection() and not (composite.GetLayoutName() or "").startswith(OWN_VIEW)
    ]


def showInSliceViews(volumeNode: Any, overlay: Any = None) -> None:
    """Show a map as the background of every slice view of images, and another one half transparent over it.

    A view that showed no image of this place before is turned to its plane and fitted, with the image as it was
    acquired: columns to the right, rows downwards. Other views keep their place and zoom.
    """
    composites = imageComposites()
    views = [view for view in sliceLogics() if view.GetSliceCompositeNode() in composites]
    new = [view for view in views if not _shareAPlace(_background(view), volumeNode)]
    for composite in composites:
        composite.SetBackgroundVolumeID(volumeNode.GetID())
        composite.SetForegroundVolumeID(None if overlay is None else overlay.GetID())
        if overlay is not None:
            composite.SetForegroundOpacity(OVERLAY_OPACITY)
    for view in new:
        _turnTo(view, volumeNode)
    _refreshLegends()


def showEach(volumes: Mapping[str, Any]) -> None:
    """Show another volume in each of some slice views; name of a view that is shown -> volume.

    The views are turned to their planes and move independently.
    """
    manager = slicer.app.layoutManager()
    if manager is None:
        return
    for name, volume in volumes.items():
        view = manager.sliceWidget(name).sliceLogic()
        composite = view.GetSliceCompositeNode()
        composite.SetLinkedControl(False)
        composite.SetBackgroundVolumeID(volume.GetID())
        composite.SetForegroundVolumeID(None)
        _turnTo(view, volume)
    _refreshLegends()


def _turnTo(view: Any, volumeNode: Any) -> None:
    """Turn a slice view to the plane of a volume, with the image as it was acquired, and fit it."""
    columns, rows, slices = volumeNode.GetImageData().GetDimensions()
    middle = np.array([(columns - 1) / 2, (rows - 1) / 2, (slices - 1) / 2])
    center, right, down = ijkToWorld(volumeNode, middle + np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]]))
    x = (right - center) / np.linalg.norm(right - center)
    y = (center - down) / np.linalg.norm(center - down)
    view.GetSliceNode().SetSliceToRASByNTP(*np.cross(x, y), *x, *center, 0)
    view.FitSliceToBackground()


def goToSlice(volumeNode: Any, index: int) -> None:
    """Go to a slice of a volume in every slice view that shows the volume."""
    columns, rows, _slices = volumeNode.GetImageData().GetDimensions()
    middle = ijkToWorld(volumeNode, np.array([[(columns - 1) / 2, (rows - 1) / 2, index]]))[0]
    for view in sliceLogics():
        if view.GetSliceCompositeNode().GetBackgroundVolumeID() == volumeNode.GetID():
            view.GetSliceNode().JumpSliceByOffsetting(*middle)


def showSideBySide(leftVolume: Any, rightVolume: Any) -> None:
    """Show two maps of the same place in two slice views beside each other, which move and zoom together."""
    manager = slicer.app.layoutManager()
    if manager is None:
        return
    manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutSideBySideView)
    slicer.app.processEvents()  # the views get their sizes, to which the maps are fitted
    showInSliceViews(leftVolume)
    left, right = (manager.sliceWidget(name).sliceLogic() for name in ("Red", "Yellow"))
    right.GetSliceNode().GetSliceToRAS().DeepCopy(left.GetSliceNode().GetSliceToRAS())
    right.GetSliceNode().UpdateMatrices()
    right.GetSliceCompositeNode().SetBackgroundVolumeID(rightVolume.GetID())
    for view in (left, right):
        view.FitSliceToBackground()
        view.GetSliceCompositeNode().SetLinkedControl(True)
    _refreshLegends()


def _background(view: Any) -> Any:
    return slicer.mrmlScene.GetNodeByID(view.GetSliceCompositeNode().GetBackgroundVolumeID() or "")


def _shareAPlace(first: Any, second: Any) -> bool:
    """Whether two volumes lie on the same voxels."""
    if first is None or first.GetImageData() is None or first.GetTransformNodeID() != second.GetTransformNodeID():
        return False
    shapes = (volume.GetImageData().GetDimensions() for volume in (first, second))
    return len(set(shapes)) == 1 and volumeGeometry(first).is_close(volumeGeometry(second))


def _refreshLegends() -> None:
    for legend in slicer.util.getNodesByClass("vtkMRMLColorLegendDisplayNode"):
        legend.Modified()  # views look at their legends again when a user changes a layer, but not when a program does


def _codedEntry(term: Term) -> Any:
    entry = slicer.vtkCodedEntry()
    entry.SetValueSchemeMeaning(term.value, term.scheme, term.meaning)
    return entry
