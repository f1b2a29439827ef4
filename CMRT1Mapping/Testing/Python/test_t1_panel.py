"""The panel of CMRT1Mapping, used as an analyst uses it; runs in the host and in a real Slicer."""

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import slicer
from irw_phantom import OBLIQUE, SHMOLLI_TIMES, TUBES_MS, make_phantom

from CMRLib.scene import acquisitions, dependencies
from CMRLib.scene.volumes import ijkToWorld, setVolumeArray, volumeArray
from CMRT1MappingLib.scene import t1maps

MODULE = Path(__file__).resolve().parents[2] / "CMRT1Mapping.py"

pytestmark = pytest.mark.usefixtures("remembered_fits")

SELECTORS = {
    "t1": "t1MapSelector",
    "r2": "r2MapSelector",
    "samples": "samplesMapSelector",
    "residual": "residualMapSelector",
    "t1_error": "t1ErrorMapSelector",
    "flags": "flagsMapSelector",
}


@pytest.fixture(scope="module")
def phantom():
    return make_phantom()


@pytest.fixture
def panel(host):
    """The panel, set to leave the images as acquired; its motion correction is in test_t1_panel_motion.py."""
    panel = host.loadModule(MODULE)
    panel.ui.correctMotionCheckBox.checked = False
    return panel


def load(phantom, name="rest mid", phase=True, **attributes):
    """What the DICOM reader leaves in the scene."""
    marks = {acquisitions.SCHEME: "shmolli", acquisitions.STATE: "rest", **attributes}
    times = phantom.inversion_times_ms
    return acquisitions.createAcquisition(name, phantom.images, times, OBLIQUE, phantom.phase if phase else None, marks)


@pytest.fixture
def applied(host, panel, phantom):
    """The panel after Apply on an acquisition."""
    source = load(phantom)
    host.setNode(panel.ui.inputSelector, source)
    host.click(panel.ui.applyButton)
    return SimpleNamespace(panel=panel, source=source, maps=t1maps.findT1Maps(source))


def cells(panel):
    table = panel.ui.inversionTimesTable
    return [table.item(0, column).text() for column in range(table.columnCount)]


def tubeMeans(node, phantom):
    array = volumeArray(node)[0]
    return [array[r - 4 : r + 5, c - 4 : c + 5].mean() for r, c in phantom.centers]


def errors(host):
    return [shown.text for shown in host.takeMessages() if shown.kind == "error"]


def position(node, row, column):
    return ijkToWorld(node, np.array([[column, row, 0]]))[0]


# Opening, and choosing images


def test_panel_opens_and_says_what_is_missing(panel):
    assert not panel.ui.applyButton.enabled
    assert panel.ui.applyButton.toolTip == "Select the inversion-recovery images."
    assert not panel.ui.measureButton.enabled and "T1 map" in panel.ui.measureButton.toolTip
    assert panel.ui.inversionTimesTable.columnCount == 0


def test_choosing_an_acquisition_fills_the_panel(host, panel, phantom):
    source = load(phantom, **{acquisitions.SCHEME: "look-locker", acquisitions.FIELD_STRENGTH: "2.89"})
    host.setNode(panel.ui.inputSelector, source)
    assert panel.ui.phaseSelector.currentNode() is acquisitions.phaseOf(source)
    assert cells(panel) == ["100", "1100", "2100", "3100", "4100", "180", "260"]
    assert panel.ui.schemeComboBox.currentText == "Look-Locker"
    assert panel.ui.colorsComboBox.currentText == "3 T"
    assert panel.ui.applyButton.enabled
    host.setNode(panel.ui.inputSelector, None)
    assert cells(panel) == [] and panel.ui.phaseSelector.currentNode() is None
    assert not panel.ui.applyButton.enabled


def test_choosing_the_image_shown_chooses_its_acquisition(host, panel, phantom):
    source = load(phantom)
    panel.ui.inputSelector.setCurrentNode(acquisitions.shownVolume(source))
    host.processEvents()
    assert panel.ui.inputSelector.currentNode() is source
    assert cells(panel) == [f"{time:g}" for time in SHMOLLI_TIMES]


def test_dragging_in_the_selector_chooses(host, panel, phantom):
    """Press on the selector, drag through its list, release on another acquisition."""
    if not hasattr(host, "dragToNode"):
        pytest.skip("real Slicer's selectors cannot be dragged from Python")
    rest, stress = load(phantom), load(phantom, "stress mid", phase=False)
    host.setNode(panel.ui.inputSelector, rest)
    host.dragToNode(panel.ui.inputSelector, stress)
    assert panel.ui.inputSelector.currentNode() is stress
    assert panel.ui.phaseSelector.currentNode() is None
    assert panel.ui.applyButton.enabled


def test_apply_computes_the_maps(host, applied, phantom):
    panel, maps = applied.panel, applied.maps
    assert tubeMeans(maps["t1"], phantom) == pytest.approx(TUBES_MS, rel=0.01)
    assert min(tubeMeans(maps["r2"], phantom)) > 0.999
    assert volumeArray(maps["t1"])[0][phantom.t1 == 0].max() == 0
    for role, name in (("t1", "t1Map"), ("r2", "r2Map"), ("flags", "flagsMap"), ("t1_error", "t1ErrorMap")):
        assert getattr(panel.ui, f"{name}Selector").currentNode() is maps[role]
    assert maps["t1"].GetNodeReference(acquisitions.PHASE) is acquisitions.phaseOf(applied.source)
    assert f"Fitted {np.count_nonzero(volumeArray(maps['samples']))} pixels on cpu" in panel.ui.statusLabel.text
    assert panel.ui.applyButton.enabled and not panel.ui.progressWidget.visible
    assert host.takeMessages() == []


