"""dT1 and its standard error in pixels, regions, segments and layers of the wall."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from CMRLib.errors import InputError
from CMRStressReactivityLib.reactivity import (
    ReactivityMap,
    grade,
    layer_reactivity,
    reactivity_map,
    reactivity_of_means,
    region_reactivity,
    segment_reactivity,
    wall_depth,
)

T1 = st.floats(200.0, 3000.0)
PERCENT = st.floats(-40.0, 60.0)


def disk(radius, size=64):
    rows, columns = np.indices((size, size)) - (size - 1) / 2.0
    return np.hypot(rows, columns) < radius


RING = disk(20) & ~disk(10)


@given(rest=T1, percent=PERCENT, unit=st.sampled_from([1.0, 0.001]))
def test_the_change_put_in_comes_out_whatever_the_unit(rest, percent, unit):
    maps = np.full((4, 4), unit * rest)
    found = reactivity_map(maps, maps * (1 + percent / 100))
    assert np.allclose(found.percent, percent, atol=1e-3) and found.error is None


@given(rest=T1, percent=st.floats(-20.0, 20.0))
def test_swapping_rest_and_stress_undoes_the_change(rest, percent):
    one, other = np.full((3, 3), rest), np.full((3, 3), rest * (1 + percent / 100))
    there, back = reactivity_map(one, other).percent, reactivity_map(other, one).percent
    assert np.allclose((1 + there / 100) * (1 + back / 100), 1.0, atol=1e-6)


@given(rest=T1, percent=PERCENT, errors=st.tuples(st.floats(1.0, 60.0), st.floats(1.0, 60.0)))
def test_the_standard_error_is_that_of_the_quotient(rest, percent, errors):
    stress = rest * (1 + percent / 100)
    maps = (np.full((2, 2), rest), np.full((2, 2), stress), *(np.full((2, 2), e) for e in errors))
    found = reactivity_map(*maps)
    # The derivatives of 100 (s - r) / r by r and by s, taken numerically.
    step = 1e-3
    by_rest = (100 * stress / (rest + step) - 100 * stress / rest) / step
    expected = np.hypot(by_rest * errors[0], 100 / rest * errors[1])
    assert np.allclose(found.error, expected, rtol=1e-3)
    assert reactivity_of_means(rest, stress, *errors) == pytest.approx(
        (found.percent[0, 0], expected), rel=1e-3, abs=1e-3
    )


def test_errors_say_how_the_change_spreads():
    """Maps with noise of a known size: the spread of dT1 over pixels and of its mean over repetitions is the error."""
    rng = np.random.default_rng(0)
    means, region = [], None
    for _ in range(300):
        rest = 1000 + 30 * rng.standard_normal((64, 64))
        stress = 1060 + 40 * rng.standard_normal((64, 64))
        errors = np.full((64, 64), 30.0), np.full((64, 64), 40.0)
        region = region_reactivity(reactivity_map(rest, stress, *errors), RING)
        means.append(region.percent)
    assert region.sd == pytest.approx(np.median(reactivity_map(rest, stress, *errors).error[RING]), rel=0.1)
    assert np.std(means) == pytest.approx(region.error, rel=0.15)
    assert region.is_significant and abs(np.mean(means) - 6.0) < 0.15


def test_a_small_change_is_told_from_noise_only_where_the_errors_are_small():
    rest, stress = np.full((64, 64), 1000.0), np.full((64, 64), 1015.0)
    few = np.zeros((64, 64), bool)
    few[30:32, 30:33] = True
    errors = (np.full((64, 64), 25.0), np.full((64, 64), 25.0))
    changes = reactivity_map(rest, stress, *errors)
    assert region_reactivity(changes, RING).is_significant
    assert not region_reactivity(changes, few).is_significant
    assert not region_reactivity(changes, RING, dependence=500.0).is_significant
    assert region_reactivity(reactivity_map(rest, stress), RING).is_significant is None


@given(dependence=st.floats(1.0, 9.0))
def test_dependent_pixels_make_a_mean_less_sure(dependence):
    maps = [np.full((64, 64), value) for value in (1000.0, 1060.0, 20.0, 20.0)]
    free, bound = (region_reactivity(reactivity_map(*maps), RING, n) for n in (1.0, dependence))
    assert bound.error == pytest.approx(free.error * dependence**0.5)
    assert bound.percent == free.percent


@given(data=st.data())
def test_pixels_without_t1_have_no_change_and_do_no_harm(data):
    seed = data.draw(st.integers(0, 1000))
    rng = np.random.default_rng(seed)
    rest, stress = np.full((64, 64), 1000.0), np.full((64, 64), 1050.0)
    holes = rng.random((64, 64)) < 0.3
    nothing = data.draw(st.sampled_from([0.0, -5.0, np.nan, np.inf]))
    (rest if data.draw(st.booleans()) else stress)[holes] = nothing
    found = reactivity_map(rest, stress)
    assert np.array_equal(found.valid, ~holes)
    region = region_reactivity(found, RING)
    assert region.percent == pytest.approx(5.0, abs=1e-4)
    assert region.pixels + region.excluded == RING.sum() and region.excluded == (holes & RING).sum()


def test_segments_have_their_own_changes_and_empty_ones_none():
    percent = np.full((64, 64), 6.0, np.float32)
    segments = np.where(RING, 7, 0).astype(np.uint8)
    segments[:, :32][RING[:, :32]] = 9
    percent[:, :32] = 0.5
    found = segment_reactivity(ReactivityMap(percent), segments)
    assert found[7].percent == pytest.approx(6.0) and found[9].percent == pytest.approx(0.5)
    assert found[1] is None and set(found) == set(range(1, 17))


def test_the_inner_layer_that_does_not_respond_is_seen():
    depth = wall_depth(RING)
    assert np.array_equal(np.isfinite(depth), RING)
    assert np.nanmin(depth) < 0.1 and np.nanmax(depth) > 0.9
    percent = np.where(np.nan_to_num(depth) < 0.5, 1.0, 7.0).astype(np.float32)
    layers = layer_reactivity(ReactivityMap(percent), depth)
    assert layers.subendocardial.percent == pytest.approx(1.0) and layers.subepicardial.percent == pytest.approx(7.0)
    assert layers.difference == pytest.approx(6.0)
    left = np.zeros((64, 64), bool)
    left[:, :15] = True
    part = layer_reactivity(ReactivityMap(percent), depth, left)
    assert part.subendocardial is None and part.difference is None and part.subepicardial.percent == pytest.approx(7.0)


@given(stretch=st.floats(0.5, 2.0))
def test_depth_does_not_depend_on_the_unit_of_length(stretch):
    assert np.allclose(wall_depth(RING, (stretch, stretch)), wall_depth(RING), equal_nan=True, atol=1e-9)


@given(percent=PERCENT)
def test_grades_count_the_thresholds_reached(percent):
    assert grade(percent) == sum(percent >= t for t in (3, 6, 9))


def test_what_cannot_be_told_is_said():
    assert grade(np.array([np.nan, 0.0]))[0] == -1
    with pytest.raises(InputError, match="must rise"):
        grade(1.0, (6.0, 3.0))
    with pytest.raises(InputError, match="register it to the rest map"):
        reactivity_map(np.ones((2, 2)), np.ones((3, 3)))
    with pytest.raises(InputError, match="of both T1 maps are needed"):
        reactivity_map(np.ones((2, 2)), np.ones((2, 2)), np.ones((2, 2)))
    with pytest.raises(InputError, match="not on the grid"):
        reactivity_map(np.ones((2, 2)), np.ones((2, 2)), np.ones((2, 2)), np.ones((3, 3)))
    with pytest.raises(InputError, match="close its contour"):
        wall_depth(disk(10))
    with pytest.raises(InputError, match="over the myocardium"):
        reactivity_of_means(0.0, 1000.0)
    with pytest.raises(InputError, match="cannot share"):
        region_reactivity(ReactivityMap(np.ones((2, 2))), np.ones((2, 2), bool), 0.5)
    with pytest.raises(InputError, match="no fitted pixel"):
        region_reactivity(ReactivityMap(np.full((2, 2), np.nan)), np.ones((2, 2), bool))
