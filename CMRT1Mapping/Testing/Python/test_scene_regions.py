"""Regions as masks, statistics as tables, curves as plots."""

import math
import zipfile

import numpy as np
import pytest
import slicer
import vtk
from hypothesis import given, settings
from hypothesis import strategies as st
from irw_phantom import OBLIQUE

from CMRLib.anatomy.statistics import RoiStatistics
from CMRLib.errors import InputError
from CMRLib.scene.regions import polygonMask, regionMasks
from CMRLib.scene.tables import setStatisticsTable
from CMRLib.scene.volumes import ijkToWorld, setVolumeArray
from CMRT1MappingLib.fit.curve import PixelCurve
from CMRT1MappingLib.fit.reconstruction import PixelFlag
from CMRT1MappingLib.scene import plots

pytestmark = pytest.mark.usefixtures("scene")

SHAPE = (30, 40)


@pytest.fixture
def volume():
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "T1 map")
    setVolumeArray(node, np.zeros(SHAPE, np.float32), OBLIQUE)
    return node


def tilted(node):
    """Put a node under a transform that turns and moves it."""
    matrix = vtk.vtkTransform()
    matrix.RotateY(25)
    matrix.Translate(10, -5, 3)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(matrix.GetMatrix())
    node.SetAndObserveTransformNodeID(transform.GetID())


def rectangle(first, last):
    mask = np.zeros(SHAPE, bool)
    mask[first[0] : last[0] + 1, first[1] : last[1] + 1] = True
    return mask


def box(volume, first, last):
    """An ROI box whose faces lie half a pixel outside the (row, column) corners given."""
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Box")
    center = [(first[1] + last[1]) / 2, (first[0] + last[0]) / 2, 0]
    axes = ijkToWorld(volume, np.array([center, *(np.eye(3) + center)]))
    directions = (axes[1:] - axes[0]) / np.linalg.norm(axes[1:] - axes[0], axis=1, keepdims=True)
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = directions.T, axes[0]
    size = np.array([last[1] - first[1] + 1, last[0] - first[0] + 1, 1]) * OBLIQUE.spacing
    roi.SetAndObserveObjectToNodeMatrix(slicer.util.vtkMatrixFromArray(matrix))
    roi.SetSize(*size)
    return roi


def closedCurve(volume, corners, k=0.0):
    """A closed curve with straight edges through (row, column) positions."""
    curve = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsClosedCurveNode", "Curve")
    curve.SetCurveTypeToLinear()
    for row, column in corners:
        curve.AddControlPointWorld(vtk.vtkVector3d(*ijkToWorld(volume, np.array([[column, row, k]]))[0]))
    return curve


@pytest.mark.parametrize("transformed", [False, True])
def test_segments_are_masks_on_the_pixels_of_the_map(volume, transformed):
    if transformed:
        tilted(volume)
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Segmentation")
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segmentation.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    expected = {"septum": rectangle((3, 4), (10, 20)), "lateral": rectangle((12, 25), (20, 30))}
    for name, mask in expected.items():
        identifier = segmentation.GetSegmentation().AddEmptySegment("", name)
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask[None].astype(np.uint8), segmentation, identifier, volume)
    masks = regionMasks(segmentation, volume)
    assert list(masks) == list(expected)
    for name, mask in expected.items():
        assert np.array_equal(masks[name][0], mask), name


def test_two_segments_of_one_name_are_both_kept(volume):
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Segmentation")
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for mask in (rectangle((3, 4), (10, 20)), rectangle((12, 25), (20, 30))):
        identifier = segmentation.GetSegmentation().AddEmptySegment("", "scar")
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask[None].astype(np.uint8), segmentation, identifier, volume)
    assert len(regionMasks(segmentation, volume)) == 2


@pytest.mark.parametrize("transformed", [False, True])
def test_box_is_a_mask(volume, transformed):
    if transformed:
        tilted(volume)
    masks = regionMasks(box(volume, (5, 7), (12, 21)), volume)
    assert np.array_equal(masks["Box"][0], rectangle((5, 7), (12, 21)))


@pytest.mark.parametrize("transformed", [False, True])
def test_closed_curve_is_a_mask(volume, transformed):
    if transformed:
        tilted(volume)
    curve = closedCurve(volume, [(4.5, 6.5), (4.5, 21.5), (12.5, 21.5), (12.5, 6.5)], k=0.3)
    assert np.array_equal(regionMasks(curve, volume)["Curve"][0], rectangle((5, 7), (12, 21)))


def test_curve_outside_the_slice_holds_no_pixel(volume):
    curve = closedCurve(volume, [(4, 6), (4, 21), (12, 21), (12, 6)], k=2.0)
    assert not regionMasks(curve, volume)["Curve"].any()


@settings(max_examples=50)
@given(
    st.tuples(st.floats(8, 22), st.floats(8, 32)), st.floats(2, 7), st.integers(3, 60), st.floats(0, 6.2), st.booleans()
)
def test_polygon_holds_the_pixels_that_lie_inside(center, radius, corners, start, clockwise):
    angle = start + np.linspace(0, 2 * np.pi, corners, endpoint=False) * (-1 if clockwise else 1)
    polygon = np.stack([center[1] + radius * np.cos(angle), center[0] + radius * np.sin(angle)], axis=1)
    mask = polygonMask(polygon, *SHAPE)
    row, column = np.mgrid[: SHAPE[0], : SHAPE[1]]
    # Regular polygon: inside, the distance along each edge's outward normal is at most the apothem.
    normals = angle + (angle[1] - angle[0]) / 2
    reach = np.max(
        [(column - center[1]) * np.cos(a) + (row - center[0]) * np.sin(a) for a in normals], axis=0
    ) - radius * np.cos(np.pi / corners)
    assert mask[reach < -1e-6].all() and not mask[reach > 1e-6].any()


