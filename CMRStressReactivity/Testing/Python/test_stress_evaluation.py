"""What ``cmr-evaluate stress`` says of registrations whose errors are known."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from pairs_bank import small_bank

from CMRStressReactivityLib.research import methods, report
from CMRStressReactivityLib.research.agreement import area_under_curve, icc
from CMRStressReactivityLib.research.evaluation import (
    Method,
    PairErrors,
    evaluation_pair,
    measure_pair,
    uncorrected,
)
from CMRStressReactivityLib.research.summary import PairResult, defect_auc

SCRIPT = Path(__file__).parents[3] / "Resources/Scripts/cmr_evaluate.py"


def test_icc_is_that_of_an_analysis_of_variance():
    """The first and the third judge of Shrout and Fleiss's example, Psychol Bull 1979;86:420."""
    one, other = np.array([9.0, 6, 8, 7, 10, 6]), np.array([5.0, 3, 6, 2, 6, 4])
    assert icc(one, other) == pytest.approx(_icc_by_hand(one, other))
    assert icc(one, one) == pytest.approx(1.0) and icc(one, one + 3.0) < icc(one, one + 0.1)
    assert np.isnan(icc(one[:1], other[:1]))


def _icc_by_hand(one, other):
    """With the mean squares of an analysis of variance written out for two judges."""
    n = len(one)
    subject, judge = (one + other) / 2, np.array([one.mean(), other.mean()])
    between = 2 * subject.var(ddof=1)
    judges = n * judge.var(ddof=1)
    total = np.concatenate([one, other]).var() * 2 * n
    rest = (total - (n - 1) * between - judges) / (n - 1)
    return (between - rest) / (between + rest + 2 * (judges - rest) / n)


def test_area_under_curve_counts_pairs_in_the_right_order():
    assert area_under_curve(np.array([3.0, 2.0, 1.0]), np.array([True, False, False])) == 1.0
    assert area_under_curve(np.array([1.0, 1.0]), np.array([True, False])) == 0.5
    assert np.isnan(area_under_curve(np.array([1.0]), np.array([True])))


def test_the_truth_has_no_error_and_no_registration_has_all():
    pair = evaluation_pair(small_bank(), 0, response="global")
    rows = {"none": Method(uncorrected), "true": Method(lambda fixed, moving: _known(pair, fixed))}
    errors = measure_pair(pair, rows)
    assert errors["true"].displacement_px == 0.0 and errors["true"].dice > 0.97 and errors["true"].folded == 0.0
    distance = np.hypot(*pair.displacement)[pair.myocardium].mean()
    assert errors["none"].displacement_px == pytest.approx(distance)
    assert abs(errors["true"].found - errors["true"].true) < 1.2
    assert errors["true"].true > 3.0 and errors["true"].reversed[1] < -3.0
    assert abs(errors["true"].reversed[0] - errors["true"].reversed[1]) < 1.2
    assert len(errors["true"].segments) in (4, 6)
    assert evaluation_pair(small_bank(), 0, response="global").rest.tobytes() == pair.rest.tobytes()


def _known(pair, fixed):
    return pair.displacement if fixed is pair.rest else pair.back


def test_slow_answers_are_kept(tmp_path):
    pair, calls = evaluation_pair(small_bank(), 1), []

    def slow(fixed, moving):
        calls.append(1)
        return uncorrected(fixed, moving)

    rows = {"slow, one": Method(slow, slow=True)}
    assert measure_pair(pair, rows, tmp_path) == measure_pair(pair, rows, tmp_path) and len(calls) == 1


def result(number, response, found, true, parts):
    errors = PairErrors(0.9, 0.5, 0.0, found, true, (-found, -true), parts)
    return PairResult(number, f"S{number}", response, "mid", 1.5, number % 2 == 1, {"ours": errors})


