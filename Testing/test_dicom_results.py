"""``cmr-batch --dicom``: what is written, read back by other programs to the same numbers."""

import json
import runpy
import shutil
import sys
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813 (the name its users know)
from batch_studies import write_study as write_nrrd_study
from dicom_tools import errors_of, is_placed, read_by_dcmqi

from CMRLib.anatomy.aha import SEGMENTS
from CMRLib.export.dicom.maps import NO_VALUE, as_whole_numbers
from CMRLib.files.images import read_image
from CMRLib.simulation import simulate_study
from CMRLib.simulation.dicom_writer import write_dicom_study

SCRIPT = Path(__file__).resolve().parents[1] / "Resources" / "Scripts" / "cmr_batch.py"
SLICES = ("basal", "mid")
STEPS = ("--steps", "t1,landmarks")
FAST = ("--no-motion-correction", "--device", "cpu")


@pytest.fixture(scope="module")
def cmr_batch():
    main = runpy.run_path(str(SCRIPT))["main"]
    return lambda study, output, *more: main(["--input", str(study), "--output", str(output), *FAST, *more])


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A simulated study of two slices as DICOM, of a patient with a name in another script."""
    folder = tmp_path_factory.mktemp("study") / "in"
    for file in write_dicom_study(simulate_study(8, slices=SLICES, shape=(48, 56), snr=60.0), folder):
        header = pydicom.dcmread(file)
        header.SpecificCharacterSet = "ISO_IR 192"
        header.PatientName, header.PatientID, header.PatientBirthDate = "Müller^Änne", "MRN-4711", "19511224"
        header.save_as(file)
    return folder


@pytest.fixture(scope="module")
def output(cmr_batch, study, tmp_path_factory):
    """The results of the real command."""
    output = tmp_path_factory.mktemp("results") / "out"
    assert cmr_batch(study, output, "--dicom", *STEPS) == 0
    (folder,) = [path for path in output.iterdir() if path.is_dir()]
    return folder


@pytest.fixture(scope="module")
def results(output):
    return json.loads((output / "results.json").read_text(encoding="utf-8"))


def files_of(results, kind, name=""):
    found = [entry["file"] for entry in results["dicom"] if entry["kind"] == kind and name in ("", entry["name"])]
    assert found, f"no {kind} {name}"
    return found


def written_map(output, results, index, name):
    """A map as NRRD, (slice, row, column), with its geometry."""
    return read_image(output / results["t1"][index][f"{name}_file"])


def test_the_results_name_every_file(output, results):
    named = {entry["file"] for entry in results["dicom"]}
    assert named == {path.relative_to(output).as_posix() for path in (output / "dicom").iterdir()}
    assert len(files_of(results, "parametric map")) == len(files_of(results, "image")) == 4
    for entry in results["dicom"]:
        header = pydicom.dcmread(output / entry["file"])
        assert header.SOPInstanceUID == header.file_meta.MediaStorageSOPInstanceUID == entry["sop_instance_uid"]
        assert (header.SOPClassUID, header.SeriesInstanceUID) == (entry["sop_class_uid"], entry["series_instance_uid"])


def test_every_file_conforms(output, results):
    assert {entry["file"]: errors_of(output / entry["file"]) for entry in results["dicom"]} == {
        entry["file"]: [] for entry in results["dicom"]
    }


def test_every_file_carries_patient_study_and_place(output, results, study):
    source = pydicom.dcmread(next(study.rglob("*.dcm")))
    for entry in results["dicom"]:
        header = pydicom.dcmread(output / entry["file"])
        for keyword in ("PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate", "StudyID"):
            assert header[keyword].value == source[keyword].value, (entry["file"], keyword)
        assert str(header.PatientName) == "Müller^Änne" and header.ContentDate == "20200101"
        if entry["kind"] != "report":
            assert header.FrameOfReferenceUID == source.FrameOfReferenceUID
        assert header.SeriesInstanceUID != source.SeriesInstanceUID


def test_maps_name_their_source_images(output, results, study):
    sources = {}
    for path in study.rglob("*.dcm"):
        header = pydicom.dcmread(path, stop_before_pixels=True)
        sources[header.SOPInstanceUID] = header
    for file in files_of(results, "parametric map"):
        header = pydicom.dcmread(output / file)
        (item,) = header.PerFrameFunctionalGroupsSequence
        named = {one.ReferencedSOPInstanceUID for one in item.DerivationImageSequence[0].SourceImageSequence}
        assert len(named) == 14 and {sources[uid].SeriesDescription[-4:].strip("_") for uid in named} <= {"asal", "mid"}
        by_series = {
            one.ReferencedSOPInstanceUID: series.SeriesInstanceUID
            for series in header.ReferencedSeriesSequence
            for one in series.ReferencedInstanceSequence
        }
        assert by_series == {uid: sources[uid].SeriesInstanceUID for uid in named}
    for file in files_of(results, "image"):
        assert len(pydicom.dcmread(output / file).SourceImageSequence) == 14


@pytest.mark.parametrize("name", ["t1", "r2"])
def test_parametric_maps_are_read_back_to_the_same_numbers(output, results, tmp_path, name):
    for index, file in enumerate(files_of(results, "parametric map", name)):
        expected, geometry = written_map(output, results, index, name)
        read = highdicom.imread(output / file)
        assert np.array_equal(read.get_frames().reshape(expected.shape), expected)
        unit = read.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0].MeasurementUnitsCodeSequence[0]
        assert unit.CodeValue == {"t1": "ms", "r2": "1"}[name]

        images, described = read_by_dcmqi("paramap2itkimage", output / file, tmp_path / f"{name}{index}")
        (image,) = images.values()
        assert np.array_equal(sitk.GetArrayFromImage(image), expected) and is_placed(image, geometry)
        assert described["QuantityValueCode"]["CodeValue"] == {"t1": "113063", "r2": "126220"}[name]


@pytest.mark.parametrize(("name", "step"), [("t1", 0.1), ("r2", 0.0001)])
def test_plain_images_are_read_back_to_the_nearest_step(output, results, name, step):
    for index, file in enumerate(files_of(results, "image", name)):
        expected, geometry = written_map(output, results, index, name)
        image = sitk.ReadImage(str(output / file))
        assert np.abs(sitk.GetArrayFromImage(image) - expected).max() <= 0.51 * step and is_placed(image, geometry)
        header = pydicom.dcmread(output / file)
        assert header.RescaleType == {"t1": "ms", "r2": "US"}[name] and header.RescaleSlope == step
        assert header.WindowCenter + header.WindowWidth / 2 == {"t1": 2000, "r2": 1}[name]


def test_a_written_t1_image_is_a_t1_map_to_this_software(output, results, tmp_path):
    from CMRLib.study.reading import scan_files

    (series,), left_out = scan_files([output / files_of(results, "image", "t1")[0]])
    assert left_out == () and series.role == "t1"
    expected, geometry = written_map(output, results, 0, "t1")
    loaded = series.load()
    assert np.abs(loaded.images - expected).max() <= 0.06 and loaded.geometry.is_close(geometry)


@pytest.mark.slow
def test_all_steps_together_fill_the_report_with_the_sixteen_segments(cmr_batch, tmp_path):
    write_dicom_study(simulate_study(8, snr=60.0), tmp_path / "in")
    assert cmr_batch(tmp_path / "in", tmp_path / "out", "--dicom") == 0
    (folder,) = [path for path in (tmp_path / "out").iterdir() if path.is_dir()]
    results = json.loads((folder / "results.json").read_text())
    assert [errors_of(folder / entry["file"]) for entry in results["dicom"]] == [[]] * len(results["dicom"])
    assert len(files_of(results, "segmentation")) == 3
    (file,) = files_of(results, "report")
    measured = [
        (group.finding_sites[0].value.value, measurement.value)
        for group in highdicom.sr.srread(folder / file).content.get_image_measurement_groups()
        for measurement in group.get_measurements()
        if measurement.name.value == "113063"
    ]
    assert sorted(site for site, _ in measured) == sorted(segment.code for segment in SEGMENTS)
    assert all(500 < t1 < 1300 for _, t1 in measured)


def test_whole_numbers_hold_gaps_and_large_values():
    values = np.array([[[-12.5, np.nan, 3.26]]], dtype=np.float32)
    stored, slope, is_signed = as_whole_numbers(values, 0.1)
    assert (stored.tolist(), slope, is_signed, stored.dtype) == ([[[-125, NO_VALUE, 33]]], 0.1, True, np.int16)
    stored, slope, is_signed = as_whole_numbers(np.array([[[0.0, 30000.0]]], dtype=np.float32), 0.1)
    assert (stored.tolist(), slope, is_signed, stored.dtype) == ([[[0, 30000]]], 1.0, False, np.uint16)


def test_again_gives_the_same_bytes(cmr_batch, output, results, study, tmp_path):
    assert cmr_batch(study, tmp_path / "again", "--dicom", *STEPS) == 0
    for entry in results["dicom"]:
        again = tmp_path / "again" / output.name / entry["file"]
        assert again.read_bytes() == (output / entry["file"]).read_bytes(), entry["file"]


def test_other_settings_give_other_identifiers(cmr_batch, results, study, tmp_path):
    assert cmr_batch(study, tmp_path / "out", "--dicom", "--fit", "precise", "--steps", "t1") == 0
    (folder,) = [path for path in (tmp_path / "out").iterdir() if path.is_dir()]
    other = {entry["sop_instance_uid"] for entry in json.loads((folder / "results.json").read_text())["dicom"]}
    assert not other & {entry["sop_instance_uid"] for entry in results["dicom"]}


def test_only_what_is_missing_is_done_again(cmr_batch, tmp_path, capsys):
    study, output = write_nrrd_study(tmp_path / "in", "P001"), tmp_path / "out"
    arguments = ("--steps", "t1")
    assert cmr_batch(study, output, *arguments) == 0 and not (output / "P001" / "dicom").exists()
    assert cmr_batch(study, output, *arguments, "--dicom") == 0
    assert "1 done" in capsys.readouterr().out.splitlines()[-2]
    before = (output / "P001" / "results.json").stat().st_mtime_ns
    assert cmr_batch(study, output, *arguments, "--dicom") == 0
    assert "1 complete already" in capsys.readouterr().out
    (output / "P001" / "dicom" / "irw_rest_mid_t1_map.dcm").unlink()
    assert cmr_batch(study, output, *arguments, "--dicom") == 0
    assert (output / "P001" / "results.json").stat().st_mtime_ns > before
    # What an earlier run wrote is written again rather than lost.
    assert cmr_batch(study, output, *arguments, "--fit", "precise") == 0
    assert (output / "P001" / "dicom" / "irw_rest_mid_t1_map.dcm").is_file()


def test_other_files_than_dicom_get_identifiers_of_their_own(cmr_batch, tmp_path):
    study, output = write_nrrd_study(tmp_path / "in", "P001"), tmp_path / "out"
    assert cmr_batch(study, output, "--dicom", "--steps", "t1") == 0
    results = json.loads((output / "P001" / "results.json").read_text())
    (note,) = [note for note in results["notes"] if "DICOM" in note]
    assert note.startswith("The study's files are no DICOM, so its DICOM results carry the study's id as patient id")
    for entry in results["dicom"]:
        file = output / "P001" / entry["file"]
        header = pydicom.dcmread(file)
        assert (header.PatientID, str(header.PatientName)) == ("P001", "") and errors_of(file) == []
        assert "ReferencedSeriesSequence" not in header and "SourceImageSequence" not in header


def test_a_private_transfer_syntax_loses_its_own_slice_alone(cmr_batch, study, tmp_path, capsys):
    shutil.copytree(study, tmp_path / "in")
    broken = sorted((tmp_path / "in").rglob("*basal*M/*.dcm"))
    assert len(broken) == 7
    for file in broken:
        header = pydicom.dcmread(file)
        header.file_meta.TransferSyntaxUID = "1.2.840.113619.5.2"  # of General Electric
        header.save_as(file, implicit_vr=False, little_endian=True)
    assert cmr_batch(tmp_path / "in", tmp_path / "out", "--dicom", "--steps", "t1") == 1
    (sentence,) = capsys.readouterr().err.splitlines()
    assert "Image 1 of 7 is cut short or damaged; copy it from the scanner again." in sentence
    (folder,) = [path for path in (tmp_path / "out").iterdir() if path.is_dir()]
    results = json.loads((folder / "results.json").read_text())
    assert (results["status"], len(results["t1"]), len(results["dicom"])) == ("partial", 1, 5)
    assert [errors_of(folder / entry["file"]) for entry in results["dicom"]] == [[]] * 5


def test_absent_highdicom_is_one_sentence(cmr_batch, study, tmp_path, monkeypatch, capsys):
    for name in [name for name in sys.modules if name.split(".")[0] == "highdicom"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "highdicom", None)
    assert cmr_batch(study, tmp_path / "out", "--dicom") == 3
    (sentence,) = capsys.readouterr().err.splitlines()
    assert sentence.startswith("DICOM results need highdicom; install it with pip install 'cmr-mapping[dicom]', or use")
    assert not (tmp_path / "out").exists()
    assert cmr_batch(study, tmp_path / "out", "--steps", "t1") == 0