def test_a_map_that_means_nothing_says_so_first(host, panel, phantom):
    """Images that follow no inversion recovery still give numbers; the panel must not pass them off as T1."""
    source = load(phantom, phase=False)
    noise = np.random.default_rng(0).uniform(50.0, 400.0, phantom.images.shape).astype(np.float32)
    host.setNode(panel.ui.inputSelector, load(SimpleNamespace(**{**vars(phantom), "images": noise}), "noise", False))
    host.click(panel.ui.applyButton)
    assert "the images follow no curve of inversion recovery" in panel.ui.statusLabel.text.partition("Fitted")[0]
    host.setNode(panel.ui.inputSelector, source)
    host.click(panel.ui.applyButton)
    assert panel.ui.statusLabel.text.startswith("Fitted")


def test_apply_shows_the_map_in_the_slice_views(host, applied):
    t1 = applied.maps["t1"]
    for composite in host.sliceComposites():
        assert composite.GetBackgroundVolumeID() == t1.GetID()
    red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()
    toRAS = slicer.util.arrayFromVTKMatrix(red.GetSliceToRAS())
    corner, right, down = ijkToWorld(t1, np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]]))
    assert (right - corner) @ toRAS[:3, 0] > 0.99 * OBLIQUE.spacing[0], "columns run to the right"
    assert (down - corner) @ toRAS[:3, 1] < -0.99 * OBLIQUE.spacing[1], "rows run downwards"


def shownLegends(maps):
    """Titles of the legends that the red slice view draws."""
    view = slicer.app.layoutManager().sliceWidget("Red").sliceView()
    manager = view.displayableManagerByClassName("vtkMRMLColorLegendDisplayableManager")
    legends = [slicer.modules.colors.logic().GetColorLegendDisplayNode(node) for node in maps.values()]
    actors = [manager.GetColorLegendActor(legend) for legend in legends if legend is not None]
    return [actor.GetTitle() for actor in actors if actor.GetVisibility()]


def test_the_map_chosen_is_shown_with_its_legend(host, applied):
    assert shownLegends(applied.maps) == ["T1 [ms]"]
    for choice, role, title in (("R2 map", "r2", "R²"), ("T1 standard error", "t1_error", "T1 standard error [ms]")):
        host.choose(applied.panel.ui.shownMapComboBox, choice)
        composites = host.sliceComposites()
        assert {c.GetBackgroundVolumeID() for c in composites} == {applied.maps[role].GetID()}
        assert shownLegends(applied.maps) == [title]
    host.click(applied.panel.ui.applyButton)
    assert shownLegends(applied.maps) == ["T1 standard error [ms]"], "Apply again leaves the choice"


def test_apply_again_updates_the_same_nodes(host, applied):
    panel, count = applied.panel, slicer.mrmlScene.GetNumberOfNodes()
    host.choose(panel.ui.schemeComboBox, "MOLLI")
    host.click(panel.ui.applyButton)
    assert slicer.mrmlScene.GetNumberOfNodes() == count
    assert t1maps.findT1Maps(applied.source) == applied.maps
    assert applied.maps["t1"].GetAttribute("CMR.Scheme") == "molli"


def test_another_source_has_its_own_nodes_and_the_first_gets_its_own_back(host, applied, phantom):
    panel, other = applied.panel, load(make_phantom(seed=2), name="rest basal")
    host.setNode(panel.ui.inputSelector, other)
    assert panel.ui.t1MapSelector.currentNode() is None
    host.click(panel.ui.applyButton)
    assert panel.ui.t1MapSelector.currentNode() not in (None, applied.maps["t1"])
    host.setNode(panel.ui.inputSelector, applied.source)
    assert panel.ui.t1MapSelector.currentNode() is applied.maps["t1"]


def test_results_go_into_the_chosen_volume(host, panel, phantom):
    host.setNode(panel.ui.inputSelector, load(phantom))
    mine = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Mine")
    host.setNode(panel.ui.t1MapSelector, mine)
    host.click(panel.ui.applyButton)
    assert tubeMeans(mine, phantom) == pytest.approx(TUBES_MS, rel=0.01)


def test_volume_whose_slices_are_the_frames(host, panel, phantom):
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Frames")
    setVolumeArray(volume, phantom.images, OBLIQUE)
    host.setNode(panel.ui.inputSelector, volume)
    assert cells(panel) == [""] * 7
    assert panel.ui.applyButton.toolTip == "Enter the inversion time of image 1 in milliseconds."
    for column, time in enumerate(SHMOLLI_TIMES):
        assert not panel.ui.applyButton.enabled
        host.editCell(panel.ui.inversionTimesTable, 0, column, f"{time:g}")
    host.click(panel.ui.applyButton)
    assert tubeMeans(panel.ui.t1MapSelector.currentNode(), phantom) == pytest.approx(TUBES_MS, rel=0.01)


