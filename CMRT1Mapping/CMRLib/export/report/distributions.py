"""How a measure is distributed over the studies of a cohort: quartiles, outliers, and the bars of its histogram."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from CMRLib.anatomy.bullseye import round_values

FEWEST = 8  # studies for whose quartiles outliers mean anything
FENCE = 1.5  # interquartile ranges beyond the quartiles, after Tukey, Exploratory Data Analysis, 1977
_MOST_BARS = 20


@dataclass(frozen=True)
class Distribution:
    """The values of a cohort.

    Attributes:
        values: study -> value.
        quartiles: lower, median and upper.
        fences: below and above which a value is an outlier; None where there are too few studies.
    """

    values: Mapping[str, float]
    quartiles: tuple[float, float, float]
    fences: tuple[float, float] | None

    @property
    def outliers(self) -> dict[str, float]:
        """Study -> value of those beyond the fences."""
        if self.fences is None:
            return {}
        low, high = self.fences
        return {study: value for study, value in self.values.items() if not low <= value <= high}


@dataclass(frozen=True)
class Bar:
    """A bar of a histogram: the number of values from ``low`` to ``high``."""

    low: float
    high: float
    count: int


@dataclass(frozen=True)
class Histogram:
    """A histogram before it is drawn.

    Attributes:
        bars: from the lowest to the highest value, without gaps.
        ticks: round values to be written below them.
    """

    bars: tuple[Bar, ...]
    ticks: tuple[float, ...]

    @property
    def highest(self) -> int:
        """The number of values in the highest bar."""
        return max(bar.count for bar in self.bars)

    def share(self, value: float) -> float:
        """Where a value lies from left, 0, to right, 1."""
        low, high = self.bars[0].low, self.bars[-1].high
        return (value - low) / (high - low)


def distribution(values: Mapping[str, float]) -> Distribution:
    """The distribution of one value or more, by study."""
    low, median, high = np.percentile(list(values.values()), (25, 50, 75)).tolist()
    reach = FENCE * (high - low)
    return Distribution(
        dict(values), (low, median, high), (low - reach, high + reach) if len(values) >= FEWEST else None
    )


def histogram(found: Distribution) -> Histogram:
    """As many bars as the square root of the number of values, at least five and at most twenty."""
    values = np.array(list(found.values.values()))
    low, high = float(values.min()), float(values.max())
    if high - low <= 1e-9 * max(abs(low), abs(high), 1e-300):
        margin = 0.5 * abs(low) or 0.5
        low, high = low - margin, high + margin
    bars = int(np.clip(np.ceil(np.sqrt(len(values))), 5, _MOST_BARS))
    counts, edges = np.histogram(values, bars, (low, high))
    parts = zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True)
    return Histogram(tuple(Bar(*part) for part in parts), round_values(low, high))
