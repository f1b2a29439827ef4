"""Candidates, their agreement, the prediction of their Dice, and one plausible heart."""

import numpy as np
import pytest
from ring_model import drawn_ring

from CMRLib.errors import MissingDependencyError
from CMRQCSegmentationLib.candidates import (
    candidate_names,
    dice,
    dice_matrix,
    labels_of,
    nested_maps,
    with_combined,
)
from CMRQCSegmentationLib.plausible import plausible_heart
from CMRQCSegmentationLib.prediction import Candidates
from CMRQCSegmentationLib.quality import QualityModel, conformal_margin, fit_regressions, margin_unit
from CMRQCSegmentationLib.research.quality_fit import QualityExamples, fit_quality
from CMRQCSegmentationLib.signs import SIGNS, signs_of
from CMRQCSegmentationLib.views import View


def maps_of(labels):
    return np.stack([labels > 0, labels == 2]).astype(np.float32)


def test_names_tell_single_from_combined():
    assert candidate_names(2) == ("scs-1", "scs-2", "ccs-1", "ccs-2")


def test_combined_candidates_are_where_at_least_k_networks_vote():
    rng = np.random.default_rng(0)
    shares = rng.dirichlet([1, 1, 1], (6, 9, 9)).transpose(0, 3, 1, 2).astype(np.float32)
    single = nested_maps(shares)
    combined = labels_of(with_combined(single))[6:]
    votes_heart = (single[:, 0] > 0.5).sum(axis=0)
    votes_cavity = (single[:, 1] > 0.5).sum(axis=0)
    for k in range(1, 7):
        expected = np.where(votes_cavity >= k, 2, np.where(votes_heart >= k, 1, 0))
        np.testing.assert_array_equal(combined[k - 1], expected)


def test_single_candidates_stay_as_they_are():
    single = np.random.default_rng(1).random((3, 2, 5, 5)).astype(np.float32)
    np.testing.assert_array_equal(with_combined(single)[:3], single)


def test_dice_of_known_overlap():
    first, second = np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8)
    first[0, :3], second[0, 1:] = 1, 1
    assert dice(first, second) == pytest.approx(2 * 2 / 6)
    assert dice(first, second, label=2) == 1.0


def test_matrix_holds_every_pair():
    labels = np.random.default_rng(2).integers(0, 3, (5, 12, 12)).astype(np.uint8)
    labels[4] = 0
    matrix = dice_matrix(labels)
    for i in range(5):
        for j in range(5):
            assert matrix[i, j] == pytest.approx(dice(labels[i], labels[j]))


def test_regressions_find_a_linear_truth():
    rng = np.random.default_rng(3)
    matrices = rng.random((400, 4, 4))
    true_weights, true_bias = rng.normal(0, 0.2, (4, 4)), np.full(4, 0.3)
    truths = np.sum(matrices * true_weights, axis=-1) + true_bias
    weights, bias = fit_regressions(matrices, truths)
    np.testing.assert_allclose(weights, true_weights, atol=0.02)
    np.testing.assert_allclose(bias, true_bias, atol=0.02)


def test_predictions_stay_between_0_and_1():
    model = QualityModel(np.full((2, 2), 3.0), np.array([-1.0, 5.0]), {0.9: 1.0})
    assert model.predict(np.ones((2, 2))).tolist() == [1.0, 1.0]
    assert model.predict(np.zeros((2, 2)))[0] == 0.0


def test_conformal_bound_holds_as_often_as_it_says():
    rng = np.random.default_rng(4)

    def draw(count):
        predicted = rng.uniform(0.4, 0.95, count)
        return predicted, np.clip(predicted + rng.normal(0, 0.3, count) * margin_unit(predicted), 0, 1)

    kept = []
    for _ in range(200):
        margin = conformal_margin(*draw(60), 0.9)
        predicted, truth = draw(60)
        kept.append(np.mean(truth >= predicted - margin * margin_unit(predicted)))
    assert 0.895 < np.mean(kept) < 0.93


