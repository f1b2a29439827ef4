"""The bull's-eye in the scene: its colors are those of the map, its picture is a volume in a slice view of its own."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from CMRLib import provenance
from CMRLib.anatomy.bullseye import WALL_NAMES, BullsEye, ColorScale, draw_sectors
from CMRLib.anatomy.bullseye_svg import bullseye_svg
from CMRLib.errors import InputError, OutputError
from CMRLib.geometry import Geometry
from CMRLib.scene.display import OWN_VIEW
from CMRLib.scene.results import findResult, markResult

ROLE = "bullseye"
CLASS = "vtkMRMLVectorVolumeNode"
VIEW_NAME = f"{OWN_VIEW}BullsEye"
_COLORS = 64  # of a map's colors, as many as can be told apart in the color bar
# The picture lies far outside any patient, so that no view of a patient cuts it, and markups do not show in its view.
_FAR_AWAY_MM = 20000.0

_VIEW = f"""<view class="vtkMRMLSliceNode" singletontag="{VIEW_NAME}">
 <property name="orientation" action="default">Axial</property>
 <property name="viewlabel" action="default">Bull's-eye</property>
 <property name="viewcolor" action="default">#A0A0A0</property>
 <property name="viewgroup" action="default">20</property></view>"""
_TABLE = """<view class="vtkMRMLTableViewNode" singletontag="TableView1">
 <property name="viewlabel" action="default">T</property></view>"""
STUDY_VIEWS = {"Red": ("R", "#F34A33"), "Yellow": ("Y", "#EDD54C"), "Green": ("G", "#6EB04B")}  # labels and colors


def _imageView(name: str) -> str:
    label, color = STUDY_VIEWS[name]
    return f"""<view class="vtkMRMLSliceNode" singletontag="{name}">
 <property name="orientation" action="default">Axial</property>
 <property name="viewlabel" action="default">{label}</property>
 <property name="viewcolor" action="default">{color}</property></view>"""


LAYOUT, STUDY_LAYOUT = 27301, 27302
# One image, or the three of a study, with bull's-eye and table.
LAYOUT_DESCRIPTIONS = {
    LAYOUT: f"""<layout type="horizontal" split="true">
 <item>{_imageView("Red")}</item>
 <item><layout type="vertical" split="true"><item>{_VIEW}</item><item>{_TABLE}</item></layout></item></layout>""",
    STUDY_LAYOUT: f"""<layout type="vertical" split="true">
 <item><layout type="horizontal" split="true">
  {"".join(f"<item>{_imageView(name)}</item>" for name in STUDY_VIEWS)}</layout></item>
 <item><layout type="horizontal" split="true"><item>{_VIEW}</item><item>{_TABLE}</item></layout></item></layout>""",
}


def mapColorScale(mapNode: Any, title: str, textFormat: str) -> ColorScale:
    """The colors in which a map is shown: its color table over its window, grey where its threshold hides values.

    Raises:
        InputError: the map has no display, or no window.
    """
    display = mapNode.GetDisplayNode()
    colors = None if display is None else display.GetColorNode()
    if colors is None:
        raise InputError(f"{mapNode.GetName()} has no colors; show it in a slice view first.")
    lookup = colors.GetScalarsToColors()
    low, high = lookup.GetRange()
    rgb = []
    for value in np.linspace(low, high, _COLORS):
        color = [0.0, 0.0, 0.0]
        lookup.GetColor(float(value), color)
        rgb.append((color[0], color[1], color[2]))
    window = (display.GetWindowLevelMin(), display.GetWindowLevelMax())
    if not window[1] > window[0]:
        raise InputError(f"The window of {mapNode.GetName()} is empty; set window and level in the module Volumes.")
    shown = (display.GetLowerThreshold(), display.GetUpperThreshold()) if display.GetApplyThreshold() else None
    return ColorScale(tuple(np.linspace(*window, _COLORS).tolist()), tuple(rgb), title, shown, textFormat)


def picture(bullseye: BullsEye, title: str = "", size: int = 512, dark: bool = False) -> np.ndarray:
    """The whole picture as pixels: sectors, numbers, values, the walls' names, the color bar.

    Args:
        bullseye: what to draw.
        title: written above it.
        size: height in pixels; the width is a quarter more.
        dark: light on black, as views of images are, instead of black on white.

    Returns:
        uint8 (row, column, 3), row 0 on top.
    """
    canvas, (radius, x0, y0), ink = _paper(bullseye.scale, size, dark).copy(), _circle(size), _ink(dark)
    _blend(canvas, draw_sectors(bullseye, 2 * radius), x0 - radius, y0 - radius)
    for sector in bullseye.sectors:
        x, y = x0 + radius * sector.center[0], y0 - radius * sector.center[1]
        _write(canvas, str(sector.segment), x, y - 0.020 * size, 0.020 * size, sector.text_color)
        _write(canvas, sector.text, x, y + 0.012 * size, 0.029 * size, sector.text_color, bold=True)
    if title:
        _write(canvas, title, x0, 0.045 * size, 0.034 * size, ink, bold=True)
    return canvas


def showBullsEye(mapNode: Any, bullseye: BullsEye, title: str) -> Any:
    """Put the picture into the volume that belongs to the map, and show it in the bull's-eye view, if there is one."""
    node = findResult(mapNode, ROLE, CLASS)
    if node is None:
        name = slicer.mrmlScene.GenerateUniqueName(f"{mapNode.GetName()} bull's-eye")
        node = slicer.mrmlScene.AddNewNodeByClass(CLASS, name)
    slicer.util.updateVolumeFromArray(node, picture(bullseye, title, dark=True)[None])
    place = Geometry(origin=(0.0, 0.0, _FAR_AWAY_MM))
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(place.ijk_to_ras()))
    if node.GetAttribute(provenance.ROLE) != ROLE:
        node.CreateDefaultDisplayNodes()
        markResult(node, mapNode, provenance.result_attributes(ROLE, source=mapNode.GetID()))
        node.SetAndObserveTransformNodeID(None)  # a picture does not lie in the patient
    showInView(node)
    return node


