"""The other software's side of ``cmr-evaluate moco``; elastix itself is not needed."""

import importlib
import sys
import types
from pathlib import Path

import benchmark_motion
import numpy as np
import pytest
from benchmark_motion import Elastix, pairwise
from scipy.ndimage import gaussian_filter

from CMRLib.errors import MissingDependencyError

SHIFTS = [(0.0, 0.0), (3.0, -2.0), (-2.0, 4.0)]


def discs():
    """Frames of a disc in a larger one that has moved as in SHIFTS, in other contrasts and with texture."""
    row, column = np.mgrid[:96, :104]
    texture = gaussian_filter(np.random.default_rng(0).standard_normal((3, 96, 104)), (0, 1, 1))
    frames = []
    for (down, right), values, noise in zip(SHIFTS, ((60, 200), (180, 80), (120, 20)), texture, strict=True):
        radius = np.hypot(row - 48 - down, column - 52 - right)
        frames.append(gaussian_filter(np.select([radius < 16, radius < 34], values, 10.0), 1.0) + 5.0 * noise)
    return np.array(frames, np.float32)


def test_pairwise_registration_finds_shifts_between_contrasts():
    found = pairwise(discs(), 1.4)
    assert found.shape == (3, 2, 96, 104) and found.dtype == np.float32
    assert not found[0].any(), "the first frame is the reference"
    edge = (slice(24, 72), slice(28, 76))
    for shift, expected in zip(found, SHIFTS, strict=True):
        assert shift[(slice(None), *edge)].mean(axis=(1, 2)) == pytest.approx(expected, abs=1.0)


def worker(folder, monkeypatch, answer):
    script = folder / "worker.py"
    script.write_text(
        "import sys, numpy as np\n"
        "for line in sys.stdin:\n"
        "    source, target = line.rstrip('\\n').split('\\t')\n"
        f"    {answer}\n"
        "    print('done', flush=True)\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(benchmark_motion, "WORKER", script)


def test_answers_of_a_worker_are_those_of_its_sets(tmp_path, monkeypatch):
    worker(tmp_path, monkeypatch, "np.savez(target, displacement=np.load(source)['images'].sum())")
    with Elastix(Path(sys.executable)) as elastix:
        assert elastix.groupwise(np.full((2, 3, 4), 1.0), 1.0) == 24.0
        assert elastix.groupwise(np.full((2, 3, 4), 2.0), 1.0) == 48.0
        process = elastix._process
    assert process.returncode == 0


def test_a_worker_that_ends_is_told(tmp_path, monkeypatch):
    worker(tmp_path, monkeypatch, "sys.exit(1)")
    with Elastix(Path(sys.executable)) as elastix, pytest.raises(MissingDependencyError, match="without an answer"):
        elastix.groupwise(np.ones((2, 3, 4)), 1.0)


def test_the_model_that_mdreg_is_given_follows_an_inversion_recovery(monkeypatch):
    monkeypatch.setitem(sys.modules, "mdreg", types.ModuleType("mdreg"))
    fitted = importlib.import_module("benchmark_motion_mdreg").fitted
    times = np.array([100.0, 1100.0, 2100.0, 3100.0, 4100.0, 180.0, 260.0])
    t1_star = np.array([[300.0, 900.0], [1200.0, 1500.0]])
    signal = np.abs(500.0 - 1000.0 * np.exp(-times / t1_star[..., None]))
    model, parameters = fitted(signal, TI=times)
    np.testing.assert_allclose(model, signal, atol=8.0)
    np.testing.assert_allclose(parameters[..., 2], t1_star, rtol=0.06)
    without_signal = fitted(np.zeros((2, 2, 7)), TI=times)[0]
    assert np.isfinite(without_signal).all() and not without_signal.any()
