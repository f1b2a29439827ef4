"""The panel of CMRQCSegmentation, used as an analyst uses it; runs in the host and in a real Slicer."""

import csv
import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import slicer
import vtk
from ring_model import drawn_ring, ring_model
from vtk.util.numpy_support import vtk_to_numpy

from CMRLib.errors import MissingDependencyError
from CMRLib.geometry import Geometry
from CMRLib.review import Status, history_to_csv
from CMRLib.scene import regions
from CMRLib.scene.review import readHistory
from CMRLib.scene.volumes import addVolume, ijkToWorld
from CMRQCSegmentationLib import prediction
from CMRQCSegmentationLib.scene import candidatepreview, segmentationrun, segmentations
from CMRQCSegmentationLib.scene.segmentationreview import readAnswer, readReview

MODULE = Path(__file__).resolve().parents[2] / "CMRQCSegmentation.py"
GEOMETRY = Geometry((-31.0, 12.5, 40.0), (1.2, 1.2, 8.0), (0.8, 0.0, 0.6, 0.0, 1.0, 0.0, -0.6, 0.0, 0.8))
SHAPE = (90, 100)
GOOD, THIN, BLANK = 0, 1, 2  # slices: networks agree, networks differ, nothing to see


def images():
    thick, _labels = drawn_ring(SHAPE, (45.0, 52.0))
    thin, _labels = drawn_ring(SHAPE, (45.0, 52.0), inner=13.0, outer=17.0)
    return np.stack([thick, thin, np.zeros(SHAPE, np.float32)])


@pytest.fixture(scope="module")
def model():
    """Three networks, two of which err by a pixel or three, and so agree less where the wall is thin."""
    return ring_model(shifts=(0, 1, 3))


@pytest.fixture
def panel(host, monkeypatch, one_thread, model):
    monkeypatch.setattr(segmentationrun, "load_segmentation_model", lambda device="auto": model)
    return host.loadModule(MODULE)


def load(name="LGE", array=None, geometry=GEOMETRY):
    return addVolume(name, images() if array is None else array, geometry)


@pytest.fixture
def applied(host, panel):
    volume = load()
    host.setNode(panel.ui.inputSelector, volume)
    host.click(panel.ui.applyButton)
    panel.ui.reviewerLineEdit.text = "AB"
    node = regions.findSegmentation(volume)
    return SimpleNamespace(panel=panel, ui=panel.ui, volume=volume, node=node)


def rows(panel):
    table = panel.ui.reviewTable
    return [[table.item(row, column).text() for column in range(5)] for row in range(table.rowCount)]


def statuses(panel):
    return {int(texts[0]): texts[2] for texts in rows(panel)}


def select(host, panel, index):
    """Click the row of a slice."""
    panel.ui.reviewTable.setCurrentCell([texts[0] for texts in rows(panel)].index(str(index)), 0)
    host.processEvents()


def paint(host, applied, index, pixels, segment="Myocardium"):
    """Paint pixels, (rows, columns) as slices, with the Segment Editor's own logic and settings."""
    editor = applied.ui.segmentEditor
    logic = slicer.vtkSlicerSegmentEditorLogic()
    logic.SetMRMLScene(slicer.mrmlScene)
    logic.SetSegmentEditorNode(editor.mrmlSegmentEditorNode())
    logic.UpdateReferenceGeometryImage()
    logic.ResetModifierLabelmapToDefault()
    modifier = logic.GetModifierLabelmap()
    array = vtk_to_numpy(modifier.GetPointData().GetScalars()).reshape(modifier.GetDimensions()[::-1])
    array[(index, *pixels)] = 1
    modifier.Modified()
    editor.saveStateForUndo()  # as every effect does
    logic.ModifySegmentByLabelmap(applied.node, segment, modifier, logic.ModificationModeAdd, False, True)
    logic.SetSegmentEditorNode(None)
    host.processEvents()


CORNER = (slice(2, 12), slice(2, 12))


def history(node):
    return list(csv.DictReader(io.StringIO(history_to_csv(readHistory(node)))))


# Opening and Apply


