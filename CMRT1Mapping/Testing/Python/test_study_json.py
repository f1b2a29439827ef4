"""Reading study.json: what it may say, and one sentence for each thing that is wrong."""

import json

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 (the name its users know)

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
    assert [one.key for one in series] == ["irw_rest_mid", "t1_rest_2", "lge_stack", "cine_3"]
    assert series[0].scheme == "shmolli"


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
