"""Which stress slice belongs to which rest slice, on which grid, in which unit; and what cannot be used."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from CMRLib.anatomy.axis import APEX, DISPLAY_COLUMN, DISPLAY_ROW
from CMRLib.errors import InputError
from CMRLib.geometry import Geometry
from CMRStressReactivityLib.matching import match_slices, on_rest_grid
from CMRStressReactivityLib.t1_input import t1_in_ms

SHAPE = (48, 64)


def placed(along_mm, shape=SHAPE, spacing=1.5, shift=(0.0, 0.0), turn_degrees=0.0):
    """A short-axis slice whose middle lies so far towards the apex, and shifted by (row, column) mm."""
    turn = np.radians(turn_degrees)
    across = np.cos(turn) * DISPLAY_COLUMN + np.sin(turn) * APEX
    normal = np.cross(across, DISPLAY_ROW)
    middle = along_mm * APEX + shift[0] * DISPLAY_ROW + shift[1] * DISPLAY_COLUMN
    origin = middle - spacing * ((shape[0] - 1) / 2 * DISPLAY_ROW + (shape[1] - 1) / 2 * across)
    direction = np.column_stack([across, DISPLAY_ROW, normal])
    return Geometry(tuple(origin.tolist()), (spacing, spacing, 8.0), tuple(direction.ravel().tolist()))


def matched(rest, stress):
    return match_slices(rest, stress, [SHAPE] * len(rest), [SHAPE] * len(stress))


PLACES = (0.0, 20.0, 40.0)


@given(order=st.permutations(range(3)), moved=st.floats(-3.5, 3.5))
def test_slices_are_matched_by_place_in_any_order(order, moved):
    found = matched([placed(a) for a in PLACES], [placed(PLACES[i] + moved) for i in order])
    assert [(m.rest, m.stress) for m in found.matches] == [(i, order.index(i)) for i in range(3)]
    assert all(m.doubt == "" and m.apart_mm == pytest.approx(moved, abs=1e-6) for m in found.matches)
    assert found.left_out == ()


def test_a_missing_partner_is_named():
    found = matched([placed(a) for a in PLACES], [placed(40.0), placed(0.0)])
    assert [(m.rest, m.stress) for m in found.matches] == [(0, 1), (2, 0)]
    assert found.left_out == ("Rest slice 1 has no stress partner: the nearest free one is 20 mm away.",)
    found = matched([placed(0.0)], [placed(1.0), placed(20.0)])
    assert found.left_out == ("Stress slice 1 has no rest partner: the nearest free one is 20 mm away.",)


def test_as_many_as_possible_are_matched():
    """The nearest partner of both rest slices is the same one; the other still gets its own."""
    found = matched([placed(0.0), placed(10.0)], [placed(9.0), placed(18.0)])
    assert [(m.rest, m.stress) for m in found.matches] == [(0, 0), (1, 1)]
    assert all("mm from the rest slice" in m.doubt for m in found.matches)


def test_turned_slices_are_doubted_and_long_axis_ones_refused():
    doubted = matched([placed(0.0)], [placed(0.0, turn_degrees=15.0)]).matches[0]
    assert doubted.turned_degrees == pytest.approx(15.0) and "turned by 15 degrees" in doubted.doubt
    with pytest.raises(InputError, match="No rest slice has a stress slice at its place"):
        matched([placed(0.0)], [placed(0.0, turn_degrees=80.0)])


def test_slices_without_a_place_are_matched_by_order_where_there_are_as_many():
    found = matched([Geometry(), Geometry()], [Geometry(), Geometry()])
    assert [(m.rest, m.stress) for m in found.matches] == [(0, 0), (1, 1)]
    assert all("by order" in m.doubt for m in found.matches)
    assert matched([Geometry()], [Geometry()]).matches[0].doubt == ""
    with pytest.raises(InputError, match="choose the pairs by hand"):
        matched([Geometry(), Geometry()], [Geometry()])
    with pytest.raises(InputError, match="There is no stress T1 map"):
        matched([Geometry()], [])


def picture(shape, spacing, center=(0.0, 0.0)):
    """A smooth picture in mm around a centre, so that it looks the same on any grid."""
    rows, columns = ((np.arange(n) - (n - 1) / 2) * spacing - c for n, c in zip(shape, center, strict=True))
    return 1000.0 + 300.0 * np.exp(-(rows[:, None] ** 2 + columns[None] ** 2) / 200.0)


def test_the_same_grid_gives_the_same_values():
    image = picture(SHAPE, 1.5)
    assert np.array_equal(on_rest_grid(image, placed(2.0), SHAPE, placed(0.0)), image.astype(np.float32))


@given(spacing=st.floats(0.8, 2.5), row=st.floats(-6.0, 6.0), column=st.floats(-6.0, 6.0))
def test_another_matrix_and_spacing_show_the_same_place(spacing, row, column):
    shape = (round(110 / spacing), round(140 / spacing))
    stress = picture(shape, spacing, (-row, -column))
    found = on_rest_grid(stress, placed(0.0, shape, spacing, (row, column)), SHAPE, placed(0.0))
    assert np.all(found > 0) and np.abs(found - picture(SHAPE, 1.5)).max() < 8.0
    unplaced = on_rest_grid(
        picture(shape, spacing), Geometry(spacing=(spacing, spacing, 8.0)), SHAPE, Geometry(spacing=(1.5, 1.5, 8.0))
    )
    assert np.abs(unplaced - picture(SHAPE, 1.5)).max() < 8.0


def test_a_mirrored_stress_image_is_turned_back():
    image = picture(SHAPE, 1.5, (8.0, 5.0))
    straight = placed(0.0)
    matrix = straight.matrix
    far = straight.ijk_to_lps() @ [SHAPE[1] - 1, 0, 0, 1]
    mirrored = replace(straight, origin=tuple(far[:3]), direction=tuple((matrix * [-1.0, 1.0, -1.0]).ravel().tolist()))
    assert np.allclose(on_rest_grid(image[:, ::-1], mirrored, SHAPE, straight), image)


def test_no_value_is_never_mixed_with_values():
    image = picture(SHAPE, 1.5)
    image[:, :20] = 0.0
    found = on_rest_grid(image, placed(0.0, shift=(0.0, 0.7)), SHAPE, placed(0.0))
    assert set(np.unique(found < 900)) == {False, True} and np.all((found == 0) | (found > 999))


@given(unit=st.sampled_from([1.0, 0.001]))
def test_maps_in_seconds_become_milliseconds(unit):
    image = picture(SHAPE, 1.5)
    image[0] = 0.0
    image[1, :5] = np.nan
    t1, error = t1_in_ms(unit * image, np.full(SHAPE, 20.0 * unit))
    assert np.allclose(t1[2:], image[2:], rtol=1e-6) and np.all(t1[0] == 0) and np.all(t1[1, :5] == 0)
    assert np.allclose(error[2:], 20.0) and np.all(error[0] == 0)


def test_a_colour_bar_beside_the_map_does_not_change_its_values():
    image = picture(SHAPE, 1.5)
    image[:, -4:] = np.linspace(0, 2000, SHAPE[0])[:, None]
    assert np.allclose(t1_in_ms(image)[0][:, :-4], image[:, :-4])


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (np.zeros((20, 20, 3), np.uint8), "is a colour picture"),
        (np.zeros((2, 20, 20)), "single slice"),
        (np.zeros((20, 20)), "hardly any value"),
        (np.full((20, 20), 200, np.uint8), "grey levels up to 200"),
        (np.full((20, 20), 200.0), "grey levels up to 200"),
        (np.full((20, 20), 20.5), "no T1 in milliseconds or seconds"),
        (np.full((20, 20), 1e6), "no T1 in milliseconds or seconds"),
    ],
)
def test_what_is_no_t1_map_is_said(image, sentence):
    with pytest.raises(InputError, match=sentence):
        t1_in_ms(image, name="stress T1 map")


def test_foreign_error_maps_are_refused():
    image = picture(SHAPE, 1.5)
    with pytest.raises(InputError, match="give that of this map"):
        t1_in_ms(image, np.ones((3, 3)))
    with pytest.raises(InputError, match="negative values"):
        t1_in_ms(image, -np.ones(SHAPE))
