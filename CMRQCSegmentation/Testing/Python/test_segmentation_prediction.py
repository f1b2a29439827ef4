"""From an image to answers: places, views, degenerate input. The model tells a drawn ring by its brightness."""

import numpy as np
import pytest
from ring_model import drawn_ring, ring_model

from CMRLib.errors import Cancelled, InputError
from CMRQCSegmentationLib.candidates import candidate_names, dice
from CMRQCSegmentationLib.locating import Place, extent_of, place_in, places_of_stack
from CMRQCSegmentationLib.prediction import BLANK, GAP, NO_HEART, UNSURE, _turned, segment_slices
from CMRQCSegmentationLib.views import View, rescaled

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model():
    return ring_model()


def test_a_ring_is_segmented_on_the_source_s_pixels(model):
    image, truth = drawn_ring()
    (result,) = segment_slices(image[None], model=model)
    assert result.labels.shape == image.shape and result.labels.dtype == np.uint8
    assert dice(result.labels, truth) > 0.93 and dice(result.labels, truth, 2) > 0.95
    assert not result.flagged and result.reason == "" and result.predicted_dice > 0.95
    assert result.lower_bound < result.predicted_dice
    assert result.candidate in candidate_names(3)


def test_every_candidate_can_be_had(model):
    image, truth = drawn_ring()
    (result,) = segment_slices(image[None], model=model)
    assert len(result.predictions) == 6
    for number in range(6):
        assert dice(result.candidates.labels(number), truth) > 0.9
    assert result.candidates.matrix().shape == (6, 6)


def test_disagreement_is_flagged():
    image, truth = drawn_ring()
    (result,) = segment_slices(image[None], model=ring_model((-14, 0, 14)))
    assert result.flagged and result.reason == UNSURE and result.predicted_dice < 0.7
    assert dice(result.labels, truth) < 1.0
    (result,) = segment_slices(image[None], model=ring_model((-14, 0, 14)), threshold=0.1)
    assert not result.flagged


@pytest.mark.parametrize("spacing", [(1.0, 2.0), (2.5, 1.0)])
def test_anisotropic_pixels_are_made_round(model, spacing):
    ratio = (min(spacing) / spacing[0], min(spacing) / spacing[1])
    stretch = (2.0 * ratio[0], 2.0 * ratio[1])
    image, truth = drawn_ring((140, 140), (70.0, 60.0), stretch=stretch)
    (result,) = segment_slices(image[None], spacing, model=model)
    assert dice(result.labels, truth) > 0.9


@pytest.mark.parametrize(
    "change",
    [
        lambda image: (1000 * image).astype(np.int16),
        lambda image: (200 * image).astype(np.uint8),
        lambda image: image.astype(np.float64) * 1e-6,
        lambda image: -1.0 + 2.0 * image,
    ],
    ids=["int16", "uint8", "tiny", "signed"],
)
def test_units_and_types_do_not_matter(model, change):
    image, truth = drawn_ring()
    (result,) = segment_slices(change(image)[None], model=model)
    assert dice(result.labels, truth) > 0.9


def test_pixels_that_are_no_numbers_count_as_padding(model):
    image, truth = drawn_ring()
    image[:8] = np.nan
    image[-5:, -5:] = np.inf
    (result,) = segment_slices(image[None], model=model)
    assert dice(result.labels, truth) > 0.9


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan])
def test_a_blank_slice_has_an_empty_answer(model, value):
    (result,) = segment_slices(np.full((1, 64, 64), value), model=model)
    assert not result.labels.any() and result.candidate == "" and np.isnan(result.predicted_dice)
    assert BLANK == "the slice is blank"


def test_an_image_without_a_heart_is_flagged_and_empty(model):
    (result,) = segment_slices(np.random.default_rng(0).random((1, 64, 64)), model=model)
    assert not result.labels.any()
    assert result.flagged and result.reason == NO_HEART


def test_slices_beyond_the_heart_are_empty_and_not_flagged_but_one_within_is(model):
    ring, _ = drawn_ring()
    none = np.random.default_rng(0).random(ring.shape).astype(np.float32)
    results = segment_slices(np.stack([none, ring, none, ring, none]), model=model)
    assert [bool(r.labels.any()) for r in results] == [False, True, False, True, False]
    assert [r.flagged for r in results] == [False, False, True, False, False]
    assert results[2].reason == GAP


@pytest.mark.parametrize("shape", [(64, 64), (0, 64, 64), (2, 64, 0)])
def test_wrong_axes_are_told(model, shape):
    with pytest.raises(InputError, match="slice, row, column"):
        segment_slices(np.zeros(shape), model=model)


