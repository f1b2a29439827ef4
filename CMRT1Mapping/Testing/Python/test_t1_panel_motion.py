"""Motion correction in the panel: Apply, look, compare, undo; runs in the host and in a real Slicer.

The network is played by one that knows the motion of the phantom; the shipped one is in test_t1_panel_moconet.py.
"""

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import slicer
from irw_phantom import OBLIQUE, SHMOLLI_TIMES
from moving_phantom import install_known_motion, make_moving_phantom

from CMRLib.networks import models
from CMRLib.scene import acquisitions, dependencies
from CMRLib.scene.volumes import ijkToWorld, volumeArray
from CMRT1MappingLib.fit.reconstruction import reconstruct
from CMRT1MappingLib.motion import correction as motion_correction
from CMRT1MappingLib.motion.correction import correct_and_reconstruct
from CMRT1MappingLib.motion.estimation import DEFAULT_MODEL, load_motion_model
from CMRT1MappingLib.scene import motion, t1maps

MODULE = Path(__file__).resolve().parents[2] / "CMRT1Mapping.py"

pytestmark = pytest.mark.usefixtures("remembered_fits")


@pytest.fixture(scope="module")
def moving():
    return make_moving_phantom()


@pytest.fixture(autouse=True)
def knownMotion(monkeypatch, moving):
    install_known_motion(monkeypatch, moving.displacement)


@pytest.fixture
def panel(host):
    return host.loadModule(MODULE)


def load(moving, name="rest mid", frames=7):
    times, images, phase = SHMOLLI_TIMES[:frames], moving.images[:frames], moving.phase[:frames]
    marks = {acquisitions.SCHEME: "shmolli", acquisitions.STATE: "rest"}
    return acquisitions.createAcquisition(name, images, times, OBLIQUE, phase, marks)


@pytest.fixture
def applied(host, panel, moving):
    """The panel after Apply on images with motion."""
    source = load(moving)
    host.setNode(panel.ui.inputSelector, source)
    host.click(panel.ui.applyButton)
    return SimpleNamespace(panel=panel, source=source, maps=t1maps.findT1Maps(source))


def backgrounds(host):
    composites = host.sliceComposites()
    return {slicer.mrmlScene.GetNodeByID(composite.GetBackgroundVolumeID() or "") for composite in composites}


def errors(host):
    return [shown.text for shown in host.takeMessages() if shown.kind == "error"]


# Apply


def test_correction_is_on_unless_it_is_switched_off(panel):
    assert panel.ui.correctMotionCheckBox.checked and "MOCOnet" in panel.ui.correctMotionCheckBox.toolTip
    for widget in (panel.ui.showDisplacementCheckBox, panel.ui.compareButton, panel.ui.undoButton):
        assert not widget.enabled
    assert panel.ui.motionLabel.visible and "no motion correction" in panel.ui.motionLabel.text


def test_apply_maps_the_corrected_images_and_says_so(host, applied, moving):
    truth = correct_and_reconstruct(
        moving.images, SHMOLLI_TIMES, moving.phase, (OBLIQUE.spacing[1], OBLIQUE.spacing[0])
    )
    assert truth.kept and truth.r2_after > truth.r2_before + 0.05
    assert np.array_equal(volumeArray(applied.maps["t1"])[0], truth.maps.t1)
    text = applied.panel.ui.statusLabel.text
    mm = float(applied.maps["t1"].GetAttribute("CMR.MotionMm"))
    assert f"Motion in the heart was {truth.motion_px:.1f} px ({mm:.1f} mm) on average" in text
    assert f"raised R² there from {truth.r2_before:.3f} to {truth.r2_after:.3f} (" in text and text.startswith(
        "Fitted "
    )
    assert host.takeMessages() == []
    for widget in (applied.panel.ui.showDisplacementCheckBox, applied.panel.ui.compareButton):
        assert widget.enabled
    assert not applied.panel.ui.motionLabel.visible


