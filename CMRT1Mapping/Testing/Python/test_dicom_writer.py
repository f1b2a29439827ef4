"""Simulated studies as DICOM: the layout of a real scan, repeatable bytes, and reading back."""

import os
from pathlib import Path

import numpy as np
import pydicom
import pytest

from CMRLib.errors import OutputError
from CMRLib.simulation import dicom_writer, simulate_phantom, simulate_study
from CMRLib.simulation.dicom_writer import write_dicom_study
from CMRLib.study.reading import read_study

LIKE_A_SCANNER = (
    "ImageType",
    "ScanningSequence",
    "SequenceVariant",
    "MRAcquisitionType",
    "FlipAngle",
    "EchoTime",
    "SliceThickness",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PatientPosition",
    "BodyPartExamined",
    "ImagedNucleus",
)
SMALL = {"shape": (96, 128), "spacing_mm": 2.8125}


@pytest.fixture(scope="module")
def study():
    return simulate_study(8, states=("rest", "stress", "post"), **SMALL)


@pytest.fixture(scope="module")
def files(study, tmp_path_factory):
    return write_dicom_study(study, tmp_path_factory.mktemp("study") / "dicom")


def test_files_and_identifiers(study, files):
    assert len(files) == 9 * 2 * 7 and all(path.is_file() for path in files)
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in files]
    assert len({h.SOPInstanceUID for h in headers}) == len(files)
    assert len({h.SeriesInstanceUID for h in headers}) == 18
    assert len({h.StudyInstanceUID for h in headers}) == 1
    for header in headers:
        assert header.SOPInstanceUID.startswith("2.25.") and header.SOPInstanceUID.is_valid
        assert header.file_meta.MediaStorageSOPInstanceUID == header.SOPInstanceUID
    assert str(headers[0].PatientName) == "Simulated^SIM0008"


def test_times_follow_the_heart_beats(study, files):
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in files[:7]]

    def seconds(text):
        return int(text[:2]) * 3600 + int(text[2:4]) * 60 + float(text[4:])

    taken = np.array([seconds(h.AcquisitionTime) for h in headers])
    assert np.diff(taken) == pytest.approx(np.diff(study.acquisitions[0].schedule.image_at_ms) / 1000.0)
    assert [float(h.InversionTime) for h in headers] == [100, 1000, 1900, 2800, 3700, 180, 260]
    assert headers[1].ImageComments == "TIeff 1000 ms"
    assert headers[0].NominalInterval == 900


def test_the_study_reads_back(study, files):
    read = read_study(files[0].parents[1])
    assert read.unrecognised == ()
    assert len(read.series) == 9
    written = {(a.state, a.slice): a for a in study.acquisitions}
    assert {(s.state, s.slice) for s in read.series} == set(written)
    stored_per_unit = None
    for series in read.series:
        simulated = written[series.state, series.slice]
        assert series.role == "irw" and series.scheme == "shmolli"
        assert series.inversion_times_ms == pytest.approx(simulated.inversion_times_ms)
        assert series.geometry.is_close(simulated.geometry)
        loaded = series.load()
        scale = float((loaded.images * simulated.images).sum() / (simulated.images**2).sum())
        # One factor for the whole study, and half a stored unit of rounding.
        stored_per_unit = stored_per_unit or scale
        assert scale == pytest.approx(stored_per_unit, rel=1e-3)
        assert np.abs(loaded.images - scale * simulated.images).max() < 0.6 + 1e-3 * loaded.images.max()
        turn = np.angle(np.exp(1j * (loaded.phase - simulated.phase)))
        assert np.abs(turn).max() <= np.pi / 4096 + 1e-5


@pytest.mark.parametrize("pattern", ["molli", "5(3s)3", "4(1)3(1)2"])
def test_other_schemes_read_back(tmp_path, pattern):
    study = simulate_study(1, slices=("mid",), scheme=pattern, **SMALL)
    write_dicom_study(study, tmp_path / "out")
    (series,) = read_study(tmp_path / "out").series
    assert series.scheme == "molli"
    assert series.inversion_times_ms == pytest.approx(study.acquisitions[0].inversion_times_ms)


