"""The DICOM plugin: what it offers, how sure it is, and the nodes it loads."""

from pathlib import Path

import numpy as np
import pytest
import slicer
from dicom_builder import SHMOLLI_TIMES, Exam, along_axis, image

from CMRLib.scene import acquisitions
from CMRLib.scene.volumes import volumeArray, volumeGeometry

MODULE = Path(__file__).resolve().parents[2] / "CMRT1MappingDICOMPlugin.py"
HIGHEST_OF_SLICERS_OWN = 1.05  # rotational cine in DICOMImageSequencePlugin


@pytest.fixture
def plugin(host):
    host.loadModule(MODULE)
    return slicer.modules.dicomPlugins["CMRT1MappingDICOMPlugin"]()


@pytest.fixture
def exam(tmp_path):
    return Exam(tmp_path)


def strings(files):
    return [str(file) for file in files]


def examined(plugin, *series):
    return plugin.examineForImport([strings(files) for files in series])


def only(plugin, *series):
    (loadable,) = examined(plugin, *series)
    return loadable


def test_the_module_is_hidden_and_registers_the_plugin(plugin):
    assert plugin.loadType == "Inversion-recovery images"


def test_magnitude_and_phase_are_one_loadable(plugin, exam):
    magnitude, phase = exam.irw(), exam.phase()
    loadable = only(plugin, phase, magnitude)
    assert loadable.files == strings([*magnitude, *phase])
    assert loadable.name == "1: ShMOLLI_192i rest mid"
    assert "100, 1100, 2100, 3100, 4100, 180, 260 ms" in loadable.tooltip
    assert "magnitude and phase" in loadable.tooltip
    assert loadable.warning == ""
    assert loadable.selected
    assert loadable.confidence > HIGHEST_OF_SLICERS_OWN


def test_each_slice_and_state_is_a_loadable(plugin, exam):
    series = [
        exam.irw(f"ShMOLLI_{state}", minutes=minutes, ImagePositionPatient=along_axis(position))
        for state, minutes in (("rest", 0), ("stress", 20))
        for position in (0.0, 15.0, 30.0)
    ]
    names = [loadable.name.split(": ")[1] for loadable in examined(plugin, *series)]
    assert names == [f"ShMOLLI_{s} {s} {n}" for s in ("rest", "stress") for n in ("basal", "mid", "apical")]


def test_other_images_are_left_to_other_plugins(plugin, exam):
    maps = [exam.single("ShMOLLI_T1MAP")]
    cine = exam.stack("cine_sax", [0.0], frames=8)
    report = [exam.single("report", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.22", Modality="SR")]
    assert examined(plugin, maps, cine, report) == []
    assert examined(plugin) == []


def test_the_second_look_at_the_same_files_reads_none(plugin, exam):
    files = exam.irw()
    first = only(plugin, files)
    for file in files:
        file.rename(file.with_suffix(".moved"))
    slicer.dicomDatabase.fileValue = lambda *_: pytest.fail("the database was asked again")
    try:
        assert only(plugin, files) is first
    finally:
        del slicer.dicomDatabase.fileValue


def test_loads_a_sequence_with_its_times_phase_and_volume(plugin, exam):
    loadable = only(plugin, exam.irw(MagneticFieldStrength=3.0), exam.phase())
    assert plugin.load(loadable)
    (node,) = [n for n in slicer.util.getNodesByClass("vtkMRMLSequenceNode") if acquisitions.phaseOf(n)]
    assert node.GetName() == loadable.name
    assert (node.GetIndexName(), node.GetIndexUnit()) == ("InversionTime", "ms")
    assert acquisitions.inversionTimes(node) == SHMOLLI_TIMES
    images, geometry = acquisitions.acquisitionImages(node)
    np.testing.assert_array_equal(images, [image(i) for i in range(7)])
    assert geometry.is_close(loadable.series.geometry)
    phase, _ = acquisitions.acquisitionImages(acquisitions.phaseOf(node))
    np.testing.assert_allclose(phase, [image(100 + i, high=4096) * np.pi / 2048 - np.pi for i in range(7)], atol=1e-5)
    attributes = [node.GetAttribute(f"CMR.{name}") for name in ("Scheme", "State", "Slice", "FieldStrength")]
    assert attributes == ["shmolli", "rest", "mid", "3"]


def test_the_images_can_be_browsed(plugin, exam):
    assert plugin.load(only(plugin, exam.irw()))
    assert slicer.modules.sequences.toolBarVisible


def test_the_volume_is_shown_and_filed_under_its_study(plugin, exam):
    assert plugin.load(only(plugin, exam.irw(StudyDescription="Heart")))
    (node,) = slicer.util.getNodesByClass("vtkMRMLSequenceNode")
    volume = acquisitions.shownVolume(node)
    assert volume.GetDisplayNode() is not None
    composites = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    assert composites and {c.GetBackgroundVolumeID() for c in composites} == {volume.GetID()}
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    study = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(volume))
    assert hierarchy.GetItemName(study).startswith("Heart")


def test_without_times_a_volume_of_frames_is_loaded_for_the_panel_to_ask(plugin, exam):
    loadable = only(plugin, exam.irw(times=[None] * 7), exam.phase(times=[None] * 7))
    assert "inversion times cannot be read" in loadable.warning
    assert plugin.load(loadable)
    volume = slicer.util.getNode(loadable.name)
    assert volume.IsA("vtkMRMLScalarVolumeNode")
    assert acquisitions.inversionTimes(volume) is None
    assert acquisitions.numberOfFrames(volume) == 7
    assert volumeGeometry(volume).is_close(loadable.series.geometry)
    np.testing.assert_array_equal(volumeArray(volume), [image(i) for i in range(7)])
    assert acquisitions.numberOfFrames(acquisitions.phaseOf(volume)) == 7
    assert volume.GetAttribute("CMR.Scheme") == "shmolli"


def test_a_loadable_without_its_series_is_read_again(plugin, exam, host):
    """As after the DICOM module has copied the loadable into its own class."""
    loadable = only(plugin, exam.irw(), exam.phase())
    del loadable.series
    assert plugin.load(loadable)
    loadable.files = strings([*exam.irw(minutes=1), *exam.irw(minutes=2)])
    assert not plugin.load(loadable)
    (message,) = host.takeMessages()
    assert "not those of one acquisition" in message.text


@pytest.mark.real_data
def test_the_real_phantom_is_one_loadable(plugin, real_data):
    folder = real_data / "shmolli-phantom"
    if not folder.is_dir():
        pytest.skip(f"THE SHMOLLI PHANTOM IS MISSING: no folder {folder}")
    loadable = only(plugin, *(sorted(series.iterdir()) for series in sorted(folder.iterdir())))
    assert len(loadable.files) == 14
    assert plugin.load(loadable)
    (node,) = [n for n in slicer.util.getNodesByClass("vtkMRMLSequenceNode") if acquisitions.phaseOf(n)]
    assert acquisitions.inversionTimes(node) == SHMOLLI_TIMES
    assert acquisitions.acquisitionImages(node)[0].shape == (7, 288, 384)


def test_files_that_cannot_be_read_leave_the_scene_alone(plugin, exam, host):
    files = exam.irw()
    loadable = only(plugin, files)
    files[3].write_bytes(files[3].read_bytes()[:-100])
    before = slicer.mrmlScene.GetNumberOfNodes()
    assert not plugin.load(loadable)
    assert slicer.mrmlScene.GetNumberOfNodes() == before
    (message,) = host.takeMessages()
    assert "Image 4 of 7 is cut short or damaged" in message.text
