"""From what the networks show of their doubt to the probability that a landmark is right.

A logistic model per landmark, fitted on validation images, corrupted ones among them, gives the probability that the
error is below `FAILURE_MM`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize, special

from CMRLandmarksLib.stack import SHORTEST_STACK, polar, wrapped
from CMRLib.anatomy.landmarks import LANDMARK_NAMES
from CMRLib.errors import MissingDependencyError

FAILURE_MM = 10.0
FEATURES = (
    "look1_entropy",
    "look1_away",
    "look2_entropy",
    "look2_away",
    "stage2_entropy",
    "stage2_away",
    "look1_distance",
    "look2_distance",
    "pass_distance",
    "tissue_distance",
    "tissue_missing",
    "heart_logit",
    "heat_turn",
    "looks_turn",
    "stack_turn",
    "heading",
    "opening",
    "reach",
    "stack_reach",
    "stack_shift",
    "stack_size",
)
# Means over ACDC's training patients: direction from the LV centre to the anterior insertion, atan2(row, column) in an
# upright view, and from there to that of the inferior one, clockwise on display.
USUAL_HEADING, USUAL_OPENING = np.deg2rad(-133.0), np.deg2rad(105.0)
# In place of a distance where the tissues show no such landmark.
NOMINAL_DISTANCE_MM = 5.0
# In place of what only a stack shows, where there is none: what is usual in ACDC's and EMIDEC's stacks.
NOMINAL_TURN, NOMINAL_CHANGE, NOMINAL_SHIFT_MM = np.deg2rad(3.0), 0.06, 1.5
# Added to angles before their logarithm is taken.
LEAST_TURN = np.deg2rad(1.0)
# Of the squared coefficients: there are few failures to learn them from.
PENALTY = 30.0


def features_of(
    doubts: np.ndarray,
    moves: np.ndarray,
    contradiction: np.ndarray,
    heart: np.ndarray,
    turns: np.ndarray,
    shape: np.ndarray,
) -> np.ndarray:
    """The features, in the order of `FEATURES`.

    Args:
        doubts: (image, landmark, 6), `CMRLandmarksLib.networks.doubt` of both looks of stage 1 and of stage 2.
        moves: (image, landmark, 3), distances in mm from the looks' points and between passes of stage 2.
        contradiction: (image, landmark), distance in mm from where the tissues put the landmark, NaN where they do not.
        heart: (image,) logit of a heart being there.
        turns: (image, insertion, 3), angles in radians: width of the last look's heat maps, disagreement of the looks
            and distance from the line of the stack, see `CMRLandmarksLib.stack.Reconciled`. For the LV centre, the mean
            of both insertion points counts.
        shape: (image, landmark, 6), see `implausibility`.

    Returns:
        float64 (image, landmark, feature).
    """
    missing = np.isnan(contradiction)
    tissue = np.log1p(np.where(missing, NOMINAL_DISTANCE_MM, contradiction))
    logit = np.broadcast_to(np.clip(heart, -8.0, 8.0)[:, None, None], (*missing.shape, 1))
    turn = _with_center(np.log(np.where(np.isnan(turns), NOMINAL_TURN, turns) + LEAST_TURN))
    parts = [doubts, np.log1p(moves), tissue[..., None], missing[..., None].astype(float), logit, turn, shape]
    return np.concatenate(parts, axis=2)


def implausibility(points: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """How far the landmarks of a stack are from those of a usual heart and from those of the other slices.

    Args:
        points: (image, landmark, 2), (row, column) in mm in an upright view, in the order of the slices.
        radius: (image,), radius of the epicardium in mm as the tissues show it, NaN where they do not.

    Returns:
        float64 (image, landmark, 6): the heading of the entry line against the usual one and the opening between the
        insertion points against the usual one, in units of 45 degrees; the log of the distance from the centre over
        the radius, and against the stack's median; the log1p of the centre's distance in mm from the mean of its
        neighbours; and the log of the radius over the stack's median, 0 where it is unknown. For the LV centre, which
        has no distance from itself, the mean of both insertion points counts.
    """
    angle, length = polar(points, points[:, :1])
    length = np.maximum(length, 1.0)
    eighth = np.pi / 4.0
    heading = np.abs(wrapped(angle[:, 0] - USUAL_HEADING)) / eighth
    opening = np.abs(wrapped(angle[:, 0] - angle[:, 1] - USUAL_OPENING)) / eighth
    known = np.where(np.isfinite(radius) & (radius > 1.0), radius, np.nan)
    reach = np.nan_to_num(np.abs(np.log(length / known[:, None])), nan=0.5)
    alone = len(points) < SHORTEST_STACK
    change = np.full_like(length, NOMINAL_CHANGE) if alone else np.abs(np.log(length / np.median(length, axis=0)))
    shift = np.full(len(points), NOMINAL_SHIFT_MM) if alone else _shift(points[:, 0])
    size = np.nan_to_num(np.log(known / np.nanmedian(known))) if np.isfinite(known).any() else np.zeros(len(points))
    per_landmark = [_with_center(values) for values in (reach, change)]
    per_slice = (heading, opening, np.log1p(shift), size)
    first, second, *rest = (np.broadcast_to(values[:, None], (len(points), 3)) for values in per_slice)
    return np.stack([first, second, *per_landmark, *rest], axis=2)


def _with_center(insertions: np.ndarray) -> np.ndarray:
    return np.concatenate([insertions.mean(axis=1, keepdims=True), insertions], axis=1)


def _shift(centers: np.ndarray) -> np.ndarray:
    """Distance of each slice's centre from the mean of its neighbours'."""
    padded = np.concatenate([centers[1:2], centers, centers[-2:-1]])
    return np.linalg.norm(centers - 0.5 * (padded[:-2] + padded[2:]), axis=1)


@dataclass(frozen=True)
class ConfidenceModel:
    """Coefficients per landmark, for features in the order of `FEATURES`.

    Attributes:
        mean, scale: (feature,), what the features are standardised with.
        coefficients: (landmark, 1 + feature), constant first.
        threshold: a landmark with a lower confidence is flagged.
    """

    mean: np.ndarray
    scale: np.ndarray
    coefficients: np.ndarray
    threshold: float

    def confidence(self, features: np.ndarray) -> np.ndarray:
        """Probability of being right, (image, landmark), of features (image, landmark, feature)."""
        standard = (features - self.mean) / self.scale
        logit = self.coefficients[:, 0] + np.einsum("nlf,lf->nl", standard, self.coefficients[:, 1:])
        return 1.0 / (1.0 + np.exp(-np.clip(logit, -30.0, 30.0)))

    def to_dict(self) -> dict[str, Any]:
        """For a model's manifest entry."""
        return {
            "features": list(FEATURES),
            "mean": [round(float(v), 6) for v in self.mean],
            "scale": [round(float(v), 6) for v in self.scale],
            "coefficients": {
                name: [round(float(v), 6) for v in row]
                for name, row in zip(LANDMARK_NAMES, self.coefficients, strict=True)
            },
            "threshold": round(self.threshold, 4),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> ConfidenceModel:
        """Read what `to_dict` made.

        Raises:
            MissingDependencyError: the weights are of another version of this library.
        """
        try:
            if tuple(content["features"]) != FEATURES:
                raise ValueError("features")
            coefficients = np.array([content["coefficients"][name] for name in LANDMARK_NAMES], dtype=float)
            return cls(np.array(content["mean"]), np.array(content["scale"]), coefficients, float(content["threshold"]))
        except (KeyError, TypeError, ValueError) as error:
            raise MissingDependencyError(
                "The landmark weights do not fit this version of CMRMapping; install the model that ships with it."
            ) from error


def fit_confidence(features: np.ndarray, error_mm: np.ndarray, weight: np.ndarray | None = None) -> ConfidenceModel:
    """Fit the logistic models; the threshold is 0.5 until `threshold_of` gives one.

    Args:
        features: (image, landmark, feature).
        error_mm: (image, landmark), NaN where the truth is unknown; infinite where there is nothing to find.
        weight: (image,), what each counts; None for all alike.
    """
    weight = np.ones(len(features)) if weight is None else weight
    flat = features.reshape(-1, features.shape[-1])
    mean, scale = flat.mean(axis=0), np.maximum(flat.std(axis=0), 1e-3)
    standard = (features - mean) / scale
    rows = []
    for i in range(features.shape[1]):
        known = ~np.isnan(error_mm[:, i])
        rows.append(_logistic(standard[known, i], error_mm[known, i] < FAILURE_MM, weight[known]))
    return ConfidenceModel(mean, scale, np.stack(rows), 0.5)


def threshold_of(
    confidence: np.ndarray,
    error_mm: np.ndarray,
    usual: np.ndarray | None = None,
    *,
    disturbed: float = 0.1,
    missed: float = 0.1,
) -> float:
    """The confidence below which an image is flagged.

    It flags at most a share ``disturbed`` of the right images of any usual contrast, which an analyst is asked to look
    at in vain; where there are none, it flags all but a share ``missed`` of the failures.

    Args:
        confidence: (image, landmark), best of models that were fitted without the image's subject.
        error_mm: (image, landmark), as in `fit_confidence`.
        usual: str (image,), contrast of the real, undamaged images, "" of all others; None if there are none.
        disturbed: share of the usual images without a failure that may be flagged.
        missed: share of the centres and anterior insertions in error that may go unflagged.
    """
    confidence = confidence[:, :2]
    failed = error_mm[:, :2] >= FAILURE_MM
    right = ~np.isnan(error_mm[:, :2]).any(axis=1) & ~failed.any(axis=1)
    groups = [] if usual is None else [right & (usual == name) for name in sorted(set(usual)) if name]
    limits = [float(np.quantile(confidence[group].min(axis=1), disturbed)) for group in groups if group.any()]
    if not limits:
        limits = [float(np.quantile(confidence[failed], 1.0 - missed)) if failed.any() else 0.5]
    return float(np.clip(min(limits), 0.05, 0.95))


def _logistic(features: np.ndarray, right: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Coefficients (1 + feature,), constant first, of a logistic model for ``right`` (image,)."""
    design = np.column_stack([np.ones(len(features)), features])
    sign = np.where(right, 1.0, -1.0)

    def loss(coefficients: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (design @ coefficients)
        shrunk = np.concatenate([[0.0], PENALTY * coefficients[1:]])
        value = float((weight * np.logaddexp(0.0, -margin)).sum() + 0.5 * shrunk @ coefficients)
        return value, shrunk - design.T @ (weight * sign * special.expit(-margin))

    return optimize.minimize(loss, np.zeros(design.shape[1]), jac=True, method="BFGS").x


def area_under_curve(confidence: np.ndarray, failed: np.ndarray) -> float:
    """Area under the receiver operating curve of ``1 - confidence`` for ``failed``; NaN where all or none failed."""
    from scipy.stats import rankdata

    positives = int(failed.sum())
    negatives = failed.size - positives
    if not positives or not negatives:
        return float("nan")
    ranks = rankdata(1.0 - confidence)
    return float((ranks[failed].sum() - positives * (positives + 1) / 2.0) / (positives * negatives))
