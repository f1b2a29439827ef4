"""Which images are one: copies, shared identifiers, one series per image, and the phase of two magnitudes."""

import shutil

import numpy as np
import pytest
from dicom_builder import SHMOLLI_SECONDS, SHMOLLI_TIMES, Exam, along_axis, image

from CMRLib.study.reading import read_study

TIMES = (120.0, 1020.0, 1920.0, 2820.0, 3720.0, 200.0, 1100.0, 1980.0)


@pytest.fixture
def exam(tmp_path):
    return Exam(tmp_path)


def singles(exam, name="T1map_MOLLI_sax", times=TIMES, every_s=0.9, positions=(0.0,), tag=True, **header):
    """One series for each inversion time; ``name`` may hold the time."""
    for i, time in enumerate(times):
        shared = exam.header(name.format(time=f"{time:g}"), **header)
        for k, position in enumerate(positions):
            own = {"InversionTime": time} if tag else {}
            seconds = every_s * i + 60.0 * k
            exam.write(shared, image(10 * k + i), k + 1, seconds, ImagePositionPatient=along_axis(position), **own)


def roles(study):
    return [series.role for series in study.series]


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"name": "MOLLI TI {time}"},
        {"name": "IR_TSE_TI{time}", "times": (50.0, 400.0, 1100.0, 2500.0), "every_s": 180.0},
        {"SeriesNumber": 4},
    ],
    ids=["same name", "time in the name", "minutes apart", "same number"],
)
def test_images_that_each_came_as_a_series_are_one_acquisition(exam, tmp_path, arguments):
    singles(exam, **arguments)
    study = read_study(tmp_path)
    assert study.unrecognised == ()
    (series,) = study.series
    times = arguments.get("times", TIMES)
    assert (series.role, series.inversion_times_ms) == ("irw", times)
    np.testing.assert_array_equal(series.load().images, [image(i) for i in range(len(times))])


def test_slices_of_one_time_per_series_are_one_acquisition_each(exam, tmp_path):
    singles(exam, positions=(0.0, 12.0, 24.0))
    series = read_study(tmp_path).series
    assert [item.key for item in series] == ["irw_rest_basal", "irw_rest_mid", "irw_rest_apical"]
    assert [item.inversion_times_ms for item in series] == [TIMES] * 3
    np.testing.assert_array_equal(series[1].load().images, [image(10 + i) for i in range(8)])


def test_images_a_beat_apart_without_times_are_one_acquisition_too(exam, tmp_path):
    singles(exam, tag=False)
    (series,) = read_study(tmp_path).series
    assert (series.role, series.inversion_times_ms, series.shape[0]) == ("irw", None, 8)


def test_phase_that_came_in_single_series_is_joined_to_its_magnitude(exam, tmp_path):
    singles(exam)
    singles(exam, ImageType=["ORIGINAL", "PRIMARY", "P"], RescaleSlope=2.0, RescaleIntercept=-4096.0)
    (series,) = read_study(tmp_path).series
    assert len(series.phase_files) == 8


def test_too_few_images_that_are_called_maps_are_no_maps(exam, tmp_path):
    singles(exam, times=TIMES[:2])
    study = read_study(tmp_path)
    assert study.series == ()
    assert {item.lost_role for item in study.unrecognised} == {"irw"}
    assert all("image of one inversion time" in item.reason for item in study.unrecognised)


def test_maps_that_kept_an_inversion_time_are_maps(exam, tmp_path):
    for minutes in range(0, 40, 10):
        exam.single("T1map_MOLLI", minutes, ImageType=["DERIVED", "PRIMARY", "T1"], InversionTime=120.0)
    assert set(roles(read_study(tmp_path))) <= {"t1"}
    assert "t1" in roles(read_study(tmp_path))


def test_late_enhancement_repeated_at_another_time_is_not_joined(exam, tmp_path):
    singles(exam, "LGE_sax", times=(280.0, 290.0, 300.0, 310.0), every_s=120.0)
    assert roles(read_study(tmp_path)) == ["lge"] * 4


def test_one_identifier_for_all_images_makes_no_copies(exam, tmp_path):
    header = exam.header("MOLLI")
    for i, time in enumerate(TIMES):
        exam.write(header, image(i), i + 1, 0.9 * i, InversionTime=time, SOPInstanceUID="1.2.3")
    (series,) = read_study(tmp_path).series
    np.testing.assert_array_equal(series.load().images, [image(i) for i in range(8)])


def test_one_identifier_without_times_makes_no_copies(exam, tmp_path):
    header = exam.header("ShMOLLI")
    for i in range(7):
        exam.write(header, image(i), i + 1, SHMOLLI_SECONDS[i], SOPInstanceUID="1.2.3")
    (series,) = read_study(tmp_path).series
    assert series.shape[0] == 7


def test_copies_are_left_out(exam, tmp_path):
    for file in exam.irw():
        shutil.copy(file, file.with_name(f"copy-{file.name}"))
    study = read_study(tmp_path)
    assert [series.inversion_times_ms for series in study.series] == [SHMOLLI_TIMES]
    assert {(item.reason, item.lost_role) for item in study.unrecognised} == {
        ("A copy of an image that was read already.", "")
    }


def test_one_series_identifier_for_all_series_mixes_nothing(exam, tmp_path):
    exam.irw(SeriesInstanceUID="1.2.3")
    exam.phase(SeriesInstanceUID="1.2.3")
    exam.single("ShMOLLI_T1MAP", SeriesInstanceUID="1.2.3")
    study = read_study(tmp_path)
    assert study.unrecognised == ()
    assert roles(study) == ["irw", "t1"] and len(study.series[0].phase_files) == 7


PHASE = {"RescaleSlope": 2.0, "RescaleIntercept": -4096.0}


def processed(component, *words):
    return {"ImageType": ["ORIGINAL", "PRIMARY", component, *words]}


def test_the_phase_belongs_to_the_original_beside_the_corrected_series(exam, tmp_path):
    exam.irw("MOLLI_sax", **processed("M", "ND"))
    exam.phase("MOLLI_sax", **processed("P", "ND"))
    exam.irw("MOLLI_sax_MOCO", ImageType=["DERIVED", "PRIMARY", "M", "ND", "MOCO"])
    study = read_study(tmp_path)
    assert study.unrecognised == ()
    told = [(item.series_number, item.description, len(item.phase_files)) for item in study.series]
    assert told == [(1, "MOLLI_sax", 7), (3, "MOLLI_sax_MOCO", 0)]


def test_the_phase_of_the_original_is_not_given_to_the_corrected_series_alone(exam, tmp_path):
    exam.phase("MOLLI_sax", **processed("P", "ND"))
    exam.irw("MOLLI_sax", ImageType=["DERIVED", "PRIMARY", "M", "ND", "MOCO"])
    study = read_study(tmp_path)
    assert [item.phase_files for item in study.series] == [()]
    (entry,) = study.unrecognised
    assert "without the magnitude images they belong to" in entry.reason and entry.lost_role == "phase"


def test_each_reconstruction_has_its_own_phase(exam, tmp_path):
    exam.irw("MOLLI_sax", **processed("M", "ND"))
    exam.irw("MOLLI_sax", **processed("M", "DIS2D"))
    second = exam.phase("MOLLI_sax", **processed("P", "DIS2D"))
    first = exam.phase("MOLLI_sax", **processed("P", "ND"))
    study = read_study(tmp_path)
    assert [item.phase_files for item in study.series] == [tuple(first), tuple(second)]
