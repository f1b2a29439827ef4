"""Reading the maps that a ShMOLLI scan brings along, to hold a reconstruction against them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pydicom

from CMRLib.errors import InputError
from CMRT1MappingLib.research.fit_evaluation import ScannerMaps

COLOUR_BAR_COLUMNS = 16  # at the right edge of the T1 map, burnt into the pixels


def read_scanner_maps(files: Iterable[Path | str]) -> ScannerMaps:
    """Find T1, R² and the number of samples among DICOM files of a Siemens ShMOLLI scan, by their image comments.

    The R² map holds R² x 4000; the map of the T1 range holds 1000, 2000 or 3000 for 5, 6 or 7 samples. Where the colour
    bar covers the T1 map, ``samples`` is 0, as where the scanner did not fit.

    Raises:
        InputError: one of the three maps is missing.
    """
    wanted = {"ShMOLLI T1 Map": "t1", "Rsquare*4000 Map": "r2", "_ShMOLLIT1range": "range"}
    found: dict[str, np.ndarray] = {}
    for file in files:
        header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=["ImageComments"])
        name = wanted.get(str(header.get("ImageComments", "")))
        if name:
            found[name] = pydicom.dcmread(file).pixel_array.astype(np.float32)
    if len(found) != len(wanted):
        raise InputError(f"The scan brings no {' and no '.join(sorted(set(wanted.values()) - set(found)))} map.")
    samples = np.where(found["range"] > 0, 4 + found["range"] / 1000, 0).astype(np.uint8)
    samples[:, -COLOUR_BAR_COLUMNS:] = 0
    t1, r2 = found["t1"].copy(), found["r2"] / 4000.0
    t1[:, -COLOUR_BAR_COLUMNS:] = 0
    r2[:, -COLOUR_BAR_COLUMNS:] = 0
    return ScannerMaps(t1=t1, r2=r2, samples=samples)
