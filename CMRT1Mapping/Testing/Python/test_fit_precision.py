"""Bias and spread of T1 against the Cramér-Rao bound, and the truth of the reported standard error."""

import numpy as np
import pytest

from CMRT1MappingLib.research.fit_evaluation import shmolli_precision

NATIVE_TISSUES = (960.0, 1166.0, 1570.0)  # ms: myocardium at 1.5 and 3 T, blood


@pytest.mark.parametrize("snr", [25.0, 100.0])
@pytest.mark.parametrize("rr", [500.0, 900.0, 1500.0])
@pytest.mark.parametrize("t1", NATIVE_TISSUES)
def test_native_tissue_is_measured_at_the_bound(t1, rr, snr):
    result = shmolli_precision(t1, rr, snr, seed=11)
    assert abs(result.bias_ms) < 0.15 * result.spread_ms
    assert 0.9 < result.spread_over_bound <= 1.1
    assert 0.9 < result.error_over_reported < 1.1


@pytest.mark.parametrize("rr", [500.0, 1300.0])
def test_short_t1_reports_the_doubt_of_the_choice_of_samples(rr):
    """Where T1 < RR the rule chooses among sets of samples; the standard error must include that choice."""
    result = shmolli_precision(450.0, rr, 40.0, seed=12)
    assert result.spread_over_bound < 1.15
    assert 0.9 < result.error_over_reported < 1.1


def test_without_phase_a_sample_at_the_zero_crossing_is_marked():
    result = shmolli_precision(1570.0, 1000.0, 25.0, with_phase=False, seed=13)
    assert result.marked > 0.5
    assert np.isfinite(result.spread_ms)
