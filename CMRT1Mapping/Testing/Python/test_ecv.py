"""The extracellular volume: formula, standard errors, blood, haematocrit, and what is refused."""

import numpy as np
import pytest
from ecv_phantom import BLOOD_POST_MS, ECV, HEMATOCRIT, NATIVE_MS, SPACING_MM, rings

from CMRLib.errors import InputError
from CMRLib.geometry import Geometry
from CMRT1MappingLib.ecv.blood import measure_blood
from CMRT1MappingLib.ecv.calculation import Blood, EcvFlag, ecv_map, inner_wall, region_ecv, segment_ecv
from CMRT1MappingLib.ecv.hematocrit import SYNTHETIC_ERROR, Hematocrit, measured_hematocrit, synthetic_hematocrit
from CMRT1MappingLib.ecv.mapping import T1Slice, map_ecv
from CMRT1MappingLib.ecv.placement import place_slices, sampled

SPACING = (SPACING_MM, SPACING_MM)
GEOMETRY = Geometry(spacing=(SPACING_MM, SPACING_MM, 8.0))


def blood(native: float = 1600.0, post: float = 400.0, errors: tuple[float, float] = (0.0, 0.0)) -> Blood:
    return Blood(native, post, *errors, 100, np.ones((1, 1), bool))


def test_ecv_is_the_formula() -> None:
    native, post = np.array([[1000.0]]), np.array([[550.0]])
    found = ecv_map(native, post, blood(), Hematocrit(0.4))
    expected = 100 * (1 - 0.4) * (1 / 550 - 1 / 1000) / (1 / 400 - 1 / 1600)
    assert found.percent[0, 0] == pytest.approx(expected, rel=1e-6)
    assert found.error is None


def test_blood_has_the_ecv_of_plasma() -> None:
    found = ecv_map(np.array([[1600.0]]), np.array([[400.0]]), blood(), Hematocrit(0.42))
    assert found.percent[0, 0] == pytest.approx(58.0, abs=1e-4)


def test_pixels_that_cannot_be_say_why() -> None:
    native = np.array([[0.0, 1000.0, 500.0, 1000.0, 1000.0, np.nan]])
    post = np.array([[500.0, 0.0, 600.0, 100.0, 500.0, np.inf]])
    found = ecv_map(native, post, blood(), Hematocrit(0.4))
    both = EcvFlag.NO_NATIVE_T1 | EcvFlag.NO_POST_T1
    expected = [EcvFlag.NO_NATIVE_T1, EcvFlag.NO_POST_T1, EcvFlag.NO_UPTAKE, EcvFlag.IMPOSSIBLE, 0, both]
    assert found.flags[0].tolist() == expected
    assert np.isfinite(found.percent[0]).tolist() == [False, False, False, False, True, False]


def test_the_standard_error_is_that_of_repeated_measurements() -> None:
    rng = np.random.default_rng(1)
    truth = {"native": 1000.0, "post": 550.0, "blood native": 1600.0, "blood post": 400.0, "hct": 0.42}
    errors = {"native": 20.0, "post": 8.0, "blood native": 12.0, "blood post": 2.0, "hct": 0.01}
    draws = {name: truth[name] + errors[name] * rng.standard_normal(40_000) for name in truth}
    change = 1 / draws["post"] - 1 / draws["native"]
    percent = 100 * (1 - draws["hct"]) * change / (1 / draws["blood post"] - 1 / draws["blood native"])
    found = ecv_map(
        np.array([[truth["native"]]]),
        np.array([[truth["post"]]]),
        blood(errors=(errors["blood native"], errors["blood post"])),
        Hematocrit(truth["hct"], errors["hct"]),
        np.array([[errors["native"]]]),
        np.array([[errors["post"]]]),
    )
    assert found.error is not None
    assert float(found.error[0, 0]) == pytest.approx(percent.std(), rel=0.03)


def test_what_is_common_to_all_pixels_does_not_average_out() -> None:
    shape = (20, 20)
    native, post = np.full(shape, 1000.0), np.full(shape, 550.0)
    found = ecv_map(native, post, blood(errors=(16.0, 4.0)), Hematocrit(0.4), np.full(shape, 20.0), np.full(shape, 8.0))
    everything = np.ones(shape, bool)
    one, many = region_ecv(found, everything), region_ecv(found, everything, pixels_per_measurement=4.0)
    assert found.own_error is not None and one.error is not None and many.error is not None
    own = float(found.own_error[0, 0]) / 20.0
    assert one.error == pytest.approx(np.hypot(own, found.common_error * one.percent), rel=1e-5)
    assert many.error == pytest.approx(np.hypot(2 * own, found.common_error * one.percent), rel=1e-5)


