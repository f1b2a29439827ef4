"""Copies of whole stacks as another scanner might have shown them, for calibrating the confidence.

Every slice of a stack gets the same new look: brightness through a random curve or painted as late enhancement,
shading, blur, noise, another size, a turn, a stretch. What the networks get wrong on such copies is wrong as it is on
images of a hospital that they do not know: not at random, but in all of a stack. torch is needed, so import this
module inside functions.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from CMRLandmarksLib.grid import Placement
from CMRLandmarksLib.research.dataset import LandmarkBank
from CMRLandmarksLib.research.late_enhancement import late_enhanced
from CMRLib.anatomy.insertions import LEFT_VENTRICLE, MYOCARDIUM, RIGHT_VENTRICLE
from CMRLib.training.augmentation import ContrastStrength, degraded, recurved

STRENGTH = ContrastStrength(shading=0.6, blur=0.4, noise=0.6, field_of_view=0.0, corruption=0.1)
PAINTED = 0.5  # share of the stacks with a labelled RV that are painted
# Standard deviations of the turn in degrees, of the log of the size and of the log of the stretch.
TURN_DEG, SIZE, STRETCH = 15.0, 0.15, 0.1


def restyled(bank: LandmarkBank, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The images of a stack in one new look.

    Args:
        bank: images of one stack.
        seed: of the look.

    Returns:
        float32 (image, row, column) from 0 to 1 and the landmarks (image, landmark, 2), NaN where unknown.
    """
    rng = np.random.default_rng(seed)
    place = _placement(bank.images.shape[-1], rng)
    painted = bool((bank.labels == RIGHT_VENTRICLE).any()) and rng.random() < PAINTED
    images, points = [], []
    for image, label_of, truth in zip(bank.images, bank.label_of, bank.points, strict=True):
        labels = place.sample(bank.labels[label_of], order=0)
        moved = place.to_target(truth)
        changed = _appearance(place.sample(image / 255.0), labels, moved, painted, seed)
        images.append(np.clip(changed, 0.0, 1.0))
        points.append(moved)
    return np.stack(images).astype(np.float32), np.stack(points)


def _placement(size: int, rng: np.random.Generator) -> Placement:
    angle, scale = np.deg2rad(rng.normal(0.0, TURN_DEG)), np.exp(rng.normal(0.0, SIZE))
    stretch = np.exp(rng.normal(0.0, STRETCH))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn * [scale * stretch, scale / stretch]
    center = np.full(2, (size - 1) / 2.0)
    return Placement(matrix, center - matrix @ center, size)


def _appearance(image: np.ndarray, labels: np.ndarray, points: np.ndarray, painted: bool, seed: int) -> np.ndarray:
    # The same numbers for every slice make one look of the stack.
    generator = torch.Generator().manual_seed(seed)
    batch = torch.from_numpy(image)[None, None]
    if painted:
        tissue = torch.from_numpy(np.stack([labels == v for v in (RIGHT_VENTRICLE, MYOCARDIUM, LEFT_VENTRICLE)]))
        known: Tensor = torch.from_numpy(points).float()[None]
        batch = late_enhanced(batch, tissue.float()[None], known, generator)
    else:
        batch = recurved(batch, 1.0, generator)
    return degraded(batch, STRENGTH, generator)[0, 0].numpy()
