"""Writing a file so that a reader never sees half of it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from CMRLib.errors import OutputError


def write_atomically(path: Path, write: Callable[[Path], object]) -> Path:
    """Write a file beside its place and rename it; a failed write leaves what was there before.

    Args:
        path: where to; its folder is made if missing.
        write: called with the path to write to, which has the same ending.

    Raises:
        OutputError: the file cannot be written.
    """
    partial = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(partial)
        os.replace(partial, path)
    except (OSError, RuntimeError) as error:  # SimpleITK raises the latter
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise OutputError(f"{path} cannot be written; check the folder's permissions and free space.") from error
    return path


def write_text(path: Path, text: str) -> Path:
    """As `write_atomically`, a text in UTF-8, its lines ended as they are."""
    return write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> Path:
    """As `write_atomically`."""
    return write_atomically(path, lambda partial: partial.write_bytes(content))
