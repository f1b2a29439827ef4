"""The panel of CMRStressReactivity, used as an analyst uses it; runs in the host and in a real Slicer."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import slicer
from stress_study import RESPONSE, SHIFT, place, slices

from CMRLib import provenance
from CMRLib.errors import Cancelled
from CMRLib.geometry import Geometry
from CMRLib.provenance import result_attributes
from CMRLib.scene import acquisitions, landmarks
from CMRLib.scene.results import SOURCE_REFERENCE, markResult
from CMRLib.scene.volumes import addVolume, volumeArray
from CMRStressReactivityLib import comparison
from CMRStressReactivityLib.comparison import NO_MYOCARDIUM
from CMRStressReactivityLib.registration import Registration
from CMRStressReactivityLib.scene import reactivitynodes, reactivityrun

MODULE = Path(__file__).resolve().parents[2] / "CMRStressReactivity.py"
MID = 1


def known_motion(rest, stress, spacing_mm, center=None, *, model):
    """A registration that knows how the study's heart has moved."""
    shift = np.array(SHIFT, np.float32) * 1.2 / np.array(spacing_mm, np.float32)
    return Registration(np.broadcast_to(shift[:, None, None], (2, *rest.shape)).copy(), None, "cpu")


@pytest.fixture
def panel(host, monkeypatch, one_thread):
    monkeypatch.setattr(reactivityrun, "load_registration_model", lambda device="auto": None)
    monkeypatch.setattr(comparison, "register", known_motion)
    monkeypatch.setattr(reactivityrun, "make", make_known)
    return host.loadModule(MODULE)


def make_known(role, volume, device, progress):
    """What the other two modules would find: the study's own labels, and points at their places."""
    progress(0.0)
    images = [(one, state) for one in slices() for state in ("rest", "stress")]
    found = []
    for plane in volumeArray(volume):
        one, state = min(images, key=lambda pair: float(np.abs(getattr(*pair) - plane).sum()))
        found.append((one, state))
    if role == "segmentation":
        labels = np.stack([getattr(one, f"{state}_labels") for one, state in found])
        return segmented(volume, labels)
    node = landmarks.createByHand(volume)
    for index, (one, state) in enumerate(found):
        moved = np.array(SHIFT if state == "stress" else (0.0, 0.0))
        landmarks.placeByHand(node, volume, index)
        landmarks.movePoints(node, volume, index, [tuple(point + moved) for point in one.landmarks.points()])
    return node


def segmented(volume, labels):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"{volume.GetName()} segmentation")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for label, name in ((1, "Myocardium"), (2, "Blood pool")):
        segment = node.GetSegmentation().AddEmptySegment(name, name)
        slicer.util.updateSegmentBinaryLabelmapFromArray((labels == label).astype(np.uint8), node, segment, volume)
    markResult(node, volume, result_attributes("segmentation", source=volume.GetID()))
    return node


def single(state, number, factor=1.0, name=None):
    """A T1 map of one slice, as CMR T1 Mapping leaves them."""
    one = slices()[number]
    volume = addVolume(name or f"{state} {one.level}", factor * getattr(one, state)[None], place(number))
    volume.SetAttribute(acquisitions.STATE, state)
    volume.SetAttribute(acquisitions.SLICE, one.level)
    volume.SetAttribute(provenance.ROLE, "t1")
    return volume


def examination():
    """Three slices at rest and under stress; the middle ones."""
    volumes = {state: [single(state, number) for number in range(3)] for state in ("rest", "stress")}
    return volumes["rest"], volumes["stress"]


def select(host, panel, rest, stress):
    host.setNode(panel.ui.restSelector, rest)
    host.setNode(panel.ui.stressSelector, stress)


@pytest.fixture
def applied(host, panel):
    rest, stress = single("rest", MID), single("stress", MID)
    select(host, panel, rest, stress)
    host.click(panel.ui.applyButton)
    found = reactivitynodes.findNodes(rest)
    return SimpleNamespace(panel=panel, ui=panel.ui, rest=rest, stress=stress, nodes=found)


def rows(panel):
    table = panel.ui.matchTable
    texts = []
    for row in range(table.rowCount):
        cells = [table.item(row, column).text() for column in range(table.columnCount)]
        cells[1] = table.cellWidget(row, 1).currentText
        texts.append(cells)
    return texts


# Opening and Apply


