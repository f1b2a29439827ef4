"""The host runs an unmodified scripted module as Slicer does."""

import ast
import importlib
import inspect
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from SlicerHost import names, packaging_module

TOY = Path(__file__).parents[1] / "toy" / "Toy.py"


@pytest.fixture
def toy(host):
    return host.loadModule(TOY)


@pytest.fixture
def volume(host):
    import slicer

    return slicer.util.addVolumeFromArray(np.ones((2, 3, 4), np.float32), name="Input")


def test_apply_computes_what_the_panel_says(host, toy, volume):
    import slicer

    assert not toy.ui.applyButton.enabled
    assert toy.ui.applyButton.toolTip == "Choose an input volume"
    host.setNode(toy.ui.inputSelector, volume)
    assert toy.ui.applyButton.enabled
    toy.ui.factorSlider.value = 3
    host.click(toy.ui.applyButton)
    assert slicer.util.arrayFromVolume(toy._parameterNode.outputVolume).max() == 3
    assert toy.ui.progressBar.value == 100
    assert toy.ui.statusLabel.text == "Done", "set by a timer"


def test_the_module_is_where_slicer_puts_it(host, toy):
    import slicer

    assert slicer.modules.toy.title == "Toy"
    assert slicer.modules.toy.categories == ("Testing",)
    assert slicer.modules.toy.path == str(TOY)
    assert slicer.modules.ToyWidget is toy
    assert slicer.modules.ToyInstance.parent is slicer.modules.toy
    assert slicer.util.getModuleWidget("Toy") is toy
    assert slicer.util.getModuleLogic("Toy") is toy.logic
    assert "Toy" in slicer.util.moduleNames()
    slicer.selfTests["Toy"]()


def test_parameters_and_widgets_follow_each_other(toy):
    node, ui = toy._parameterNode, toy.ui
    for widget, attribute, typed, parameter, value in (
        (ui.factorSlider, "value", 4.5, "factor", 4.5),
        (ui.invertCheckBox, "checked", True, "invert", True),
        (ui.countSpinBox, "value", 7, "count", 7),
        (ui.schemeComboBox, "currentIndex", 1, "scheme", "two"),
        (ui.commentLineEdit, "text", "seen", "comment", "seen"),
    ):
        shown, default = getattr(widget, attribute), getattr(node, parameter)
        assert default != value
        setattr(widget, attribute, typed)
        assert getattr(node, parameter) == value
        setattr(node, parameter, default)
        assert getattr(widget, attribute) == shown
    assert (ui.countSpinBox.minimum, ui.countSpinBox.maximum) == (1, 9), "from WithinRange"


def test_parameters_survive_saving_and_loading_the_scene(host, toy, volume, tmp_path):
    host.setNode(toy.ui.inputSelector, volume)
    node = toy._parameterNode
    node.factor, node.limit, node.invert, node.count, node.comment = 1.5, 2.5, True, 4, "seen"
    host.reopenScene(tmp_path / "scene.mrb")
    node = toy._parameterNode
    assert (node.factor, node.limit, node.invert, node.count, node.comment) == (1.5, 2.5, True, 4, "seen")
    assert node.inputVolume.GetName() == "Input"
    assert toy.ui.inputSelector.currentNode() is node.inputVolume


def test_closing_the_scene_starts_afresh(host, toy, volume):
    import slicer

    host.setNode(toy.ui.inputSelector, volume)
    toy._parameterNode.factor = 9.0
    slicer.mrmlScene.Clear()
    host.processEvents()
    assert toy._parameterNode.factor == 2.0
    assert toy.ui.inputSelector.currentNode() is None
    assert not toy.ui.applyButton.enabled


def test_reloading_makes_the_panel_anew(host, toy, volume):
    import slicer

    host.setNode(toy.ui.inputSelector, volume)
    toy.onReload()
    host.processEvents()
    fresh = slicer.modules.ToyWidget
    assert fresh is not toy
    assert fresh.ui.inputSelector.currentNode() is volume, "the parameter node is still in the scene"
    fresh.ui.commentLineEdit.text = "fresh"
    assert toy.ui.commentLineEdit.text == "none", "the old panel is no longer tied to the node"


