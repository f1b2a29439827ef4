"""Small studies with a known truth for the tests of the batch command."""

import json
from pathlib import Path

import numpy as np

from CMRLib.files.images import write_image
from CMRLib.geometry import Geometry

INVERSION_TIMES_MS = (100.0, 1100.0, 2100.0, 3100.0, 4100.0, 180.0, 260.0)
GEOMETRY = Geometry((-31.0, 12.5, 40.0), (1.2, 1.4, 8.0), (0.8, 0.0, 0.6, 0.0, 1.0, 0.0, -0.6, 0.0, 0.8))


def true_t1(rows: int = 20, columns: int = 24) -> np.ndarray:
    """T1 in ms, axes (row, column): 600 to 1400 from left to right."""
    return np.broadcast_to(np.linspace(600.0, 1400.0, columns), (rows, columns)).copy()


def inversion_recovery(t1: np.ndarray) -> np.ndarray:
    """Magnitude images of a noise-free inversion recovery, axes (frame, row, column): A = 1000, B = 1950."""
    t1_star = t1 / (1950.0 / 1000.0 - 1.0)
    times = np.asarray(INVERSION_TIMES_MS)[:, None, None]
    return np.abs(1000.0 - 1950.0 * np.exp(-times / t1_star)).astype(np.float32)


def write_study(folder: Path, study_id: str, slices: tuple[str, ...] = ("mid",), **series: object) -> Path:
    """Write a study with one ShMOLLI acquisition per slice; ``series`` changes what its study.json says of each."""
    folder.mkdir(parents=True)
    entries = []
    for name in slices:
        write_image(folder / f"{name}.nrrd", inversion_recovery(true_t1()), GEOMETRY)
        entry = {"role": "irw", "state": "rest", "slice": name, "file": f"{name}.nrrd", "scheme": "shmolli"}
        entries.append({**entry, "inversion_times_ms": list(INVERSION_TIMES_MS), **series})
    content = {"schema": "cmr-study/1", "id": study_id, "series": entries}
    (folder / "study.json").write_text(json.dumps(content), encoding="utf-8")
    return folder
