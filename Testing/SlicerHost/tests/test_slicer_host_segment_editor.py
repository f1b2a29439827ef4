"""The Segment Editor's widget of the host: what it follows, what it refuses, and undo."""

import numpy as np
import pytest
import slicer

from CMRLib.geometry import Geometry
from CMRLib.scene.volumes import addVolume


@pytest.fixture
def editor(host):
    widget = slicer.qMRMLSegmentEditorWidget()
    widget.setMRMLScene(slicer.mrmlScene)
    yield widget
    widget.delete()


@pytest.fixture
def segmentation(host):
    volume = addVolume("Images", np.zeros((2, 8, 9), np.float32), Geometry())
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Segmentation")
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for name in ("wall", "blood"):
        node.GetSegmentation().AddEmptySegment(name, name)
    return node


def settings():
    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")


def test_nothing_is_edited_without_a_node_for_the_settings(editor, segmentation):
    """A real Slicer logs a critical error, and goes on."""
    for use in (
        lambda: editor.setSegmentationNode(segmentation),
        lambda: editor.currentSegmentID(),
        lambda: editor.setSourceVolumeNode(slicer.util.getNode("Images")),
        lambda: editor.saveStateForUndo(),
    ):
        with pytest.raises(RuntimeError, match="first"):
            use()


def test_the_first_segment_and_the_volume_of_the_geometry_are_chosen(editor, segmentation):
    editor.setMRMLSegmentEditorNode(settings())
    editor.setSegmentationNode(segmentation)
    assert editor.currentSegmentID() == "wall" and editor.sourceVolumeNode() is slicer.util.getNode("Images")
    editor.setCurrentSegmentID("blood")
    assert editor.mrmlSegmentEditorNode().GetSelectedSegmentID() == "blood"
    editor.setSegmentationNode(None)
    assert editor.segmentationNode() is None


def test_undo_and_redo(editor, segmentation):
    editor.setMRMLSegmentEditorNode(settings())
    editor.setSegmentationNode(segmentation)
    editor.saveStateForUndo()
    mask = np.ones((2, 8, 9), np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, "wall", slicer.util.getNode("Images"))

    def pixels():
        return int(slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "wall").sum())

    assert pixels() == mask.size
    editor.undo()
    assert pixels() == 0
    editor.redo()
    assert pixels() == mask.size


def test_names_that_the_real_widget_lacks_are_refused(editor):
    with pytest.raises(AttributeError, match="no logic"):
        editor.logic  # noqa: B018
    with pytest.raises(RuntimeError, match="no signal"):
        editor.connect("segmentChanged(QString)", print)
    with pytest.raises(NotImplementedError):
        editor.setActiveEffectByName("Paint")
