"""From what the networks show of their doubt to the probability that a landmark is right.

A logistic model per landmark, fitted on validation images, corrupted ones among them, gives the probability that the
error is below `FAILURE_MM`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize

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
)
# In place of a distance where the tissues show no such landmark.
NOMINAL_DISTANCE_MM = 5.0
# Of the squared coefficients, which keeps them finite where failures separate perfectly.
PENALTY = 1.0


def features_of(doubts: np.ndarray, moves: np.ndarray, contradiction: np.ndarray, heart: np.ndarray) -> np.ndarray:
    """The features, in the order of `FEATURES`.

    Args:
        doubts: (image, landmark, 6), `CMRLandmarksLib.networks.doubt` of both looks of stage 1 and of stage 2.
        moves: (image, landmark, 3), distances in mm from the looks' points and between passes of stage 2.
        contradiction: (image, landmark), distance in mm from where the tissues put the landmark, NaN where they do not.
        heart: (image,) logit of a heart being there.

    Returns:
        float64 (image, landmark, feature).
    """
    missing = np.isnan(contradiction)
    tissue = np.log1p(np.where(missing, NOMINAL_DISTANCE_MM, contradiction))
    logit = np.broadcast_to(np.clip(heart, -8.0, 8.0)[:, None, None], (*missing.shape, 1))
    parts = [doubts, np.log1p(moves), tissue[..., None], missing[..., None].astype(float), logit]
    return np.concatenate(parts, axis=2)


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


def fit_confidence(
    features: np.ndarray,
    error_mm: np.ndarray,
    usual: np.ndarray | None = None,
    *,
    review: float = 0.2,
    missed: float = 0.2,
) -> ConfidenceModel:
    """Fit the logistic models and the threshold below which an image is flagged.

    The threshold flags a share ``review`` of the ``usual`` images, which is what an analyst is asked to look at; where
    there are none, it flags all but a share ``missed`` of the failures.

    Args:
        features: (image, landmark, feature).
        error_mm: (image, landmark), NaN where the truth is unknown; infinite where there is nothing to find.
        usual: bool (image,), real images, undamaged and labelled with all landmarks; None if there are none.
        review: share of the usual images to flag.
        missed: share of the centres and anterior insertions in error that may go unflagged.
    """
    flat = features.reshape(-1, features.shape[-1])
    mean, scale = flat.mean(axis=0), np.maximum(flat.std(axis=0), 1e-3)
    standard = (features - mean) / scale
    rows = []
    for i in range(features.shape[1]):
        known = ~np.isnan(error_mm[:, i])
        right = np.where(error_mm[known, i] < FAILURE_MM, 1.0, -1.0)
        design = np.column_stack([np.ones(known.sum()), standard[known, i]])

        def loss(weights: np.ndarray, design: np.ndarray = design, right: np.ndarray = right) -> float:
            return float(
                np.logaddexp(0.0, -right * (design @ weights)).sum() + 0.5 * PENALTY * (weights[1:] ** 2).sum()
            )

        rows.append(optimize.minimize(loss, np.zeros(design.shape[1]), method="BFGS").x)
    model = ConfidenceModel(mean, scale, np.stack(rows), 0.5)
    confidence = model.confidence(features)[:, :2]
    failed = error_mm[:, :2] >= FAILURE_MM
    if usual is not None and usual.any():
        threshold = float(np.quantile(confidence[usual].min(axis=1), review))
    else:
        threshold = float(np.quantile(confidence[failed], 1.0 - missed)) if failed.any() else 0.5
    return ConfidenceModel(mean, scale, model.coefficients, float(np.clip(threshold, 0.05, 0.95)))


def area_under_curve(confidence: np.ndarray, failed: np.ndarray) -> float:
    """Area under the receiver operating curve of ``1 - confidence`` for ``failed``; NaN where all or none failed."""
    from scipy.stats import rankdata

    positives = int(failed.sum())
    negatives = failed.size - positives
    if not positives or not negatives:
        return float("nan")
    ranks = rankdata(1.0 - confidence)
    return float((ranks[failed].sum() - positives * (positives + 1) / 2.0) / (positives * negatives))