def test_panel_opens_and_says_what_is_missing(panel):
    assert not panel.ui.applyButton.enabled and panel.ui.applyButton.toolTip == "Select short-axis images."
    for name in ("acceptButton", "acceptAllButton", "resetButton", "takeButton", "candidateComboBox"):
        assert not getattr(panel.ui, name).enabled, name
    assert panel.ui.segmentEditor.segmentationNode() is None
    assert not panel.ui.segmentEditor.addRemoveSegmentButtonsVisible


def test_apply_segments_every_slice_into_one_coded_segmentation(host, applied):
    assert slicer.util.getNodesByClass("vtkMRMLSegmentationNode") == [applied.node]
    masks = regions.regionMasks(applied.node, applied.volume)
    assert list(masks) == ["Myocardium", "Blood pool"]
    thick = drawn_ring(SHAPE, (45.0, 52.0))[1]
    for name, label in (("Myocardium", 1), ("Blood pool", 2)):
        found, truth = masks[name][GOOD], thick == label
        assert 2 * np.sum(found & truth) / (found.sum() + truth.sum()) > 0.85
        assert masks[name][THIN].any() and not masks[name][BLANK].any()
    tag = vtk.mutable("")
    assert applied.node.GetSegmentation().GetSegment("Blood pool").GetTag("TerminologyEntry", tag)
    assert "SCT^87612001^Blood" in str(tag) and "SCT^87878005^Left ventricle" in str(tag)
    assert applied.node.GetAttribute("CMR.Role") == "segmentation" and applied.node.GetAttribute("CMR.Model") == "ring"
    assert applied.node.GetAttribute("CMR.Source") == applied.volume.GetID()
    assert applied.ui.statusLabel.text == "A heart in 2 of 3 slices on cpu; 2 flagged to be looked at."
    assert host.takeMessages() == []


def test_the_list_has_predicted_dice_and_flagged_slices_first(applied):
    good, thin, blank = readReview(applied.node)
    assert rows(applied.panel) == [
        [str(THIN), f"{thin.confidence:.2f}", "flagged", prediction.UNSURE, ""],
        [str(BLANK), "–", "flagged", prediction.BLANK, ""],
        [str(GOOD), f"{good.confidence:.2f}", "auto", "", ""],
    ]
    table = applied.ui.reviewTable
    titles = [table.horizontalHeaderItem(column).text() for column in range(5)]
    assert titles == ["Slice", "Predicted Dice", "Status", "Remark", "Comment"]
    assert table.item(2, 1).toolTip() == (
        f"The Dice of the model's answer is at least {good.lowerBound:.2f} with 90 % certainty."
    )
    assert good.lowerBound < good.confidence and blank.lowerBound is None and table.item(1, 0).toolTip() == ""
    colors = [table.item(row, 1).background().color().name() for row in (0, 2)]
    assert colors[0] != colors[1], "a low Dice has another color than a high one"


def test_selecting_a_row_goes_to_its_slice_ready_to_be_corrected(host, applied):
    editor = applied.ui.segmentEditor
    for index in (GOOD, THIN):
        select(host, applied.panel, index)
        red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()
        toRAS = slicer.util.arrayFromVTKMatrix(red.GetSliceToRAS())
        middle = ijkToWorld(applied.volume, np.array([[50.0, 45.0, index]]))[0]
        assert abs(toRAS[:3, 2] @ (middle - toRAS[:3, 3])) < 0.01
        assert editor.segmentationNode() is applied.node and editor.sourceVolumeNode() is applied.volume
    assert editor.currentSegmentID() == "Myocardium"
    editor.setCurrentSegmentID("Blood pool")
    select(host, applied.panel, GOOD)
    assert editor.currentSegmentID() == "Blood pool", "what the analyst was drawing"


def test_keys_go_through_the_flagged_slices(host, applied):
    from CMRLib.scene.reviewlist import NEXT_KEY, PREVIOUS_KEY

    review, seen = applied.panel.review, []
    select(host, applied.panel, GOOD)
    for key in (NEXT_KEY, NEXT_KEY, NEXT_KEY, PREVIOUS_KEY):
        (shortcut,) = [s for s in review._shortcuts if s.key.toString() == key]
        shortcut.native.activated.emit()
        host.processEvents()
        seen.append(review.selectedSlice())
    assert seen == [THIN, BLANK, THIN, BLANK]


