"""Finding the files that ship with the software: colour tables, weights, series rules."""

from __future__ import annotations

from pathlib import Path

from CMRLib.errors import MissingDependencyError

_LIBRARY = Path(__file__).resolve().parent

# One set of files serves three layouts; the first folder that holds the file wins.
RESOURCE_FOLDERS = (
    _LIBRARY.parent / "Resources",  # Slicer's flat module folder, and the module's own files in the source tree
    _LIBRARY.parent.parent / "Resources",  # the extension's files in the source tree
    _LIBRARY.parent / "CMRResources",  # the extension's files installed by pip
    _LIBRARY.parent / "CMRT1MappingResources",  # the module's own files installed by pip
)


def resource_path(name: str) -> Path:
    """The path of a shipped file.

    Args:
        name: its place under ``Resources`` with forward slashes, as ``ColorTables/CMR_T1.txt``.

    Raises:
        MissingDependencyError: the file is not there, so the installation is incomplete.
    """
    for folder in RESOURCE_FOLDERS:
        if (folder / name).is_file():
            return folder / name
    raise MissingDependencyError(f"The file {name} of CMRMapping is missing; install CMRMapping again.")
