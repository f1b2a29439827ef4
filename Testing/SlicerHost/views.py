"""Slice views: Slicer's own slice logic and displayable managers, drawn off screen and shown in Qt widgets."""

from __future__ import annotations

import shiboken6
import vtk
from PySide6 import QtCore, QtGui, QtWidgets
from trame_slicer.views.abstract_view import AbstractView
from trame_slicer.views.render_scheduler import NoScheduleRendering
from trame_slicer.views.slice_view import SliceView

from .qmrml_widgets import qMRMLWidget
from .stand_ins import StandIn, stand_in
from .user import grab_window


class RenderedWidget(StandIn, QtWidgets.QWidget):
    """A Qt widget that shows what a VTK render window has drawn off screen."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self.renderEnabled = True
        self.setMinimumSize(64, 64)

    def renderWindow(self):
        raise NotImplementedError

    def draw(self):
        """Draw the scene as it is now."""
        if self.renderEnabled:
            self.renderWindow().Render()

    def forceRender(self):
        self.draw()
        self.update()

    def setRenderPaused(self, pause):
        self.renderEnabled = not pause
        return 0

    def pauseRender(self):
        return self.setRenderPaused(True)

    def resumeRender(self):
        return self.setRenderPaused(False)

    def resizeEvent(self, event):
        super().resizeEvent(event)
        self.fit_window(self.width(), self.height())

    def fit_window(self, width, height):
        """Give the render window the widget's size."""
        self.renderWindow().SetSize(width, height)

    def paintEvent(self, _event):
        painter = QtGui.QPainter(self)
        if _is_seen_by_nobody(self, painter):
            return
        self.draw()
        pixels = grab_window(self.renderWindow())
        rows, columns, _ = pixels.shape
        image = QtGui.QImage(pixels.data, columns, rows, 3 * columns, QtGui.QImage.Format.Format_RGB888)
        painter.drawImage(self.rect(), image)


def _is_seen_by_nobody(widget, painter):
    """Whether a widget paints into its window off screen, and not into a picture; drawing a scene takes long."""
    if QtGui.QGuiApplication.platformName() != "offscreen":
        return False
    devices = (painter.paintEngine().paintDevice(), widget.backingStore().paintDevice())
    return len({shiboken6.getCppPointer(device) for device in devices}) == 1


class _SliceView(SliceView):
    """Shows a slice node that the layout has put into the scene, where the base class would make one of its own."""

    def set_scene(self, scene):
        AbstractView.set_scene(self, scene)
        self.logic.SetMRMLScene(scene)
        self.show_node(scene.GetSingletonNode(self.name, "vtkMRMLSliceNode"))

    def show_node(self, node):
        """Show a slice node."""
        self.logic.SetSliceNode(node)
        self.set_view_node(node)

    @property
    def logic(self):
        return self._logic

    @property
    def interactor_observer(self):
        return self._interactor_observer


@stand_in
class qMRMLSliceView(RenderedWidget):
    """The drawing area of a slice view."""

    def __init__(self, core, name, parent=None):
        super().__init__(parent)
        self.view = _SliceView(core.scene, core.app_logic, name, scheduled_render_strategy=NoScheduleRendering())

    def fit_window(self, width, height):
        self.view.update_size(width, height)
        self.view.logic.ResizeSliceNode(width, height)

    def renderWindow(self):
        return self.view.render_window()

    def interactor(self):
        return self.view.interactor()

    def sliceViewInteractorStyle(self):
        return self.view.interactor_observer

    interactorStyle = interactorObserver = sliceViewInteractorStyle

    def mrmlSliceNode(self):
        return self.view.get_view_node()

    def displayableManagerByClassName(self, name):
        return self.view.get_displayable_manager_by_class(name)

    def convertRASToXYZ(self, ras):
        inverse = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(self.mrmlSliceNode().GetXYToRAS(), inverse)
        return list(inverse.MultiplyPoint((*ras, 1))[:3])


@stand_in
class qMRMLSliceWidget(qMRMLWidget):
    """A slice view with the bar that bears its letter and color."""

    def __init__(self, core, node):
        super().__init__()
        self._view = qMRMLSliceView(core, node.GetLayoutName(), self)
        bar = QtWidgets.QLabel(node.GetLayoutLabel(), self)
        bar.setAlignment(QtCore.Qt.AlignmentFlag.AlignCenter)
        red, green, blue = (round(255 * c) for c in node.GetLayoutColor())
        bar.setStyleSheet(f"background: rgb({red}, {green}, {blue}); color: black; font-weight: bold")
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(bar)
        column.addWidget(self._view, 1)
        self.setMRMLScene(core.scene)

    def sliceView(self):
        return self._view

    viewWidget = sliceView

    def sliceLogic(self):
        return self._view.view.logic

    logic = sliceLogic

    def mrmlSliceNode(self):
        return self._view.mrmlSliceNode()

    mrmlAbstractViewNode = mrmlSliceNode

    def setMRMLSliceNode(self, node):
        self._view.view.show_node(node)

    setMRMLAbstractViewNode = setMRMLSliceNode

    def mrmlSliceCompositeNode(self):
        return self.sliceLogic().GetSliceCompositeNode()

    def interactorStyle(self):
        return self._view.interactorStyle()

    def fitSliceToBackground(self):
        self.sliceLogic().FitSliceToBackground()