def test_the_summary_is_that_of_the_pairs():
    parts = {7: (0.4, 0.5), 8: (6.1, 6.0), 9: (5.9, 6.0)}
    results = [
        result(0, "territorial", 4.2, 4.0, parts),
        result(1, "none", -0.4, 0.0, {7: (-0.4, 0.0)}),
        result(2, "global", 6.2, 6.0, {7: (6.2, 6.0)}),
    ]
    found = report.report(results, ({"ours": 0.1234}, {"ours": 0.05}), "ours", "How timed.")
    summary = found["summary"]["ours"]
    assert summary["slice_error"] == pytest.approx(0.0) and summary["segments"] == 5
    assert summary["no_response_percent"] == pytest.approx(0.4) and summary["defect_auc"] == 1.0
    assert summary["segment_abs_error"] == pytest.approx((0.1 + 0.1 + 0.1 + 0.4 + 0.2) / 5)
    assert "| ours | 0.900 ± 0.000 | 0.50 ± 0.00 | 0.50 | 0.50 | 0.000% | 123 | 50 |" in found["tables"]["stress"]
    assert "3 simulated pairs of 3 anatomies" in found["tables"]["stress"]
    assert "1 of them of 1 real hearts" in found["tables"]["stress"]
    groups, defects = (found["tables"][name].splitlines() for name in ("stress-groups", "stress-defects"))
    assert "| overall: segments | 3 | 5 | -0.06 ± 0.23 | 0.998 | - | - |" in groups
    assert any(line.startswith("| response: territorial | 1 | 1 | +0.20 ± 0.00 |") for line in groups)
    assert "| 7 | 1 | 1 | - |" in defects and "| all | 3 | 1 | 1.000 |" in defects
    assert np.isnan(defect_auc(results, "ours", 8))
    json.dumps(found)


def test_rows_are_compared_on_the_pairs_that_all_were_measured_on():
    shift = Method(lambda fixed, moving: np.full((2, *fixed.shape), 2.0, np.float32), timed=False)
    slow = Method(uncorrected, slow=True)
    rows = {"slow": slow, "quick": shift}
    results = report.measure_pairs(range(3), small_bank(), rows, "true", slow_pairs=2)
    assert [set(result.errors) for result in results] == [{"slow", "quick", "true"}] * 2 + [{"quick", "true"}]
    found = report.report(results, ({}, {}), "quick", "")
    assert found["summary"]["quick"]["pairs"] == found["summary"]["slow"]["pairs"] == 2
    assert set(found["summary_of_all_pairs"]) == {"quick", "true"}
    assert found["summary_of_all_pairs"]["quick"]["pairs"] == 3
    assert "2 simulated pairs" in found["tables"]["stress"] and "3 simulated pairs" in found["tables"]["stress-all"]


def test_what_was_measured_is_kept_for_the_same_methods(tmp_path):
    calls = []

    def counted(fixed, moving):
        calls.append(1)
        return uncorrected(fixed, moving)

    first = report.measure_pairs([0], small_bank(), {"ours": Method(counted, "weights")}, "true", tmp_path)
    measured = len(calls)
    again = report.measure_pairs([0], small_bank(), {"ours": Method(counted, "weights")}, "true", tmp_path)
    assert again == first and len(calls) == measured > 0
    report.measure_pairs([0], small_bank(), {"ours": Method(counted, "other weights")}, "true", tmp_path)
    assert len(calls) == 2 * measured


def test_demons_find_a_shift():
    rows, columns = np.indices((96, 96)) - 47.5
    fixed, moving = (1000 + 600 * (np.hypot(rows - d, columns) < 18) for d in (0.0, 3.0))
    found = methods.demons(fixed.astype(np.float32), moving.astype(np.float32))
    edge = np.abs(np.hypot(rows, columns) - 18) < 2
    assert found.shape == (2, 96, 96) and found[0][edge].mean() == pytest.approx(3.0, abs=1.0)


@pytest.mark.slow
def test_the_command_measures_and_writes(tmp_path, capsys):
    spec = importlib.util.spec_from_file_location("cmr_evaluate", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    arguments = ["--output", str(tmp_path), "stress", "--pairs", "2", "--anatomies", "2", "--without-peers"]
    arguments += ["--threads", "1", "--timed", "1", "--data", str(tmp_path / "none"), "--pictures", str(tmp_path)]
    assert module.main(arguments) == 0
    assert "pairs of real hearts" in capsys.readouterr().err
    written = json.loads((tmp_path / "stress.json").read_text(encoding="utf-8"))
    mean = written["summary"]
    assert mean[methods.ALIGNED]["displacement_px"] < 0.3 * mean[methods.UNCORRECTED]["displacement_px"]
    assert mean[methods.TRUE]["displacement_px"] == 0.0
    assert min(written[kind][methods.ALIGNED] for kind in ("seconds", "processor_seconds")) > 0
    assert set(written["tables"]) == {"stress", "stress-change", "stress-all", "stress-groups", "stress-defects"}
    assert "Bland-Altman" in (tmp_path / "stress-agreement.svg").read_text(encoding="utf-8")
    assert not list(tmp_path.glob("*.png")), "there is no real heart to show"
