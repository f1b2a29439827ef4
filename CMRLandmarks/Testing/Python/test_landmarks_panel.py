"""The panel of CMRLandmarks, used as an analyst uses it; runs in the host and in a real Slicer."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import slicer

from CMRLandmarksLib.prediction import NO_HEART, UNSURE, LandmarkPrediction
from CMRLandmarksLib.scene import landmarkdetection
from CMRLib.anatomy.landmarks import LANDMARK_NAMES
from CMRLib.errors import MissingDependencyError
from CMRLib.geometry import Geometry
from CMRLib.review import Status
from CMRLib.scene import aha, bullseye, display, landmarks
from CMRLib.scene.landmarkreview import readReview
from CMRLib.scene.results import findResult
from CMRLib.scene.volumes import ijkToWorld, setVolumeArray, volumeArray

MODULE = Path(__file__).resolve().parents[2] / "CMRLandmarks.py"

# A short-axis stack: slices towards the base, columns away from the septum, rows from the anterior wall downwards.
AXIS = np.array([1.0, -1.0, -1.0]) / np.sqrt(3)
ANTERIOR = np.array([1.0, -1.0, 2.0]) / np.sqrt(6)
SEPTAL = np.array([-1.0, -1.0, 0.0]) / np.sqrt(2)
GEOMETRY = Geometry(
    (-60.0, 20.0, 80.0), (1.5, 1.5, 10.0), tuple(np.stack([-SEPTAL, -ANTERIOR, -AXIS], axis=1).ravel().tolist())
)
CENTER, SLICES, SHAPE = (40.0, 45.0), 4, (90, 96)
APICAL, MID, BASAL = 0, 1, 2
INSERTIONS = [(CENTER[0] - 18 * np.sin(angle), CENTER[1] + 18 * np.cos(angle)) for angle in np.radians([120.0, 240.0])]


def myocardium():
    rows, columns = np.indices(SHAPE)
    ring = np.hypot(rows - CENTER[0], columns - CENTER[1])
    return np.repeat(((ring >= 10) & (ring <= 18))[None], SLICES, axis=0)


def images():
    """900 ms in the anterior half of the myocardium, 1100 in the inferior half, 1800 in the cavity and around."""
    half = np.where(np.arange(SHAPE[0])[:, None] < CENTER[0], 900.0, 1100.0)
    return np.where(myocardium(), half, 1800.0).astype(np.float32)


def answer(index):
    """What the model says: sure in slice 0, unsure in 1, no heart in 3."""
    heart, reason = (0.1, NO_HEART) if index == 3 else (0.99, UNSURE if index == 1 else "")
    sure = [0.95, 0.4, 0.8, 0.1][index]
    confidence = dict.fromkeys(("lv_center", "rv_insertion", "inferior_rv_insertion"), sure)
    return LandmarkPrediction(index, CENTER, INSERTIONS[0], INSERTIONS[1], confidence, heart, bool(reason), reason)


def predicted(image, geometry, *, model, progress):
    for fraction in (0.5, 1.0):
        progress(fraction)
    return [answer(index) for index in range(len(image))]


@pytest.fixture
def panel(host, monkeypatch):
    entry = SimpleNamespace(id="landmarks-test", sha256="0" * 64)
    model = SimpleNamespace(device="cpu", entry=entry)
    monkeypatch.setattr(landmarkdetection, "load_landmark_model", lambda device="auto": model)
    monkeypatch.setattr(landmarkdetection, "predict_landmarks", predicted)
    return host.loadModule(MODULE)


def load(name="T1 map", array=None, geometry=GEOMETRY):
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    setVolumeArray(volume, images() if array is None else array, geometry)
    volume.CreateDefaultDisplayNodes()
    volume.GetDisplayNode().AutoWindowLevelOff()
    volume.GetDisplayNode().SetWindowLevelMinMax(800, 1200)
    return volume


def segment(volume, mask=None, name="Myocardium"):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Segmentation")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    blood = node.GetSegmentation().AddEmptySegment("", "Blood pool")
    slicer.util.updateSegmentBinaryLabelmapFromArray(np.ones_like(images(), np.uint8), node, blood, volume)
    segmentId = node.GetSegmentation().AddEmptySegment("", name)
    array = (myocardium() if mask is None else mask).astype(np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(array, node, segmentId, volume)
    return node


@pytest.fixture
def applied(host, panel):
    volume = load()
    host.setNode(panel.ui.inputSelector, volume)
    host.click(panel.ui.applyButton)
    return SimpleNamespace(panel=panel, ui=panel.ui, volume=volume, node=landmarks.findLandmarks(volume))


@pytest.fixture
def measured(host, applied):
    applied.segmentation = segment(applied.volume)
    host.setNode(applied.ui.segmentationSelector, applied.segmentation)
    return applied


def rows(panel):
    table = panel.ui.reviewTable
    return [[table.item(row, column).text() for column in range(5)] for row in range(table.rowCount)]


def select(host, panel, index):
    """Click the row of a slice."""
    table = panel.ui.reviewTable
    row = [texts[0] for texts in rows(panel)].index(str(index))
    table.setCurrentCell(row, 0)
    host.processEvents()


def world(volume, index, point):
    return ijkToWorld(volume, np.array([[point[1], point[0], index]]))[0]


def segmentMeans(volume):
    table = findResult(volume, aha.TABLE_ROLE, "vtkMRMLTableNode")
    return [float(table.GetCellText(row, 1) or "nan") for row in range(16)]


def lines():
    return slicer.util.getNodesByClass("vtkMRMLMarkupsLineNode")


# Opening and Apply


def test_panel_opens_and_says_what_is_missing(panel):
    assert not panel.ui.applyButton.enabled
    assert panel.ui.applyButton.toolTip == "Select short-axis images."
    assert "click Apply" in panel.ui.segmentsLabel.text
    for name in ("acceptButton", "acceptAllButton", "resetButton", "placeButton", "layoutButton", "savePictureButton"):
        assert not getattr(panel.ui, name).enabled, name


def test_apply_places_named_points_in_every_slice_with_a_heart(host, applied):
    node = applied.node
    assert node.GetNumberOfControlPoints() == 3 * SLICES
    assert node.GetNumberOfDefinedControlPoints() == 9, "no heart in slice 3"
    assert node.GetNthControlPointLabel(3) == "LV 1"
    assert node.GetNthControlPointDescription(4) == "anterior RV insertion, slice 1"
    position = [0.0, 0.0, 0.0]
    node.GetNthControlPointPositionWorld(7, position)
    np.testing.assert_allclose(position, world(applied.volume, 2, INSERTIONS[0]), atol=1e-4)
    attributes = {name: node.GetAttribute(name) for name in node.GetAttributeNames()}
    assert attributes["CMR.Role"] == "landmarks" and attributes["CMR.Model"] == "landmarks-test"
    assert attributes["CMR.Source"] == applied.volume.GetID() and attributes["CMR.Device"] == "cpu"
    assert applied.ui.statusLabel.text == "Landmarks in 3 of 4 slices on cpu; 2 flagged to be looked at."
    assert host.takeMessages() == []


def test_entry_lines_run_from_center_to_insertion(applied):
    assert len(lines()) == 3
    line = next(node for node in lines() if node.GetAttribute("CMR.SliceIndex") == "1")
    ends = slicer.util.arrayFromMarkupsControlPoints(line, world=True)
    np.testing.assert_allclose(
        ends, [world(applied.volume, 1, CENTER), world(applied.volume, 1, INSERTIONS[0])], atol=1e-4
    )


def test_review_lists_flagged_slices_first(applied):
    assert rows(applied.panel) == [
        ["3", "–", "10 %", "missing", NO_HEART],
        ["1", "mid", "40 %", "flagged", UNSURE],
        ["2", "basal", "80 %", "auto", ""],
        ["0", "apical", "95 %", "auto", ""],
    ]


def test_selecting_a_row_goes_to_its_slice(host, applied):
    for index in (0, 2):
        select(host, applied.panel, index)
        red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()
        toRAS = slicer.util.arrayFromVTKMatrix(red.GetSliceToRAS())
        away = toRAS[:3, 2] @ (world(applied.volume, index, CENTER) - toRAS[:3, 3])
        assert abs(away) < 0.01


def test_apply_again_updates_the_same_nodes_and_keeps_what_was_accepted(host, applied):
    select(host, applied.panel, 0)
    moved = world(applied.volume, 0, (30.0, 30.0))
    applied.node.SetNthControlPointPositionWorld(1, *moved)
    host.click(applied.ui.acceptButton)
    applied.node.SetNthControlPointPositionWorld(4, *world(applied.volume, 1, (31.0, 31.0)))
    count = slicer.mrmlScene.GetNumberOfNodes()
    host.click(applied.ui.applyButton)
    assert slicer.mrmlScene.GetNumberOfNodes() == count
    points = landmarks.slicePoints(applied.node, applied.volume)
    assert points[0][1] == pytest.approx((30, 30), abs=1e-3)
    assert points[1][1] == pytest.approx(INSERTIONS[0], abs=1e-3)
    assert {texts[0]: texts[3] for texts in rows(applied.panel)} == {
        **{"0": "accepted", "1": "flagged", "2": "auto", "3": "missing"}
    }


def test_a_model_that_is_missing_is_said_and_changes_nothing(host, panel, monkeypatch):
    def missing(device="auto"):
        raise MissingDependencyError("The weights are missing; install CMRMapping again.")

    monkeypatch.setattr(landmarkdetection, "load_landmark_model", missing)
    host.setNode(panel.ui.inputSelector, load())
    host.click(panel.ui.applyButton)
    assert [shown.text for shown in host.takeMessages()] == ["The weights are missing; install CMRMapping again."]
    assert not slicer.util.getNodesByClass(landmarks.CLASS)
    assert panel.ui.applyButton.enabled and not panel.ui.progressWidget.visible


def test_cancel_changes_nothing(host, panel, monkeypatch):
    def cancelling(image, geometry, *, model, progress):
        progress(0.1)
        panel.ui.cancelButton.click()
        progress(0.2)

    monkeypatch.setattr(landmarkdetection, "predict_landmarks", cancelling)
    host.setNode(panel.ui.inputSelector, load())
    host.click(panel.ui.applyButton)
    assert panel.ui.statusLabel.text == "Cancelled; nothing was changed."
    assert not slicer.util.getNodesByClass(landmarks.CLASS)


def test_importing_a_scene_during_a_run(host, panel, monkeypatch, tmp_path):
    """The landmarks go to the images that they were found in, not to those that the imported scene has selected."""
    path, imported = tmp_path / "scene.mrb", []
    host.setNode(panel.ui.inputSelector, load("Stress T1 map"))
    assert slicer.util.saveScene(str(path))
    slicer.mrmlScene.Clear(False)
    host.processEvents()
    volume = load()
    host.setNode(panel.ui.inputSelector, volume)

    def importing(image, geometry, *, model, progress):
        imported.append(slicer.mrmlScene.ReadFromMRB(str(path)))
        return predicted(image, geometry, model=model, progress=progress)

    monkeypatch.setattr(landmarkdetection, "predict_landmarks", importing)
    host.click(panel.ui.applyButton)
    other = panel.ui.inputSelector.currentNode()
    assert imported == [True] and other.GetName() == "Stress T1 map" and landmarks.findLandmarks(other) is None
    assert landmarks.findLandmarks(volume).GetNumberOfDefinedControlPoints() == 9 and rows(panel) == []
    assert panel.ui.statusLabel.text == "Computed for T1 map, which is not selected any more."
    host.setNode(panel.ui.inputSelector, volume)
    assert len(rows(panel)) == SLICES


def test_a_scene_closed_during_the_run_ends_it(host, panel, monkeypatch):
    def closing(image, geometry, *, model, progress):
        slicer.mrmlScene.Clear(False)
        progress(0.2)

    monkeypatch.setattr(landmarkdetection, "predict_landmarks", closing)
    host.setNode(panel.ui.inputSelector, load())
    host.click(panel.ui.applyButton)
    assert not slicer.util.getNodesByClass(landmarks.CLASS)
    assert host.takeMessages() == [] and rows(panel) == []


def test_removed_nodes_leave_none_selected(host, measured):
    """The selector of a real Slicer goes on to the neighbour of a node that is removed."""
    ui, other = measured.ui, load("Stress T1 map")
    drawn = segment(other)
    host.setNode(ui.segmentationSelector, drawn)
    host.setNode(ui.mapSelector, other)
    slicer.mrmlScene.RemoveNode(drawn)
    host.processEvents()
    assert ui.segmentationSelector.currentNode() is None and "segmentation" in ui.segmentsLabel.text
    slicer.mrmlScene.RemoveNode(other)
    host.processEvents()
    assert ui.mapSelector.currentNode() is None and ui.inputSelector.currentNode() is measured.volume
    load("Late gadolinium")
    slicer.mrmlScene.RemoveNode(measured.volume)
    host.processEvents()
    assert ui.inputSelector.currentNode() is None and not ui.applyButton.enabled


# Correcting


def dragPoint(host, applied, index, kind, target):
    """Drag a landmark of a slice in the red view as a user does."""
    select(host, applied.panel, index)
    points = landmarks.slicePoints(applied.node, applied.volume)[index]
    host.drag("Red", world(applied.volume, index, points[kind]), world(applied.volume, index, target))


def test_dragging_a_point_updates_everything_at_once(host, measured):
    ui, volume = measured.ui, measured.volume
    assert segmentMeans(volume)[0] == 900 and segmentMeans(volume)[3] == 1100, "anterior and inferior"
    before = volumeArray(findResult(volume, aha.LABELS_ROLE, aha.LABELS_CLASS))
    picture = volumeArrayOf(volume)
    seen = []
    tag = measured.node.AddObserver(measured.node.PointModifiedEvent, lambda *_: seen.append(segmentMeans(volume)[0]))
    dragPoint(host, measured, BASAL, 1, (CENTER[0] + 18, CENTER[1]))  # the insertion to the inferior wall
    measured.node.RemoveObserver(tag)
    moved = landmarks.slicePoints(measured.node, volume)[BASAL]
    assert moved[1] == pytest.approx((CENTER[0] + 18, CENTER[1]), abs=1.0)
    assert moved[0] == pytest.approx(CENTER, abs=1e-3) and moved[2] == pytest.approx(INSERTIONS[1], abs=1e-3)
    assert len(set(seen)) > 2, "the segments followed while the point was moving"
    assert segmentMeans(volume)[0] > 1050, "segment 1 is now inferior"
    after = volumeArray(findResult(volume, aha.LABELS_ROLE, aha.LABELS_CLASS))
    assert np.any(after[BASAL] != before[BASAL]) and np.array_equal(after[:BASAL], before[:BASAL])
    assert np.any(volumeArrayOf(volume) != picture)
    line = next(node for node in lines() if node.GetAttribute("CMR.SliceIndex") == str(BASAL))
    np.testing.assert_allclose(
        slicer.util.arrayFromMarkupsControlPoints(line, world=True)[1], world(volume, BASAL, moved[1]), atol=1e-3
    )
    assert {texts[0]: texts[3] for texts in rows(measured.panel)}[str(BASAL)] == "corrected"
    assert ui.resetButton.enabled and ui.acceptButton.enabled


def volumeArrayOf(volume):
    """The picture of the bull's-eye of a volume."""
    return slicer.util.arrayFromVolume(findResult(volume, bullseye.ROLE, bullseye.CLASS)).copy()


