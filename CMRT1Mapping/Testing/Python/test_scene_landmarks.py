"""Landmarks, AHA segments and the bull's-eye as nodes."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import slicer
import vtk
from irw_phantom import OBLIQUE

from CMRLib.anatomy.bullseye import make_bullseye
from CMRLib.anatomy.landmarks import LANDMARK_NAMES
from CMRLib.errors import InputError, OutputError
from CMRLib.provenance import result_attributes
from CMRLib.review import Status
from CMRLib.scene import aha, bullseye, display, landmarkreview, landmarks, review
from CMRLib.scene.volumes import ijkToWorld, setVolumeArray
from CMRT1MappingLib.scene import t1maps

pytestmark = pytest.mark.usefixtures("scene")

CENTER, ANTERIOR, INFERIOR = (30.0, 34.0), (18.5, 21.25), (44.0, 24.0)


@pytest.fixture
def volume():
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "LGE")
    setVolumeArray(node, np.random.default_rng(0).uniform(0, 100, (3, 60, 64)).astype(np.float32), OBLIQUE)
    return node


def prediction(points=(CENTER, ANTERIOR, INFERIOR), heart=0.9, flagged=False, confidence=0.9):
    values = dict(zip(LANDMARK_NAMES, points, strict=True))
    return SimpleNamespace(
        **values,
        confidence=dict.fromkeys(LANDMARK_NAMES, confidence),
        heart=heart,
        flagged=flagged,
        reason="uncertain" if flagged else "",
    )


def store(volume, *predictions):
    return landmarks.storeLandmarks(
        volume, predictions, result_attributes("landmarks", source=volume.GetID(), model="m", device="cpu")
    )


def moveBy(node, number, offset):
    position = np.zeros(3)
    node.GetNthControlPointPositionWorld(number, position)
    node.SetNthControlPointPositionWorld(number, *(position + offset))


# Landmarks


def test_points_lie_where_the_model_saw_them_also_under_a_transform(volume):
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, 25.0)
    transform.SetMatrixTransformToParent(matrix)
    volume.SetAndObserveTransformNodeID(transform.GetID())
    node = store(volume, *[prediction()] * 3)
    assert node.GetTransformNodeID() == transform.GetID()
    for points in landmarks.slicePoints(node, volume):
        np.testing.assert_allclose(points, [CENTER, ANTERIOR, INFERIOR], atol=1e-6)
    position = np.zeros(3)
    node.GetNthControlPointPositionWorld(4, position)
    np.testing.assert_allclose(position, ijkToWorld(volume, np.array([[ANTERIOR[1], ANTERIOR[0], 1]]))[0], atol=1e-6)


def test_slices_without_a_point_or_a_heart_have_none_but_keep_the_answer(volume):
    blank = prediction((None, None, None), heart=0.0, flagged=True, confidence=0.0)
    node = store(volume, prediction(), prediction(heart=0.2, flagged=True), blank)
    assert [points[0] is None for points in landmarks.slicePoints(node, volume)] == [False, True, True]
    entries = landmarkreview.readReview(node)
    assert [entry.status for entry in entries] == ["auto", "missing", "missing"]
    assert [entry.hasModelAnswer for entry in entries] == [True, True, False]
    landmarks.reset(node, volume, [1, 2])
    assert [points[0] is None for points in landmarks.slicePoints(node, volume)] == [False, False, True]


def test_a_point_that_is_not_finite_is_none(volume):
    node = store(volume, prediction((CENTER, (np.nan, 3.0), INFERIOR)), prediction(), prediction())
    assert landmarkreview.readReview(node)[0].status == "missing"


def test_status_follows_the_points(volume):
    node = store(volume, *[prediction()] * 3)
    assert landmarks.noticeEdits(node, volume) == []
    moveBy(node, 4, [3.0, 0, 0])
    assert landmarks.noticeEdits(node, volume) == [1]
    assert [entry.status for entry in landmarkreview.readReview(node)] == ["auto", "corrected", "auto"]
    landmarks.judge(node, volume, [1], Status.ACCEPTED)
    assert landmarks.noticeEdits(node, volume) == [] and landmarkreview.readReview(node)[1].status == "accepted"
    moveBy(node, 4, [3.0, 0, 0])
    landmarks.noticeEdits(node, volume)
    assert landmarkreview.readReview(node)[1].status == "corrected"
    moveBy(node, 4, [-6.0, 0, 0])
    landmarks.noticeEdits(node, volume)
    assert landmarkreview.readReview(node)[1].status == "auto", "back where the model saw it"
    node.UnsetNthControlPointPosition(3)
    landmarks.noticeEdits(node, volume)
    assert landmarkreview.readReview(node)[1].status == "missing"


def test_the_node_of_a_volume_is_used_again(volume):
    node = store(volume, *[prediction()] * 3)
    landmarks.setLevel(node, 2, "basal")
    assert store(volume, *[prediction()] * 3) is node
    assert landmarkreview.readReview(node)[2].level == "basal"
    setVolumeArray(volume, np.ones((2, 60, 64), np.float32), OBLIQUE)
    assert store(volume, prediction(), prediction()) is node
    assert node.GetNumberOfControlPoints() == 6 and len(landmarkreview.readReview(node)) == 2


def test_damaged_review_is_told(volume):
    node = store(volume, *[prediction()] * 3)
    for text in ("{", "[1, 2]", '[{"slice": 0}]'):
        node.SetAttribute(landmarkreview.ATTRIBUTE, text)
        with pytest.raises(InputError, match="is damaged; click Apply again"):
            landmarkreview.readReview(node)


def test_a_damaged_review_is_mended_by_finding_the_landmarks_again(volume):
    node = store(volume, *[prediction()] * 3)
    node.SetAttribute("CMR.QC.Status", "{")
    assert store(volume, *[prediction()] * 3) is node
    assert [entry.status for entry in landmarkreview.readReview(node)] == ["auto"] * 3


def test_the_history_says_who_did_what(volume):
    node = store(volume, prediction(flagged=True, confidence=0.3), prediction(), prediction())
    assert review.readHistory(node) == []
    moveBy(node, 1, [3.0, 0, 0])
    landmarks.noticeEdits(node, volume, "AB")
    landmarks.judge(node, volume, [0], Status.ACCEPTED, "CD")
    landmarks.comment(node, 0, "thin RV")
    store(volume, *[prediction()] * 3)
    landmarks.reset(node, volume, [0], "AB")
    steps = [(c.slice, c.before.value, c.after.value, c.reviewer) for c in review.readHistory(node)]
    assert steps == [
        (0, "flagged", "corrected", "AB"),
        (0, "corrected", "accepted", "CD"),
        (0, "accepted", "auto", "AB"),
    ]
    assert landmarkreview.readReview(node)[0].comment == "thin RV"
    assert node.GetAttribute("CMR.QC.Status") == '["auto", "auto", "auto"]'


def test_a_rejected_slice_is_rejected_until_its_points_move(volume):
    node = store(volume, *[prediction()] * 3)
    landmarks.judge(node, volume, [1], Status.REJECTED)
    assert landmarks.noticeEdits(node, volume) == []
    assert set(aha.levelsOf(node)) == {0, 2}
    moveBy(node, 4, [3.0, 0, 0])
    landmarks.noticeEdits(node, volume)
    assert landmarkreview.readReview(node)[1].status == "corrected" and set(aha.levelsOf(node)) == {0, 1, 2}


def test_a_review_of_version_0_1_is_read_and_kept(volume):
    node = store(volume, *[prediction()] * 3)
    points = [list(point) for point in (CENTER, ANTERIOR, INFERIOR)]
    earlier = {
        **{"slice": 0, "status": "auto", "flagged": True, "reason": "unsure", "confidence": [0.9, 0.4, 0.8]},
        **{"model": points, "accepted": [], "level": "basal"},
    }
    accepted = {**earlier, "slice": 1, "status": "accepted", "flagged": False, "reason": "", "accepted": points}
    missing = {**earlier, "slice": 2, "status": "missing", "confidence": [], "model": [], "level": ""}
    for name in node.GetAttributeNames():
        if name.startswith(("CMR.QC.", landmarkreview.ATTRIBUTE)):
            node.RemoveAttribute(name)
    node.SetAttribute(landmarkreview.EARLIER_ATTRIBUTE, json.dumps([earlier, accepted, missing]))
    entries = landmarkreview.readReview(node)
    assert [entry.status.value for entry in entries] == ["flagged", "accepted", "missing"]
    assert [entry.level for entry in entries] == ["basal", "basal", ""]
    assert entries[0].confidence == 0.4 and entries[0].reason == "unsure" and entries[2].confidence is None
    assert entries[1].statusAt([CENTER, ANTERIOR, INFERIOR]) is Status.ACCEPTED
    landmarks.judge(node, volume, [0], Status.ACCEPTED, "AB")
    assert node.GetAttribute(landmarkreview.EARLIER_ATTRIBUTE) is None
    assert [entry.status.value for entry in landmarkreview.readReview(node)] == ["accepted", "accepted", "missing"]


def test_entry_lines_follow_and_go(volume):
    node = store(volume, *[prediction()] * 3)
    landmarks.updateEntryLines(node)
    lines = slicer.util.getNodesByClass("vtkMRMLMarkupsLineNode")
    assert len(lines) == 3 and all(line.GetLocked() and line.GetHideFromEditors() for line in lines)
    node.UnsetNthControlPointPosition(1)
    landmarks.updateEntryLines(node)
    assert len(slicer.util.getNodesByClass("vtkMRMLMarkupsLineNode")) == 2
    landmarks.removeStrayLines()
    assert len(slicer.util.getNodesByClass("vtkMRMLMarkupsLineNode")) == 2
    slicer.mrmlScene.RemoveNode(node)
    landmarks.removeStrayLines()
    assert slicer.util.getNodesByClass("vtkMRMLMarkupsLineNode") == []


def test_points_by_hand_lie_within_a_small_image():
    tiny = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "tiny")
    setVolumeArray(tiny, np.ones((1, 12, 9), np.float32), OBLIQUE)
    node = landmarks.createByHand(tiny)
    landmarks.placeByHand(node, tiny, 0)
    points = np.array(landmarks.slicePoints(node, tiny)[0])
    assert np.all(points >= 0) and np.all(points <= [11, 8])
    assert landmarks.createByHand(tiny) is node


# Segments


def test_level_comes_from_the_name_of_the_slice_or_of_its_acquisition(volume):
    node = store(volume, *[prediction()] * 3)
    assert set(aha.levelsOf(node).values()) == {"basal", "mid", "apical"}
    acquisition = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "IRW")
    acquisition.SetAttribute("CMR.Slice", "apical")
    volume.SetNodeReferenceID("CMR.Source", acquisition.GetID())
    assert set(aha.levelsOf(node).values()) == {"apical"}
    volume.SetAttribute("CMR.Slice", "basal")
    assert set(aha.levelsOf(node).values()) == {"basal"}
    landmarks.setLevel(node, 1, "mid")
    landmarks.setLevel(node, 2, aha.LEFT_OUT)
    assert aha.levelsOf(node) == {0: "basal", 1: "mid"}


def test_pixels_without_a_fit_are_left_out_of_t1_only(volume):
    labels = np.zeros((3, 60, 64), np.uint8)
    labels[0, :2, :2] = 5
    array = slicer.util.arrayFromVolume(volume)
    array[0, :2, :2] = [[0, 900], [1000, 1100]]
    assert aha.segmentValues([(volume, labels)])[5].mean == 750
    volume.SetAttribute("CMR.Role", "t1")
    assert aha.segmentValues([(volume, labels)])[5].mean == 1000
    assert aha.segmentValues([(volume, labels)])[4] is None


def test_color_table_names_every_segment():
    colors = aha.segmentColors()
    assert colors is aha.segmentColors()
    assert colors.GetColorName(8) == "8 Mid anteroseptal" and colors.GetNumberOfColors() == 17
    shown = {tuple(np.round(colors.GetLookupTable().GetTableValue(n), 3)) for n in range(1, 17)}
    assert len(shown) == 16


# Bull's-eye


@pytest.fixture
def t1Map(volume):
    slicer.util.arrayFromVolume(volume)[:] *= 20
    t1maps.setT1Colors(volume, "1.5 T")
    return volume


def test_colors_are_those_of_the_map(t1Map):
    scale = bullseye.mapColorScale(t1Map, "T1 [ms]", "{:.0f}")
    colors = display.colorNode("CMR_T1_1.5T").GetColorTransferFunction()
    for value in (100, 700, 962, 1300, 1900):
        np.testing.assert_allclose(scale.color(value), colors.GetColor(value), atol=0.08)
    assert (scale.values[0], scale.values[-1]) == (0, 2000) and scale.shown is None
    node = t1Map.GetDisplayNode()
    node.SetWindowLevelMinMax(900, 1100)
    node.SetThreshold(950, 1050)
    node.ApplyThresholdOn()
    scale = bullseye.mapColorScale(t1Map, "T1 [ms]", "{:.0f}")
    assert (scale.values[0], scale.values[-1], scale.shown) == (900, 1100, (950, 1050))
    np.testing.assert_allclose(scale.color(1000), colors.GetColor(1000), atol=0.08)


def test_grey_maps_are_grey(volume):
    volume.CreateDefaultDisplayNodes()
    volume.GetDisplayNode().AutoWindowLevelOff()
    volume.GetDisplayNode().SetWindowLevelMinMax(0, 100)
    red, green, blue = bullseye.mapColorScale(volume, "", "{:.0f}").color(50)
    assert red == green == blue == pytest.approx(0.5, abs=0.02)


def test_maps_without_colors_or_window_are_told(volume):
    with pytest.raises(InputError, match="has no colors"):
        bullseye.mapColorScale(volume, "", "{:.0f}")
    volume.CreateDefaultDisplayNodes()
    volume.GetDisplayNode().AutoWindowLevelOff()
    volume.GetDisplayNode().SetWindowLevel(0, 50)
    with pytest.raises(InputError, match="set window and level"):
        bullseye.mapColorScale(volume, "", "{:.0f}")


def picture(t1Map, **options):
    values = {number: 900.0 + 10 * number for number in range(1, 16)}
    return bullseye.picture(
        make_bullseye(values, bullseye.mapColorScale(t1Map, "T1 [ms]", "{:.0f}")), "Rest", 400, **options
    )


def test_picture_has_sectors_texts_and_a_color_bar(t1Map):
    pixels = picture(t1Map)
    assert pixels.shape == (400, 500, 3) and tuple(pixels[0, 0]) == (255, 255, 255)
    plain = np.array(bullseye.mapColorScale(t1Map, "", "").color(910))
    assert np.abs(pixels[80, 150] / 255 - plain).max() < 0.02, "segment 1 is on top"
    dark = pixels.mean(axis=2) < 100
    assert dark[10:30, 150:250].any(), "title"
    assert dark[40:60, 400:450].any(), "title of the color bar"
    assert dark[60:370, 440:500].any(), "numbers at the color bar"
    bar = pixels[66:358, 420].astype(int)
    assert len(np.unique(bar, axis=0)) > 100
    assert tuple(picture(t1Map, dark=True)[0, 0]) == (0, 0, 0)


def test_a_picture_leaves_nothing_in_the_next(t1Map):
    scale = bullseye.mapColorScale(t1Map, "T1 [ms]", "{:.0f}")
    eye, other = (make_bullseye({1: value}, scale) for value in (900.0, 1200.0))
    first = bullseye.picture(eye, "Rest", 400)
    second = bullseye.picture(other, "", 400)
    assert (second[10:30, 150:250] == 255).all() and not np.array_equal(first[80:120], second[80:120])
    assert np.array_equal(bullseye.picture(eye, "Rest", 400), first)


def test_pictures_are_written_or_told(t1Map, tmp_path):
    eye = make_bullseye({1: 900.0}, bullseye.mapColorScale(t1Map, "T1 [ms]", "{:.0f}"))
    path = bullseye.saveBullsEye(eye, "Rest", tmp_path / "eye.png")
    reader = vtk.vtkPNGReader()
    reader.SetFileName(str(path))
    reader.Update()
    assert reader.GetOutput().GetDimensions() == (1280, 1024, 1)
    assert "Rest" in bullseye.saveBullsEye(eye, "Rest", tmp_path / "eye.SVG").read_text(encoding="utf-8")
    with pytest.raises(OutputError, match="cannot be written"):
        bullseye.saveBullsEye(eye, "Rest", tmp_path / "none" / "eye.png")
    with pytest.raises(InputError, match="change the ending"):
        bullseye.saveBullsEye(eye, "Rest", tmp_path / "eye.jpg")
