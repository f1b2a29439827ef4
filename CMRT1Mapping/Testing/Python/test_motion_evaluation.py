"""Errors that are left after a correction, on fields whose errors are known by hand."""

from dataclasses import replace

import numpy as np
import pytest

from CMRT1MappingLib.fit.reconstruction import reconstruct
from CMRT1MappingLib.research.motion_evaluation import (
    anatomy_seen,
    contour_agreement,
    distances,
    measure_motion,
    sample,
)

SHAPE = (64, 72)
CENTRE = (31.0, 36.0)
TIMES = np.array([100.0, 180.0, 260.0, 1000.0, 1900.0, 2800.0, 3700.0])
SPACING = (1.5, 1.5)


def shifts(*row_column):
    """A displacement (frame, 2, row, column) that is the same in every pixel of a frame."""
    return np.broadcast_to(np.array(row_column, np.float32)[:, :, None, None], (len(row_column), 2, *SHAPE)).copy()


def radius(center=CENTRE):
    row, column = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return np.hypot(row - center[0], column - center[1])


def ring():
    """Share of a ring between the radii 12 and 20 pixels, with edges a pixel wide."""
    r = radius()
    return (np.clip(r - 11.5, 0, 1) * np.clip(20.5 - r, 0, 1)).astype(np.float32)


def t1_map():
    """1000 ms in the left half of the anatomy, 1200 ms in the right one."""
    column = np.mgrid[: SHAPE[0], : SHAPE[1]][1]
    return np.where(column < CENTRE[1], 1000.0, 1200.0).astype(np.float32)


def maps_of(t1):
    """A reconstruction that found this T1 everywhere."""
    signal = np.abs(1.0 - 2.0 * np.exp(-TIMES[:, None, None] / np.full((1, 4, 4), 1000.0)))
    maps = reconstruct(signal.astype(np.float32), TIMES, scheme="look-locker", device="cpu")
    full = np.full(SHAPE, 7, np.uint8)
    return replace(maps, t1=t1.astype(np.float32), r2=np.full(SHAPE, 0.98, np.float32), samples=full)


def measured(displacement, moved, t1=None):
    return measure_motion(displacement, maps_of(t1_map() if t1 is None else t1), moved, ring(), t1_map(), SPACING)


MOVED = shifts((2.0, 0.0), (-2.0, 0.0), (0.0, 0.0))  # frame i shows the anatomy so far away


def test_uncorrected_error_is_the_distance_from_the_mean_place():
    found = measured(shifts((0, 0), (0, 0), (0, 0)), MOVED)
    assert found.displacement_px == pytest.approx(4.0 / 3.0, abs=1e-5)
    assert found.displacement_max_px == pytest.approx(2.0, abs=1e-5)
    assert found.displacement_p95_px == pytest.approx(2.0, abs=1e-5)
    assert found.t1_error_ms == pytest.approx(0.0, abs=1e-3) and found.r2 == pytest.approx(0.98)
    assert found.folded == 0.0


def test_perfect_correction_has_no_error():
    found = measured(-MOVED, MOVED)
    assert found.displacement_max_px == pytest.approx(0.0, abs=1e-5)
    assert found.dice == 1.0 and found.hd95_mm == 0.0


def test_reference_grid_does_not_matter():
    """A pairwise method brings all frames to the first one, which shows the anatomy 2 rows further down."""
    pairwise = shifts((0.0, 0.0), (4.0, 0.0), (2.0, 0.0))
    seen = anatomy_seen(pairwise, MOVED)
    assert np.allclose(seen, shifts((2.0, 0.0), (2.0, 0.0), (2.0, 0.0)), atol=1e-5)
    # Its T1 map is that of the anatomy there, so the truth has to be looked up there.
    column = np.mgrid[: SHAPE[0], : SHAPE[1]][1]
    moved = shifts((0.0, 3.0), (0.0, -3.0), (0.0, 0.0))
    to_first = shifts((0.0, 0.0), (0.0, 6.0), (0.0, 3.0))
    found_there = np.where(column + 3 < CENTRE[1], 1000.0, 1200.0)
    found = measured(to_first, moved, found_there)
    assert found.displacement_max_px == pytest.approx(0.0, abs=1e-5)
    assert found.t1_error_ms == pytest.approx(0.0, abs=1e-3)
    assert found.dice == 1.0
    assert measured(to_first, moved).t1_error_ms > 5.0, "the map of the other grid is not right here"


def test_displacements_are_composed_where_the_frame_is_read():
    """a = x + d(x) + u(x + d(x)): with u growing along the rows, u is taken at the displaced row."""
    row = np.mgrid[: SHAPE[0], : SHAPE[1]][0].astype(np.float32)
    moved = shifts((0.0, 0.0))
    moved[0, 0] = 0.1 * row
    seen = anatomy_seen(shifts((5.0, 0.0)), moved)
    inside = slice(0, 50)
    assert np.allclose(seen[0, 0, inside], 5.0 + 0.1 * (row[inside] + 5.0), atol=1e-4)
    assert np.allclose(seen[0, 1], 0.0)


def test_distances_are_euclidean_and_only_of_the_mask():
    seen = shifts((3.0, 4.0), (-3.0, -4.0))
    mask = np.zeros(SHAPE, bool)
    mask[5, 6:9] = True
    seen[:, :, 0, 0] = 99.0
    assert distances(seen, mask) == pytest.approx(np.full((2, 3), 5.0))


def test_sampling_is_linear():
    image = np.arange(SHAPE[0] * SHAPE[1], dtype=np.float32).reshape(SHAPE)
    sampled = sample(image, shifts((0.25, 0.5))[0])
    assert sampled[10, 10] == pytest.approx(image[10, 10] + 0.25 * SHAPE[1] + 0.5, abs=1e-2)


def test_hausdorff_distance_and_dice_of_a_known_shift():
    """Two frames 2 pixels of 1.5 mm apart: each is 1 pixel from the mean, and so is the ring's top and bottom."""
    dice, hd95 = contour_agreement(shifts((1.0, 0.0), (-1.0, 0.0)), ring(), SPACING)
    assert hd95 == pytest.approx(1.5, abs=0.1)
    # A circle of radius r moved by s uncovers an area of 2 r s on one side, and covers as much on the other.
    area, uncovered = np.pi * (20.0**2 - 12.0**2), 2.0 * (20.0 + 12.0)
    assert dice == pytest.approx(1.0 - uncovered / area, abs=0.01)


def test_contours_are_finer_than_pixels():
    dice, hd95 = contour_agreement(shifts((0.25, 0.0), (-0.25, 0.0)), ring(), SPACING)
    assert 0.3 < hd95 < 0.45 and 0.96 < dice < 0.99


def test_a_fold_is_counted():
    field = shifts((0.0, 0.0), (0.0, 0.0))
    field[1, 0, 30:34, 20:30] = np.array([4.0, 2.0, -2.0, -4.0], np.float32)[:, None]
    found = measured(field, shifts((0.0, 0.0), (0.0, 0.0)))
    # Central differences: rows 29 to 34 have slopes 2, 1, -2, -3, 1 and 2.
    assert found.folded == pytest.approx(20 / (2 * SHAPE[0] * SHAPE[1]))


def test_t1_error_is_that_of_pixels_well_inside():
    wrong = t1_map() + 10.0
    wrong[ring() <= 0.5] += 500.0
    found = measured(shifts((0, 0), (0, 0)), shifts((0, 0), (0, 0)), wrong)
    assert found.t1_error_ms == pytest.approx(10.0, abs=1e-3) and found.t1_bias_ms == pytest.approx(10.0, abs=1e-3)
