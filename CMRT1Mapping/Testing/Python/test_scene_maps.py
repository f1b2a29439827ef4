"""Result nodes of a T1 reconstruction: identity, provenance, display, colors."""

import dataclasses

import numpy as np
import pytest
import slicer
from irw_phantom import OBLIQUE, SHMOLLI_TIMES, make_phantom
from vtk.util.numpy_support import vtk_to_numpy

from CMRLib import __version__
from CMRLib.errors import InputError
from CMRLib.files.color_tables import t1_colors_for_field
from CMRLib.geometry import Geometry
from CMRLib.scene import acquisitions, display
from CMRLib.scene.volumes import volumeArray, volumeGeometry
from CMRLib.terms import NO_UNITS
from CMRT1MappingLib.fit.reconstruction import PixelFlag, T1Maps, reconstruct
from CMRT1MappingLib.scene import t1maps

pytestmark = pytest.mark.usefixtures("scene")


@pytest.fixture(scope="module")
def phantom():
    return make_phantom()


@pytest.fixture(scope="module")
def maps(phantom) -> T1Maps:
    return reconstruct(phantom.images, SHMOLLI_TIMES, phantom.phase)


@pytest.fixture
def source(phantom):
    return acquisitions.createAcquisition("rest mid", phantom.images, SHMOLLI_TIMES, OBLIQUE, phantom.phase)


def shownColors(volumeNode):
    """What the display pipeline makes of the volume's pixels, as (row, column, 4) uint8."""
    producer = volumeNode.GetDisplayNode().GetImageDataConnection().GetProducer()
    producer.Update()
    image = producer.GetOutputDataObject(0)
    columns, rows, _ = image.GetDimensions()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(rows, columns, 4)


def test_every_map_has_its_pixels_geometry_and_provenance(source, maps):
    nodes = t1maps.storeT1Maps(source, maps, OBLIQUE, {"Scheme": "shmolli", "LastTest": ""})
    assert set(nodes) == {"t1", "r2", "samples", "residual", "t1_error", "flags"}
    for role, node in nodes.items():
        assert np.array_equal(volumeArray(node)[0], getattr(maps, role)), role
        assert volumeGeometry(node).is_close(OBLIQUE, 1e-4), role
        attributes = {name: node.GetAttribute(name) for name in node.GetAttributeNames()}
        assert attributes["CMR.Role"] == role
        assert attributes["CMR.Source"] == source.GetID()
        assert attributes["CMR.Device"] == "cpu"
        assert attributes["CMR.Version"] == __version__
        assert attributes["CMR.Scheme"] == "shmolli"
        assert attributes["CMR.InversionTimes"] == "100 1100 2100 3100 4100 180 260"
        assert float(attributes["CMR.NoiseSD"]) == pytest.approx(maps.noise_sd, rel=1e-4)
        assert "CMR.LastTest" not in attributes and "CMR.Model" not in attributes


def test_values_carry_coded_units(source, maps):
    nodes = t1maps.storeT1Maps(source, maps, OBLIQUE, {})
    assert nodes["t1"].GetVoxelValueUnits().GetCodeValue() == "ms"
    assert nodes["t1"].GetVoxelValueUnits().GetCodingSchemeDesignator() == "UCUM"
    assert nodes["t1"].GetVoxelValueQuantity().GetCodeValue() == "113063"
    assert nodes["t1_error"].GetVoxelValueUnits().GetCodeValue() == "ms"
    assert nodes["r2"].GetVoxelValueUnits().GetCodeValue() == "1"


def test_applying_again_updates_the_same_nodes(source, maps, scene):
    first = t1maps.storeT1Maps(source, maps, OBLIQUE, {"Scheme": "shmolli", "LastTest": "paper"})
    first["t1"].GetDisplayNode().SetWindowLevelMinMax(500, 1500)
    count = scene.GetNumberOfNodes()
    changed = dataclasses.replace(maps, t1=maps.t1 + 1)
    second = t1maps.storeT1Maps(source, changed, OBLIQUE, {"Scheme": "molli"})
    assert scene.GetNumberOfNodes() == count
    assert all(second[role] is first[role] for role in first)
    assert np.array_equal(volumeArray(second["t1"])[0], changed.t1)
    assert second["t1"].GetAttribute("CMR.Scheme") == "molli"
    assert second["t1"].GetAttribute("CMR.LastTest") is None, "describes the earlier run"
    assert second["t1"].GetDisplayNode().GetWindowLevelMin() == 500, "what the user set stays"


