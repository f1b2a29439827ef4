"""Calibrating the confidence on stacks, and what its flags do on subjects that it was not fitted on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from CMRLandmarksLib.confidence import FEATURES  # noqa: E402
from CMRLandmarksLib.networks import STAGE1, STAGE2, HeatmapNetwork  # noqa: E402
from CMRLandmarksLib.research.calibration import (  # noqa: E402
    Observations,
    calibrated,
    cross_checked,
    observed,
    uncalibrated,
)
from CMRLandmarksLib.research.dataset import bank_of, simulated_slices  # noqa: E402
from CMRLandmarksLib.research.restyled import _placement, restyled  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


def drawn(per_contrast: int = 300) -> Observations:
    """Ten subjects of two contrasts, one of them more doubtful in all; the third feature tells failures."""
    rng = np.random.default_rng(0)
    count = 2 * per_contrast
    features = rng.normal(size=(count, 3, len(FEATURES)))
    error = np.where(features[..., 2] + 0.2 * rng.normal(size=(count, 3)) > 1.2, 25.0, 1.0)
    features[per_contrast:, :, 0] += 2.0
    usual = ("acdc",) * per_contrast + ("emidec",) * per_contrast
    subjects = tuple(f"{name}{i % 10}" for i, name in enumerate(usual))
    return Observations(features, error, usual, subjects, (False,) * count)


def test_flags_are_checked_on_subjects_that_did_not_calibrate():
    result = cross_checked(drawn())
    assert set(result) == {"acdc", "emidec"}
    for counts in result.values():
        assert counts["images"] == 300 and 20 < counts["failures"] < 150
        assert counts["failures_flagged"] > 0.8 and counts["right_flagged"] < 0.17
    assert cross_checked(drawn().of(np.zeros(600, dtype=bool))) == {}


def test_a_contrast_without_known_insertions_is_not_judged():
    observations = drawn()
    observations.error_mm[300:, 1] = np.nan
    assert set(cross_checked(observations)) == {"acdc"}
    assert 0.05 <= calibrated(observations).threshold <= 0.95


def test_the_threshold_holds_for_subjects_that_did_not_calibrate():
    """One subject in ten is more doubtful in all: its own confidences, fitted with it, would hide that."""
    observations = drawn()
    usual = np.array(observations.usual)
    model = calibrated(observations)
    right = ~(observations.error_mm[:, :2] >= 10.0).any(axis=1)
    flagged = model.confidence(observations.features)[:, :2].min(axis=1) < model.threshold
    assert max(flagged[right & (usual == name)].mean() for name in set(usual)) < 0.15


def test_a_restyled_stack_has_one_look_and_its_landmarks():
    slices = list(simulated_slices([3], ["cine"]))
    twice = replace(bank_of(slices + slices), subjects=("SIM3", "SIM3"))
    images, points = restyled(twice, seed=2)
    assert images.shape == (2, 384, 384) and images.dtype == np.float32 and 0.0 <= images.min() <= images.max() <= 1.0
    assert np.array_equal(images[0], images[1]) and np.array_equal(points[0], points[1])
    assert not np.allclose(images[0], twice.images[0] / 255.0, atol=0.1)
    other, elsewhere = restyled(twice, seed=3)
    assert not np.allclose(other, images, atol=0.1) and not np.allclose(elsewhere, points, atol=1.0)


def test_restyled_landmarks_move_with_the_image():
    (item,) = simulated_slices([3], ["cine"])
    bank = bank_of([item])
    for seed in range(4):
        spot = np.zeros_like(bank.labels)
        row, column = np.rint(bank.points[0, 0]).astype(int)
        spot[0, row - 2 : row + 3, column - 2 : column + 3] = 3
        place = _placement(384, np.random.default_rng(seed))
        _, points = restyled(bank, seed)
        seen = np.argwhere(place.sample(spot[0], order=0) == 3).mean(axis=0)
        assert seen == pytest.approx(points[0, 0], abs=1.5)


def test_slices_are_observed_with_their_stack_and_damaged():
    torch.manual_seed(0)
    model = uncalibrated(HeatmapNetwork(STAGE1).eval(), HeatmapNetwork(STAGE2).eval(), 128, 2)
    slices = list(simulated_slices(range(2), ["cine", "vne"]))
    result = observed(slices, model, frozenset(["cine"]))
    assert result.features.shape == (4 + 4 + 2, 3, len(FEATURES)) and result.error_mm.shape == (10, 3)
    assert sorted(result.usual) == [""] * 8 + ["vne", "vne"] and result.subjects[:1] == ("SIM0",)
    assert result.damaged == (False,) * 8 + (True,) * 2
    joined = Observations.joined([result, result])
    assert len(joined.usual) == len(joined.subjects) == len(joined.features) == 20
