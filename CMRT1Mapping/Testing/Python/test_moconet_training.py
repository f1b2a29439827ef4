"""Training MOCOnet: the task, the command and the weights file that comes of it."""

import importlib.util
import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from CMRLib.errors import InputError  # noqa: E402
from CMRLib.networks.models import read_manifest  # noqa: E402
from CMRLib.training.entries import TrainingData  # noqa: E402
from CMRLib.training.trainer import TrainingOptions, read_average  # noqa: E402
from CMRT1MappingLib.motion.estimation import load_motion_model  # noqa: E402
from CMRT1MappingLib.motion.moconet import Moconet  # noqa: E402
from CMRT1MappingLib.research.irw_bank import make_bank  # noqa: E402
from CMRT1MappingLib.research.moconet_training import (  # noqa: E402
    CROP,
    MoconetTask,
    PaperMoconetTask,
    assemble,
    train_moconet,
)

SCRIPT = Path(__file__).parents[3] / "Resources/Scripts/cmr_train.py"


@pytest.fixture(scope="module")
def banks():
    return make_bank(range(3), None, "training", shapes=1), make_bank(range(800_000, 800_002), None, "validation")


@pytest.fixture(autouse=True)
def little_validation(monkeypatch):
    monkeypatch.setattr("CMRT1MappingLib.research.moconet_training.VALIDATION_BATCHES", 2)
    monkeypatch.setattr("CMRT1MappingLib.research.moconet_training.WIDE_VALIDATION_BATCHES", 1)
    monkeypatch.setattr("CMRT1MappingLib.research.moconet_training.VALIDATION_SETS", 1)


@pytest.fixture(scope="module")
def command():
    spec = importlib.util.spec_from_file_location("cmr_train", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def test_examples_have_known_motion_and_validation_is_fixed(banks):
    task = MoconetTask(*banks)
    batch = task.batch(2, torch.Generator().manual_seed(0))
    assert batch.images.shape[:2] == batch.displacement.shape[:2]
    assert batch.images.shape[2:] == batch.displacement.shape[3:]
    assert batch.displacement.abs().max() > 0.5
    network = task.network().eval()
    with torch.no_grad():
        first, again = task.validate(network), task.validate(network)
    assert first == again
    # A new network sees no motion at all.
    assert first["score"] == pytest.approx(first["before_px"], rel=1e-4)


def motion_of_the_heart(batch):
    """Mean displacement in pixels; NaN without a heart."""
    heart = (batch.heart > 0.5)[:, None].expand(-1, batch.images.shape[1], -1, -1)
    return batch.displacement.norm(dim=2)[heart].mean()


def test_a_few_steps_on_the_same_set_reduce_its_error(banks):
    torch.manual_seed(0)
    task = MoconetTask(*banks)
    generator = torch.Generator().manual_seed(2)
    drawn = iter(lambda: task.batch(1, generator), None)
    batch = next(batch for batch in drawn if batch.images.numel() <= 7 * CROP**2 and motion_of_the_heart(batch) > 1.0)
    network = task.network().train()
    optimiser = torch.optim.AdamW(network.parameters(), 3e-3)
    errors = []
    for _ in range(16):
        loss, terms = task.loss(network, batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        errors.append(terms["heart_px"])
    assert 0.0 < errors[-1] < 0.6 * errors[0]


def test_training_that_was_stopped_goes_on(banks, tmp_path, monkeypatch):
    steps, loss = [], MoconetTask.loss
    monkeypatch.setattr(MoconetTask, "loss", lambda task, *given: steps.append(1) or loss(task, *given))
    for most in (2, 3):
        options = TrainingOptions(minutes=5, steps=most, batch=1, device="cpu")
        train_moconet(*banks, tmp_path, options, report=lambda line: None)
        assert len(steps) == most, "the steps that were done are not done again"
    assert json.loads((tmp_path / "metrics.json").read_text())["steps"] == 3


def test_the_heart_alone_goes_on(banks, tmp_path):
    first, second = (TrainingOptions(minutes=5, steps=steps, batch=1, device="cpu") for steps in (1, 3))
    train_moconet(*banks, tmp_path / "a", first, report=lambda line: None)
    train_moconet(*banks, tmp_path / "b", second, heart_only=True, initial=tmp_path / "a", report=lambda line: None)
    before, after = read_average(tmp_path / "a"), read_average(tmp_path / "b")
    changed = {name.split(".")[0] for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed == {"heart"}
    assert 0.0 <= json.loads((tmp_path / "b/metrics.json").read_text())["validation"]["heart_dice"] <= 1.0


def test_the_heart_alone_needs_a_trained_network(banks, tmp_path):
    with pytest.raises(InputError, match="another run"):
        train_moconet(*banks, tmp_path, TrainingOptions(), heart_only=True)


def test_paper_network_trains_on_whole_images(banks):
    task = PaperMoconetTask(*banks)
    batch = task.batch(1, torch.Generator().manual_seed(0))
    assert batch.images.shape == (1, 7, 384, 384)
    loss, _ = task.loss(task.network(), batch)
    loss.backward()
    assert torch.isfinite(loss)


def test_unknown_architecture(banks, tmp_path):
    with pytest.raises(InputError, match="compact or paper"):
        train_moconet(*banks, tmp_path, TrainingOptions(), architecture="huge")


def test_unfinished_run_gives_no_weights(tmp_path):
    with pytest.raises(InputError, match="finish first"):
        assemble(tmp_path, "moconet", TrainingData())


def test_command_writes_and_installs_weights(banks, command, tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir()
    banks[0].save(cache / "irw-training-3.npz")
    banks[1].save(cache / "irw-validation-60.npz")
    models = tmp_path / "models"
    arguments = ["moconet", "--output", str(tmp_path / "run"), "--simulated", "3", "--cache", str(cache)]
    arguments += ["--minutes", "0.001", "--batch", "1", "--device", "cpu"]
    arguments += ["--install", str(models), "--remark", "brief"]
    assert command(arguments) == 0
    (entry,) = read_manifest(models / "manifest.json")
    assert entry.id == "moconet-local" and entry.licence == "Apache-2.0" and "brief" in entry.training_data
    assert entry.accuracy["steps"] >= 1
    model = load_motion_model(models / entry.file, "cpu")
    assert isinstance(model.network, Moconet) and model.entry.sha256 == entry.sha256


def test_command_refuses_a_damaged_cache(command, tmp_path, capsys):
    (tmp_path / "irw-training-3.npz").write_bytes(b"no bank")
    arguments = ["moconet", "--output", str(tmp_path / "run"), "--simulated", "3", "--cache", str(tmp_path)]
    assert command([*arguments, "--device", "cpu"]) == 2
    assert "delete it" in capsys.readouterr().err


def test_command_refuses_a_gpu_that_is_not_there(command, tmp_path, capsys):
    assert command(["moconet", "--output", str(tmp_path / "run"), "--device", "cuda:99"]) == 2
    assert "GPU" in capsys.readouterr().err
