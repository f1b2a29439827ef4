"""Reading study.json: what it may say, and one sentence for each thing that is wrong."""

import json
import os

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 (the name its users know)
from dicom_builder import Exam, image

from CMRLib.errors import InputError
from CMRLib.study.reading import read_study

TIMES = [100, 1100, 2100, 3100, 4100, 180, 260]


def save(path, shape=(7, 10, 12), low=1.0, high=900.0, dtype=np.float32, seed=0):
    """A noise image with a grid of its own; a shape of two numbers gives a 2D file."""
    array = np.random.default_rng(seed).uniform(low, high, shape).astype(dtype)
    picture = sitk.GetImageFromArray(array)
    picture.SetSpacing((1.5, 1.25, 8.0)[: len(shape)])
    picture.SetOrigin((5.0, -7.0, 9.0)[: len(shape)])
    sitk.WriteImage(picture, str(path))
    return array


def describe(folder, *series, **changes):
    content = {"schema": "cmr-study/1", "id": "P001", "series": list(series), **changes}
    (folder / "study.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def irw(**changes):
    entry = {"role": "irw", "state": "rest", "slice": "mid", "file": "irw.nrrd", "inversion_times_ms": TIMES}
    return {key: value for key, value in {**entry, "scheme": "shmolli", **changes}.items() if value is not None}


@pytest.fixture
def folder(tmp_path):
    """A folder with images but no description yet."""
    save(tmp_path / "irw.nrrd")
    save(tmp_path / "phase.nrrd", low=-3.14, high=3.14)
    save(tmp_path / "t1.nii.gz", (10, 12))
    save(tmp_path / "lge.nii.gz", (4, 10, 12))
    return tmp_path


def test_the_example_of_the_contract(folder):
    describe(
        folder,
        irw(phase_file="phase.nrrd"),
        {"role": "t1", "state": "stress", "slice": "mid", "file": "t1.nii.gz"},
        {"role": "lge", "kind": "psir", "slice": "stack", "file": "lge.nii.gz"},
    )
    study = read_study(folder)
    assert (study.id, study.path, study.unrecognised) == ("P001", folder, ())
    assert [series.key for series in study.series] == ["irw_rest_mid", "t1_stress_mid", "lge_psir_stack"]
    first, second, third = study.series
    assert (first.scheme, first.inversion_times_ms) == ("shmolli", tuple(map(float, TIMES)))
    assert (first.files, first.phase_files) == ((folder / "irw.nrrd",), (folder / "phase.nrrd",))
    assert [series.shape for series in study.series] == [(7, 10, 12), (1, 10, 12), (4, 10, 12)]
    assert (first.geometry.origin, first.geometry.spacing) == ((5.0, -7.0, 9.0), (1.5, 1.25, 8.0))
    assert second.geometry.spacing == pytest.approx((1.5, 1.25, 1.0))
    for series in study.series:
        loaded = series.load()
        assert loaded.images.shape == series.shape
        assert loaded.geometry == series.geometry
    assert np.ptp(first.load().phase) > 6
    assert read_study(folder / "study.json") == study


def test_what_may_be_left_out(folder):
    describe(
        folder,
        {"role": "irw", "file": "irw.nrrd", "inversion_times_ms": TIMES},
        {"role": "t1", "file": "t1.nii.gz", "slice": 2},
        {"role": "lge", "file": "lge.nii.gz"},
        {"role": "cine", "file": "t1.nii.gz", "slice": "3"},
    )
    series = read_study(folder).series
    assert [item.key for item in series] == ["irw_rest_mid", "t1_rest_2", "lge_stack", "cine_3"]
    assert series[0].scheme == "shmolli"


def test_the_haematocrit_belongs_to_the_study(folder):
    assert read_study(describe(folder, irw(), hematocrit=0.42)).hematocrit == 0.42
    assert read_study(describe(folder, irw())).hematocrit is None


def test_times_are_asked_for(folder):
    describe(folder, irw(inversion_times_ms=None))
    assert read_study(folder).series[0].inversion_times_ms is None
    assert read_study(folder, inversion_times_ms=TIMES).series[0].inversion_times_ms == tuple(map(float, TIMES))
    with pytest.raises(InputError, match="it has 7 images but 3 inversion times|7 images but 3"):
        read_study(folder, inversion_times_ms=TIMES[:3])


@pytest.mark.parametrize(
    "low, high, dtype, scale",
    [
        (-3.1, 3.1, np.float32, 1.0),
        (0, 4095, np.uint16, 2 * np.pi / 4096),
        (-4096, 4094, np.int16, np.pi / 4096),
    ],
)
def test_phase_in_radians_or_twelve_bits(folder, low, high, dtype, scale):
    phase = save(folder / "phase.nrrd", low=low, high=high, dtype=dtype)
    describe(folder, irw(phase_file="phase.nrrd"))
    np.testing.assert_allclose(read_study(folder).series[0].load().phase, phase * scale, rtol=1e-5)


def test_phase_in_another_unit(folder):
    save(folder / "phase.nrrd", low=-180.5, high=180.5)
    describe(folder, irw(phase_file="phase.nrrd"))
    with pytest.raises(InputError, match="neither radians nor 12 bit"):
        read_study(folder).series[0].load()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_no_numbers(folder, value):
    array = save(folder / "irw.nrrd")
    array[2, 3, 4] = value
    sitk.WriteImage(sitk.GetImageFromArray(array), str(folder / "irw.nrrd"))
    describe(folder, irw())
    with pytest.raises(InputError, match=r"1 pixel in the images of irw_rest_mid is not a finite number"):
        read_study(folder).series[0].load()


def test_images_without_signal(folder):
    sitk.WriteImage(sitk.Image(12, 10, 7, sitk.sitkFloat32), str(folder / "irw.nrrd"))
    describe(folder, irw())
    with pytest.raises(InputError, match="are empty"):
        read_study(folder).series[0].load()


WRONG = [
    (irw(inversion_times_ms=TIMES[:6]), "it has 7 images but 6 inversion times"),
    (irw(inversion_times_ms=[100, *TIMES[:6]]), "the inversion time 100 ms occurs 2 times"),
    (irw(inversion_times_ms=[-1, *TIMES[1:]]), "not all numbers"),
    (irw(inversion_times_ms="100 200"), "must be a list of numbers"),
    (irw(inversion_times_ms=[True] * 7), "must be a list of numbers"),
    (irw(scheme="shMOLLI"), '"scheme" of series 1 is "shMOLLI" and must be one of shmolli, molli, look-locker, other'),
    (irw(role="irwx"), '"role" of series 1 is "irwx" and must be one of irw, t1, lge, vne, cine'),
    (irw(role=None), '"role" of series 1 is null'),
    (irw(state="REST"), "must be one of rest, stress, post"),
    (irw(slice="base"), "must be one of basal, mid, apical, stack, or a number from 0"),
    (irw(slice=-1), "or a number from 0"),
    (irw(slice="stack"), "cannot be a stack"),
    (irw(kind="psir"), '"kind" of series 1 has no meaning for the role "irw"'),
    (irw(file="missing.nrrd"), 'there is no image file or folder where "file" of series 1 points'),
    (irw(file=None), '"file" of series 1 must name an image file'),
    (irw(phase_file="t1.nii.gz"), "the phase of series 1 has the shape (1, 10, 12)"),
    (irw(file="study.json"), "cannot be read as an image"),
    (irw(file="lge.nii.gz", inversion_times_ms=TIMES[:4]), "it has 4 images where ShMOLLI has 7"),
    (irw(ti=[1]), 'series 1 has the unknown key "ti"'),
    ({"role": "t1", "slice": "mid", "file": "lge.nii.gz"}, 'its "slice" must be "stack"'),
    ({"role": "lge", "state": "post", "file": "lge.nii.gz"}, '"state" of series 1 has no meaning for the role "lge"'),
    ({"role": "lge", "kind": "real", "file": "lge.nii.gz"}, "must be one of magnitude, psir"),
    ("irw.nrrd", "series 1 must be an object"),
]


@pytest.mark.parametrize("entry, sentence", WRONG, ids=[sentence for _, sentence in WRONG])
def test_a_series_that_is_wrong(folder, entry, sentence):
    describe(folder, entry)
    with pytest.raises(InputError) as error:
        read_study(folder)
    assert sentence in str(error.value)
    assert str(error.value).endswith(".") and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"schema": "cmr-study/2"}, 'its "schema" must be "cmr-study/1"'),
        ({"id": None}, 'its "id" must be a name'),
        ({"id": "../P001"}, 'its "id" must be a name'),
        ({"id": ".hidden"}, 'its "id" must be a name'),
        ({"series": []}, "at least one series"),
        ({"series": {}}, "at least one series"),
        ({"patient": "Jane"}, 'the file has the unknown key "patient"'),
        ({"hematocrit": 45}, "a haematocrit is stated as a fraction, not in percent: 0.45 instead of 45"),
        ({"hematocrit": 0}, "0 is no haematocrit of a patient"),
        ({"hematocrit": "0.42"}, 'its "hematocrit" must be a number from 0 to 1'),
    ],
)
def test_a_description_that_is_wrong(folder, changes, sentence):
    describe(folder, irw(), **changes)
    with pytest.raises(InputError) as error:
        read_study(folder)
    assert sentence in str(error.value)


