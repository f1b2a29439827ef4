"""Additive models of one answer, from signs that are standardised: its Dice, and whether it is a bad one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

CUT = 4.0  # standard deviations beyond which an input says no more
USUAL = 1.0  # standard deviations beyond which an input's weight may change


@dataclass(frozen=True)
class SignModel:
    """A weighted sum of inputs, each with three weights: its own, and more of it where it is unusually high or low.

    Attributes:
        center, scale: float64 (input,), mean and standard deviation.
        weights: float64 (3 x input,), of `terms`.
        bias: what the sum begins with.
    """

    center: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    bias: float

    def value(self, inputs: np.ndarray) -> np.ndarray:
        """The sum for inputs (..., input), float64 (...)."""
        return terms(inputs, self.center, self.scale) @ self.weights + self.bias

    def to_dict(self) -> dict[str, Any]:
        """For the weights file's entry."""
        parts = {name: np.round(getattr(self, name), 6).tolist() for name in ("center", "scale", "weights")}
        return {**parts, "bias": round(float(self.bias), 6)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SignModel:
        """From the weights file's entry.

        Raises:
            KeyError, TypeError, ValueError: it holds something else.
        """
        center, scale, weights = (np.array(values[name], dtype=float) for name in ("center", "scale", "weights"))
        if center.ndim != 1 or scale.shape != center.shape or weights.shape != (3 * len(center),):
            raise ValueError("shape")
        return cls(center, scale, weights, float(values["bias"]))


def terms(inputs: np.ndarray, center: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Inputs (..., input) in standard deviations from their mean, cut at `CUT`, and by how much each is beyond `USUAL`.

    Returns:
        float64 (..., 3 x input): the inputs, what is above, what is below.
    """
    away = np.clip((np.asarray(inputs, dtype=float) - center) / scale, -CUT, CUT)
    return np.concatenate([away, np.maximum(away - USUAL, 0.0), np.maximum(-away - USUAL, 0.0)], axis=-1)
