"""Motion correction and T1: what is kept and why, with a network whose answer is known."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from CMRLib.errors import Cancelled, InputError
from CMRT1MappingLib.fit.reconstruction import reconstruct
from CMRT1MappingLib.motion import correction as motion_correction
from CMRT1MappingLib.motion.correction import Correction, correct_and_reconstruct
from CMRT1MappingLib.motion.estimation import MotionEstimate
from CMRT1MappingLib.motion.judgement import summary_r2

TIMES_MS = np.array([100.0, 1100.0, 2100.0, 3100.0, 4100.0, 180.0, 260.0])
SHIFTS = np.array([[3, -2], [0, 1], [-2, 2], [1, 0], [-3, 0], [1, 1], [0, -2]])  # zero mean, (row, column)
SHAPE = (72, 64)
INNER = np.s_[8:-8, 8:-8]
MODEL = SimpleNamespace(entry=SimpleNamespace(id="moconet-test", sha256="ab"))


def anatomy():
    """T1 in ms of two nested discs in a body, axes (row, column)."""
    row, column = np.mgrid[: SHAPE[0], : SHAPE[1]]
    radius = np.hypot(row - 34, column - 30)
    return np.where(radius < 10, 1550.0, np.where(radius < 17, 960.0, 600.0 + 4.0 * column))


def signal(times=TIMES_MS, t1=None):
    """Signed images (frame, row, column) of the anatomy at rest."""
    t1 = anatomy() if t1 is None else t1
    return 1000.0 * (1.0 - 1.95 * np.exp(-np.asarray(times)[:, None, None] / (t1 / 0.95)))


def moved(images):
    return np.stack([np.roll(frame, shift, axis=(0, 1)) for frame, shift in zip(images, SHIFTS, strict=True)])


def displacement(shifts=SHIFTS):
    field = np.zeros((len(shifts), 2, *SHAPE), np.float32)
    field[:] = np.asarray(shifts)[:, :, None, None]
    return field


def magnitude(images):
    return np.abs(images).astype(np.float32)


def disc():
    row, column = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return (np.hypot(row - 34, column - 30) < 18).astype(np.float32)


@pytest.fixture
def answer(monkeypatch):
    """The network's answer; the test sets ``displacement`` and ``heart``."""
    given = SimpleNamespace(displacement=displacement(), heart=disc(), asked=0)

    def estimate(images, spacing_mm, *, model, mirrored, progress):
        given.asked += 1
        given.spacing_mm = spacing_mm
        progress(1.0)
        return MotionEstimate(given.displacement, given.heart, model.entry, "cpu")

    monkeypatch.setattr(motion_correction, "estimate_motion", estimate)
    return given


def correct(images, times=TIMES_MS, phase=None, **options):
    return correct_and_reconstruct(images, times, phase, (1.4, 1.2), model=MODEL, device="cpu", refine=False, **options)


def same_maps(first, second):
    return all(np.array_equal(value, getattr(second, name)) for name, value in vars(first).items())


def test_without_motion_the_maps_are_those_of_the_images_bit_for_bit(answer):
    answer.displacement = displacement(np.zeros_like(SHIFTS))
    images = magnitude(signal())
    result = correct(images)
    assert (result.outcome, result.kept, result.motion_px) == (Correction.STILL, False, 0.0)
    assert same_maps(result.maps, reconstruct(images, TIMES_MS, device="cpu"))
    assert np.array_equal(result.images, images) and result.r2_after == result.r2_before
    assert answer.spacing_mm == (1.4, 1.2)


