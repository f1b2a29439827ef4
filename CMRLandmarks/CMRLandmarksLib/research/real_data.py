"""What the files of ACDC and EMIDEC do not tell: spacings, faulty labels, and EMIDEC's RV insertion points.

ACDC's true spacings may lie in a table beside its files. EMIDEC's are unknown: a stack gets one with which its
epicardium is round and of usual size. `INSERTIONS` holds the RV insertion points of EMIDEC's patients, marked by eye on
the epicardium by one reader for this project; it holds no image. A tenth of the training and validation patients' was
marked twice: median difference 2 degrees, nine in ten within 5, but by the same reader in one sitting. The test
patients' were marked later, in one sitting, before any prediction of their insertion points was seen.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from scipy import ndimage

from CMRLib.anatomy.insertions import LEFT_VENTRICLE, MYOCARDIUM
from CMRLib.errors import InputError
from CMRLib.training.labelled_folders import EMIDEC, DataSet, LabelledStack

INSERTIONS = Path(__file__).with_name("emidec_insertions.csv")
# Marks of confidence 1 are guesses (little or nothing of the RV is seen), 2 fair, 3 clear.
LEAST_CONFIDENCE = 2
# Median over ACDC's stacks of the median radius of the epicardium, in true mm.
EPICARDIAL_RADIUS_MM = 32.9
FEWEST_PIXELS = 10  # of a slice that counts for a spacing
SPACINGS = "spacing.csv"
# Its RV label reaches beyond the ventricle that the image shows, over the LV's anterior wall, in every slice.
FAULTY_ANTERIOR = frozenset({"patient081_frame01.nii.gz"})

Spacing = tuple[float, float, float]


def spacings_of(folder: Path | str, data_set: DataSet) -> Callable[[LabelledStack], Spacing]:
    """What gives the spacing (column, row, slice) in mm of a folder's stacks.

    EMIDEC's is that of `rounding_spacing`; any other data set's that of the folder's `SPACINGS`, where that is there,
    or else the header's.

    Raises:
        InputError: the table is no table of spacings; the result raises it for a stack that the table lacks.
    """
    if data_set.name == EMIDEC.name:
        return lambda stack: rounding_spacing(stack.labels)
    path = Path(folder) / SPACINGS
    if not path.is_file():
        return lambda stack: stack.geometry.spacing
    table = _read_spacings(path)

    def listed(stack: LabelledStack) -> Spacing:
        image = stack.name.partition(".")[0]
        if image not in table:
            raise InputError(f"{path} holds no spacing of {image}; add it, or remove that file to take the headers'.")
        return table[image]

    return listed


def _read_spacings(path: Path) -> dict[str, Spacing]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return {
                row["image"]: (float(row["column_mm"]), float(row["row_mm"]), float(row["slice_mm"]))
                for row in csv.DictReader(file)
            }
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not a table of spacings (image, row_mm, column_mm, slice_mm).") from error


def rounding_spacing(labels: Iterable[np.ndarray]) -> Spacing:
    """Spacing (column, row, slice) in mm with which the epicardium in a stack's labels is round and of usual size.

    Args:
        labels: planes (row, column); those without a left ventricle count for nothing.
    """
    ratios, areas = [], []
    for plane in labels:
        inside = ndimage.binary_fill_holes((plane == MYOCARDIUM) | (plane == LEFT_VENTRICLE))
        rows, columns = np.nonzero(inside)
        if inside.sum() >= FEWEST_PIXELS and rows.std() > 0 and columns.std() > 0:
            ratios.append(columns.std() / rows.std())
            areas.append(inside.sum())
    if not areas:
        return 1.0, 1.0, 1.0
    mean = EPICARDIAL_RADIUS_MM / float(np.sqrt(np.median(areas) / np.pi))
    stretch = float(np.median(ratios)) ** 0.5
    return mean / stretch, mean * stretch, 1.0


def insertion_marks(least: int = LEAST_CONFIDENCE) -> dict[tuple[str, int], np.ndarray]:
    """Marked insertion points, anterior and inferior, (2, 2) as (row, column) in source pixels, by (case, slice)."""
    with INSERTIONS.open(encoding="utf-8", newline="") as file:
        return {
            (row["case"], int(row["slice"])): np.array(
                [[float(row[f"{name}_{axis}"]) for axis in ("row", "column")] for name in ("anterior", "inferior")]
            )
            for row in csv.DictReader(file)
            if int(row["confidence"]) >= least
        }