def test_the_threshold_is_moved_and_the_list_follows(host, applied):
    before = len(history(applied.node))
    applied.ui.thresholdSlider.value = 0.99
    host.processEvents()
    assert statuses(applied.panel) == {GOOD: "flagged", THIN: "flagged", BLANK: "flagged"}
    applied.ui.thresholdSlider.value = 0.1
    host.processEvents()
    assert statuses(applied.panel) == {GOOD: "auto", THIN: "auto", BLANK: "flagged"}
    assert rows(applied.panel)[0][0] == str(BLANK), "what needs a look comes first again"
    assert len(history(applied.node)) == before, "nobody has judged anything"


def test_a_model_that_is_missing_is_said_and_changes_nothing(host, panel, monkeypatch):
    def missing(device="auto"):
        raise MissingDependencyError("The weights are missing; install CMRMapping again.")

    monkeypatch.setattr(segmentationrun, "load_segmentation_model", missing)
    host.setNode(panel.ui.inputSelector, load())
    host.click(panel.ui.applyButton)
    assert [shown.text for shown in host.takeMessages()] == ["The weights are missing; install CMRMapping again."]
    assert not slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    assert panel.ui.applyButton.enabled and not panel.ui.progressWidget.visible


def test_cancel_changes_nothing(host, applied, monkeypatch):
    def cancelling(*arguments, progress, **more):
        applied.ui.cancelButton.click()
        progress(0.2)

    monkeypatch.setattr(segmentationrun, "segment_slices", cancelling)
    before = segmentations.readLabels(applied.node, applied.volume), history(applied.node)
    host.click(applied.ui.applyButton)
    assert applied.ui.statusLabel.text == "Cancelled; nothing was changed."
    np.testing.assert_array_equal(segmentations.readLabels(applied.node, applied.volume), before[0])
    assert history(applied.node) == before[1]


def test_a_scene_closed_during_the_run_ends_it(host, panel, monkeypatch):
    def closing(*arguments, progress, **more):
        slicer.mrmlScene.Clear(False)
        progress(0.2)

    monkeypatch.setattr(segmentationrun, "segment_slices", closing)
    host.setNode(panel.ui.inputSelector, load())
    host.click(panel.ui.applyButton)
    assert not slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    assert host.takeMessages() == [] and rows(panel) == []


# Correcting


def test_painting_makes_a_slice_corrected_and_undo_takes_that_back(host, applied):
    select(host, applied.panel, THIN)
    paint(host, applied, THIN, CORNER)
    assert statuses(applied.panel) == {GOOD: "auto", THIN: "corrected", BLANK: "flagged"}
    last = history(applied.node)[-1]
    assert (last["slice"], last["before"], last["after"], last["reviewer"]) == (str(THIN), "flagged", "corrected", "AB")
    assert last["note"].startswith("Dice with the model's answer 0.")
    paint(host, applied, THIN, (slice(70, 88), slice(2, 60)))
    assert len(history(applied.node)) == 4, "the same correction goes on"
    assert history(applied.node)[-1]["note"] < last["note"], "and takes it farther from the model"
    remark = next(texts[3] for texts in rows(applied.panel) if texts[0] == str(THIN))
    assert remark == history(applied.node)[-1]["note"]
    for _stroke in range(2):
        applied.ui.segmentEditor.undo()
        host.processEvents()
    assert statuses(applied.panel)[THIN] == "flagged"
    applied.ui.segmentEditor.redo()
    host.processEvents()
    assert statuses(applied.panel)[THIN] == "corrected"


def test_accepting_a_correction_says_by_whom_and_goes_on_to_the_next(host, applied):
    select(host, applied.panel, THIN)
    paint(host, applied, THIN, CORNER)
    host.click(applied.ui.acceptButton)
    assert statuses(applied.panel)[THIN] == "accepted"
    applied.ui.segmentEditor.undo()
    host.processEvents()
    assert statuses(applied.panel)[THIN] == "flagged", "Undo takes back the stroke: accepting drew nothing"
    applied.ui.segmentEditor.redo()
    host.processEvents()
    assert statuses(applied.panel)[THIN] == "accepted"
    entry = readReview(applied.node)[THIN]
    assert entry.reviewer == "AB" and applied.panel.review.selectedSlice() == BLANK
    assert "Dice with the model's answer" in history(applied.node)[-1]["note"]
    paint(host, applied, THIN, (slice(70, 80), slice(2, 20)))
    assert statuses(applied.panel)[THIN] == "corrected", "it is not what was accepted any more"
    applied.ui.segmentEditor.undo()
    host.processEvents()
    assert statuses(applied.panel)[THIN] == "accepted"


