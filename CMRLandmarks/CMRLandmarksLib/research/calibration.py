"""The confidence of a landmark model, fitted on images that its networks never saw.

torch is needed, so import this module inside functions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from CMRLandmarksLib.confidence import FAILURE_MM, FEATURES, ConfidenceModel, fit_confidence, threshold_of
from CMRLandmarksLib.grid import standard_image
from CMRLandmarksLib.model import TASK, LandmarkModel
from CMRLandmarksLib.networks import LINE_PX, HeatmapNetwork
from CMRLandmarksLib.prediction import predict_on_grid
from CMRLandmarksLib.research.corruption import corrupted_copies
from CMRLandmarksLib.research.dataset import LabelledSlice, bank_of
from CMRLandmarksLib.research.restyled import restyled
from CMRLib.networks.models import ModelEntry
from CMRLib.networks.normalise import rescaled

# What usual and damaged images count, against restyled ones.
USUAL_WEIGHT, DAMAGED_WEIGHT = 2.0, 0.3
FOLDS = 5


@dataclass(frozen=True)
class Observations:
    """What networks said of images whose landmarks are known.

    Attributes:
        features: float64 (image, landmark, feature).
        error_mm: float64 (image, landmark), NaN where the truth is unknown, infinite where there is nothing to find.
        usual: contrast of each real, undamaged image; "" of the others.
        subjects: whom each image shows.
        damaged: whether each image was damaged.
    """

    features: np.ndarray
    error_mm: np.ndarray
    usual: tuple[str, ...]
    subjects: tuple[str, ...]
    damaged: tuple[bool, ...]

    def of(self, chosen: np.ndarray) -> Observations:
        """The images that ``chosen``, bool (image,), names."""
        usual, subjects, damaged = (
            tuple(np.array(values)[chosen].tolist()) for values in (self.usual, self.subjects, self.damaged)
        )
        return Observations(self.features[chosen], self.error_mm[chosen], usual, subjects, damaged)

    @classmethod
    def joined(cls, parts: Sequence[Observations]) -> Observations:
        """The images of several."""
        return cls(
            np.concatenate([part.features for part in parts]),
            np.concatenate([part.error_mm for part in parts]),
            tuple(name for part in parts for name in part.usual),
            tuple(name for part in parts for name in part.subjects),
            tuple(damaged for part in parts for damaged in part.damaged),
        )


def uncalibrated(stage1: HeatmapNetwork, stage2: HeatmapNetwork, crop_size: int, passes: int) -> LandmarkModel:
    """A model of two networks whose confidence says nothing yet."""
    count = len(FEATURES)
    nothing = ConfidenceModel(np.zeros(count), np.ones(count), np.zeros((3, count + 1)), 0.5)
    entry = ModelEntry("calibration", TASK, "", "", "", 0, {}, (), "", "")
    return LandmarkModel(stage1, stage2, nothing, crop_size, LINE_PX, passes, torch.device("cpu"), entry)


def observed(slices: Sequence[LabelledSlice], model: LandmarkModel, simulated: frozenset[str]) -> Observations:
    """Every stack as it is and in another look, and every second slice damaged, alone.

    Args:
        slices: with right geometries, stack by stack.
        model: whose networks look.
        simulated: contrasts that are not real.
    """
    stacks: dict[str, list[LabelledSlice]] = {}
    for item in slices:
        stacks.setdefault(item.stack, []).append(item)
    parts = []
    for number, members in enumerate(stacks.values()):
        standard = [standard_image(item.image, item.geometry) for item in members]
        truth = np.stack([place.to_target(item.points) for item, (_, place) in zip(members, standard, strict=True)])
        subjects = tuple(item.subject for item in members)
        usual = tuple("" if item.contrast in simulated else item.contrast for item in members)
        parts.append(_seen(np.stack([rescaled(image) for image, _ in standard]), truth, model, usual, subjects))
        parts.append(_seen(*restyled(bank_of(members), seed=number), model, ("",) * len(members), subjects))
    bank = bank_of(slices[::2])
    for image, truth, subject in zip(*corrupted_copies(bank, seed=1), bank.subjects, strict=True):
        parts.append(_seen(image[None], truth[None], model, ("",), (subject,), damaged=True))
    return Observations.joined(parts)


def _seen(
    images: np.ndarray,
    truth: np.ndarray,
    model: LandmarkModel,
    usual: tuple[str, ...],
    subjects: tuple[str, ...],
    damaged: bool = False,
) -> Observations:
    """What a model says of one stack of images on the standard grid."""
    raw = predict_on_grid(images, model)
    error = np.linalg.norm(raw.points - truth, axis=2)
    return Observations(raw.features, error, usual, subjects, (damaged,) * len(images))


def calibrated(observations: Observations) -> ConfidenceModel:
    """The confidence that fits what was observed.

    Real images of every contrast count alike together, and most; damaged images teach only what is common to failures.
    The threshold is that of confidences fitted without the subjects they judge: it has to hold for subjects that nobody
    has seen.
    """
    model = _fitted(observations)
    judged = _left_out(observations, lambda others, own: _fitted(others).confidence(own.features))
    threshold = threshold_of(judged, observations.error_mm, np.array(observations.usual))
    return replace(model, threshold=threshold)


def _fitted(observations: Observations) -> ConfidenceModel:
    usual = np.array(observations.usual)
    weight = np.where(np.array(observations.damaged), DAMAGED_WEIGHT, 1.0)
    real = sorted(set(usual) - {""})
    for name in real:
        weight[usual == name] = USUAL_WEIGHT * np.sum(usual != "") / (len(real) * np.sum(usual == name))
    return fit_confidence(observations.features, observations.error_mm, weight)


def _left_out(observations: Observations, judge: Callable[[Observations, Observations], np.ndarray]) -> np.ndarray:
    """What ``judge`` says of the images of some subjects after it has seen the others', for all subjects in turn."""
    subjects = np.array(observations.subjects)
    names = sorted(set(subjects))
    folds = [np.isin(subjects, names[first::FOLDS]) for first in range(min(FOLDS, len(names)))]
    if len(folds) < 2:
        return judge(observations, observations)
    said = np.concatenate([judge(observations.of(~fold), observations.of(fold)) for fold in folds])
    order = np.concatenate([np.flatnonzero(fold) for fold in folds])
    return said[np.argsort(order)]


