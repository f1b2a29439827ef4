"""Acquisitions and volumes as nodes."""

import numpy as np
import pytest
import slicer
import vtk
from hypothesis import given, settings
from hypothesis import strategies as st
from irw_phantom import OBLIQUE, SHMOLLI_TIMES, make_phantom

from CMRLib.errors import InputError
from CMRLib.geometry import Geometry
from CMRLib.scene import acquisitions
from CMRLib.scene.volumes import checkSlicesLast, ijkToWorld, setVolumeArray, volumeArray, volumeGeometry, worldToIJK

pytestmark = pytest.mark.usefixtures("scene")


@pytest.fixture(scope="module")
def phantom():
    return make_phantom()


def volumeNode(array, geometry=OBLIQUE, name="Volume", className="vtkMRMLScalarVolumeNode"):
    node = slicer.mrmlScene.AddNewNodeByClass(className, name)
    setVolumeArray(node, array, geometry)
    return node


def sequenceOf(volumes, indexName="InversionTime", unit="ms"):
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "Sequence")
    sequence.SetIndexName(indexName)
    sequence.SetIndexUnit(unit)
    sequence.SetIndexTypeFromString("text")
    for index, volume in enumerate(volumes):
        sequence.SetDataNodeAtValue(volume, str(100 * (index + 1)))
    return sequence


@pytest.mark.parametrize("kind", [np.float32, np.uint8, np.int16])
def test_volume_keeps_pixels_type_and_geometry(kind):
    pixels = np.arange(2 * 3 * 4).reshape(2, 3, 4).astype(kind)
    node = volumeNode(pixels)
    assert slicer.util.arrayFromVolume(node).dtype == kind
    assert np.array_equal(volumeArray(node), pixels) and volumeArray(node).dtype == np.float32
    assert volumeGeometry(node).is_close(OBLIQUE, 1e-4)


def test_volume_array_is_a_copy():
    node = volumeNode(np.zeros((1, 2, 2), np.float32))
    volumeArray(node)[:] = 5
    assert volumeArray(node).max() == 0


