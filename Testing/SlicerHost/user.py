"""What a user does with a panel and its views, written with nothing but what Slicer offers to Python.

`User` therefore works in the host and in a real Slicer alike; `RealSlicer` is what a test gets in the latter.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from vtkmodules.util.numpy_support import vtk_to_numpy

from .shown import Shown


class UserError(AssertionError):
    """Something that a user could not have done."""


class User:
    """Clicks, chooses, types, points and looks."""

    def loadModule(self, path: str | Path) -> Any:
        """Open the panel of a scripted module; returns the module's Widget object."""
        raise NotImplementedError

    def processEvents(self) -> None:
        """Let Qt deliver what waits."""
        slicer.app.processEvents()

    def click(self, button: Any) -> None:
        """Click a button, which must be enabled."""
        if not button.enabled:
            raise UserError(f"{button.name} is disabled: {button.toolTip}")
        button.click()
        self.processEvents()

    def setNode(self, selector: Any, node: Any) -> None:
        """Choose a node, or None, in a node selector, which must offer it."""
        selector.setCurrentNode(node)
        self.processEvents()
        if selector.currentNode() is not node:
            raise UserError(f"{selector.name} does not offer {node.GetName() if node else 'no node'}")

    def choose(self, comboBox: Any, text: str) -> None:
        """Choose an entry of a combo box by its text."""
        index = comboBox.findText(text)
        if index < 0:
            raise UserError(f"{comboBox.name} does not offer {text}")
        comboBox.currentIndex = index
        self.processEvents()

    def editCell(self, table: Any, row: int, column: int, text: str) -> None:
        """Type into a cell of a table widget, which must be editable."""
        import qt

        item = table.item(row, column)
        if item is None or not item.flags() & qt.Qt.ItemIsEditable:
            raise UserError(f"Cell {row}, {column} of {table.name} cannot be edited")
        item.setText(text)
        self.processEvents()

    def sliceComposites(self) -> list[Any]:
        """What Slicer's own slice views show, as a node for each; modules may have views besides."""
        nodes = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
        return [node for node in nodes if node.GetLayoutName() in ("Red", "Green", "Yellow")]

    def moveMouse(self, viewName: str, ras: Any, shift: bool = False) -> None:
        """Move the pointer over a slice view to a point in RAS mm, without a button."""
        self._draw(viewName)
        self._pointAt(viewName, ras, shift)
        self.processEvents()

    def drag(self, viewName: str, startRAS: Any, endRAS: Any, steps: int = 8) -> None:
        """Drag with the left button in a slice view from one point in RAS mm to another."""
        self._draw(viewName)
        interactor = self._pointAt(viewName, startRAS)
        interactor.LeftButtonPressEvent()
        for step in range(1, steps + 1):
            self._pointAt(viewName, [a + step / steps * (b - a) for a, b in zip(startRAS, endRAS, strict=True)])
        interactor.LeftButtonReleaseEvent()
        self.processEvents()

    @staticmethod
    def _draw(viewName: str) -> None:
        """What can be picked is known once it was drawn; what is held already needs no picking."""
        slicer.app.layoutManager().sliceWidget(viewName).sliceView().forceRender()

    @staticmethod
    def _pointAt(viewName: str, ras: Any, shift: bool = False) -> Any:
        view = slicer.app.layoutManager().sliceWidget(viewName).sliceView()
        x, y, _ = view.convertRASToXYZ([float(v) for v in ras])
        interactor = view.interactor()
        interactor.SetEventInformation(round(x), round(y), 0, int(shift))
        interactor.EnterEvent()
        interactor.MouseMoveEvent()
        return interactor

    def grabPanel(self, widget: Any, path: str | Path) -> Path:
        """A picture of a module's panel as PNG, without the space that a spacer at its end leaves empty."""
        import qt

        self.processEvents()
        panel = widget.parent
        return _saved(panel.grab(qt.QRect(0, 0, panel.width, panel.sizeHint.height())), path)

    def grabWidget(self, widget: Any, path: str | Path) -> Path:
        """A picture of any widget, a view for instance, as PNG."""
        slicer.util.forceRenderAllViews()
        self.processEvents()
        return _saved(widget.grab(), path)

    def grabSlice(self, viewName: str) -> np.ndarray:
        """What a slice view shows, as (row, column, 3) uint8 RGB, first row on top."""
        view = slicer.app.layoutManager().sliceWidget(viewName).sliceView()
        view.forceRender()
        return grab_window(view.renderWindow())

    def grabMainWindow(self, path: str | Path) -> Path:
        """A picture of the panel beside the views, as PNG."""
        return self.grabWidget(slicer.util.mainWindow(), path)

    def reopenScene(self, path: str | Path) -> None:
        """Save the scene to an ``.mrb`` or ``.mrml`` file, close it, and load it again."""
        if not slicer.util.saveScene(str(path)):
            raise UserError(f"The scene could not be saved to {path}")
        slicer.mrmlScene.Clear(False)
        self.processEvents()
        slicer.util.loadScene(str(path))
        self.processEvents()


