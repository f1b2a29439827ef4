"""``cmr-train landmarks`` and the tables of ``cmr-evaluate landmarks``."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from CMRLandmarksLib.prediction import load_landmark_model  # noqa: E402
from CMRLandmarksLib.research import report, training_run  # noqa: E402
from CMRLandmarksLib.research.dataset import simulated_slices  # noqa: E402
from CMRLandmarksLib.research.training_run import TrainingImages, training_banks  # noqa: E402
from CMRLib.files.images import write_image  # noqa: E402
from CMRLib.networks.models import load_weights, read_manifest  # noqa: E402
from CMRLib.training.entries import contrasts_of  # noqa: E402
from CMRLib.training.splits import TEST_SEED  # noqa: E402

SCRIPTS = Path(__file__).resolve().parents[3] / "Resources" / "Scripts"


def script(name: str):
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def command():
    """``cmr-train``, with few images to validate on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_run, "VALIDATION_ANATOMIES", 3)
        yield script("cmr_train").main


@pytest.fixture(scope="module")
def specialist(tmp_path_factory, command):
    """A specialist trained for a moment, and the folder of models that it was put into."""
    folder = tmp_path_factory.mktemp("run")
    arguments = ["landmarks", "--output", str(folder), "--id", "cine-only", "--simulated", "3", "--contrasts", "cine"]
    limits = ["--minutes", "0.001", "--batch", "2", "--device", "cpu", "--threads", "1"]
    assert command([*arguments, *limits, "--install", str(folder / "Models"), "--remark", "a moment"]) == 0
    return folder


def test_a_run_leaves_weights_metrics_and_an_entry(specialist):
    (entry,) = read_manifest(specialist / "Models" / "manifest.json")
    assert entry.id == "cine-only" and entry.licence == "Apache-2.0"
    assert entry.training_data == ("3 simulated anatomies: cine", "a moment")
    assert set(entry.accuracy) == {"stage1", "stage2", "flags"} and entry.accuracy["flags"] == {}
    metrics = json.loads((specialist / "stage1" / "metrics.json").read_text())
    assert entry.accuracy["stage1"]["validation"] == metrics["validation"]
    model = load_landmark_model(specialist / "cine-only.safetensors", "cpu")
    assert contrasts_of(model.entry) == ("cine",)


def test_validation_patients_can_train_at_the_end(specialist, command, tmp_path):
    (labelled,) = simulated_slices([TEST_SEED], ["cine"])
    for patient in ("patient001", "patient002"):
        write_image(tmp_path / f"acdc/{patient}_frame01.nii.gz", labelled.image[None], labelled.geometry)
        write_image(tmp_path / f"acdc/{patient}_frame01_gt.nii.gz", labelled.labels[None], labelled.geometry)
    folder = tmp_path / "run"
    arguments = ["landmarks", "--output", str(folder), "--id", "all", "--simulated", "1", "--contrasts", "cine"]
    arguments += ["--acdc", str(tmp_path / "acdc"), "--with-validation", "--initial", str(specialist)]
    assert command([*arguments, "--minutes", "0.001", "--batch", "2", "--device", "cpu", "--threads", "1"]) == 0
    entry = load_landmark_model(folder / "all.safetensors", "cpu").entry
    assert "training and validation patients" in entry.training_data[0]
    # What a network was trained on says nothing of its accuracy.
    before = json.loads((specialist / "stage1" / "metrics.json").read_text())
    assert entry.accuracy["stage1"]["validation"] == before["validation"]


