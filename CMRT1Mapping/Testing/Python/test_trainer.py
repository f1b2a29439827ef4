"""The trainer: limits, resuming, averaged weights, bad folders."""

from __future__ import annotations

import json

import pytest

from CMRLib.errors import DeviceError, InputError, OutputError

torch = pytest.importorskip("torch")

from CMRLib.training.trainer import (  # noqa: E402
    CHECKPOINT,
    LOG,
    METRICS,
    TrainingOptions,
    learning_rate_factor,
    read_average,
    read_metrics,
    train,
)


class Line:
    """Learn y = 3 x - 1."""

    name = "line"

    def __init__(self, stop_at: int | None = None) -> None:
        self.calls = 0
        self.stop_at = stop_at

    def network(self):
        return torch.nn.Linear(1, 1)

    def batch(self, size, generator):
        self.calls += 1
        if self.calls == self.stop_at:
            raise KeyboardInterrupt
        x = torch.rand(size, 1, generator=generator)
        return x, 3.0 * x - 1.0

    def loss(self, network, batch):
        with torch.autocast("cpu", enabled=False):
            error = (network(batch[0]) - batch[1]).square().mean()
        return error, {"error": float(error.detach())}

    def validate(self, network):
        assert not network.training
        return {"score": float((network(torch.tensor([[0.5]])) - 0.5).abs())}


def options(**changed):
    return TrainingOptions(**{"steps": 400, "learning_rate": 0.05, "ema": 0.9, "device": "cpu", **changed})


def quiet(line):
    """No report."""


def test_it_learns_and_writes_what_it_measured(tmp_path):
    result = train(Line(), tmp_path, options(), quiet)
    assert result.steps == 400 and result.metrics["score"] < 0.02
    assert result.network.weight.item() == pytest.approx(3.0, abs=0.1)
    written = json.loads((tmp_path / METRICS).read_text())
    assert written["validation"] == result.metrics and written == read_metrics(tmp_path)
    assert written["options"]["learning_rate"] == 0.05
    assert json.loads((tmp_path / LOG).read_text().splitlines()[-1])["step"] == 400
    assert read_average(tmp_path)["weight"].item() == result.network.weight.item()


def test_a_killed_run_goes_on_where_it_stopped(tmp_path):
    """With a report, and so a checkpoint, after every step the resumed run equals the one that was not killed."""
    whole = train(Line(), tmp_path / "whole", options(report_every_s=0.0), quiet)
    with pytest.raises(KeyboardInterrupt):
        train(Line(stop_at=150), tmp_path / "killed", options(report_every_s=0.0), quiet)
    resumed_task = Line()
    resumed = train(resumed_task, tmp_path / "killed", options(report_every_s=0.0), quiet)
    assert resumed_task.calls == 400 - 149
    assert resumed.network.weight.item() == pytest.approx(whole.network.weight.item(), abs=1e-6)


def test_the_time_limit_ends_a_run(tmp_path):
    result = train(Line(), tmp_path, options(minutes=0.003, steps=None), quiet)
    assert 0.18 <= result.seconds < 30.0 and result.steps > 0


def test_a_finished_run_is_only_measured_again(tmp_path):
    train(Line(), tmp_path, options(steps=5), quiet)
    task = Line()
    assert train(task, tmp_path, options(steps=5), quiet).steps == 5
    assert task.calls == 0


def test_given_weights_are_where_a_run_starts(tmp_path):
    start = {"weight": torch.tensor([[3.0]]), "bias": torch.tensor([-1.0])}
    result = train(Line(), tmp_path, options(steps=1, learning_rate=1e-9), quiet, initial=start)
    assert result.network.weight.item() == pytest.approx(3.0, abs=1e-5)


def test_the_learning_rate_rises_then_falls_to_zero():
    factors = [learning_rate_factor(p, 0.1) for p in (0.05, 0.1, 0.55, 1.0)]
    assert factors == pytest.approx([0.5, 1.0, 0.5, 0.0])


def test_another_networks_run_and_a_damaged_checkpoint_are_refused(tmp_path):
    train(Line(), tmp_path, options(steps=2), quiet)
    other = Line()
    other.name = "curve"
    with pytest.raises(InputError, match="holds a run of line"):
        train(other, tmp_path, options(), quiet)
    content = (tmp_path / CHECKPOINT).read_bytes()
    (tmp_path / CHECKPOINT).write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="delete it"):
        train(Line(), tmp_path, options(), quiet)
    with pytest.raises(InputError, match="train this stage first"):
        read_average(tmp_path)
    with pytest.raises(InputError, match="finish first"):
        read_metrics(tmp_path / "none")


def test_impossible_folders_limits_and_devices_are_refused(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be made"):
        train(Line(), tmp_path / "file", options(), quiet)
    with pytest.raises(InputError, match="positive"):
        TrainingOptions(minutes=0.0)
    with pytest.raises(DeviceError, match="no device called"):
        train(Line(), tmp_path / "run", options(device="abacus"), quiet)
