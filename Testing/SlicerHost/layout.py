"""The layout manager: Slicer's own layout logic says which views there are, and this arranges widgets for them."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import slicer
import vtk
from PySide6 import QtCore, QtWidgets

from .plots import qMRMLPlotWidget, qMRMLTableWidget
from .qmrml_widgets import qMRMLWidget
from .stand_ins import StandIn, stand_in
from .views import qMRMLSliceWidget


@stand_in
class qSlicerLayoutManager(StandIn, QtCore.QObject):
    """Views by name or number, as the layout node asks for them."""

    def __init__(self, core):
        super().__init__()
        self._core, self._widgets, self._shown, self._layout_node = core, {}, None, None
        self._viewport = QtWidgets.QWidget()
        QtWidgets.QVBoxLayout(self._viewport).setContentsMargins(0, 0, 0, 0)
        self._logic = slicer.vtkMRMLLayoutLogic()
        self._tag, self._own_layouts = 0, ()

    def connect_scene(self):
        """Show the scene's views, and follow its layout node."""
        self._logic.SetMRMLScene(self._core.scene)
        self._own_layouts = self._own_layouts or self._logic.GetLayoutNode().GetLayoutIndices()
        # Closing a scene with its singleton nodes replaces the layout node and the view nodes, at the very end.
        self._tag = self._core.scene.AddObserver(slicer.vtkMRMLScene.EndBatchProcessEvent, self._bind, -10.0)
        self.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutConventionalView)
        self._bind()

    def disconnect_scene(self):
        """Leave the scene alone until the next `connect_scene`."""
        self._core.scene.RemoveObserver(self._tag)
        self._logic.SetMRMLScene(None)

    def forget_layouts(self):
        """Know only Slicer's own layouts, as a Slicer that was started just now."""
        node = self._logic.GetLayoutNode()
        for number in set(node.GetLayoutIndices()) - set(self._own_layouts):
            node.SetLayoutDescription(number, "")

    def _bind(self, *_):
        node = self._logic.GetLayoutNode()
        if node is not self._layout_node:
            self._layout_node, self._shown = node, None  # to be held: the logic itself only points at it
            node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._arrange)
            self._arrange()

    def mrmlScene(self):
        return self._core.scene

    def layoutLogic(self):
        return self._logic

    def viewport(self):
        return self._viewport

    def setLayout(self, layout):
        self._logic.GetLayoutNode().SetViewArrangement(layout)

    layout = property(lambda self: self._logic.GetLayoutNode().GetViewArrangement(), setLayout)

    def sliceViewNames(self):
        return [name for class_name, name in self._widgets if class_name == "vtkMRMLSliceNode"]

    def sliceWidget(self, name):
        return self._widgets.get(("vtkMRMLSliceNode", name))

    plotViewCount = property(lambda self: len(self._all("vtkMRMLPlotViewNode")))
    tableViewCount = property(lambda self: len(self._all("vtkMRMLTableViewNode")))
    threeDViewCount = property(lambda self: 0)

    def plotWidget(self, index):
        return self._all("vtkMRMLPlotViewNode")[index]

    def tableWidget(self, index):
        return self._all("vtkMRMLTableViewNode")[index]

    def mrmlSliceLogics(self):
        return self._core.app_logic.GetSliceLogics()

    def resetSliceViews(self):
        for name in self.sliceViewNames():
            self.sliceWidget(name).fitSliceToBackground()

    def setRenderPaused(self, pause):
        for name in self.sliceViewNames():
            self.sliceWidget(name).sliceView().setRenderPaused(pause)

    def pauseRender(self):
        self.setRenderPaused(True)

    def resumeRender(self):
        self.setRenderPaused(False)

    def _all(self, node_class):
        return [widget for (class_name, _name), widget in self._widgets.items() if class_name == node_class]

    def _widget(self, node):
        """The widget of a view node, made when it is first asked for."""
        key = (node.GetClassName(), node.GetLayoutName())
        if key not in self._widgets:
            if node.IsA("vtkMRMLSliceNode"):
                widget = qMRMLSliceWidget(self._core, node)
            elif node.IsA("vtkMRMLPlotViewNode"):
                widget = qMRMLPlotWidget()
            elif node.IsA("vtkMRMLTableViewNode"):
                widget = qMRMLTableWidget()
            else:
                widget = QtWidgets.QLabel("3D")
                widget.setAlignment(QtCore.Qt.AlignmentFlag.AlignCenter)
            self._widgets[key] = widget
        widget = self._widgets[key]
        if isinstance(widget, qMRMLWidget) and widget.mrmlAbstractViewNode() is not node:
            widget.setMRMLAbstractViewNode(node)
        return widget

    def _arrange(self, *_):
        description = self._logic.GetLayoutNode().GetCurrentLayoutDescription() or ""  # of one that was not registered
        if description == self._shown:
            return
        self._shown = description
        for class_name, _name in self._widgets:
            for node in slicer.util.getNodesByClass(class_name):
                node.SetMappedInLayout(False)
        column = self._viewport.layout()
        while column.count():
            old = column.takeAt(0).widget()
            for widget in self._widgets.values():
                widget.setParent(None)
            old.deleteLater()
        column.addWidget(self._made(ET.fromstring(description)) if description else QtWidgets.QWidget())

    def _made(self, element):
        """The widget of a ``layout`` or ``view`` element of the layout's description."""
        if element.tag == "view":
            wanted = (element.get("class"), element.get("singletontag"))
            node = next(n for n in self._logic.GetViewNodes() if (n.GetClassName(), n.GetLayoutName()) == wanted)
            node.SetMappedInLayout(True)
            if node.GetInteractionNode() is None:
                node.SetInteractionNode(self._core.scene.GetFirstNodeByClass("vtkMRMLInteractionNode"))
            widget = self._widget(node)
            widget.show()
            return widget
        if element.get("type") == "tab":
            tabs = QtWidgets.QTabWidget()
            for item in element:
                tabs.addTab(self._made(item[0]), item.get("name", ""))
            return tabs
        splitter = QtWidgets.QSplitter(
            QtCore.Qt.Orientation.Vertical if element.get("type") == "vertical" else QtCore.Qt.Orientation.Horizontal
        )
        splitter.setChildrenCollapsible(False)
        for item in element:
            splitter.addWidget(self._made(item[0]))
        splitter.setSizes([1000] * splitter.count())
        return splitter
