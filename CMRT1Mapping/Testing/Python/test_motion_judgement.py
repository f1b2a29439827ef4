"""The decision to keep aligned images: that smoothing alone does not win it, and that motion does."""

import functools

import numpy as np
import pytest

pytest.importorskip("torch")

from CMRT1MappingLib.fit.reconstruction import reconstruct
from CMRT1MappingLib.motion.correction import Correction, correct_and_reconstruct
from CMRT1MappingLib.motion.estimation import apply_motion, load_motion_model
from CMRT1MappingLib.motion.judgement import (
    LEAST_GAIN,
    LEAST_GAIN_UNREFINED,
    Judgement,
    judge,
    smoothed_alike,
    summary_r2,
)
from CMRT1MappingLib.research.irw_kinds import case

# Small images of every kind, with and without phase and of all schemes. But for one kind in two, smoothing alone
# makes the curves of these still ones fit so much better that it would win.
STILL = {
    "flat": (13, 18, 20),
    "nested": (1, 2, 8),
    "tubes": (0, 1, 5),
    "texture": (13, 18, 20),
    "heart": (3, 5, 11),
    "artefact": (2, 4, 10),
}
MOVED = {"tubes": (0, 1), "heart": (3, 5), "artefact": (4, 10)}
MODEL = functools.cache(lambda: load_motion_model("moconet", "cpu"))


@functools.cache
def corrected(kind, number, course="still"):
    moving = case(kind, number, course)
    item = moving.item
    return correct_and_reconstruct(
        item.images,
        item.inversion_times_ms,
        item.phase if moving.with_phase else None,
        (item.spacing_mm, item.spacing_mm),
        scheme=item.scheme,
        model=MODEL(),
        device="cpu",
    )


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5, 0.8])
@pytest.mark.parametrize("whole", [0, -3])
def test_the_equal_smoothing_has_the_width_and_the_noise_of_the_interpolation(fraction, whole):
    shift = np.full((1, 2, 64, 64), whole + fraction, np.float32)
    noise = np.random.default_rng(1).normal(10.0, 1.0, (1, 64, 64)).astype(np.float32)
    inner = np.s_[:, 8:-8, 8:-8]
    interpolated, _ = apply_motion(noise, shift)
    smoothed, _ = smoothed_alike(noise, shift)
    assert smoothed[inner].std() == pytest.approx(interpolated[inner].std(), rel=0.05)
    # A parabola grows by the variance along either axis.
    parabola = np.square(np.arange(64.0) - 32.0)[None, :, None] * np.ones((1, 64, 64))
    grown = smoothed_alike(parabola.astype(np.float32), shift)[0] - parabola
    np.testing.assert_allclose(grown[inner], fraction * (1.0 - fraction), atol=1e-3)


def test_the_equal_smoothing_moves_nothing_and_keeps_what_does_not_move():
    rng = np.random.default_rng(2)
    ramp = (np.indices((40, 40)).sum(axis=0) + 5.0)[None].astype(np.float32)
    shift = rng.uniform(-3.0, 3.0, (1, 2, 40, 40)).astype(np.float32)
    smoothed, _ = smoothed_alike(ramp, shift)
    np.testing.assert_allclose(smoothed[:, 4:-4, 4:-4], ramp[:, 4:-4, 4:-4], atol=1e-3)
    phase = rng.uniform(-3.0, 3.0, (1, 40, 40)).astype(np.float32)
    for angle in (None, phase):
        same, same_angle = smoothed_alike(ramp, np.round(shift), angle)
        np.testing.assert_allclose(same, ramp, rtol=1e-5)
    np.testing.assert_allclose(same_angle, phase, atol=1e-5)
    assert np.array_equal(smoothed_alike(ramp, 0.0 * shift)[0], ramp)


def test_smoothing_raises_r2_and_does_not_win():
    """Random displacements of noisy flat tissue: R² rises by more than it once had to, and nothing is gained."""
    rng = np.random.default_rng(3)
    times = np.array([100.0, 1100.0, 2100.0, 3100.0, 4100.0, 180.0, 260.0])
    signal = 1000.0 * (1.0 - 2.0 * np.exp(-times / 950.0))
    images = np.abs(signal[:, None, None] + rng.normal(0.0, 15.0, (7, 48, 48))).astype(np.float32)
    shift = np.broadcast_to(rng.uniform(-1.0, 1.0, (7, 2, 1, 1)), (7, 2, 48, 48)).astype(np.float32)
    aligned, _ = apply_motion(images, shift)
    region = np.zeros((48, 48), bool)
    region[6:-6, 6:-6] = True
    before, after = (summary_r2(reconstruct(frames, times, device="cpu"), region) for frames in (images, aligned))
    assert 1.0 - after < 0.8 * (1.0 - before)
    found = judge(images, None, aligned, None, shift, region, times, scheme="shmolli")
    assert found.aligned == pytest.approx(after, abs=1e-4)
    assert abs(found.gain) < 0.7 * LEAST_GAIN


def test_a_perfect_fit_cannot_gain():
    assert Judgement(1.0, 1.0).gain == 0.0
    assert Judgement(0.9, 0.99).gain == pytest.approx(0.9) and Judgement(0.9, 0.85).gain == pytest.approx(-0.5)


@pytest.mark.parametrize("kind", STILL)
def test_still_images_of_any_kind_are_left_alone(kind):
    for number in STILL[kind]:
        result = corrected(kind, number)
        assert result.outcome in (Correction.STILL, Correction.NO_BETTER), (kind, number, result.explanation)
        assert result.maps is result.original


def test_what_only_the_refinement_gains_is_noise():
    """A still heart whose refined displacement lowers 1 - R² by an eighth, which the network's own does not."""
    item, result = case("heart", 13).item, corrected("heart", 13)
    assert result.outcome is Correction.NO_BETTER
    refined = judge(
        item.images,
        item.phase,
        *apply_motion(item.images, result.displacement, item.phase),
        result.displacement,
        result.heart,
        item.inversion_times_ms,
        scheme=item.scheme,
    )
    assert refined.gain > LEAST_GAIN_UNREFINED > 1.0 - (1.0 - result.r2_after) / (1.0 - result.r2_smoothed)


def test_smoothing_is_named_in_what_is_said():
    result = corrected("flat", 13)
    assert result.outcome is Correction.NO_BETTER
    assert result.r2_before < result.r2_smoothed and "by more than smoothing does" in result.explanation
    assert result.parameters()["R2Smoothed"] == pytest.approx(result.r2_smoothed, abs=1e-6)


@pytest.mark.parametrize("kind", MOVED)
def test_motion_is_still_corrected(kind):
    for number, course in zip(MOVED[kind], ("moderate", "severe"), strict=True):
        result = corrected(kind, number, course)
        assert result.kept and result.r2_after > max(result.r2_before, result.r2_smoothed), result.explanation
