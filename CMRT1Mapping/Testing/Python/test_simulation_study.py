"""Simulated studies: anatomy, noise, phase, truth and repeatability."""

import numpy as np
import pytest
from scipy import ndimage

from CMRLib.errors import InputError
from CMRLib.simulation import ParametricAnatomy, simulate_phantom, simulate_pixels, simulate_study
from CMRLib.simulation.acquisition import acquire, fat_sign
from CMRLib.simulation.phantom import TUBE_T1_MS, TUBE_T2_MS
from CMRLib.simulation.signal import Readout
from CMRT1MappingLib.fit.reconstruction import reconstruct
from CMRT1MappingLib.motion.estimation import apply_motion

SMALL = {"shape": (144, 192), "spacing_mm": 1.875}


def only(study):
    (acquisition,) = study.acquisitions
    return acquisition


@pytest.fixture(scope="module")
def mid():
    return only(simulate_study(2, slices=("mid",), snr=60.0, shading=0.0))


def test_same_seed_same_numbers():
    first, second = (simulate_study(5, slices=("mid",), **SMALL) for _ in range(2))
    other = simulate_study(6, slices=("mid",), **SMALL)
    assert np.array_equal(only(first).images, only(second).images) and np.array_equal(
        only(first).phase, only(second).phase
    )
    assert only(first).geometry == only(second).geometry
    assert not np.array_equal(only(first).truth.labels, only(other).truth.labels)


def test_what_else_is_simulated_does_not_matter():
    alone = only(simulate_study(5, slices=("mid",), **SMALL))
    among = simulate_study(5, slices=("basal", "mid"), states=("stress", "rest"), **SMALL)
    assert [(a.state, a.slice) for a in among.acquisitions] == [
        ("stress", "basal"),
        ("stress", "mid"),
        ("rest", "basal"),
        ("rest", "mid"),
    ]
    assert np.array_equal(among.acquisitions[3].images, alone.images)


def test_arrays_are_as_documented(mid):
    rows, columns = 288, 384
    assert mid.images.shape == mid.phase.shape == (7, rows, columns)
    assert mid.images.dtype == mid.phase.dtype == np.float32
    assert np.abs(mid.phase).max() <= np.float32(np.pi)
    assert mid.inversion_times_ms == (100, 1000, 1900, 2800, 3700, 180, 260)
    truth = mid.truth
    assert truth.t1.shape == truth.labels.shape == truth.myocardium.shape == (rows, columns)
    assert set(np.unique(truth.labels)) == {0, 1, 2, 3}
    assert truth.t1[truth.labels == 0].min() == 0.0
    assert np.ptp(truth.t1[truth.labels == 1]) == 0.0


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("level", ["basal", "mid", "apical"])
def test_every_anatomy_is_a_short_axis_view(seed, level):
    spacing = 1.5
    anatomy = ParametricAnatomy.random(seed).slice(level, (180, 240), spacing)
    assert anatomy.fractions.sum(axis=0) == pytest.approx(1.0, abs=1e-5)

    def share(*names):
        return anatomy.fractions[[anatomy.tissues.index(name) for name in names]].sum(axis=0)

    muscle, blood = share("myocardium"), share("left blood", "papillary muscle")
    # The wall is closed: nothing of the cavity reaches what lies outside without crossing it.
    regions, _ = ndimage.label(muscle < 0.5)
    row, column = (round(v) for v in anatomy.landmarks.lv_center)
    cavity = regions == regions[row, column]
    assert regions[row, column] != regions[0, 0] and blood[cavity].mean() > 0.9
    area = blood[cavity].sum() * spacing**2
    assert 300.0 < area < 4200.0
    smallest = 150.0 if level == "apical" else 600.0
    assert smallest < share("right blood", "right trabecula").sum() * spacing**2 < 4500.0
    distance = ndimage.distance_transform_edt(muscle < 0.5) * spacing
    wall = ndimage.distance_transform_edt(share("right ventricular wall") < 0.2) * spacing
    for point in (anatomy.landmarks.rv_insertion, anatomy.landmarks.inferior_rv_insertion):
        at = tuple(round(v) for v in point)
        assert distance[at] < 2.5 and wall[at] < 4.0
    towards = ndimage.center_of_mass(share("right blood"))

    def angle(point):
        return np.arctan2(point[0] - row, point[1] - column)

    clockwise = (angle(anatomy.landmarks.rv_insertion) - angle(towards)) % (2 * np.pi)
    assert 0.0 < clockwise < np.pi
    for organ in ("lung", "liver", "fat", "skeletal muscle", "spleen", "stomach wall", "marrow", "epicardial fat"):
        assert share(organ).sum() * spacing**2 > 50.0, organ


