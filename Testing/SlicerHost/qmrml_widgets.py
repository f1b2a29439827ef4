"""The qMRML widgets that stand in panels: they show nodes of the scene and say when another one is chosen."""

from __future__ import annotations

import slicer
import vtk
from PySide6 import QtCore, QtTest, QtWidgets

from .stand_ins import StandIn, stand_in


@stand_in
class qMRMLWidget(StandIn, QtWidgets.QWidget):
    """A widget that knows the scene."""

    _scene = None

    def mrmlScene(self):
        return self._scene

    def setMRMLScene(self, scene):
        if scene is not self._scene:
            self._scene = scene
            self.fire("mrmlSceneChanged(vtkMRMLScene*)", scene)


class SceneObserver:
    """Calls a function after nodes that concern it came or went, also while a scene is closed or loaded, and another
    before one goes.

    The latter is when Slicer's scene model takes the row of a node away: before its removal, and after the observers
    that have a priority above the model's.
    """

    _MODEL_PRIORITY = -10.0

    def __init__(self, on_change, before_removal, concerns):
        self._on_change, self._before_removal, self._concerns = on_change, before_removal, concerns
        self._scene, self._tags = None, []

    def observe(self, scene):
        """Watch that scene, or none, instead of the one watched before."""
        for tag in self._tags:
            self._scene.RemoveObserver(tag)
        self._scene = scene
        self._tags = []
        if scene:
            observers = (
                (scene.NodeAddedEvent, self._came_or_went),
                (scene.NodeRemovedEvent, self._came_or_went),
                (scene.EndBatchProcessEvent, self._changed),
                (scene.NodeAboutToBeRemovedEvent, self._removing, self._MODEL_PRIORITY),
            )
            self._tags = [scene.AddObserver(*observer) for observer in observers]

    def _changed(self, _scene, _event):
        self._on_change()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _came_or_went(self, _scene, _event, node):
        if self._concerns(node):
            self._on_change()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _removing(self, _scene, _event, node):
        self._before_removal(node)


def _refilling(attribute):
    """A property whose change changes the nodes that are offered."""

    def write(self, value):
        setattr(self, attribute, value)
        self._refill()

    return property(lambda self: getattr(self, attribute), write)