def test_an_error_is_shown_and_recorded(host, toy, volume):
    import slicer

    slicer.util.arrayFromVolume(volume)[:] = 0
    host.setNode(toy.ui.inputSelector, volume)
    host.click(toy.ui.applyButton)
    (shown,) = host.takeMessages()
    assert (shown.kind, shown.text) == ("error", "Scaling failed.\n\nThe volume is empty.")
    assert "ValueError" in shown.details


def test_a_question_gets_the_prepared_answer(host):
    import qt
    import slicer

    host.answer(qt.QMessageBox.Yes, qt.QMessageBox.No)
    assert slicer.util.confirmYesNoDisplay("Go on?")
    assert not slicer.util.confirmYesNoDisplay("Really?")
    assert [(m.kind, m.text) for m in host.takeMessages()] == [("question", "Go on?"), ("question", "Really?")]
    with pytest.raises(RuntimeError, match="prepared no answer"):
        slicer.util.confirmOkCancelDisplay("And now?")


def test_a_message_that_closes_by_itself_is_recorded(host):
    import slicer

    slicer.util.delayDisplay("Nearly there", 400)
    time.sleep(0.5)
    host.processEvents()  # the timer that would have closed it finds nothing to close
    assert [(m.kind, m.text) for m in host.takeMessages()] == [("QDialog", "Nearly there")]


def test_a_selector_offers_the_nodes_of_its_types(host):
    import slicer

    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    selector.noneEnabled = True
    seen = []
    selector.connect("currentNodeChanged(vtkMRMLNode*)", seen.append)
    selector.setMRMLScene(slicer.mrmlScene)
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "V")
    labels = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "L")
    hidden = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "H")
    hidden.SetHideFromEditors(True)
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode", "M")
    selector.setCurrentNode(volume)
    assert (selector.nodeCount(), selector.currentNodeID, seen) == (2, volume.GetID(), [volume])
    selector.hideChildNodeTypes = ["vtkMRMLLabelMapVolumeNode"]
    selector.setCurrentNode(labels)
    assert selector.currentNode() is None
    made = selector.addNode()
    assert made.GetClassName() == "vtkMRMLScalarVolumeNode"
    assert selector.currentNode() is made
    slicer.mrmlScene.RemoveNode(made)
    assert selector.currentNode() is volume
    slicer.mrmlScene.RemoveNode(volume)
    assert selector.currentNode() is None


def test_a_removed_node_leaves_the_one_above_it_chosen_before_it_is_gone(host, toy):
    """Also with a None to choose, and the parameter follows: that is how real selectors lose a user's choice."""
    import slicer
    import vtk

    first, second, third = (
        slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name) for name in ("first", "second", "third")
    )
    second.CreateDefaultDisplayNodes()
    slicer.modules.colors.logic().AddDefaultColorLegendDisplayNode(second)
    assert toy.ui.inputSelector.noneEnabled
    host.setNode(toy.ui.inputSelector, second)
    seen = []

    def note(moment):
        @vtk.calldata_type(vtk.VTK_OBJECT)
        def see(_scene, _event, node):
            seen.append((moment, node.GetClassName(), toy._parameterNode.inputVolume))

        return see

    tags = [
        slicer.mrmlScene.AddObserver(slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, note("before the model"), -9.0),
        slicer.mrmlScene.AddObserver(slicer.vtkMRMLScene.NodeRemovedEvent, note("removed")),
    ]
    slicer.mrmlScene.RemoveNode(second)
    for tag in tags:
        slicer.mrmlScene.RemoveObserver(tag)
    legend = "vtkMRMLColorLegendDisplayNode"
    assert ("before the model", second.GetClassName(), second) in seen
    assert seen.index(("removed", legend, first)) < seen.index(("removed", second.GetClassName(), first))
    host.setNode(toy.ui.inputSelector, third)
    toy.ui.inputSelector.removeCurrentNode()
    assert toy.ui.inputSelector.currentNode() is first is toy._parameterNode.inputVolume


def test_a_selector_without_none_chooses_the_first_node(host, volume):
    import slicer

    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    selector.setMRMLScene(slicer.mrmlScene)
    assert selector.currentNode() is volume


