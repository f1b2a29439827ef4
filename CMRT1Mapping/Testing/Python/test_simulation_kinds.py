"""Still and moved acquisitions of many kinds."""

import dataclasses

import numpy as np
import pytest
from test_simulation_irw_sets import patients

from CMRLib.errors import InputError

torch = pytest.importorskip("torch")

from CMRLib.networks.warp import warp  # noqa: E402
from CMRT1MappingLib.research.irw_kinds import COURSES, KINDS, PATTERNS, case  # noqa: E402

__all__ = ["patients"]


@pytest.mark.parametrize("kind", KINDS)
def test_still_images_differ_from_the_truth_by_noise_alone(kind, patients):
    drawn = case(kind, 1, acdc=patients)
    item = drawn.item
    assert (drawn.course, item.severity) == ("still", "none") and not item.displacement.any() and not item.moved.any()
    difference = item.images * np.exp(1j * item.phase) - item.still_images * np.exp(1j * item.still_phase)
    assert difference.real.std() == pytest.approx(item.noise_sd, rel=0.1)
    assert len(item.images) == len(item.inversion_times_ms) == 8
    assert (item.myocardium > 0.9).sum() > 50
    again = case(kind, 1, acdc=patients).item
    assert all(np.array_equal(getattr(item, f.name), getattr(again, f.name)) for f in dataclasses.fields(item))
    assert not np.array_equal(item.images, case(kind, 1, acdc=patients, split="test").item.images)


def test_frames_and_phase_are_as_various_as_scanners_are():
    cases = [case("flat", number) for number in range(len(PATTERNS))]
    assert {len(drawn.item.images) for drawn in cases} == {5, 6, 7, 8, 9, 10, 11}
    assert {drawn.with_phase for drawn in cases} == {True, False}
    assert {drawn.item.scheme for drawn in cases} == {"shmolli", "molli", "look-locker"}


@pytest.mark.parametrize("course", [name for name in COURSES if name != "still"])
def test_moved_images_come_back_by_their_displacement(course):
    item = case("tubes", 1, course).item
    length = np.hypot(item.displacement[:, 0], item.displacement[:, 1])
    assert length.mean() > 0.1 and np.allclose(item.displacement.mean(axis=0), 0.0, atol=1e-4)
    back = warp(torch.from_numpy(item.images)[:, None], torch.from_numpy(item.displacement), mode="bicubic")[:, 0]
    inside = item.myocardium > 0.9
    before, after = (np.abs(frames - item.still_images)[:, inside].mean() for frames in (item.images, back.numpy()))
    assert after < before
    if course == "jump":
        off = np.unique(item.displacement[:, :, 0, 0].round(4), axis=0)
        assert len(off) <= 3


def test_what_there_is_not_is_said():
    with pytest.raises(InputError, match="no kind 'liver'"):
        case("liver", 0)
    with pytest.raises(InputError, match="no course 'wild'"):
        case("flat", 0, "wild")
    with pytest.raises(InputError, match="needs the folder"):
        case("patient", 0)
