"""Training and test images with known landmarks: labelled folders and simulated contrasts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from CMRLandmarksLib.grid import GRID_SIZE, standard_image
from CMRLandmarksLib.research.real_data import FAULTY_ANTERIOR, insertion_marks, spacings_of
from CMRLib.anatomy.axis import LEVELS
from CMRLib.anatomy.insertions import landmarks_of_labels
from CMRLib.errors import InputError
from CMRLib.geometry import Geometry
from CMRLib.networks.normalise import rescaled
from CMRLib.simulation.anatomy import ParametricAnatomy
from CMRLib.simulation.contrasts import CONTRASTS, ContrastError, render_contrast, tissue_labels
from CMRLib.training.banks import Bank
from CMRLib.training.labelled_folders import EMIDEC, DataSet, read_labelled_folder


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
        slice: its number in the file, from 0.
    """

    image: np.ndarray
    labels: np.ndarray
    geometry: Geometry
    points: np.ndarray
    subject: str
    contrast: str
    stack: str
    slice: int = 0


def labelled_slices(folder: Path | str, data_set: DataSet, split: str | None = None) -> Iterator[LabelledSlice]:
    """The slices of a labelled folder that show the left ventricle.

    Spacings and insertion points are those of `CMRLandmarksLib.research.real_data`; a faulty one is left out.

    Args:
        folder, data_set, split: see `CMRLib.training.labelled_folders.read_labelled_folder`.

    Raises:
        InputError: as there; or the spacings' file of the folder lacks an image.
    """
    spacings = spacings_of(folder, data_set)
    marks = insertion_marks() if data_set.name == EMIDEC.name else {}
    for stack in read_labelled_folder(folder, data_set, split):
        geometry = replace(stack.geometry, spacing=spacings(stack))
        for number, (image, labels) in enumerate(zip(stack.images, stack.labels, strict=True)):
            points = landmarks_of_labels(labels)
            points[1:] = marks.get((stack.subject, number), points[1:])
            if stack.name in FAULTY_ANTERIOR:
                points[1] = np.nan
            if np.isfinite(points[0]).all():
                yield LabelledSlice(image, labels, geometry, points, stack.subject, data_set.name, stack.name, number)


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


def bank_of(slices: Iterable[LabelledSlice]) -> LandmarkBank:
    """Bring slices to the standard grid and quantise them to 8 bit (1st to 99.9th percentile).

    Raises:
        InputError: there is no slice.
    """
    images, labels, label_of, points, contrasts, subjects = [], [], [], [], [], []
    last: np.ndarray | None = None
    for item in slices:
        image, placement = standard_image(item.image, item.geometry, GRID_SIZE)
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
    """An image after `CMRLib.networks.normalise.rescaled` as uint8: 0 stays 0, the rest becomes 1 to 255."""
    return np.where(image != 0, np.rint(rescaled(image) * 255.0), 0).astype(np.uint8)
