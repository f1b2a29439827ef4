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


def test_the_volume_is_shown_and_filed_under_its_study(host, plugin, exam):
    assert plugin.load(only(plugin, exam.irw(StudyDescription="Heart")))
    (node,) = slicer.util.getNodesByClass("vtkMRMLSequenceNode")
    volume = acquisitions.shownVolume(node)
    assert volume.GetDisplayNode() is not None
    composites = host.sliceComposites()
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


SASHA_TIMES = (10000.0, 120.0, 220.0, 320.0, 420.0, 520.0, 620.0)


def test_an_acquisition_that_cannot_be_mapped_is_listed_with_the_reason(plugin, exam, host):
    files = exam.irw("T1map_SASHA_sax", SASHA_TIMES)
    loadable = only(plugin, files)
    assert loadable.name == "series 1 T1map_SASHA_sax (7 images), not usable for T1 mapping"
    assert loadable.warning.startswith("Saturation recovery") and loadable.tooltip == loadable.warning
    assert not loadable.selected and loadable.confidence < 0.1
    assert not plugin.load(loadable)
    (message,) = host.takeMessages()
    assert "Saturation recovery" in message.text


def test_remedies_are_those_that_there_are_in_slicer(plugin, exam):
    loadable = only(plugin, exam.irw(times=[100.0 * 2**i for i in range(7)]))
    assert "not those of ShMOLLI" in loadable.warning and "study.json" not in loadable.warning
    assert "enter their inversion times in the module CMR T1 Mapping" in loadable.warning


def test_no_warning_speaks_of_files_for_the_batch(plugin, exam):
    found = examined(plugin, exam.irw(), exam.irw(), exam.phase())
    assert len(found) == 2
    assert all("fit several magnitude acquisitions" in loadable.warning for loadable in found)
    assert all("study.json" not in loadable.warning for loadable in found)


def test_what_is_missing_of_a_series_is_in_its_warning(plugin, exam):
    files = exam.irw("MOLLI")
    files[2].write_bytes(files[2].read_bytes()[:-40])
    loadable = only(plugin, files)
    assert len(loadable.files) == 6
    assert loadable.warning.startswith("series 1 MOLLI (1 image): It is cut short")


def test_a_phase_that_is_not_used_is_in_the_warning_of_the_magnitude(plugin, exam):
    magnitude, phase = exam.irw(), exam.phase(RescaleSlope=3.0)
    loadable = only(plugin, magnitude, phase)
    assert len(loadable.files) == 7 and loadable.selected
    assert loadable.warning.startswith("series 2 ShMOLLI_192i (7 images): Phase images whose header does not tell")


def test_a_phase_without_its_magnitude_is_listed_with_the_reason(plugin, exam):
    loadable = only(plugin, exam.phase())
    assert "without the magnitude images" in loadable.warning and not loadable.selected


def test_a_series_whose_files_are_all_unusable_is_listed_once(plugin, exam):
    loadable = only(plugin, exam.irw(PixelSpacing=None))
    assert "Pixel Spacing" in loadable.warning and not loadable.selected


def test_items_of_one_name_are_numbered(plugin, exam):
    header = exam.header("ShMOLLI")
    files = [
        exam.write(header, image(7 * n + i), 7 * n + i + 1, 60.0 * n + i, InversionTime=time)
        for n in range(2)
        for i, time in enumerate(SHMOLLI_TIMES)
    ]
    assert [loadable.name for loadable in examined(plugin, files)] == [
        "1: ShMOLLI rest mid (1)",
        "1: ShMOLLI rest mid (2)",
    ]


def test_corrected_and_original_images_are_told_apart(plugin, exam):
    names = [
        loadable.name
        for loadable in examined(
            plugin, exam.irw("MOLLI"), exam.irw("MOLLI_MOCO", ImageType=["DERIVED", "PRIMARY", "M", "ND", "MOCO"])
        )
    ]
    assert names == ["1: MOLLI rest mid", "2: MOLLI_MOCO rest mid"]


@pytest.mark.parametrize("times", [(50.0, 400.0, 1100.0, 2500.0), [None] * 7])
def test_an_unknown_scheme_does_not_open_as_shmolli(plugin, exam, host, times):
    loadable = only(plugin, exam.irw("IRW", times, [float(i) for i in range(len(times))]))
    assert plugin.load(loadable)
    panel = host.loadModule(MODULE.with_name("CMRT1Mapping.py"))
    node = acquisitions.acquisitionOf(slicer.util.getNode(loadable.name))
    host.setNode(panel.ui.inputSelector, node)
    assert panel.ui.schemeComboBox.currentText == "Other"


def test_images_of_one_time_per_series_are_one_item(plugin, exam):
    series = []
    for i, time in enumerate(SHMOLLI_TIMES):
        header = exam.header("T1map_ShMOLLI")
        series.append([exam.write(header, image(i), 1, 0.9 * i, InversionTime=time)])
    loadable = only(plugin, *series)
    assert len(loadable.files) == 7 and loadable.selected
    assert plugin.load(loadable)


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
