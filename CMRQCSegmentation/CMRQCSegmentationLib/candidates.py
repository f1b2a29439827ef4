"""Candidates of a segmentation: each network's own, the combined ones, and how well they agree.

A candidate is a pair of maps from 0 to 1: the share of networks' belief that a pixel lies within the heart's outer
border (wall and cavity), and within the cavity. A pixel is in what passes one half.
"""

from __future__ import annotations

import numpy as np

MYOCARDIUM, BLOOD_POOL = 1, 2
HEART_MAP, CAVITY_MAP = 0, 1  # the two maps of a candidate


def candidate_names(networks: int) -> tuple[str, ...]:
    """Names of the candidates: ``scs-1`` to ``scs-M`` of single networks, ``ccs-1`` to ``ccs-M`` combined.

    ``ccs-k`` is where at least k of the M networks vote for a label.
    """
    return tuple(f"{kind}-{k + 1}" for kind in ("scs", "ccs") for k in range(networks))


def nested_maps(shares: np.ndarray) -> np.ndarray:
    """Maps of the outer border and of the cavity from class shares.

    Args:
        shares: (..., class, row, column): background, myocardium, blood pool.

    Returns:
        float32 (..., 2, row, column).
    """
    cavity = shares[..., BLOOD_POOL, :, :]
    return np.stack([shares[..., MYOCARDIUM, :, :] + cavity, cavity], axis=-3).astype(np.float32)


def with_combined(single: np.ndarray) -> np.ndarray:
    """Single candidates and, after them, those of pixel-wise voting by rank filters (thesis, 4.2.3 and A.3).

    The k-th largest of the networks' values in a pixel passes one half exactly where at least k networks vote for it,
    so ranking the values is voting by labels, and keeps a smooth border besides.

    Args:
        single: float32 (network, 2, row, column).

    Returns:
        float32 (2 x network, 2, row, column).
    """
    return np.concatenate([single, np.sort(single, axis=0)[::-1]])


def labels_of(maps: np.ndarray) -> np.ndarray:
    """Labels of candidates: 1 myocardium, 2 blood pool, 0 anything else.

    Args:
        maps: (..., 2, row, column).

    Returns:
        uint8 (..., row, column).
    """
    heart, cavity = maps[..., HEART_MAP, :, :] > 0.5, maps[..., CAVITY_MAP, :, :] > 0.5
    return np.where(cavity & heart, BLOOD_POOL, np.where(heart, MYOCARDIUM, 0)).astype(np.uint8)


def dice(first: np.ndarray, second: np.ndarray, label: int = MYOCARDIUM) -> float:
    """Dice coefficient of a label in two label maps; 1 where neither shows it."""
    ours, theirs = first == label, second == label
    total = int(ours.sum()) + int(theirs.sum())
    return 1.0 if total == 0 else 2.0 * float(np.sum(ours & theirs)) / total


def dice_matrix(labels: np.ndarray, label: int = MYOCARDIUM) -> np.ndarray:
    """Dice of every candidate with every other.

    Args:
        labels: uint8 (candidate, row, column).
        label: whose Dice.

    Returns:
        float64 (candidate, candidate), symmetric, 1 on the diagonal; 1 where neither of two shows the label.
    """
    masks = (labels == label).reshape(len(labels), -1).astype(np.float32)
    both = (masks @ masks.T).astype(float)
    sizes = masks.sum(axis=1).astype(float)
    total = sizes[:, None] + sizes[None, :]
    return np.where(total > 0, 2.0 * both / np.maximum(total, 1.0), 1.0)