# Inversion times


def test_edited_times_are_kept_with_the_images_and_can_be_restored(host, panel, phantom):
    source, other = load(phantom), load(phantom, name="other")
    host.setNode(panel.ui.inputSelector, source)
    assert not panel.ui.restoreTimesButton.enabled
    host.editCell(panel.ui.inversionTimesTable, 0, 1, "1200")
    host.setNode(panel.ui.inputSelector, other)
    assert cells(panel)[1] == "1100"
    host.setNode(panel.ui.inputSelector, source)
    assert cells(panel)[1] == "1200"
    host.click(panel.ui.applyButton)
    assert t1maps.findT1Maps(source)["t1"].GetAttribute("CMR.InversionTimes").split()[1] == "1200"
    host.click(panel.ui.restoreTimesButton)
    assert cells(panel)[1] == "1100" and not panel.ui.restoreTimesButton.enabled


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Enter the inversion time of image 3"),
        ("abc", "abc is not an inversion time"),
        ("-5", "between 0 and 30000"),
        ("nan", "nan is not an inversion time"),
        ("100", "the inversion time 100 ms occurs 2 times"),
    ],
)
def test_unusable_time_disables_apply_and_says_why(host, panel, phantom, text, reason):
    host.setNode(panel.ui.inputSelector, load(phantom))
    host.editCell(panel.ui.inversionTimesTable, 0, 2, text)
    assert not panel.ui.applyButton.enabled and reason in panel.ui.applyButton.toolTip
    host.editCell(panel.ui.inversionTimesTable, 0, 2, "2100")
    assert panel.ui.applyButton.enabled


def test_six_images_are_no_shmolli_but_may_be_molli(host, panel, phantom):
    six = make_phantom(times=SHMOLLI_TIMES[:6])
    host.setNode(panel.ui.inputSelector, load(six))
    assert not panel.ui.applyButton.enabled and "6 images where ShMOLLI has 7" in panel.ui.applyButton.toolTip
    host.choose(panel.ui.schemeComboBox, "MOLLI")
    host.click(panel.ui.applyButton)
    assert tubeMeans(panel.ui.t1MapSelector.currentNode(), six) == pytest.approx(TUBES_MS, rel=0.02)


# Bad input: one sentence, nothing changed


def broken(phantom, kind):
    images, phase = phantom.images.copy(), phantom.phase.copy()
    if kind == "nan":
        images[2, 3, 4] = np.nan
    elif kind == "zero":
        images[:] = 0
    elif kind == "negative":
        images[3] *= -1  # more than interpolation leaves below zero
    elif kind == "phase not in radians":
        phase = phase * 1000
    return acquisitions.createAcquisition("broken", images, SHMOLLI_TIMES, OBLIQUE, phase)


@pytest.mark.parametrize("kind", ["nan", "zero", "negative", "phase not in radians"])
def test_bad_images_are_one_sentence_and_change_nothing(host, panel, phantom, kind):
    source = broken(phantom, kind)
    host.setNode(panel.ui.inputSelector, source)
    before = slicer.mrmlScene.GetNumberOfNodes()
    host.click(panel.ui.applyButton)
    (message,) = errors(host)
    assert message.count("\n") == 0 and message.endswith(".") and "Traceback" not in message
    assert panel.ui.statusLabel.text == message
    assert slicer.mrmlScene.GetNumberOfNodes() == before and t1maps.findT1Maps(source) == {}
    assert panel.ui.applyButton.enabled and not panel.ui.progressWidget.visible


def test_wrong_phase_is_explained_before_apply(host, panel, phantom):
    source, six = load(phantom), make_phantom(times=SHMOLLI_TIMES[:6])
    other = acquisitions.createAcquisition("six", six.images, six.inversion_times_ms, OBLIQUE)
    host.setNode(panel.ui.inputSelector, source)
    host.setNode(panel.ui.phaseSelector, other)
    assert "6 phase images" in panel.ui.applyButton.toolTip and not panel.ui.applyButton.enabled
    host.setNode(panel.ui.phaseSelector, source)
    assert "as magnitude and as phase" in panel.ui.applyButton.toolTip
    host.setNode(panel.ui.phaseSelector, None)
    assert panel.ui.applyButton.enabled


def test_one_volume_for_two_results_is_explained_before_apply(host, panel, phantom):
    host.setNode(panel.ui.inputSelector, load(phantom))
    mine = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Mine")
    host.setNode(panel.ui.t1MapSelector, mine)
    host.setNode(panel.ui.r2MapSelector, mine)
    assert not panel.ui.applyButton.enabled and "same volume" in panel.ui.applyButton.toolTip


def test_absent_device_is_an_error_not_a_fallback(host, panel, phantom):
    import torch

    missing = "mps" if torch.cuda.is_available() else "cuda"
    source = load(phantom)
    host.setNode(panel.ui.inputSelector, source)
    host.choose(panel.ui.deviceComboBox, missing)
    host.click(panel.ui.applyButton)
    assert "not available" in errors(host)[0] and t1maps.findT1Maps(source) == {}


# Interruptions


