"""The evaluation of ECV: simulated pairs, what is measured on them, and its command."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from ecv_phantom import ECV, HEMATOCRIT, SIZE, SPACING_MM, rings

from CMRLib.simulation.study import short_axis_geometry
from CMRT1MappingLib.research import ecv_evaluation
from CMRT1MappingLib.research.ecv_evaluation import LAID, REGISTERED, STILL, measure_pairs, report
from CMRT1MappingLib.research.ecv_pairs import EcvPair, MeasuredT1, simulated_pair

SCRIPT = Path(__file__).resolve().parents[3] / "Resources" / "Scripts" / "cmr_evaluate.py"


def ring_pair(number):
    """The rings as a pair, moved by (3, -4) pixels."""
    heart = rings(noise=0.02, shift=(3.0, -4.0), seed=number)
    still = rings(noise=0.02, seed=number)
    known = np.where(heart.wall, ECV, np.nan).astype(np.float32)
    half = np.indices(heart.wall.shape)[1] < SIZE / 2
    return EcvPair(
        number=number,
        level="mid",
        field=1.5,
        native=MeasuredT1(heart.native, heart.native_error),
        post=MeasuredT1(heart.post, heart.post_error),
        still=MeasuredT1(still.post, still.post_error),
        displacement=np.stack([np.full(heart.wall.shape, 3.0), np.full(heart.wall.shape, -4.0)]).astype(np.float32),
        percent=known,
        read=known,
        labels=(heart.wall + 2 * heart.pool).astype(np.uint8),
        segments=np.where(heart.wall, np.where(half, 8, 11), 0).astype(np.uint8),
        hematocrit=HEMATOCRIT,
        geometry=short_axis_geometry(0, (SIZE, SIZE), SPACING_MM),
    )


@pytest.fixture
def pairs(monkeypatch):
    monkeypatch.setattr(ecv_evaluation, "simulated_pair", ring_pair)


def test_registration_takes_the_error_away(pairs):
    (result,) = measure_pairs([0])
    errors = {name: abs(one.slice.error) for name, one in result.methods.items()}
    assert errors[LAID] > 3.0 and errors[REGISTERED] < 0.6 and errors[STILL] < 0.6
    assert result.methods[REGISTERED].left_over_mm < 0.3 < 5.0 < result.methods[LAID].left_over_mm
    assert result.methods[STILL].left_over_mm == 0.0
    assert sorted(result.methods[REGISTERED].segments) == [8, 11]
    assert 0.85 < result.methods[STILL].pixels_within <= 1.0


def test_the_table_has_a_row_for_each_way(pairs):
    made = report(measure_pairs([0, 1]))
    table = made["tables"]["ecv"]
    assert table.count("\n| ") == 4 and "2 simulated pairs" in table and "4 segments" in table
    assert made["summary"][REGISTERED]["pairs"] == 2
    assert json.dumps(made)


def test_the_command_writes_its_file(pairs, tmp_path):
    main = runpy.run_path(str(SCRIPT))["main"]
    assert main(["--output", str(tmp_path), "ecv", "--pairs", "1", "--threads", "1"]) == 0
    assert json.loads((tmp_path / "ecv.json").read_text())["summary"][STILL]["pairs"] == 1


@pytest.mark.slow
def test_a_simulated_pair_has_the_ecv_that_it_says():
    pair = simulated_pair(0, first_seed=800_000)
    again = simulated_pair(0, first_seed=800_000)
    assert np.array_equal(pair.post.t1, again.post.t1)
    assert np.isfinite(pair.percent[pair.myocardium]).all() and np.isnan(pair.percent[~pair.myocardium]).all()
    assert 20.0 < np.median(pair.percent[pair.myocardium]) < 46.0
    blood = pair.labels == 2
    rates = [
        1.0 / np.median(image.t1[region]) for image in (pair.native, pair.still) for region in (blood, pair.myocardium)
    ]
    found = 100.0 * (1.0 - pair.hematocrit) * (rates[3] - rates[1]) / (rates[2] - rates[0])
    assert found == pytest.approx(np.median(pair.read[pair.myocardium]), abs=3.0)
    assert np.abs(pair.displacement[:, pair.myocardium]).max() > 1.0
