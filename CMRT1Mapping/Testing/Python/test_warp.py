"""Displacement fields: warping, composing, inverting, folds and other grids."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from CMRLib.networks.warp import (  # noqa: E402
    compose,
    folded_share,
    indices,
    invert,
    jacobian_determinant,
    resize_displacement,
    warp,
)

MODES = ("bilinear", "bicubic")


def random_images(count=3, channels=2, shape=(37, 52), seed=0):
    return 1000.0 * torch.rand(count, channels, *shape, generator=torch.Generator().manual_seed(seed))


def smooth_field(count=3, shape=(48, 60), strength=1.5, nodes=5, seed=0):
    coarse = strength * torch.randn(count, 2, nodes, nodes, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, size=shape, mode="bicubic", align_corners=True)


def constant(row, column, count=1, shape=(37, 52)):
    return torch.tensor([row, column], dtype=torch.float32)[:, None, None].expand(count, 2, *shape).clone()


@pytest.mark.parametrize("padding", ["border", "zeros"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(37, 52), (128, 128), (1, 9), (288, 384)])
def test_no_displacement_gives_the_images_back_bit_for_bit(shape, mode, padding):
    images = random_images(shape=shape)
    assert torch.equal(warp(images, torch.zeros(3, 2, *shape), mode, padding), images)


@pytest.mark.parametrize("mode", MODES)
def test_pixels_that_stay_are_exact_beside_pixels_that_move(mode):
    images = random_images()
    field = torch.zeros(3, 2, 37, 52)
    field[:, :, :, 20:] = 0.4
    warped = warp(images, field, mode)
    assert torch.equal(warped[..., :20], images[..., :20])
    assert (warped[..., 20:] - images[..., 20:]).abs().mean() > 10.0


@pytest.mark.parametrize("mode", MODES)
def test_a_displacement_next_to_none_changes_next_to_nothing(mode):
    images = random_images()
    assert warp(images, torch.full((3, 2, 37, 52), 1e-9), mode) == pytest.approx(images, abs=0.05)


@given(row=st.integers(-6, 6), column=st.integers(-6, 6), mode=st.sampled_from(MODES))
@settings(max_examples=25)
def test_whole_pixels_shift_the_image(row, column, mode):
    images = random_images()
    warped = warp(images, constant(row, column, 3), mode)
    rows, columns = slice(8, 29), slice(8, 44)
    expected = images[:, :, 8 + row : 29 + row, 8 + column : 44 + column]
    assert float((warped[:, :, rows, columns] - expected).abs().max()) < 0.05


@given(row=st.floats(-3.0, 3.0), column=st.floats(-3.0, 3.0), mode=st.sampled_from(MODES))
@settings(max_examples=25)
def test_a_ramp_moves_by_the_displacement(row, column, mode):
    ramp = indices((37, 52), torch.zeros(1))[None]
    warped = warp(ramp, constant(row, column), mode)
    inside = (slice(None), slice(None), slice(6, -6), slice(6, -6))
    # torch's bicubic kernel (-0.75) bends a ramp by up to a twentieth of a pixel.
    tolerance = 1e-3 if mode == "bilinear" else 0.06
    assert float((warped - ramp - constant(row, column))[inside].abs().max()) < tolerance


def test_outside_is_the_edge_or_zero():
    images = random_images(1, 1)
    above = constant(-5, 0)
    assert warp(images, above)[0, 0, :5] == pytest.approx(images[0, 0, :1].expand(5, -1), abs=0.05)
    assert torch.all(warp(images, above, padding="zeros")[0, 0, :4] == 0)


def test_gradients_are_those_of_the_interpolation_where_nothing_moves():
    images = (3.0 * indices((20, 24), torch.zeros(1))[:1] + 1.0)[None].requires_grad_()
    field = torch.zeros(1, 2, 20, 24, requires_grad=True)
    warp(images, field).sum().backward()
    assert field.grad[0, 0, 2:-2, 2:-2] == pytest.approx(torch.full((16, 20), 3.0), abs=1e-3)
    assert images.grad[..., 2:-2, 2:-2] == pytest.approx(torch.ones(1, 1, 16, 20), abs=1e-3)


@given(seed=st.integers(0, 1000))
@settings(max_examples=10)
def test_composition_is_warping_twice(seed):
    first, second = smooth_field(seed=seed), smooth_field(seed=seed + 5000)
    at = indices((48, 60), first)
    image = (torch.sin(at[0] / 9) + torch.cos(at[1] / 11)).expand(3, 1, 48, 60)
    inside = (slice(None), slice(None), slice(10, -10), slice(10, -10))
    twice = warp(warp(image, second), first)
    assert float((warp(image, compose(first, second)) - twice)[inside].abs().max()) < 0.02


def test_translations_add():
    assert compose(constant(1.5, -2.0), constant(0.25, 1.0)) == pytest.approx(constant(1.75, -1.0), abs=1e-5)


@given(seed=st.integers(0, 1000))
@settings(max_examples=10)
def test_the_inverse_undoes_the_displacement(seed):
    field = smooth_field(seed=seed)
    field = field * (0.6 / (1.0 - jacobian_determinant(field)).abs().max()).clamp(max=1.0)
    inverse = invert(field)
    inside = (slice(None), slice(None), slice(8, -8), slice(8, -8))
    assert float(compose(inverse, field)[inside].abs().max()) < 0.01
    # The other way round the inverse is interpolated between pixels, and bends more where the field compresses.
    assert float(compose(field, inverse)[inside].abs().max()) < 0.15
    points = torch.tensor([[[10.0, 20.5]], [[30.25, 41.0]]])
    at_points = invert(field, points=points)
    there = (points - indices((1, 2), points) + at_points).contiguous()
    assert float((at_points + warp(field, there)).abs().max()) < 0.01


def test_a_displacement_that_folds_still_gives_numbers():
    inverse = invert(smooth_field(strength=20.0, nodes=9))
    assert torch.isfinite(inverse).all()


def test_jacobian_of_growing_and_of_folding():
    at = indices((20, 30), torch.zeros(1))
    grown = (0.1 * at)[None]
    assert jacobian_determinant(grown) == pytest.approx(torch.full((1, 20, 30), 1.21), abs=1e-4)
    assert folded_share(grown) == 0.0
    mirrored = torch.zeros(1, 2, 20, 30)
    mirrored[0, 1, :, :10] = -2.0 * at[1, :, :10] + 20.0
    mirrored[0, 1, :, 10:] = 0.0
    mask = torch.zeros(20, 30, dtype=torch.bool)
    mask[:, 2:8] = True
    assert folded_share(mirrored, mask) == 1.0
    assert 0.25 < folded_share(mirrored) < 0.4
    assert folded_share(mirrored, torch.zeros(20, 30, dtype=torch.bool)) == 0.0


def test_resizing_scales_the_shifts_with_the_grid():
    field = constant(2.0, -3.0)
    assert resize_displacement(field, (37, 52)) is field
    resized = resize_displacement(field, (74, 26))
    assert resized.shape == (1, 2, 74, 26)
    assert resized == pytest.approx(constant(4.0, -1.5, shape=(74, 26)), abs=1e-5)


def test_resized_fields_lie_over_the_same_field_of_view():
    at = indices((32, 48), torch.zeros(1))
    field = (0.05 * (at + 0.5))[None]
    fine = resize_displacement(field, (64, 96))
    expected = (0.05 * (indices((64, 96), torch.zeros(1)) + 0.5))[None]
    assert fine[..., 2:-2, 2:-2] == pytest.approx(expected[..., 2:-2, 2:-2], abs=1e-4)