def test_an_empty_slice_can_be_accepted(host, applied):
    select(host, applied.panel, BLANK)
    host.click(applied.ui.acceptButton)
    assert statuses(applied.panel)[BLANK] == "accepted"


def test_a_rejected_slice_is_measured_by_nothing_and_comes_back_when_it_is_accepted(host, applied):
    shown = segmentations.readLabels(applied.node, applied.volume)
    select(host, applied.panel, THIN)
    host.click(applied.ui.rejectButton)
    assert statuses(applied.panel)[THIN] == "rejected"
    assert not regions.regionMasks(applied.node, applied.volume)["Myocardium"][THIN].any()
    select(host, applied.panel, THIN)
    host.click(applied.ui.acceptButton)
    np.testing.assert_array_equal(segmentations.readLabels(applied.node, applied.volume), shown)
    select(host, applied.panel, THIN)
    host.click(applied.ui.rejectButton)
    applied.ui.segmentEditor.undo()
    host.processEvents()
    np.testing.assert_array_equal(segmentations.readLabels(applied.node, applied.volume), shown)
    assert statuses(applied.panel)[THIN] != "rejected"


def test_reset_goes_back_to_the_model(host, applied):
    shown = segmentations.readLabels(applied.node, applied.volume)
    for index in (GOOD, THIN):
        select(host, applied.panel, index)
        paint(host, applied, index, CORNER)
    host.click(applied.ui.resetAllButton)
    np.testing.assert_array_equal(segmentations.readLabels(applied.node, applied.volume), shown)
    assert statuses(applied.panel) == {GOOD: "auto", THIN: "flagged", BLANK: "flagged"}
    applied.ui.segmentEditor.undo()
    host.processEvents()
    assert statuses(applied.panel) == {GOOD: "corrected", THIN: "corrected", BLANK: "flagged"}


# Candidates


def test_other_candidates_are_shown_and_taken(host, applied):
    select(host, applied.panel, THIN)
    box, answer = applied.ui.candidateComboBox, readAnswer(applied.node, THIN)
    assert box.count == 7 and box.itemText(1).startswith(answer.chosen) and "model" in box.itemText(1)
    worst, dice = answer.best_first()[-1]
    host.choose(box, f"{worst}: {dice:.2f}")
    shown = candidatepreview.shownCandidate()
    assert shown.GetName() == f"Candidate {worst}" and shown.GetHideFromEditors() and not shown.GetSaveWithScene()
    labels = segmentations.readLabels(shown, applied.volume)
    np.testing.assert_array_equal(labels[THIN], answer.shown(worst))
    assert not labels[GOOD].any()
    host.click(applied.ui.takeButton)
    np.testing.assert_array_equal(segmentations.readLabels(applied.node, applied.volume)[THIN], answer.shown(worst))
    assert candidatepreview.shownCandidate() is None and statuses(applied.panel)[THIN] == "corrected"
    assert history(applied.node)[-1]["note"].startswith(f"candidate {worst} taken; Dice with the model's answer 0.")
    applied.ui.segmentEditor.undo()
    host.processEvents()
    assert statuses(applied.panel)[THIN] == "flagged"


def test_the_shown_candidate_goes_with_its_slice_and_with_the_panel(host, applied):
    select(host, applied.panel, THIN)
    applied.ui.candidateComboBox.currentIndex = 2
    host.processEvents()
    assert candidatepreview.shownCandidate() is not None
    select(host, applied.panel, GOOD)
    assert candidatepreview.shownCandidate() is None
    applied.ui.candidateComboBox.currentIndex = 2
    slicer.util.selectModule("")
    assert candidatepreview.shownCandidate() is None
    slicer.util.selectModule("CMRQCSegmentation")
    select(host, applied.panel, BLANK)
    assert not applied.ui.candidateComboBox.enabled and applied.ui.candidateComboBox.itemText(0) == "none"