def test_panel_opens_and_says_what_is_missing(host, panel):
    assert not panel.ui.applyButton.enabled and panel.ui.applyButton.toolTip == "Select the T1 map at rest."
    rest = single("rest", MID)
    host.setNode(panel.ui.restSelector, rest)
    assert panel.ui.applyButton.toolTip == "Select the T1 map under stress."
    host.setNode(panel.ui.stressSelector, rest)
    assert not panel.ui.applyButton.enabled and "same map is selected" in panel.ui.applyButton.toolTip


def test_apply_makes_maps_of_the_change_in_percent(applied):
    wall = slices()[MID].rest_labels == 1
    percent = volumeArray(applied.nodes["dt1"])[0]
    assert np.median(percent[wall]) == pytest.approx(RESPONSE, abs=0.2)
    in_wall = volumeArray(applied.nodes["dt1_myocardium"])[0]
    np.testing.assert_array_equal(np.isfinite(in_wall), wall & np.isfinite(percent))
    assert "dt1_error" not in applied.nodes  # the maps have none
    display = applied.nodes["dt1"].GetDisplayNode()
    assert display.GetColorNode().GetName() == "CMR dT1"
    legend = slicer.modules.colors.logic().GetColorLegendDisplayNode(applied.nodes["dt1"])
    assert legend.GetTitleText() == "dT1 [%]"
    assert applied.nodes["dt1"].GetVoxelValueUnits().GetCodeValue() == "%"
    assert applied.ui.statusLabel.text == "1 slices compared, 0 of them to be looked at."


def test_dt1_lies_over_rest_t1_in_grey(host, applied):
    (composite, *_others) = host.sliceComposites()
    assert composite.GetBackgroundVolumeID() == applied.nodes["rest_t1_grey"].GetID()
    assert composite.GetForegroundVolumeID() == applied.nodes["dt1_myocardium"].GetID()
    np.testing.assert_allclose(volumeArray(applied.nodes["rest_t1_grey"])[0], slices()[MID].rest)


def test_the_transform_takes_the_heart_at_rest_to_where_it_is_under_stress(applied):
    transform = applied.nodes["stress_displacement"].GetTransformFromParent()
    row, column = np.argwhere(slices()[MID].rest_labels == 1)[0]
    to_ras = place(MID).ijk_to_ras()
    here = (to_ras @ [column, row, 0, 1])[:3]
    there = (to_ras @ [column + SHIFT[1], row + SHIFT[0], 0, 1])[:3]
    np.testing.assert_allclose(transform.TransformPoint(here), there, atol=1e-3)


def test_the_table_holds_the_segments_with_their_layers(applied):
    (table,) = [t for t in slicer.util.getNodesByClass("vtkMRMLTableNode") if t.GetNumberOfRows() == 16]
    columns = {table.GetColumnName(index): index for index in range(table.GetNumberOfColumns())}
    assert {"Mean [%]", "SE [%]", "Subendocardial [%]", "Subepicardial [%]", "More than noise"} <= set(columns)
    means = [float(table.GetCellText(row, columns["Mean [%]"])) for row in range(6, 12)]
    assert means == pytest.approx([RESPONSE] * 6, abs=0.6)
    assert table.GetCellText(0, columns["Mean [%]"]) == "nan"
    assert applied.ui.layersLabel.text.startswith("Subendocardial 6.0 %, subepicardial ")


def test_the_bulls_eye_is_graded_and_its_thresholds_move(host, applied):
    def colors():
        return {sector.segment: sector.color for sector in applied.panel.segments._picture.sectors}

    applied.ui.middleThresholdSpinBox.value = 5.0
    host.processEvents()
    assert colors()[8] == pytest.approx((0.95, 0.88, 0.30))  # from 5 to 9 %
    applied.ui.middleThresholdSpinBox.value = 7.0
    host.processEvents()
    assert colors()[8] == pytest.approx((0.95, 0.50, 0.15))
    applied.ui.lowThresholdSpinBox.value = 8.0
    host.processEvents()
    assert "must rise" in applied.ui.segmentsLabel.text
    assert (
        not applied.ui.applyButton.enabled
        and applied.ui.applyButton.toolTip == "The thresholds must rise; correct them."
    )


def test_the_slices_say_how_well_they_lie(applied):
    ((at_rest, under_stress, change, before, after, apart, doubts),) = rows(applied.panel)
    assert (at_rest, under_stress, apart, doubts) == ("rest mid", "stress mid", "0.0", "")
    assert float(before) < 0.7 and float(after) > 0.95
    assert float(change) == pytest.approx(RESPONSE, abs=0.2)


