"""The standard grid, crops along the entry line, and the way back to the source image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from CMRLandmarksLib.grid import (
    display_axes,
    entry_line_placement,
    standard_image,
    standard_placement,
    zoom_placement,
)
from CMRLib.anatomy.axis import APEX, DISPLAY_COLUMN, DISPLAY_ROW
from CMRLib.anatomy.entry_line import angle_between, snapped_insertion
from CMRLib.errors import InputError
from CMRLib.geometry import Geometry
from CMRLib.networks.normalise import rescaled


def short_axis(
    columns: np.ndarray, rows: np.ndarray, spacing: tuple[float, float, float] = (1.0, 1.0, 8.0)
) -> Geometry:
    """A geometry whose columns and rows grow along two LPS directions."""
    direction = np.column_stack([columns, rows, np.cross(columns, rows)])
    return Geometry(spacing=spacing, direction=tuple(direction.ravel()))


ORIENTATIONS = {
    "usual": (DISPLAY_COLUMN, DISPLAY_ROW),
    "columns flipped": (-DISPLAY_COLUMN, DISPLAY_ROW),
    "rows flipped": (DISPLAY_COLUMN, -DISPLAY_ROW),
    "turned": (-DISPLAY_COLUMN, -DISPLAY_ROW),
    "transposed": (DISPLAY_ROW, DISPLAY_COLUMN),
    "transposed and turned": (-DISPLAY_ROW, -DISPLAY_COLUMN),
    "quarter turn": (DISPLAY_ROW, -DISPLAY_COLUMN),
    "other quarter turn": (-DISPLAY_ROW, DISPLAY_COLUMN),
}


@given(
    rows=st.integers(20, 700),
    columns=st.integers(20, 700),
    spacing=st.tuples(st.floats(0.4, 3.0), st.floats(0.4, 3.0)),
    orientation=st.sampled_from(sorted(ORIENTATIONS)),
    point=st.tuples(st.floats(0, 500), st.floats(0, 500)),
)
def test_positions_come_back_exactly(rows, columns, spacing, orientation, point):
    geometry = short_axis(*ORIENTATIONS[orientation], (spacing[0], spacing[1], 8.0))
    placement = standard_placement((rows, columns), geometry)
    assert placement.to_source(placement.to_target(point)) == pytest.approx(point, abs=1e-9)
    center = [(rows - 1) / 2, (columns - 1) / 2]
    assert placement.to_target(center) == pytest.approx([191.5, 191.5])
    # One target pixel is 1 mm, whatever the source's pixels are.
    step = (placement.to_source([0.0, 1.0]) - placement.to_source([0.0, 0.0])) * [spacing[1], spacing[0]]
    assert np.hypot(*step) == pytest.approx(1.0)


@pytest.mark.parametrize("orientation", sorted(ORIENTATIONS))
def test_the_same_patient_looks_the_same_in_every_orientation(orientation):
    """A blob at a place in the patient lands on the same place of the grid, within the interpolation."""
    columns, rows = ORIENTATIONS[orientation]
    geometry = short_axis(columns, rows, (1.4, 0.8, 8.0))
    wanted = 31.0 * DISPLAY_COLUMN - 17.0 * DISPLAY_ROW  # mm from the centre
    shape = (301, 201)
    y, x = np.indices(shape)
    blob = np.array([(shape[0] - 1) / 2 + wanted @ rows / 0.8, (shape[1] - 1) / 2 + wanted @ columns / 1.4])
    image = np.exp(-(((y - blob[0]) * 0.8) ** 2 + ((x - blob[1]) * 1.4) ** 2) / 50.0).astype(np.float32)
    grid, placement = standard_image(image, geometry)
    weight = grid / grid.sum()
    found = [float((weight * axis).sum()) for axis in np.indices(grid.shape)]
    assert found == pytest.approx([191.5 - 17.0, 191.5 + 31.0], abs=0.05)
    assert placement.to_source(found) == pytest.approx(blob, abs=0.1)


def test_a_header_that_is_no_short_axis_changes_nothing():
    assert np.array_equal(display_axes(Geometry()), np.eye(2))
    assert np.array_equal(display_axes(Geometry(direction=(-1, 0, 0, 0, -1, 0, 0, 0, 1))), np.eye(2))
    assert pytest.approx(0.0, abs=1e-12) == DISPLAY_COLUMN @ APEX


def test_the_crop_shows_the_entry_line_level_with_the_right_ventricle_below():
    center, anterior, inferior = np.array([100.0, 110.0]), np.array([70.0, 90.0]), np.array([120.0, 80.0])
    crop = entry_line_placement(center, anterior, False, 128, 36.0)
    assert crop.to_target(center) == pytest.approx([63.5, 81.5])
    assert crop.to_target(anterior) == pytest.approx([63.5, 45.5])
    assert crop.to_target(inferior)[0] > 63.5
    flip = np.array([1.0, -1.0])
    mirrored = entry_line_placement(center * flip, anterior * flip, True, 128, 36.0)
    assert mirrored.to_target(inferior * flip) == pytest.approx(crop.to_target(inferior))


def test_the_zoom_is_upright_with_the_heart_in_its_middle():
    points = np.array([[100.0, 110.0], [70.0, 90.0], [130.0, 90.0]])
    zoom = zoom_placement(points, 128, 24.0)
    found = zoom.to_target(points)
    assert found[0] == pytest.approx([63.5, 63.5])
    assert np.linalg.norm(found[1:] - found[0], axis=1) == pytest.approx([24.0, 24.0])
    assert found[1, 0] < found[0, 0] and found[1, 1] < found[0, 1]
    far = zoom_placement(np.array([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]), 128, 24.0)
    assert far.matrix == pytest.approx(np.eye(2) / 3.0)


def test_points_that_coincide_still_give_a_crop():
    crop = entry_line_placement(np.array([50.0, 50.0]), np.array([50.0, 50.0]), False, 128, 36.0)
    assert crop.to_target([50.0, 50.0]) == pytest.approx([63.5, 63.5])
    assert abs(np.linalg.det(crop.matrix)) > 0.1


def test_zero_stays_zero_and_hot_pixels_do_not_rule():
    image = np.zeros((140, 140), dtype=np.float32)
    image[10:130, 10:130] = np.linspace(100.0, 200.0, 14400).reshape(120, 120)
    calm = rescaled(image)
    image[15, 15] = 1e6
    hot = rescaled(image)
    assert hot[0, 0] == 0.0
    others = np.ones(image.shape, dtype=bool)
    others[15, 15] = False
    assert np.abs(hot - calm)[others].max() < 0.02
    assert not rescaled(np.full((5, 5), 7.0, dtype=np.float32)).any()


def test_missing_pixels_count_as_zero():
    image = np.ones((30, 30), dtype=np.float32)
    image[3, 3], image[4, 4] = np.nan, np.inf
    grid, _ = standard_image(image, Geometry())
    assert np.isfinite(grid).all()
    with pytest.raises(InputError, match="2D"):
        standard_image(np.zeros((2, 3, 4)), Geometry())


def test_snapping_ends_where_the_entry_line_leaves_the_epicardium():
    y, x = np.indices((101, 101))
    heart = np.hypot(y - 50, x - 50) <= 20.0
    row, column = snapped_insertion((50.0, 50.0), (44.0, 42.0), heart)
    assert np.hypot(row - 50, column - 50) == pytest.approx(20.0, abs=0.8)
    assert (row - 50) / (column - 50) == pytest.approx(6.0 / 8.0, abs=1e-6)
    with pytest.raises(InputError, match="outside the epicardial contour"):
        snapped_insertion((5.0, 5.0), (44.0, 42.0), heart)
    with pytest.raises(InputError, match="same point"):
        snapped_insertion((50.0, 50.0), (50.0, 50.0), heart)


def test_angles_between_entry_lines_wrap():
    center = np.zeros((2, 2))
    first = np.array([[0.1, -1.0], [0.0, 1.0]])
    second = np.array([[-0.1, -1.0], [1.0, 0.0]])
    expected = [2 * np.rad2deg(np.arctan(0.1)), 90.0]
    assert angle_between(center, first, center, second) == pytest.approx(expected)
