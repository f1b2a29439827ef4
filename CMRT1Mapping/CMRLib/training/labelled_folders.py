"""Folders of labelled short-axis images, read as their data sets must be read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from CMRLib.anatomy.axis import APEX, DISPLAY_COLUMN, DISPLAY_ROW
from CMRLib.anatomy.insertions import LEFT_VENTRICLE, MYOCARDIUM, RIGHT_VENTRICLE
from CMRLib.errors import InputError
from CMRLib.files.images import read_image
from CMRLib.geometry import Geometry
from CMRLib.simulation.labelled_anatomy import labelled_images, labels_beside
from CMRLib.training.splits import images_of_split, subject_of


@dataclass(frozen=True)
class DataSet:
    """How the files of a data set are read.

    Attributes:
        name: what its images are, for tables.
        label_values: this library's label for each value in the files; other values become 0.
        axes: (3, 3), in its columns the directions (LPS) of the files' columns, rows and slices, where it is known that
            their headers are wrong; None takes the headers'.
    """

    name: str
    label_values: Mapping[int, int] = field(
        default_factory=lambda: {value: value for value in (RIGHT_VENTRICLE, MYOCARDIUM, LEFT_VENTRICLE)}
    )
    axes: np.ndarray | None = None


@dataclass(frozen=True)
class LabelledStack:
    """A file and its labels.

    Attributes:
        images: float32 (slice, row, column).
        labels: uint8 (slice, row, column): 1 RV cavity, 2 LV myocardium, 3 LV cavity.
        values: (slice, row, column), labels as the file has them.
        geometry: of all of them.
        subject: who.
        name: of the file.
    """

    images: np.ndarray
    labels: np.ndarray
    values: np.ndarray
    geometry: Geometry
    subject: str
    name: str


ACDC = DataSet("acdc")
EMIDEC = DataSet(
    "emidec",
    # 1 cavity, 2 myocardium, 3 infarct, 4 no-reflow; it has no right ventricle.
    label_values={1: LEFT_VENTRICLE, 2: MYOCARDIUM, 3: MYOCARDIUM, 4: MYOCARDIUM},
    # Its headers hold a placeholder; its columns run up and its rows to the left of a usual short-axis view.
    axes=np.column_stack([-DISPLAY_ROW, -DISPLAY_COLUMN, APEX]),
)


def read_labelled_folder(folder: Path | str, data_set: DataSet, split: str | None = None) -> Iterator[LabelledStack]:
    """The stacks of a folder of pairs ``name.nii.gz`` and ``name_gt.nii.gz``, sorted by name.

    Args:
        folder: `CMRLib.simulation.labelled_anatomy.labelled_images` says which files form a pair.
        data_set: how to read them.
        split: whose subjects' stacks; None for all.

    Raises:
        InputError: no such pair in the folder, or a pair that does not match.
    """
    for path in labelled_images(folder) if split is None else images_of_split(folder, split):
        images, geometry = read_image(path)
        values, _ = read_image(labels_beside(path))
        if values.shape != images.shape:
            raise InputError(f"{path.name} and its labels differ in size; use a matching pair of files.")
        if data_set.axes is not None:
            geometry = replace(geometry, direction=tuple(data_set.axes.ravel().tolist()))
        labels = np.zeros(values.shape, dtype=np.uint8)
        for theirs, ours in data_set.label_values.items():
            labels[values == theirs] = ours
        yield LabelledStack(images, labels, values, geometry, subject_of(path), path.name)
