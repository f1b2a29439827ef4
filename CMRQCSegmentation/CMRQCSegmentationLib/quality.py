"""Predicted Dice of candidates from how well they agree, and a bound that holds as often as it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from CMRLib.errors import MissingDependencyError
from CMRQCSegmentationLib.judging import SignModel
from CMRQCSegmentationLib.signs import SIGNS

THRESHOLD = 0.7  # of the predicted Dice, below which a slice is flagged (thesis, 4.3)
CONFIDENCE = 0.9
LEVELS = (0.8, 0.9, 0.95)
# How much better than the deepest network's another candidate must be predicted to be; by validation patients.
DEEPEST_LEAD = 0.01
# The bound's distance grows with how far the prediction is from 1, and is never less than with this much.
_FLOOR = 0.05
_RIDGE = 1e-3  # keeps the regressions of near-equal columns from swinging; the printed ones have none


@dataclass(frozen=True)
class QualityModel:
    """One linear regression per candidate, and the calibration of the bound.

    Attributes:
        weights: float64 (candidate, candidate), of the Dice with every candidate.
        bias: float64 (candidate,).
        margins: for each confidence level, by how much the prediction may be too high, in units of `margin_unit`.
        answer: predicts the chosen candidate's Dice from its regression's prediction and its signs, see
            `CMRQCSegmentationLib.signs`; None where the prediction stays as it is.
        doubt: above 0 where the same inputs are those of bad answers; None where nothing is doubted.
    """

    weights: np.ndarray
    bias: np.ndarray
    margins: Mapping[float, float]
    answer: SignModel | None = None
    doubt: SignModel | None = None

    def choose(self, predictions: np.ndarray) -> np.ndarray:
        """Number of the candidate that is the answer: the highest prediction's, in doubt the deepest network's.

        Args:
            predictions: (..., candidate); the first half are the single networks', the deepest last.
        """
        favoured = np.array(predictions, dtype=float)
        favoured[..., favoured.shape[-1] // 2 - 1] += DEEPEST_LEAD
        return favoured.argmax(axis=-1)

    def refined(self, predicted: float, signs: np.ndarray) -> float:
        """Predicted Dice of an answer from its regression's prediction and its signs, 0 to 1."""
        if self.answer is None:
            return predicted
        return float(np.clip(self.answer.value(np.concatenate([[predicted], signs])), 0.0, 1.0))

    def doubtful(self, predicted: float, signs: np.ndarray) -> bool:
        """Whether the signs are those of bad answers, whatever the predicted Dice."""
        return self.doubt is not None and bool(self.doubt.value(np.concatenate([[predicted], signs])) > 0.0)

    def predict(self, matrix: np.ndarray) -> np.ndarray:
        """Predicted Dice of every candidate, 0 to 1.

        Args:
            matrix: (..., candidate, candidate), see `CMRQCSegmentationLib.candidates.dice_matrix`.

        Returns:
            float64 (..., candidate).
        """
        return np.clip(np.sum(matrix * self.weights, axis=-1) + self.bias, 0.0, 1.0)

    def lower_bound(self, predicted: float, confidence: float = CONFIDENCE) -> float:
        """What the true Dice reaches with the given confidence; the levels are those of `margins`."""
        return float(np.clip(predicted - self.margins[confidence] * margin_unit(predicted), 0.0, 1.0))

    def to_dict(self) -> dict[str, Any]:
        """For the weights file's entry."""
        return {
            "weights": np.round(self.weights, 6).tolist(),
            "bias": np.round(self.bias, 6).tolist(),
            "margins": {str(level): round(margin, 6) for level, margin in self.margins.items()},
            **{name: model.to_dict() for name, model in self._sign_models().items()},
        }

    def _sign_models(self) -> dict[str, SignModel]:
        models = {"answer": self.answer, "doubt": self.doubt}
        return {name: model for name, model in models.items() if model is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> QualityModel:
        """From the weights file's entry.

        Raises:
            MissingDependencyError: it holds something else.
        """
        try:
            margins = {float(level): float(margin) for level, margin in values["margins"].items()}
            weights, bias = (np.array(values[name], dtype=float) for name in ("weights", "bias"))
            answer, doubt = (SignModel.from_dict(values[n]) if n in values else None for n in ("answer", "doubt"))
            model = cls(weights, bias, margins, answer, doubt)
            inputs = {len(part.center) for part in (answer, doubt) if part is not None}
            if model.weights.shape != (len(model.bias),) * 2 or CONFIDENCE not in margins or inputs - {1 + len(SIGNS)}:
                raise ValueError("shape")
            return model
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise MissingDependencyError(
                "The weights hold no quality model; run cmr-train segmentation-quality on them, or install them again."
            ) from error


def margin_unit(predicted: np.ndarray | float) -> Any:
    """How uncertain a prediction is, up to a factor: predictions near 1 are wrong by less."""
    return _FLOOR + 1.0 - np.asarray(predicted)


def fit_regressions(matrices: np.ndarray, truths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least squares of every candidate's true Dice on its Dice with every candidate (thesis, A.3).

    Args:
        matrices: (image, candidate, candidate).
        truths: (image, candidate).

    Returns:
        Weights (candidate, candidate) and biases (candidate,).
    """
    candidates = truths.shape[1]
    weights, bias = np.zeros((candidates, candidates)), np.zeros(candidates)
    for i in range(candidates):
        features, wanted = matrices[:, i], truths[:, i]
        mean, target = features.mean(axis=0), wanted.mean()
        centered = features - mean
        gram = centered.T @ centered + _RIDGE * len(features) * np.eye(candidates)
        weights[i] = np.linalg.solve(gram, centered.T @ (wanted - target))
        bias[i] = target - mean @ weights[i]
    return weights, bias


def conformal_margin(predicted: np.ndarray, truths: np.ndarray, confidence: float) -> float:
    """Margin of a split-conformal lower bound: predictions on images that no regression saw, and their true Dice.

    It is the ceil((n + 1) confidence)-th smallest of (predicted - true) / `margin_unit`, so that for another image of
    the same kind the true Dice lies above the bound at least with the given confidence (Vovk et al., Algorithmic
    Learning in a Random World, 2005; Lei et al., J Am Stat Assoc 2018;113:1094).
    """
    scores = np.sort((predicted - truths) / margin_unit(predicted))
    rank = int(np.ceil((len(scores) + 1) * confidence))
    return float(scores[min(rank, len(scores)) - 1]) if len(scores) else 1.0