# Apply again


def touch(host, applied):
    """Correct one slice, and accept another."""
    select(host, applied.panel, THIN)
    paint(host, applied, THIN, CORNER)
    select(host, applied.panel, GOOD)
    host.click(applied.ui.acceptButton)


def test_apply_again_asks_before_it_overwrites_and_keeps_what_is_to_be_kept(host, applied):
    import qt

    touch(host, applied)
    before = segmentations.readLabels(applied.node, applied.volume)
    host.answer(qt.QMessageBox.Yes)
    host.click(applied.ui.applyButton)
    (question,) = host.takeMessages()
    assert question.text.startswith("Slices that were corrected, accepted or rejected: 0, 1. Keep them as they are?")
    np.testing.assert_array_equal(segmentations.readLabels(applied.node, applied.volume), before)
    assert statuses(applied.panel) == {GOOD: "accepted", THIN: "corrected", BLANK: "flagged"}
    assert regions.findSegmentation(applied.volume) is applied.node
    host.answer(qt.QMessageBox.No)
    host.click(applied.ui.applyButton)
    host.takeMessages()
    assert statuses(applied.panel) == {GOOD: "auto", THIN: "flagged", BLANK: "flagged"}
    assert not segmentations.readLabels(applied.node, applied.volume)[THIN][CORNER].any()
    applied.ui.segmentEditor.undo()
    host.processEvents()
    assert statuses(applied.panel)[THIN] == "corrected", "Undo brings back what was lost"


def test_apply_again_asks_nothing_where_nobody_has_changed_anything(host, applied):
    host.click(applied.ui.applyButton)
    assert host.takeMessages() == [] and len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")) == 1


# The scene


def test_the_history_is_there_after_the_scene_was_saved_and_loaded(host, applied, tmp_path):
    touch(host, applied)
    select(host, applied.panel, THIN)
    applied.ui.commentLineEdit.text = "papillary muscle"
    applied.panel.review.onCommentEdited()
    before = rows(applied.panel), history(applied.node), segmentations.readLabels(applied.node, applied.volume)
    assert [change["note"] for change in before[1]][0].startswith("model: ")
    host.reopenScene(tmp_path / "scene.mrb")
    volume = slicer.util.getNode("LGE")
    assert applied.ui.inputSelector.currentNode() is volume
    node = regions.findSegmentation(volume)
    assert rows(applied.panel) == before[0] and history(node) == before[1]
    np.testing.assert_array_equal(segmentations.readLabels(node, volume), before[2])
    select(host, applied.panel, THIN)
    host.click(applied.ui.resetButton)
    assert statuses(applied.panel)[THIN] == "flagged", "the model's answer came along"
    select(host, applied.panel, THIN)
    assert applied.ui.candidateComboBox.count == 7
    assert host.takeMessages() == []