def test_size_falls_towards_the_apex():
    anatomy = ParametricAnatomy.random(1)
    cavity = []
    for level in ("basal", "mid", "apical"):
        drawn = anatomy.slice(level, (144, 192), 1.875)
        cavity.append(drawn.fractions[drawn.tissues.index("left blood")].sum())
    assert cavity[0] > cavity[1] > 1.4 * cavity[2]


def test_noise_has_the_standard_deviation_reported(mid):
    corner = mid.images[:, :24, :24]
    assert np.sqrt(np.mean(corner**2) / 2) == pytest.approx(mid.noise_sd, rel=0.05)


def test_snr_is_that_of_the_relaxed_myocardium():
    # After 2.1 s and without readouts before it, the magnetisation has relaxed but for 13 %.
    once = only(simulate_study(2, slices=("mid",), snr=80.0, scheme="2", rr_ms=2000.0, shading=0.0))
    pure = once.truth.myocardium > 0.999
    assert once.images[1][pure].mean() / once.noise_sd == pytest.approx(80.0, rel=0.25)
    twice = only(simulate_study(2, slices=("mid",), snr=160.0, scheme="2", rr_ms=2000.0, shading=0.0))
    assert once.noise_sd == pytest.approx(2 * twice.noise_sd)


def test_zero_filling_keeps_noise_and_uniform_areas():
    rng = np.random.default_rng(0)
    found = acquire(np.full((40, 64, 96), 5.0 + 2.0j), (32, 48), 1.0, rng)
    assert found.mean() == pytest.approx(5.0 + 2.0j, abs=0.02)
    assert found.real.std() == pytest.approx(1.0, rel=0.03) and found.imag.std() == pytest.approx(1.0, rel=0.03)


def test_contrast_flips_with_the_inversion_time(mid):
    pure = mid.truth.myocardium > 0.999
    blood = ndimage.binary_erosion(mid.truth.labels == 2, iterations=4)
    order = np.argsort(mid.inversion_times_ms)
    ratio = [mid.images[i][blood].mean() / mid.images[i][pure].mean() for i in order]
    assert ratio[0] > 1.15 and ratio[3] < 0.7 and ratio[-1] > 1.05


def test_polarity_shows_in_the_phase(mid):
    blood = ndimage.binary_erosion(mid.truth.labels == 2, iterations=6)
    last = int(np.argmax(mid.inversion_times_ms))
    turn = np.cos(mid.phase - mid.phase[last])[:, blood]
    negative = [0, 5, 6]
    assert np.all(turn[negative] < -0.7) and np.all(turn[2:5] > 0.7)


def test_fat_is_opposed_to_water_at_3_tesla_alone():
    assert fat_sign(1.5, Readout()) == 1.0 and fat_sign(3.0, Readout()) == -1.0


def test_states_change_t1_and_heart_rate():
    study = simulate_study(3, slices=("mid",), states=("rest", "stress", "post"), rr_ms=1000.0, **SMALL)
    rest, stress, post = study.acquisitions
    wall = rest.truth.labels == 1
    assert np.array_equal(wall, post.truth.labels == 1)
    assert stress.truth.t1[wall].mean() / rest.truth.t1[wall].mean() == pytest.approx(1.062, rel=1e-4)
    assert post.truth.t1[wall].mean() < 0.65 * rest.truth.t1[wall].mean()
    assert stress.schedule.rr_ms == 750.0 and post.schedule.rr_ms == 1000.0
    assert rest.start_s < stress.start_s < post.start_s


def test_arrhythmia_scatters_the_inversion_times():
    acquisition = only(simulate_study(3, slices=("mid",), rr_variability=0.15, **SMALL))
    steps = np.diff(acquisition.inversion_times_ms[:5])
    assert np.ptp(steps) > 50.0 and acquisition.inversion_times_ms[0] == 100.0


