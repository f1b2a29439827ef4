"""Training and test images with known landmarks: labelled folders and simulated contrasts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from CMRLandmarksLib.grid import APEX, DISPLAY_COLUMN, DISPLAY_ROW, GRID_SIZE, rescaled, standard_image
from CMRLib.anatomy.axis import LEVELS
from CMRLib.anatomy.insertions import LEFT_VENTRICLE, MYOCARDIUM, RIGHT_VENTRICLE, landmarks_of_labels
from CMRLib.errors import InputError
from CMRLib.files.images import read_image
from CMRLib.geometry import Geometry
from CMRLib.simulation.anatomy import ParametricAnatomy
from CMRLib.simulation.contrasts import CONTRASTS, ContrastError, render_contrast, tissue_labels
from CMRLib.simulation.labelled_anatomy import labelled_images, labels_beside
from CMRLib.training.banks import Bank
from CMRLib.training.splits import subject_of


@dataclass(frozen=True)
class LandmarkBank(Bank):
    """Images on the standard grid, kept in memory.

    Attributes:
        images: uint8 (image, row, column); 0 is what the scanner or the padding left at zero.
        labels: uint8 (label map, row, column): 1 RV cavity, 2 LV myocardium, 3 LV cavity.
        label_of: int (image,), label map of each image.
        points: float32 (image, landmark, 2), (row, column) in grid pixels, NaN where unknown.
        contrasts: contrast of each image.
        subjects: subject of each image.
    """

    images: np.ndarray
    labels: np.ndarray
    label_of: np.ndarray
    points: np.ndarray
    contrasts: tuple[str, ...]
    subjects: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)

    def select(self, keep: Callable[[str, str], bool]) -> LandmarkBank:
        """The images whose (subject, contrast) ``keep`` accepts; label maps are shared."""
        chosen = [i for i in range(len(self)) if keep(self.subjects[i], self.contrasts[i])]
        return replace(
            self,
            images=self.images[chosen],
            label_of=self.label_of[chosen],
            points=self.points[chosen],
            contrasts=tuple(self.contrasts[i] for i in chosen),
            subjects=tuple(self.subjects[i] for i in chosen),
        )

    @classmethod
    def joined(cls, banks: Sequence[LandmarkBank]) -> LandmarkBank:
        """One bank of several."""
        starts = np.cumsum([0, *(len(bank.labels) for bank in banks[:-1])])
        return cls(
            np.concatenate([bank.images for bank in banks]),
            np.concatenate([bank.labels for bank in banks]),
            np.concatenate([bank.label_of + start for bank, start in zip(banks, starts, strict=True)]),
            np.concatenate([bank.points for bank in banks]),
            tuple(c for bank in banks for c in bank.contrasts),
            tuple(s for bank in banks for s in bank.subjects),
        )


@dataclass(frozen=True)
class LabelledSlice:
    """A slice as it is in its file, with its landmarks.

    Attributes:
        image: float32 (row, column).
        labels: uint8 (row, column): 1 RV cavity, 2 LV myocardium, 3 LV cavity.
        geometry: of the stack.
        points: float64 (landmark, 2), (row, column) in source pixels, NaN where unknown.
        subject, contrast: who and what.
        stack: what is predicted together: the file's name, or a simulated image's own.
    """

    image: np.ndarray
    labels: np.ndarray
    geometry: Geometry
    points: np.ndarray
    subject: str
    contrast: str
    stack: str


# EMIDEC's labels: 1 cavity, 2 myocardium, 3 infarct, 4 no-reflow; it has no right ventricle.
EMIDEC_VALUES = {1: LEFT_VENTRICLE, 2: MYOCARDIUM, 3: MYOCARDIUM, 4: MYOCARDIUM}
# Its headers hold a placeholder; its columns run up and its rows to the left of a usual short-axis view.
EMIDEC_AXES = np.column_stack([-DISPLAY_ROW, -DISPLAY_COLUMN, APEX])


def read_labelled_folder(
    folder: Path | str,
    *,
    contrast: str,
    label_values: dict[int, int] | None = None,
    axes: np.ndarray | None = None,
) -> Iterable[LabelledSlice]:
    """The labelled slices of a folder of pairs ``name.nii.gz`` and ``name_gt.nii.gz`` that show the left ventricle.

    Args:
        folder: as ACDC's copies: `labelled_images` says which files form a pair.
        contrast: what the images are, for tables.
        label_values: this library's label for each value in the files; by default ACDC's own (1, 2, 3).
        axes: (3, 3), in its columns the directions (LPS) of the files' columns, rows and slices, where it is known that
            their headers are wrong; by default the headers'.

    Raises:
        InputError: no pair in the folder, or a pair that does not match.
    """
    values = label_values or {RIGHT_VENTRICLE: RIGHT_VENTRICLE, MYOCARDIUM: MYOCARDIUM, LEFT_VENTRICLE: LEFT_VENTRICLE}
    for path in labelled_images(folder):
        images, geometry = read_image(path)
        raw, _ = read_image(labels_beside(path))
        if raw.shape != images.shape:
            raise InputError(f"{path.name} and its labels differ in size; use a matching pair of files.")
        if axes is not None:
            geometry = replace(geometry, direction=tuple(axes.ravel().tolist()))
        labels = np.zeros(raw.shape, dtype=np.uint8)
        for theirs, ours in values.items():
            labels[raw == theirs] = ours
        for image, label in zip(images, labels, strict=True):
            points = landmarks_of_labels(label)
            if np.isfinite(points[0]).all():
                yield LabelledSlice(image, label, geometry, points, subject_of(path), contrast, path.name)


def read_data_set(folder: Path | str, name: str) -> Iterable[LabelledSlice]:
    """The labelled slices of "acdc" or "emidec" as that data set must be read; see `read_labelled_folder`."""
    if name == "emidec":
        return read_labelled_folder(folder, contrast=name, label_values=EMIDEC_VALUES, axes=EMIDEC_AXES)
    return read_labelled_folder(folder, contrast=name)


def simulated_slices(
    seeds: Iterable[int], contrasts: Sequence[str] = CONTRASTS, per_seed: int | None = None
) -> Iterable[LabelledSlice]:
    """Images of the parametric anatomies with these seeds, one level a seed in turn.

    Args:
        seeds: of the anatomies.
        contrasts: to render.
        per_seed: how many of them, drawn for each anatomy; None for all.

    Raises:
        ContrastError: unknown contrast.
    """
    unknown = [c for c in contrasts if c not in CONTRASTS]
    if unknown:
        raise ContrastError(unknown[0])
    for seed in seeds:
        rng = np.random.default_rng([seed, 5])
        level = LEVELS[seed % len(LEVELS)]
        spacing = float(rng.uniform(0.9, 1.5))
        anatomy = ParametricAnatomy.random(seed)
        shape = anatomy.field_of_view(spacing)
        body = anatomy.slice(level, shape, spacing)
        points = np.full((3, 2), np.nan) if body.landmarks is None else body.landmarks.points()
        geometry = Geometry(spacing=(spacing, spacing, 8.0))
        labels = tissue_labels(body)
        count = min(per_seed or len(contrasts), len(contrasts))
        for contrast in rng.choice(contrasts, count, replace=False).tolist():
            image = render_contrast(body, contrast, spacing, rng)
            subject = f"SIM{seed}"
            yield LabelledSlice(image, labels, geometry, points, subject, contrast, f"{subject} {contrast}")


def bank_of(slices: Iterable[LabelledSlice], size: int = GRID_SIZE) -> LandmarkBank:
    """Bring slices to the standard grid and quantise them to 8 bit (1st to 99.9th percentile).

    Raises:
        InputError: there is no slice.
    """
    images, labels, label_of, points, contrasts, subjects = [], [], [], [], [], []
    last: np.ndarray | None = None
    for item in slices:
        image, placement = standard_image(item.image, item.geometry, size)
        images.append(quantised(image))
        if last is None or item.labels is not last:
            labels.append(placement.sample(item.labels, order=0).astype(np.uint8))
            last = item.labels
        label_of.append(len(labels) - 1)
        points.append(placement.to_target(item.points))
        contrasts.append(item.contrast)
        subjects.append(item.subject)
    if not images:
        raise InputError("There is no labelled slice that shows the left ventricle; check the folder.")
    return LandmarkBank(
        np.stack(images),
        np.stack(labels),
        np.array(label_of),
        np.stack(points).astype(np.float32),
        tuple(contrasts),
        tuple(subjects),
    )


def quantised(image: np.ndarray) -> np.ndarray:
    """An image after `CMRLandmarksLib.grid.rescaled` as uint8: 0 stays 0, the rest becomes 1 to 255."""
    return np.where(image != 0, np.rint(rescaled(image) * 255.0), 0).astype(np.uint8)