def test_without_the_tick_the_images_are_mapped_as_acquired(host, applied, moving):
    panel, maps = applied.panel, applied.maps
    panel.ui.correctMotionCheckBox.checked = False
    host.click(panel.ui.applyButton)
    assert t1maps.findT1Maps(applied.source) == maps, "in the same nodes"
    expected = reconstruct(moving.images, SHMOLLI_TIMES, moving.phase)
    assert np.array_equal(volumeArray(maps["t1"])[0], expected.t1)
    assert panel.ui.statusLabel.text.endswith("Motion was not corrected.")
    assert motion.findCorrection(applied.source) == {} and not panel.ui.undoButton.enabled


def test_a_correction_that_does_not_help_is_not_kept_and_the_panel_says_so(host, panel, moving, monkeypatch):
    install_known_motion(monkeypatch, -moving.displacement)
    source = load(moving)
    host.setNode(panel.ui.inputSelector, source)
    host.click(panel.ui.applyButton)
    assert "did not improve R² in the heart by more than smoothing does (" in panel.ui.statusLabel.text
    assert "so the images were fitted as acquired." in panel.ui.statusLabel.text and motion.findCorrection(source) == {}
    assert not panel.ui.undoButton.enabled


def test_images_at_rest_are_left_alone(host, panel, moving, monkeypatch):
    install_known_motion(monkeypatch, moving.displacement * 0.02)
    host.setNode(panel.ui.inputSelector, load(moving))
    host.click(panel.ui.applyButton)
    assert "needed no correction" in panel.ui.statusLabel.text and not panel.ui.undoButton.enabled


def test_too_few_images_are_mapped_and_the_reason_is_said(host, panel, moving):
    host.setNode(panel.ui.inputSelector, load(moving, frames=4))
    host.choose(panel.ui.schemeComboBox, "MOLLI")
    host.click(panel.ui.applyButton)
    assert "fitted as acquired: Motion correction needs 5 to 11 images, not 4" in panel.ui.statusLabel.text
    assert panel.ui.t1MapSelector.currentNode() is not None and errors(host) == []


def test_what_was_done_is_said_again_when_the_images_are_chosen_again(host, applied):
    panel, text = applied.panel, applied.panel.ui.statusLabel.text
    host.setNode(panel.ui.inputSelector, None)
    assert panel.ui.statusLabel.text == ""
    host.setNode(panel.ui.inputSelector, applied.source)
    assert panel.ui.statusLabel.text == text


def test_apply_again_makes_no_further_nodes(host, applied):
    count, parts = slicer.mrmlScene.GetNumberOfNodes(), motion.findCorrection(applied.source)
    host.click(applied.panel.ui.applyButton)
    assert slicer.mrmlScene.GetNumberOfNodes() == count
    assert motion.findCorrection(applied.source) == parts


def test_choosing_corrected_images_chooses_their_acquisition(host, applied):
    """They are results: correcting them again would only blur them."""
    panel = applied.panel
    for node in (motion.findCorrection(applied.source)[motion.IMAGES], motion.shownNode(applied.source, motion.IMAGES)):
        host.setNode(panel.ui.inputSelector, None)
        panel.ui.inputSelector.setCurrentNode(node)
        host.processEvents()
        assert panel.ui.inputSelector.currentNode() is applied.source


# Cancel


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_cancel_at_any_time_keeps_nothing(host, panel, moving, monkeypatch, share):
    source = load(moving)
    host.setNode(panel.ui.inputSelector, source)
    before, seen, original = slicer.mrmlScene.GetNumberOfNodes(), [], panel._onProgress

    def progress(fraction):
        seen.append(fraction)
        if fraction >= share:
            panel.ui.cancelButton.click()
        original(fraction)

    monkeypatch.setattr(panel, "_onProgress", progress)
    host.click(panel.ui.applyButton)
    assert seen == sorted(seen) and seen[-1] >= share
    assert panel.ui.statusLabel.text == "Cancelled; nothing was changed."
    assert slicer.mrmlScene.GetNumberOfNodes() == before and motion.findCorrection(source) == {}


def test_cancelling_undo_leaves_the_correction(host, applied, monkeypatch):
    panel, before = applied.panel, volumeArray(applied.maps["t1"])
    original = panel._onProgress

    def progress(fraction):
        panel.ui.cancelButton.click()
        original(fraction)

    monkeypatch.setattr(panel, "_onProgress", progress)
    host.click(panel.ui.undoButton)
    assert np.array_equal(volumeArray(applied.maps["t1"]), before)
    assert set(motion.findCorrection(applied.source)) == set(motion.NAMES) and panel.ui.undoButton.enabled


