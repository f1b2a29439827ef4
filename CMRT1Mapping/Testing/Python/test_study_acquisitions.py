"""Reading inversion-recovery acquisitions from DICOM files: grouping, inversion times, phase, what is refused."""

import random

import numpy as np
import pytest
from dicom_builder import SHMOLLI_SECONDS, SHMOLLI_TIMES, Exam, along_axis, image
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from CMRLib.errors import InputError
from CMRLib.study.dicom.files import find_dicom_files
from CMRLib.study.reading import read_study, scan_files

MOLLI_TIMES = (100.0, 1100.0, 2100.0, 3100.0, 4100.0, 180.0, 1180.0, 2180.0)
MOLLI_SECONDS = (0.0, 1.0, 2.0, 3.0, 4.0, 8.0, 9.0, 10.0)


@pytest.fixture
def exam(tmp_path):
    return Exam(tmp_path)


def only(study):
    """The single series of a study in which nothing was left out."""
    assert study.unrecognised == ()
    assert len(study.series) == 1
    return study.series[0]


def refused(study):
    """The single reason for leaving files out of a study without usable series."""
    assert study.series == ()
    assert len(study.unrecognised) == 1
    return study.unrecognised[0]


def test_seven_images_are_one_acquisition(exam, tmp_path):
    files = exam.irw()
    series = only(read_study(tmp_path))
    assert (series.role, series.state, series.slice, series.scheme) == ("irw", "rest", "mid", "shmolli")
    assert series.inversion_times_ms == SHMOLLI_TIMES
    assert series.files == tuple(files)
    assert series.key == "irw_rest_mid"
    loaded = series.load()
    assert loaded.phase is None
    assert loaded.images.dtype == np.float32
    np.testing.assert_array_equal(loaded.images, [image(i) for i in range(7)])


def test_geometry_is_the_files_own(exam, tmp_path):
    exam.irw(ImagePositionPatient=[-100.0, -50.0, 20.0], MagneticFieldStrength=1.5)
    series = only(read_study(tmp_path))
    assert series.field_strength_t == 1.5
    geometry = series.geometry
    assert geometry.origin == (-100.0, -50.0, 20.0)
    assert geometry.spacing == (1.25, 1.5, 8.0)  # PixelSpacing is (between rows, between columns)
    second_column = geometry.ijk_to_lps() @ [1, 0, 0, 1]
    assert second_column[:3] - geometry.origin == pytest.approx(1.25 * geometry.matrix[:, 0])


@pytest.fixture(scope="module")
def shuffled_exam(tmp_path_factory):
    """A ShMOLLI with phase in a second series, a second slice, a MOLLI and a map: files with their plain reading."""
    folder = tmp_path_factory.mktemp("shuffled")
    exam = Exam(folder)
    for position in (0.0, 30.0):
        exam.irw(ImagePositionPatient=along_axis(position), minutes=position)
        exam.phase(ImagePositionPatient=along_axis(position), minutes=position)
    exam.irw("MOLLI 5(3)3", MOLLI_TIMES, MOLLI_SECONDS, minutes=1.0)
    exam.single("MOLLI_T1MAP", minutes=1.2)
    files = find_dicom_files(folder)
    return files, scan_files(files)


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32))
def test_order_of_files_does_not_matter(shuffled_exam, seed):
    files, expected = shuffled_exam
    shuffled = list(files)
    random.Random(seed).shuffle(shuffled)
    assert scan_files(shuffled) == expected


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(14)))
def test_names_and_folders_of_files_do_not_matter(tmp_path_factory, order):
    folder = tmp_path_factory.mktemp("named")
    exam = Exam(folder)
    for file, number in zip([*exam.irw(), *exam.phase()], order, strict=True):
        new = folder / str(number % 3) / "deeper" / f"IM{number:04}"
        new.parent.mkdir(parents=True, exist_ok=True)
        file.rename(new)
    series = only(read_study(folder))
    assert series.inversion_times_ms == SHMOLLI_TIMES
    loaded = series.load()
    np.testing.assert_array_equal(loaded.images, [image(i) for i in range(7)])
    np.testing.assert_allclose(
        loaded.phase, [image(100 + i, high=4096) * np.pi / 2048 - np.pi for i in range(7)], atol=1e-5
    )