def stored(array, transpose, flipColumns, rowsMm):
    """The stack stored another way: its pixels, its geometry, and (row, column) of a point of the usual one."""
    columns, rows, slices = GEOMETRY.matrix.T
    origin, size = np.array(GEOMETRY.origin), list(array.shape[:0:-1])
    spacing = [GEOMETRY.spacing[0], rowsMm, GEOMETRY.spacing[2]]
    if flipColumns:
        array, origin, columns = array[:, :, ::-1], origin + columns * spacing[0] * (size[0] - 1), -columns
    if transpose:
        array, columns, rows = array.transpose(0, 2, 1), rows, columns
        spacing[:2] = spacing[1::-1]
    if np.dot(np.cross(columns, rows), slices) < 0:  # as Slicer loads it: slices are counted the other way
        origin, slices, array = origin + slices * spacing[2] * (len(array) - 1), -slices, array[::-1]
    matrix = np.stack([columns, rows, slices], axis=1)

    def move(point):
        row, column = point[0], size[0] - 1 - point[1] if flipColumns else point[1]
        return (column, row) if transpose else (row, column)

    return array.copy(), Geometry(tuple(origin.tolist()), tuple(spacing), tuple(matrix.ravel().tolist())), move


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("flipColumns", [False, True])
@pytest.mark.parametrize("rowsMm", [1.5, 2.4])
def test_any_orientation_and_any_pixel_can_be_dragged_and_measured(
    host, panel, monkeypatch, transpose, flipColumns, rowsMm
):
    array, geometry, move = stored(images(), transpose, flipColumns, rowsMm)
    mask = stored(myocardium(), transpose, flipColumns, rowsMm)[0]

    def everywhere(image, geometry, *, model, progress):
        points = [move(p) for p in (CENTER, *INSERTIONS)]
        sure = dict.fromkeys(LANDMARK_NAMES, 0.9)
        return [LandmarkPrediction(index, *points, sure, 0.9, False, "") for index in range(len(image))]

    monkeypatch.setattr(landmarkdetection, "predict_landmarks", everywhere)
    volume = load(array=array, geometry=geometry)
    host.setNode(panel.ui.inputSelector, volume)
    host.click(panel.ui.applyButton)
    host.setNode(panel.ui.segmentationSelector, segment(volume, mask))
    means = segmentMeans(volume)
    assert [means[n - 1] for n in (1, 7)] == [900, 900] and means[12] == pytest.approx(900, abs=25)
    assert [means[n - 1] for n in (4, 10)] == [1100, 1100] and means[14] == pytest.approx(1100, abs=25)
    labels = volumeArray(findResult(volume, aha.LABELS_ROLE, aha.LABELS_CLASS))
    septal, lateral = (np.round(move((CENTER[0] - 2, CENTER[1] + x))).astype(int) for x in (-14, 14))
    basal = next(n for n in range(SLICES) if labels[n].max() == 6)
    assert labels[basal][tuple(septal)] == 2 and labels[basal][tuple(lateral)] == 6

    applied = SimpleNamespace(panel=panel, ui=panel.ui, volume=volume, node=landmarks.findLandmarks(volume))
    target = move((CENTER[0] + 18, CENTER[1]))
    dragPoint(host, applied, basal, 1, target)
    assert landmarks.slicePoints(applied.node, volume)[basal][1] == pytest.approx(target, abs=1.5)
    assert segmentMeans(volume)[0] > 1050