@pytest.fixture
def onProgress(panel, monkeypatch):
    """Have something happen while a run is under way, as a user's click between two steps would."""

    def arrange(action):
        original = panel._onProgress

        def progress(fraction):
            action()
            original(fraction)

        monkeypatch.setattr(panel, "_onProgress", progress)

    return arrange


def test_cancel_keeps_nothing(host, panel, phantom, onProgress):
    source = load(phantom)
    host.setNode(panel.ui.inputSelector, source)
    before, seen = slicer.mrmlScene.GetNumberOfNodes(), []

    def cancel():
        seen.append((panel.ui.progressWidget.visible, panel.ui.applyButton.enabled))
        panel.ui.cancelButton.click()

    onProgress(cancel)
    host.click(panel.ui.applyButton)
    assert seen == [(True, False)]
    assert slicer.mrmlScene.GetNumberOfNodes() == before and t1maps.findT1Maps(source) == {}
    assert panel.ui.statusLabel.text == "Cancelled; nothing was changed."
    assert host.takeMessages() == []
    assert panel.ui.applyButton.enabled


def test_cancelling_a_second_run_keeps_the_first_results(host, applied, onProgress):
    before = volumeArray(applied.maps["t1"])
    host.choose(applied.panel.ui.schemeComboBox, "MOLLI")
    onProgress(applied.panel.ui.cancelButton.click)
    host.click(applied.panel.ui.applyButton)
    assert np.array_equal(volumeArray(applied.maps["t1"]), before)
    assert applied.maps["t1"].GetAttribute("CMR.Scheme") == "shmolli"


def test_closing_the_scene_during_a_run(host, panel, phantom, onProgress):
    host.setNode(panel.ui.inputSelector, load(phantom))
    onProgress(lambda: slicer.mrmlScene.Clear(0))
    host.click(panel.ui.applyButton)
    assert not slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    assert host.takeMessages() == [] and panel.ui.inputSelector.currentNode() is None
    host.setNode(panel.ui.inputSelector, load(phantom))
    assert panel.ui.applyButton.enabled, "the panel goes on working"


