"""Random training examples from a bank of images.

torch is needed, so import this module inside functions.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from CMRLandmarksLib.research.dataset import LandmarkBank
from CMRLib.anatomy.insertions import RIGHT_VENTRICLE


class LandmarkBatch(NamedTuple):
    """Training examples.

    Attributes:
        image: (image, 1, row, column), standardised.
        points: (image, landmark, 2), (row, column) in input pixels, NaN where unknown.
        known: (image, landmark), 1 where the landmark is known and inside the image.
        present: (image,), 1 where there is a heart.
        tissue: (image, 3, row, column), share of RV cavity, myocardium and LV cavity in each pixel.
        rv_known: (image,), 1 where the RV is labelled if it is there.
    """

    image: Tensor
    points: Tensor
    known: Tensor
    present: Tensor
    tissue: Tensor
    rv_known: Tensor


class DrawnImages(NamedTuple):
    """Images of a bank.

    Attributes:
        channels: (image, 4, row, column) from 0 to 1: the image, RV cavity, myocardium, LV cavity.
        points: (image, landmark, 2), (row, column) in pixels.
        rv_known: as in `LandmarkBatch`.
    """

    channels: Tensor
    points: Tensor
    rv_known: Tensor


class Examples:
    """Random images of a bank, every (source, contrast) group with its weight."""

    def __init__(self, bank: LandmarkBank, weights: dict[str, float] | None = None) -> None:
        """``weights`` gives the share of each contrast; the others, by default all, share the rest evenly by image."""
        self.bank = bank
        contrasts = np.array(bank.contrasts)
        given = {name: weight for name, weight in (weights or {}).items() if name in bank.contrasts}
        others = ~np.isin(contrasts, list(given))
        share = np.full(len(bank), (1.0 - sum(given.values())) / max(int(others.sum()), 1))
        for contrast, weight in given.items():
            share[contrasts == contrast] = weight / np.sum(contrasts == contrast)
        self.share = torch.from_numpy(share / share.sum())
        self.images = torch.from_numpy(bank.images)
        self.labels = torch.from_numpy(bank.labels)
        self.points = torch.from_numpy(bank.points)
        # Who labelled one slice's RV labelled it in all of the subject's.
        shown = np.array([(labels == RIGHT_VENTRICLE).any() for labels in bank.labels])[bank.label_of]
        labelled = {subject for subject, rv in zip(bank.subjects, shown, strict=True) if rv}
        self.rv_known = torch.tensor([float(subject in labelled) for subject in bank.subjects])

    def draw(self, count: int, generator: torch.Generator) -> DrawnImages:
        """Random images."""
        chosen = torch.multinomial(self.share, count, replacement=True, generator=generator)
        labels = self.labels[torch.from_numpy(self.bank.label_of[chosen.numpy()])]
        channels = [self.images[chosen].float() / 255.0, *((labels == value).float() for value in (1, 2, 3))]
        return DrawnImages(torch.stack(channels, dim=1), self.points[chosen], self.rv_known[chosen])


def shrunken(bank: LandmarkBank, factor: int) -> LandmarkBank:
    """The bank with pixels averaged over squares of ``factor``; labels are taken from a corner."""
    images = np.empty((len(bank), bank.images.shape[1] // factor, bank.images.shape[2] // factor), dtype=np.uint8)
    for target, image in zip(images, bank.images, strict=True):
        target[:] = image.reshape(target.shape[0], factor, target.shape[1], factor).mean(axis=(1, 3))
    points = (bank.points - (factor - 1) / 2.0) / factor
    return replace(bank, images=images, labels=bank.labels[:, ::factor, ::factor].copy(), points=points)