def test_one_error_map_alone_is_refused() -> None:
    image = np.full((4, 4), 500.0)
    with pytest.raises(InputError, match="give the other one too"):
        ecv_map(image * 2, image, blood(), Hematocrit(0.4), image)
    with pytest.raises(InputError, match="register it first"):
        ecv_map(image, image[:2], blood(), Hematocrit(0.4))


def test_exchanged_maps_are_refused() -> None:
    with pytest.raises(InputError, match="check which map is which"):
        ecv_map(np.full((4, 4), 500.0), np.full((4, 4), 1000.0), blood(400.0, 1600.0), Hematocrit(0.4))


def test_segments_leave_out_the_border_of_the_wall() -> None:
    heart = rings()
    native = heart.native.copy()
    border = heart.wall & ~inner_wall(heart.wall)
    native[border] = 2000.0  # as blood would make it
    found = ecv_map(native, heart.post, blood(), Hematocrit(HEMATOCRIT))
    segments = np.where(heart.wall, np.where(np.arange(heart.wall.shape[1]) < 60, 7, 8), 0).astype(np.uint8)
    regions = segment_ecv(found, segments)
    assert list(regions) == [7, 8]
    for region in regions.values():
        assert region is not None and region.percent == pytest.approx(ECV, abs=0.01)
    thin = np.zeros((9, 9), bool)
    thin[4] = True
    assert np.array_equal(inner_wall(thin), thin)


def test_blood_is_measured_without_papillary_muscles_and_border() -> None:
    heart = rings(noise=0.02)
    found = measure_blood(heart.native, heart.post, heart.pool, SPACING, heart.native_error, heart.post_error)
    assert not found.region[heart.papillary].any()
    assert found.native_ms == pytest.approx(NATIVE_MS["blood"], abs=4 * found.native_error_ms)
    assert found.post_ms == pytest.approx(BLOOD_POST_MS, abs=4 * found.post_error_ms)
    assert found.native_error_ms == pytest.approx(32.0 / np.sqrt(found.pixels), rel=0.35)


def test_interpolated_pixels_count_as_what_was_measured() -> None:
    coarse = np.random.default_rng(3).standard_normal((60, 60)) * 30.0
    fine = np.kron(coarse, np.ones((2, 2)))
    heart = rings()
    found = measure_blood(heart.native + fine, heart.post + fine / 8.0, heart.pool, SPACING)
    assert 2.5 < found.pixels_per_measurement < 6.5