def test_cells_are_edited_as_a_user_can(host, toy):
    import qt

    table, seen = toy.ui.timesTable, []
    table.setItem(0, 0, qt.QTableWidgetItem("100"))
    fixed = qt.QTableWidgetItem("fixed")
    fixed.setFlags(fixed.flags() & ~qt.Qt.ItemIsEditable)
    table.setItem(1, 0, fixed)
    table.connect("cellChanged(int,int)", lambda row, column: seen.append((row, column)))
    host.editCell(table, 0, 0, "180")
    assert (table.item(0, 0).text(), seen) == ("180", [(0, 0)])
    with pytest.raises(AssertionError, match="cannot be edited"):
        host.editCell(table, 1, 0, "200")


def test_a_panel_has_a_picture(host, toy, tmp_path):
    from PIL import Image

    whole = np.asarray(Image.open(host.grabPanel(toy, tmp_path / "panel.png")).convert("L"))
    toy.ui.inputsCollapsibleButton.collapsed = True
    folded = np.asarray(Image.open(host.grabPanel(toy, tmp_path / "folded.png")).convert("L"))
    assert len(np.unique(whole)) > 20
    assert folded.shape[0] < whole.shape[0]
    assert not toy.ui.inputSelector.visible


def test_new_nodes_are_filed_in_the_subject_hierarchy(host, volume):
    import slicer

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    assert hierarchy.GetItemByDataNode(volume)
    script = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "S")
    assert not hierarchy.GetItemByDataNode(script)


def test_settings_stay_in_the_host(host):
    import slicer

    assert slicer.util.settingsValue("CMR/Folder", "none", settings=slicer.app.settings()) == "none"
    slicer.app.settings().setValue("CMR/Folder", "there")
    assert slicer.util.settingsValue("CMR/Folder", "none", settings=slicer.app.userSettings()) == "there"
    assert Path(slicer.app.settings().fileName()).parent == Path(slicer.app.temporaryPath)


def test_a_volume_file_is_loaded_and_saved(host, volume, tmp_path):
    import slicer

    path = str(tmp_path / "volume.nrrd")
    assert slicer.util.saveNode(volume, path)
    loaded = slicer.util.loadVolume(path, {"name": "Loaded"})
    assert loaded.GetName() == "Loaded"
    assert (slicer.util.arrayFromVolume(loaded) == 1).all()
    with pytest.raises(RuntimeError, match="Failed to load"):
        slicer.util.loadVolume(str(tmp_path / "missing.nrrd"))


def _segmentation():
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    volume = slicer.util.addVolumeFromArray(np.ones((2, 3, 4), np.uint8), nodeClassName="vtkMRMLLabelMapVolumeNode")
    slicer.modules.segmentations.logic().ImportLabelmapToSegmentationNode(volume, node)
    return node


def _points():
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    node.AddControlPoint([1, 2, 3])
    return node


def _table():
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode")
    slicer.util.updateTableFromArray(node, np.arange(4.0), "values")
    return node


@pytest.mark.parametrize(
    ("make", "suffix", "load", "count"),
    [
        (_segmentation, ".seg.nrrd", "loadSegmentation", lambda node: node.GetSegmentation().GetNumberOfSegments()),
        (_points, ".mrk.json", "loadMarkups", lambda node: node.GetNumberOfControlPoints()),
        (_table, ".csv", "loadTable", lambda node: node.GetNumberOfRows()),
    ],
)
def test_a_node_file_is_loaded_and_saved(host, tmp_path, make, suffix, load, count):
    import slicer

    node, path = make(), str(tmp_path / f"node{suffix}")
    assert slicer.util.saveNode(node, path)
    loaded = getattr(slicer.util, load)(path)
    assert loaded is not node
    assert count(loaded) == count(node) > 0


def test_a_module_is_left_when_another_is_selected(host, toy):
    import slicer

    assert slicer.util.selectedModule() == "Toy"
    assert toy.parent.isEntered
    slicer.util.selectModule("Volumes")
    assert not toy.parent.isEntered
    assert toy._parameterNode is None
    slicer.util.selectModule("Toy")
    assert toy._parameterNode is not None


def test_the_user_of_a_real_slicer_can_do_the_same(host, toy, volume, tmp_path):
    """`RealSlicer` uses nothing but Slicer's own names, so it works on the host, too."""
    import qt
    import slicer
    from SlicerHost.user import RealSlicer

    original = slicer.util._messageDisplay
    try:
        user = RealSlicer()
        panel = user.loadModule(TOY)
        assert panel is toy
        user.setNode(panel.ui.inputSelector, volume)
        slicer.util.arrayFromVolume(volume)[:] = 0
        user.click(panel.ui.applyButton)
        assert [m.text for m in user.takeMessages()] == ["Scaling failed.\n\nThe volume is empty."]
        host.errors.clear()
        user.answer(qt.QMessageBox.Cancel)
        assert not slicer.util.confirmOkCancelDisplay("Go on?")
        assert user.grabPanel(panel, tmp_path / "panel.png").stat().st_size > 1000
        user.reset()
        assert panel.ui.inputSelector.currentNode() is None
    finally:
        slicer.util._messageDisplay = original