def test_entry_lines_cannot_be_dragged(host, applied):
    select(host, applied.panel, 0)
    middle = np.mean([CENTER, INSERTIONS[0]], axis=0)
    host.drag("Red", world(applied.volume, 0, middle), world(applied.volume, 0, middle + [10, 10]))
    points = landmarks.slicePoints(applied.node, applied.volume)[0]
    assert points[0] == pytest.approx(CENTER, abs=1e-3) and points[1] == pytest.approx(INSERTIONS[0], abs=1e-3)


def test_reset_goes_back_to_the_models_answer(host, measured):
    means = segmentMeans(measured.volume)
    dragPoint(host, measured, 0, 1, (CENTER[0] + 18, CENTER[1]))
    host.click(measured.ui.resetButton)
    assert landmarks.slicePoints(measured.node, measured.volume)[0][1] == pytest.approx(INSERTIONS[0], abs=1e-3)
    assert segmentMeans(measured.volume) == means
    assert {texts[0]: texts[3] for texts in rows(measured.panel)}["0"] == "auto"


def test_reset_all_leaves_slices_without_a_heart_alone(host, applied):
    dragPoint(host, applied, 0, 1, (30.0, 30.0))
    host.click(applied.ui.resetAllButton)
    assert [texts[3] for texts in sorted(rows(applied.panel))] == ["auto", "flagged", "auto", "missing"]


