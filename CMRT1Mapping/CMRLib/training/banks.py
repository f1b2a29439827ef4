"""Banks of training examples: kept in memory, and on a disk between runs because they take long to make."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from CMRLib.errors import InputError, OutputError
from CMRLib.files.atomic import write_atomically

AnyBank = TypeVar("AnyBank", bound="Bank")


@dataclass(frozen=True)
class Bank:
    """What all banks can do. The fields of one are arrays, texts, or tuples of texts; it has no pickled objects."""

    def save(self, path: Path) -> None:
        """Write the fields to a ``.npz`` file.

        Raises:
            OutputError: the file cannot be written.
        """
        arrays: dict[str, Any] = {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}
        write_atomically(path, lambda partial: np.savez(partial, **arrays))

    @classmethod
    def load(cls: type[AnyBank], path: Path) -> AnyBank:
        """Read what `save` wrote.

        Raises:
            InputError: the file cannot be read, or is no bank of this kind.
        """
        try:
            with np.load(path, allow_pickle=False) as saved:
                return cls(**{field.name: _as_it_was(saved[field.name]) for field in fields(cls)})
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"{path} cannot be read; delete it to have it made again.") from error

    @classmethod
    def load_or_make(cls: type[AnyBank], path: Path | None, make: Callable[[], AnyBank]) -> AnyBank:
        """What a file holds, or what ``make`` gives, which is then kept there; without a path nothing is kept.

        Raises:
            InputError: the file cannot be read.
            OutputError: the file's folder cannot be made, which is found out before the bank is made.
        """
        if path is None:
            return make()
        if path.is_file():
            return cls.load(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{path.parent} cannot be made; check the path and its permissions.") from error
        bank = make()
        bank.save(path)
        return bank


def _as_it_was(stored: np.ndarray) -> Any:
    """Texts and tuples of texts again; arrays of numbers stay."""
    if stored.dtype.kind != "U":
        return stored
    return str(stored) if stored.ndim == 0 else tuple(stored.tolist())