def test_a_dicom_plugin_is_registered_and_files_its_series(host, tmp_path):
    import slicer
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid
    from SlicerHost.user import RealSlicer

    (tmp_path / "ToyDICOMPlugin.py").write_text(
        "import slicer\nfrom DICOMLib import DICOMLoadable, DICOMPlugin\n"
        "class ToyDICOMPluginClass(DICOMPlugin):\n"
        "    def __init__(self):\n        super().__init__()\n        self.loadType = 'Toy'\n"
        "    def examineFiles(self, files):\n"
        "        loadable = DICOMLoadable()\n"
        "        loadable.files, loadable.confidence = files, 0.9\n"
        "        loadable.name = slicer.dicomDatabase.fileValue(files[0], self.tags['seriesDescription'])\n"
        "        return [loadable]\n"
        "    def load(self, loadable):\n"
        "        node = slicer.mrmlScene.AddNewNodeByClass('vtkMRMLScalarVolumeNode', loadable.name)\n"
        "        self.addSeriesInSubjectHierarchy(loadable, node)\n        return node\n"
        "class ToyDICOMPlugin:\n"
        "    def __init__(self, parent):\n        parent.hidden = True\n"
        "        slicer.modules.dicomPlugins['ToyDICOMPlugin'] = ToyDICOMPluginClass\n"
    )
    header = Dataset()
    header.PatientID, header.PatientName, header.SeriesDescription = "P1", "Phantom", "T1 map"
    header.StudyInstanceUID, header.SeriesInstanceUID = generate_uid(), generate_uid()
    header.SOPClassUID, header.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.4", generate_uid()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.save_as(tmp_path / "image.dcm", enforce_file_format=True)

    host.loadModule(tmp_path / "ToyDICOMPlugin.py")
    plugin = slicer.modules.dicomPlugins["ToyDICOMPlugin"]()
    (loadable,) = plugin.examineForImport([[str(tmp_path / "image.dcm")]])
    assert (loadable.name, loadable.confidence) == ("T1 map", 0.9)
    node = plugin.load(loadable)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    study = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node))
    assert hierarchy.GetItemName(hierarchy.GetItemParent(study)) == "Phantom"
    with pytest.raises(RuntimeError, match="Could not find module widget"):
        slicer.util.getModuleWidget("ToyDICOMPlugin")
    original = slicer.util._messageDisplay
    try:
        instance = RealSlicer().loadModule(tmp_path / "ToyDICOMPlugin.py")
    finally:
        slicer.util._messageDisplay = original
    assert instance is slicer.modules.ToyDICOMPluginInstance


def test_start_up_is_completed_once_the_modules_are_loaded(host, tmp_path):
    import slicer

    (tmp_path / "Late.py").write_text(
        "import slicer\nclass Late:\n"
        "    def __init__(self, parent):\n"
        "        self.done = 0\n        slicer.app.connect('startupCompleted()', self.complete)\n"
        "    def complete(self):\n        self.done += 1\n"
    )
    late = host.loadModule(tmp_path / "Late.py")
    host.loadModule(TOY)
    assert (late.done, slicer.modules.LateInstance) == (1, late)


def test_packages_are_asked_for_and_never_installed(host):
    import qt
    import slicer.packaging

    assert slicer.packaging.pip_check("numpy>=1.20")
    host.answer(qt.QMessageBox.Ok)
    slicer.packaging.pip_ensure(["no-such-package>=2"], requester="Toy")
    assert "no-such-package" in host.takeMessages()[0].text
    slicer.util.pip_install("other-package>1")
    assert packaging_module.installed == ["no-such-package>=2", "other-package>1"]
    host.answer(qt.QMessageBox.Cancel)
    with pytest.raises(RuntimeError, match="declined"):
        slicer.packaging.pip_ensure("no-such-package")
    host.takeMessages()
    host.testing = True
    try:
        slicer.packaging.pip_ensure("no-such-package")
    finally:
        host.testing = False
    assert not host.takeMessages()