def test_phase_in_the_same_series(exam, tmp_path):
    header = exam.header("ShMOLLI")
    for i, time in enumerate(SHMOLLI_TIMES):
        exam.write(header, image(i), 2 * i + 1, SHMOLLI_SECONDS[i], InversionTime=time)
        exam.write(
            header,
            image(50 + i, high=4096),
            2 * i + 2,
            SHMOLLI_SECONDS[i],
            InversionTime=time,
            ImageType=["ORIGINAL", "PRIMARY", "P", "ND"],
        )
    series = only(read_study(tmp_path))
    assert len(series.files) == len(series.phase_files) == 7
    np.testing.assert_allclose(series.load().phase[3], image(53, high=4096) * 2 * np.pi / 4096, rtol=1e-6)


def test_phase_follows_the_order_of_the_magnitude(exam, tmp_path):
    """Phase images stored by inversion time, not by time of acquisition."""
    exam.irw()
    by_time = sorted(range(7), key=lambda i: SHMOLLI_TIMES[i])
    exam.phase(times=[SHMOLLI_TIMES[i] for i in by_time], seconds=None)
    phase = only(read_study(tmp_path)).load().phase
    for frame, stored in enumerate(np.argsort(by_time)):
        np.testing.assert_allclose(phase[frame], image(100 + stored, high=4096) * np.pi / 2048 - np.pi, atol=1e-5)


@pytest.mark.parametrize("comment, time", [("TIeff 180 ms", 180.0), ("mean of TI_eff: 180.5ms", 180.5)])
@pytest.mark.parametrize("form", ["{}", "TIeff={}", "shot; TIeff = {} ms; ok", "tieff{}ms", "TI eff 0.{:03d} s"])
def test_inversion_times_from_the_comments(exam, tmp_path, comment, time, form):
    times = [int(t) for t in SHMOLLI_TIMES]
    header = exam.header("ShMOLLI")
    for i, t in enumerate(times):
        text = comment.replace("180.5", str(t)).replace("180", str(t)) if form == "{}" else form.format(t)
        if "0." in form:
            text = f"TI eff {t / 1000:g} s"
        exam.write(header, image(i), i + 1, SHMOLLI_SECONDS[i], ImageComments=text)
    assert only(read_study(tmp_path)).inversion_times_ms == pytest.approx(times)


def test_inversion_time_tag_comes_before_the_comments(exam, tmp_path):
    header = exam.header("ShMOLLI")
    for i, time in enumerate(SHMOLLI_TIMES):
        exam.write(
            header, image(i), i + 1, SHMOLLI_SECONDS[i], InversionTime=time, ImageComments=f"TIeff {time + 5} ms"
        )
    assert only(read_study(tmp_path)).inversion_times_ms == SHMOLLI_TIMES


def test_one_time_for_all_images_is_a_protocol_parameter(exam, tmp_path):
    """A scanner that writes the first time into every image does not tell the times."""
    exam.irw(times=[100.0] * 7)
    assert only(read_study(tmp_path)).inversion_times_ms is None


@pytest.mark.parametrize("times", [[None] * 7, [0.0] * 7, [100.0, None, 2100.0, 3100.0, 4100.0, 180.0, 260.0]])
def test_missing_times_are_asked_for(exam, tmp_path, times):
    exam.irw(times=times)
    exam.phase(times=times)
    series = only(read_study(tmp_path))
    assert series.inversion_times_ms is None
    assert len(series.phase_files) == 7
    given = only(read_study(tmp_path, inversion_times_ms=SHMOLLI_TIMES))
    assert given.inversion_times_ms == SHMOLLI_TIMES
    np.testing.assert_array_equal(given.load().images[5], image(5))


@pytest.mark.parametrize(
    "times", [SHMOLLI_TIMES[:6], (*SHMOLLI_TIMES, 300.0), (100.0,) * 7, (-1.0, *SHMOLLI_TIMES[1:]), ()]
)
def test_times_given_must_fit(exam, tmp_path, times):
    exam.irw(times=[None] * 7)
    with pytest.raises(InputError, match="does not fit irw_rest_mid"):
        read_study(tmp_path, inversion_times_ms=times)


