"""The section for the extracellular volume in the panel of CMRT1Mapping, used as an analyst uses it."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import slicer
from ecv_phantom import BLOOD_POST_MS, ECV, NATIVE_MS, SIZE, SPACING_MM, rings

from CMRLandmarksLib.prediction import LandmarkPrediction
from CMRLib.provenance import result_attributes
from CMRLib.scene.acquisitions import FIELD_STRENGTH
from CMRLib.scene.landmarks import ROLE, storeLandmarks
from CMRLib.scene.results import markResult
from CMRLib.scene.volumes import addVolume, volumeArray
from CMRLib.simulation.study import short_axis_geometry
from CMRT1MappingLib.scene import ecvmaps

MODULE = Path(__file__).resolve().parents[2] / "CMRT1Mapping.py"
GEOMETRY = short_axis_geometry(0, (SIZE, SIZE), SPACING_MM)
MIDDLE = (SIZE - 1) / 2.0


@pytest.fixture
def panel(host):
    return host.loadModule(MODULE)


def segmentation(volume, **masks):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Ventricle")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for name, mask in masks.items():
        segment = node.GetSegmentation().AddEmptySegment(name, name.replace("_", " "))
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask[None].astype(np.uint8), node, segment, volume)
    return node


@pytest.fixture
def maps(host, panel):
    """Two maps, their segmentation and landmarks, as other modules leave them."""
    heart = rings(noise=0.01, shift=(3.0, -4.0))
    native = addVolume("Native", heart.native[None], GEOMETRY)
    post = addVolume("Post", heart.post[None], GEOMETRY)
    drawn = segmentation(native, Myocardium=heart.wall, Blood_pool=heart.pool)
    sure = dict.fromkeys(("lv_center", "rv_insertion", "inferior_rv_insertion"), 0.9)
    points = ((MIDDLE, MIDDLE), (MIDDLE - 14.0, MIDDLE - 16.0), (MIDDLE + 17.0, MIDDLE - 12.0))
    storeLandmarks(
        native, [LandmarkPrediction(0, *points, sure, 0.9, False, "")], result_attributes(ROLE, source=native.GetID())
    )
    return SimpleNamespace(native=native, post=post, segmentation=drawn, heart=heart)


def choose(host, panel, maps, hematocrit="0.42"):
    host.setNode(panel.ui.ecvNativeSelector, maps.native)
    host.setNode(panel.ui.ecvPostSelector, maps.post)
    host.setNode(panel.ui.ecvSegmentationSelector, maps.segmentation)
    panel.ui.hematocritLineEdit.text = hematocrit


def test_the_section_says_what_is_missing(host, panel, maps):
    button = panel.ui.ecvButton
    assert not button.enabled and "Select the native T1 map" in button.toolTip
    host.setNode(panel.ui.ecvNativeSelector, maps.native)
    assert "after contrast" in button.toolTip
    host.setNode(panel.ui.ecvPostSelector, maps.native)
    assert "are the same" in button.toolTip
    host.setNode(panel.ui.ecvPostSelector, maps.post)
    assert "Select a segmentation" in button.toolTip
    host.setNode(panel.ui.ecvSegmentationSelector, maps.segmentation)
    assert "such as 0.42" in button.toolTip
    panel.ui.hematocritLineEdit.text = "45"
    assert "0.45 instead of 45" in button.toolTip and not button.enabled
    panel.ui.hematocritLineEdit.text = "0,45"
    assert button.enabled
    panel.ui.syntheticHematocritCheckBox.checked = True
    assert not panel.ui.hematocritLineEdit.enabled and "field strength is not known" in button.toolTip


def test_apply_gives_the_map_with_its_legend_and_the_segments(host, panel, maps):
    choose(host, panel, maps)
    host.click(panel.ui.ecvButton)
    nodes = ecvmaps.findEcv(maps.native)
    ecv = volumeArray(nodes["ecv"])[0]
    assert np.median(ecv[maps.heart.wall]) == pytest.approx(ECV, abs=0.5)
    legend = slicer.modules.colors.logic().GetColorLegendDisplayNode(nodes["ecv"])
    assert legend.GetTitleText() == "ECV [%]"
    assert nodes["ecv"].GetNodeReference(ecvmaps.POST) is maps.post
    text = panel.ui.ecvLabel.text
    blood = [float(number) for number in re.findall(r"T1 ([\d.]+) ms before and ([\d.]+) ms after", text)[0]]
    assert blood == pytest.approx([NATIVE_MS["blood"], BLOOD_POST_MS], rel=0.01)
    assert "haematocrit 0.42" in text and "shifted and turned" in text
    assert panel.ui.statusLabel.text == "The ECV map of Native was computed."
    table = nodes[ecvmaps.TABLE_ROLE]
    assert table.GetNumberOfRows() == 6 and panel.ui.ecvTableWidget.visible
    assert float(table.GetCellText(0, 1)) == pytest.approx(ECV, abs=1.0)
    shown = slicer.app.layoutManager().sliceWidget("Red").sliceLogic().GetSliceCompositeNode().GetBackgroundVolumeID()
    assert shown == nodes["ecv"].GetID()


def test_again_fills_the_same_nodes(host, panel, maps):
    choose(host, panel, maps)
    host.click(panel.ui.ecvButton)
    before = ecvmaps.findEcv(maps.native)
    first = volumeArray(before["ecv"])
    panel.ui.hematocritLineEdit.text = "0.30"
    host.click(panel.ui.ecvButton)
    after = ecvmaps.findEcv(maps.native)
    assert {role: node.GetID() for role, node in after.items()} == {role: node.GetID() for role, node in before.items()}
    wall = maps.heart.wall[None]
    ratio = volumeArray(after["ecv"])[wall] / np.maximum(first[wall], 1e-3)
    assert np.median(ratio) == pytest.approx(0.70 / 0.58, abs=1e-3)
    assert "haematocrit 0.3;" in panel.ui.ecvLabel.text


def test_the_standard_errors_of_the_maps_reach_the_map_and_the_table(host, panel, maps):
    for node, error in ((maps.native, maps.heart.native_error), (maps.post, maps.heart.post_error)):
        acquisition = addVolume(f"{node.GetName()} images", error[None], GEOMETRY)
        markResult(node, acquisition, result_attributes("t1", source=acquisition.GetID()))
        errorMap = addVolume(f"{node.GetName()} error", error[None], GEOMETRY)
        markResult(errorMap, acquisition, result_attributes("t1_error", source=acquisition.GetID()))
    choose(host, panel, maps)
    host.click(panel.ui.ecvButton)
    nodes = ecvmaps.findEcv(maps.native)
    error = np.median(volumeArray(nodes["ecv_error"])[0][maps.heart.wall])
    assert 0.2 < error < 2.0
    table = nodes[ecvmaps.TABLE_ROLE]
    assert table.GetColumnName(2) == "Standard error [%]" and 0.0 < float(table.GetCellText(0, 2)) < error
    assert re.search(r"ECV of the myocardium 2[78]\.\d ± 0\.\d %", panel.ui.ecvLabel.text)


def test_a_synthetic_haematocrit_is_called_so(host, panel, maps):
    maps.native.SetAttribute(FIELD_STRENGTH, "1.5")
    choose(host, panel, maps, "")
    panel.ui.syntheticHematocritCheckBox.checked = True
    host.click(panel.ui.ecvButton)
    assert "synthetic: estimated from the native T1 of the blood" in panel.ui.ecvLabel.text
    assert ecvmaps.findEcv(maps.native)["ecv"].GetAttribute("CMR.HematocritSource") == "synthetic"


def test_exchanged_maps_leave_the_scene_as_it_was(host, panel, maps):
    choose(host, panel, maps)
    host.setNode(panel.ui.ecvNativeSelector, maps.post)
    host.setNode(panel.ui.ecvPostSelector, maps.native)
    host.click(panel.ui.ecvButton)
    (message,) = [shown.text for shown in host.takeMessages() if shown.kind == "error"]
    assert "check which map is which" in message and message == panel.ui.statusLabel.text
    assert ecvmaps.findEcv(maps.post) == {}


def test_a_segmentation_without_blood_is_told(host, panel, maps):
    choose(host, panel, maps)
    maps.segmentation.GetSegmentation().RemoveSegment("Blood_pool")
    host.click(panel.ui.ecvButton)
    (message,) = [shown.text for shown in host.takeMessages() if shown.kind == "error"]
    assert "0 segments called blood pool" in message


def test_cancel_leaves_the_scene_as_it_was(host, panel, maps, monkeypatch):
    choose(host, panel, maps)
    original = panel._onProgress

    def cancelled(fraction):
        panel.onCancelButton()
        original(fraction)

    monkeypatch.setattr(panel, "_onProgress", cancelled)
    host.click(panel.ui.ecvButton)
    assert panel.ui.statusLabel.text == "Cancelled; nothing was changed."
    assert ecvmaps.findEcv(maps.native) == {} and panel.ui.ecvButton.enabled


def test_a_closed_scene_takes_everything_along(host, panel, maps):
    choose(host, panel, maps)
    host.click(panel.ui.ecvButton)
    slicer.mrmlScene.Clear(0)
    assert panel.ui.ecvNativeSelector.currentNode() is None
    assert panel.ui.ecvLabel.text == "" and not panel.ui.ecvTableWidget.visible
