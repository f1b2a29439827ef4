"""Views in the host are real: drawn off screen, and moved by real pointer events."""

import os
import subprocess
import sys

import numpy as np
import pytest


@pytest.fixture
def volume(host):
    """A ramp from left to right of 5 slices of 40 x 60 mm, shown in the slice views."""
    import slicer

    ramp = np.broadcast_to(np.arange(60, dtype=np.float32), (5, 40, 60))
    node = slicer.util.addVolumeFromArray(np.ascontiguousarray(ramp), name="Ramp")
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().AutoWindowLevelOff()
    node.GetDisplayNode().SetWindowLevelMinMax(0, 59)
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    return node


def test_a_slice_view_shows_the_volume(host, volume):
    image = host.grabSlice("Red").astype(float)
    middle = image[image.shape[0] // 2, :, 0]
    inside = middle[middle > 0]
    assert inside.size > 100
    assert inside.max() > 240
    # Radiological convention: the patient's right, where R is large, is on the left of the view.
    assert (np.diff(inside) <= 0).all()


def test_the_crosshair_follows_the_pointer(host, volume):
    import slicer

    crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    seen = []
    tag = crosshair.AddObserver(slicer.vtkMRMLCrosshairNode.CursorPositionModifiedEvent, lambda *_: seen.append(1))
    host.moveMouse("Red", [20, 30, 2])
    crosshair.RemoveObserver(tag)
    ras = [0.0] * 3
    assert crosshair.GetCursorPositionRAS(ras)
    assert seen
    np.testing.assert_allclose(ras, [20, 30, 2], atol=0.5)


def test_a_point_is_dragged(host, volume):
    import slicer

    points = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Points")
    points.CreateDefaultDisplayNodes()
    points.AddControlPoint([20, 20, 2])
    moved = []
    points.AddObserver(slicer.vtkMRMLMarkupsNode.PointModifiedEvent, lambda *_: moved.append(1))
    host.drag("Red", [20, 20, 2], [40, 25, 2])
    np.testing.assert_allclose(points.GetNthControlPointPosition(0), [40, 25, 2], atol=0.5)
    assert len(moved) > 2, "step by step, as a user drags"
    host.drag("Red", [5, 5, 2], [10, 10, 2])
    np.testing.assert_allclose(points.GetNthControlPointPosition(0), [40, 25, 2], atol=0.5)


def test_the_layout_says_which_views_there_are(host):
    import slicer

    manager = slicer.app.layoutManager()
    assert manager.sliceViewNames()[:3] == ("Red", "Green", "Yellow")  # modules may add views of their own
    assert manager.sliceWidget("Blue") is None
    assert manager.sliceWidget("Red").mrmlSliceNode() is slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed")
    manager.layout = slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView
    host.processEvents()
    assert manager.sliceWidget("Red").visible
    assert not manager.sliceWidget("Green").visible
    assert manager.sliceWidget("Red").mrmlSliceNode().IsMappedInLayout()
    assert not manager.sliceWidget("Green").mrmlSliceNode().IsMappedInLayout()


def test_a_layout_is_known_only_once_it_was_registered(started_host, host, tmp_path):
    """A scene that was saved in such a layout shows no view in a Slicer that was started anew."""
    import slicer

    manager = slicer.app.layoutManager()
    description = '<layout type="horizontal"><item><view class="vtkMRMLSliceNode" singletontag="Red"/></item></layout>'
    manager.layoutLogic().GetLayoutNode().AddLayoutDescription(777, description)
    manager.setLayout(777)
    host.processEvents()
    assert manager.sliceWidget("Red").visible
    assert slicer.util.saveScene(str(tmp_path / "scene.mrml"))
    started_host.reset()
    assert not manager.layoutLogic().GetLayoutNode().IsLayoutDescription(777)
    slicer.util.loadScene(str(tmp_path / "scene.mrml"))
    host.processEvents()
    assert manager.layout == 777
    assert not any(manager.sliceWidget(name).visible for name in manager.sliceViewNames())


def test_views_survive_closing_the_scene(host, volume):
    import slicer

    slicer.mrmlScene.Clear(False)
    host.processEvents()
    assert host.grabSlice("Red").max() == 0
    red = slicer.app.layoutManager().sliceWidget("Red")
    assert red.mrmlSliceNode() is slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed")


WITHOUT_SINGLETONS = """
import SlicerHost
host = SlicerHost.start()
import numpy, slicer
slicer.util.addVolumeFromArray(numpy.ones((2, 3, 4)))
slicer.mrmlScene.Clear(True)
host.processEvents()
assert host.grabSlice("Red").max() == 0
red = slicer.app.layoutManager().sliceWidget("Red")
assert red.mrmlSliceNode() is slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed")
host.start()  # with the nodes that every application has
assert slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
"""


def test_views_survive_the_loss_of_the_scene_s_own_nodes():
    """In a process of its own: the nodes of the views that go here would be missed by later tests."""
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_SINGLETONS], env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_chart_is_drawn_and_follows_its_table(host, tmp_path):
    import slicer
    from PIL import Image

    nodes = {}
    times = np.linspace(0, 5, 20)
    slicer.util.plot(np.column_stack([times, times]), 0, ["time", "signal"], "Curve", nodes=nodes)
    view = slicer.app.layoutManager().plotWidget(0)
    assert view.mrmlPlotViewNode().GetPlotChartNode() is nodes["chart"]
    rising = np.asarray(Image.open(host.grabWidget(view, tmp_path / "rising.png")).convert("L"))
    column = nodes["table"].GetTable().GetColumn(1)
    for row in range(len(times)):
        column.SetValue(row, -times[row])
    nodes["table"].Modified()
    falling = np.asarray(Image.open(host.grabWidget(view, tmp_path / "falling.png")).convert("L"))
    assert len(np.unique(rising)) > 10
    assert (rising != falling).mean() > 0.001


def test_a_table_view_shows_the_table(host):
    import qt
    import slicer

    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", "Table")
    slicer.util.updateTableFromArray(table, np.array([[1.0, 2.0], [3.0, 4.0]]), ["mean", "SD"])
    view = slicer.qMRMLTableView()
    view.setMRMLTableNode(table)
    model = view.native.model()
    assert (model.rowCount(), model.columnCount()) == (2, 2)
    assert float(model.data(model.index(1, 0))) == 3.0
    assert model.headerData(1, qt.Qt.Horizontal) == "SD"
    assert view.mrmlTableNode() is table


def test_the_main_window_has_a_picture(host, volume, tmp_path):
    from PIL import Image

    image = np.asarray(Image.open(host.grabMainWindow(tmp_path / "window.png")))
    assert image.shape[:2] == (1000, 1600)
    assert ((image[..., 0] > 200) & (image[..., 1] < 100) & (image[..., 2] < 80)).sum() > 1000, "the red view's bar"