def test_removing_the_images_during_a_run(host, panel, phantom, onProgress):
    source = load(phantom)
    host.setNode(panel.ui.inputSelector, source)
    onProgress(lambda: slicer.mrmlScene.RemoveNode(source))
    host.click(panel.ui.applyButton)
    assert "T1 map" not in [n.GetName() for n in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")]
    assert host.takeMessages() == []


def test_a_second_click_during_a_run_does_nothing(host, panel, phantom, onProgress):
    host.setNode(panel.ui.inputSelector, load(phantom))
    onProgress(panel.onApplyButton)
    host.click(panel.ui.applyButton)
    assert panel.ui.t1MapSelector.currentNode() is not None


def test_reloading_the_module_during_a_run(host, panel, phantom, onProgress):
    source = load(phantom)
    host.setNode(panel.ui.inputSelector, source)
    onProgress(panel.onReload)
    panel.ui.applyButton.click()
    host.processEvents()
    assert t1maps.findT1Maps(source) == {}
    reloaded = slicer.util.getModuleWidget("CMRT1Mapping")
    assert reloaded is not panel
    host.click(reloaded.ui.applyButton)
    assert t1maps.findT1Maps(source)


def test_leaving_the_module_during_a_run(host, panel, phantom, onProgress):
    source = load(phantom)
    host.setNode(panel.ui.inputSelector, source)
    onProgress(panel.exit)
    host.click(panel.ui.applyButton)
    panel.enter()
    assert panel.ui.t1MapSelector.currentNode() is t1maps.findT1Maps(source)["t1"]


def test_importing_a_scene_during_a_run(host, panel, phantom, onProgress, tmp_path):
    """The maps go to the images that they were computed from, not to those that the imported scene has selected."""
    path, imported = tmp_path / "scene.mrb", []
    host.setNode(panel.ui.inputSelector, load(make_phantom(seed=2), name="stress mid"))
    assert slicer.util.saveScene(str(path))
    slicer.mrmlScene.Clear(0)
    host.processEvents()
    source = load(phantom)
    host.setNode(panel.ui.inputSelector, source)

    def add():
        if not imported:
            imported.append(slicer.mrmlScene.ReadFromMRB(str(path)))

    onProgress(add)
    host.click(panel.ui.applyButton)
    assert imported == [True] and host.takeMessages() == []
    maps = t1maps.findT1Maps(source)
    assert tubeMeans(maps["t1"], phantom) == pytest.approx(TUBES_MS, rel=0.01)
    other = panel.ui.inputSelector.currentNode()
    assert other.GetName() == "stress mid" and t1maps.findT1Maps(other) == {}
    assert all(getattr(panel.ui, name).currentNode() is None for name in SELECTORS.values())
    assert panel.ui.statusLabel.text == "Computed for rest mid, which is not selected any more."
    host.setNode(panel.ui.inputSelector, source)
    assert panel.ui.t1MapSelector.currentNode() is maps["t1"]


# Reload, closing, saving


def test_reload_keeps_what_was_chosen_and_leaves_no_observer(host, applied):
    applied.panel.ui.showCurveCheckBox.checked = True
    host.processEvents()
    applied.panel.onReload()
    host.processEvents()
    assert applied.panel.Observations == []
    reloaded = slicer.util.getModuleWidget("CMRT1Mapping")
    assert reloaded.ui.inputSelector.currentNode() is applied.source
    assert reloaded.ui.t1MapSelector.currentNode() is applied.maps["t1"]
    assert reloaded.ui.showCurveCheckBox.checked


def test_closing_the_scene_empties_the_panel(host, applied):
    panel = applied.panel
    panel.ui.showCurveCheckBox.checked = True
    row, column = 10, 15
    host.moveMouse("Red", position(applied.maps["t1"], row, column))
    slicer.mrmlScene.Clear(0)
    host.processEvents()
    assert panel.ui.inputSelector.currentNode() is None and cells(panel) == []
    assert panel.ui.statusLabel.text == "" and not panel.ui.applyButton.enabled


def test_scene_with_results_is_saved_and_loaded(host, applied, phantom, tmp_path):
    panel = applied.panel
    host.choose(panel.ui.lastTestComboBox, "paper")
    panel.ui.showCurveCheckBox.checked = True
    expected = volumeArray(applied.maps["t1"])
    host.reopenScene(tmp_path / "scene.mrb")
    source = panel.ui.inputSelector.currentNode()
    t1 = panel.ui.t1MapSelector.currentNode()
    assert source is not None and t1 is t1maps.findT1Maps(source)["t1"]
    assert np.array_equal(volumeArray(t1), expected)
    assert cells(panel)[0] == "100" and panel.ui.lastTestComboBox.currentText == "paper"
    assert panel.ui.phaseSelector.currentNode() is acquisitions.phaseOf(source)
    row, column = phantom.centers[1]
    host.moveMouse("Red", position(t1, row, column))
    assert f"T1 {expected[0, row, column]:.0f}" in panel.ui.curveLabel.text
    count = slicer.mrmlScene.GetNumberOfNodes()
    host.click(panel.ui.applyButton)
    assert slicer.mrmlScene.GetNumberOfNodes() == count, "the loaded nodes were updated"


def test_a_choice_of_no_phase_survives_saving(host, panel, phantom, tmp_path):
    host.setNode(panel.ui.inputSelector, load(phantom))
    host.setNode(panel.ui.phaseSelector, None)
    host.reopenScene(tmp_path / "scene.mrb")
    assert panel.ui.inputSelector.currentNode() is not None and panel.ui.phaseSelector.currentNode() is None


def addImages(name="Late gadolinium"):
    """Images that have nothing to do with the acquisition, as a volume above or below it in every selector."""
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    setVolumeArray(volume, np.full((1, 4, 4), 7, np.float32), OBLIQUE)
    volume.CreateDefaultDisplayNodes()
    return volume


@pytest.mark.parametrize("role", ["t1", "r2", "t1_error", "flags"])
def test_removed_output_is_made_again_and_no_other_is_touched(host, applied, role):
    """The selector of a real Slicer goes on to the neighbour of a node that is removed."""
    panel, others = applied.panel, {key: node for key, node in applied.maps.items() if key != role}
    late, count = addImages(), slicer.mrmlScene.GetNumberOfNodes()
    before = {key: node.GetMTime() for key, node in others.items()}
    selector = getattr(panel.ui, SELECTORS[role])
    slicer.mrmlScene.RemoveNode(applied.maps[role])
    host.processEvents()
    assert selector.currentNode() is None and slicer.mrmlScene.GetNumberOfNodes() < count
    for key, node in others.items():
        assert getattr(panel.ui, SELECTORS[key]).currentNode() is node
        assert node.GetMTime() == before[key]
    host.click(panel.ui.applyButton)
    assert selector.currentNode() is t1maps.findT1Maps(applied.source)[role] not in (None, late)
    assert volumeArray(late).max() == 7 and host.takeMessages() == []


def test_what_a_selector_deletes_leaves_none(host, applied):
    """By "Delete current node" of the selectors themselves, with images above every node."""
    panel = applied.panel
    addImages()
    for name in ("t1ErrorMap", "r2Map", "samplesMap"):
        getattr(panel.ui, f"{name}Selector").removeCurrentNode()
        host.processEvents()
        assert getattr(panel.ui, f"{name}Selector").currentNode() is None
    assert panel.ui.t1MapSelector.currentNode() is applied.maps["t1"] and panel.ui.applyButton.enabled


def test_removed_phase_leaves_none(host, panel, phantom):
    source, other = load(phantom), load(phantom, name="stress mid")
    host.setNode(panel.ui.inputSelector, source)
    host.choose(panel.ui.schemeComboBox, "MOLLI")
    slicer.mrmlScene.RemoveNode(acquisitions.phaseOf(source))
    host.processEvents()
    assert panel.ui.phaseSelector.currentNode() is None and panel.ui.inputSelector.currentNode() is source
    slicer.mrmlScene.RemoveNode(source)
    host.processEvents()
    assert panel.ui.inputSelector.currentNode() is None and not panel.ui.applyButton.enabled
    assert panel.ui.schemeComboBox.currentText == "MOLLI", "the other acquisition was not adopted on the way"
    host.setNode(panel.ui.inputSelector, other)
    assert panel.ui.schemeComboBox.currentText == "ShMOLLI"


@pytest.mark.parametrize("isConfirmed", [False, True])
def test_other_data_are_overwritten_only_when_that_is_confirmed(host, applied, phantom, isConfirmed):
    import qt

    panel, late = applied.panel, addImages()
    other = load(make_phantom(seed=2), name="rest basal")
    host.setNode(panel.ui.inputSelector, other)
    for name, node in (("t1Map", late), ("r2Map", applied.maps["t1"]), ("flagsMap", applied.maps["flags"])):
        host.setNode(getattr(panel.ui, f"{name}Selector"), node)
    count = slicer.mrmlScene.GetNumberOfNodes()
    host.answer(qt.QMessageBox.Ok if isConfirmed else qt.QMessageBox.Cancel)
    host.click(panel.ui.applyButton)
    (question,) = host.takeMessages()
    for name in ("Late gadolinium (T1 map)", "rest mid T1 map (R2 map)", "rest mid flags (flags)"):
        assert name in question.text
    if isConfirmed:
        assert tubeMeans(late, phantom) == pytest.approx(TUBES_MS, rel=0.01)
        assert t1maps.findT1Maps(other)["r2"] is applied.maps["t1"]
        host.click(panel.ui.applyButton)
        assert host.takeMessages() == [], "by now these are the results of these images"
    else:
        assert volumeArray(late).max() == 7 and slicer.mrmlScene.GetNumberOfNodes() == count
        assert t1maps.findT1Maps(other) == {} and t1maps.findT1Maps(applied.source) == applied.maps
        assert panel.ui.statusLabel.text.startswith("Nothing was changed")


# The curve under the cursor


def curvePoints():
    chart = slicer.util.getNodesByClass("vtkMRMLPlotChartNode")[0]
    series = [chart.GetNthPlotSeriesNode(i) for i in range(chart.GetNumberOfPlotSeriesNodes())]
    return {node.GetName(): len({tuple(row) for row in tableRows(node.GetTableNode())}) for node in series}


def tableRows(table):
    return [
        [table.GetCellText(row, n) for n in range(table.GetNumberOfColumns())] for row in range(table.GetNumberOfRows())
    ]


def test_hovering_plots_the_pixel_with_the_map_s_own_numbers(host, applied, phantom):
    panel, t1 = applied.panel, applied.maps["t1"]
    panel.ui.showCurveCheckBox.checked = True
    for row, column in phantom.centers:
        host.moveMouse("Red", position(t1, row, column))
        text = panel.ui.curveLabel.text
        value, error = (volumeArray(applied.maps[role])[0, row, column] for role in ("t1", "t1_error"))
        assert f"T1 {value:.0f} ± {error:.0f} ms" in text
        assert f"R² {volumeArray(applied.maps['r2'])[0, row, column]:.4f}" in text
        used = int(volumeArray(applied.maps["samples"])[0, row, column])
        assert f"{used} of 7 samples used" in text and f"Row {row}, column {column}" in text
        drawn = curvePoints()
        assert drawn["Samples used"] == used and drawn.get("Samples not used", 0) == 7 - used
        assert drawn["Fit"] > 100


def test_hovering_a_pixel_with_one_unused_sample_draws_it(host, applied):
    """Charts refuse a line through one point, and Slicer draws samples as lines that are not visible."""
    panel, t1 = applied.panel, applied.maps["t1"]
    panel.ui.showCurveCheckBox.checked = True
    row, column = np.argwhere(volumeArray(applied.maps["samples"])[0] == 6)[0]
    host.moveMouse("Red", position(t1, row, column))
    assert f"Row {row}, column {column}" in panel.ui.curveLabel.text
    assert curvePoints()["Samples used"] == 6 and curvePoints()["Samples not used"] == 1


def test_curves_go_on_after_the_scene_was_closed(host, applied, phantom):
    panel = applied.panel
    panel.ui.showCurveCheckBox.checked = True
    pixel = np.argwhere(volumeArray(applied.maps["samples"])[0] == 7)[0]
    host.moveMouse("Red", position(applied.maps["t1"], *pixel))
    slicer.mrmlScene.Clear(0)
    host.processEvents()
    assert panel.ui.curveLabel.text == "", "the pixel belonged to images that are gone"
    source = load(phantom)
    host.setNode(panel.ui.inputSelector, source)
    host.click(panel.ui.applyButton)
    panel.ui.showCurveCheckBox.checked = True
    host.moveMouse("Red", position(t1maps.findT1Maps(source)["t1"], *pixel))
    assert "7 of 7 samples used" in panel.ui.curveLabel.text


def test_hovering_air_says_so_and_leaving_the_image_keeps_the_curve(host, applied, phantom):
    panel, t1 = applied.panel, applied.maps["t1"]
    panel.ui.showCurveCheckBox.checked = True
    host.moveMouse("Red", position(t1, *phantom.centers[1]))
    text = panel.ui.curveLabel.text
    host.moveMouse("Red", position(t1, -3, 5))
    assert panel.ui.curveLabel.text == text


def test_curve_before_apply_uses_the_panel_s_settings(host, panel, phantom):
    source = load(phantom)
    host.setNode(panel.ui.inputSelector, source)
    shown = acquisitions.shownVolume(source)
    slicer.util.setSliceViewerLayers(background=shown)
    panel.ui.showCurveCheckBox.checked = True
    red = slicer.app.layoutManager().sliceWidget("Red")
    red.mrmlSliceNode().RotateToVolumePlane(shown)
    red.sliceLogic().FitSliceToBackground()
    host.moveMouse("Red", position(shown, *phantom.centers[1]))
    assert "of 7 samples used" in panel.ui.curveLabel.text


def test_curve_follows_the_cursor_only_while_it_is_asked_for(host, applied, phantom):
    panel, t1 = applied.panel, applied.maps["t1"]
    host.moveMouse("Red", position(t1, *phantom.centers[0]))
    assert panel.ui.curveLabel.text == ""
    panel.ui.showCurveCheckBox.checked = True
    panel.exit()
    text = panel.ui.curveLabel.text
    host.moveMouse("Red", position(t1, *phantom.centers[1]))
    assert panel.ui.curveLabel.text == text
    panel.enter()
    host.moveMouse("Red", position(t1, *phantom.centers[2]))
    assert "Row {}, column {}".format(*phantom.centers[2]) in panel.ui.curveLabel.text


def test_untrusted_pixel_is_explained_in_words(host, panel, phantom):
    """Without phase the sign of the first samples of a very short T1 cannot be told."""
    noisy = make_phantom(noise=60.0)
    source = load(noisy, phase=False)
    host.setNode(panel.ui.inputSelector, source)
    host.click(panel.ui.applyButton)
    maps = t1maps.findT1Maps(source)
    flags = volumeArray(maps["flags"])[0].astype(int)
    row, column = np.argwhere((flags & 12 > 0) & (volumeArray(maps["samples"])[0] > 0))[0]
    panel.ui.showCurveCheckBox.checked = True
    host.moveMouse("Red", position(maps["t1"], row, column))
    assert f"Not to be trusted: {t1maps.flagWords(flags[row, column])}." in panel.ui.curveLabel.text


# Display


def test_colors_change_at_once(host, applied):
    t1 = applied.maps["t1"]
    host.choose(applied.panel.ui.colorsComboBox, "3 T")
    assert t1.GetDisplayNode().GetWindowLevelMax() == 2400
    assert t1.GetDisplayNode().GetColorNode().GetName() == "CMR T1 3T"


def test_colors_chosen_elsewhere_are_left_alone(host, applied, phantom):
    t1 = applied.maps["t1"]
    t1.GetDisplayNode().SetAndObserveColorNodeID("vtkMRMLColorTableNodeRainbow")
    host.click(applied.panel.ui.applyButton)
    host.setNode(applied.panel.ui.inputSelector, None)
    host.setNode(applied.panel.ui.inputSelector, applied.source)
    assert t1.GetDisplayNode().GetColorNode().GetName() == "Rainbow"


def test_each_map_keeps_the_colors_of_its_field(host, applied, phantom):
    host.choose(applied.panel.ui.colorsComboBox, "3 T")
    other = load(phantom, name="other", **{acquisitions.FIELD_STRENGTH: "1.5"})
    host.setNode(applied.panel.ui.inputSelector, other)
    assert applied.panel.ui.colorsComboBox.currentText == "1.5 T"
    host.setNode(applied.panel.ui.inputSelector, applied.source)
    assert applied.panel.ui.colorsComboBox.currentText == "3 T"
    assert applied.maps["t1"].GetDisplayNode().GetWindowLevelMax() == 2400


def test_flags_can_be_laid_over_the_map(host, applied):
    composites = host.sliceComposites()
    applied.panel.ui.showFlagsCheckBox.checked = True
    assert {c.GetLabelVolumeID() for c in composites} == {applied.maps["flags"].GetID()}
    applied.panel.ui.showFlagsCheckBox.checked = False
    assert {c.GetLabelVolumeID() for c in composites} == {None}


# Statistics


@pytest.fixture
def segmentation(applied, phantom):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Segmentation")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(applied.maps["t1"])
    for index, (r, c) in enumerate(phantom.centers):
        mask = np.zeros((1, *phantom.t1.shape), np.uint8)
        mask[0, r - 3 : r + 4, c - 3 : c + 4] = 1
        identifier = node.GetSegmentation().AddEmptySegment("", f"tube {index}")
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, identifier, applied.maps["t1"])
    return node


