"""Files of arrays that take long to make: written whole or not at all, and made only where they are missing."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from CMRLib.errors import InputError, OutputError


class Savable(Protocol):
    """What `kept_or_made` keeps."""

    def save(self, path: Path) -> None:
        """Write a file."""


Kept = TypeVar("Kept", bound=Savable)


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays by name to a ``.npz`` file, beside its place and then renamed.

    Raises:
        OutputError: the file cannot be written.
    """
    partial = path.with_name(f".partial-{path.name}")
    try:
        np.savez(partial, **arrays)
        os.replace(partial, path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written; check the folder's permissions and free space.") from error


def read_arrays(path: Path, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Read these arrays of what `write_arrays` wrote.

    Raises:
        InputError: the file cannot be read, or lacks one of them.
    """
    try:
        with np.load(path, allow_pickle=False) as saved:
            return {name: saved[name] for name in names}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} cannot be read; delete it to have it made again.") from error


def kept_or_made(path: Path | None, load: Callable[[Path], Kept], make: Callable[[], Kept]) -> Kept:
    """What the file holds, or what ``make`` gives, which is then kept there; without a path nothing is kept.

    Raises:
        OutputError: the file's folder cannot be made, which is found out before anything else is.
    """
    if path is None:
        return make()
    if path.is_file():
        return load(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path.parent} cannot be made; check the path and its permissions.") from error
    made = make()
    made.save(path)
    return made
