"""Predicted Dice of candidates from how well they agree, and a bound that holds as often as it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from CMRLib.errors import MissingDependencyError

THRESHOLD = 0.7  # of the predicted Dice, below which a slice is flagged (thesis, 4.3)
CONFIDENCE = 0.9
LEVELS = (0.8, 0.9, 0.95)
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
    """

    weights: np.ndarray
    bias: np.ndarray
    margins: Mapping[float, float]

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
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> QualityModel:
        """From the weights file's entry.

        Raises:
            MissingDependencyError: it holds something else.
        """
        try:
            margins = {float(level): float(margin) for level, margin in values["margins"].items()}
            model = cls(np.array(values["weights"], dtype=float), np.array(values["bias"], dtype=float), margins)
            if model.weights.shape != (len(model.bias),) * 2 or CONFIDENCE not in margins:
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


def fit_quality(matrices: np.ndarray, truths: np.ndarray, subjects: list[str], folds: int = 8) -> QualityModel:
    """Fit the regressions on all images, and the bound on predictions for subjects left out in turn.

    Args:
        matrices: (image, candidate, candidate).
        truths: (image, candidate), Dice with the truth.
        subjects: of each image; those of one subject are left out together.
        folds: parts that the subjects are divided into.
    """
    names = sorted(set(subjects))
    fold_of = {name: i % min(folds, len(names)) for i, name in enumerate(names)}
    fold = np.array([fold_of[name] for name in subjects])
    predicted, reached = [], []
    for i in sorted(set(fold_of.values())):
        held = fold == i
        if held.all():
            break
        part = QualityModel(*fit_regressions(matrices[~held], truths[~held]), {})
        answers = part.predict(matrices[held])
        best = answers.argmax(axis=1)
        rows = np.arange(len(best))
        predicted.append(answers[rows, best])
        reached.append(truths[held][rows, best])
    weights, bias = fit_regressions(matrices, truths)
    answers, dices = (np.concatenate(parts) if parts else np.zeros(0) for parts in (predicted, reached))
    return QualityModel(weights, bias, {level: conformal_margin(answers, dices, level) for level in LEVELS})