def test_description_that_is_no_json(folder):
    (folder / "study.json").write_text('{"schema": ')
    with pytest.raises(InputError, match="is not valid JSON"):
        read_study(folder)


@pytest.mark.parametrize("shape", [(2, 3, 10, 12)])
def test_four_dimensions_are_refused(folder, shape):
    sitk.WriteImage(sitk.GetImageFromArray(np.ones(shape, np.float32), isVector=False), str(folder / "irw.nrrd"))
    describe(folder, irw())
    with pytest.raises(InputError, match="holds 2 images of 12 x 10 x 3 pixels, which are several slices"):
        read_study(folder)


def test_image_with_an_impossible_grid(folder):
    picture = sitk.GetImageFromArray(np.ones((7, 10, 12), np.float32))
    picture.SetSpacing((100.0, 100.0, 8.0))
    sitk.WriteImage(picture, str(folder / "irw.nrrd"))
    describe(folder, irw())
    with pytest.raises(InputError, match='"file" of series 1 does not lie in space: the pixel spacing'):
        read_study(folder)


# DICOM series, encodings and names


def dicom(folder, name, **values):
    """An acquisition whose files do not tell its inversion times, in a folder of its own."""
    return Exam(folder / name).irw(times=[None] * 7, **values)


def test_inversion_times_and_scheme_are_stated_for_dicom(tmp_path):
    dicom(tmp_path, "s5", SeriesDescription="T1 sax", SeriesNumber=5)
    describe(tmp_path, {"role": "irw", "file": "s5", "state": "post", "slice": "basal", "inversion_times_ms": TIMES})
    (series,) = read_study(tmp_path).series
    assert (series.key, series.scheme, series.inversion_times_ms) == ("irw_post_basal", "shmolli", tuple(TIMES))
    assert (series.series_number, series.description) == (5, "T1 sax")
    np.testing.assert_array_equal(series.load().images, [image(i) for i in range(7)])