def test_another_source_has_nodes_of_its_own(source, maps, phantom):
    other = acquisitions.createAcquisition("rest mid", phantom.images, SHMOLLI_TIMES, OBLIQUE)
    first = t1maps.storeT1Maps(source, maps, OBLIQUE, {})
    second = t1maps.storeT1Maps(other, maps, OBLIQUE, {})
    assert not {n.GetID() for n in first.values()} & {n.GetID() for n in second.values()}
    assert t1maps.findT1Maps(source) == first and t1maps.findT1Maps(other) == second
    assert first["t1"].GetName() != second["t1"].GetName()


def test_results_are_found_after_loading_into_a_scene_that_renumbers_them(source, maps, scene, phantom, tmp_path):
    t1maps.storeT1Maps(source, maps, OBLIQUE, {}, acquisitions.phaseOf(source))
    assert scene.WriteToMRB(str(tmp_path / "scene.mrb"))
    scene.Clear(0)
    occupied = acquisitions.createAcquisition("other", phantom.images, SHMOLLI_TIMES, OBLIQUE, phantom.phase)
    t1maps.storeT1Maps(occupied, dataclasses.replace(maps, t1=maps.t1 * 0), OBLIQUE, {})
    assert scene.ReadFromMRB(str(tmp_path / "scene.mrb"))
    sequences = [n for n in slicer.util.getNodesByClass("vtkMRMLSequenceNode") if acquisitions.phaseOf(n)]
    loaded = next(node for node in sequences if node is not occupied)
    found = t1maps.findT1Maps(loaded)
    assert np.array_equal(volumeArray(found["t1"])[0], maps.t1)
    assert found["t1"].GetNodeReference(acquisitions.PHASE) is acquisitions.phaseOf(loaded)
    assert found["t1"].GetVoxelValueUnits().GetCodeValue() == "ms"
    assert found["t1"].GetDisplayNode().GetColorNode().GetAttribute(display.COLOR_TABLE) == "CMR_T1_1.5T"
    legend = slicer.modules.colors.logic().GetColorLegendDisplayNode(found["t1"])
    assert legend.GetTitleText() == "T1 [ms]"


def test_chosen_nodes_are_used_and_unsuitable_ones_refused(source, maps):
    chosen = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Mine")
    assert t1maps.storeT1Maps(source, maps, OBLIQUE, {}, outputs={"t1": chosen})["t1"] is chosen
    labels = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Labels")
    for outputs, reason in (
        ({"t1": chosen, "r2": chosen}, "same volume"),
        ({"t1": source}, "overwrite the input"),
        ({"t1": labels}, "cannot hold"),
        ({"flags": chosen}, "cannot hold|same volume"),
    ):
        before = slicer.mrmlScene.GetNumberOfNodes()
        with pytest.raises(InputError, match=reason):
            t1maps.storeT1Maps(source, maps, OBLIQUE, {}, outputs=outputs)
        assert slicer.mrmlScene.GetNumberOfNodes() == before


def test_results_lie_beside_their_source_in_the_subject_hierarchy(source, maps):
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "Study")
    hierarchy.CreateItem(study, acquisitions.shownVolume(source))
    nodes = t1maps.storeT1Maps(source, maps, OBLIQUE, {})
    items = {role: hierarchy.GetItemByDataNode(node) for role, node in nodes.items()}
    assert all(hierarchy.GetItemParent(item) == study for item in items.values())
    folder = hierarchy.CreateFolderItem(study, "Sorted by hand")
    hierarchy.SetItemParent(items["t1"], folder)
    t1maps.storeT1Maps(source, maps, OBLIQUE, {})
    assert hierarchy.GetItemParent(items["t1"]) == folder


def test_results_follow_the_transform_of_their_source(source, maps):
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    acquisitions.shownVolume(source).SetAndObserveTransformNodeID(transform.GetID())
    nodes = t1maps.storeT1Maps(source, maps, OBLIQUE, {})
    assert all(node.GetTransformNodeID() == transform.GetID() for node in nodes.values())