def test_known_shifts_are_taken_out(answer):
    still, images = magnitude(signal()), magnitude(moved(signal()))
    result = correct(images)
    assert result.kept and result.outcome is Correction.KEPT and "was corrected" in result.explanation
    assert result.motion_px == pytest.approx(np.linalg.norm(SHIFTS, axis=1).mean(), rel=1e-5)
    assert result.r2_before < 0.992 < 0.9999 < result.r2_after
    np.testing.assert_allclose(result.images[(..., *INNER)], still[(..., *INNER)], atol=0.5)
    np.testing.assert_allclose(result.maps.t1[INNER], anatomy()[INNER], atol=1.0)
    assert same_maps(result.original, reconstruct(images, TIMES_MS, device="cpu"))
    assert result.parameters()["MotionCorrection"] == "corrected" and result.parameters()["ModelSHA256"] == "ab"


def test_original_is_kept_where_the_correction_does_not_help(answer):
    images = magnitude(signal())
    result = correct(images)
    assert result.outcome is Correction.NO_BETTER and not result.kept
    assert same_maps(result.maps, reconstruct(images, TIMES_MS, device="cpu"))
    assert np.array_equal(result.images, images)
    assert result.r2_after < result.r2_before and result.motion_px > 1
    assert "did not improve the fit" in result.explanation
    np.testing.assert_array_equal(result.displacement, displacement())


def test_r2_counts_in_the_heart_and_everywhere_where_there_is_none(answer):
    images = magnitude(moved(signal()))
    inside = correct(images)
    assert np.array_equal(inside.heart, disc() > 0.5)
    assert inside.r2_before == pytest.approx(best_nine_tenths(inside.original.r2[disc() > 0.5]), abs=1e-6)
    assert inside.r2_after == pytest.approx(best_nine_tenths(inside.maps.r2[disc() > 0.5]), abs=1e-6)
    answer.heart = np.zeros(SHAPE, np.float32)
    answer.heart[30:34, 30:34] = 1.0
    everywhere = correct(images)
    assert np.array_equal(everywhere.heart, everywhere.original.samples > 0)
    assert everywhere.r2_before == pytest.approx(best_nine_tenths(everywhere.original.r2[everywhere.heart]), abs=1e-6)