@stand_in
class qMRMLNodeComboBox(StandIn, QtWidgets.QWidget):
    """A choice among the scene's nodes of some types."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self._scene, self._nodes, self._current = None, [], None
        self._observer = SceneObserver(self._refill, self._remove_row, self._is_of_a_type)
        self._observed_nodes, self._filled, self._leaving = [], None, set()
        self._node_types, self._none_enabled, self._hidden_types = [], False, []
        self._show_hidden, self._show_children, self._none_display = False, True, "None"
        self.addEnabled = self.removeEnabled = self.selectNodeUponCreation = True
        self.editEnabled = self.renameEnabled = False
        self.baseName = ""
        self.interactionNodeSingletonTag = ""
        self._box = QtWidgets.QComboBox(self)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._box)
        self._box.currentIndexChanged.connect(self._chosen)
        self.destroyed.connect(lambda: self._let_go())  # a method of what is destroyed would not be called

    nodeTypes = _refilling("_node_types")
    noneEnabled = _refilling("_none_enabled")
    noneDisplay = _refilling("_none_display")
    showHidden = _refilling("_show_hidden")
    showChildNodeTypes = _refilling("_show_children")
    hideChildNodeTypes = _refilling("_hidden_types")

    def _let_go(self, *_):
        self._observer.observe(None)
        for node, tag in self._observed_nodes:
            node.RemoveObserver(tag)

    def mrmlScene(self):
        return self._scene

    def setMRMLScene(self, scene):
        self._scene = scene
        self.setEnabled(scene is not None)
        self._observer.observe(scene)
        self._refill()

    def nodeCount(self):
        return len(self._nodes)

    def nodeFromIndex(self, index):
        return self._nodes[index] if 0 <= index < len(self._nodes) else None

    def drag_to(self, node):
        """What a mouse does that is pressed on the box, dragged to a node in the list, and released."""
        button = QtCore.Qt.MouseButton.LeftButton
        QtTest.QTest.mousePress(self._box, button)
        # Qt takes a release too soon after the press for a click, which would leave the list open.
        QtTest.QTest.qWait(QtWidgets.QApplication.doubleClickInterval() + 100)
        view = self._box.view()
        place = view.visualRect(view.model().index(self._index(node), 0)).center()
        QtTest.QTest.mouseMove(view.viewport(), place)
        QtTest.QTest.mouseRelease(view.viewport(), button, pos=place)

    def currentNode(self):
        return self._current

    def currentNodeId(self):
        return self._current.GetID() if self._current else ""

    def setCurrentNode(self, node):
        node = self._scene.GetNodeByID(node) if isinstance(node, str) and self._scene else node
        self._box.setCurrentIndex(self._index(node))

    setCurrentNodeID = setCurrentNode

    currentNodeID = property(currentNodeId, setCurrentNode)

    def addNode(self, node_type=None):
        name = self._scene.GenerateUniqueName(self.baseName) if self.baseName else ""
        node = self._scene.AddNewNodeByClass(node_type or self._node_types[0], name)
        if self.selectNodeUponCreation:
            self.setCurrentNode(node)
        self.fire("nodeAddedByUser(vtkMRMLNode*)", node)
        return node

    def removeCurrentNode(self):
        if self._current:
            self.fire("nodeAboutToBeRemoved(vtkMRMLNode*)", self._current)
            self._scene.RemoveNode(self._current)

    def _is_of_a_type(self, node):
        return any(node.IsA(t) for t in self._node_types)

    def _shown(self, node):
        if not self._is_of_a_type(node) or (node.GetHideFromEditors() and not self._show_hidden):
            return False
        if not self._show_children and node.GetClassName() not in self._node_types:
            return False
        return not any(node.IsA(t) for t in self._hidden_types)

    def _index(self, node):
        if node in self._nodes:
            return self._nodes.index(node) + self._none_enabled
        return 0 if self._none_enabled else -1

    def _offered(self):
        """The nodes to choose from, in the order of the scene; not those that are about to be removed."""
        if self._scene is None:
            return []
        self._leaving = {name for name in self._leaving if self._scene.GetNodeByID(name) is not None}
        found = {node for name in self._node_types for node in slicer.util.getNodesByClass(name, self._scene)}
        staying = (node for node in found if node.GetID() not in self._leaving and self._shown(node))
        return sorted(staying, key=self._scene.IsNodePresent)

    def _remove_row(self, node):
        """As Qt's combo box: when the row that is chosen goes, the one above it is chosen, or else the first."""
        if node not in self._nodes:
            return
        self._leaving.add(node.GetID())  # until it is gone: other nodes may go in between
        rows = [None] * self._none_enabled + self._nodes
        row = rows.index(node)
        rows.remove(node)
        above = rows[max(row - 1, 0)] if rows else None
        self._refill(above if node is self._current else self._current)

    def _refill(self, wanted=None):
        nodes = self._offered()
        filled = ([(node, node.GetName()) for node in nodes], self._none_enabled, self._none_display)
        if filled == self._filled:
            return
        self._nodes, self._filled = nodes, filled
        for node, tag in self._observed_nodes:
            node.RemoveObserver(tag)
        self._observed_nodes = [(n, n.AddObserver(vtk.vtkCommand.ModifiedEvent, self._modified)) for n in self._nodes]
        # Like Qt's own combo box, one without "None" chooses the first node there is.
        first = None if self._none_enabled or not self._nodes else self._nodes[0]
        keep = next((n for n in (wanted, self._current) if n in self._nodes), first)
        self._box.blockSignals(True)
        self._box.clear()
        self._box.addItems([self._none_display] * self._none_enabled + [n.GetName() or "" for n in self._nodes])
        self._box.setCurrentIndex(self._index(keep))
        self._box.blockSignals(False)
        self._select(keep)

    def _modified(self, node, _event):
        if node in self._nodes and not self._shown(node):
            self._refill()
        elif node in self._nodes:
            self._box.setItemText(self._index(node), node.GetName() or "")
            self._filled = None

    def _chosen(self, index):
        self._select(self.nodeFromIndex(index - self._none_enabled))

    def _select(self, node):
        if node is self._current:
            return
        self._current = node
        self.fire("currentNodeChanged(vtkMRMLNode*)", node)
        self.fire("currentNodeChanged(bool)", node is not None)
        self.fire("currentNodeIDChanged(QString)", self.currentNodeId())


@stand_in
class qMRMLTableView(StandIn, QtWidgets.QTableView):
    """The columns and rows of a table node."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self._scene, self._table, self._tag = None, None, None
        self.setModel(_TableModel(self))
        self.destroyed.connect(self._unobserve)

    def mrmlScene(self):
        return self._scene

    def setMRMLScene(self, scene):
        self._scene = scene
        self.fire("mrmlSceneChanged(vtkMRMLScene*)", scene)

    def mrmlTableNode(self):
        return self._table

    def _unobserve(self, *_):
        if self._table is not None:
            self._table.RemoveObserver(self._tag)

    def setMRMLTableNode(self, table):
        self._unobserve()
        self._table = table
        if table is not None:
            self._tag = table.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self.model().show(self._table))
        self.model().show(table)


class _TableModel(QtCore.QAbstractTableModel):
    """A table node's contents as Qt shows them."""

    _table = None

    def show(self, table):
        self.beginResetModel()
        self._table = table
        self.endResetModel()

    def rowCount(self, _parent=None):
        return self._table.GetNumberOfRows() if self._table else 0

    def columnCount(self, _parent=None):
        return self._table.GetNumberOfColumns() if self._table else 0

    def data(self, index, role=QtCore.Qt.ItemDataRole.DisplayRole):
        if role != QtCore.Qt.ItemDataRole.DisplayRole:
            return None
        return self._table.GetCellText(index.row(), index.column())

    def headerData(self, section, orientation, role=QtCore.Qt.ItemDataRole.DisplayRole):
        if role != QtCore.Qt.ItemDataRole.DisplayRole:
            return None
        horizontal = orientation == QtCore.Qt.Orientation.Horizontal
        return self._table.GetColumnName(section) if horizontal else section + 1