def grab_window(window: Any) -> np.ndarray:
    """What a VTK render window has drawn, as (row, column, 3) uint8 RGB, first row on top."""
    grabber = vtk.vtkWindowToImageFilter()
    grabber.SetInput(window)
    grabber.ReadFrontBufferOff()
    grabber.Update()
    image = grabber.GetOutput()
    columns, rows, _ = image.GetDimensions()
    pixels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(rows, columns, -1)[::-1, :, :3]
    return np.ascontiguousarray(pixels)


def _saved(picture: Any, path: str | Path) -> Path:
    if not picture.save(str(path)):
        raise OSError(f"Cannot write {path}")
    return Path(path)


class RealSlicer(User):
    """The user of a real Slicer, for the tests that run in one.

    Message boxes are recorded as in the host, whether or not Slicer was started with ``--testing``.
    """

    def __init__(self) -> None:
        self._shown: list[Shown] = []
        self._answers: list[Any] = []
        slicer.util._messageDisplay = self._record

    def loadModule(self, path: str | Path) -> Any:
        name = Path(path).stem
        if not hasattr(slicer.modules, name.lower()):
            slicer.app.moduleManager().factoryManager().loadModules([name])
        if slicer.util.getModule(name).widgetRepresentation() is None:
            return getattr(slicer.modules, f"{name}Instance")  # it has no panel, and getModuleWidget would raise
        if slicer.util.mainWindow() is not None:
            slicer.util.selectModule(name)
        return slicer.util.getModuleWidget(name)

    def answer(self, *answers: Any) -> None:
        """Prepare the answers to the questions that the application will ask."""
        self._answers += answers

    def takeMessages(self) -> list[Shown]:
        """The messages shown since the last call."""
        shown, self._shown = self._shown, []
        return shown

    def check(self) -> None:
        """Errors in callbacks are printed by Slicer; nothing is known of them here."""

    def reset(self) -> None:
        """Close the scene and forget messages."""
        slicer.mrmlScene.Clear(False)
        self.processEvents()
        self._shown, self._answers = [], []

    def stop(self) -> None:
        """Nothing: the application goes on."""

    def _record(self, logLevel: int, text: str, testingReturnValue: Any, *_: Any, **kwargs: Any) -> Any:
        kind = {10: "information", 20: "information", 30: "warning"}.get(logLevel, "error")
        question = testingReturnValue is not None
        title, details = kwargs.get("windowTitle") or "", kwargs.get("detailedText", "")
        self._shown.append(Shown("question" if question else kind, text, title, details))
        if question and not self._answers:
            raise RuntimeError(f"The application asks {text!r} and the test has prepared no answer (answer).")
        return self._answers.pop(0) if question else None
