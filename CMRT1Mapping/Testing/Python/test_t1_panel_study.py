"""The section for a whole study in the panel of CMRT1Mapping, used as an analyst uses it."""

from pathlib import Path

import pytest
import slicer

from CMRLib.errors import InputError
from CMRLib.scene import acquisitions, bullseye, wholestudy
from CMRLib.simulation import simulate_study
from CMRLib.simulation.dicom_writer import write_dicom_study
from CMRT1MappingLib.scene import t1maps

ROOT = Path(__file__).resolve().parents[3]
MODULE = ROOT / "CMRT1Mapping" / "CMRT1Mapping.py"


@pytest.fixture(scope="module")
def simulated():
    return simulate_study(seed=1, slices=("basal", "mid"))


@pytest.fixture
def panel(host):
    """The panel, set to leave the images as acquired."""
    panel = host.loadModule(MODULE)
    panel.ui.correctMotionCheckBox.checked = False
    return panel


@pytest.fixture
def load(simulated):
    """Loads acquisitions of the simulated study as the DICOM plugin does."""

    def put(count):
        return [
            acquisitions.createAcquisition(
                f"Rest {one.slice}",
                one.images,
                one.inversion_times_ms,
                one.geometry,
                one.phase,
                {acquisitions.SCHEME: one.scheme, acquisitions.STATE: one.state, acquisitions.SLICE: one.slice},
            )
            for one in simulated.acquisitions[:count]
        ]

    return put


def shown_in(view):
    composite = slicer.app.layoutManager().sliceWidget(view).mrmlSliceCompositeNode()
    return slicer.mrmlScene.GetNodeByID(composite.GetBackgroundVolumeID() or "")


def test_the_buttons_wait_for_something_to_process_and_to_show(host, panel, load, tmp_path):
    assert not panel.ui.studyButton.enabled and "choose its folder" in panel.ui.studyButton.toolTip
    panel.ui.studyFolderLineEdit.text = str(tmp_path)
    assert panel.ui.studyButton.enabled
    panel.ui.studyFolderLineEdit.text = ""
    assert not panel.ui.studyButton.enabled
    (source,) = load(1)
    assert panel.ui.studyButton.enabled and "everything that the study allows" in panel.ui.studyButton.toolTip
    assert not panel.ui.showStudyButton.enabled and "no T1 map yet" in panel.ui.showStudyButton.toolTip
    host.setNode(panel.ui.inputSelector, source)
    host.click(panel.ui.applyButton)
    assert panel.ui.showStudyButton.enabled, "the map of a single acquisition, too"
    slicer.mrmlScene.Clear()
    assert not panel.ui.studyButton.enabled and not panel.ui.showStudyButton.enabled


def test_one_click_processes_what_is_loaded_and_shows_it(host, panel, load):
    first, second = load(2)
    host.click(panel.ui.studyButton)
    assert panel.ui.statusLabel.text == "The study was processed."
    assert panel.ui.studyLabel.text.splitlines()[0] == "T1 maps: 2, segmented slices: 2, landmarks: 2"
    maps = [t1maps.findT1Maps(source)["t1"] for source in (first, second)]
    assert slicer.app.layoutManager().layout == bullseye.STUDY_LAYOUT
    assert [shown_in("Red"), shown_in("Yellow")] == maps
    assert shown_in(bullseye.VIEW_NAME).GetAttribute("CMR.Role") == "bullseye"
    views = [slicer.app.layoutManager().sliceWidget(name).mrmlSliceNode() for name in ("Red", "Yellow")]
    depths = [view.GetSliceToRAS().GetElement(2, 3) for view in views]
    assert depths[0] != depths[1], "each view lies in the plane of its own map"
    assert panel.ui.inputSelector.currentNode() is first and panel.ui.t1MapSelector.currentNode() is maps[0]
    assert panel.ui.studyButton.enabled and not panel.ui.progressWidget.visible

    slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutConventionalView)
    host.click(panel.ui.showStudyButton)
    assert slicer.app.layoutManager().layout == bullseye.STUDY_LAYOUT
    assert [shown_in("Red"), shown_in("Yellow")] == maps

    landmarks = host.loadModule(ROOT / "CMRLandmarks" / "CMRLandmarks.py")
    assert landmarks.ui.inputSelector.currentNode() in maps
    assert landmarks.ui.reviewTable.rowCount == 1 and landmarks.ui.segmentationSelector.currentNode() is not None
    assert landmarks.ui.mapSelector.currentNode() is landmarks.ui.inputSelector.currentNode()
    assert landmarks.ui.savePictureButton.enabled, "its segments are measured"
    segmentation = host.loadModule(ROOT / "CMRQCSegmentation" / "CMRQCSegmentation.py")
    assert segmentation.ui.inputSelector.currentNode() in maps and segmentation.ui.reviewTable.rowCount == 1