def test_the_history_is_saved_as_a_table(host, applied, tmp_path, monkeypatch):
    touch(host, applied)
    monkeypatch.setattr(applied.panel.review, "_askForFile", lambda: str(tmp_path / "review.csv"))
    host.click(applied.ui.saveHistoryButton)
    with open(tmp_path / "review.csv", newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert {row["result"] for row in table} == {"LGE segmentation"}
    assert [row["after"] for row in table] == ["auto", "flagged", "flagged", "corrected", "accepted"]
    assert "predicted Dice" in table[0]["note"] and table[3]["reviewer"] == "AB" and table[3]["time"].endswith("+00:00")


def test_drawing_elsewhere_is_noticed_when_the_panel_is_opened_again(host, applied):
    slicer.util.selectModule("")
    labels = segmentations.readLabels(applied.node, applied.volume)
    labels[GOOD][CORNER] = 1
    segmentations.writeLabels(applied.node, applied.volume, labels)
    slicer.util.selectModule("CMRQCSegmentation")
    host.processEvents()
    assert statuses(applied.panel)[GOOD] == "corrected"


def test_another_volume_a_removed_segmentation_and_a_closed_scene(host, applied):
    other = load("T1 map")
    host.setNode(applied.ui.inputSelector, other)
    assert rows(applied.panel) == [] and applied.ui.segmentEditor.segmentationNode() is None
    host.setNode(applied.ui.inputSelector, applied.volume)
    assert len(rows(applied.panel)) == 3 and applied.ui.segmentEditor.segmentationNode() is applied.node
    slicer.mrmlScene.RemoveNode(applied.node)
    host.processEvents()
    assert rows(applied.panel) == [] and not applied.ui.acceptAllButton.enabled
    host.click(applied.ui.applyButton)
    assert len(rows(applied.panel)) == 3
    slicer.mrmlScene.Clear(False)
    host.processEvents()
    assert rows(applied.panel) == [] and not applied.ui.applyButton.enabled


def test_a_segment_that_was_removed_counts_as_erased_and_comes_back(host, applied):
    applied.node.GetSegmentation().RemoveSegment("Blood pool")
    host.processEvents()
    assert statuses(applied.panel)[GOOD] == "corrected"
    host.click(applied.ui.resetAllButton)
    assert statuses(applied.panel)[GOOD] == "auto"
    assert regions.regionMasks(applied.node, applied.volume)["Blood pool"][GOOD].any()


def test_a_damaged_review_is_told_and_mended_by_apply(host, applied):
    applied.node.SetAttribute("CMR.Segmentation.Slices", "[1, 2")
    host.click(applied.ui.applyButton)
    host.takeMessages()
    assert statuses(applied.panel) == {GOOD: "auto", THIN: "flagged", BLANK: "flagged"}


# Volumes of every kind


@pytest.mark.parametrize(
    "kind", ["one slice", "anisotropic", "integer", "with NaN", "without a heart", "under a transform"]
)
def test_volumes_of_every_kind(host, panel, kind):
    array, geometry = images()[:2], GEOMETRY
    if kind == "one slice":
        array = array[:1]
    elif kind == "anisotropic":
        array, geometry = array[:, :, ::2], Geometry(GEOMETRY.origin, (2.4, 1.2, 8.0), GEOMETRY.direction)
    elif kind == "integer":
        array = (1000 * array).astype(np.int16)
    elif kind == "with NaN":
        array[:, :3] = np.nan
    elif kind == "without a heart":
        array = np.random.default_rng(1).random(array.shape).astype(np.float32)
    volume = load(kind, array, geometry)
    if kind == "under a transform":
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        turn = vtk.vtkTransform()
        turn.RotateX(30)
        transform.SetMatrixTransformToParent(turn.GetMatrix())
        volume.SetAndObserveTransformNodeID(transform.GetID())
    host.setNode(panel.ui.inputSelector, volume)
    host.click(panel.ui.applyButton)
    node = regions.findSegmentation(volume)
    found = regions.regionMasks(node, volume)["Myocardium"]
    assert found.shape == array.shape and len(rows(panel)) == len(array)
    if kind == "without a heart":
        assert not found.any() and {entry.status for entry in readReview(node)} == {Status.FLAGGED}
        assert {entry.reason for entry in readReview(node)} == {prediction.NO_HEART}
    else:
        truth = drawn_ring(SHAPE, (45.0, 52.0))[1] == 1
        truth = truth[:, ::2] if kind == "anisotropic" else truth
        assert 2 * np.sum(found[0] & truth) / (found[0].sum() + truth.sum()) > 0.8


def test_volumes_that_cannot_be_segmented_are_one_sentence(host, panel):
    empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty")
    host.setNode(panel.ui.inputSelector, empty)
    assert not panel.ui.applyButton.enabled and "holds no image" in panel.ui.applyButton.toolTip
    turned = load("Turned", np.ones((90, 3, 100), np.float32), Geometry(spacing=(1.2, 8.0, 1.2)))
    host.setNode(panel.ui.inputSelector, turned)
    host.click(panel.ui.applyButton)
    (message,) = host.takeMessages()
    assert "slices do not come last" in message.text


@pytest.mark.self_test
def test_self_test_of_the_module(panel):
    """What Reload and Test runs."""
    import CMRQCSegmentation

    CMRQCSegmentation.CMRQCSegmentationTest().runTest()