def test_standard_errors_of_the_t1_maps_become_those_of_the_change(host, panel):
    rest, stress = single("rest", MID), single("stress", MID)
    for volume in (rest, stress):  # as CMR T1 Mapping leaves a map and its error beside the images
        images = addVolume(f"{volume.GetName()} images", volumeArray(volume), place(MID))
        error = addVolume("error", np.where(volumeArray(volume) > 0, 20.0, 0.0).astype(np.float32), place(MID))
        for node, role in ((volume, "t1"), (error, "t1_error")):
            markResult(node, images, result_attributes(role, source=images.GetID()))
    select(host, panel, rest, stress)
    host.click(panel.ui.applyButton)
    found = reactivitynodes.findNodes(rest)
    wall = slices()[MID].rest_labels == 1
    t1 = slices()[MID].rest[wall]
    expected = 100 * np.hypot(20 / t1, 20 / t1 * (1 + RESPONSE / 100))
    assert np.median(volumeArray(found["dt1_error"])[0][wall]) == pytest.approx(np.median(expected), rel=0.1)
    assert " ± 0." in rows(panel)[0][2]
    (table,) = [t for t in slicer.util.getNodesByClass("vtkMRMLTableNode") if t.GetNumberOfRows() == 16]
    columns = {table.GetColumnName(index): index for index in range(table.GetNumberOfColumns())}
    assert 0 < float(table.GetCellText(7, columns["SE [%]"])) < 1
    assert table.GetCellText(7, columns["More than noise"]) == "yes"
    host.choose(panel.ui.shownImageComboBox, "dT1 standard error")
    (composite, *_others) = host.sliceComposites()
    assert composite.GetBackgroundVolumeID() == found["dt1_error"].GetID()


# Several slices, and their match


def test_maps_of_all_slices_are_compared_and_measured_together(host, panel):
    rest, stress = examination()
    select(host, panel, rest[MID], stress[MID])
    assert [row[:2] for row in rows(panel)] == [
        ["rest mid", "stress mid"],
        ["rest basal", "stress basal"],
        ["rest apical", "stress apical"],
    ]
    host.click(panel.ui.applyButton)
    assert all(reactivitynodes.findNodes(volume) for volume in rest)
    found = panel.segments.found
    assert len(found) == 16 and all(one.whole is not None for one in found.values())
    assert "Measured together with" in panel.ui.segmentsLabel.text
    panel.ui.matchTable.setCurrentCell(2, 0)
    host.processEvents()
    assert panel.ui.mapSelector.currentNode() is reactivitynodes.findNodes(rest[2])["dt1"]
    (composite, *_others) = host.sliceComposites()
    assert composite.GetBackgroundVolumeID() == reactivitynodes.findNodes(rest[2])["rest_t1_grey"].GetID()


def test_without_the_other_slices_only_the_selected_ones_are_listed(host, panel):
    rest, stress = examination()
    select(host, panel, rest[MID], stress[MID])
    panel.ui.otherSlicesCheckBox.checked = False
    host.processEvents()
    assert [row[:2] for row in rows(panel)] == [["rest mid", "stress mid"]]


def test_a_partner_can_be_chosen_by_hand_and_taken_back(host, panel):
    rest, stress = examination()
    select(host, panel, rest[MID], stress[MID])
    host.choose(panel.ui.matchTable.cellWidget(0, 1), "stress basal")
    host.choose(panel.ui.matchTable.cellWidget(1, 1), "–")
    assert [row[1] for row in rows(panel)] == ["stress basal", "–", "stress apical"]
    host.click(panel.ui.applyButton)
    (first, second, _third) = rows(panel)
    assert "lies 16 mm from the rest slice" in first[6] and second[2:] == [""] * 5
    assert not reactivitynodes.findNodes(rest[0])
    host.click(panel.ui.matchAgainButton)
    assert [row[1] for row in rows(panel)] == ["stress mid", "stress basal", "stress apical"]
    assert rows(panel)[0][2:] == [""] * 5  # what was computed was of another partner


def test_a_partner_of_two_slices_is_refused(host, panel):
    rest, stress = examination()
    select(host, panel, rest[MID], stress[MID])
    host.choose(panel.ui.matchTable.cellWidget(0, 1), "stress basal")
    host.click(panel.ui.applyButton)
    assert "was chosen for two rest slices" in panel.ui.statusLabel.text
    assert [message.text for message in host.takeMessages()] == [panel.ui.statusLabel.text]
    assert not any(reactivitynodes.findNodes(volume) for volume in rest)


