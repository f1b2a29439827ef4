"""The widget of the Segment Editor: which segment of which segmentation is edited over which volume, and undo.

It has no effects: a test draws with Slicer's own ``vtkSlicerSegmentEditorLogic``. What the real widget only logs as a
critical error is an error here.
"""

from __future__ import annotations

import slicer
import vtk
from PySide6 import QtWidgets

from .qmrml_widgets import qMRMLWidget
from .stand_ins import stand_in


@stand_in
class qMRMLSegmentEditorWidget(qMRMLWidget):
    """The segments of a segmentation, one of them selected, with buttons for undo and redo."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self.segmentationNodeSelectorVisible = self.sourceVolumeNodeSelectorVisible = True
        self.addRemoveSegmentButtonsVisible = self.switchToSegmentationsButtonVisible = True
        self.specifyGeometryButtonVisible = self.autoShowSourceVolumeNode = self.undoEnabled = True
        self._node, self._segmentation, self._tags = None, None, []
        self._history = slicer.vtkSegmentationHistory()
        self._keys = False
        self._list = QtWidgets.QListWidget()
        self._undo, self._redo = QtWidgets.QPushButton("Undo"), QtWidgets.QPushButton("Redo")
        layout = QtWidgets.QGridLayout(self)
        layout.addWidget(self._list, 0, 0, 1, 2)
        layout.addWidget(self._undo, 1, 0)
        layout.addWidget(self._redo, 1, 1)
        self._list.setMaximumHeight(70)
        self._list.itemClicked.connect(lambda item: self.setCurrentSegmentID(item.text()))
        self._undo.clicked.connect(lambda _checked: self.undo())
        self._redo.clicked.connect(lambda _checked: self.redo())
        self.destroyed.connect(lambda: self._let_go())

    @property
    def maximumNumberOfUndoStates(self):
        return self._history.GetMaximumNumberOfStates()

    @maximumNumberOfUndoStates.setter
    def maximumNumberOfUndoStates(self, number):
        self._history.SetMaximumNumberOfStates(number)

    def _let_go(self):
        for observed, tag in self._tags:
            observed.RemoveObserver(tag)
        self._tags = []

    # The node with the settings

    def mrmlSegmentEditorNode(self):
        return self._node

    def setMRMLSegmentEditorNode(self, node):
        if node is self._node:
            return
        self._let_go()
        self._node = node
        if node is not None:
            self._tags = [(node, node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._modified))]
        self.updateWidgetFromMRML()

    def _modified(self, _node, _event):
        self.updateWidgetFromMRML()

    def _needed(self, what):
        if self._node is None:
            raise RuntimeError(f"qMRMLSegmentEditorWidget.{what}: set the segment editor node first")
        return self._node

    # What is edited

    def segmentationNode(self):
        return self._segmentation

    def setSegmentationNode(self, node):
        if node is None and self._node is None:
            return
        self._needed("setSegmentationNode").SetAndObserveSegmentationNode(node)

    def sourceVolumeNode(self):
        return None if self._node is None else self._node.GetSourceVolumeNode()

    def setSourceVolumeNode(self, node):
        if node is not None and self._segmentation is None:
            raise RuntimeError("qMRMLSegmentEditorWidget.setSourceVolumeNode: set the segmentation node first")
        if self._node is not None and self._segmentation is not None:
            self._node.SetAndObserveSourceVolumeNode(node)

    def currentSegmentID(self):
        return self._needed("currentSegmentID").GetSelectedSegmentID() or ""

    def setCurrentSegmentID(self, segment_id):
        if self._node is not None:
            self._node.SetSelectedSegmentID(segment_id)

    def updateWidgetFromMRML(self):
        if self._scene is None or self._scene.IsClosing() or self._scene.IsBatchProcessing() or self._node is None:
            return
        node = self._node.GetSegmentationNode()
        if node is not self._segmentation:
            self._segmentation = node
            if node is not None:
                role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
                self._node.SetAndObserveSourceVolumeNode(node.GetNodeReference(role))
                node.CreateDefaultDisplayNodes()
                if node.GetSegmentation().GetNumberOfSegments() > 0:
                    self._node.SetSelectedSegmentID(node.GetSegmentation().GetNthSegmentID(0))
            self.fire("segmentationNodeChanged(vtkMRMLSegmentationNode*)", node)
        segmentation = None if node is None else node.GetSegmentation()
        self._history.SetSegmentation(segmentation)
        names = [] if segmentation is None else list(segmentation.GetSegmentIDs())
        if [self._list.item(row).text() for row in range(self._list.count())] != names:
            self._list.clear()
            self._list.addItems(names)
        chosen = self._node.GetSelectedSegmentID() or ""
        self._list.setCurrentRow(names.index(chosen) if chosen in names else -1)

    # Effects, of which there are none

    def activeEffect(self):
        return None

    def setActiveEffect(self, effect):
        if effect is not None:
            raise NotImplementedError("SlicerHost has no effects of the Segment Editor.")

    # Undo

    def saveStateForUndo(self):
        if self._segmentation is None:
            raise RuntimeError("qMRMLSegmentEditorWidget.saveStateForUndo: set the segmentation node first")
        self._history.SaveState()

    def undo(self):
        if self._history.IsRestorePreviousStateAvailable():
            self._history.RestorePreviousState()

    def redo(self):
        if self._history.IsRestoreNextStateAvailable():
            self._history.RestoreNextState()

    # Keys and views

    def installKeyboardShortcuts(self, _parent=None):
        self._keys = True

    def uninstallKeyboardShortcuts(self):
        self._keys = False

    def setupViewObservations(self):
        pass

    def removeViewObservations(self):
        pass
