"""What fails in Slicer fails in the host: names, signals, arguments, types, and errors that Slicer only prints."""

import re
from pathlib import Path
from typing import Annotated, Union

import numpy as np
import pytest
from SlicerHost.fixtures import expect_nothing_else

TOY = Path(__file__).parents[1] / "toy" / "Toy.py"
UI = (TOY.parent / "Resources" / "UI" / "Toy.ui").read_text()


@pytest.fixture
def ui(host):
    return host.loadModule(TOY).ui


@pytest.mark.parametrize(
    ("mistake", "error"),
    [
        ("ui.applyButton.colour", AttributeError),
        ("ui.applyButton.setColour('red')", AttributeError),
        ("setattr(ui.applyButton, 'colour', 'red')", AttributeError),
        ("ui.applyButton.text()", TypeError),
        ("ui.inputSelector.currentNodeID()", TypeError),
        ("ui.inputSelector.currentText", AttributeError),
        ("ui.inputSelector.setNodeTypes(['vtkMRMLScalarVolumeNode'])", AttributeError),
        ("ui.inputSelector.setMRMLScene(scene=slicer.mrmlScene)", TypeError),
        ("setattr(ui.applyButton, 'text', 3)", ValueError),
        ("setattr(ui.applyButton, 'enabled', 'yes')", ValueError),
        ("setattr(ui.countSpinBox, 'value', 2.5)", ValueError),
        ("setattr(ui.countSpinBox, 'value', numpy.int64(2))", ValueError),
        ("setattr(ui.inputSelector, 'nodeTypes', 'vtkMRMLScalarVolumeNode')", ValueError),
        ("setattr(ui.applyButton, 'width', 3)", AttributeError),
        ("ui.applyButton.setText(3)", ValueError),
        ("ui.timesTable.setItem(0, 0, 'text')", ValueError),
        ("ui.inputSelector.setMRMLScene(None, None)", ValueError),
        ("ui.inputSelector.setCurrentNode(3)", ValueError),
        ("ui.inputSelector.setMRMLScene(slicer.vtkMRMLModelNode())", ValueError),
        ("ui.applyButton.connect('pushed()', print)", RuntimeError),
        ("ui.applyButton.connect('clicked', print)", RuntimeError),
        ("ui.applyButton.connect('clicked(int)', print)", RuntimeError),
        ("ui.applyButton.connect('clicked()', None)", ValueError),
        ("ui.schemeComboBox.connect('currentIndexChanged(QString)', print)", RuntimeError),
        ("ui.applyButton.disconnect('clicked()', print)", RuntimeError),
        ("ui.inputSelector.currentNodeChanged.connect(print)", RuntimeError),
        ("ui.applyButton.connect('clicked()', ui.inputSelector, 'refresh()')", RuntimeError),
        ("ui.noSuchWidget", AttributeError),
        ("qt.QNoSuchWidget", AttributeError),
        ("qt.QPushButton('a', 'b', 'c')", ValueError),
        ("qt.QMessageBox.Okay", AttributeError),
        ("type('Filter', (qt.QObject,), {})", NotImplementedError),
        ("ctk.ctkNoSuchWidget", AttributeError),
        ("slicer.qMRMLNoSuchWidget", AttributeError),
        ("slicer.arrayFromVolume", AttributeError),
        ("slicer.util.arrayOfVolume", AttributeError),
        ("slicer.util.setSliceViewerLayers(backgroundVolume=None)", TypeError),
        ("slicer.util.resetSliceViews(True)", TypeError),
        ("slicer.modules.nosuchmodule", AttributeError),
        ("slicer.modules.volumes.widget", AttributeError),
        ("slicer.app.scene", AttributeError),
        ("slicer.app.mrmlScene", None),
        ("slicer.app.layoutManager().sliceWidget('Red').sliceNode()", AttributeError),
        ("slicer.app.layoutManager().layouts", AttributeError),
        ("slicer.app.layoutManager().sliceWidget('Red').sliceView().render()", ValueError),
        ("parameters.facter", AttributeError),
        ("setattr(parameters, 'facter', 3.0)", AttributeError),
        ("setattr(parameters, 'factor', 'three')", TypeError),
        ("setattr(parameters, 'factor', 11.0)", ValueError),
        ("setattr(parameters, 'scheme', 'three')", ValueError),
        ("setattr(parameters, 'comment', 2)", TypeError),
        ("setattr(parameters, 'inputVolume', slicer.mrmlScene.GetFirstNodeByClass('vtkMRMLSliceNode'))", TypeError),
        ("parameters.getValue('facter')", ValueError),
    ],
)
def test_a_mistake_fails(host, ui, mistake, error):
    import ctk
    import qt
    import slicer

    known = {"ui": ui, "qt": qt, "ctk": ctk, "slicer": slicer, "numpy": np}
    known["parameters"] = slicer.modules.ToyWidget._parameterNode
    if error is None:
        eval(mistake, known)
        return
    with pytest.raises(error):
        eval(mistake, known)


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ('class="QProgressBar"', 'class="QProgressBox"', "no class QProgressBox"),
        ('class="ctkComboBox"', 'class="ctkComboBoxes"', "no class ctkComboBoxes"),
        ('<property name="noneEnabled">', '<property name="noneAllowed">', "no property noneAllowed"),
        ('<property name="rowCount">', '<property name="rows">', "no property rows"),
        ("mrmlSceneChanged(vtkMRMLScene*)", "sceneChanged(vtkMRMLScene*)", "no signal sceneChanged"),
        ("<slot>setMRMLScene(vtkMRMLScene*)", "<slot>setScene(vtkMRMLScene*)", "no slot setScene"),
        ("<receiver>inputSelector", "<receiver>inputsSelector", "no widget inputsSelector"),
        ('name="countSpinBox"', 'name="schemeComboBox"', "two widgets are called schemeComboBox"),
    ],
)
def test_a_mistake_in_a_ui_file_fails(host, tmp_path, right, wrong, message):
    import slicer

    assert right in UI
    path = tmp_path / "Wrong.ui"
    path.write_text(UI.replace(right, wrong, 1))
    with pytest.raises(RuntimeError, match=re.escape(message)):
        slicer.util.loadUI(str(path))


