"""The reconstruction of a real ShMOLLI scan against the maps that the scanner made of it."""

import pytest

from CMRLib.training.repository import real_data_folder
from CMRT1MappingLib.research.fit_report import report_phantom

pytestmark = pytest.mark.real_data
PHANTOM = real_data_folder() / "shmolli-phantom"


@pytest.fixture(scope="module")
def agreement():
    if not PHANTOM.is_dir():
        pytest.skip(f"the real phantom is not here: there is no folder {PHANTOM} (CMR_REAL_DATA names its parent)")
    return report_phantom(PHANTOM)["agreement"]


def test_with_phase_repeats_the_scanner(agreement):
    result = agreement["with phase"]
    assert result["pixels"] > 8900
    assert result["within_1_ms"] >= 0.998
    assert result["same_samples"] >= 0.985
    assert result["r2_within_0_001"] >= 0.95
    assert 0.2 < result["bias_ms"] < 0.8, "the scanner truncates T1 to whole ms, so the mean difference is near 0.5"


def test_magnitude_only_repeats_the_scanner_where_t1_is_long(agreement):
    result = agreement["magnitude only"]
    assert result["within_1_ms"] >= 0.995
    assert result["same_samples"] >= 0.985
    assert result["r2_within_0_001"] >= 0.95


def test_short_t1_that_cannot_be_resolved_is_marked(agreement):
    for result in agreement.values():
        assert result["short_pixels"] > 20000
        assert result["short_wrong"] > 50, "nothing is wrong, so nothing is tested"
        assert result["short_wrong_unmarked"] <= 0.001 * result["short_pixels"]
    assert agreement["magnitude only"]["short_marked"] < 0.1, "marking everything would be no mark"
