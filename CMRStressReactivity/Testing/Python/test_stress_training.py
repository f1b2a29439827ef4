"""Training the registration of stress to rest: losses, the command and the weights file that comes of it."""

import importlib.util
import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from pairs_bank import small_bank  # noqa: E402

from CMRLib.networks.models import read_manifest  # noqa: E402
from CMRStressReactivityLib.networks import PATCH  # noqa: E402
from CMRStressReactivityLib.registration import load_registration_model, register  # noqa: E402
from CMRStressReactivityLib.research import training  # noqa: E402
from CMRStressReactivityLib.research.pairs import random_pairs  # noqa: E402
from CMRStressReactivityLib.research.training import StressTask, image_loss, known_loss, smoothness  # noqa: E402

SCRIPT = Path(__file__).parents[3] / "Resources/Scripts/cmr_train.py"


@pytest.fixture(autouse=True)
def little_validation(monkeypatch):
    monkeypatch.setattr(training, "VALIDATION_BATCHES", 1)
    monkeypatch.setattr(training, "VALIDATION_PAIRS", 2)
    monkeypatch.setattr(training, "VALIDATION_ANATOMIES", 2)


@pytest.fixture(scope="module")
def command():
    spec = importlib.util.spec_from_file_location("cmr_train", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def test_smoothness_is_the_mean_squared_gradient():
    rows = torch.arange(6.0)[:, None].expand(6, 6)
    assert float(smoothness(torch.stack([2 * rows, 0 * rows])[None])) == pytest.approx(4.0)


@pytest.mark.parametrize("loss", ["known", "images"])
def test_the_true_displacement_has_the_smaller_loss(loss):
    pairs = random_pairs(small_bank(), 2, torch.Generator().manual_seed(1), varied=False)
    still = torch.zeros(2, 2, 192, 192)
    if loss == "images":
        found = [float(image_loss(d, pairs)[0]) for d in (pairs.displacement, still)]
    else:
        coarse = (torch.nn.functional.avg_pool2d(d, PATCH) / PATCH for d in (pairs.displacement, still))
        found = [float(known_loss(d, pairs)[0]) for d in coarse]
    assert found[0] < 0.8 * found[1]


def test_a_true_change_costs_the_known_loss_nothing():
    """With the true displacement a stress map that differs from rest leaves its errors only."""
    for response in ("none", "negative"):
        pairs = random_pairs(small_bank(), 2, torch.Generator().manual_seed(2), varied=False, response=response)
        terms = known_loss(torch.nn.functional.avg_pool2d(pairs.displacement, PATCH) / PATCH, pairs)[1]
        assert terms["far_px"] < 0.12 and terms["mse"] < 0.1


def test_a_new_network_sees_no_motion_and_validation_is_fixed():
    task = StressTask(small_bank(), small_bank())
    network = task.network().eval()
    with torch.no_grad():
        first, again = task.validate(network), task.validate(network)
    assert first == again and first["score"] == pytest.approx(first["before_px"], rel=0.1)


def test_the_command_trains_goes_on_and_installs(command, tmp_path):
    arguments = ["stress", "--output", str(tmp_path / "run"), "--simulated", "3", "--batch", "2", "--threads", "1"]
    arguments += ["--cache", str(tmp_path / "cache"), "--device", "cpu", "--id", "stress-test"]
    assert command([*arguments, "--minutes", "0.02", "--install", str(tmp_path / "models")]) == 0
    steps = json.loads((tmp_path / "run" / "metrics.json").read_text(encoding="utf-8"))["steps"]
    (entry,) = read_manifest(tmp_path / "models" / "manifest.json")
    assert entry.task == "stress-registration" and entry.licence == "Apache-2.0" and entry.input["network"] == "swin"
    assert command([*arguments, "--minutes", "0.06"]) == 0
    assert json.loads((tmp_path / "run" / "metrics.json").read_text(encoding="utf-8"))["steps"] > steps
    model = load_registration_model(tmp_path / "models" / entry.file, "cpu")
    pairs = random_pairs(small_bank(), 1, torch.Generator().manual_seed(1), varied=False)
    found = register(pairs.rest[0, 0].numpy(), pairs.stress[0, 0].numpy(), (1.2, 1.2), model=model, refined=False)
    assert found.model == model.entry and found.displacement.shape == (2, 192, 192)


def test_an_unknown_loss_is_a_usage_error(command, tmp_path, capsys):
    assert command(["stress", "--output", str(tmp_path), "--loss", "none"]) == 2
    assert "invalid choice" in capsys.readouterr().err
