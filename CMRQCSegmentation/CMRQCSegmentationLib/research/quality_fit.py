"""Fitting the prediction of an ensemble's Dice, its bound, and the doubts, on images of validation patients."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from CMRQCSegmentationLib.candidates import labels_of
from CMRQCSegmentationLib.judging import SignModel, terms
from CMRQCSegmentationLib.prediction import Candidates
from CMRQCSegmentationLib.quality import LEVELS, THRESHOLD, QualityModel, conformal_margin, fit_regressions
from CMRQCSegmentationLib.signs import signs_of

FOLDS = 8  # parts that the subjects are divided into, each left out in turn
GOOD_DOUBTED = 0.05  # share of the good answers on undamaged images that may be doubted
CLEAN_WEIGHT = 2.0  # of an undamaged image beside a damaged one
_RIDGE_DICE, _RIDGE_DOUBT = 1e-1, 5e-3  # chosen by leaving validation patients out
_LEAST_ERROR = 0.02  # below which an error of the Dice weighs no less
_ROUNDS = 30


@dataclass(frozen=True)
class QualityExamples:
    """Candidates of many images, held against their labels.

    Attributes:
        candidates: of each image.
        truths: float64 (image, candidate), Dice of the myocardium; 1 where neither shows it.
        subjects: of each image.
        there: (image,), whether the labels show a heart.
    """

    candidates: tuple[Candidates, ...]
    truths: np.ndarray
    subjects: tuple[str, ...]
    there: np.ndarray

    def matrices(self) -> np.ndarray:
        """Agreement of the candidates, float64 (image, candidate, candidate)."""
        return np.stack([part.matrix() for part in self.candidates])

    def of(self, keep: np.ndarray) -> QualityExamples:
        """Some of the images."""
        chosen = np.flatnonzero(keep).tolist()
        candidates = tuple(self.candidates[i] for i in chosen)
        subjects = tuple(self.subjects[i] for i in chosen)
        return QualityExamples(candidates, self.truths[chosen], subjects, self.there[chosen])


@dataclass(frozen=True)
class _Answers:
    """What is chosen of each image: inputs of the sign models, true Dice, fold, and whether anything is drawn."""

    inputs: np.ndarray
    dices: np.ndarray
    fold: np.ndarray
    drawn: np.ndarray
    there: np.ndarray


def fit_quality(clean: QualityExamples, damaged: QualityExamples | None = None) -> QualityModel:
    """Fit the regressions on all images that show a heart, and the rest on predictions for subjects left out in turn.

    Args:
        clean: images as they are.
        damaged: damaged ones, for the doubts; without any nothing is doubted.
    """
    names = sorted(set(clean.subjects))
    fold_of = {name: i % min(FOLDS, len(names)) for i, name in enumerate(names)}
    shown = clean.of(clean.there)
    model = QualityModel(*fit_regressions(shown.matrices(), shown.truths), {})
    answers = _answers(clean, model, fold_of, shown)
    seen = answers.there
    kept = _left_out(answers.inputs[seen], answers.dices[seen], answers.fold[seen])
    margins = {level: conformal_margin(*kept, level) for level in LEVELS}
    model = replace(model, margins=margins, answer=fit_dice(answers.inputs[seen], answers.dices[seen]))
    if damaged is None:
        return model
    return replace(model, doubt=_fit_doubts(answers, _answers(damaged, model, fold_of, shown)))


def _answers(
    examples: QualityExamples, model: QualityModel, fold_of: dict[str, int], shown: QualityExamples
) -> _Answers:
    """The model's choices, each with the prediction of regressions that were fitted without its subject."""
    matrices = examples.matrices()
    chosen = model.choose(model.predict(matrices))
    fold = np.array([fold_of[name] for name in examples.subjects])
    shown_fold, shown_matrices = np.array([fold_of[name] for name in shown.subjects]), shown.matrices()
    predicted = np.zeros(len(chosen))
    for i in sorted(set(fold.tolist())):
        rest, held = shown_fold != i, np.flatnonzero(fold == i)
        part = QualityModel(*fit_regressions(shown_matrices[rest], shown.truths[rest]), {}) if rest.any() else model
        predicted[held] = part.predict(matrices[held])[np.arange(len(held)), chosen[held]]
    signs = [signs_of(part.crop, part.maps, int(i)) for part, i in zip(examples.candidates, chosen, strict=True)]
    drawn = [bool(labels_of(part.maps[i]).any()) for part, i in zip(examples.candidates, chosen, strict=True)]
    dices = examples.truths[np.arange(len(chosen)), chosen]
    return _Answers(np.column_stack([predicted, np.stack(signs)]), dices, fold, np.array(drawn), examples.there)


