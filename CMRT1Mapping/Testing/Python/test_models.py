"""Weights files and their manifest."""

from __future__ import annotations

import json

import pytest

from CMRLib.errors import InputError, MissingDependencyError, OutputError
from CMRLib.networks.models import add_to_manifest, load_weights, read_manifest, write_weights

torch = pytest.importorskip("torch")

DESCRIBED = {
    "id": "toy",
    "task": "toys",
    "architecture": "two numbers",
    "input": {"size": 3},
    "training_data": ["none"],
    "licence": "Apache-2.0",
    "date": "2024-05-06",
}


@pytest.fixture
def models(tmp_path):
    """A folder with one model and its manifest."""
    tensors = {"a.weight": torch.tensor([[0.5, -2.0]]), "a.count": torch.tensor(7), "b.weight": torch.tensor([1.0])}
    entry = write_weights(tmp_path / "toy.safetensors", tensors, **DESCRIBED)
    add_to_manifest(entry, tmp_path / "manifest.json")
    return tmp_path


def test_a_model_comes_back_with_its_entry(models):
    weights = load_weights("toy", "toys", models / "manifest.json")
    assert weights.entry.input == {"size": 3} and weights.entry.licence == "Apache-2.0"
    assert weights.entry.bytes == (models / "toy.safetensors").stat().st_size
    part = weights.part("a")
    assert part["weight"].tolist() == [[0.5, -2.0]] and part["weight"].dtype == torch.float32
    assert set(part) == {"weight", "count"} and set(weights.part("b")) == {"weight"}


def test_whole_numbers_keep_their_kind(models):
    assert load_weights("toy", "toys", models / "manifest.json").part("a")["count"].dtype == torch.int64


def test_a_file_carries_its_own_entry(models):
    (models / "manifest.json").unlink()
    assert load_weights(models / "toy.safetensors", "toys").entry.architecture == "two numbers"


def test_the_manifest_replaces_an_entry_of_the_same_id(models):
    add_to_manifest(write_weights(models / "toy.safetensors", {}, **DESCRIBED), models / "manifest.json")
    assert [entry.id for entry in read_manifest(models / "manifest.json")] == ["toy"]


def test_a_changed_byte_is_noticed(models):
    content = bytearray((models / "toy.safetensors").read_bytes())
    content[-1] ^= 1
    (models / "toy.safetensors").write_bytes(content)
    with pytest.raises(MissingDependencyError, match="damaged"):
        load_weights("toy", "toys", models / "manifest.json")


def test_a_missing_file_is_one_sentence(models):
    (models / "toy.safetensors").unlink()
    with pytest.raises(MissingDependencyError, match=r"^The weights toy.safetensors of 'toy' are missing"):
        load_weights("toy", "toys", models / "manifest.json")
    with pytest.raises(MissingDependencyError, match="no weights file"):
        load_weights(models / "toy.safetensors", "toys")


@pytest.mark.parametrize("content", [b"", b"\x00" * 40, b"\xff" * 100, b"\x02\x00\x00\x00\x00\x00\x00\x00{}"])
def test_a_file_that_is_no_weights_file_is_refused(tmp_path, content):
    (tmp_path / "other.safetensors").write_bytes(content)
    with pytest.raises(MissingDependencyError, match="no weights file of CMRMapping"):
        load_weights(tmp_path / "other.safetensors", "toys")


def test_a_truncated_file_is_refused(models):
    content = (models / "toy.safetensors").read_bytes()
    (models / "short.safetensors").write_bytes(content[:-3])
    with pytest.raises(MissingDependencyError, match="damaged"):
        load_weights(models / "short.safetensors", "toys")


def test_an_unknown_model_and_another_task_are_named(models):
    with pytest.raises(InputError, match="no model 'car'; choose one of toy"):
        load_weights("car", "toys", models / "manifest.json")
    with pytest.raises(InputError, match="is for toys, not for trains"):
        load_weights("toy", "trains", models / "manifest.json")


def test_a_damaged_manifest_is_one_sentence(models):
    for text in ("{", json.dumps({"schema": "other", "models": []}), json.dumps({"schema": "cmr-models/1"})):
        (models / "manifest.json").write_text(text)
        with pytest.raises(MissingDependencyError, match="cannot be read"):
            read_manifest(models / "manifest.json")


def test_what_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be written"):
        write_weights(tmp_path / "file" / "toy.safetensors", {}, **DESCRIBED)
    with pytest.raises(InputError, match="licence"):
        write_weights(tmp_path / "toy.safetensors", {}, **{k: v for k, v in DESCRIBED.items() if k != "licence"})