@pytest.mark.parametrize("scheme", ["molli", "other"])
def test_the_stated_scheme_comes_before_the_name(tmp_path, scheme):
    Exam(tmp_path / "s").irw("ShMOLLI")
    describe(tmp_path, {"role": "irw", "file": "s", "scheme": scheme})
    assert read_study(tmp_path).series[0].scheme == scheme


def test_stated_times_come_before_those_of_the_headers_and_reach_the_phase(tmp_path):
    exam = Exam(tmp_path / "s")
    exam.irw(times=[float(i) for i in range(1, 8)])
    exam.phase(times=[float(i) for i in range(1, 8)])
    describe(tmp_path, {"role": "irw", "file": "s", "inversion_times_ms": TIMES})
    (series,) = read_study(tmp_path).series
    assert series.inversion_times_ms == tuple(TIMES) and len(series.phase_files) == 7


def test_a_phase_folder_of_its_own(tmp_path):
    exam = Exam(tmp_path)
    for name, write in (("m", exam.irw), ("p", exam.phase)):
        (tmp_path / name).mkdir()
        for file in write(times=[None] * 7):
            file.rename(tmp_path / name / file.name)
    describe(tmp_path, {"role": "irw", "file": "m", "phase_file": "p", "inversion_times_ms": TIMES})
    assert len(read_study(tmp_path).series[0].phase_files) == 7


NUMBERED = {"role": "irw", "file": "s", "inversion_times_ms": TIMES}