# Looking


@pytest.mark.parametrize(
    ("choice", "role"),
    [
        ("R2 before correction", motion.R2_BEFORE),
        ("Corrected images", motion.IMAGES),
        ("Acquired images", "acquired"),
    ],
)
def test_every_part_can_be_shown_with_place_and_zoom_kept(host, applied, choice, role):
    red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()
    width, height, depth = red.GetFieldOfView()
    red.SetFieldOfView(width / 2, height / 2, depth)
    host.choose(applied.panel.ui.shownMapComboBox, choice)
    acquired = acquisitions.shownVolume(applied.source)
    expected = acquired if role == "acquired" else motion.shownNode(applied.source, role)
    assert backgrounds(host) == {expected}
    assert red.GetFieldOfView()[:2] == pytest.approx((width / 2, height / 2)), "the eye can flip between them"


@pytest.mark.parametrize("choice", ["Acquired images", "Corrected images"])
def test_leaving_the_module_during_a_run_while_images_are_shown(host, applied, monkeypatch, choice):
    panel, original = applied.panel, applied.panel._onProgress
    host.choose(panel.ui.shownMapComboBox, choice)

    def progress(fraction):
        if panel._parameterNode is not None:
            panel.exit()
        original(fraction)

    monkeypatch.setattr(panel, "_onProgress", progress)
    applied.maps["t1"].SetAttribute("CMR.Version", "earlier")
    host.click(panel.ui.applyButton)
    assert applied.maps["t1"].GetAttribute("CMR.Version") != "earlier" and host.takeMessages() == []
    assert panel.ui.statusLabel.text.startswith("Fitted ")
    panel.enter()
    assert panel.ui.t1MapSelector.currentNode() is applied.maps["t1"] and panel.ui.applyButton.enabled


def test_displacement_is_laid_over_the_corrected_image(host, applied):
    host.choose(applied.panel.ui.shownMapComboBox, "Displacement")
    (composite, *_) = composites = host.sliceComposites()
    assert backgrounds(host) == {motion.shownNode(applied.source, motion.IMAGES)}
    length = motion.shownNode(applied.source, motion.LENGTH)
    assert {node.GetForegroundVolumeID() for node in composites} == {length.GetID()}
    assert 0.3 < composite.GetForegroundOpacity() < 0.8
    host.choose(applied.panel.ui.shownMapComboBox, "T1 map")
    assert {node.GetForegroundVolumeID() for node in composites} == {None}


def test_parts_that_are_not_there_are_not_shown(host, panel, moving):
    host.setNode(panel.ui.inputSelector, load(moving))
    panel.ui.correctMotionCheckBox.checked = False
    host.click(panel.ui.applyButton)
    host.choose(panel.ui.shownMapComboBox, "Corrected images")
    assert panel.ui.statusLabel.text == "Corrected images: there is none, because motion was not corrected."
    assert panel.ui.shownMapComboBox.currentText == "T1 map"
    assert backgrounds(host) == {panel.ui.t1MapSelector.currentNode()}


def test_compare_shows_r2_before_and_after_on_the_same_plane(host, applied):
    host.click(applied.panel.ui.compareButton)
    manager = slicer.app.layoutManager()
    assert manager.layout == slicer.vtkMRMLLayoutNode.SlicerLayoutSideBySideView
    logics = [manager.sliceWidget(name).sliceLogic() for name in ("Red", "Yellow")]
    shown = [logic.GetSliceCompositeNode().GetBackgroundVolumeID() for logic in logics]
    assert shown == [motion.shownNode(applied.source, motion.R2_BEFORE).GetID(), applied.maps["r2"].GetID()]
    assert applied.panel.ui.shownMapComboBox.currentText == "R2 map"
    planes = [slicer.util.arrayFromVTKMatrix(logic.GetSliceNode().GetSliceToRAS()) for logic in logics]
    assert np.allclose(*planes)
    assert all(logic.GetSliceCompositeNode().GetLinkedControl() for logic in logics)
    before, after = (host.grabSlice(name).astype(float) for name in ("Red", "Yellow"))
    assert after.mean() > before.mean() + 5, "R2 is brighter after the correction"