def test_a_bound_from_too_few_images_is_the_widest_seen():
    assert conformal_margin(np.array([0.8, 0.8]), np.array([0.5, 0.7]), 0.9) == pytest.approx(0.3 / margin_unit(0.8))
    assert conformal_margin(np.zeros(0), np.zeros(0), 0.9) == 1.0


def judged_rings(count, spoiled):
    """Candidates of rings: two that lie apart as far as they are wrong; spoiled ones agree, on a grey image."""
    rng = np.random.default_rng(5)
    kept, truths = [], []
    for _ in range(count):
        shift = int(rng.integers(0, 9))
        image, labels = drawn_ring((96, 96), (48, 48))
        single = np.stack([np.roll(maps_of(labels), 0 if spoiled else step, axis=2) for step in (shift, -shift)])
        crop = np.full_like(image, 0.5) + 0.02 * rng.standard_normal(image.shape) if spoiled else image
        maps = with_combined(single).astype(np.float16)
        kept.append(Candidates(maps, crop.astype(np.float16), View(np.ones(2), np.zeros(2), 96), (96, 96)))
        truths.append([0.3 if spoiled else dice(labels_of(part), labels) for part in maps])
    subjects = tuple(f"patient{i % 10}" for i in range(count))
    return QualityExamples(tuple(kept), np.array(truths), subjects, np.ones(count, dtype=bool))


def test_quality_is_fitted_by_subject_and_survives_its_dictionary():
    clean, damaged = judged_rings(60, spoiled=False), judged_rings(40, spoiled=True)
    quality = fit_quality(clean, damaged)
    again = QualityModel.from_dict(quality.to_dict())
    matrices = clean.matrices()
    np.testing.assert_allclose(again.predict(matrices), quality.predict(matrices), atol=1e-4)
    assert quality.margins[0.8] <= quality.margins[0.9] <= quality.margins[0.95]
    assert again.lower_bound(0.9) < 0.9
    errors, doubted = [], []
    for examples in (clean, damaged):
        for part, truths in zip(examples.candidates, examples.truths, strict=True):
            predictions = again.predict(part.matrix())
            best = int(again.choose(predictions))
            signs = signs_of(part.crop, part.maps, best)
            errors.append(abs(again.refined(float(predictions[best]), signs) - truths[best]))
            doubted.append((again.doubtful(float(predictions[best]), signs), truths[best] >= 0.7))
    assert np.mean(errors[:60]) < 0.03
    assert all(doubt for doubt, _ in doubted[60:]), "candidates that agree on a grey image"
    assert np.mean([doubt for doubt, good in doubted[:60] if good]) < 0.15


def test_without_damaged_images_nothing_is_doubted():
    quality = fit_quality(judged_rings(30, spoiled=False))
    assert quality.answer is not None and quality.doubt is None
    assert not quality.doubtful(0.1, np.zeros(len(SIGNS)))


def test_in_doubt_the_deepest_network_answers():
    quality = QualityModel(np.zeros((4, 4)), np.zeros(4), {0.9: 0.1})
    assert quality.choose(np.array([0.800, 0.800, 0.805, 0.7])) == 1
    assert quality.choose(np.array([0.800, 0.800, 0.850, 0.7])) == 2