def test_slicer_5_10_lacks_what_came_later(started_host):
    import slicer

    started_host.start("5.10")
    try:
        with pytest.raises(ImportError):
            importlib.import_module("slicer.packaging")
        with pytest.raises(RuntimeError, match="no signal"):
            slicer.qMRMLNodeComboBox().connect("nodeAddedByUserAction(vtkMRMLNode*)", print)
        assert _connected_check_box()[0] is None
    finally:
        started_host.start("5.12")
    slicer.qMRMLNodeComboBox().connect("nodeAddedByUserAction(vtkMRMLNode*)", print)


def test_disconnecting_frees_the_widgets_where_the_tag_is_known(host):
    tag, box, parameters = _connected_check_box()
    box.checked = True
    assert parameters.value
    parameters.disconnectGui(tag)
    box.checked = False
    assert parameters.value


def _connected_check_box():
    """The tag of ``connectGui``, the widget, and the wrapped node, which is in no scene."""
    import qt
    import slicer
    from slicer.parameterNodeWrapper import parameterNodeWrapper

    wrapper = parameterNodeWrapper(type("Parameters", (), {"__annotations__": {"value": bool}}))
    parameters, box = wrapper(slicer.vtkMRMLScriptedModuleNode()), qt.QCheckBox()
    box.setProperty("SlicerParameterName", "value")
    return parameters.connectGui(SimpleNamespace(box=box)), box, parameters


def test_nothing_of_the_host_is_there_unless_it_is_started():
    script = (
        "import SlicerHost, sys\n"
        "from CMRLib.standalone import createApplication\n"
        "before = createApplication()\n"
        "import slicer\n"
        "names = set(vars(slicer))\n"
        "host = SlicerHost.start()\n"
        "import qt, ctk, slicer.ScriptedLoadableModule\n"
        "host.stop()\n"
        "assert slicer.app is before\n"
        "assert not {'qt', 'ctk', 'slicer.ScriptedLoadableModule', 'DICOMLib'} & set(sys.modules)\n"
        "assert set(vars(slicer)) - names <= {'selfTests'}, set(vars(slicer)) ^ names\n"
    )
    root = Path(__file__).parents[3]
    paths = f"import sys; sys.path[:0] = [{str(root / 'Testing')!r}, {str(root / 'CMRT1Mapping')!r}]\n"
    done = subprocess.run([sys.executable, "-c", paths + script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_python_modules_have_the_signatures_of_slicer(host):
    """Parameters of every function and method that the host plays are those of the table."""
    checked = 0
    for module_name, row in names.PYTHON.items():
        name = module_name.split("/")[-2] if "/" in module_name else module_name
        name = "slicer.parameterNodeWrapper" if name.startswith("slicer.parameterNodeWrapper") else name
        module = importlib.import_module(name)
        for declaration in row.get("functions", []):
            checked += _has_signature(module, declaration)
        for class_name, members in row.get("classes", {}).items():
            for declaration in members["methods"]:
                checked += _has_signature(getattr(module, class_name, None), declaration)
    assert checked > 30


def _has_signature(owner, declaration):
    """1 if the owner's own function of that name has the declared parameters, 0 if it has no such function."""
    declared = ast.parse(f"def {declaration}: pass").body[0]
    function = vars(owner).get(declared.name) if owner is not None else None
    if not inspect.isfunction(function) or declared.name == "__init__":
        return 0
    found = inspect.signature(function).parameters
    wanted = declared.args
    assert [p for p, k in found.items() if k.kind is k.POSITIONAL_OR_KEYWORD] == [a.arg for a in wanted.args], (
        declaration
    )
    assert [p for p, k in found.items() if k.kind is k.KEYWORD_ONLY] == [a.arg for a in wanted.kwonlyargs], declaration
    return 1


def test_the_table_is_what_its_script_makes_of_it(tmp_path):
    """Rows are copied, not edited: the script finds nothing to change in its own output."""
    folder = Path(names.__file__).parent
    copy = tmp_path / "update_names.py"
    copy.write_text((folder / "update_names.py").read_text())
    subprocess.run([sys.executable, copy, folder / "names.json"], check=True, capture_output=True)
    assert (tmp_path / "names.json").read_text() == (folder / "names.json").read_text()
