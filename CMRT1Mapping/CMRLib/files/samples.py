"""The sample data that Slicer offers for download: simulated studies, each a zip archive of DICOM files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from CMRLib.errors import InputError
from CMRLib.resources import resource_path

SAMPLES_FILE = "sample_data.json"


@dataclass(frozen=True)
class Sample:
    """One sample.

    Attributes:
        name: by which scripts ask for it.
        file: of the archive.
        url: where it is downloaded from.
        sha256: of the archive.
        thumbnail: picture, its place under ``Resources``.
        simulation: arguments of `CMRLib.simulation.study.simulate_study` that it is made with.
    """

    name: str
    file: str
    url: str
    sha256: str
    thumbnail: str
    simulation: dict[str, Any]


def read_samples(path: Path | None = None) -> list[Sample]:
    """The samples that a file lists; by default those that ship.

    Raises:
        InputError: the file is damaged.
    """
    path = path or resource_path(SAMPLES_FILE)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return [
            Sample(
                name=entry["name"],
                file=entry["file"],
                url=f"{content['url']}/{entry['file']}",
                sha256=entry["sha256"],
                thumbnail=entry["thumbnail"],
                simulation=entry["simulation"],
            )
            for entry in content["samples"]
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"The list of sample data {path} is damaged; install the extension again.") from error