@pytest.mark.parametrize(
    ("kind", "widget"),
    [
        (bool, "QLineEdit"),
        (int, "QLineEdit"),
        (str, "QComboBox"),
        (str, "QSpinBox"),
        (float, "QSpinBox"),
        (float, "ctkSliderWidget"),
        (bool, "QToolButton"),
        ("vtkMRMLScalarVolumeNode", "QComboBox"),
        (str, "qMRMLNodeComboBox"),
    ],
)
def test_a_widget_that_cannot_hold_the_type_fails(host, kind, widget):
    import ctk
    import qt
    import slicer
    from slicer.parameterNodeWrapper import parameterNodeWrapper

    kind = getattr(slicer, kind) if isinstance(kind, str) else kind
    wrapper = parameterNodeWrapper(type("Parameters", (), {"__annotations__": {"value": kind}}))
    node = wrapper(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode"))
    owner = next(m for m in (qt, ctk, slicer) if hasattr(m, widget))
    with pytest.raises(RuntimeError):
        node.connectParametersToGui({"value": getattr(owner, widget)()})


def test_a_type_that_cannot_be_stored_fails(host):
    import slicer
    from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

    for kind in (np.ndarray, list[float]):  # Slicer takes the latter; no panel needs it so far
        with pytest.raises(TypeError, match="serializer"):
            parameterNodeWrapper(type("Parameters", (), {"__annotations__": {"value": kind}}))
    with pytest.raises(ValueError, match="reserved"):
        parameterNodeWrapper(type("Parameters", (), {"__annotations__": {"connectGui": bool}}))
    nodes = slicer.vtkMRMLTableNode, slicer.vtkMRMLTextNode
    for union in (Union[nodes], slicer.vtkMRMLTableNode | None, float | None):  # noqa: UP007 (no None; not typing's)
        with pytest.raises(TypeError):
            parameterNodeWrapper(type("Parameters", (), {"__annotations__": {"value": union}}))
    parameterNodeWrapper(type("Parameters", (), {"__annotations__": {"value": Union[(*nodes, None)]}}))
    limited = type("Parameters", (), {"__annotations__": {"value": Annotated[int, WithinRange(1, 2)]}})
    node = _parameterNode()
    with pytest.raises(ValueError, match="within"):
        parameterNodeWrapper(limited)(node)


def _parameterNode():
    import slicer

    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")


def _fail(*_):
    raise ZeroDivisionError("in a callback")


def _in_slot(ui, qt, slicer):
    ui.applyButton.connect("pressed()", _fail)
    ui.applyButton.native.pressed.emit()


def _in_slicer_signal(ui, qt, slicer):
    ui.inputSelector.connect("currentNodeChanged(bool)", _fail)
    ui.inputSelector.setCurrentNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode"))


def _in_observer(ui, qt, slicer):
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode").AddObserver("ModifiedEvent", _fail)
    slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLTextNode").Modified()


def _in_timer(ui, qt, slicer):
    qt.QTimer.singleShot(0, _fail)


@pytest.mark.parametrize("cause", [_in_slot, _in_slicer_signal, _in_observer, _in_timer])
def test_an_error_that_slicer_only_prints_fails(host, ui, cause):
    import qt
    import slicer
    from SlicerHost.host import HostError

    cause(ui, qt, slicer)
    with pytest.raises(HostError, match="in a callback"):
        host.processEvents()


def test_what_a_plot_view_logs_as_an_error_fails(host):
    import slicer
    from SlicerHost.host import HostError

    nodes = {}
    slicer.util.plot(np.array([[1.0, 2.0]]), 0, ["time", "signal"], "Point", show=False, nodes=nodes)
    (series,) = nodes["series"]
    view_node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotViewNode")
    view_node.SetPlotChartNodeID(nodes["chart"].GetID())
    view = slicer.qMRMLPlotView()
    view.setMRMLScene(slicer.mrmlScene)
    view.setMRMLPlotViewNode(view_node)
    with pytest.raises(HostError, match="a line with <2 points"):
        host.check()
    series.SetXColumnName("")
    with pytest.raises(HostError, match="No X column is set"):
        host.check()
    nodes["chart"].RemoveAllPlotSeriesNodeIDs()
    host.errors.clear()
    view.setMRMLPlotViewNode(None)


def test_an_unexpected_error_message_fails_the_test(host):
    import slicer

    slicer.util.errorDisplay("Something broke.")
    with pytest.raises(AssertionError, match=r"Something broke\."):
        expect_nothing_else(host)
    slicer.util.infoDisplay("All is well.")
    expect_nothing_else(host)


def test_a_user_cannot_click_what_is_disabled(host, ui):
    with pytest.raises(AssertionError, match="Choose an input volume"):
        host.click(ui.applyButton)


def test_a_user_cannot_choose_what_is_not_offered(host, ui):
    import slicer

    model = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode", "Model")
    with pytest.raises(AssertionError, match="does not offer Model"):
        host.setNode(ui.inputSelector, model)
    with pytest.raises(AssertionError, match="does not offer three"):
        host.choose(ui.schemeComboBox, "three")


def test_slots_get_no_more_arguments_than_they_take(host, ui):
    seen = []
    ui.invertCheckBox.connect("toggled(bool)", lambda: seen.append("none"))
    ui.invertCheckBox.connect("toggled(bool)", lambda checked: seen.append(checked))
    ui.invertCheckBox.toggled.connect(seen.append)
    ui.invertCheckBox.click()
    assert seen == ["none", True, True]


def test_signals_can_be_disconnected_and_blocked(host, ui):
    seen = []
    ui.inputSelector.connect("currentNodeChanged(bool)", seen.append)
    ui.inputSelector.blockSignals(True)
    ui.inputSelector.addNode()
    ui.inputSelector.blockSignals(False)
    assert seen == []
    ui.inputSelector.setCurrentNode(None)
    ui.inputSelector.disconnect("currentNodeChanged(bool)", seen.append)
    ui.inputSelector.addNode()
    assert seen == [False]