def test_empty_volume_is_an_error():
    with pytest.raises(InputError, match="holds no image"):
        volumeArray(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty"))


@settings(max_examples=30)
@given(
    st.tuples(*[st.floats(-200, 200)] * 3),
    st.tuples(*[st.floats(0.5, 10)] * 3),
    st.floats(0, 6.2),
    st.tuples(*[st.floats(-100, 100)] * 3),
)
def test_world_and_voxel_coordinates_are_inverse(origin, spacing, angle, point):
    c, s = np.cos(angle), np.sin(angle)
    node = volumeNode(np.zeros((1, 2, 2), np.float32), Geometry(origin, spacing, (c, -s, 0, s, c, 0, 0, 0, 1)))
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = vtk.vtkTransform()
    matrix.RotateX(30)
    matrix.Translate(1, 2, 3)
    transform.SetMatrixTransformToParent(matrix.GetMatrix())
    node.SetAndObserveTransformNodeID(transform.GetID())
    assert np.allclose(worldToIJK(node, ijkToWorld(node, np.array([point])))[0], point, atol=1e-6)


def test_first_voxel_lies_at_the_origin_in_ras():
    node = volumeNode(np.zeros((1, 2, 2), np.float32))
    x, y, z = OBLIQUE.origin
    assert np.allclose(ijkToWorld(node, np.array([[0, 0, 0]]))[0], (-x, -y, z))


def test_acquisition_comes_back_as_it_was(phantom):
    node = acquisitions.createAcquisition(
        "rest mid", phantom.images, SHMOLLI_TIMES, OBLIQUE, phantom.phase, {acquisitions.STATE: "rest"}
    )
    images, geometry = acquisitions.acquisitionImages(node)
    assert np.array_equal(images, phantom.images)
    assert geometry.is_close(OBLIQUE, 1e-4)
    assert acquisitions.inversionTimes(node) == SHMOLLI_TIMES
    assert np.array_equal(acquisitions.acquisitionImages(acquisitions.phaseOf(node))[0], phantom.phase)
    assert acquisitions.inversionTimes(acquisitions.phaseOf(node)) == SHMOLLI_TIMES
    assert node.GetAttribute(acquisitions.STATE) == "rest"
    assert acquisitions.shownVolume(node).GetImageData().GetDimensions() == (60, 40, 1)


def test_acquisition_survives_saving_and_loading(phantom, scene, tmp_path):
    acquisitions.createAcquisition("rest mid", phantom.images, SHMOLLI_TIMES, OBLIQUE, phantom.phase)
    assert scene.WriteToMRB(str(tmp_path / "scene.mrb"))
    scene.Clear(0)
    assert scene.ReadFromMRB(str(tmp_path / "scene.mrb"))
    node = next(n for n in slicer.util.getNodesByClass("vtkMRMLSequenceNode") if acquisitions.phaseOf(n))
    images, geometry = acquisitions.acquisitionImages(node)
    assert np.array_equal(images, phantom.images) and geometry.is_close(OBLIQUE)
    assert acquisitions.inversionTimes(node) == SHMOLLI_TIMES


@pytest.mark.parametrize("times", [SHMOLLI_TIMES[:6], (100.0, 100.0, *SHMOLLI_TIMES[2:])])
def test_acquisition_with_too_few_or_repeated_times_is_an_error(phantom, times):
    with pytest.raises(InputError, match="one inversion time for each of its 7 images"):
        acquisitions.createAcquisition("rest mid", phantom.images, times, OBLIQUE)
    assert not slicer.util.getNodesByClass("vtkMRMLSequenceNode")


def test_volume_whose_slices_are_the_frames(phantom):
    node = volumeNode(phantom.images)
    images, geometry = acquisitions.acquisitionImages(node)
    assert np.array_equal(images, phantom.images) and geometry.is_close(OBLIQUE)
    assert acquisitions.numberOfFrames(node) == 7
    assert acquisitions.inversionTimes(node) is None
    acquisitions.setInversionTimes(node, SHMOLLI_TIMES)
    assert acquisitions.inversionTimes(node) == SHMOLLI_TIMES


def test_entered_times_come_first_and_can_be_taken_back(phantom):
    node = acquisitions.createAcquisition("rest mid", phantom.images, SHMOLLI_TIMES, OBLIQUE)
    entered = (110.5, *SHMOLLI_TIMES[1:])
    acquisitions.setInversionTimes(node, entered)
    assert acquisitions.hasEnteredTimes(node) and acquisitions.inversionTimes(node) == entered
    acquisitions.setInversionTimes(node, None)
    assert not acquisitions.hasEnteredTimes(node) and acquisitions.inversionTimes(node) == SHMOLLI_TIMES


@pytest.mark.parametrize(
    ("indexName", "unit", "expected"),
    [
        ("InversionTime", "ms", (100.0, 200.0)),
        ("InversionTime", "s", (1e5, 2e5)),
        ("InversionTime", "", None),
        ("time", "ms", None),
    ],
)
def test_index_counts_as_inversion_time_only_when_it_says_so(indexName, unit, expected):
    volumes = [slicer.vtkMRMLScalarVolumeNode() for _ in range(2)]
    assert acquisitions.inversionTimes(sequenceOf(volumes, indexName, unit)) == expected


@pytest.mark.parametrize("text", ["100 200", "100 200 x", "100 200 nan"])
def test_unusable_attribute_means_unknown_times(text):
    node = volumeNode(np.ones((3, 2, 2), np.float32))
    node.SetAttribute(acquisitions.INVERSION_TIMES, text)
    assert acquisitions.inversionTimes(node) is None


def frame(shape=(1, 4, 5), geometry=OBLIQUE):
    volume = slicer.vtkMRMLScalarVolumeNode()
    setVolumeArray(volume, np.ones(shape, np.float32), geometry)
    return volume


def test_frames_of_different_size_or_position_are_an_error():
    moved = Geometry((0.0, 0.0, 0.0), OBLIQUE.spacing, OBLIQUE.direction)
    for other in (frame((1, 4, 6)), frame(geometry=moved)):
        with pytest.raises(InputError, match="Image 2 of Sequence differs in size or position"):
            acquisitions.acquisitionImages(sequenceOf([frame(), other]))


def test_sequence_of_stacks_is_an_error():
    with pytest.raises(InputError, match="3 slices each"):
        acquisitions.acquisitionImages(sequenceOf([frame((3, 4, 5))]))


def test_sequence_of_something_else_is_an_error():
    with pytest.raises(InputError, match="not a sequence of images"):
        acquisitions.acquisitionImages(sequenceOf([slicer.vtkMRMLTextNode()]))


def test_empty_sequence_and_label_map_are_errors():
    with pytest.raises(InputError, match="is empty"):
        acquisitions.acquisitionImages(sequenceOf([]))
    with pytest.raises(InputError, match="is a label map"):
        acquisitions.acquisitionImages(volumeNode(np.ones((1, 2, 2), np.uint8), className="vtkMRMLLabelMapVolumeNode"))


@pytest.mark.parametrize(
    "shape, spacing, last",
    [
        ((9, 10, 12), (1.5, 1.25, 8.0), True),
        ((9, 10, 12), (1.5, 1.5, 1.5), True),
        ((1, 10, 12), (1.5, 1.5, 8.0), True),
        ((12, 10, 9), (8.0, 1.5, 1.25), False),
        ((10, 9, 12), (1.5, 8.0, 1.25), False),
        ((10, 12, 1), (8.0, 1.5, 1.25), False),
    ],
)
def test_a_volume_that_another_program_turned_is_told(shape, spacing, last):
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "stack")
    setVolumeArray(volume, np.zeros(shape, np.float32), Geometry(spacing=spacing))
    if last:
        checkSlicesLast(volume)
    else:
        with pytest.raises(InputError, match="axes of stack were turned by another program"):
            checkSlicesLast(volume)
