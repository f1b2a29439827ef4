"""Weights files: the manifest that says what each is, and loading them with their checksum verified.

Weights are safetensors, so that nothing is unpickled. ``Resources/Models/manifest.json`` lists those that ship; a file
from elsewhere carries its entry in its own header, written by `write_weights`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from CMRLib.errors import InputError, MissingDependencyError
from CMRLib.files.atomic import write_bytes, write_text
from CMRLib.resources import resource_path

if TYPE_CHECKING:
    import torch

MANIFEST = "Models/manifest.json"
MANIFEST_SCHEMA = "cmr-models/1"
_HEADER_KEY = "cmr-model"
_REQUIRED = ("id", "task", "architecture", "input", "training_data", "licence", "date")


@dataclass(frozen=True)
class ModelEntry:
    """What is known of a weights file.

    Attributes:
        id: unique name.
        task: what it does, as "landmarks".
        architecture: name of the network's layout, which the task's library knows how to build.
        file: name of the weights file, beside the manifest.
        sha256, bytes: of the weights file.
        input: the contract: spacing, size, normalisation, and whatever else the task's library needs.
        training_data: one line a source.
        licence: SPDX identifier of the weights' licence.
        date: of training, ISO 8601.
        accuracy: what was measured, on what.
    """

    id: str
    task: str
    architecture: str
    file: str
    sha256: str
    bytes: int
    input: dict[str, Any]
    training_data: tuple[str, ...]
    licence: str
    date: str
    accuracy: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Weights:
    """A loaded weights file.

    Attributes:
        entry: what it is.
        tensors: by name, float32 (whole numbers as they were), on the CPU.
    """

    entry: ModelEntry
    tensors: dict[str, torch.Tensor]

    def part(self, prefix: str) -> dict[str, torch.Tensor]:
        """The tensors of one network of several: those whose name starts with ``prefix`` and a dot, without it."""
        start = prefix + "."
        return {name[len(start) :]: value for name, value in self.tensors.items() if name.startswith(start)}


def read_manifest(path: Path | str | None = None) -> tuple[ModelEntry, ...]:
    """The models that a manifest lists, by default those that ship.

    Raises:
        MissingDependencyError: the manifest is missing or damaged.
    """
    path = Path(path) if path is not None else resource_path(MANIFEST)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != MANIFEST_SCHEMA:
            raise ValueError(content["schema"])
        return tuple(_entry(item) for item in content["models"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MissingDependencyError(f"The list of models {path} cannot be read; install CMRMapping again.") from error


def model_entry(model: str, manifest: Path | str | None = None) -> ModelEntry:
    """What a manifest, by default the one that ships, says of a model; its weights are not looked at.

    Raises:
        MissingDependencyError: the manifest is missing, damaged, or lacks the model.
    """
    entry = next((entry for entry in read_manifest(manifest) if entry.id == model), None)
    if entry is None:
        raise MissingDependencyError(f"The model '{model}' is not installed; install CMRMapping again.")
    return entry


def _entry(item: Mapping[str, Any]) -> ModelEntry:
    return ModelEntry(**{**item, "training_data": tuple(item["training_data"])})


def load_weights(model: str | Path, task: str, manifest: Path | str | None = None) -> Weights:
    """Load a model of the manifest by its id, or a weights file by its path.

    Args:
        model: an id, or a path that ends in ``.safetensors``.
        task: what it must be for.
        manifest: by default the one that ships.

    Raises:
        MissingDependencyError: torch or safetensors is not installed; the file is missing, damaged or not the one that
            the manifest lists.
        InputError: there is no model of that name, or it is for another task.
    """
    if str(model).endswith(".safetensors"):
        path = Path(model)
        if not path.is_file():
            raise MissingDependencyError(f"There is no weights file {path}; check the path.")
        entry = _entry_of_file(path)
    else:
        manifest = Path(manifest) if manifest is not None else resource_path(MANIFEST)
        entries = {entry.id: entry for entry in read_manifest(manifest)}
        if model not in entries:
            known = ", ".join(name for name, entry in entries.items() if entry.task == task)
            raise InputError(f"There is no model '{model}'; choose one of {known or 'none installed'}, or name a file.")
        entry = entries[str(model)]
        path = manifest.parent / entry.file
        _verify(path, entry)
    if entry.task != task:
        raise InputError(f"The model '{entry.id}' is for {entry.task}, not for {task}; choose another.")
    return Weights(entry, _read_tensors(path))


def _verify(path: Path, entry: ModelEntry) -> None:
    if not path.is_file():
        raise MissingDependencyError(f"The weights {entry.file} of '{entry.id}' are missing; install CMRMapping again.")
    if path.stat().st_size != entry.bytes or file_sha256(path) != entry.sha256:
        raise MissingDependencyError(
            f"The weights {entry.file} of '{entry.id}' are damaged (wrong checksum); install CMRMapping again."
        )


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _entry_of_file(path: Path) -> ModelEntry:
    """The entry in a weights file's own header."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 0 < length < 100_000_000:
                raise ValueError("header length")
            header = json.loads(file.read(length))
        described = json.loads(header["__metadata__"][_HEADER_KEY])
        return _entry({**described, "file": path.name, "sha256": file_sha256(path), "bytes": path.stat().st_size})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MissingDependencyError(
            f"{path.name} is damaged or is no weights file of CMRMapping; copy it again or train it anew."
        ) from error


