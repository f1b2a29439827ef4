"""``cmr-evaluate moco`` on small sets, and what its report says of known errors."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import benchmark_motion_pictures
import numpy as np
import pytest

from CMRT1MappingLib.research import motion_report
from CMRT1MappingLib.research.irw_evaluation import evaluation_set
from CMRT1MappingLib.research.motion_evaluation import MotionErrors
from CMRT1MappingLib.research.motion_report import Method, SetResult


def errors(displacement, t1=30.0):
    return MotionErrors(displacement, 2 * displacement, 3 * displacement, t1, 1.0, 0.98, 0.95, 0.8, 0.0001)


def result(number, severity, **methods):
    return SetResult(number, f"SIM{number}", severity, {name: errors(value) for name, value in methods.items()})


RESULTS = [
    result(0, "severe", uncorrected=4.0, MOCOnet=0.6),
    result(1, "severe", uncorrected=6.0, MOCOnet=0.8),
    result(2, "moderate", uncorrected=2.0, MOCOnet=0.3),
    result(6, "none", uncorrected=0.0, MOCOnet=0.1),
]


def test_groups_are_summarised_apart():
    report = motion_report.report_sets(RESULTS, {"MOCOnet": 0.123}, "How timed.")
    severe = report["summary"]["severe"]["uncorrected"]
    assert severe["sets"] == 2 and severe["displacement_px"] == 5.0
    assert severe["displacement_sd_px"] == pytest.approx(np.sqrt(2.0))
    assert severe["displacement_worst_set_px"] == 6.0 and severe["displacement_max_px"] == 18.0
    assert report["summary"]["all"]["MOCOnet"]["displacement_px"] == pytest.approx(0.45)
    everything, groups = report["tables"]["moco"], report["tables"]["moco-groups"]
    assert "uncorrected | 3.00 ± 2.58 | 6.00 | 30.0 ± 0.0 | 0.9800 | 0.950 | 0.80 | 0.010% | -" in everything
    assert "| 0.12 | 1.0 |\n" in everything and "How timed." in everything and "4 simulated sets" in everything
    assert "moderate (1): MOCOnet | 0.30 ± 0.00" in groups and "mild" not in groups
    assert everything.rstrip().endswith("changes by +0.0 ms (MOCOnet). How timed.")
    json.dumps(report)


def test_change_of_t1_where_nothing_moved():
    still = SetResult(6, "SIM6", "none", {"uncorrected": errors(0.0, t1=30.0), "MOCOnet": errors(0.1, t1=30.5)})
    other = SetResult(15, "SIM15", "none", {"uncorrected": errors(0.0, t1=20.0), "MOCOnet": errors(0.1, t1=21.5)})
    assert motion_report.t1_changes([still, other]) == {"MOCOnet": 1.0}


def test_pictured_sets_are_the_best_the_median_and_the_worst(monkeypatch):
    states = {0: "rest", 1: "post", 4: "rest"}
    monkeypatch.setattr(
        motion_report, "evaluation_set", lambda number, acdc: SimpleNamespace(state=states.get(number, "rest"))
    )
    chosen = motion_report.pictured_sets([*RESULTS, result(4, "severe", MOCOnet=0.9)], "MOCOnet", None)
    assert chosen == {"moco-best": 2, "moco-median": 1, "moco-worst": 4, "MotionCorrection": 0}
    assert motion_report.pictured_sets(RESULTS[-1:], "MOCOnet", None) == {}


@cache
def small_set(number, acdc=None):
    """One of the evaluation's sets, cut out around the heart."""
    item = evaluation_set(number, acdc)
    row, column = (round(float(place.mean())) for place in np.nonzero(item.myocardium > 0.5))
    part = (..., slice(row - 48, row + 48), slice(column - 48, column + 48))
    names = ("images", "phase", "still_images", "still_phase", "displacement", "moved", "labels", "myocardium")
    return replace(item, **{name: np.ascontiguousarray(getattr(item, name)[part]) for name in names})


@pytest.fixture
def evaluate(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[1] / "Resources" / "Scripts"))
    import cmr_evaluate

    return cmr_evaluate


@pytest.mark.slow
def test_command_measures_and_writes(evaluate, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(motion_report, "evaluation_set", small_set)
    monkeypatch.setattr(benchmark_motion_pictures, "evaluation_set", small_set)
    arguments = [
        "--output",
        str(tmp_path),
        "moco",
        "--sets",
        "3",
        "--still",
        "0",
        "--without-peers",
        "--threads",
        "1",
        "--timed",
        "1",
    ]
    arguments += ["--data", str(tmp_path / "none"), "--pictures", str(tmp_path / "pictures")]
    assert evaluate.main(arguments) == 0
    shown = capsys.readouterr()
    assert "patients are" in shown.err and "the phantom is" in shown.err and "set 2 (moderate)" in shown.err
    written = json.loads((tmp_path / "moco.json").read_text(encoding="utf-8"))
    assert [item["number"] for item in written["sets"]] == [0, 2], "odd numbers need patients"
    mean = written["summary"]["all"]
    assert mean["MOCOnet"]["displacement_px"] < 0.5 * mean["uncorrected"]["displacement_px"]
    assert mean["MOCOnet"]["t1_error_ms"] < mean["uncorrected"]["t1_error_ms"]
    assert mean["true motion taken out"]["displacement_px"] < 0.05
    assert written["seconds"]["MOCOnet"] > 0.0 and "uncorrected" not in written["seconds"]
    assert {"moco", "moco-groups"} <= set(written["tables"])
    pictures = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert pictures == ["MotionCorrection.png", "moco-best.png", "moco-median.png", "moco-worst.png"]
    again = [
        "--output",
        str(tmp_path),
        "moco",
        "--still",
        "0",
        "--without-peers",
        "--threads",
        "1",
        "--timed",
        "1",
        "--keep-sets",
    ]
    assert evaluate.main([*again, "--data", str(tmp_path / "none")]) == 0
    timed = json.loads((tmp_path / "moco.json").read_text(encoding="utf-8"))
    assert timed["sets"] == written["sets"] and timed["seconds"] != written["seconds"]
    assert timed["tables"]["moco-groups"] == written["tables"]["moco-groups"]
    assert all(10_000 < path.stat().st_size < 300_000 for path in (tmp_path / "pictures").iterdir())


def test_sets_are_kept_from_a_report_of_the_same_model_only(evaluate, tmp_path, capsys):
    assert evaluate.main(["--output", str(tmp_path), "moco", "--without-peers", "--keep-sets"]) == 2
    assert "is no report of this model; run" in capsys.readouterr().err


def test_missing_weights_are_told(evaluate, tmp_path, capsys):
    assert evaluate.main(["moco", "--model", str(tmp_path / "none.safetensors"), "--sets", "1"]) == 3
    assert "There is no weights file" in capsys.readouterr().err


def test_slow_answers_are_kept_for_the_same_images_and_settings(tmp_path):
    item, calls = small_set(0), []

    def estimate(item):
        calls.append(item.number)
        return item.displacement

    def measured(item, settings):
        methods = {"slow, one": Method(estimate, settings=settings, slow=True)}
        return motion_report.measure_set(item, methods, tmp_path / "cache").errors["slow, one"]

    first, second = measured(item, "a"), measured(item, "a")
    assert calls == [0] and first == second and first.displacement_px < 0.05
    measured(item, "b")
    assert calls == [0, 0]
    measured(replace(item, images=item.images * 2.0), "b")
    assert calls == [0, 0, 0]
    assert not list((tmp_path / "cache").glob("*partial*"))
