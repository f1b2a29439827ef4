"""Quantile normalisation of images."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from CMRLib.networks.normalise import LIMIT, QUANTILES, part_equalised, quantile_normalise  # noqa: E402


def frames(count=3, shape=(40, 50), seed=0):
    return 1.0 + 500.0 * torch.rand(count, *shape, generator=torch.Generator().manual_seed(seed)) ** 2


def test_the_quantiles_become_0_and_1():
    images = frames()
    scaled = quantile_normalise(images)
    for image, result in zip(images, scaled, strict=True):
        low, high = (torch.quantile(image, q) for q in QUANTILES)
        assert result[image <= low].max() < 1e-3
        assert result[image >= high].min() == pytest.approx(1.0, abs=0.01)
        middle = (image > low) & (image < high)
        assert result[middle] == pytest.approx(((image - low) / (high - low))[middle], abs=0.01)


@given(gain=st.floats(1e-3, 1e4), seed=st.integers(0, 100))
@settings(max_examples=20)
def test_units_do_not_matter(gain, seed):
    images = frames(seed=seed)
    assert float((quantile_normalise(gain * images) - quantile_normalise(images)).abs().max()) < 1e-4


def test_padding_stays_zero_and_has_no_influence():
    images = frames()
    padded = torch.nn.functional.pad(images, (30, 7, 11, 25))
    scaled = quantile_normalise(padded)
    assert scaled[:, 11:-25, 30:-7] == pytest.approx(quantile_normalise(images), abs=1e-6)
    assert torch.count_nonzero(scaled) <= images.numel()
    assert torch.all(scaled[padded == 0] == 0)


def test_every_frame_is_on_its_own():
    images = frames()
    alone = torch.cat([quantile_normalise(image[None]) for image in images])
    assert torch.equal(quantile_normalise(images), alone)


def test_bright_pixels_are_limited_and_change_nothing_else():
    images = frames()
    bright = images.clone()
    bright[:, 3, 4:8] = 1e6
    scaled = quantile_normalise(bright)
    assert scaled.max() == LIMIT
    assert (scaled - quantile_normalise(images))[:, 10:].abs().max() < 0.05


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_images_without_contrast_become_zero(value):
    assert torch.count_nonzero(quantile_normalise(torch.full((2, 9, 9), value))) == 0


def test_no_images_and_few_pixels():
    assert quantile_normalise(torch.zeros(0, 8, 8)).shape == (0, 8, 8)
    single = torch.zeros(1, 8, 8)
    single[0, 2, 2] = 5.0
    assert torch.count_nonzero(quantile_normalise(single)) == 0


def test_large_images_take_quantiles_of_a_selection():
    images = frames(1, (600, 700))
    low, high = (float(torch.quantile(images.flatten(), q)) for q in QUANTILES)
    expected = ((images[0] - low) / (high - low)).clamp(0, LIMIT)
    assert float((quantile_normalise(images)[0] - expected).abs().max()) < 0.03


def test_equalisation_spreads_what_is_alike_and_leaves_padding():
    images = torch.rand(2, 20, 24, generator=torch.Generator().manual_seed(1)) * 0.05 + 0.1
    images[:, :4], images[:, 4:6] = 0.0, 1.0  # padding, and a bright part
    whole = part_equalised(images, 1.0)
    assert not whole[:, :4].any()
    assert float(whole[:, 6:].max() - whole[:, 6:].min()) > 0.8
    order = images[0, 6:].flatten().argsort()
    assert bool((whole[0, 6:].flatten()[order].diff() >= 0).all())
    torch.testing.assert_close(part_equalised(images, 0.0), images)
    torch.testing.assert_close(part_equalised(images, 0.5), 0.5 * (whole + images))
    assert float(part_equalised(torch.zeros(1, 4, 4), 0.5).abs().max()) == 0.0