def test_compare_shows_the_whole_maps(host, applied):
    """Views have the size of another layout only after Qt has arranged them."""
    slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutConventionalView)
    host.processEvents()
    host.click(applied.panel.ui.compareButton)
    columns, rows, _slices = applied.maps["r2"].GetImageData().GetDimensions()
    for name in ("Red", "Yellow"):
        width, height, _depth = slicer.app.layoutManager().sliceWidget(name).mrmlSliceNode().GetFieldOfView()
        assert width >= 0.99 * columns * OBLIQUE.spacing[0] and height >= 0.99 * rows * OBLIQUE.spacing[1]


def arrows(host, name="Red"):
    """The part of a slice view that the arrows change."""
    panel = slicer.util.getModuleWidget("CMRT1Mapping")
    pictures = []
    for checked in (False, True):
        panel.ui.showDisplacementCheckBox.checked = checked
        host.processEvents()
        pictures.append(host.grabSlice(name).astype(int))
    return np.mean(np.abs(pictures[1] - pictures[0]).max(axis=-1) > 40)


def test_displacement_is_drawn_as_arrows(host, applied):
    assert arrows(host) > 0.005
    display = motion.shownNode(applied.source, motion.DISPLACEMENT).GetDisplayNode()
    assert display.GetVisibility()
    applied.panel.ui.showDisplacementCheckBox.checked = False
    assert not display.GetVisibility()


def test_arrows_follow_the_image_that_is_browsed(host, applied, moving):
    applied.panel.ui.showDisplacementCheckBox.checked = True
    browser = acquisitions.browserOf(applied.source)
    transform = motion.shownNode(applied.source, motion.DISPLACEMENT)
    place = ijkToWorld(acquisitions.shownVolume(applied.source), np.array([[20, 20, 0]]))[0]
    affine = OBLIQUE.ijk_to_ras()[:3, :3]
    for frame in (0, 3):
        browser.SetSelectedItemNumber(frame)
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
        rows, columns = moving.displacement[frame, :, 0, 0]
        expected = place + affine @ (columns, rows, 0)
        assert transform.GetTransformFromParent().TransformPoint(place) == pytest.approx(expected, abs=1e-3)
        assert transform.GetDisplayNode().GetVisibility()


def test_arrows_of_the_images_that_are_chosen(host, applied, moving):
    panel, other = applied.panel, load(moving, "stress mid")
    panel.ui.showDisplacementCheckBox.checked = True
    host.setNode(panel.ui.inputSelector, other)
    first = motion.shownNode(applied.source, motion.DISPLACEMENT).GetDisplayNode()
    assert not first.GetVisibility() and not panel.ui.showDisplacementCheckBox.enabled
    host.click(panel.ui.applyButton)
    assert motion.shownNode(other, motion.DISPLACEMENT).GetDisplayNode().GetVisibility()
    host.setNode(panel.ui.inputSelector, applied.source)
    assert first.GetVisibility()


# Undo


def test_undo_maps_the_images_as_acquired_and_leaves_nothing_contradictory(host, applied, moving):
    panel, maps = applied.panel, applied.maps
    panel.ui.showDisplacementCheckBox.checked = True
    host.choose(panel.ui.shownMapComboBox, "Corrected images")
    host.click(panel.ui.undoButton)
    expected = reconstruct(moving.images, SHMOLLI_TIMES, moving.phase)
    assert t1maps.findT1Maps(applied.source) == maps
    assert np.array_equal(volumeArray(maps["t1"])[0], expected.t1)
    assert np.array_equal(volumeArray(maps["r2"])[0], expected.r2)
    assert motion.findCorrection(applied.source) == {}
    assert not slicer.util.getNodesByClass("vtkMRMLGridTransformNode")
    assert panel.ui.shownMapComboBox.currentText == "T1 map" and backgrounds(host) == {maps["t1"]}
    assert panel.ui.statusLabel.text.endswith("Motion was not corrected.")
    for widget in (panel.ui.undoButton, panel.ui.compareButton, panel.ui.showDisplacementCheckBox):
        assert not widget.enabled