def test_accepting_is_kept_until_the_point_moves(host, applied):
    select(host, applied.panel, 1)
    host.click(applied.ui.acceptButton)
    statuses = {texts[0]: texts[3] for texts in rows(applied.panel)}
    assert statuses["1"] == "accepted" and rows(applied.panel)[-1][0] == "1", "it went to the end of the list"
    dragPoint(host, applied, 1, 0, (44.0, 44.0))
    assert {texts[0]: texts[3] for texts in rows(applied.panel)}["1"] == "corrected"
    host.click(applied.ui.acceptAllButton)
    assert [texts[3] for texts in sorted(rows(applied.panel))] == ["accepted"] * 3 + ["missing"]


def test_keys_go_from_one_flagged_slice_to_the_next_and_back(host, applied):
    from CMRLib.scene.reviewlist import NEXT_KEY, PREVIOUS_KEY

    panel, review = applied.panel, applied.panel.review
    select(host, panel, 0)
    visited = []
    for key in (NEXT_KEY, NEXT_KEY, NEXT_KEY, PREVIOUS_KEY):
        press(review, key)
        visited.append(review.selectedSlice())
    assert visited == [3, 1, 3, 1], "only slices 1 and 3 are flagged"
    host.click(applied.ui.acceptButton)
    assert review.selectedSlice() == 3
    press(review, NEXT_KEY)
    assert review.selectedSlice() == 3, "it is the only one left"


def press(review, key):
    """Press a key that the review list listens to."""
    (shortcut,) = [s for s in review._shortcuts if s.key.toString() == key]
    shortcut.native.activated.emit()


