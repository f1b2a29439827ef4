"""What earlier steps found in the images of a later one, by what they offer to other systems.

So a step needs to know no other module's values.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from CMRLib.anatomy.landmarks import SliceLandmarks
from CMRLib.batch.registry import load_step
from CMRLib.batch.step import StepTask
from CMRLib.export.dicom.items import Exports
from CMRLib.export.dicom.segments import landmarks_of, myocardium_of

BLOOD = "87612001"  # SNOMED CT


@dataclass(frozen=True)
class Ventricle:
    """The segmentation of the left ventricle in the slices of a map.

    Attributes:
        myocardium, blood_pool: bool (slice, row, column).
        flagged: numbers of the slices whose segmentation is likely to be wrong.
    """

    myocardium: np.ndarray
    blood_pool: np.ndarray
    flagged: frozenset[int]


def ventricle_of(task: StepTask, key: str) -> Ventricle | None:
    """The segmentation of the result or series with a key; None where there is none."""
    for offers in _offers(task, "segmentation", key):
        for labels in offers.labels:
            blood = np.isin(labels.labels, [one.label for one in labels.segments if one.kind.value == BLOOD])
            flagged = frozenset(one.index for one in offers.findings if one.flagged)
            return Ventricle(myocardium_of(labels), blood, flagged)
    return None


def landmarks_by_slice(task: StepTask, key: str) -> dict[int, SliceLandmarks]:
    """Landmarks of the slices in which centre and anterior insertion were found, by the slice's number."""
    found = {one.index: landmarks_of(one) for offers in _offers(task, "landmarks", key) for one in offers.findings}
    return {index: landmarks for index, landmarks in found.items() if landmarks is not None}


def _offers(task: StepTask, step: str, key: str) -> Iterator[Exports]:
    for made in task.earlier.get(step, ()):
        if made.key == key:
            yield load_step(step).exports(made)