def test_the_phantom_reads_back(tmp_path):
    write_dicom_study(simulate_phantom(0, **SMALL), tmp_path / "out")
    (series,) = read_study(tmp_path / "out").series
    assert series.role == "irw" and series.shape == (7, 96, 128)


def test_same_study_same_bytes(study, files, tmp_path):
    again = write_dicom_study(simulate_study(8, states=("rest", "stress", "post"), **SMALL), tmp_path / "again")
    assert [p.name for p in again] == [p.name for p in files]
    assert all(first.read_bytes() == second.read_bytes() for first, second in zip(files, again, strict=True))


def test_other_content_has_other_identifiers(files, tmp_path):
    other = write_dicom_study(simulate_study(8, slices=("basal",), snr=30.0, **SMALL), tmp_path / "other")
    first, second = (pydicom.dcmread(p[0], stop_before_pixels=True) for p in (files, other))
    assert first.StudyInstanceUID != second.StudyInstanceUID and first.SOPInstanceUID != second.SOPInstanceUID


def test_pixels_have_twelve_bits(files):
    for path in (files[0], files[7]):
        image = pydicom.dcmread(path)
        assert (image.BitsStored, image.HighBit, image.PixelRepresentation) == (12, 11, 0)
        assert image.pixel_array.max() <= 4095 and image.pixel_array.max() == image.LargestImagePixelValue
    phase = pydicom.dcmread(files[7])
    assert (float(phase.RescaleSlope), float(phase.RescaleIntercept)) == (2.0, -4096.0)
    assert phase.ImageType[2] == "P" and phase.pixel_array.max() > 4000


def test_an_empty_folder_is_used_and_a_full_one_is_not(tmp_path):
    study = simulate_phantom(0, **SMALL)
    (tmp_path / "empty").mkdir()
    assert len(write_dicom_study(study, tmp_path / "empty")) == 14
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep")
    with pytest.raises(OutputError, match="not an empty folder"):
        write_dicom_study(study, tmp_path / "full")
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["mine.txt"]


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows has other permissions")
def test_a_folder_without_permission_is_an_error(tmp_path):
    study, user = simulate_phantom(0, **SMALL), os.geteuid()
    tmp_path.chmod(0o500)
    try:
        if user == 0:
            os.seteuid(65534)  # root may write anywhere
        with pytest.raises(OutputError, match="cannot be written"):
            write_dicom_study(study, tmp_path / "out")
    finally:
        os.seteuid(user)
        tmp_path.chmod(0o700)


def test_a_path_below_a_file_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_dicom_study(simulate_phantom(0, **SMALL), tmp_path / "file" / "out")


def test_a_failure_half_way_leaves_nothing(tmp_path, monkeypatch):
    save, saved = dicom_writer._save, []

    def fails(data, path):
        if len(saved) == 5:
            raise OSError(28, "No space left on device")
        saved.append(path)
        save(data, path)

    monkeypatch.setattr(dicom_writer, "_save", fails)
    with pytest.raises(OutputError, match="free space"):
        write_dicom_study(simulate_phantom(0, **SMALL), tmp_path / "out")
    assert len(saved) == 5 and list(tmp_path.iterdir()) == []


@pytest.mark.real_data
def test_layout_is_that_of_a_real_scan(real_data, files):
    for real_series, written in (("_12", files[0]), ("_13", files[7])):
        real = pydicom.dcmread(
            next(Path(real_data, "shmolli-phantom").glob(f"*{real_series}/*")), stop_before_pixels=True
        )
        ours = pydicom.dcmread(written, stop_before_pixels=True)
        assert ours.SOPClassUID == real.SOPClassUID
        assert ours.file_meta.TransferSyntaxUID == real.file_meta.TransferSyntaxUID
        for name in LIKE_A_SCANNER:
            assert ours[name].value == real[name].value, name
        for name in ("RescaleSlope", "RescaleIntercept", "RescaleType"):
            assert ours.get(name) == real.get(name), name
        for name in ("InversionTime", "ImageComments", "TriggerTime", "AcquisitionTime", "SeriesDescription"):
            assert name in ours and name in real