def column(table, title):
    return [table.GetTable().GetValueByName(row, title).ToDouble() for row in range(table.GetNumberOfRows())]


def test_segments_are_measured_into_a_table(host, applied, segmentation, phantom):
    panel = applied.panel
    assert not panel.ui.measureButton.enabled
    host.setNode(panel.ui.regionSelector, segmentation)
    host.click(panel.ui.measureButton)
    table = panel.ui.statisticsTableSelector.currentNode()
    assert column(table, "Mean [ms]") == pytest.approx(TUBES_MS, rel=0.01)
    assert column(table, "Median [ms]") == pytest.approx(TUBES_MS, rel=0.01)
    assert column(table, "Pixels") == [49] * 4 and max(column(table, "SD [ms]")) < 40
    assert panel.ui.statisticsWidget.visible and panel.statistics._view.mrmlTableNode() is table
    count = slicer.mrmlScene.GetNumberOfNodes()
    host.click(panel.ui.measureButton)
    assert slicer.mrmlScene.GetNumberOfNodes() == count


def test_tables_of_other_data_are_overwritten_only_when_that_is_confirmed(host, applied, segmentation, phantom):
    import qt

    panel = applied.panel
    host.setNode(panel.ui.regionSelector, segmentation)
    host.click(panel.ui.measureButton)
    table = panel.ui.statisticsTableSelector.currentNode()
    expected = column(table, "Mean [ms]")
    host.setNode(panel.ui.inputSelector, load(make_phantom(seed=2, noise=40.0), name="rest basal"))
    host.click(panel.ui.applyButton)
    assert panel.ui.statisticsTableSelector.currentNode() is None, "the table belongs to the other map"
    host.setNode(panel.ui.statisticsTableSelector, table)
    host.answer(qt.QMessageBox.Cancel)
    host.click(panel.ui.measureButton)
    assert column(table, "Mean [ms]") == expected
    (question,) = host.takeMessages()
    assert f"{table.GetName()} (statistics)" in question.text
    host.answer(qt.QMessageBox.Ok)
    host.click(panel.ui.measureButton)
    assert column(table, "Mean [ms]") != expected
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", "Mine")
    slicer.mrmlScene.RemoveNode(table)
    host.processEvents()
    assert panel.ui.statisticsTableSelector.currentNode() is None and not panel.ui.statisticsWidget.visible
    host.setNode(panel.ui.inputSelector, applied.source)
    host.click(panel.ui.measureButton)
    assert column(panel.ui.statisticsTableSelector.currentNode(), "Mean [ms]") == expected