def _flagged(others: Observations, own: Observations) -> np.ndarray:
    model = calibrated(others)
    return model.confidence(own.features)[:, :2].min(axis=1) < model.threshold


def cross_checked(observations: Observations) -> dict[str, dict[str, float]]:
    """What the flags of confidences do that are calibrated without the subjects they are used on.

    Returns:
        For each contrast of the usual images that show a centre and an anterior insertion: how many ``images`` there
        are and how many of them ``failures`` (one of both beyond `CMRLandmarksLib.confidence.FAILURE_MM`), and the
        shares ``failures_flagged`` and ``right_flagged``.
    """
    usual = np.array(observations.usual)
    if not (usual != "").any():
        return {}
    flagged = _left_out(observations, _flagged)
    failed = (observations.error_mm[:, :2] >= FAILURE_MM).any(axis=1)
    known = ~np.isnan(observations.error_mm[:, :2]).any(axis=1)
    result = {}
    for name in sorted(set(usual) - {""}):
        chosen = known & (usual == name)
        if chosen.any():
            counts = {"images": int(chosen.sum()), "failures": int((chosen & failed).sum())}
            groups = {"failures_flagged": chosen & failed, "right_flagged": chosen & ~failed}
            shares = {key: round(float(flagged[group].mean()), 4) for key, group in groups.items() if group.any()}
            result[str(name)] = {**counts, **shares}
    return result