def test_slices_lie_from_base_to_apex():
    study = simulate_study(3, slices=("basal", "mid", "apical"), **SMALL)
    to_apex = -study.acquisitions[0].geometry.matrix[:, 2]
    assert to_apex[0] > 0.3 and to_apex[1] < -0.3 and to_apex[2] < -0.3
    centers = [a.geometry.ijk_to_lps() @ [95.5, 71.5, 0, 1] for a in study.acquisitions]
    along = [c[:3] @ to_apex for c in centers]
    assert np.diff(along) == pytest.approx([20.0, 20.0])


def test_tubes_are_read_like_single_pixels():
    """Space adds nothing: coils, resolution and noise leave the mean of a tube where its signal alone has it."""
    phantom = only(simulate_phantom(4, snr=200.0))
    box = np.s_[88:200, 136:248]
    maps = reconstruct(
        phantom.images[(slice(None), *box)], phantom.inversion_times_ms, phantom.phase[(slice(None), *box)]
    )
    labels = phantom.truth.labels[box]
    pixels = simulate_pixels(TUBE_T1_MS, TUBE_T2_MS, rr_ms=1000.0, snr=1e6, n=1)
    signals = np.real(pixels.signals[:, :, 0])[:, None]
    expected = reconstruct(np.abs(signals), pixels.inversion_times_ms, np.where(signals < 0, np.pi, 0.0)).t1[0]
    for number in range(9):
        inside = ndimage.binary_erosion(labels == number + 1, iterations=5)
        assert inside.sum() > 100
        assert np.median(maps.t1[inside]) == pytest.approx(expected[number], rel=0.006)
        assert phantom.truth.t1[box][inside].mean() == pytest.approx(TUBE_T1_MS[number])
    assert phantom.truth.landmarks is None


def test_motion_is_that_of_its_truth_and_of_its_slice_alone():
    still = simulate_study(4, slices=("basal", "mid"), snr=1000.0, shading=0.0, **SMALL).acquisitions
    basal, mid = simulate_study(
        4, slices=("basal", "mid"), snr=1000.0, shading=0.0, motion={"mid": "severe"}, **SMALL
    ).acquisitions
    assert np.array_equal(basal.images, still[0].images) and basal.truth.displacement is None
    displacement = mid.truth.displacement
    assert displacement.shape == (7, 2, 144, 192) and np.abs(displacement.mean(axis=0)).max() < 1e-4
    heart = mid.truth.labels > 0
    assert 1.0 < np.hypot(displacement[:, 0], displacement[:, 1])[:, heart].mean() < 5.0
    aligned, _ = apply_motion(mid.images, displacement, mid.phase)

    def difference(images):
        return np.abs(images - still[1].images)[:, heart].mean() / still[1].images[:, heart].mean()

    assert difference(aligned) < 0.5 * difference(mid.images), (difference(aligned), difference(mid.images))
    assert np.array_equal(mid.truth.t1, still[1].truth.t1)


def test_motion_is_repeatable_and_another_in_each_state():
    first, second = (
        simulate_study(4, slices=("mid",), states=("rest", "stress"), motion={"mid": "severe"}, **SMALL)
        for _ in range(2)
    )
    rest, stress = (acquisition.truth.displacement for acquisition in first.acquisitions)
    assert np.array_equal(rest, second.acquisitions[0].truth.displacement)
    assert np.array_equal(first.acquisitions[1].images, second.acquisitions[1].images)
    assert np.abs(rest - stress).max() > 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"motion": {"basal": "mild"}}, "no slice 'basal' to move"),
        ({"motion": {"mid": "some"}}, "severity"),
        ({"slices": ("top",)}, "no level of the ventricle"),
        ({"states": ("exercise",)}, "no state"),
        ({"states": ()}, "at least one"),
        ({"slices": ()}, "at least one"),
        ({"snr": -1.0}, "signal-to-noise"),
        ({"field_strength": 7.0}, "no tissue values"),
        ({"rr_ms": 100.0}, "RR intervals"),
        ({"seed": -1}, "whole number"),
        ({"seed": 1.5}, "whole number"),
        ({"shape": (8, 8)}, "at least 16"),
        ({"shape": (20, 20), "spacing_mm": 0.2}, "no myocardium"),
        ({"spacing_mm": -1.0, "shape": (144, 192)}, "spacing"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        simulate_study(**{"slices": ("mid",), **SMALL, **options})


def test_a_phantom_has_nine_tubes():
    with pytest.raises(InputError, match="nine"):
        simulate_phantom(t1_ms=(1000.0,))
