"""Calibrating the confidence on stacks, and what its flags do on subjects that it was not fitted on."""

from __future__ import annotations

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
from CMRLandmarksLib.research.dataset import simulated_slices  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


def drawn(per_contrast: int = 300) -> Observations:
    """Ten subjects of two contrasts, one of them more doubtful in all; the third feature tells failures."""
    rng = np.random.default_rng(0)
    count = 2 * per_contrast
    features = rng.normal(size=(count, 3, len(FEATURES)))
    error = np.where(features[..., 2] + 0.2 * rng.normal(size=(count, 3)) > 1.2, 25.0, 1.0)
    features[per_contrast:, :, 0] += 2.0
    usual = ("acdc",) * per_contrast + ("emidec",) * per_contrast
    return Observations(features, error, usual, tuple(f"{name}{i % 10}" for i, name in enumerate(usual)))


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


def test_slices_are_observed_with_their_stack_and_damaged():
    torch.manual_seed(0)
    model = uncalibrated(HeatmapNetwork(STAGE1).eval(), HeatmapNetwork(STAGE2).eval(), 128, 2)
    slices = list(simulated_slices(range(2), ["cine", "vne"]))
    result = observed(slices, model, frozenset(["cine"]))
    assert result.features.shape == (4 + 2, 3, len(FEATURES)) and result.error_mm.shape == (6, 3)
    assert sorted(result.usual) == ["", "", "", "", "vne", "vne"] and result.subjects[:1] == ("SIM0",)
    joined = Observations.joined([result, result])
    assert len(joined.usual) == len(joined.subjects) == len(joined.features) == 12
