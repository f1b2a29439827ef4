"""How well two ways of measuring agree, and how well a measure tells two groups apart."""

from __future__ import annotations

import numpy as np
from scipy import stats


def icc(one: np.ndarray, other: np.ndarray) -> float:
    """Intraclass correlation for absolute agreement of single measures in a two-way model, ICC(A,1).

    McGraw and Wong, Psychol Methods 1996;1:30-46.

    Args:
        one, other: (subject,), the same subjects.

    Returns:
        At most 1; NaN for fewer than two subjects or no variance at all.
    """
    table = np.column_stack([one, other]).astype(np.float64)
    n, k = table.shape
    if n < 2:
        return float("nan")
    mean = table.mean()
    rows = k * np.sum((table.mean(axis=1) - mean) ** 2) / (n - 1)
    columns = n * np.sum((table.mean(axis=0) - mean) ** 2) / (k - 1)
    rest = np.sum((table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + mean) ** 2) / ((n - 1) * (k - 1))
    total = rows + (k - 1) * rest + k * (columns - rest) / n
    return float((rows - rest) / total) if total > 0 else float("nan")


def area_under_curve(scores: np.ndarray, positive: np.ndarray) -> float:
    """Area under the receiver operating characteristic: how often a positive scores higher than a negative.

    Args:
        scores: (case,).
        positive: bool (case,).

    Returns:
        0 to 1; NaN where one of the groups is empty.
    """
    positive = np.asarray(positive, dtype=bool)
    count, others = int(positive.sum()), int((~positive).sum())
    if count == 0 or others == 0:
        return float("nan")
    ranks = stats.rankdata(scores)
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * others))
