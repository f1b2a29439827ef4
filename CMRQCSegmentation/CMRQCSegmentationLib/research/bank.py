"""Images with labels on one grid, kept in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

import CMRLib.training.banks
from CMRLib.anatomy.insertions import LEFT_VENTRICLE, MYOCARDIUM
from CMRLib.errors import InputError
from CMRQCSegmentationLib.locating import extent_of
from CMRQCSegmentationLib.research.slices import LabelledSlice
from CMRQCSegmentationLib.views import View, rescaled

BANK_SIZE = 256  # thesis, A.3
# Where a stack shows no heart at all, one of this share of the view is what a crop is made for.
NOMINAL_RADIUS = 0.08


@dataclass(frozen=True)
class Bank(CMRLib.training.banks.Bank):
    """Images on a square grid that holds the whole of each, kept in memory.

    Attributes:
        images: uint8 (image, row, column); 0 is what the scanner or the padding left at zero.
        labels: uint8 (label map, row, column): 1 RV cavity, 2 LV myocardium, 3 LV cavity.
        label_of: int (image,), label map of each image.
        centers: float32 (image, 2), (row, column) of the left ventricle, or of where it would be.
        radii: float32 (image, 2), half axes along rows and columns of the left ventricle with its wall, in pixels.
        contrasts: contrast of each image; for real images the data set.
        subjects: subject of each image.
    """

    images: np.ndarray
    labels: np.ndarray
    label_of: np.ndarray
    centers: np.ndarray
    radii: np.ndarray
    contrasts: tuple[str, ...]
    subjects: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)

    def select(self, keep: Callable[[str, str], bool]) -> Bank:
        """The images whose (subject, contrast) ``keep`` accepts; label maps are shared."""
        chosen = [i for i in range(len(self)) if keep(self.subjects[i], self.contrasts[i])]
        return Bank(
            self.images[chosen],
            self.labels,
            self.label_of[chosen],
            self.centers[chosen],
            self.radii[chosen],
            tuple(self.contrasts[i] for i in chosen),
            tuple(self.subjects[i] for i in chosen),
        )

    @classmethod
    def joined(cls, banks: Sequence[Bank]) -> Bank:
        """One bank of several."""
        starts = np.cumsum([0, *(len(bank.labels) for bank in banks[:-1])])
        return cls(
            np.concatenate([bank.images for bank in banks]),
            np.concatenate([bank.labels for bank in banks]),
            np.concatenate([bank.label_of + start for bank, start in zip(banks, starts, strict=True)]),
            np.concatenate([bank.centers for bank in banks]),
            np.concatenate([bank.radii for bank in banks]),
            tuple(c for bank in banks for c in bank.contrasts),
            tuple(s for bank in banks for s in bank.subjects),
        )


def bank_of(slices: Iterable[LabelledSlice], size: int = BANK_SIZE) -> Bank:
    """Bring slices to the bank's grid and quantise them to 8 bit.

    A slice without a heart takes the place and size of the nearest labelled slice of its stack, so that the crop that
    would be made of it can be trained on.

    Raises:
        InputError: there is no slice.
    """
    images, labels, label_of, places, contrasts, subjects, stacks = [], [], [], [], [], [], []
    last: np.ndarray | None = None
    for item in slices:
        view = View.whole(item.image.shape, item.spacing, size)
        images.append(np.rint(255.0 * view.sample(rescaled(item.image))).astype(np.uint8))
        if last is None or item.labels is not last:
            labels.append(view.sample(item.labels, order=0).astype(np.uint8))
            last = item.labels
        label_of.append(len(labels) - 1)
        places.append(place_of(labels[-1]))
        contrasts.append(item.contrast)
        subjects.append(item.subject)
        stacks.append(item.stack)
    if not images:
        raise InputError("There is no labelled slice; check the folder.")
    filled = _filled(np.stack(places), stacks, size)
    return Bank(
        np.stack(images),
        np.stack(labels),
        np.array(label_of),
        filled[:, :2].astype(np.float32),
        filled[:, 2:].astype(np.float32),
        tuple(contrasts),
        tuple(subjects),
    )


def place_of(labels: np.ndarray) -> np.ndarray:
    """(row, column, half axis along rows, along columns) of the left ventricle with its wall; NaN without one."""
    extent = extent_of((labels == MYOCARDIUM) | (labels == LEFT_VENTRICLE))
    return np.full(4, np.nan) if extent is None else np.concatenate(extent)


def _filled(places: np.ndarray, stacks: Sequence[str], size: int) -> np.ndarray:
    known = np.isfinite(places[:, 0])
    filled = places.copy()
    for i in np.flatnonzero(~known).tolist():
        others = [j for j in np.flatnonzero(known).tolist() if stacks[j] == stacks[i]]
        if others:
            filled[i] = places[min(others, key=lambda j: abs(j - i))]
        else:
            filled[i] = [(size - 1) / 2.0, (size - 1) / 2.0, NOMINAL_RADIUS * size, NOMINAL_RADIUS * size]
    return filled