def test_apply_after_undo_corrects_again(host, applied):
    before = volumeArray(applied.maps["t1"])
    host.click(applied.panel.ui.undoButton)
    assert not np.array_equal(volumeArray(applied.maps["t1"]), before)
    host.click(applied.panel.ui.applyButton)
    assert np.array_equal(volumeArray(applied.maps["t1"]), before)
    assert set(motion.findCorrection(applied.source)) == set(motion.NAMES)


def test_undo_while_r2_is_compared(host, applied):
    host.click(applied.panel.ui.compareButton)
    host.click(applied.panel.ui.undoButton)
    assert backgrounds(host) == {applied.maps["r2"]}


# Curve and statistics


def test_hovering_shows_the_curve_of_the_corrected_images_and_after_undo_of_the_acquired(host, applied, moving):
    panel, maps = applied.panel, applied.maps
    panel.ui.showCurveCheckBox.checked = True
    row, column = moving.still.centers[1][0] + 7, moving.still.centers[1][1]
    texts = []
    for _ in range(2):
        host.moveMouse("Red", ijkToWorld(maps["t1"], np.array([[column - 3, row, 0]]))[0])
        host.moveMouse("Red", ijkToWorld(maps["t1"], np.array([[column, row, 0]]))[0])
        texts.append(panel.ui.curveLabel.text)
        value = volumeArray(maps["t1"])[0, row, column]
        assert f"T1 {value:.0f} ±" in texts[-1] and f"R² {volumeArray(maps['r2'])[0, row, column]:.4f}" in texts[-1]
        if panel.ui.undoButton.enabled:
            host.click(panel.ui.undoButton)
    assert texts[0] != texts[1]


def test_statistics_are_those_of_the_corrected_map(host, applied, moving):
    panel, t1 = applied.panel, applied.maps["t1"]
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Box")
    row, column = moving.still.centers[1]
    roi.SetCenterWorld(*ijkToWorld(t1, np.array([[column, row, 0]]))[0])
    roi.SetSizeWorld(6, 6, 6)
    host.setNode(panel.ui.regionSelector, roi)
    text = panel.ui.statusLabel.text
    host.click(panel.ui.measureButton)
    assert panel.ui.statusLabel.text == text != "", "the result is still said"
    table = panel.ui.statisticsTableSelector.currentNode().GetTable()
    mean, pixels = (table.GetValueByName(0, title).ToDouble() for title in ("Mean [ms]", "Pixels"))
    values = volumeArray(t1)[0, row - 6 : row + 7, column - 6 : column + 7]
    assert pixels > 10 and values.min() <= mean <= values.max()
    assert mean == pytest.approx(960, rel=0.02)


# Saving, closing, reloading


def test_correction_is_saved_and_loaded_with_the_scene(host, applied, tmp_path):
    panel, text = applied.panel, applied.panel.ui.statusLabel.text
    panel.ui.showDisplacementCheckBox.checked = True
    panel.ui.correctMotionCheckBox.checked = False
    host.reopenScene(tmp_path / "scene.mrb")
    source = panel.ui.inputSelector.currentNode()
    assert set(motion.findCorrection(source)) == set(motion.NAMES)
    assert panel.ui.statusLabel.text == text and not panel.ui.correctMotionCheckBox.checked
    assert panel.ui.undoButton.enabled and panel.ui.showDisplacementCheckBox.checked
    assert motion.shownNode(source, motion.DISPLACEMENT).GetDisplayNode().GetVisibility()
    host.click(panel.ui.undoButton)
    assert motion.findCorrection(source) == {}
    assert not slicer.util.getNodesByClass("vtkMRMLGridTransformNode")


def test_closing_the_scene_forgets_the_correction(host, applied):
    applied.panel.ui.showDisplacementCheckBox.checked = True
    slicer.mrmlScene.Clear(0)
    host.processEvents()
    assert applied.panel.ui.statusLabel.text == "" and not applied.panel.ui.undoButton.enabled
    assert applied.panel.ui.correctMotionCheckBox.checked and not applied.panel.ui.showDisplacementCheckBox.checked