def _read_tensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        from safetensors.torch import load_file
    except Exception as error:  # a half-installed torch raises OSError or worse on import
        raise MissingDependencyError(
            f"PyTorch and safetensors are needed for this step ({error}); install them with pip."
        ) from error
    try:
        loaded = load_file(str(path))
        return {name: value.float() if value.is_floating_point() else value for name, value in loaded.items()}
    except Exception as error:  # safetensors raises its own kind for a damaged file
        raise MissingDependencyError(f"The weights file {path.name} is damaged; install it again.") from error


def write_weights(
    path: Path | str,
    tensors: Mapping[str, torch.Tensor],
    *,
    half_precision: bool = True,
    **described: Any,
) -> ModelEntry:
    """Write a weights file that carries its own entry, and return the entry for a manifest.

    Args:
        path: ends in ``.safetensors``.
        tensors: by name; whole numbers stay as they are.
        half_precision: store float16.
        described: the other fields of `ModelEntry` except file, sha256 and bytes.

    Raises:
        InputError: a field is missing.
        OutputError: the file cannot be written.
    """
    from safetensors.torch import save

    path = Path(path)
    missing = [name for name in _REQUIRED if name not in described]
    if missing or path.suffix != ".safetensors":
        raise InputError(f"A weights file needs {', '.join(missing) or 'the ending .safetensors'}; give it.")
    stored = {
        name: (value.half() if half_precision and value.dtype.is_floating_point else value).detach().cpu().contiguous()
        for name, value in tensors.items()
    }
    header = {_HEADER_KEY: json.dumps({**described, "training_data": list(described["training_data"])})}
    write_bytes(path, save(stored, metadata=header))
    return _entry_of_file(path)


def add_to_manifest(entry: ModelEntry, manifest: Path | str) -> None:
    """Put an entry into a manifest in place of one with the same id; the manifest is made if missing.

    Raises:
        MissingDependencyError: the manifest is damaged.
        OutputError: it cannot be written.
    """
    manifest = Path(manifest)
    others = [item for item in (read_manifest(manifest) if manifest.is_file() else ()) if item.id != entry.id]
    models = [asdict(item) for item in sorted([*others, entry], key=lambda item: item.id)]
    text = json.dumps({"schema": MANIFEST_SCHEMA, "models": models}, indent=2, ensure_ascii=False) + "\n"
    write_text(manifest, text)