def test_signs_are_finite_without_a_heart_and_tell_a_broken_ring():
    image, labels = drawn_ring((96, 96), (48, 48))
    maps = with_combined(np.stack([maps_of(labels)] * 2))
    whole = dict(zip(SIGNS, signs_of(image, maps, 0), strict=True))
    assert whole["agreement"] == 1.0 and whole["inner edge all round"] > 0.99 and whole["roundness"] < 0.05
    broken = labels.copy()
    broken[:, 60:] = 0
    found = dict(zip(SIGNS, signs_of(image, with_combined(np.stack([maps_of(broken)] * 2)), 0), strict=True))
    assert found["roundness"] > whole["roundness"] and found["evenness of wall"] > whole["evenness of wall"]
    assert np.isfinite(signs_of(np.zeros((96, 96)), np.zeros_like(maps), 0)).all()


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"weights": [[1.0]], "bias": [0.0], "margins": {}},
        {"weights": [[1, 2]], "bias": [0], "margins": {"0.9": 1}},
        {"weights": [[1]], "bias": [0], "margins": {"0.9": 1}, "doubt": {"center": [0], "scale": [1], "weights": [1]}},
        {
            "weights": [[1]],
            "bias": [0],
            "margins": {"0.9": 1},
            "doubt": {"center": [0, 0], "scale": [1, 1], "weights": [1, 1, 0, 0, 0, 0], "bias": 0},
        },
    ],
)
def test_a_damaged_quality_model_or_one_of_other_signs_is_told(values):
    with pytest.raises(MissingDependencyError, match="segmentation-quality"):
        QualityModel.from_dict(values)


def test_islands_go_and_the_ring_stays():
    _, labels = drawn_ring((96, 96), (48, 48))
    spoiled = labels.copy()
    spoiled[2:9, 2:9] = 1
    spoiled[85:93, 5:14] = 2
    cleaned = labels_of(plausible_heart(maps_of(spoiled)))
    assert dice(cleaned, labels) > 0.95
    assert not cleaned[:20, :20].any() and not cleaned[80:, :20].any()


def test_holes_are_filled():
    _, labels = drawn_ring((96, 96), (48, 48))
    spoiled = labels.copy()
    spoiled[46:50, 46:50] = 0
    spoiled[48, 48 + 15 : 48 + 18] = 0
    cleaned = labels_of(plausible_heart(maps_of(spoiled)))
    assert cleaned[48, 48] == 2 and cleaned[48, 64] == 1


def test_a_narrow_gap_is_closed_and_a_wide_one_is_not():
    rows, columns = np.indices((96, 96))
    angle = np.abs(np.arctan2(rows - 48, columns - 48))
    _, labels = drawn_ring((96, 96), (48, 48))
    ray = (slice(48, 49), slice(48 + 12, 48 + 20))
    narrow = np.where((angle < 0.25) & (labels == 1), 0, labels)
    assert labels_of(plausible_heart(maps_of(narrow)))[ray].max() == 1
    wide = np.where((angle < 1.2) & (labels == 1), 0, labels)
    assert np.sum(labels_of(plausible_heart(maps_of(wide)))[ray] == 1) <= 1


def test_the_part_with_a_cavity_wins_over_a_larger_one_without():
    _, labels = drawn_ring((96, 96), (30, 30), inner=8, outer=13)
    labels[60:94, 40:94] = 1
    cleaned = labels_of(plausible_heart(maps_of(labels)))
    assert cleaned[30, 30] == 2 and not cleaned[70, 70]


def test_an_apex_without_a_cavity_is_a_heart():
    labels = np.zeros((96, 96), np.uint8)
    labels[40:50, 40:50] = 1
    assert labels_of(plausible_heart(maps_of(labels))).sum() > 60


@pytest.mark.parametrize("size", [0, 3])
def test_nothing_stays_nothing(size):
    labels = np.zeros((96, 96), np.uint8)
    labels[10 : 10 + size, 10 : 10 + size] = 1
    assert not plausible_heart(maps_of(labels)).any()


def test_borders_are_smooth():
    _, labels = drawn_ring((96, 96), (48, 48))
    noise = np.random.default_rng(6).random(labels.shape) < 0.25
    rim = (np.hypot(*(np.indices(labels.shape) - 48)) - 20.0) ** 2 < 2.0
    ragged = np.where(rim & noise, 1 - np.minimum(labels, 1), labels).astype(np.uint8)

    def border_length(mask):
        return np.sum(mask[1:] != mask[:-1]) + np.sum(mask[:, 1:] != mask[:, :-1])

    cleaned = labels_of(plausible_heart(maps_of(ragged)))
    assert border_length(cleaned > 0) < 0.8 * border_length(ragged > 0)