def test_status_and_confidence_are_colored(applied):
    from CMRLib.scene.reviewlist import STATUS_COLORS

    table = applied.ui.reviewTable
    by_slice = {table.item(row, 0).text(): row for row in range(table.rowCount)}
    background = {n: table.item(row, 3).background().color().name() for n, row in by_slice.items()}
    assert background["1"] == STATUS_COLORS[Status.FLAGGED] and background["0"] == STATUS_COLORS[Status.AUTO]
    sure, unsure = (table.item(by_slice[n], 2).background().color() for n in ("0", "3"))
    assert sure.green() > sure.red() and unsure.red() > unsure.green()


def test_rejected_slices_are_not_measured(host, measured):
    assert segmentMeans(measured.volume)[0] == 900
    select(host, measured.panel, BASAL)
    host.click(measured.ui.rejectButton)
    assert {texts[0]: texts[3] for texts in rows(measured.panel)}[str(BASAL)] == "rejected"
    labels = volumeArray(findResult(measured.volume, aha.LABELS_ROLE, aha.LABELS_CLASS))
    assert not labels[BASAL].any()
    select(host, measured.panel, BASAL)
    host.click(measured.ui.resetButton)
    labels = volumeArray(findResult(measured.volume, aha.LABELS_ROLE, aha.LABELS_CLASS))
    assert labels[BASAL].max() == 6


def test_reviewer_comment_and_history_are_kept_and_exported(host, applied, tmp_path, monkeypatch):
    review, ui = applied.panel.review, applied.ui
    ui.reviewerLineEdit.text = "AB"
    select(host, applied.panel, 1)
    ui.commentLineEdit.text = "thin wall"
    review.onCommentEdited()
    dragPoint(host, applied, 1, 1, (30.0, 30.0))
    host.click(ui.acceptButton)
    table = ui.reviewTable
    row = next(row for row in range(table.rowCount) if table.item(row, 0).text() == "1")
    assert table.item(row, 5).text() == "thin wall"
    monkeypatch.setattr(review, "_askForFile", lambda: str(tmp_path / "review.csv"))
    host.click(ui.saveHistoryButton)
    lines = (tmp_path / "review.csv").read_text().splitlines()
    assert [line.split(",")[2:6] for line in lines] == [
        ["slice", "before", "after", "reviewer"],
        ["1", "flagged", "corrected", "AB"],
        ["1", "corrected", "accepted", "AB"],
    ]
    monkeypatch.setattr(review, "_askForFile", lambda: str(tmp_path / "review.txt"))
    host.click(ui.saveHistoryButton)
    assert "saved as .csv" in host.takeMessages()[-1].text and not (tmp_path / "review.txt").exists()
    select(host, applied.panel, 0)
    assert ui.commentLineEdit.text == ""


def test_a_slice_without_a_heart_gets_its_points_by_hand(host, measured):
    select(host, measured.panel, 3)
    assert measured.ui.placeButton.enabled
    host.click(measured.ui.placeButton)
    assert measured.node.GetNumberOfDefinedControlPoints() == 12 and len(lines()) == 4
    assert {texts[0]: texts[3] for texts in rows(measured.panel)}["3"] == "corrected"


def test_points_by_hand_without_any_model(host, panel):
    volume = load()
    host.setNode(panel.ui.inputSelector, volume)
    host.click(panel.ui.placeButton)
    node = landmarks.findLandmarks(volume)
    assert node.GetNumberOfDefinedControlPoints() == 3
    assert {texts[0]: texts[3] for texts in rows(panel)} == {
        **{"0": "missing", "1": "missing", "2": "corrected", "3": "missing"}
    }


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_a_point_placed_by_hand_and_deleted_in_the_view_can_be_placed_again(host, panel, kind):
    """The view's "Delete point" unsets a point where their number is fixed."""
    volume = load()
    host.setNode(panel.ui.inputSelector, volume)
    host.click(panel.ui.placeButton)
    node, number = landmarks.findLandmarks(volume), 3 * 2 + kind
    assert not panel.ui.placeButton.enabled and node.GetFixedNumberOfControlPoints()
    node.SetNthControlPointPositionWorld(6, *world(volume, 2, (50.0, 40.0)))
    before = landmarks.slicePoints(node, volume)[2]
    node.UnsetNthControlPointPosition(number)
    host.processEvents()
    host.click(panel.ui.placeButton)
    after = landmarks.slicePoints(node, volume)[2]
    assert [point for n, point in enumerate(after) if n != kind] == [p for n, p in enumerate(before) if n != kind]
    assert after[kind] is not None and np.hypot(*np.subtract(after[kind], before[kind])) < 25
    assert {texts[0]: texts[3] for texts in rows(panel)}["2"] == "corrected" and len(lines()) == 1
    assert not panel.ui.placeButton.enabled


def test_landmarks_removed_during_a_run_take_their_lines_along(host, applied, monkeypatch):
    def removing(image, geometry, *, model, progress):
        slicer.mrmlScene.RemoveNode(applied.node)
        progress(0.5)
        return predicted(image, geometry, model=model, progress=progress)

    monkeypatch.setattr(landmarkdetection, "predict_landmarks", removing)
    host.click(applied.ui.applyButton)
    node = landmarks.findLandmarks(applied.volume)
    assert node is not applied.node and len(lines()) == 3
    assert all(line.GetNodeReference(landmarks.SOURCE_REFERENCE) is node for line in lines())

    def cancelling(image, geometry, *, model, progress):
        slicer.mrmlScene.RemoveNode(node)
        applied.ui.cancelButton.click()
        progress(0.5)

    monkeypatch.setattr(landmarkdetection, "predict_landmarks", cancelling)
    host.click(applied.ui.applyButton)
    assert landmarks.findLandmarks(applied.volume) is None and lines() == []