def test_times_given_leave_those_of_the_files(exam, tmp_path):
    exam.irw()
    assert only(read_study(tmp_path, inversion_times_ms=[1, 2, 3])).inversion_times_ms == SHMOLLI_TIMES


def test_scheme_is_told_from_the_times(exam, tmp_path):
    exam.irw("T1 5b")
    exam.irw("T1 5b3b", MOLLI_TIMES, MOLLI_SECONDS, minutes=3)
    exam.irw("T1 LL", [100.0 * n for n in range(1, 9)], [0.1 * n for n in range(8)], minutes=5)
    assert [series.scheme for series in read_study(tmp_path).series] == ["shmolli", "molli", "look-locker"]


@pytest.mark.parametrize("count, times", [(6, SHMOLLI_TIMES[:6]), (8, (*SHMOLLI_TIMES, 340.0))])
def test_shmolli_has_seven_images(exam, tmp_path, count, times):
    exam.irw(times=times, seconds=range(count))
    entry = refused(read_study(tmp_path))
    assert f"it has {count} images where ShMOLLI has 7" in entry.reason
    assert entry.what == f"series 1 ShMOLLI_192i ({count} images)"
    assert len(entry.files) == count


def test_duplicated_time(exam, tmp_path):
    exam.irw(times=(100.0, 1100.0, 1100.0, 3100.0, 4100.0, 180.0, 260.0))
    assert "the inversion time 1100 ms occurs 2 times" in refused(read_study(tmp_path)).reason


def test_copies_of_files_are_read_once(exam, tmp_path):
    files = exam.irw()
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "again.dcm").write_bytes(files[2].read_bytes())
    study = read_study(tmp_path)
    assert len(study.series[0].files) == 7
    assert [entry.reason for entry in study.unrecognised] == ["A copy of an image that was read already."]


def test_images_of_different_size(exam, tmp_path):
    header = exam.header("ShMOLLI")
    for i, time in enumerate(SHMOLLI_TIMES):
        exam.write(header, image(i, (12, 16) if i else (10, 16)), i + 1, float(i), InversionTime=time)
    assert "differ in size (10 x 16, 12 x 16)" in refused(read_study(tmp_path)).reason


def test_images_at_different_positions(exam, tmp_path):
    header = exam.header("MOLLI")
    for i, time in enumerate(MOLLI_TIMES):
        own = {"ImagePositionPatient": along_axis(0.0 if i != 3 else 9.0)}
        exam.write(header, image(i), i + 1, MOLLI_SECONDS[i], InversionTime=time, **own)
    assert "lie at 2 positions (7, 1 images)" in refused(read_study(tmp_path)).reason


def test_three_slices_in_one_series(exam, tmp_path):
    header = exam.header("MOLLI")
    for position, slice_seconds in ((40.0, 0.0), (0.0, 20.0), (20.0, 40.0)):
        for i, time in enumerate(MOLLI_TIMES):
            own = {"ImagePositionPatient": along_axis(position), "InversionTime": time}
            exam.write(header, image(i), i + 1, slice_seconds + MOLLI_SECONDS[i], **own)
    study = read_study(tmp_path)
    assert study.unrecognised == ()
    assert [series.slice for series in study.series] == ["basal", "mid", "apical"]
    assert [series.geometry.origin for series in study.series] == [tuple(along_axis(p)) for p in (0.0, 20.0, 40.0)]


@pytest.mark.parametrize("told_by", ["time", "number", "repeated inversion times"])
def test_two_acquisitions_in_one_series_are_split(exam, tmp_path, told_by):
    header = exam.header("ShMOLLI")
    for repeat in range(2):
        for i, time in enumerate(SHMOLLI_TIMES):
            seconds = {"time": SHMOLLI_SECONDS[i] + 60.0 * repeat}.get(told_by, 0.0)
            own = {"AcquisitionNumber": repeat + 1} if told_by == "number" else {}
            exam.write(header, image(7 * repeat + i), 7 * repeat + i + 1, seconds, InversionTime=time, **own)
    study = read_study(tmp_path)
    assert study.unrecognised == ()
    assert [series.key for series in study.series] == ["irw_rest_mid", "irw_rest_mid_2"]
    for repeat, series in enumerate(study.series):
        assert series.inversion_times_ms == SHMOLLI_TIMES
        np.testing.assert_array_equal(series.load().images, [image(7 * repeat + i) for i in range(7)])


