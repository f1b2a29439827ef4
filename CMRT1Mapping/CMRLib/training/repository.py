"""The clone of the repository that measuring is done in: its results, its real images, and what lies in Testing."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType

from CMRLib.errors import InputError

ROOT = Path(__file__).resolve().parents[3]
RESULTS = ROOT / "Testing" / "Results"
DOCUMENTS = (ROOT / "README.md", RESULTS / "README.md")  # that show tables of the results


def real_data_folder() -> Path:
    """The folder of real images: CMR_REAL_DATA, or shared/data beside the clone."""
    return Path(os.environ.get("CMR_REAL_DATA") or ROOT.parent / "shared" / "data")


def testing_module(name: str) -> ModuleType:
    """A module of the folder Testing, which pip does not install.

    Raises:
        InputError: this is no clone.
    """
    folder = ROOT / "Testing"
    if not (folder / f"{name}.py").is_file():
        raise InputError(
            "Other software is measured, pictures are drawn and documents are filled from a clone of the repository "
            "only; run the command there, or leave --pictures out and add --without-peers."
        )
    sys.path.insert(0, str(folder))
    return importlib.import_module(name)