def test_removing_a_part_by_hand_does_not_stop_the_panel(host, applied):
    panel = applied.panel
    for role in motion.NAMES:
        slicer.mrmlScene.RemoveNode(motion.findCorrection(applied.source)[role])
    panel.ui.showDisplacementCheckBox.checked = True
    host.click(panel.ui.compareButton)
    host.click(panel.ui.applyButton)
    assert set(motion.findCorrection(applied.source)) == set(motion.NAMES)
    for role in motion.NAMES:
        slicer.mrmlScene.RemoveNode(motion.findCorrection(applied.source)[role])
    host.processEvents()
    host.click(panel.ui.undoButton)
    assert "Motion was not corrected" in panel.ui.statusLabel.text


def test_reloading_the_module_keeps_the_correction(host, applied):
    applied.panel.onReload()
    host.processEvents()
    reloaded = slicer.util.getModuleWidget("CMRT1Mapping")
    assert reloaded.ui.undoButton.enabled and "Motion in the heart" in reloaded.ui.statusLabel.text


# What is missing


@pytest.fixture
def shippedLoader(monkeypatch):
    """The network's own loader, where the other tests have one that knows the motion."""
    monkeypatch.setattr(motion_correction, "load_motion_model", load_motion_model)


def test_missing_or_damaged_weights_are_one_sentence_and_no_map(
    host, panel, moving, shippedLoader, monkeypatch, tmp_path
):
    """Never the images as acquired in silence."""
    source = load(moving)
    host.setNode(panel.ui.inputSelector, source)
    entry = models.ModelEntry(
        DEFAULT_MODEL,
        "motion",
        "x",
        "moconet.safetensors",
        "0" * 64,
        10,
        {"spacing_mm": 1.4},
        ("x",),
        "CC0-1.0",
        "2026",
    )
    manifest = tmp_path / "Models" / "manifest.json"
    models.add_to_manifest(entry, manifest)
    monkeypatch.setattr(models, "resource_path", lambda name: tmp_path / name)
    for content, reason in ((None, "are missing"), (b"0123456789", "are damaged")):
        if content is not None:
            (manifest.parent / entry.file).write_bytes(content)
        host.click(panel.ui.applyButton)
        (message,) = errors(host)
        assert reason in message and "install CMRMapping again" in message and "\n" not in message
        assert panel.ui.statusLabel.text == message
        assert t1maps.findT1Maps(source) == {} and motion.findCorrection(source) == {}
    panel.ui.correctMotionCheckBox.checked = False
    host.click(panel.ui.applyButton)
    assert t1maps.findT1Maps(source), "as acquired once that is chosen"


@pytest.mark.parametrize("accepted", [True, False])
def test_the_package_that_reads_weights_is_offered(host, panel, moving, shippedLoader, monkeypatch, accepted):
    import qt

    if slicer.app.testingEnabled():
        pytest.skip("in testing mode questions are not asked")
    installed = []
    monkeypatch.setattr(dependencies, "isSafetensorsInstalled", lambda: bool(installed))
    monkeypatch.setitem(sys.modules, "slicer.packaging", None)
    monkeypatch.setattr(slicer.util, "pip_install", installed.append)
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    host.setNode(panel.ui.inputSelector, load(moving))
    host.answer(qt.QMessageBox.Ok if accepted else qt.QMessageBox.Cancel)
    host.click(panel.ui.applyButton)
    question = host.takeMessages()[0]
    assert question.kind == "question" and "safetensors" in question.text
    assert installed == (["safetensors>=0.4"] if accepted else [])
    assert panel.ui.t1MapSelector.currentNode() is None


def test_nothing_is_offered_for_images_as_acquired(host, panel, moving, monkeypatch):
    monkeypatch.setattr(dependencies, "isSafetensorsInstalled", lambda: False)
    panel.ui.correctMotionCheckBox.checked = False
    host.setNode(panel.ui.inputSelector, load(moving))
    host.click(panel.ui.applyButton)
    assert host.takeMessages() == [] and panel.ui.t1MapSelector.currentNode() is not None


def test_the_module_cites_what_it_uses(host, panel):
    spec = importlib.util.find_spec("CMRT1Mapping")
    assert spec is not None
    module = slicer.modules.CMRT1MappingInstance.parent
    assert "MOCOnet" in module.helpText and "8:768245" in module.acknowledgementText