def test_two_acquisitions_keep_their_own_phase(exam, tmp_path):
    for minutes in (0.0, 2.0):
        exam.irw(minutes=minutes)
        exam.phase(minutes=minutes)
    study = read_study(tmp_path)
    assert study.unrecognised == ()
    first, second = study.series
    assert set(first.phase_files).isdisjoint(second.phase_files)


def test_phase_that_fits_two_acquisitions_is_not_guessed(exam, tmp_path):
    for _ in range(2):
        exam.irw()
    exam.phase()
    study = read_study(tmp_path)
    assert [series.phase_files for series in study.series] == [(), ()]
    assert "fit several magnitude acquisitions" in study.unrecognised[0].reason


def test_phase_without_magnitude(exam, tmp_path):
    exam.phase()
    assert "without the magnitude images" in refused(read_study(tmp_path)).reason


def test_phase_of_another_slice_is_not_taken(exam, tmp_path):
    exam.irw()
    exam.phase(ImagePositionPatient=along_axis(10.0))
    study = read_study(tmp_path)
    assert study.series[0].phase_files == ()
    assert "without the magnitude images" in study.unrecognised[0].reason


@pytest.mark.parametrize(
    "values, bits, signed, stored, radians",
    [
        ({"RescaleSlope": 2.0, "RescaleIntercept": -4096.0}, 12, False, 4095, np.pi * 4094 / 4096),
        ({"RescaleSlope": None, "RescaleIntercept": None}, 12, False, 4095, 2 * np.pi * 4095 / 4096),
        ({"RescaleSlope": 2 * np.pi / 4096, "RescaleIntercept": -np.pi}, 12, False, 1024, -np.pi / 2),
        ({"RescaleSlope": 2000 * np.pi / 4096, "RescaleIntercept": -1000 * np.pi}, 12, False, 3072, np.pi / 2),
        ({"RescaleSlope": 0.5, "RescaleIntercept": -500.0, "RescaleType": "mrad"}, 16, False, 3000, 1.0),
        ({"RescaleSlope": 1.0, "RescaleIntercept": 0.0, "RescaleType": "deg"}, 16, True, -90, -np.pi / 2),
        ({"Manufacturer": "GE MEDICAL SYSTEMS", "RescaleSlope": None, "RescaleIntercept": None}, 16, True, -3000, -3.0),
    ],
)
def test_phase_is_scaled_by_the_files_own_scale(exam, tmp_path, values, bits, signed, stored, radians):
    exam.irw()
    header = exam.header(
        "ShMOLLI", ImageType=["ORIGINAL", "PRIMARY", "P"], **{k: v for k, v in values.items() if v is not None}
    )
    for i, time in enumerate(SHMOLLI_TIMES):
        pixels = np.full((12, 16), stored)
        pixels[0, 0] = 0
        exam.write(header, pixels, i + 1, SHMOLLI_SECONDS[i], InversionTime=time, bits=(16, bits), signed=signed)
    phase = only(read_study(tmp_path)).load().phase
    assert phase[2, 5, 5] == pytest.approx(radians, abs=1e-4)


def test_phase_of_unknown_scale_is_left_out(exam, tmp_path):
    exam.irw()
    exam.phase(RescaleSlope=3.0, RescaleIntercept=0.0)
    study = read_study(tmp_path)
    assert study.series[0].phase_files == ()
    assert "does not tell which values stand for a full turn" in study.unrecognised[0].reason


def test_phase_beyond_a_turn_is_refused(exam, tmp_path):
    """GE's milliradians are not told by the header, so the values are checked."""
    exam.irw()
    header = exam.header("ShMOLLI", Manufacturer="GE MEDICAL SYSTEMS", ImageType=["ORIGINAL", "PRIMARY", "P"])
    for i, time in enumerate(SHMOLLI_TIMES):
        exam.write(
            header, image(i, high=30000), i + 1, SHMOLLI_SECONDS[i], InversionTime=time, bits=(16, 16), signed=True
        )
    with pytest.raises(InputError, match="exceeds two pi"):
        only(read_study(tmp_path)).load()