def test_blood_that_is_not_there_is_told() -> None:
    heart = rings()
    with pytest.raises(InputError, match="too little blood"):
        measure_blood(heart.native, heart.post, heart.pool & False, SPACING)
    anything = np.random.default_rng(0).uniform(100, 3000, heart.native.shape)
    with pytest.raises(InputError, match="too uneven"):
        measure_blood(anything, heart.post, heart.pool, SPACING)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (45.0, r"0\.45 instead of 45"),
        (0.0, "no haematocrit of a patient"),
        (1.2, "no haematocrit"),
        (float("nan"), "no haematocrit"),
    ],
)
def test_a_haematocrit_is_a_fraction(value: float, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        measured_hematocrit(value)


def test_a_synthetic_haematocrit_is_called_so_and_is_less_sure() -> None:
    found = synthetic_hematocrit(1600.0, 1.5)
    assert found.value == pytest.approx(866.0 / 1600.0 - 0.1232)
    assert found.is_synthetic and found.error == SYNTHETIC_ERROR
    assert synthetic_hematocrit(1850.0, 2.89).value == pytest.approx(1355.52 / 1850.0 - 0.310)
    assert not measured_hematocrit(0.4).is_synthetic


@pytest.mark.parametrize(
    ("field", "sentence"), [(None, "not known"), (0.55, "only for 1.5 and 3 T"), (7.0, "only for")]
)
def test_without_an_equation_there_is_no_synthetic_haematocrit(field: float | None, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        synthetic_hematocrit(1600.0, field)


def test_blood_that_gives_no_haematocrit_is_told() -> None:
    with pytest.raises(InputError, match="no plausible haematocrit"):
        synthetic_hematocrit(9000.0, 1.5)


def test_a_post_contrast_slice_is_laid_where_it_lies_in_the_patient() -> None:
    axes = np.linalg.qr(np.array([[0.7, 0.3, 0.6], [0.6, 0.4, -0.7], [0.2, -0.9, 0.1]]))[0]
    axes *= np.linalg.det(axes)
    direction = tuple(axes.ravel().tolist())
    native = Geometry((10.0, -20.0, 30.0), (1.5, 1.5, 8.0), direction)
    moved = np.array(native.origin) + 3 * 1.5 * axes[:, 1] - 2 * 1.5 * axes[:, 0]  # 3 rows on, 2 columns back
    post = Geometry(tuple(moved.tolist()), (0.75, 0.75, 8.0), direction)
    placed = place_slices(native, (40, 40), post, (80, 80))
    there = placed.places((40, 40))[:, 10, 10]
    np.testing.assert_allclose(there, [(10 - 3) * 2, (10 + 2) * 2], atol=1e-6)
    apart = Geometry(tuple((moved + 6.0 * axes[:, 2]).tolist()), (0.75, 0.75, 8.0), direction)
    assert "6 mm from the native" in place_slices(native, (40, 40), apart, (80, 80)).doubt
    far = Geometry(tuple((moved + 20.0 * axes[:, 2]).tolist()), (0.75, 0.75, 8.0), direction)
    with pytest.raises(InputError, match="do not show the same"):
        place_slices(native, (40, 40), far, (80, 80))


def test_without_a_place_middles_are_laid_upon_each_other() -> None:
    placed = place_slices(Geometry(spacing=(2.0, 2.0, 8.0)), (11, 11), Geometry(), (41, 41))
    np.testing.assert_allclose(placed.places((11, 11))[:, 5, 5], [20.0, 20.0])
    np.testing.assert_allclose(placed.places((11, 11))[:, 6, 4], [22.0, 18.0])


def test_values_are_not_mixed_with_pixels_that_have_none() -> None:
    image = np.array([[0.0, 100.0, 200.0]])
    places = np.stack([np.zeros((1, 3)), np.array([[0.5, 1.5, 5.0]])])
    assert sampled(image, places).tolist() == [[0.0, 150.0, 0.0]]


def test_the_ecv_of_a_slice_with_and_without_registration() -> None:
    heart = rings(noise=0.01, shift=(4.0, -5.0))
    native = T1Slice(heart.native, GEOMETRY, heart.native_error)
    post = T1Slice(heart.post, GEOMETRY, heart.post_error)
    hematocrit = measured_hematocrit(HEMATOCRIT)
    registered = map_ecv(native, post, heart.wall, heart.pool, hematocrit)
    laid = map_ecv(native, post, heart.wall, heart.pool, hematocrit, register=False)
    assert abs(laid.mean.percent - ECV) > 3.0
    assert registered.mean.error is not None
    assert registered.mean.percent == pytest.approx(ECV, abs=0.5)
    assert registered.alignment is not None and registered.reasons == ()
    assert registered.parameters()["HematocritSource"] == "measured"
    assert laid.parameters()["Registration"] == "off"


def test_maps_that_are_not_in_milliseconds_are_told_by_their_blood() -> None:
    heart = rings()
    with pytest.raises(InputError, match="not that of blood in milliseconds"):
        map_ecv(
            T1Slice(heart.native / 1000, GEOMETRY),
            T1Slice(heart.post / 1000, GEOMETRY),
            heart.wall,
            heart.pool,
            None,
            register=False,
        )


def test_a_synthetic_haematocrit_comes_from_the_same_blood() -> None:
    heart = rings()
    slices = (T1Slice(heart.native, GEOMETRY), T1Slice(heart.post, GEOMETRY))
    found = map_ecv(*slices, heart.wall, heart.pool, None, field_strength_t=1.5, register=False)
    assert found.hematocrit.value == pytest.approx(866.0 / 1600.0 - 0.1232, abs=1e-4)
    assert found.mean.error is None
    with pytest.raises(InputError, match="field strength is not known"):
        map_ecv(*slices, heart.wall, heart.pool, None, register=False)