def test_dragged_insertions_snap_to_the_epicardium(host, measured):
    measured.ui.snapCheckBox.checked = True
    dragPoint(host, measured, 0, 1, (CENTER[0], CENTER[1] - 26))
    point = np.subtract(landmarks.slicePoints(measured.node, measured.volume)[0][1], CENTER)
    assert np.hypot(*point) == pytest.approx(18, abs=0.8)
    assert point[0] == pytest.approx(0, abs=1)


# Segments


def test_without_a_segmentation_the_panel_says_what_to_do(applied):
    assert applied.ui.segmentsLabel.text == "Select a segmentation of the myocardium to see its segments."


def test_the_region_called_myocardium_is_measured(measured):
    assert measured.ui.myocardiumComboBox.currentText == "Myocardium"
    assert measured.ui.segmentsLabel.text == ""
    table = findResult(measured.volume, aha.TABLE_ROLE, "vtkMRMLTableNode")
    assert table.GetNumberOfRows() == 16
    assert table.GetCellText(0, 0) == "1 Basal anterior" and table.GetCellText(15, 0) == "16 Apical lateral"
    assert [table.GetCellText(row, 8) for row in (0, 15)] == ["264850008", "264853005"]
    means = segmentMeans(measured.volume)
    assert [means[n - 1] for n in (1, 7, 13)] == [900, 900, pytest.approx(900, abs=20)]
    assert [means[n - 1] for n in (4, 10, 15)] == [1100, 1100, pytest.approx(1100, abs=20)]


def test_another_region_can_be_chosen(host, measured):
    host.choose(measured.ui.myocardiumComboBox, "Blood pool")
    assert segmentMeans(measured.volume)[0] > 1500


def test_drawing_the_myocardium_anew_updates_the_segments(host, measured):
    half = myocardium()
    half[:, :, : int(CENTER[1])] = False
    half[:, int(CENTER[0]) - 1 : int(CENTER[0]) + 2, :] = myocardium()[:, int(CENTER[0]) - 1 : int(CENTER[0]) + 2, :]
    segmentation = measured.segmentation.GetSegmentation()
    segmentId = segmentation.GetSegmentIdBySegmentName("Myocardium")
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        half.astype(np.uint8), measured.segmentation, segmentId, measured.volume
    )
    host.processEvents()
    labels = volumeArray(findResult(measured.volume, aha.LABELS_ROLE, aha.LABELS_CLASS))
    assert np.array_equal(labels[0] > 0, half[0])


def test_levels_follow_the_stack_until_they_are_chosen(host, measured):
    labels = volumeArray(findResult(measured.volume, aha.LABELS_ROLE, aha.LABELS_CLASS))
    assert [labels[n].max() for n in range(4)] == [16, 12, 6, 0]
    select(host, measured.panel, APICAL)
    host.choose(measured.ui.levelComboBox, "Mid")
    labels = volumeArray(findResult(measured.volume, aha.LABELS_ROLE, aha.LABELS_CLASS))
    assert [labels[n].max() for n in range(4)] == [12, 12, 6, 0]
    shown = {texts[0]: (texts[1], texts[4]) for texts in rows(measured.panel)}
    assert shown[str(APICAL)] == ("mid", "level chosen by hand")
    host.choose(measured.ui.levelComboBox, "Left out")
    labels = volumeArray(findResult(measured.volume, aha.LABELS_ROLE, aha.LABELS_CLASS))
    assert [labels[n].max() for n in range(4)] == [0, 16, 6, 0], "without the apical slice, slice 1 is the last"
    assert {texts[0]: texts[1] for texts in rows(measured.panel)}[str(APICAL)] == "left out"


def test_another_map_of_the_patient_is_measured_with_the_same_landmarks(host, measured):
    other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Finer")
    spacing = tuple(s / 2 if n < 2 else s for n, s in enumerate(GEOMETRY.spacing))
    corner = tuple((GEOMETRY.ijk_to_lps() @ [-0.25, -0.25, 1, 1])[:3].tolist())  # of pixels halved
    fine = Geometry(corner, spacing, GEOMETRY.direction)
    setVolumeArray(other, np.repeat(np.repeat(images()[1:2], 2, axis=1), 2, axis=2) / 10, fine)
    other.CreateDefaultDisplayNodes()
    host.setNode(measured.ui.mapSelector, other)
    means = segmentMeans(other)
    assert means[6] == pytest.approx(90, abs=3) and means[9] == pytest.approx(110, abs=3), "the slice is alone: mid"


def loadSlice(name, index):
    """A T1 map of one slice, as it is made from an acquisition of that slice."""
    acquisition = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", f"{name} images")
    acquisition.SetAttribute("CMR.Slice", name)
    acquisition.SetAttribute("CMR.State", "rest")
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", f"{name} T1 map")
    setVolumeArray(volume, images()[index : index + 1] + 10 * index, GEOMETRY.at_slice(index))
    volume.CreateDefaultDisplayNodes()
    volume.SetAttribute("CMR.Role", "t1")
    volume.SetNodeReferenceID("CMR.Source", acquisition.GetID())
    return volume