def best_nine_tenths(values):
    return np.mean(sorted(values)[len(values) // 10 :])


def test_what_is_too_large_for_a_heart_is_none(answer):
    answer.heart = np.ones(SHAPE, np.float32)
    images = magnitude(moved(signal()))
    result = correct_and_reconstruct(images, TIMES_MS, None, (3.5, 3.5), model=MODEL, device="cpu", refine=False)
    assert np.prod(SHAPE) * 3.5**2 / 100 > motion_correction.LARGEST_HEART_CM2
    assert np.array_equal(result.heart, result.original.samples > 0)
    answer.heart = disc()
    result = correct_and_reconstruct(images, TIMES_MS, None, (3.5, 3.5), model=MODEL, device="cpu", refine=False)
    assert np.array_equal(result.heart, disc() > 0.5)


def test_a_few_hopeless_pixels_do_not_decide():
    """A wrong polarity gives an R² near 0 and may turn out right by chance; all else becoming worse weighs more."""
    before, after = (np.full(SHAPE, value, np.float32) for value in (0.99, 0.985))
    before[:3], after[:3] = 0.0, 0.985
    assert after.mean() > before.mean()
    first, second = (summary_r2(SimpleNamespace(r2=r2), np.ones(SHAPE, bool)) for r2 in (before, after))
    assert second < first
    assert summary_r2(SimpleNamespace(r2=before), np.zeros(SHAPE, bool)) == 0.0


def test_phase_moves_with_the_magnitude(answer):
    """Half a pixel from where the sign changes, magnitudes alone would be averaged over the change."""
    t1 = gaussian_filter(np.where(anatomy() == 1550.0, 2200.0, anatomy()), 2.0, mode="wrap")
    signed = signal(t1=t1)  # at 1100 ms negative inside the inner disc and positive around it
    complex_images = signed * np.exp(1j * (0.3 + 0.01 * np.arange(SHAPE[1])))
    shifts = np.array([[0.5, -0.5], [-0.5, 0.5], [0.5, 0.5], [-0.5, 0.5], [0.5, -0.5], [0.0, -0.5], [-0.5, 0.0]])
    shifts -= shifts.mean(axis=0)
    answer.displacement = displacement(shifts)
    rows, columns = np.fft.fftfreq(SHAPE[0])[:, None], np.fft.fftfreq(SHAPE[1])
    images = np.stack(
        [
            np.fft.ifft2(np.fft.fft2(frame) * np.exp(-2j * np.pi * (rows * shift[0] + columns * shift[1])))
            for frame, shift in zip(complex_images, shifts, strict=True)
        ]
    )
    result = correct(magnitude(images), phase=np.angle(images).astype(np.float32))
    assert result.kept and result.phase is not None
    heart = disc() > 0.5
    aligned = result.images * np.exp(1j * result.phase)
    error = np.abs(aligned - complex_images)[:, heart]
    assert np.median(error) < 5.0 and np.percentile(error, 95) < 60.0
    truth = reconstruct(magnitude(signed), TIMES_MS, np.angle(complex_images), device="cpu")
    clear = heart & (magnitude(signed).min(0) > 40)
    assert (result.maps.polarity == truth.polarity)[:, clear].mean() > 0.999
    assert np.median(np.abs(result.maps.t1 - truth.t1)[heart]) < 3.0
    without_phase = motion_correction.apply_motion(magnitude(images), answer.displacement)[0]
    at_null = magnitude(signed[1]) < 50.0
    assert (heart & at_null).sum() > 10
    lifted = np.abs(without_phase[1] - magnitude(signed[1]))[heart & at_null]
    assert lifted.mean() > 3.0 * np.abs(result.images[1] - magnitude(signed[1]))[heart & at_null].mean()


@pytest.mark.parametrize("order", [[6, 5, 4, 3, 2, 1, 0], [2, 0, 6, 1, 5, 3, 4]])
def test_frames_in_another_order_give_the_same_maps(answer, order):
    images = magnitude(moved(signal()))
    first = correct(images)
    answer.displacement = displacement()[order]
    second = correct(images[order], TIMES_MS[order])
    assert np.array_equal(first.maps.t1, second.maps.t1)
    assert np.array_equal(first.images[order], second.images)
    assert first.r2_after == second.r2_after


def test_bad_images_are_refused_before_the_network_is_asked(answer):
    images = magnitude(signal())
    images[2, 5, 5] = np.nan
    with pytest.raises(InputError, match="1 pixel values are not finite"):
        correct(images)
    assert answer.asked == 0


@pytest.mark.parametrize("count", [4, 12])
def test_too_few_or_too_many_images_are_fitted_as_they_are(answer, count):
    times = np.linspace(100.0, 4100.0, count)
    images = magnitude(signal(times))
    result = correct(images, times, scheme="look-locker")
    assert result.outcome is Correction.NOT_POSSIBLE and answer.asked == 0 and result.model is None
    assert same_maps(result.maps, reconstruct(images, times, scheme="look-locker", device="cpu"))
    assert f"needs 5 to 11 images, not {count}" in result.explanation
    assert result.displacement.shape == (count, 2, *SHAPE) and not result.displacement.any()


@pytest.mark.parametrize("shifts", [SHIFTS, np.zeros_like(SHIFTS)])
def test_progress_and_cancelling_between_all_parts(answer, shifts):
    answer.displacement = displacement(shifts)
    images, seen = magnitude(moved(signal())), []
    correct(images, progress=seen.append)
    assert seen == sorted(seen) and seen[-1] == pytest.approx(1.0) and len(seen) >= 3

    for stop in range(len(seen)):
        calls = []

        def cancel(fraction, calls=calls, stop=stop):
            calls.append(fraction)
            if len(calls) > stop:
                raise Cancelled("Cancelled.")

        with pytest.raises(Cancelled):
            correct(images, progress=cancel)
        assert len(calls) == stop + 1