def _left_out(inputs: np.ndarray, dices: np.ndarray, fold: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Predicted and true Dice of answers whose subjects the prediction was fitted without."""
    predicted, reached = [np.zeros(0)], [np.zeros(0)]
    for i in sorted(set(fold.tolist())):
        held = fold == i
        if not held.all():
            predicted.append(np.clip(fit_dice(inputs[~held], dices[~held]).value(inputs[held]), 0.0, 1.0))
            reached.append(dices[held])
    return np.concatenate(predicted), np.concatenate(reached)


def _fit_doubts(clean: _Answers, damaged: _Answers) -> SignModel | None:
    """The model of bad answers, its bias such that few good answers on undamaged images of left-out subjects pass 0.

    None where there are no bad answers, or no good ones on undamaged images.
    """
    inputs = np.concatenate([part.inputs[part.drawn] for part in (clean, damaged)])
    bad = np.concatenate([part.dices[part.drawn] < THRESHOLD for part in (clean, damaged)])
    fold = np.concatenate([part.fold[part.drawn] for part in (clean, damaged)])
    undamaged = np.arange(len(bad)) < clean.drawn.sum()
    if not bad.any() or bad[undamaged].all():
        return None
    weight = np.where(undamaged, CLEAN_WEIGHT, 1.0)
    odds = np.zeros(len(bad))
    for i in sorted(set(fold.tolist())):
        held = fold == i
        rest = held if held.all() else ~held
        odds[held] = fit_doubt(inputs[rest], bad[rest], weight[rest]).value(inputs[held])
    limit = float(np.quantile(odds[undamaged & ~bad], 1.0 - GOOD_DOUBTED))
    model = fit_doubt(inputs, bad, weight)
    return replace(model, bias=model.bias - limit)


def _columns(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centre, scale, and the terms with a column of ones before them."""
    center, scale = inputs.mean(axis=0), inputs.std(axis=0) + 1e-6
    return center, scale, np.column_stack([np.ones(len(inputs)), terms(inputs, center, scale)])


def _ridge(columns: int, strength: float) -> np.ndarray:
    penalty = np.full(columns, strength)
    penalty[0] = 1e-9
    return np.diag(penalty)


def fit_dice(inputs: np.ndarray, truths: np.ndarray) -> SignModel:
    """Least absolute errors of the Dice, by least squares that are weighted anew: a few failures do not bend it.

    Args:
        inputs: (answer, input).
        truths: (answer,), Dice.
    """
    center, scale, columns = _columns(inputs)
    weight = np.ones(len(truths))
    solution = np.zeros(columns.shape[1])
    for _ in range(_ROUNDS):
        weighted = columns * weight[:, None]
        penalty = _ridge(len(solution), _RIDGE_DICE * weight.sum())
        solution = np.linalg.solve(columns.T @ weighted + penalty, weighted.T @ truths)
        weight = 1.0 / np.maximum(np.abs(columns @ solution - truths), _LEAST_ERROR)
    return SignModel(center, scale, solution[1:], float(solution[0]))


def fit_doubt(inputs: np.ndarray, bad: np.ndarray, weight: np.ndarray) -> SignModel:
    """Logistic regression of whether an answer is bad; the model's value is the logarithm of the odds.

    Args:
        inputs: (answer, input).
        bad: (answer,), booleans.
        weight: (answer,), how much each counts.
    """
    center, scale, columns = _columns(inputs)
    penalty = _ridge(columns.shape[1], _RIDGE_DOUBT * float(weight.sum()))
    solution = np.zeros(columns.shape[1])
    for _ in range(_ROUNDS):
        chance = 1.0 / (1.0 + np.exp(-np.clip(columns @ solution, -30.0, 30.0)))
        slope = columns.T @ (weight * (chance - bad)) + penalty @ solution
        curvature = columns.T @ (columns * (weight * chance * (1.0 - chance) + 1e-6)[:, None]) + penalty
        solution = solution - np.linalg.solve(curvature, slope)
    return SignModel(center, scale, solution[1:], float(solution[0]))