def registerLayout() -> None:
    """Make the arrangements of views known, if there are any views.

    A module that shows one calls this when it is loaded: a scene that was saved in an arrangement that Slicer does not
    know shows no view at all.
    """
    manager = slicer.app.layoutManager()  # None in a Slicer without main window
    layoutNode = None if manager is None else manager.layoutLogic().GetLayoutNode()
    for layout, description in LAYOUT_DESCRIPTIONS.items():
        if layoutNode is not None and not layoutNode.IsLayoutDescription(layout):
            layoutNode.AddLayoutDescription(layout, description)


def showLayout(layout: int = LAYOUT) -> None:
    """Arrange the views, if there are any: images, the bull's-eye, the table."""
    manager = slicer.app.layoutManager()
    if manager is None:
        return
    registerLayout()  # again, in case the scene was cleared with its views
    manager.setLayout(layout)
    slicer.app.processEvents()  # the views get their sizes, to which pictures are fitted
    composite = manager.sliceWidget(VIEW_NAME).mrmlSliceCompositeNode()
    composite.SetDoPropagateVolumeSelection(False)  # the view is for the picture alone
    composite.SetBackgroundVolumeID(None)  # what is shown next is fitted anew


def saveBullsEye(bullseye: BullsEye, title: str, path: Path | str) -> Path:
    """Write the picture as PNG or SVG, by the ending of the path.

    Raises:
        InputError: another ending.
        OutputError: the file cannot be written.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in (".png", ".svg"):
        raise InputError(f"A bull's-eye is saved as .png or .svg, not as {path.name!r}; change the ending.")
    try:
        if ending == ".svg":
            path.write_text(bullseye_svg(bullseye, title), encoding="utf-8")
            return path
        writer = vtk.vtkPNGWriter()
        writer.SetInputData(_asImageData(picture(bullseye, title, size=1024)))
        writer.WriteToMemoryOn()
        writer.Write()
        path.write_bytes(vtk_to_numpy(writer.GetResult()).tobytes())
    except OSError as error:
        raise OutputError(f"{path} cannot be written; check the folder's permissions and free space.") from error
    return path


def showInView(node: Any) -> None:
    """Show the picture in its own view, where there is one, and nothing else in it."""
    manager = slicer.app.layoutManager()
    widget = None if manager is None else manager.sliceWidget(VIEW_NAME)
    if widget is None:
        return
    composite = widget.mrmlSliceCompositeNode()
    composite.SetDoPropagateVolumeSelection(False)
    composite.SetForegroundVolumeID(None)
    composite.SetLabelVolumeID(None)
    if composite.GetBackgroundVolumeID() != node.GetID():
        composite.SetBackgroundVolumeID(node.GetID())
        bounds = [0.0] * 6
        node.GetRASBounds(bounds)
        middle = [(bounds[2 * axis] + bounds[2 * axis + 1]) / 2 for axis in range(3)]
        # The picture's columns run to the patient's left and its rows to the back: a plain axial view.
        widget.mrmlSliceNode().SetSliceToRASByNTP(0, 0, -1, -1, 0, 0, *middle, 0)
        widget.sliceLogic().FitSliceToBackground()


def _circle(size: int) -> tuple[int, int, int]:
    """Radius and middle (x, y) of the sectors in a picture of that height."""
    return round(0.40 * size), round(0.49 * size), round(0.53 * size)


def _ink(dark: bool) -> tuple[float, float, float]:
    return (0.9, 0.9, 0.9) if dark else (0.0, 0.0, 0.0)


@lru_cache(maxsize=4)
def _paper(scale: ColorScale, size: int, dark: bool) -> np.ndarray:
    """What stays when values change, as they do many times while a point is dragged: the walls' names, the color bar.

    Callers copy it before they draw on it.
    """
    canvas = np.full((size, round(1.25 * size), 3), 0 if dark else 255, dtype=np.uint8)
    radius, x0, y0 = _circle(size)
    for name, (right, up) in WALL_NAMES.items():
        x, y = x0 + 1.08 * radius * right, y0 - 1.07 * radius * up
        _write(canvas, name, x, y, 0.024 * size, _ink(dark), turn=-90.0 * right)
    _drawBar(canvas, scale, size, _ink(dark))
    return canvas


def _drawBar(canvas: np.ndarray, scale: ColorScale, size: int, ink: tuple[float, float, float]) -> None:
    left, right, top, bottom = (round(share * size) for share in (1.03, 1.07, 0.16, 0.90))
    low, high = scale.values[0], scale.values[-1]
    everything = replace(scale, shown=None)
    for row in range(top, bottom):
        value = high - (high - low) * (row + 0.5 - top) / (bottom - top)
        canvas[row, left:right] = np.round(255 * np.array(everything.color(value)))
    edge = np.round(255 * np.array(ink)).astype(np.uint8)
    canvas[[top, bottom], left : right + 1] = edge
    canvas[top : bottom + 1, [left, right]] = edge
    for tick in scale.ticks():
        height = bottom - (bottom - top) * (tick - low) / (high - low)
        canvas[round(height), right : right + round(0.01 * size)] = edge
        _write(canvas, scale.text_format.format(tick), right + 0.02 * size, height, 0.024 * size, ink, align=0.0)
    _write(canvas, scale.title, (left + right) / 2, top - 0.04 * size, 0.026 * size, ink, bold=True)


def _write(
    canvas: np.ndarray,
    text: str,
    x: float,
    y: float,
    height: float,
    color: tuple[float, float, float],
    bold: bool = False,
    turn: float = 0.0,
    align: float = 0.5,
) -> None:
    """Write text with its middle at height y, and at x its start (align 0) or its middle (align 0.5)."""
    if not text:
        return
    properties = vtk.vtkTextProperty()
    properties.SetFontFamilyToArial()
    properties.SetFontSize(max(round(height), 6))
    properties.SetBold(bold)
    properties.SetColor(color)
    properties.SetOrientation(turn)
    image, size = vtk.vtkImageData(), [0, 0]
    if not vtk.vtkTextRenderer.GetInstance().RenderString(properties, text, image, size, 72):
        return
    columns, rows, _ = image.GetDimensions()
    glyphs = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(rows, columns, 4)[::-1]
    inked = np.argwhere(glyphs[..., 3] > 0)
    if len(inked) == 0:
        return
    (top, left), (bottom, right) = inked.min(axis=0), inked.max(axis=0) + 1
    glyphs = glyphs[top:bottom, left:right]
    _blend(canvas, glyphs, round(x - align * (right - left)), round(y - (bottom - top) / 2))


def _blend(canvas: np.ndarray, pixels: np.ndarray, left: int, top: int) -> None:
    """Lay RGBA pixels over a picture; what falls outside is cut off."""
    top0, left0 = max(top, 0), max(left, 0)
    bottom, right = min(top + pixels.shape[0], canvas.shape[0]), min(left + pixels.shape[1], canvas.shape[1])
    if bottom <= top0 or right <= left0:
        return
    part = pixels[top0 - top : bottom - top, left0 - left : right - left].astype(float)
    opacity = part[..., 3:] / 255
    under = canvas[top0:bottom, left0:right]
    canvas[top0:bottom, left0:right] = np.round(opacity * part[..., :3] + (1 - opacity) * under)


def _asImageData(pixels: np.ndarray) -> Any:
    image = vtk.vtkImageData()
    rows, columns, components = pixels.shape
    image.SetDimensions(columns, rows, 1)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, components)
    vtk_to_numpy(image.GetPointData().GetScalars())[:] = pixels[::-1].reshape(-1, components)
    return image