@pytest.fixture
def two_series(tmp_path):
    exam = Exam(tmp_path / "s")
    exam.irw("first", times=[None] * 7, SeriesNumber=5)
    exam.irw("second", times=[None] * 7, SeriesNumber=6)
    return tmp_path


def test_the_number_chooses_among_the_series_of_a_folder(two_series):
    describe(two_series, {**NUMBERED, "series_number": 6})
    assert read_study(two_series).series[0].description == "second"


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({}, 'holds 14 magnitude images, but 7 inversion times are stated; state its "series_number"'),
        ({"series_number": 7}, "holds no DICOM image of a series numbered 7"),
        ({"series_number": "6"}, "must be a whole number"),
        ({"series_number": 6, "inversion_times_ms": TIMES[:6]}, "holds 7 magnitude images, but 6 inversion times"),
        ({"series_number": 6, "inversion_times_ms": [100, *TIMES[:6]]}, "the inversion time 100 ms occurs 2 times"),
        (
            {"series_number": 6, "scheme": "shmolli", "inversion_times_ms": [*range(100, 800, 100)]},
            "not those of ShMOLLI",
        ),
    ],
)
def test_what_is_stated_for_dicom_must_fit(two_series, changes, sentence):
    describe(two_series, {**NUMBERED, **changes})
    with pytest.raises(InputError) as error:
        read_study(two_series)
    assert sentence in str(error.value) and str(error.value).endswith(".")


def test_other_roles_may_be_dicom_too(tmp_path):
    Exam(tmp_path / "lge").stack("any name", [0.0, 10.0, 20.0])
    describe(tmp_path, {"role": "lge", "kind": "psir", "file": "lge"})
    (series,) = read_study(tmp_path).series
    assert (series.key, series.shape[0]) == ("lge_psir_stack", 3)


def test_a_folder_without_dicom_says_so(tmp_path):
    (tmp_path / "s").mkdir()
    describe(tmp_path, {"role": "irw", "file": "s"})
    with pytest.raises(InputError, match='"file" of series 1 holds no DICOM image'):
        read_study(tmp_path)


def test_a_number_means_nothing_for_an_image_file(folder):
    describe(folder, irw(series_number=3))
    with pytest.raises(InputError, match='"series_number" of series 1 has no meaning'):
        read_study(folder)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_description_with_a_byte_order_mark_is_read(folder, encoding):
    describe(folder, irw())
    path = folder / "study.json"
    path.write_bytes(path.read_text(encoding="utf-8").encode(encoding))
    assert read_study(folder).series[0].role == "irw"


def test_a_description_in_another_encoding_says_so(folder):
    (folder / "study.json").write_bytes('{"id": "M\u00fcller"}'.encode("latin-1"))
    with pytest.raises(InputError, match="is not text in UTF-8; save it with this encoding"):
        read_study(folder)


@pytest.mark.parametrize("content", [None, b"not an image", b""])
def test_a_file_named_after_a_patient_is_named_by_its_place(tmp_path, content):
    if content is not None:
        (tmp_path / "Doe_Jane.nii.gz").write_bytes(content)
    describe(tmp_path, irw(file="Doe_Jane.nii.gz"))
    with pytest.raises(InputError) as error:
        read_study(tmp_path)
    assert "Doe" not in str(error.value) and '"file" of series 1' in str(error.value)


@pytest.mark.parametrize("name", ["images.nrrd", os.fsdecode(b"M\xfcller.nrrd")])
def test_names_that_are_no_text_are_read(tmp_path, name):
    folder = tmp_path / os.fsdecode(b"M\xfcller")
    folder.mkdir()
    pixels = save(tmp_path / "x.nrrd")
    (tmp_path / "x.nrrd").rename(folder / name)
    (folder / "study.json").write_text(
        json.dumps({"schema": "cmr-study/1", "id": "P1", "series": [irw(file=name)]}), encoding="utf-8"
    )
    np.testing.assert_array_equal(read_study(folder).series[0].load().images, pixels)


def test_times_may_repeat_where_the_scheme_says_so(folder):
    times = [TIMES[0], *TIMES[:6]]
    describe(folder, irw(inversion_times_ms=times, scheme="other"))
    assert read_study(folder).series[0].inversion_times_ms == tuple(times)
