"""Insertion points of a stack that are reconciled with each other."""

from __future__ import annotations

import numpy as np
import pytest

from CMRLandmarksLib.stack import SHORTEST_STACK, polar, reconciled, stack_line, wrapped

WIDTH = np.deg2rad(5.0)


def twisted(count: int = 8, turn: float = -7.0, first: float = 170.0) -> np.ndarray:
    """A stack whose anterior insertion turns by ``turn`` degrees a slice; its line crosses from 180 to -180 degrees."""
    heading = np.deg2rad(np.column_stack([first - turn * np.arange(count), np.full(count, 80.0)]))
    arms = 30.0 * np.stack([np.sin(heading), np.cos(heading)], axis=2)
    return np.concatenate([np.zeros((count, 1, 2)), arms], axis=1) + 190.0


def turned(points: np.ndarray, which: int, landmark: int, degrees: float) -> np.ndarray:
    """A copy with one insertion point of one slice turned about the centre."""
    result, angle = points.copy(), np.deg2rad(degrees)
    arm = points[which, landmark] - points[which, 0]
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    result[which, landmark] = points[which, 0] + matrix @ arm
    return result


def width(count: int, degrees: float = 5.0) -> np.ndarray:
    return np.full((count, 2), np.deg2rad(degrees))


def test_what_all_looks_agree_on_stays():
    points = turned(twisted(), 3, 1, 6.0)
    result = reconciled(points, [points, points], width(8))
    assert result.points == pytest.approx(points, abs=0.4)
    assert not result.disagreement.any()
    assert result.off_line[3, 0] == pytest.approx(np.deg2rad(6.0), abs=0.03)
    assert result.off_line[:, 1].max() < 0.01


def test_a_slice_that_its_looks_contradict_goes_to_the_line_of_its_stack():
    truth = twisted()
    wrong, other = turned(truth, 3, 1, 50.0), turned(truth, 3, 1, 25.0)
    result = reconciled(wrong, [other, other, np.full_like(truth, np.nan)], width(8))
    error = np.linalg.norm(result.points - truth, axis=2)
    assert np.linalg.norm(wrong - truth, axis=2)[3, 1] > 20.0 and error[3, 1] < 8.0
    error[3, 1] = 0.0
    assert error.max() < 1.0
    assert result.disagreement[3, 0] > 0.2 and result.disagreement[2, 0] == pytest.approx(0.0, abs=1e-9)


def test_wide_heat_maps_are_doubt_as_well():
    truth = twisted()
    wrong = turned(truth, 3, 1, 30.0)
    widths = width(8)
    sharp = reconciled(wrong, [wrong], widths).points
    widths[3, 0] = np.deg2rad(30.0)
    wide = reconciled(wrong, [wrong], widths).points
    left = [np.linalg.norm(points[3, 1] - truth[3, 1]) for points in (sharp, wide)]
    assert left[0] > 13.0 and left[1] < 5.0


def test_centers_stay_and_distances_are_kept():
    truth = twisted()
    wrong = turned(truth, 2, 2, 40.0)
    result = reconciled(wrong, [truth], width(8)).points
    assert np.array_equal(result[:, 0], truth[:, 0])
    assert polar(result, result[:, :1])[1][:2] == pytest.approx(30.0)


@pytest.mark.parametrize("count", range(1, SHORTEST_STACK))
def test_too_few_slices_have_no_line(count):
    points = twisted(count)
    result = reconciled(points, [points], width(count, 40.0))
    assert result.points == pytest.approx(points) and np.isnan(result.off_line).all()


def test_a_mirrored_or_reversed_stack_is_reconciled_alike():
    wrong = turned(twisted(), 3, 1, 50.0)
    other = twisted()
    expected = reconciled(wrong, [other], width(8)).points
    assert reconciled(wrong[::-1], [other[::-1]], width(8)).points[::-1] == pytest.approx(expected, abs=1e-3)
    flip = np.array([1.0, -1.0])
    assert reconciled(wrong * flip, [other * flip], width(8)).points * flip == pytest.approx(expected, abs=1e-3)


def test_a_line_is_found_through_outliers():
    direction = np.deg2rad(np.column_stack([10.0 * np.arange(9) - 200.0, np.full(9, 20.0)]))
    disturbed = direction.copy()
    disturbed[[1, 6], 0] += np.deg2rad([90.0, -70.0])
    line = stack_line(wrapped(disturbed), np.full((9, 2), WIDTH))
    assert np.rad2deg(wrapped(line - direction)) == pytest.approx(0.0, abs=3.0)
