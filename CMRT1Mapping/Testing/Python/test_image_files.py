"""Image files whatever the order of their axes: turned stacks, four dimensions, and values that interpolation left."""

import json

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 (the name its users know)
from dicom_builder import SHORT_AXIS, orthonormal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from CMRLib.errors import InputError
from CMRLib.study.reading import read_study

TIMES = (120.0, 1020.0, 1920.0, 2820.0, 3720.0, 200.0, 1100.0, 1980.0)
ROW, COLUMN = np.split(np.array(orthonormal(SHORT_AXIS)), 2)
DIRECTION = np.column_stack([ROW, COLUMN, np.cross(ROW, COLUMN)])


def values(*shape):
    return np.random.default_rng(3).integers(1, 1000, shape).astype(np.float32)


def picture(array, spacing=(1.5, 1.25, 8.0), direction=DIRECTION, origin=(10.0, -20.0, 30.0)):
    """A 3D image of an array (slice, row, column)."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    image.SetDirection(direction.ravel().tolist())
    image.SetOrigin(origin)
    return image


def turned(image, order, flips):
    """The image with its axes in another order and direction, at the same place, as other tools store it."""
    moved = sitk.PermuteAxes(image, list(order))
    return sitk.Flip(moved, [bool(flip) for flip in flips], False)


def in_four(image):
    """The images of a 3D image (frame, row, column) as column x row x 1 x frame."""
    return sitk.JoinSeries([picture(frame[None]) for frame in sitk.GetArrayFromImage(image)])


def described(folder, image, ending="nrrd", **entry):
    folder.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(folder / f"images.{ending}"))
    series = [{"file": f"images.{ending}", **entry}]
    (folder / "study.json").write_text(json.dumps({"schema": "cmr-study/1", "id": "P1", "series": series}))
    (found,) = read_study(folder).series
    return found


def places(series):
    """Value -> LPS position, of every pixel whose value is found once."""
    images = series.load().images
    affine = series.geometry.ijk_to_lps()
    where = {}
    for index in np.ndindex(images.shape):
        where.setdefault(float(images[index]), []).append((affine @ [*index[::-1], 1.0])[:3])
    return {value: found[0] for value, found in where.items() if len(found) == 1}


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(3)), flips=st.tuples(*[st.booleans()] * 3), slices=st.integers(1, 9))
def test_a_stack_is_read_as_it_was_before_other_tools_turned_it(tmp_path_factory, order, flips, slices):
    image = picture(values(slices, 10, 12))
    folder = tmp_path_factory.mktemp("turned")
    plain = described(folder / "a", image, role="lge")
    other = described(folder / "b", turned(image, order, flips), role="lge")
    assert other.shape[0] == slices
    expected, found = places(plain), places(other)
    assert expected.keys() == found.keys()
    for value, place in expected.items():
        np.testing.assert_allclose(found[value], place, atol=1e-3)


def test_turned_slices_stand_upright_and_a_note_says_so(tmp_path):
    image = picture(values(9, 10, 12))
    series = described(tmp_path, turned(image, (2, 0, 1), (True, False, True)), role="lge")
    assert series.shape == (9, 10, 12)
    assert series.geometry.matrix[2, 1] < -0.9  # rows run to the feet
    assert series.geometry.matrix[0, 0] > 0.5  # columns run to the left
    (note,) = series.notes
    assert "turned" in note


def test_a_stack_that_lies_right_is_left_alone(tmp_path):
    image = sitk.Flip(picture(values(9, 10, 12)), [True, True, False], False)
    series = described(tmp_path, image, role="lge")
    assert series.notes == ()
    np.testing.assert_array_equal(series.load().images, sitk.GetArrayFromImage(image))


@pytest.mark.parametrize("spacing", [(1.5, 1.5, 1.5), (1.0, 1.0, 1.4), (1.0, 2.0, 2.1)])
def test_spacing_that_tells_no_slice_axis_turns_nothing(tmp_path, spacing):
    series = described(tmp_path, picture(values(9, 10, 12), spacing), role="lge")
    assert (series.shape, series.notes) == ((9, 10, 12), ())


@pytest.mark.parametrize("ending", ["nii.gz", "nrrd"])
def test_four_dimensions_with_one_slice_are_frames(tmp_path, ending):
    image = picture(values(8, 10, 12))
    series = described(tmp_path, in_four(image), ending, role="irw", inversion_times_ms=TIMES)
    assert (series.shape, series.inversion_times_ms, series.scheme) == ((8, 10, 12), TIMES, "molli")
    np.testing.assert_array_equal(series.load().images, sitk.GetArrayFromImage(image))
    np.testing.assert_allclose(series.geometry.matrix, DIRECTION, atol=1e-5)
    assert series.geometry.spacing == pytest.approx((1.5, 1.25, 8.0))


def test_frames_as_values_of_each_pixel_are_frames(tmp_path):
    """As Slicer stores a sequence of volumes of one slice."""
    frames = values(8, 10, 12)
    image = sitk.GetImageFromArray(np.moveaxis(frames, 0, -1)[None], isVector=True)
    series = described(tmp_path, image, role="irw", inversion_times_ms=TIMES)
    np.testing.assert_array_equal(series.load().images, frames)


@pytest.mark.parametrize("order", [(2, 0, 1), (0, 2, 1)])
def test_frames_that_were_turned_to_another_axis_are_found_by_their_number(tmp_path, order):
    frames = values(8, 10, 12)
    series = described(tmp_path, sitk.PermuteAxes(picture(frames), list(order)), role="irw", inversion_times_ms=TIMES)
    assert series.shape[0] == 8
    assert sorted(image.sum() for image in series.load().images) == sorted(image.sum() for image in frames)


def test_several_slices_of_several_frames_are_refused_with_the_remedy(tmp_path):
    with pytest.raises(InputError, match="several slices; save the images of each slice as a file of its own"):
        described(tmp_path, sitk.JoinSeries([picture(values(3, 10, 12))] * 8), role="irw", inversion_times_ms=TIMES)


def test_colour_is_refused(tmp_path):
    image = sitk.GetImageFromArray(values(10, 12, 3), isVector=True)
    with pytest.raises(InputError, match="one value a pixel"):
        described(tmp_path, image, role="lge")


def signed_signal():
    times = np.array(TIMES)[:, None, None]
    t1 = np.linspace(800.0, 1600.0, 24 * 24).reshape(24, 24)
    return 900.0 * (1.0 - 1.9 * np.exp(-times * 0.9 / t1))


def test_what_interpolation_left_is_set_to_zero_and_noted(tmp_path):
    magnitude = np.zeros((8, 48, 48), np.float32)
    magnitude[:, 12:36, 12:36] = np.abs(signed_signal())
    moved = [
        sitk.Resample(picture(frame[None]), sitk.TranslationTransform(3, (0.6, 0.5, 0.0)), sitk.sitkBSpline, 0.0)
        for frame in magnitude
    ]
    stack = np.concatenate([sitk.GetArrayFromImage(frame) for frame in moved])
    assert stack.min() < -50.0
    loaded = described(tmp_path, picture(stack), role="irw", inversion_times_ms=TIMES).load()
    np.testing.assert_array_equal(loaded.images, np.maximum(stack, 0.0))
    (note,) = loaded.notes
    assert f"held {np.count_nonzero(stack < 0)} negative pixel values" in note and "set to zero" in note


@pytest.mark.parametrize("made", [lambda: signed_signal(), lambda: signed_signal() * 0.1 - 5.0])
def test_signed_images_are_refused_for_what_they_are(tmp_path, made):
    series = described(tmp_path, picture(made().astype(np.float32)), role="irw", inversion_times_ms=TIMES)
    with pytest.raises(InputError, match="hold negative values, .* of their signal, which magnitudes cannot be"):
        series.load()