def test_the_confidence_of_a_trained_model_is_fitted_anew(specialist, command, tmp_path):
    (labelled,) = simulated_slices([TEST_SEED], ["cine"])
    for patient in ("patient001", "patient002"):
        write_image(tmp_path / f"acdc/{patient}_frame01.nii.gz", labelled.image[None], labelled.geometry)
        write_image(tmp_path / f"acdc/{patient}_frame01_gt.nii.gz", labelled.labels[None], labelled.geometry)
    weights = specialist / "cine-only.safetensors"
    arguments = ["landmarks-confidence", "--model", str(weights), "--output", str(tmp_path / "out")]
    arguments += ["--acdc", str(tmp_path / "acdc"), "--unseeing", str(weights), "--threads", "1"]
    assert command([*arguments, "--install", str(tmp_path / "Models")]) == 0
    before, after = (load_weights(path, "landmarks") for path in (weights, tmp_path / "out" / weights.name))
    assert all(torch.equal(after.tensors[name], value) for name, value in before.tensors.items())
    assert after.entry.input["confidence"] != before.entry.input["confidence"]
    assert after.entry.accuracy["flags"]["acdc"]["images"] == 1
    assert after.entry.training_data[:-1] == before.entry.training_data
    assert "marked by eye" in after.entry.training_data[-1]
    (installed,) = read_manifest(tmp_path / "Models" / "manifest.json")
    assert installed.sha256 == after.entry.sha256


def test_a_model_that_is_not_there_has_no_confidence(command, tmp_path, capsys):
    arguments = ["landmarks-confidence", "--model", "nobody", "--output", str(tmp_path / "out")]
    assert command(arguments) == 2
    assert "no model 'nobody'" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_validation_patients_train_separately_from_training_patients(tmp_path):
    (labelled,) = simulated_slices([TEST_SEED], ["cine"])
    for number in (1, 2, 3, 5):
        write_image(tmp_path / f"patient{number:03}_frame01.nii.gz", labelled.image[None], labelled.geometry)
        write_image(tmp_path / f"patient{number:03}_frame01_gt.nii.gz", labelled.labels[None], labelled.geometry)
    for with_validation, subjects in ((False, {"patient002", "patient003"}), (True, {f"patient00{n}" for n in "123"})):
        source = TrainingImages(acdc=tmp_path, simulated=0, with_validation=with_validation)
        training, validation, _ = training_banks(source)
        assert set(training.subjects) == subjects
        assert set(validation.subjects) == {"patient001"}


def rows_of(table):
    """What the rows of a Markdown table are called."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [line.split("|")[1].strip() for line in lines[2:]]


def test_tables_hold_every_contrast_and_every_model(specialist):
    slices = list(simulated_slices([TEST_SEED], ["cine", "vne"]))
    models = {
        "shipped": load_landmark_model(device="cpu"),
        "specialist": load_landmark_model(specialist / "cine-only.safetensors", "cpu"),
    }
    result = report.report_simulated(slices, models)
    assert rows_of(result["tables"]["landmarks-simulated"]) == ["VNE", "cine", "all"]
    assert rows_of(result["tables"]["landmarks-specialists"]) == ["shipped", "specialist"]
    assert result["summary"]["shipped"]["all"]["images"] == 2
    assert np.isfinite(result["summary"]["specialist"]["cine"]["pooled"]).all()


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["--simulated", "0"], "nothing to train on"),
        (["--acdc", "/no/such/folder"], "holds no image with labels"),
        (["--simulated", "1", "--contrasts", "flair"], "no contrast 'flair'"),
        (["--simulated", "1", "--contrasts", "cine", "--minutes", "1", "2", "3"], "one for each stage"),
        (["--simulated", "1", "--contrasts", "cine", "--minutes", "0"], "positive time limit"),
        (["--device", "abacus"], "no device called"),
        (["--simulated", "1", "--with-validation"], "--initial"),
    ],
)
def test_bad_arguments_are_one_sentence_and_leave_nothing(command, tmp_path, capsys, arguments, sentence):
    assert command(["landmarks", "--output", str(tmp_path / "run"), *arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert sentence in error and "\n" not in error
    assert not (tmp_path / "run").exists()


def test_usage_errors_have_their_status(command, capsys):
    assert command([]) == 2
    assert command(["landmarks"]) == 2
    assert command(["--help"]) == 0
    assert "landmarks-grid" in capsys.readouterr().out
