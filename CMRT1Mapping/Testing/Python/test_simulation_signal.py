"""The schedules, the tracked magnetisation and the tissue table of the simulator."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from CMRLib.errors import InputError
from CMRLib.simulation import molli_inversion_times, schedule, shmolli_inversion_times, simulate_pixels
from CMRLib.simulation.signal import Readout, ideal_signals, inversion_recovery_signals, relaxed_signal
from CMRLib.simulation.tissue import TISSUES, tissue_values
from CMRT1MappingLib.fit.reconstruction import reconstruct


def read_t1(signals, times, scheme="shmolli"):
    """T1 that the reconstruction reads from noise-free signed signals (frame, tissue)."""
    images = np.abs(signals)[:, None].astype(np.float32)
    phase = np.where(signals < 0, np.pi, 0.0)[:, None].astype(np.float32)
    return reconstruct(images, times, phase, scheme=scheme).t1[0]


@given(st.floats(400, 2000))
def test_shmolli_takes_nine_beats(rr):
    plan = schedule("shmolli", rr)
    assert np.allclose(plan.inversion_times_ms, [100 + k * rr for k in range(5)] + [180, 260])
    beats = (plan.image_at_ms - plan.image_at_ms[0]) / rr
    assert np.allclose(beats, [0, 1, 2, 3, 4, 6, 8])
    assert plan.rr_ms == pytest.approx(rr)


def test_molli_patterns():
    assert molli_inversion_times(1000.0) == (100, 1100, 2100, 3100, 4100, 180, 1180, 2180)
    assert molli_inversion_times(800.0, "4(1)3(1)2") == (100, 900, 1700, 2500, 180, 980, 1780, 260, 1060)
    assert schedule("4(1)3(1)2").scheme == "molli"
    assert schedule("11").scheme == "look-locker"
    assert shmolli_inversion_times(1000.0) == schedule("5(1)1(1)1", 1000.0).inversion_times_ms


@pytest.mark.parametrize(("rr", "beats"), [(700.0, 5), (1000.0, 3), (1400.0, 3)])
def test_a_pause_in_seconds_ends_with_the_first_beat_after_it(rr, beats):
    plan = schedule("5(3s)3", rr)
    pause = plan.image_at_ms[5] - plan.image_at_ms[4]
    assert pause == pytest.approx(beats * rr) and 3000 <= pause < 3000 + rr


def test_an_irregular_rhythm_shows_in_the_inversion_times():
    rr = (800.0, 1200.0, 900.0, 700.0, 1000.0, 1000.0, 1000.0, 1000.0)
    assert schedule("shmolli", rr).inversion_times_ms == (100, 900, 2100, 3000, 3700, 180, 260)
    with pytest.raises(InputError, match="too few"):
        schedule("shmolli", rr[:-1])


@pytest.mark.parametrize("pattern", ["", "5(3", "5()3", "0(3)5", "five", "5(3m)3", "-5", "5,3,3"])
def test_what_is_not_a_scheme_is_refused(pattern):
    with pytest.raises(InputError, match="not a scheme"):
        schedule(pattern)


@pytest.mark.parametrize("rr", [0.0, 250.0, 3000.0, float("nan")])
def test_an_impossible_rr_interval_is_refused(rr):
    with pytest.raises(InputError, match="RR intervals"):
        schedule("shmolli", rr)


def bloch_readout(mz, t1, t2, readout):
    """Hard-pulse Bloch simulation of on-resonant bSSFP after a half-angle pulse: signal at the centre, Mz after."""

    def rotate(m, angle):
        c, s = np.cos(angle), np.sin(angle)
        return np.array([m[0], c * m[1] + s * m[2], -s * m[1] + c * m[2]])

    def relax(m, time):
        return np.array([m[0], m[1], 0.0]) * np.exp(-time / t2) + [0, 0, 1 + (m[2] - 1) * np.exp(-time / t1)]

    angle = np.deg2rad(readout.flip_angle_deg)
    m = rotate(np.array([0.0, 0.0, mz]), angle / 2)
    m = relax(m, readout.tr_ms / 2)
    sign = -1.0
    for pulse in range(readout.pulses):
        m = relax(rotate(m, sign * angle), readout.tr_ms / 2)
        if pulse == readout.center_pulse:
            center = abs(m[1]) * np.sign(m[2]) / np.sin(angle / 2)
        m = relax(m, readout.tr_ms / 2)
        sign = -sign
    return center, m[2]


@pytest.mark.parametrize(("t1", "t2"), [(1080.0, 52.0), (1640.0, 240.0), (340.0, 60.0), (500.0, 45.0)])
@pytest.mark.parametrize("flip", [20.0, 35.0, 50.0])
@pytest.mark.parametrize("start", [-0.9, 0.4, 1.0])
def test_readout_agrees_with_a_bloch_simulation(t1, t2, flip, start):
    from CMRLib.simulation.signal import _during_readout

    readout = Readout(flip_angle_deg=flip)
    expected = bloch_readout(start, t1, t2, readout)
    found = _during_readout(np.array(start), np.array(t1), np.array(t2), readout)
    assert np.allclose(found, expected, atol=0.02)


@given(st.floats(200, 3000), st.floats(500, 1500))
def test_without_readout_effects_the_first_inversion_gives_the_plain_recovery(t1, rr):
    plan = schedule("look-locker", rr)
    tracked = inversion_recovery_signals(t1, 50.0, plan, readout=Readout(1e-4, 1e-6), inversion_efficiency=1.0)
    assert np.allclose(tracked, ideal_signals(t1, plan.inversion_times_ms), atol=1e-4)


def test_recovery_before_the_second_inversion_is_incomplete_for_long_t1():
    fast, slow = (inversion_recovery_signals(1600.0, 240.0, schedule("shmolli", rr))[5] for rr in (500.0, 1500.0))
    full = inversion_recovery_signals(1600.0, 240.0, schedule("1", 900.0, first_inversion_time_ms=180.0))[0]
    assert full < slow < fast < 0


def test_ideal_signals_are_fitted_exactly():
    t1 = np.array([700.0, 1000.0, 1600.0])
    plan = schedule("molli", 900.0)
    assert read_t1(ideal_signals(t1, plan.inversion_times_ms), plan.inversion_times_ms, "molli") == pytest.approx(
        t1, rel=1e-3
    )


@pytest.mark.parametrize(
    ("tissue", "field", "published"),
    [
        ("myocardium", 1.5, 962.0),
        ("myocardium", 3.0, 1159.0),
        ("left blood", 1.5, 1571.0),
        ("left blood", 3.0, 1820.0),
        ("spleen", 1.5, 1102.0),
        ("spleen", 3.0, 1352.0),
    ],
)
def test_simulated_shmolli_reads_the_published_value(tissue, field, published):
    plan = schedule("shmolli", 900.0)
    values = tissue_values([tissue], field)
    signals = inversion_recovery_signals(values.t1_ms, values.t2_ms, plan, replaced=values.replaced)
    assert read_t1(signals, plan.inversion_times_ms)[0] == pytest.approx(published, rel=0.01)


def test_readouts_lower_t1_more_where_t2_is_short():
    plan = schedule("molli", 1000.0)
    signals = inversion_recovery_signals(1100.0, np.array([35.0, 50.0, 100.0, 250.0]), plan)
    read = read_t1(signals, plan.inversion_times_ms, "molli")
    assert np.all(np.diff(read) > 0) and 0.8 * 1100 < read[0] < 0.9 * 1100 and read[-1] > 0.94 * 1100


def test_fresh_blood_is_read_closer_to_its_t1():
    plan = schedule("molli", 1000.0)
    signals = inversion_recovery_signals(1600.0, 200.0, plan, replaced=np.array([0.0, 0.7]))
    stays, flows = read_t1(signals, plan.inversion_times_ms, "molli")
    assert stays < flows < 1600.0


def test_states_of_the_tissues():
    names = ("myocardium", "left blood", "spleen", "fat")
    rest, stress, post = (tissue_values(names, 3.0, state).t1_ms for state in ("rest", "stress", "post"))
    assert stress / rest == pytest.approx([1.062, 1.0, 1.0 - 40.0 / rest[2], 1.0])
    assert np.all(post < rest) and post[1] < post[0] < 0.6 * rest[0] and post[3] > 0.95 * rest[3]
    # The partition coefficient is the myocardium's extracellular volume fraction over 1 - haematocrit.
    change = 1 / post - 1 / rest
    assert (1 - 0.42) * change[0] / change[1] == pytest.approx(0.284, abs=0.01)


def test_a_subject_keeps_its_tissues_through_the_states():
    def draw(state):
        return tissue_values(
            ("myocardium", "papillary muscle", "left blood"), 1.5, state, np.random.default_rng(4)
        ).t1_ms

    assert draw("rest")[0] == draw("rest")[1] != tissue_values(("myocardium",), 1.5).t1_ms[0]
    assert draw("stress")[0] / draw("rest")[0] == pytest.approx(1.062)
    assert draw("stress")[2] == draw("rest")[2]


def test_unknown_tissue_field_and_state_are_refused():
    for arguments in ((("brain",), 1.5), (("fat",), 7.0), (("fat",), 1.5, "exercise")):
        with pytest.raises(InputError, match="There (is|are) no"):
            tissue_values(*arguments)
    assert all(t.t1_ms[0] > 0 and t.t2_ms[0] > 0 and 0 <= t.replaced <= 1 and t.source for t in TISSUES.values())


@pytest.mark.parametrize("ideal", [True, False])
def test_pixels_have_the_noise_asked_for(ideal):
    result = simulate_pixels([600.0, 1100.0], [50.0, 50.0], snr=20.0, n=4000, rng=1, ideal=ideal)
    assert result.signals.shape == (7, 2, 4000)
    noise = result.signals - result.noise_free[..., None]
    for part in (noise.real, noise.imag):
        assert np.std(part, axis=(0, 2)) == pytest.approx(result.noise_sd, rel=0.02)
        assert np.abs(part.mean(axis=2)).max() < 5 * result.noise_sd.max() / np.sqrt(4000)
    reference = 1.0 if ideal else relaxed_signal(np.array([600.0, 1100.0]), 50.0)
    assert result.noise_sd * 20.0 == pytest.approx(reference * np.ones(2))
    again = simulate_pixels([600.0, 1100.0], [50.0, 50.0], snr=20.0, n=4000, rng=1, ideal=ideal)
    assert np.array_equal(result.signals, again.signals)


def test_impossible_pixels_are_refused():
    with pytest.raises(InputError, match="must be positive"):
        simulate_pixels(0.0)
    with pytest.raises(InputError, match="must be positive"):
        simulate_pixels(1000.0, snr=0.0)
    with pytest.raises(InputError, match="efficiency"):
        simulate_pixels(1000.0, inversion_efficiency=1.5)
    with pytest.raises(InputError, match="overlap"):
        simulate_pixels(1000.0, readout=Readout(pulses=600))