def test_maps_of_single_slices_fill_one_bulls_eye(host, panel):
    volumes = [loadSlice(name, index) for index, name in enumerate(("apical", "mid", "basal"))]
    for volume in volumes:
        host.setNode(panel.ui.inputSelector, volume)
        host.click(panel.ui.applyButton)
        host.setNode(panel.ui.segmentationSelector, segment(volume, myocardium()[:1]))
    assert panel.ui.segmentsLabel.text == "Measured together with apical T1 map, mid T1 map."
    means = segmentMeans(volumes[2])
    assert [means[n - 1] for n in (1, 7)] == [920, 910] and means[12] == pytest.approx(900, abs=20)
    assert not np.isnan(means).any()
    panel.ui.combineCheckBox.checked = False
    assert panel.ui.segmentsLabel.text == ""
    assert np.isnan(segmentMeans(volumes[2])[6:]).all()


def test_maps_of_another_state_or_kind_are_not_measured_together(host, panel):
    mid, basal = loadSlice("mid", 1), loadSlice("basal", 2)
    basal.GetNodeReference("CMR.Source").SetAttribute("CMR.State", "stress")
    for volume in (mid, basal):
        host.setNode(panel.ui.inputSelector, volume)
        host.click(panel.ui.applyButton)
        host.setNode(panel.ui.segmentationSelector, segment(volume, myocardium()[:1]))
    assert panel.ui.segmentsLabel.text == "" and np.isnan(segmentMeans(basal)[6:]).all()


def test_a_landmark_in_the_wrong_place_is_said_and_the_other_slices_stay(host, measured):
    dragPoint(host, measured, 0, 0, (10.0, 10.0))
    assert measured.ui.segmentsLabel.text.startswith("Slice 0: The LV centre does not lie within the myocardium")
    labels = volumeArray(findResult(measured.volume, aha.LABELS_ROLE, aha.LABELS_CLASS))
    assert not labels[0].any() and labels[1].any()


# Bull's-eye


def test_the_view_of_the_bulls_eye_shows_nothing_else(host, measured):
    host.click(measured.ui.layoutButton)
    view = slicer.app.layoutManager().sliceWidget(bullseye.VIEW_NAME)
    composite, sliceToRAS = view.mrmlSliceCompositeNode(), view.mrmlSliceNode().GetSliceToRAS()
    picture, plane = composite.GetBackgroundVolumeID(), slicer.util.arrayFromVTKMatrix(sliceToRAS)
    other = load("Stress T1 map", geometry=Geometry((5.0, 6.0, 7.0), (1.0, 1.0, 9.0)))
    labels = findResult(measured.volume, aha.LABELS_ROLE, aha.LABELS_CLASS)
    display.showInSliceViews(other, overlay=measured.volume)
    display.showLabels(labels, True)
    red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    assert (red.GetBackgroundVolumeID(), red.GetForegroundVolumeID()) == (other.GetID(), measured.volume.GetID())
    assert red.GetLabelVolumeID() == labels.GetID()
    assert (composite.GetBackgroundVolumeID(), composite.GetForegroundVolumeID()) == (picture, None)
    assert composite.GetLabelVolumeID() is None
    assert np.array_equal(slicer.util.arrayFromVTKMatrix(sliceToRAS), plane)
    slicer.mrmlScene.Clear(False)
    host.processEvents()
    display.showInSliceViews(load())
    assert composite.GetBackgroundVolumeID() is None, "closing the scene does not make it a view like others"


def test_a_scene_saved_in_the_layout_is_opened_after_slicer_was_started_again(host, measured, tmp_path):
    if not hasattr(host, "start"):
        pytest.skip("a real Slicer cannot be started again from within")
    host.click(measured.ui.layoutButton)
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    host.reset()
    host.loadModule(MODULE)
    slicer.util.selectModule("")
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    host.processEvents()
    view = slicer.app.layoutManager().sliceWidget(bullseye.VIEW_NAME)
    assert view.visible and view.mrmlSliceNode().IsMappedInLayout()
    (picture,) = slicer.util.getNodesByClass(bullseye.CLASS)
    assert view.mrmlSliceCompositeNode().GetBackgroundVolumeID() == picture.GetID()
    assert host.grabSlice(bullseye.VIEW_NAME).max() > 200


def test_bulls_eye_and_table_stand_in_the_layout(host, measured):
    host.click(measured.ui.layoutButton)
    manager = slicer.app.layoutManager()
    assert bullseye.VIEW_NAME in manager.sliceViewNames()
    composite = manager.sliceWidget(bullseye.VIEW_NAME).mrmlSliceCompositeNode()
    picture = findResult(measured.volume, bullseye.ROLE, bullseye.CLASS)
    assert composite.GetBackgroundVolumeID() == picture.GetID() and composite.GetLabelVolumeID() is None
    toRAS = slicer.util.arrayFromVTKMatrix(manager.sliceWidget(bullseye.VIEW_NAME).mrmlSliceNode().GetSliceToRAS())
    corner, right, down = ijkToWorld(picture, np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]]))
    assert (right - corner) @ toRAS[:3, 0] > 0.99 and (down - corner) @ toRAS[:3, 1] < -0.99, "it is upright"
    table = findResult(measured.volume, aha.TABLE_ROLE, "vtkMRMLTableNode")
    view = manager.tableWidget(0).mrmlTableViewNode()
    assert view.GetTableNodeID() == table.GetID()
    red = manager.sliceWidget("Red").mrmlSliceCompositeNode()
    assert red.GetBackgroundVolumeID() == measured.volume.GetID()
    labels = findResult(measured.volume, aha.LABELS_ROLE, aha.LABELS_CLASS)
    assert red.GetLabelVolumeID() == labels.GetID()
    host.click(measured.ui.applyButton)
    assert composite.GetBackgroundVolumeID() == picture.GetID(), "Apply leaves the bull's-eye where it is"
    measured.ui.showSegmentsCheckBox.checked = False
    assert red.GetLabelVolumeID() is None


