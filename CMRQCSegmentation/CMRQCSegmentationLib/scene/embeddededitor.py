"""The Segment Editor that is embedded in the panel."""

from __future__ import annotations

from typing import Any

import slicer

from CMRQCSegmentationLib.segments import SEGMENTS

CLASS = "vtkMRMLSegmentEditorNode"
SINGLETON_TAG = "CMRQCSegmentation"  # effects keep other settings here than in the module Segment Editor


class EmbeddedEditor:
    """Ties a ``qMRMLSegmentEditorWidget`` to the segmentation that the panel shows."""

    def __init__(self, widget: Any) -> None:
        self._widget = widget

    def show(self, segmentationNode: Any, volumeNode: Any) -> None:
        """Edit a segmentation over the volume that it is of; none for None.

        The segment that is being edited stays the same where the segmentation stays the same.
        """
        self._ensureNode()
        self._widget.setSegmentationNode(segmentationNode)
        if segmentationNode is None:
            return
        if self._widget.segmentationNode() is segmentationNode:  # not yet while a scene is being loaded
            self._widget.setSourceVolumeNode(volumeNode)
        if segmentationNode.GetSegmentation().GetSegment(self._widget.currentSegmentID() or "") is None:
            self._widget.setCurrentSegmentID(SEGMENTS[0].name)

    def saveState(self) -> None:
        """Let the editor's Undo bring back what its segmentation shows now."""
        if self._widget.mrmlSegmentEditorNode() is not None and self._widget.segmentationNode() is not None:
            self._widget.saveStateForUndo()

    def enter(self) -> None:
        """Called when the panel is opened: the editor's keys work."""
        self._ensureNode()
        self._widget.installKeyboardShortcuts()

    def leave(self) -> None:
        """Called when the panel is left: nothing is drawn by accident."""
        self._widget.setActiveEffect(None)
        self._widget.uninstallKeyboardShortcuts()
        self._widget.removeViewObservations()

    def forget(self) -> None:
        """Called before the scene is closed."""
        self._widget.setActiveEffect(None)
        self._widget.setSegmentationNode(None)
        self._widget.removeViewObservations()

    def _ensureNode(self) -> None:
        """The node with the editor's settings, which a closed or loaded scene may have taken away."""
        node = slicer.mrmlScene.GetSingletonNode(SINGLETON_TAG, CLASS)
        if node is None:
            node = slicer.mrmlScene.CreateNodeByClass(CLASS)
            node.UnRegister(None)
            node.SetSingletonTag(SINGLETON_TAG)
            node = slicer.mrmlScene.AddNode(node)
        if self._widget.mrmlSegmentEditorNode() is not node:
            self._widget.setMRMLSegmentEditorNode(node)
