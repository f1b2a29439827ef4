"""The logic of CMRT1Mapping without its panel, and the module's own tests."""

import functools
import sys
import unittest
from pathlib import Path

import numpy as np
import pytest
import slicer
from irw_phantom import OBLIQUE, SHMOLLI_TIMES, TUBES_MS, make_phantom

from CMRLib.errors import Cancelled, DeviceError, InputError
from CMRLib.scene import acquisitions
from CMRLib.scene.volumes import ijkToWorld, setVolumeArray, volumeArray
from CMRT1MappingLib.fit.reconstruction import FitOptions, reconstruct
from CMRT1MappingLib.scene import t1maps
from CMRT1MappingLib.scene.t1reconstruction import pixelAt, pixelCurve

MODULE = Path(__file__).resolve().parents[2] / "CMRT1Mapping.py"

pytestmark = pytest.mark.usefixtures("remembered_fits")


@pytest.fixture(scope="module")
def phantom():
    return make_phantom()


@pytest.fixture
def logic(host):
    return host.loadModule(MODULE).logic


@pytest.fixture
def process(logic):
    """Maps of the images as acquired; those of corrected ones are in test_scene_motion.py."""
    return functools.partial(logic.process, correctMotion=False)


@pytest.fixture
def source(host, phantom):
    return acquisitions.createAcquisition("rest mid", phantom.images, SHMOLLI_TIMES, OBLIQUE, phantom.phase)


def tubeMeans(node, phantom):
    array = volumeArray(node)[0]
    return [array[r - 4 : r + 5, c - 4 : c + 5].mean() for r, c in phantom.centers]


def test_process_gives_what_the_method_gives(process, source, phantom):
    nodes = process(source, phaseNode=acquisitions.phaseOf(source), lastTest="paper", device="cpu")
    maps = reconstruct(phantom.images, SHMOLLI_TIMES, phantom.phase, options=FitOptions("paper"), device="cpu")
    for role, node in nodes.items():
        assert np.array_equal(volumeArray(node)[0], getattr(maps, role).astype(np.float32)), role
    assert nodes["t1"].GetAttribute("CMR.LastTest") == "paper"


def test_process_reports_progress_up_to_one(process, source):
    fractions = []
    process(source, progress=fractions.append)
    assert fractions == sorted(fractions) and fractions[-1] == 1.0


def test_process_takes_given_times_before_those_of_the_node(process, phantom):
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Frames")
    setVolumeArray(volume, phantom.images, OBLIQUE)
    with pytest.raises(InputError, match="not known"):
        process(volume)
    nodes = process(volume, inversionTimesMs=SHMOLLI_TIMES)
    assert tubeMeans(nodes["t1"], phantom) == pytest.approx(TUBES_MS, rel=0.01)
    assert acquisitions.inversionTimes(volume) is None, "the input is not changed"


def unsuitable(kind, source, phantom):
    """Arguments of ``process`` that cannot work, and what is said about them."""
    label = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Labels")
    setVolumeArray(label, np.ones((7, 4, 4), np.uint8), OBLIQUE)
    small = acquisitions.createAcquisition("small", phantom.images[:, :9, :9], SHMOLLI_TIMES, OBLIQUE)
    return {
        "no input": ({"inputNode": None}, "Select the inversion-recovery images"),
        "scheme": ({"inputNode": source, "scheme": "sasha"}, 'no scheme called "sasha"'),
        "last test": ({"inputNode": source, "lastTest": "both"}, '"scanner" or "paper"'),
        "six times": ({"inputNode": source, "inversionTimesMs": SHMOLLI_TIMES[:6]}, "7 images but 6 inversion times"),
        "seconds": ({"inputNode": source, "inversionTimesMs": np.array(SHMOLLI_TIMES) / 1000}, "look like seconds"),
        "label map": ({"inputNode": label, "inversionTimesMs": SHMOLLI_TIMES}, "is a label map"),
        "size of phase": ({"inputNode": source, "phaseNode": small}, "do not match"),
        "output": ({"inputNode": source, "outputs": {"t1": label}}, "cannot hold"),
    }[kind]


@pytest.mark.parametrize(
    "kind", ["no input", "scheme", "last test", "six times", "seconds", "label map", "size of phase", "output"]
)
def test_unsuitable_input_is_a_sentence_and_changes_nothing(process, source, phantom, kind):
    arguments, reason = unsuitable(kind, source, phantom)
    before = slicer.mrmlScene.GetNumberOfNodes()
    with pytest.raises(InputError, match=reason):
        process(**arguments)
    assert slicer.mrmlScene.GetNumberOfNodes() == before


def test_unknown_device_is_an_error(process, source):
    with pytest.raises(DeviceError):
        process(source, device="quantum")
    assert t1maps.findT1Maps(source) == {}


@pytest.mark.parametrize("removed", ["input", "output"])
def test_nodes_that_vanish_during_a_run_end_it(process, source, removed):
    output = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Mine")
    node = source if removed == "input" else output
    with pytest.raises(Cancelled, match="removed"):
        process(source, outputs={"t1": output}, progress=lambda _: slicer.mrmlScene.RemoveNode(node))
    assert not [n for n in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if n.GetAttribute("CMR.Role")]


def test_transformed_input_is_hovered_where_it_is_shown(process, source, phantom):
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = np.eye(4)
    matrix[:3, 3] = 30, -20, 10
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    acquisitions.shownVolume(source).SetAndObserveTransformNodeID(transform.GetID())
    t1 = process(source)["t1"]
    row, column = phantom.centers[2]
    world = ijkToWorld(t1, np.array([[column, row, 0]]))[0]
    assert pixelAt(source, world) == (row, column)
    assert pixelAt(source, world - matrix[:3, 3]) != (row, column)


def test_positions_outside_the_slice_belong_to_no_pixel(process, source):
    t1 = process(source)["t1"]
    for index in ([-1, 5, 0], [5, -1, 0], [60, 5, 0], [5, 40, 0], [5, 5, 1], [5, 5, -1]):
        assert pixelAt(source, ijkToWorld(t1, np.array([index]))[0]) is None


def test_curve_is_that_of_the_map_not_of_the_panel(process, source, phantom):
    nodes = process(source, phaseNode=acquisitions.phaseOf(source))
    acquisitions.setInversionTimes(source, np.array(SHMOLLI_TIMES) + 50)
    for row, column in phantom.centers:
        curve = pixelCurve(source, row, column, scheme="molli")
        assert curve.t1 == pytest.approx(volumeArray(nodes["t1"])[0, row, column], abs=0.01)
        assert curve.t1_error == pytest.approx(volumeArray(nodes["t1_error"])[0, row, column], rel=0.01)
        assert curve.samples == volumeArray(nodes["samples"])[0, row, column]


@pytest.mark.self_test
def test_the_module_s_own_tests_pass(host, logic):
    module = sys.modules["CMRT1Mapping"]
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(module.CMRT1MappingTest).run(result)
    assert result.testsRun == 3 and not result.skipped
    assert not result.failures and not result.errors, result.failures + result.errors