def test_bulls_eye_follows_the_colors_of_the_map(host, measured):
    before = volumeArrayOf(measured.volume)
    measured.volume.GetDisplayNode().SetWindowLevelMinMax(0, 3000)
    assert np.any(volumeArrayOf(measured.volume) != before)


def test_picture_is_saved(host, measured, tmp_path, monkeypatch):
    for name, start in (("eye.png", b"\x89PNG"), ("eye.svg", b"<svg")):
        monkeypatch.setattr(measured.panel.segments, "_askForFile", lambda name=name: str(tmp_path / name))
        host.click(measured.ui.savePictureButton)
        assert (tmp_path / name).read_bytes().startswith(start)
    monkeypatch.setattr(measured.panel.segments, "_askForFile", lambda: str(tmp_path / "eye.bmp"))
    host.click(measured.ui.savePictureButton)
    assert "saved as .png or .svg" in host.takeMessages()[-1].text
    monkeypatch.setattr(measured.panel.segments, "_askForFile", lambda: "")
    host.click(measured.ui.savePictureButton)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["eye.png", "eye.svg"]


# The scene


def test_everything_survives_saving_and_loading(host, measured, tmp_path):
    dragPoint(host, measured, 0, 1, (30.0, 30.0))
    select(host, measured.panel, 1)
    host.click(measured.ui.acceptButton)
    review, means = sorted(rows(measured.panel)), segmentMeans(measured.volume)
    points = landmarks.slicePoints(measured.node, measured.volume)
    count = len(lines())
    host.reopenScene(tmp_path / "scene.mrb")
    volume = slicer.util.getNode("T1 map")
    assert measured.ui.inputSelector.currentNode() is volume
    assert sorted(rows(measured.panel)) == review
    node = landmarks.findLandmarks(volume)
    again = landmarks.slicePoints(node, volume)
    assert again[3] == (None, None, None)
    np.testing.assert_allclose(again[:3], points[:3], atol=1e-3)
    assert segmentMeans(volume) == pytest.approx(means, abs=1)
    assert len(lines()) == count
    host.processEvents()
    applied = SimpleNamespace(panel=measured.panel, ui=measured.ui, volume=volume, node=node)
    dragPoint(host, applied, 2, 1, (30.0, 30.0))
    assert {texts[0]: texts[3] for texts in rows(measured.panel)}["2"] == "corrected"


def test_landmarks_that_are_removed_take_their_lines_along(host, measured):
    slicer.mrmlScene.RemoveNode(measured.node)
    host.processEvents()
    assert lines() == [] and rows(measured.panel) == []
    assert "click Apply" in measured.ui.segmentsLabel.text


def test_closing_the_scene_empties_the_panel(host, measured):
    slicer.mrmlScene.Clear(False)
    host.processEvents()
    assert rows(measured.panel) == [] and not measured.ui.applyButton.enabled


def test_a_panel_whose_scene_was_closed_leaves_clicks_alone(host, measured):
    measured.panel.onSceneStartClose(None, None)
    before = volumeArray(measured.volume).copy()
    review, segments = measured.panel.review, measured.panel.segments
    for act in (review.onAccept, review.onAcceptAll, review.onReject, review.onReset, review.onResetAll, review.onNext):
        act()
    for act in (review.onPlaceButton, review.onSliceSelected, review.onCommentEdited, review.onSaveHistory):
        act()
    for act in (measured.panel.onApplyButton, segments.onLayoutButton, segments.onSavePictureButton):
        act()
    review.onLevelChosen(1)
    segments.onMyocardiumChosen(0)
    for observer in (measured.panel.onPointModified, measured.panel.onPointReleased):
        observer(measured.node, None)
    for observer in (segments.onSegmentationModified, segments.onColorsModified):
        observer(measured.node, None)
    assert [entry.status for entry in readReview(measured.node)] == ["auto", "flagged", "auto", "missing"]
    assert np.array_equal(volumeArray(measured.volume), before)


class _WithoutViews:
    """The application, as in a Slicer without main window."""

    def __init__(self, app):
        self._app = app

    def layoutManager(self):
        return None

    def __getattr__(self, name):
        return getattr(self._app, name)


def test_a_slicer_without_main_window(host, measured, monkeypatch):
    logic = slicer.app.applicationLogic()
    views = logic.GetSliceLogics()
    logic.SetSliceLogics(None)
    monkeypatch.setattr(slicer, "app", _WithoutViews(slicer.app))
    try:
        host.click(measured.ui.applyButton)
        select(host, measured.panel, 2)
        measured.ui.showSegmentsCheckBox.checked = False
        host.click(measured.ui.layoutButton)
        sys.modules["CMRLandmarks"].CMRLandmarksTest().runTest()
    finally:
        logic.SetSliceLogics(views)


def test_slicer_starts_without_the_method(started_host):
    """Slicer loads every module's file when it starts."""
    if not hasattr(started_host, "start"):
        pytest.skip("the stand-in is started in a Python of its own, which a real Slicer has none for")
    script = (
        "import runpy, sys, SlicerHost; SlicerHost.start(); before = set(sys.modules); runpy.run_path(sys.argv[1]); "
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before} & {'scipy', 'torch'}))"
    )
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", script, str(MODULE)]
    done = subprocess.run(command, env=variables, check=True, capture_output=True, text=True)
    assert done.stdout.split() == []


@pytest.mark.self_test
def test_self_test_of_the_module(host, panel):
    module = sys.modules["CMRLandmarks"]
    module.CMRLandmarksTest().runTest()