@pytest.mark.parametrize(("colors", "normal", "raised"), [("1.5 T", 962.0, 1200.0), ("3 T", 1154.0, 1440.0)])
def test_t1_colors_are_those_that_cardiologists_know(colors, normal, raised):
    values = np.array([[300.0, normal, raised, 0.0]], np.float32)
    node = slicer.util.addVolumeFromArray(values[None], name="T1")
    t1maps.setT1Colors(node, colors)
    fat, myocardium, oedema, air = shownColors(node)[0, :, :3].astype(int)
    assert fat[2] > 2 * max(fat[:2]), "short T1 is blue"
    assert myocardium[1] > 1.5 * max(myocardium[0], myocardium[2]), "normal myocardium is green"
    assert oedema[0] > 2 * max(oedema[1:]), "raised T1 is red"
    assert not air.any()


def test_r2_is_dark_below_the_threshold():
    node = slicer.util.addVolumeFromArray(np.array([[[0.5, 0.94, 0.97, 0.99, 1.0]]], np.float32), name="R2")
    display.setMapDisplay(node, display.MapDisplay("R²", NO_UNITS, colorTable="CMR_R2"))
    grey = shownColors(node)[0, :, 0].astype(int)
    assert np.all(np.diff(grey) >= 0) and grey[0] == 0 and grey[1] < 50 and grey[3] > 190 and grey[4] > 245
    assert np.ptp(shownColors(node)[..., :3], axis=-1).max() == 0


def test_color_nodes_are_loaded_once_and_offered_to_the_user(scene):
    first = display.colorNode("CMR_T1_1.5T")
    assert display.colorNode("CMR_T1_1.5T") is first
    assert first.GetAttribute("Category") == "Cardiac MR" and not first.GetHideFromEditors()
    assert display.colorNode("CMR_T1_3T") is not first


@pytest.mark.parametrize(
    ("tesla", "colors"), [(1.5, "1.5 T"), (1.494, "1.5 T"), (2.89, "3 T"), (3.0, "3 T"), (None, "1.5 T")]
)
def test_colors_for_a_field_strength(tesla, colors):
    assert t1_colors_for_field(tesla) == colors


def test_flag_words_and_table_cover_every_combination(source, maps):
    nodes = t1maps.storeT1Maps(source, maps, OBLIQUE, {})
    table = nodes["flags"].GetDisplayNode().GetColorNode()
    for flag in PixelFlag:
        assert table.GetColorName(int(flag)) == t1maps.flagWords(flag) != ""
    both = PixelFlag.POLARITY_UNCERTAIN | PixelFlag.T1_UNRESOLVED
    assert t1maps.flagWords(both) == "polarity uncertain, T1 unresolved" == table.GetColorName(int(both))
    color = [0.0] * 4
    table.GetColor(int(PixelFlag.NO_SIGNAL), color)
    assert color[3] == 0, "air is not drawn"
    table.GetColor(int(PixelFlag.NO_SIGNAL | PixelFlag.T1_UNRESOLVED), color)
    assert color[3] == 1


def test_display_is_not_interpolated_and_windowed(source, maps):
    nodes = t1maps.storeT1Maps(source, maps, OBLIQUE, {})
    t1 = nodes["t1"].GetDisplayNode()
    assert not t1.GetInterpolate() and not t1.GetAutoWindowLevel()
    assert (t1.GetWindowLevelMin(), t1.GetWindowLevelMax()) == (0, 2000)
    assert nodes["residual"].GetDisplayNode().GetAutoWindowLevel()


def test_map_of_another_shape_replaces_the_old_pixels(source, maps):
    t1maps.storeT1Maps(source, maps, OBLIQUE, {})
    fields = {role: getattr(maps, role)[:5, :6] for role in t1maps.MAP_NAMES}
    nodes = t1maps.storeT1Maps(source, dataclasses.replace(maps, **fields), Geometry(), {})
    assert volumeArray(nodes["t1"]).shape == (1, 5, 6) and volumeGeometry(nodes["t1"]).is_close(Geometry())


def test_a_slicer_without_main_window_has_no_slice_views_to_turn(source, maps):
    node = t1maps.storeT1Maps(source, maps, OBLIQUE, {})["t1"]
    logic = slicer.app.applicationLogic()
    views = logic.GetSliceLogics()
    logic.SetSliceLogics(None)
    try:
        display.showInSliceViews(node)
    finally:
        logic.SetSliceLogics(views)