def test_slices_at_other_places_are_told(host, panel):
    rest, stress = single("rest", 0), single("stress", 2)
    select(host, panel, rest, stress)
    assert not panel.ui.applyButton.enabled
    assert panel.ui.matchLabel.text.startswith("No rest slice has a stress slice at its place.")
    host.choose(panel.ui.matchTable.cellWidget(0, 1), "stress apical")
    assert panel.ui.applyButton.enabled


def test_a_stack_in_the_other_order_is_matched_by_place(host, panel):
    rest = addVolume("Rest", np.stack([one.rest for one in slices()]), stacked())
    turned = stacked()
    backwards = turned.matrix.copy()
    backwards[:, 2] *= -1
    last = turned.at_slice(2)
    geometry = Geometry(last.origin, turned.spacing, tuple(backwards.ravel().tolist()))
    stress = addVolume("Stress", np.stack([one.stress for one in slices()])[::-1], geometry)
    select(host, panel, rest, stress)
    assert [row[1] for row in rows(panel)] == ["Stress, slice 2", "Stress, slice 1", "Stress, slice 0"]
    host.click(panel.ui.applyButton)
    percent = volumeArray(reactivitynodes.findNodes(rest)["dt1"])
    for plane, one in zip(percent, slices(), strict=True):
        assert np.median(plane[one.rest_labels == 1]) == pytest.approx(RESPONSE, abs=0.3)


def stacked():
    """Where a stack of the three slices lies."""
    first = place(0)
    matrix = first.matrix.copy()
    matrix[:, 2] = np.subtract(place(1).origin, first.origin) / 16.0
    return Geometry(first.origin, (*first.spacing[:2], 16.0), tuple(matrix.ravel().tolist()))


# Bad input


def test_seconds_are_understood(host, panel):
    rest, stress = single("rest", MID, 0.001), single("stress", MID, 0.001)
    rest_ms, stress_ms = slices()[MID].rest, slices()[MID].stress
    node = make_known("segmentation", single("rest", MID, name="for the labels"), "cpu", lambda fraction: None)
    node.SetNodeReferenceID(SOURCE_REFERENCE, rest.GetID())
    panel.ui.findMissingCheckBox.checked = False
    select(host, panel, rest, stress)
    host.click(panel.ui.applyButton)
    found = reactivitynodes.findNodes(rest)
    assert volumeArray(found["registered_stress_t1"]).max() > 500 and rest_ms.max() > 500 and stress_ms.max() > 500
    wall = slices()[MID].rest_labels == 1
    assert np.median(volumeArray(found["dt1"])[0][wall]) == pytest.approx(RESPONSE, abs=0.2)


def test_a_grey_picture_is_refused_in_one_sentence(host, panel):
    rest = single("rest", MID)
    stress = addVolume("Picture", np.rint(slices()[MID].stress / 20)[None], place(MID))
    panel.ui.findMissingCheckBox.checked = False
    select(host, panel, rest, stress)
    host.click(panel.ui.applyButton)
    (message,) = host.takeMessages()
    assert message.text.startswith("The Picture holds grey levels up to") and message.text == panel.ui.statusLabel.text
    assert not reactivitynodes.findNodes(rest)


def test_without_a_myocardium_there_is_a_map_and_the_slice_is_marked(host, panel):
    rest, stress = single("rest", MID), single("stress", MID)
    panel.ui.findMissingCheckBox.checked = False
    select(host, panel, rest, stress)
    host.click(panel.ui.applyButton)
    (row,) = rows(panel)
    assert NO_MYOCARDIUM in row[6] and row[2] == "–"
    assert "1 of them to be looked at" in panel.ui.statusLabel.text
    assert np.isfinite(volumeArray(reactivitynodes.findNodes(rest)["dt1"])).any()


