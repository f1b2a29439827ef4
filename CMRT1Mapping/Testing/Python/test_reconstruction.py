"""The reconstruction against curves whose parameters are known."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from CMRLib.errors import Cancelled, DeviceError, InputError
from CMRLib.simulation import simulate_study
from CMRT1MappingLib.fit.curve import curve_at
from CMRT1MappingLib.fit.reconstruction import FitOptions, PixelFlag, reconstruct, signal_floor

SHMOLLI_TIMES = (100.0, 1100.0, 2100.0, 3100.0, 4100.0, 180.0, 260.0)
MOLLI_TIMES = (100.0, 180.0, 1000.0, 1080.0, 1900.0, 1980.0, 2800.0, 3700.0)


def signal(times, t1, t1_star_over_t1=0.9, amplitude=300.0):
    """Signed S(TI) with T1 = T1* (B/A - 1), axes (frame, *shape of t1)."""
    t1 = np.asarray(t1, dtype=float)
    t1_star = t1_star_over_t1 * t1
    b = amplitude * (1.0 + 1.0 / t1_star_over_t1)
    shape = (len(times),) + (1,) * t1.ndim
    return amplitude - b * np.exp(-np.reshape(times, shape) / t1_star)


def split(signed):
    """Magnitude and phase images of signed samples, with an arbitrary phase of the coil."""
    phase = np.where(signed < 0, 0.7 - np.pi, 0.7)
    return np.abs(signed).astype(np.float32), phase.astype(np.float32)


T1_IMAGE = np.linspace(400.0, 2000.0, 96).reshape(8, 12)


@pytest.mark.parametrize(
    "scheme, times", [("shmolli", SHMOLLI_TIMES), ("molli", MOLLI_TIMES), ("look-locker", MOLLI_TIMES)]
)
@pytest.mark.parametrize("with_phase", [True, False])
def test_recovers_t1_of_noise_free_curves(scheme, times, with_phase):
    magnitude, phase = split(signal(times, T1_IMAGE))
    maps = reconstruct(magnitude, times, phase if with_phase else None, scheme=scheme, device="cpu")
    np.testing.assert_allclose(maps.t1, T1_IMAGE, rtol=2e-3)
    np.testing.assert_allclose(maps.t1_star, 0.9 * T1_IMAGE, rtol=2e-3)
    np.testing.assert_allclose(maps.a, 300.0, rtol=2e-3)
    assert maps.r2.min() > 0.9999
    assert maps.residual.max() < 0.3
    assert maps.t1.dtype == np.float32 and maps.samples.dtype == np.uint8
    np.testing.assert_array_equal(maps.polarity, np.where(signal(times, T1_IMAGE) < 0, -1, 1))


@settings(max_examples=25)
@given(order=st.permutations(range(7)), scale=st.floats(1e-3, 1e4), t1=st.floats(350.0, 2200.0))
def test_order_of_frames_and_unit_do_not_matter(order, scale, t1):
    times = np.array(SHMOLLI_TIMES)[list(order)]
    magnitude, phase = split(signal(times, np.full((2, 2), t1)) * scale)
    maps = reconstruct(magnitude, times, phase, device="cpu")
    np.testing.assert_allclose(maps.t1, t1, rtol=2e-3)


@settings(max_examples=20)
@given(times=st.lists(st.floats(80.0, 6000.0), min_size=5, max_size=12, unique=True), t1=st.floats(500.0, 1800.0))
def test_molli_takes_any_sampling_pattern(times, t1):
    times = np.sort(times)
    if np.min(np.diff(times)) < 40 or times[0] > 0.5 * t1 or times[-1] < 1.8 * t1:
        return  # the curve is not sampled well enough for any method
    magnitude, phase = split(signal(times, np.full((2, 2), t1)))
    maps = reconstruct(magnitude, times, phase, scheme="molli", device="cpu")
    np.testing.assert_allclose(maps.t1, t1, rtol=0.01)


def test_long_t1_leaves_out_later_inversions():
    """Where the second and third inversion met unrecovered magnetisation, their samples must not bias T1."""
    t1 = np.full((4, 4), 1500.0)
    signed = signal(SHMOLLI_TIMES, t1)
    signed[5:] *= 0.85
    maps = reconstruct(*split(signed)[:1], SHMOLLI_TIMES, split(signed)[1], device="cpu")
    assert (maps.samples == 5).all()
    np.testing.assert_allclose(maps.t1, 1500.0, rtol=2e-3)
    molli = reconstruct(split(signed)[0], SHMOLLI_TIMES, split(signed)[1], scheme="molli", device="cpu")
    assert np.abs(molli.t1 - 1500.0).min() > 50.0


def test_short_t1_uses_all_samples():
    rng = np.random.default_rng(3)
    signed = signal(SHMOLLI_TIMES, np.full((64, 64), 300.0)) + rng.normal(0, 3.0, (7, 64, 64))
    maps = reconstruct(*split(signed)[:1], SHMOLLI_TIMES, split(signed)[1], device="cpu")
    assert np.mean(maps.samples == 7) > 0.7
    assert np.mean(maps.samples >= 6) > 0.95


def test_readings_of_the_last_test_differ():
    rng = np.random.default_rng(4)
    signed = signal(SHMOLLI_TIMES, np.full((64, 64), 400.0)) + rng.normal(0, 5.0, (7, 64, 64))
    magnitude, phase = split(signed)
    scanner = reconstruct(magnitude, SHMOLLI_TIMES, phase, options=FitOptions(last_test="scanner"), device="cpu")
    paper = reconstruct(magnitude, SHMOLLI_TIMES, phase, options=FitOptions(last_test="paper"), device="cpu")
    changed = scanner.samples != paper.samples
    assert 0.01 < changed.mean() < 0.9
    assert set(np.unique(scanner.samples[changed])) <= {5, 6, 7}


def test_r2_is_the_squared_correlation_of_magnitudes():
    rng = np.random.default_rng(5)
    signed = signal(SHMOLLI_TIMES, np.full((8, 8), 1200.0)) + rng.normal(0, 12.0, (7, 8, 8))
    magnitude, phase = split(signed)
    maps = reconstruct(magnitude, SHMOLLI_TIMES, phase, device="cpu")
    times = np.array(SHMOLLI_TIMES)
    for row, column in ((0, 0), (3, 5), (7, 7)):
        used = maps.used[:, row, column]
        a, b, t1_star = (m[row, column] for m in (maps.a, maps.b, maps.t1_star))
        fit = np.abs(a - b * np.exp(-times / t1_star))
        expected = np.corrcoef(fit[used], magnitude[used, row, column])[0, 1] ** 2
        assert maps.r2[row, column] == pytest.approx(expected, abs=1e-4)
        assert used.sum() == maps.samples[row, column]


def test_air_is_not_fitted_and_keeps_zero():
    magnitude, phase = split(signal(SHMOLLI_TIMES, T1_IMAGE))
    magnitude[:, 0, :3] = 0.5
    maps = reconstruct(magnitude, SHMOLLI_TIMES, phase, device="cpu")
    assert (maps.flags[0, :3] == PixelFlag.NO_SIGNAL).all()
    for values in (maps.t1, maps.r2, maps.samples, maps.t1_error, maps.t1_star):
        assert not values[0, :3].any()
    assert (maps.t1[0, 3:] > 0).all()


def test_noise_in_air_is_not_fitted():
    acquisition = simulate_study(seed=2, slices=("mid",), snr=25).acquisitions[0]
    floor = signal_floor(acquisition.images)
    fitted = acquisition.images.max(0) > floor
    assert fitted[acquisition.truth.t1 == 0].mean() < 0.05
    assert fitted[acquisition.truth.labels > 0].all()


def test_masked_background_leaves_faint_tissue_its_fit():
    """Scanners may set air to zero; then nothing is known of the noise and one per cent of the brightest is kept."""
    magnitude = np.zeros((7, 40, 40), np.float32)
    magnitude[:, :10] = 300.0
    magnitude[:, 10:12] = 4.0
    assert ((magnitude.max(0) > signal_floor(magnitude))[:12]).all()
    assert not (magnitude.max(0) > signal_floor(magnitude))[12:].any()


def test_pytorch_keeps_its_number_of_threads():
    before = torch.get_num_threads()
    magnitude, phase = good()
    reconstruct(magnitude, SHMOLLI_TIMES, phase, device="cpu")
    assert torch.get_num_threads() == before


def test_curves_that_no_inversion_makes_are_marked():
    rising = np.array([200.0, 260, 280, 290, 295, 215, 230])  # saturation recovery: A > B
    magnitude = np.tile(rising[:, None, None], (1, 4, 4)).astype(np.float32)
    maps = reconstruct(magnitude, SHMOLLI_TIMES, np.zeros_like(magnitude), device="cpu")
    assert (maps.flags & PixelFlag.T1_UNRESOLVED > 0).all()


def test_ambiguous_polarity_is_marked_without_phase_only():
    """A first sample near the zero crossing of a short T1: its sign decides between two values of T1."""
    rng = np.random.default_rng(6)
    signed = signal(SHMOLLI_TIMES, np.full((40, 40), 120.0)) + rng.normal(0, 15.0, (7, 40, 40))
    magnitude, _ = split(signed)
    without = reconstruct(magnitude, SHMOLLI_TIMES, device="cpu")
    wrong = np.abs(without.t1 - 120.0) > 24.0
    assert wrong.mean() > 0.05, "the case is not ambiguous enough to test anything"
    assert (without.flags[wrong] > 0).mean() > 0.9


def test_standard_error_needs_no_knowledge_of_the_unit():
    rng = np.random.default_rng(7)
    signed = signal(SHMOLLI_TIMES, np.full((32, 32), 1100.0)) + rng.normal(0, 6.0, (7, 32, 32))
    magnitude, phase = split(signed)
    plain = reconstruct(magnitude, SHMOLLI_TIMES, phase, device="cpu")
    other = reconstruct(magnitude * 7.5, SHMOLLI_TIMES, phase, device="cpu")
    np.testing.assert_allclose(plain.t1_error, other.t1_error, rtol=1e-3)
    assert other.noise_sd == pytest.approx(7.5 * plain.noise_sd, rel=1e-3)
    assert plain.noise_sd == pytest.approx(6.0, rel=0.15)


def test_curve_of_a_pixel_repeats_the_map():
    rng = np.random.default_rng(8)
    signed = signal(SHMOLLI_TIMES, T1_IMAGE) + rng.normal(0, 4.0, (7, *T1_IMAGE.shape))
    magnitude, phase = split(signed)
    maps = reconstruct(magnitude, SHMOLLI_TIMES, phase, device="cpu")
    options = FitOptions(noise_sd=maps.noise_sd)
    for row, column in ((0, 0), (4, 6), (7, 11)):
        curve = curve_at(magnitude, SHMOLLI_TIMES, phase, row, column, options=options)
        assert curve.t1 == pytest.approx(float(maps.t1[row, column]), rel=1e-4)
        assert curve.t1_error == pytest.approx(float(maps.t1_error[row, column]), rel=1e-2)
        assert curve.samples == maps.samples[row, column] == curve.used.sum()
        assert list(curve.inversion_times_ms) == sorted(SHMOLLI_TIMES)
        at_samples = np.interp(curve.inversion_times_ms[curve.used], curve.curve_times_ms, curve.curve_signal)
        assert np.abs(at_samples - curve.signal[curve.used]).max() < 25.0


def test_curve_of_air_has_no_samples():
    images = np.zeros((7, 4, 4), np.float32)
    curve = curve_at(images, SHMOLLI_TIMES, None, 1, 1)
    assert curve.samples == 0 and curve.flags == PixelFlag.NO_SIGNAL
    with pytest.raises(InputError, match="outside the image"):
        curve_at(images, SHMOLLI_TIMES, None, 4, 0)


def good():
    return split(signal(SHMOLLI_TIMES, T1_IMAGE))


def broken(change):
    magnitude, phase = good()
    times = list(SHMOLLI_TIMES)
    options = {}
    replacement = change(magnitude, phase, times, options)
    magnitude, phase, times = replacement or (magnitude, phase, times)
    reconstruct(magnitude, times, phase, device="cpu", **options)


@pytest.mark.parametrize(
    "change, sentence",
    [
        (lambda m, p, t, o: (m[:6], p[:6], t[:6]), "where ShMOLLI has 7|it has 7 images but"),
        (lambda m, p, t, o: (m, p, t[:6]), "where ShMOLLI has 7|it has 7 images but"),
        (lambda m, p, t, o: (np.concatenate([m, m[:1]]), None, [*t, 500.0]), "where ShMOLLI has 7|it has 7 images but"),
        (lambda m, p, t, o: (m[:6], p[:6], t), "6 images but 7 inversion times"),
        (lambda m, p, t, o: t.__setitem__(1, 100.0), "the inversion time 100 ms occurs 2 times"),
        (lambda m, p, t, o: t.__setitem__(1, float("nan")), "between 0 and 30000"),
        (lambda m, p, t, o: t.__setitem__(1, -5.0), "between 0 and 30000"),
        (lambda m, p, t, o: (m, p, [v / 1000 for v in t]), "seconds"),
        (lambda m, p, t, o: m.__setitem__((2, 3, 3), np.nan), "1 pixel values are not finite"),
        (lambda m, p, t, o: m.__setitem__((2, 3, 3), np.inf), "not finite"),
        (
            lambda m, p, t, o: m.__setitem__(slice(0, 2), -m[:2]),
            "hold negative values, .* which magnitudes cannot be",
        ),
        (lambda m, p, t, o: m.fill(0.0), "zero everywhere"),
        (lambda m, p, t, o: m[4].fill(0.0), "Image 5 of 7 is zero"),
        (lambda m, p, t, o: (m, p[:, :4], t), "do not match"),
        (lambda m, p, t, o: p.__setitem__((0, 0, 0), np.nan), "phase images hold"),
        (lambda m, p, t, o: (m, p * 1000, t), "not in radians"),
        (lambda m, p, t, o: (m[0], p, t), "must be a stack"),
        (lambda m, p, t, o: o.update(scheme="sasha"), "no scheme"),
        (lambda m, p, t, o: o.update(options=FitOptions(last_test="other")), "last test"),
    ],
)
def test_bad_input_gets_one_sentence(change, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        broken(change)
    text = str(caught.value)
    assert text.endswith(".") and "\n" not in text


def test_what_interpolation_left_below_zero_is_taken_for_zero():
    magnitude, phase = good()
    magnitude[2, 3, 3] = 0.0
    expected = reconstruct(magnitude, SHMOLLI_TIMES, phase, device="cpu")
    magnitude[2, 3, 3] = -4.0
    np.testing.assert_array_equal(reconstruct(magnitude, SHMOLLI_TIMES, phase, device="cpu").t1, expected.t1)


def test_molli_needs_four_different_times():
    magnitude, phase = good()
    with pytest.raises(InputError, match="3 different inversion times and a T1 fit needs at least 4"):
        reconstruct(magnitude[:4], [100.0, 100.0, 1000.0, 2000.0], None, scheme="molli", device="cpu")


def test_a_device_that_is_not_there_is_an_error():
    magnitude, phase = good()
    with pytest.raises(DeviceError, match="no device called"):
        reconstruct(magnitude, SHMOLLI_TIMES, phase, device="tpu")
    with pytest.raises(DeviceError, match="not available"):
        reconstruct(magnitude, SHMOLLI_TIMES, phase, device="cuda:99")


def test_progress_reaches_one_and_can_cancel():
    magnitude, phase = split(signal(SHMOLLI_TIMES, np.full((200, 200), 900.0)))
    seen = []
    reconstruct(magnitude, SHMOLLI_TIMES, phase, device="cpu", progress=seen.append)
    assert len(seen) > 1 and seen == sorted(seen) and seen[-1] == 1.0

    def cancel(_):
        raise Cancelled("Cancelled.")

    with pytest.raises(Cancelled):
        reconstruct(magnitude, SHMOLLI_TIMES, phase, device="cpu", progress=cancel)


def test_gpu_agrees_with_cpu():
    if not torch.cuda.is_available():
        pytest.skip("no GPU on this computer")
    magnitude, phase = good()
    cpu = reconstruct(magnitude, SHMOLLI_TIMES, phase, device="cpu")
    gpu = reconstruct(magnitude, SHMOLLI_TIMES, phase, device="cuda")
    np.testing.assert_allclose(gpu.t1, cpu.t1, rtol=1e-3)