def test_ge_tells_phase_by_its_private_tag(exam, tmp_path):
    for kind in range(2):
        header = exam.header("MOLLI", Manufacturer="GE MEDICAL SYSTEMS", ImageType=["ORIGINAL", "PRIMARY", "OTHER"])
        header.add_new(0x00430010, "LO", "GEMS_PARM_01")
        header.add_new(0x0043102F, "SS", kind)
        for i, time in enumerate(MOLLI_TIMES):
            pixels = image(i, low=-3000 * kind, high=3000)
            exam.write(header, pixels, i + 1, MOLLI_SECONDS[i], InversionTime=time, bits=(16, 16), signed=True)
    assert np.max(np.abs(only(read_study(tmp_path)).load().phase)) <= np.pi


@pytest.mark.parametrize(
    "magnitude, phase",
    [(["M_IR", "M", "IR"], ["PHASE MAP", "P", "IR"]), (["M_FFE", "M"], ["P_FFE", "P"]), (["MAGNITUDE"], ["PHASE"])],
)
def test_image_types_of_other_makers(exam, tmp_path, magnitude, phase):
    scale = {"RescaleSlope": 2 * np.pi / 4096, "RescaleIntercept": -np.pi}
    exam.irw("MOLLI", ImageType=["ORIGINAL", "PRIMARY", *magnitude], Manufacturer="Philips")
    exam.phase("MOLLI", ImageType=["ORIGINAL", "PRIMARY", *phase], Manufacturer="Philips", **scale)
    assert len(only(read_study(tmp_path)).phase_files) == 7


def test_real_and_imaginary_parts_are_left_out(exam, tmp_path):
    exam.irw(ImageType=["ORIGINAL", "PRIMARY", "R", "ND"])
    assert "export magnitude and phase instead" in refused(read_study(tmp_path)).reason


def test_enhanced_multi_frame(exam, tmp_path):
    pixels = np.stack([image(i) for i in range(7)])
    phase = np.stack([image(20 + i, high=4096) for i in range(7)])
    magnitude_file = exam.enhanced("ShMOLLI", pixels, SHMOLLI_TIMES)
    phase_file = exam.enhanced("ShMOLLI", phase, SHMOLLI_TIMES, phase=True)
    series = only(read_study(tmp_path))
    assert series.inversion_times_ms == SHMOLLI_TIMES
    assert (series.files, series.phase_files) == ((magnitude_file,), (phase_file,))
    assert series.shape == (7, 12, 16)
    assert series.geometry.spacing == (1.25, 1.5, 8.0)
    loaded = series.load()
    np.testing.assert_array_equal(loaded.images, pixels)
    np.testing.assert_allclose(loaded.phase, phase * np.pi / 2048 - np.pi, atol=1e-5)


def test_enhanced_times_from_frame_comments(exam, tmp_path):
    exam.enhanced(
        "ShMOLLI", np.stack([image(i) for i in range(7)]), comments=[f"TIeff {t:g} ms" for t in SHMOLLI_TIMES]
    )
    assert only(read_study(tmp_path)).inversion_times_ms == SHMOLLI_TIMES


def test_enhanced_slices_are_told_apart(exam, tmp_path):
    times = (*MOLLI_TIMES, *MOLLI_TIMES)
    positions = [20.0] * 8 + [0.0] * 8
    exam.enhanced("MOLLI", np.stack([image(i) for i in range(16)]), times, positions=positions)
    first, second = read_study(tmp_path).series
    assert (first.slice, second.slice) == ("0", "1")
    np.testing.assert_array_equal(first.load().images[0], image(8))


def test_order_without_acquisition_times_is_that_of_the_instances(exam, tmp_path):
    exam.irw(seconds=None)
    assert only(read_study(tmp_path)).inversion_times_ms == SHMOLLI_TIMES


def test_times_cannot_be_asked_for_without_an_order(exam, tmp_path):
    header = exam.header("ShMOLLI")
    for i in range(7):
        exam.write(header, image(i), 1, AcquisitionTime=None, InstanceNumber=None)
    assert "Neither the inversion times nor the order" in refused(read_study(tmp_path)).reason