def test_cancel_leaves_nothing_behind(host, panel, monkeypatch):
    rest, stress = single("rest", MID), single("stress", MID)
    select(host, panel, rest, stress)
    before = {node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLStorableNode")}

    def cancelled(*arguments):
        raise Cancelled("Cancelled by the user.")

    monkeypatch.setattr(reactivityrun, "compare", cancelled)
    host.click(panel.ui.applyButton)
    assert panel.ui.statusLabel.text == "Cancelled; nothing was changed."
    assert {node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLStorableNode")} == before


def test_a_scene_that_is_closed_meanwhile_gets_nothing(host, panel, monkeypatch):
    rest, stress = single("rest", MID), single("stress", MID)
    panel.ui.findMissingCheckBox.checked = False
    select(host, panel, rest, stress)
    compare = reactivityrun.compare

    def compare_and_close(*arguments):
        slicer.mrmlScene.Clear(False)
        return compare(*arguments)

    monkeypatch.setattr(reactivityrun, "compare", compare_and_close)
    host.click(panel.ui.applyButton)
    assert slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") == []
    assert slicer.util.getNodesByClass("vtkMRMLGridTransformNode") == []


# Looking at it


def shown():
    """The part of the panel that shows things; it needs Qt, which is there once the host is."""
    from CMRStressReactivityLib.scene import alignmentcheck

    return alignmentcheck


def test_every_image_can_be_shown(host, applied):
    alignmentcheck = shown()
    for choice, (background, foreground) in alignmentcheck.SHOWN.items():
        if choice == "dT1 standard error":
            continue
        host.choose(applied.ui.shownImageComboBox, choice)
        found = reactivitynodes.findNodes(applied.rest)
        (composite, *_others) = host.sliceComposites()
        below = found[background] if background else applied.rest
        assert composite.GetBackgroundVolumeID() == below.GetID(), choice
        assert composite.GetForegroundVolumeID() == (found[foreground].GetID() if foreground else None), choice
    host.choose(applied.ui.shownImageComboBox, "dT1 standard error")
    assert "no standard error" in applied.ui.statusLabel.text
    assert applied.ui.shownImageComboBox.currentText == alignmentcheck.OVER_REST


def test_the_squares_show_rest_and_stress_in_turn(host, applied):
    host.choose(applied.ui.shownImageComboBox, "Squares of rest and stress, not registered")
    board = volumeArray(reactivitynodes.findNodes(applied.rest)["checkerboard_before"])[0]
    one = slices()[MID]
    is_rest, is_stress = board == one.rest, board == one.stress
    assert np.all(is_rest | is_stress)
    differ = one.rest != one.stress
    assert 0.4 < np.mean(is_rest[differ]) < 0.6


def test_flicker_takes_turns_until_something_else_is_shown(host, applied):
    alignmentcheck = shown()
    host.choose(applied.ui.shownImageComboBox, alignmentcheck.FLICKER)
    assert applied.panel.check.isFlickering()
    (composite, *_others) = host.sliceComposites()
    opacities = []
    for _turn in range(4):
        applied.panel.check.onFlicker()
        opacities.append(composite.GetForegroundOpacity())
    assert opacities == [0.0, 1.0, 0.0, 1.0]
    host.choose(applied.ui.shownImageComboBox, "Rest T1")
    assert not applied.panel.check.isFlickering()
    host.choose(applied.ui.shownImageComboBox, alignmentcheck.FLICKER)
    slicer.mrmlScene.Clear(False)
    assert not applied.panel.check.isFlickering()


def test_the_displacement_is_drawn_when_it_is_asked_for(host, applied):
    node = applied.nodes["stress_displacement"]
    assert node.GetDisplayNode() is None or not node.GetDisplayNode().GetVisibility()
    applied.ui.showDisplacementCheckBox.checked = True
    host.processEvents()
    assert node.GetDisplayNode().GetVisibility()
    applied.ui.showDisplacementCheckBox.checked = False
    host.processEvents()
    assert not node.GetDisplayNode().GetVisibility()


# The scene


def test_applied_again_nothing_is_doubled(host, applied):
    before = len(slicer.util.getNodesByClass("vtkMRMLStorableNode"))
    host.click(applied.ui.applyButton)
    assert len(slicer.util.getNodesByClass("vtkMRMLStorableNode")) == before
    assert reactivitynodes.findNodes(applied.rest)["dt1"] is applied.nodes["dt1"]


def test_a_saved_scene_shows_what_was_found(host, applied, tmp_path):
    host.reopenScene(tmp_path / "scene.mrb")
    ((at_rest, under_stress, _change, _before, after, _apart, doubts),) = rows(applied.panel)
    assert (at_rest, under_stress, doubts) == ("rest mid", "stress mid", "") and float(after) > 0.95
    assert applied.ui.layersLabel.text.startswith("Subendocardial 6.0 %")


def test_a_removed_rest_map_is_let_go(host, applied):
    slicer.mrmlScene.RemoveNode(applied.rest)
    host.processEvents()
    assert applied.ui.restSelector.currentNode() is None and rows(applied.panel) == []


@pytest.mark.self_test
def test_the_module_tests_itself(host, panel):
    module = __import__("CMRStressReactivity")
    module.CMRStressReactivityTest().runTest()
