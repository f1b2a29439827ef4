"""Writing a file whole or not at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from CMRLib.errors import OutputError


def write_text(path: Path, text: str) -> Path:
    """Write beside the file's place and rename, so that a reader never sees half of it.

    Raises:
        OutputError: the file cannot be written.
    """
    partial = path.with_name(f".partial-{path.name}")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise OutputError(f"{path} cannot be written; check the folder's permissions and free space.") from error
    return path
