"""The confidence of a landmark model, fitted on images that its networks never saw.

torch is needed, so import this module inside functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from CMRLandmarksLib.confidence import FAILURE_MM, FEATURES, ConfidenceModel, fit_confidence
from CMRLandmarksLib.grid import standard_image
from CMRLandmarksLib.model import TASK, LandmarkModel
from CMRLandmarksLib.networks import LINE_PX, HeatmapNetwork
from CMRLandmarksLib.prediction import predict_on_grid
from CMRLandmarksLib.research.corruption import corrupted_copies
from CMRLandmarksLib.research.dataset import LabelledSlice, bank_of
from CMRLib.networks.models import ModelEntry
from CMRLib.networks.normalise import rescaled


@dataclass(frozen=True)
class Observations:
    """What networks said of images whose landmarks are known.

    Attributes:
        features: float64 (image, landmark, feature).
        error_mm: float64 (image, landmark), NaN where the truth is unknown, infinite where there is nothing to find.
        usual: contrast of each real, undamaged image; "" of the others.
        subjects: whom each image shows.
    """

    features: np.ndarray
    error_mm: np.ndarray
    usual: tuple[str, ...]
    subjects: tuple[str, ...]

    def of(self, chosen: np.ndarray) -> Observations:
        """The images that ``chosen``, bool (image,), names."""
        usual, subjects = (tuple(np.array(names)[chosen].tolist()) for names in (self.usual, self.subjects))
        return Observations(self.features[chosen], self.error_mm[chosen], usual, subjects)

    @classmethod
    def joined(cls, parts: Sequence[Observations]) -> Observations:
        """The images of several."""
        return cls(
            np.concatenate([part.features for part in parts]),
            np.concatenate([part.error_mm for part in parts]),
            tuple(name for part in parts for name in part.usual),
            tuple(name for part in parts for name in part.subjects),
        )


def uncalibrated(stage1: HeatmapNetwork, stage2: HeatmapNetwork, crop_size: int, passes: int) -> LandmarkModel:
    """A model of two networks whose confidence says nothing yet."""
    count = len(FEATURES)
    nothing = ConfidenceModel(np.zeros(count), np.ones(count), np.zeros((3, count + 1)), 0.5)
    entry = ModelEntry("calibration", TASK, "", "", "", 0, {}, (), "", "")
    return LandmarkModel(stage1, stage2, nothing, crop_size, LINE_PX, passes, torch.device("cpu"), entry)


def observed(slices: Sequence[LabelledSlice], model: LandmarkModel, simulated: frozenset[str]) -> Observations:
    """Every slice as it is, with its stack, and every second one damaged, alone.

    Args:
        slices: with right geometries, stack by stack.
        model: whose networks look.
        simulated: contrasts that are not real.
    """
    stacks: dict[str, list[LabelledSlice]] = {}
    for item in slices:
        stacks.setdefault(item.stack, []).append(item)
    features, errors, usual, subjects = [], [], [], []
    for members in stacks.values():
        standard = [standard_image(item.image, item.geometry) for item in members]
        raw = predict_on_grid(np.stack([rescaled(image) for image, _ in standard]), model)
        truth = np.stack([place.to_target(item.points) for item, (_, place) in zip(members, standard, strict=True)])
        features.append(raw.features)
        errors.append(np.linalg.norm(raw.points - truth, axis=2))
        subjects += [item.subject for item in members]
        usual += ["" if item.contrast in simulated else item.contrast for item in members]
    bank = bank_of(slices[::2])
    images, points = corrupted_copies(bank, seed=1)
    for image, truth in zip(images, points, strict=True):
        raw = predict_on_grid(image[None], model)
        features.append(raw.features)
        errors.append(np.linalg.norm(raw.points - truth, axis=2))
    usual += [""] * len(images)
    subjects += bank.subjects
    return Observations(np.concatenate(features), np.concatenate(errors), tuple(usual), tuple(subjects))


def calibrated(observations: Observations) -> ConfidenceModel:
    """The confidence that fits what was observed; real images of every contrast count alike together."""
    usual = np.array(observations.usual)
    weight = np.ones(len(usual))
    real = sorted(set(usual) - {""})
    for name in real:
        weight[usual == name] = np.sum(usual != "") / (len(real) * np.sum(usual == name))
    return fit_confidence(observations.features, observations.error_mm, usual, weight)


def cross_checked(observations: Observations, folds: int = 5) -> dict[str, dict[str, float]]:
    """What the flags of confidences do that are fitted without the subjects they are used on.

    Returns:
        For each contrast of the usual images that show a centre and an anterior insertion: how many ``images`` there
        are and how many of them ``failures`` (one of both beyond `CMRLandmarksLib.confidence.FAILURE_MM`), and the
        shares ``failures_flagged`` and ``right_flagged``.
    """
    subjects, usual = np.array(observations.subjects), np.array(observations.usual)
    names = sorted(set(subjects[usual != ""]))
    flagged = np.zeros(len(usual), dtype=bool)
    for fold in range(folds):
        left_out = np.isin(subjects, names[fold::folds])
        if left_out.any() and not left_out.all():
            model = calibrated(observations.of(~left_out))
            sure = model.confidence(observations.features[left_out])[:, :2].min(axis=1)
            flagged[left_out] = sure < model.threshold
    failed = (observations.error_mm[:, :2] >= FAILURE_MM).any(axis=1)
    known = ~np.isnan(observations.error_mm[:, :2]).any(axis=1)
    result = {}
    for name in sorted(set(usual) - {""}):
        chosen = known & (usual == name)
        if chosen.any():
            counts = {"images": int(chosen.sum()), "failures": int((chosen & failed).sum())}
            groups = {"failures_flagged": chosen & failed, "right_flagged": chosen & ~failed}
            shares = {key: round(float(flagged[group].mean()), 4) for key, group in groups.items() if group.any()}
            result[name] = {**counts, **shares}
    return result