@pytest.mark.parametrize("spacing", [(0.0, 1.0), (1.0, -1.0), (np.nan, 1.0)])
def test_a_spacing_that_is_none_is_told(model, spacing):
    with pytest.raises(InputError, match="spacing"):
        segment_slices(np.ones((1, 64, 64)), spacing, model=model)


def test_progress_rises_and_can_cancel(model):
    image, _ = drawn_ring()
    seen = []
    segment_slices(np.stack([image] * 5), model=model, batch=2, progress=seen.append)
    assert seen == sorted(seen) and seen[-1] == 1.0 and len(seen) > 4

    def cancel(part):
        raise Cancelled("Cancelled.")

    with pytest.raises(Cancelled):
        segment_slices(image[None], model=model, progress=cancel)


def test_turned_images_come_back():
    import torch

    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    turned = [_turned(image, k) for k in range(8)]
    assert len({tuple(t.flatten().tolist()) for t in turned}) == 8
    for k in range(8):
        assert torch.equal(_turned(turned[k], k, back=True), image)


def test_a_view_and_its_way_back():
    image, _ = drawn_ring((100, 80), (40, 50))
    view = View.around(np.array([40.0, 50.0]), np.array([0.7, 0.9]), 96)
    np.testing.assert_allclose(view.to_source(np.full(2, 47.5)), [40.0, 50.0])
    back = view.back(view.sample(image), (100, 80))
    inner = (slice(25, 55), slice(30, 70))
    assert np.abs(back - image)[inner].mean() < 0.03
    assert back[0, 0] == 0.0


def test_the_whole_view_holds_the_image():
    view = View.whole((50, 100), (2.0, 1.5), 96)
    corners = (np.array([[-0.5, -0.5], [49.5, 99.5]]) - view.offset) / view.scale
    assert corners.min() >= -0.51 and corners.max() <= 95.51


def test_rescaling_keeps_padding_and_cuts_hot_pixels():
    image = np.linspace(0.0, 100.0, 10_000).reshape(100, 100)
    image[5, 5] = 1e9
    result = rescaled(image)
    assert result[0, 0] == 0.0 and result.max() == 1.0 and result[50, 50] > 0.4
    with pytest.raises(InputError):
        rescaled(np.zeros(5))


def test_place_of_the_larger_part():
    _, labels = drawn_ring((96, 96), (60, 40))
    labels[:4, :4] = 1
    view = View.around(np.array([100.0, 100.0]), np.array([2.0, 2.0]), 96)
    maps = np.stack([labels > 0, labels == 2]).astype(np.float32)
    place = place_in(maps, view, (1.5, 1.5))
    np.testing.assert_allclose(place.center_mm, 1.5 * view.to_source(np.array([60.0, 40.0])), atol=2.0)
    np.testing.assert_allclose(place.radii_mm, 20.0 * 2.0 * 1.5, rtol=0.03)
    assert place_in(np.zeros_like(maps), view, (1.0, 1.0)) is None


@pytest.mark.parametrize("stretch", [(1.0, 1.0), (1.8, 1.0), (1.0, 1.5)])
def test_extent_of_an_ellipse(stretch):
    _, labels = drawn_ring((120, 120), (60, 50), outer=20.0, stretch=stretch)
    center, radii = extent_of(labels > 0)
    np.testing.assert_allclose(center, [60, 50], atol=0.2)
    np.testing.assert_allclose(radii, 20.0 * np.array(stretch), rtol=0.02)


def test_a_resized_image_is_made_round(model):
    image, truth = drawn_ring((140, 140), (70.0, 60.0), stretch=(1.8, 1.0))
    (result,) = segment_slices(image[None], model=model)
    scale = result.candidates.view.scale
    assert scale[0] / scale[1] == pytest.approx(1.8, rel=0.05)
    assert dice(result.labels, truth) > 0.9


def test_a_stack_s_places_agree():
    def at(row, column, radius=25.0):
        return Place(np.array([row, column]), np.array([radius, radius]))

    places = [None, at(50, 50), at(52, 51), at(150, 10), at(55, 53, 8.0), None]
    agreed = places_of_stack(places)
    assert all(place is not None for place in agreed)
    np.testing.assert_array_equal(agreed[0].center_mm, [50, 50])
    assert np.linalg.norm(agreed[3].center_mm - [53, 52]) < 5.0
    assert agreed[4].size_mm > 8.0
    assert places_of_stack([None, None]) == [None, None]