def test_roi_box_is_measured(host, applied, phantom):
    panel, t1 = applied.panel, applied.maps["t1"]
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Box")
    roi.SetCenterWorld(*position(t1, *phantom.centers[1]))
    roi.SetSizeWorld(6, 6, 6)
    host.setNode(panel.ui.regionSelector, roi)
    host.click(panel.ui.measureButton)
    table = panel.ui.statisticsTableSelector.currentNode()
    assert column(table, "Mean [ms]") == pytest.approx([TUBES_MS[1]], rel=0.01)
    assert table.GetCellText(0, 0) == "Box"


def test_region_in_air_is_one_sentence_and_keeps_the_table(host, applied, segmentation):
    panel, t1 = applied.panel, applied.maps["t1"]
    host.setNode(panel.ui.regionSelector, segmentation)
    host.click(panel.ui.measureButton)
    table = panel.ui.statisticsTableSelector.currentNode()
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Air")
    roi.SetCenterWorld(*position(t1, 20, 1))
    roi.SetSizeWorld(3, 3, 3)
    host.setNode(panel.ui.regionSelector, roi)
    host.click(panel.ui.measureButton)
    assert "no fitted pixel" in errors(host)[0]
    assert table.GetNumberOfRows() == 4


# PyTorch missing


@pytest.fixture
def withoutTorch(monkeypatch):
    """As if PyTorch were not installed; what would be installed is noted."""
    noted = []
    monkeypatch.setattr(dependencies, "isTorchInstalled", lambda: bool(noted and noted[-1][0] != "asked"))
    if slicer.app.testingEnabled():
        pytest.skip("in testing mode questions are not asked")
    return noted


