"""A map that means nothing is told from one that does."""

import numpy as np
import pytest

from CMRT1MappingLib.fit.quality import map_doubt, map_fault
from CMRT1MappingLib.fit.reconstruction import reconstruct

TIMES = (120.0, 1020.0, 1920.0, 2820.0, 3720.0, 200.0, 1100.0, 1980.0)
T1 = np.where(np.hypot(*np.mgrid[-20:20, -20:20]) < 8, 1600.0, 1100.0)


def noisy(signal, noise=6.0):
    draw = np.random.default_rng(4).normal(0.0, noise, (2, *signal.shape))
    return np.hypot(signal + draw[0], draw[1]).astype(np.float32)


def recovery(times, factor=1.9):
    return 900.0 * (1.0 - factor * np.exp(-np.array(times)[:, None, None] * (factor - 1.0) / T1))


def maps_of(images, times=TIMES):
    return reconstruct(images, times, scheme="other", device="cpu")


def saturation(times):
    return 900.0 * (1.0 - 0.99 * np.exp(-np.array(times)[:, None, None] / T1))


SASHA = (10000.0, *(120.0 + 100.0 * i for i in range(9)))


@pytest.mark.parametrize(
    "images, times",
    [
        (noisy(saturation(SASHA)), SASHA),
        (noisy(saturation(TIMES)), TIMES),
        (noisy(np.zeros((8, 40, 40)), 10.0), TIMES),
        (noisy(np.full((8, 40, 40), 900.0)), TIMES),
        (3000.0 - noisy(recovery(TIMES)), TIMES),
        (noisy(1000.0 * np.exp(-np.array(TIMES)[:, None, None] / T1)), TIMES),
        (noisy(recovery(TIMES)), (1920.0, 120.0, 1100.0, 1020.0, 1980.0, 2820.0, 200.0, 3720.0)),
    ],
    ids=["SASHA", "saturation at other times", "noise", "constant", "negative", "decay", "wrong order"],
)
def test_images_that_follow_no_inversion_recovery_are_no_map(images, times):
    maps = maps_of(images, times)
    assert "follow no curve of inversion recovery" in map_fault(maps)
    assert map_doubt(maps) == ""


def test_a_good_map_has_neither_fault_nor_doubt():
    maps = maps_of(noisy(recovery(TIMES)))
    assert (map_fault(maps), map_doubt(maps)) == ("", "")


def test_a_map_most_of_which_is_flagged_is_doubtful():
    maps = maps_of(noisy(recovery(TIMES), 60.0))
    assert map_fault(maps) == "" and "is flagged" in map_doubt(maps)


def test_what_is_missing_counts_in_the_heart_and_not_around_tubes():
    images = noisy(recovery(TIMES))
    images[:, :, 18:] *= 0.0
    maps = maps_of(images)
    assert map_fault(maps) == ""
    heart = np.zeros((40, 40), dtype=bool)
    heart[10:30, 15:30] = True
    assert "80 % of the heart" in map_fault(maps, heart)


def test_a_map_without_signal_in_the_middle_says_so():
    images = noisy(recovery(TIMES))
    images[:, 8:32, 8:32] = 0.0
    assert "holds no signal" in map_fault(maps_of(images))


def test_several_images_of_one_inversion_time_are_fitted_as_one():
    times = (50.0, 50.0, 400.0, 400.0, 1100.0, 1100.0, 2500.0, 2500.0)
    maps = maps_of(noisy(recovery(times)), times)
    np.testing.assert_allclose(np.median(maps.t1[:10]), 1100.0, rtol=0.02)
    assert np.mean(maps.flags != 0) < 0.05