def test_regions_that_are_not_there_yet_are_errors(volume):
    new = {
        name: slicer.mrmlScene.AddNewNodeByClass(f"vtkMRML{name}Node", name)
        for name in ("Segmentation", "MarkupsROI", "MarkupsClosedCurve", "MarkupsFiducial")
    }
    for name, reason in (
        ("Segmentation", "has no segments"),
        ("MarkupsROI", "has not been placed"),
        ("MarkupsClosedCurve", "at least three points"),
        ("MarkupsFiducial", "not a region"),
    ):
        with pytest.raises(InputError, match=reason):
            regionMasks(new[name], volume)


def test_statistics_table():
    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", "Statistics")
    statistics = {
        "septum": RoiStatistics(962.123, 25.5, 960.0, 900.0, 1010.0, 321, 4),
        "empty": None,
    }
    setStatisticsTable(table, "ms", {"old": None})
    setStatisticsTable(table, "ms", statistics)
    names = [table.GetColumnName(index) for index in range(table.GetNumberOfColumns())]
    assert names == ["Region", "Mean [ms]", "SD [ms]", "Median [ms]", "Min [ms]", "Max [ms]", "Pixels", "Excluded"]
    assert [table.GetCellText(0, index) for index in range(3)] == ["septum", "962.12", "25.5"]
    assert table.GetCellText(0, 6) == "321" and table.GetCellText(0, 7) == "4"
    assert table.GetNumberOfRows() == 2
    assert math.isnan(table.GetTable().GetValueByName(1, "Mean [ms]").ToDouble())
    setStatisticsTable(table, "", statistics)
    names = [table.GetColumnName(index) for index in range(table.GetNumberOfColumns())]
    assert names == ["Region", "Mean", "SD", "Median", "Min", "Max", "Pixels", "Excluded"], "of a map without a unit"


def curve(used=(True, False, True)):
    return PixelCurve(
        inversion_times_ms=np.array([100.0, 180.0, 1100.0]),
        signal=np.array([-300.0, -250.0, 120.0]),
        used=np.array(used),
        curve_times_ms=np.linspace(0, 1200, 50),
        curve_signal=np.linspace(-400, 150, 50),
        t1=960.0,
        t1_star=900.0,
        t1_error=8.0,
        r2=0.999,
        samples=int(sum(used)),
        flags=PixelFlag(0),
    )


def points(chart):
    """Name of each series -> its points."""
    series = [chart.GetNthPlotSeriesNode(index) for index in range(chart.GetNumberOfPlotSeriesNodes())]
    columns = {node.GetName(): [node.GetXColumnName(), node.GetYColumnName()] for node in series}
    tables = {node.GetName(): node.GetTableNode().GetTable() for node in series}
    return {
        name: [
            tuple(tables[name].GetValueByName(row, c).ToDouble() for c in columns[name])
            for row in range(tables[name].GetNumberOfRows())
        ]
        for name in columns
    }


def test_curve_is_a_chart_of_samples_and_fit():
    drawn = points(plots.showCurve(curve()))
    assert drawn["Samples used"] == [(100.0, -300.0), (1100.0, 120.0)]
    assert drawn["Samples not used"] == [(180.0, -250.0)] * 2, "no chart takes a series of one point"
    assert len(drawn["Fit"]) == 50 and drawn["Fit"][0] == (0.0, -400.0)


def test_next_curve_takes_the_same_nodes(scene):
    chart = plots.showCurve(curve())
    count = scene.GetNumberOfNodes()
    assert plots.showCurve(curve(used=(True, True, True))) is chart
    assert scene.GetNumberOfNodes() == count
    assert "Samples not used" not in points(chart)


def test_curves_are_hidden_before_they_enter_the_scene(scene):
    """Slicer's data tree looks at that only once."""
    for className in ("vtkMRMLPlotChartNode", "vtkMRMLPlotSeriesNode", "vtkMRMLTableNode"):
        for node in slicer.util.getNodesByClass(className):
            scene.RemoveNode(node)
    entered = []

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def added(_scene, _event, node):
        entered.append((bool(node.GetHideFromEditors()), bool(node.GetSaveWithScene())))

    tag = scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, added)
    plots.showCurve(curve(used=(True, False, True)))
    scene.RemoveObserver(tag)
    assert entered == [(True, False)] * 7  # the chart, and a series with its table for each of three kinds


def test_curves_survive_closing_the_scene_and_are_not_saved(scene, tmp_path):
    owner = scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "Owner")
    plots.curveViewNode(owner).SetPlotChartNodeID(plots.showCurve(curve()).GetID())
    scene.Clear(0)
    assert len(points(plots.showCurve(curve()))) == 3
    assert scene.WriteToMRB(str(tmp_path / "scene.mrb"))
    with zipfile.ZipFile(tmp_path / "scene.mrb") as bundle:
        (name,) = [name for name in bundle.namelist() if name.endswith(".mrml")]
        assert b"<PlotChart" not in bundle.read(name) and b"CMRT1Curve" not in bundle.read(name)


def test_curve_view_is_left_alone_by_the_main_layout(scene):
    owner = scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "Owner")
    view = plots.curveViewNode(owner)
    assert view.GetParentLayoutNode() is owner
    assert plots.curveViewNode(owner) is view
    assert not view.GetDoPropagatePlotChartSelection()
    scene.Clear(0)
    owner = scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "Next owner")
    assert plots.curveViewNode(owner).GetParentLayoutNode() is owner
    assert not view.GetDoPropagatePlotChartSelection()