def test_pytorch_extension_installs_torch(host, panel, phantom, withoutTorch, monkeypatch):
    class PyTorchUtilsLogic:
        def installTorch(self, **arguments):
            withoutTorch.append(("extension", arguments))

    monkeypatch.setitem(sys.modules, "PyTorchUtils", SimpleNamespace(PyTorchUtilsLogic=PyTorchUtilsLogic))
    host.setNode(panel.ui.inputSelector, load(phantom))
    host.click(panel.ui.applyButton)
    assert withoutTorch == [("extension", {"askConfirmation": True, "torchVersionRequirement": ">=2.4"})]
    assert panel.ui.t1MapSelector.currentNode() is not None


@pytest.mark.parametrize("hasPackaging", [True, False])
def test_torch_is_installed_only_after_asking(host, panel, phantom, withoutTorch, monkeypatch, hasPackaging):
    import qt

    def install(requirement, requester=""):
        withoutTorch.append((requirement, requester))

    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    monkeypatch.setitem(sys.modules, "slicer.packaging", None)
    if hasPackaging:
        monkeypatch.setitem(sys.modules, "slicer.packaging", SimpleNamespace(pip_install=install))
    else:
        monkeypatch.setattr(slicer.util, "pip_install", install)
    host.setNode(panel.ui.inputSelector, load(phantom))
    host.answer(qt.QMessageBox.Cancel)
    host.click(panel.ui.applyButton)
    assert withoutTorch == [] and panel.ui.t1MapSelector.currentNode() is None
    assert "PyTorch is not installed" in panel.ui.statusLabel.text
    (question,) = host.takeMessages()
    assert question.kind == "question" and "PyTorch" in question.text and "GB" in question.text
    host.answer(qt.QMessageBox.Ok)
    host.click(panel.ui.applyButton)
    assert withoutTorch == [("torch>=2.4", "CMR T1 Mapping" if hasPackaging else "")]
    assert panel.ui.t1MapSelector.currentNode() is not None


def test_module_file_imports_without_torch(host, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [n for n in sys.modules if n.split(".")[0] == "CMRT1MappingLib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "CMRT1Mapping", raising=False)
    spec = importlib.util.spec_from_file_location("CMRT1Mapping", MODULE)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
