"""The benchmark's own arithmetic, and one run of its worker process; the peers are not needed."""

import sys
from pathlib import Path

import benchmark_t1 as benchmark
import numpy as np
import pytest
from benchmark_images import sample_pixels, simulated_phantom
from benchmark_tools import TOOLS as FUNCTIONS


@pytest.fixture(scope="module")
def images():
    return simulated_phantom()


def measurement(tool, cores, ms_per_pixel, pixels=2025):
    errors = benchmark.Errors(bias_ms=-82.74, mae_ms=83.0, within_5_ms=0.0031)
    return benchmark.Measurement(tool, cores, pixels, errors, ms_per_pixel, 37000, 37.0, 1.9, 280.2, (37.0,))


def test_sample_holds_each_candidate_at_most_once_and_is_repeatable():
    candidates = np.zeros((30, 40), dtype=bool)
    candidates[5:25, 10:30] = True
    rows, columns = sample_pixels(candidates, 15)
    assert rows.shape == columns.shape == (15, 15)
    assert candidates[rows, columns].all()
    assert len(set(zip(rows.ravel(), columns.ravel(), strict=True))) == 225
    again = sample_pixels(candidates, 15)
    assert np.array_equal(rows, again[0]) and np.array_equal(columns, again[1])
    assert not np.array_equal(rows, sample_pixels(candidates, 15, seed=1)[0])
    assert rows.std() > 4, "pixels of one corner are no random sample"


def test_small_sample_is_part_of_a_large_one_and_a_short_supply_is_used_up():
    candidates = np.ones((10, 10), dtype=bool)
    small, large = sample_pixels(candidates, 3), sample_pixels(candidates, 8)
    assert np.array_equal(small[0].ravel(), large[0].ravel()[:9])
    assert sample_pixels(candidates, 45)[0].size == 100


def test_errors_of_known_differences():
    reference = np.full(4, 1000.0)
    errors = benchmark.t1_errors(np.array([1005.0, 995.0, 1010.0, 1000.0]), reference)
    assert errors == benchmark.Errors(bias_ms=2.5, mae_ms=5.0, within_5_ms=0.75)
    lost = benchmark.t1_errors(np.array([np.nan, np.inf, 1000.0, 1000.0]), reference)
    assert lost == benchmark.Errors(bias_ms=-500.0, mae_ms=500.0, within_5_ms=0.5), "a T1 that is missing is an error"


def test_simulated_images_have_the_size_and_the_pixels_the_benchmark_asks_for(images):
    assert images.magnitude.shape == images.phase.shape == (7, 288, 384)
    assert list(images.inversion_times_ms) == sorted(images.inversion_times_ms)
    t1 = images.t1[images.candidates]
    assert len(t1) > 1500
    assert t1.min() >= 600 and t1.max() <= 2000


def test_every_tool_of_the_benchmark_has_its_function():
    assert {tool.function for tool in benchmark.TOOLS} == set(FUNCTIONS)


def test_table_compares_times_on_the_same_number_of_cores(images):
    own = benchmark.TOOLS[0].label
    measurements = [
        measurement(own, 2, 0.004),
        measurement(own, 1, 0.008),
        measurement("peer", 1, 4.0),
        measurement("peer", 2, 3.0, pixels=225),
    ]
    table = benchmark.benchmark_table(images, measurements, {"other": "not installed"}, load=1.4)
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if line.startswith("|")]
    ratios = [row[cells[0].index("times our time")] for row in cells[2:]]
    assert ratios == ["1", "1", "500", "750"]
    assert cells[4][cells[0].index("bias (ms)")] == "-82.7"
    assert cells[4][cells[0].index("within 5 ms")] == "0.3%"
    assert {len(row) for row in cells} == {len(cells[0])}
    assert "in 2025 random pixels" in table and "(225 for the slowest tool)" in table
    assert "load average 1.4" in table
    assert "load average" not in benchmark.benchmark_table(images, measurements, {}, load=0.1)
    assert "other could not be measured: not installed" in table


def test_worker_measures_our_reconstruction(images):
    part = slice(120, 170)
    arrays = {
        "magnitude": images.magnitude[:, part, part],
        "phase": images.phase[:, part, part],
        "inversion_times_ms": images.inversion_times_ms,
    }
    tool = benchmark.Tool("ours", "cmr_mapping", cores=1, side=0, repeats=2)
    answer = benchmark.run_tool(Path(sys.executable), tool, arrays)
    assert answer["t1"].shape == (50, 50)
    assert 0 < answer["fitted"] <= 2500
    assert answer["seconds"].shape == (2,)
    assert answer["cold_seconds"] > answer["seconds"].max(), "the first run includes the imports"
    assert 50 < answer["peak_mb"] < 5000, "not in MB"


def test_tool_that_is_not_installed_is_named_and_not_passed_over(images):
    arrays = {"magnitude": images.magnitude, "phase": images.phase, "inversion_times_ms": images.inversion_times_ms}
    with pytest.raises(RuntimeError, match="ukat"):
        benchmark.run_tool(Path(sys.executable), benchmark.TOOLS[2], arrays)