def test_one_click_processes_a_folder_which_is_loaded_then(host, panel, simulated, tmp_path, monkeypatch):
    write_dicom_study(simulated, tmp_path / "study")
    (section,) = [part for part in panel._parts if hasattr(part, "onStudyButton")]
    monkeypatch.setattr(section, "_askForFolder", lambda: str(tmp_path / "study"))
    host.click(panel.ui.studyFolderButton)
    assert panel.ui.studyFolderLineEdit.text == str(tmp_path / "study")
    host.click(panel.ui.studyButton)
    assert panel.ui.studyLabel.text.startswith("T1 maps: 2")
    assert panel.ui.studyFolderLineEdit.text == ""
    assert panel.ui.inputSelector.currentNode().GetName().startswith("irw_rest_")
    count = slicer.mrmlScene.GetNumberOfNodes()
    host.click(panel.ui.studyButton)
    assert slicer.mrmlScene.GetNumberOfNodes() == count, "a second click works on what is loaded now"


def test_cancel_ends_the_run_and_changes_nothing(host, panel, load, monkeypatch):
    (source,) = load(1)
    told, run = [], wholestudy.run_steps

    def cancelling(study, plan, folder, device, results, progress):
        def report(name, fraction):
            told.append(panel.ui.statusLabel.text)
            if name == "segmentation":
                host.click(panel.ui.cancelButton)
            progress(name, fraction)

        return run(study, plan, folder, device, results, report)

    monkeypatch.setattr(wholestudy, "run_steps", cancelling)
    before = slicer.mrmlScene.GetNumberOfNodes()
    host.click(panel.ui.studyButton)
    assert panel.ui.statusLabel.text == "Cancelled; nothing was changed."
    assert "Step 1 of 3: t1" in told
    assert t1maps.findT1Maps(source) == {} and slicer.mrmlScene.GetNumberOfNodes() == before
    assert panel.ui.studyButton.enabled and panel.ui.inputsCollapsibleButton.enabled


def test_what_cannot_be_processed_is_one_sentence(host, panel, tmp_path):
    panel.ui.studyFolderLineEdit.text = str(tmp_path / "nowhere")
    host.click(panel.ui.studyButton)
    (message,) = host.takeMessages()
    assert message.kind == "error" and message.text.startswith("There is no folder ") and message.text.count(".") == 1
    assert panel.ui.studyFolderLineEdit.text == str(tmp_path / "nowhere"), "to be put right"
    assert panel.ui.statusLabel.text == message.text


def test_the_choices_of_the_panel_are_those_of_the_run(host, panel, load, monkeypatch):
    seen = {}

    def process(folder, choices, device, progress):
        seen.update(folder=folder, choices=choices, device=device)
        raise InputError("Enough.")

    monkeypatch.setattr(wholestudy, "processStudy", process)
    load(1)
    host.choose(panel.ui.deviceComboBox, "cpu")
    for checked in (True, False):
        panel.ui.correctMotionCheckBox.checked = checked
        host.click(panel.ui.studyButton)
        host.takeMessages()
        assert seen["folder"] is None and seen["device"] == "cpu"
        assert seen["choices"]["motion_correction"] is checked and seen["choices"]["hematocrit"] is None
    panel.ui.hematocritLineEdit.text = "0,42"
    host.click(panel.ui.studyButton)
    host.takeMessages()
    assert seen["choices"]["hematocrit"] == 0.42
    panel.ui.hematocritLineEdit.text = "42"
    host.click(panel.ui.studyButton)
    (message,) = host.takeMessages()
    assert "not in percent" in message.text, "a sentence, before anything is computed"


def test_closing_the_scene_meanwhile_leaves_it_empty(host, panel, load, monkeypatch):
    load(1)
    run = wholestudy.run_steps

    def closing(study, plan, folder, device, results, progress):
        made = run(study, plan, folder, device, results, progress)
        slicer.mrmlScene.Clear()
        return made

    monkeypatch.setattr(wholestudy, "run_steps", closing)
    host.click(panel.ui.studyButton)
    assert slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") == []
    assert panel.ui.statusLabel.text == "Cancelled; nothing was changed."
