"""Errors of predicted landmarks, and the tables that report them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from CMRLandmarksLib.confidence import FAILURE_MM, area_under_curve
from CMRLandmarksLib.grid import standard_image
from CMRLandmarksLib.prediction import LandmarkModel, LandmarkPrediction, predict_landmarks, predict_on_grid
from CMRLandmarksLib.research.corruption import CORRUPTIONS, corrupted_copies
from CMRLandmarksLib.research.dataset import LabelledSlice, bank_of
from CMRLib.anatomy.aha import label_slice
from CMRLib.anatomy.axis import LEVELS
from CMRLib.anatomy.entry_line import angle_between
from CMRLib.anatomy.landmarks import LANDMARK_NAMES, SliceLandmarks
from CMRLib.geometry import Geometry
from CMRLib.networks.normalise import rescaled
from CMRLib.simulation.anatomy import ParametricAnatomy
from CMRLib.simulation.contrasts import render_contrast, tissue_labels

MYOCARDIUM = 2
CORRUPTION_SEED = 7
TIMED_RUNS = 15


@dataclass(frozen=True)
class LandmarkErrors:
    """Errors of many slices.

    Attributes:
        distance: (image, landmark), in pixels or mm as asked for; NaN where the truth is unknown.
        angle_deg: (image,), of the entry line; NaN where the truth is unknown.
        confidence: (image, landmark).
        flagged: (image,).
        contrasts, subjects: of each image.
    """

    distance: np.ndarray
    angle_deg: np.ndarray
    confidence: np.ndarray
    flagged: np.ndarray
    contrasts: tuple[str, ...]
    subjects: tuple[str, ...]

    def of_contrast(self, contrast: str) -> LandmarkErrors:
        """The errors of one contrast."""
        keep = [i for i, name in enumerate(self.contrasts) if name == contrast]
        return LandmarkErrors(
            self.distance[keep],
            self.angle_deg[keep],
            self.confidence[keep],
            self.flagged[keep],
            (contrast,) * len(keep),
            tuple(self.subjects[i] for i in keep),
        )

    def pooled(self) -> np.ndarray:
        """Distances of LV centres and anterior insertions together, those that are known."""
        values = self.distance[:, :2].ravel()
        return values[np.isfinite(values)]


@dataclass(frozen=True)
class ErrorSummary:
    """What a table row says; quartiles are (25 %, median, 75 %).

    Attributes:
        images: how many.
        pooled, center, anterior, inferior: distances; pooled is centre and anterior together.
        angle_deg: of the entry line.
        within_10: share of the pooled points within 10 pixels or mm.
        flagged: share of the images that are flagged.
        within_10_unflagged: as within_10, of the images that are not.
        failures: images with a centre or an anterior insertion beyond 10 pixels or mm.
        failures_flagged, right_flagged: share of them that are flagged, and of the other images with both known.
    """

    images: int
    pooled: tuple[float, float, float]
    center: tuple[float, float, float]
    anterior: tuple[float, float, float]
    inferior: tuple[float, float, float]
    angle_deg: tuple[float, float, float]
    within_10: float
    flagged: float
    within_10_unflagged: float
    failures: int
    failures_flagged: float
    right_flagged: float


def _quartiles(values: np.ndarray) -> tuple[float, float, float]:
    values = values[np.isfinite(values)]
    if not values.size:
        return (float("nan"),) * 3
    low, middle, high = np.percentile(values, [25.0, 50.0, 75.0])
    return float(low), float(middle), float(high)


def _share(flags: np.ndarray) -> float:
    return float(np.mean(flags)) if flags.size else float("nan")


def summarise(errors: LandmarkErrors) -> ErrorSummary:
    """Medians and quartiles of many slices."""
    pooled = errors.pooled()
    trusted = errors.distance[~errors.flagged, :2]
    trusted = trusted[np.isfinite(trusted)]
    failed = (np.nan_to_num(errors.distance[:, :2]) > 10.0).any(axis=1)
    # Where no image shows an insertion, the centre alone tells.
    known = np.isfinite(errors.distance[:, :2])
    right = ~failed & (known.all(axis=1) if known[:, 1].any() else known[:, 0])
    return ErrorSummary(
        images=len(errors.distance),
        pooled=_quartiles(pooled),
        center=_quartiles(errors.distance[:, 0]),
        anterior=_quartiles(errors.distance[:, 1]),
        inferior=_quartiles(errors.distance[:, 2]),
        angle_deg=_quartiles(errors.angle_deg),
        within_10=float(np.mean(pooled <= 10.0)),
        flagged=float(np.mean(errors.flagged)),
        within_10_unflagged=_share(trusted <= 10.0),
        failures=int(failed.sum()),
        failures_flagged=_share(errors.flagged[failed]),
        right_flagged=_share(errors.flagged[right]),
    )


@dataclass(frozen=True)
class Located:
    """Predicted and true landmarks of many slices.

    Attributes:
        found, truth: (image, landmark, 2), (row, column) in source pixels; NaN where unknown.
        spacing: (image, 2), mm a row and a column.
        confidence: (image, landmark).
        flagged: bool (image,).
        contrasts, subjects: of each image.
    """

    found: np.ndarray
    truth: np.ndarray
    spacing: np.ndarray
    confidence: np.ndarray
    flagged: np.ndarray
    contrasts: tuple[str, ...]
    subjects: tuple[str, ...]

    def errors(self, unit: str = "mm") -> LandmarkErrors:
        """The errors in "mm", or in "px", source pixels."""
        scale = self.spacing[:, None] if unit == "mm" else 1.0
        ours, theirs = self.found * scale, self.truth * scale
        return LandmarkErrors(
            distance=np.linalg.norm(ours - theirs, axis=2),
            angle_deg=angle_between(ours[:, 0], ours[:, 1], theirs[:, 0], theirs[:, 1]),
            confidence=self.confidence,
            flagged=self.flagged,
            contrasts=self.contrasts,
            subjects=self.subjects,
        )


def located(
    slices: Iterable[LabelledSlice], model: LandmarkModel, *, stage1_only: bool = False, stored: bool = False
) -> Located:
    """Predict labelled slices, each stack in one call as an analyst would.

    Args:
        slices: in the order of their stacks.
        model: to test.
        stage1_only: take the points of the first stage; nothing is flagged then.
        stored: predict with the placeholder of a file whose header tells neither spacing nor orientation; the spacing
            of the result is the slices' own all the same.
    """
    stacks: dict[str, list[LabelledSlice]] = {}
    for item in slices:
        stacks.setdefault(item.stack, []).append(item)
    ordered = [item for members in stacks.values() for item in members]
    found, confidence, flagged = [], [], []
    for members in stacks.values():
        if stage1_only:
            found += _stage1_points(members, model)
            confidence += [[np.nan] * len(LANDMARK_NAMES)] * len(members)
            flagged += [False] * len(members)
            continue
        geometry = Geometry() if stored else members[0].geometry
        results = predict_landmarks(np.stack([m.image for m in members]), geometry, model=model)
        found += [points_of(result) for result in results]
        confidence += [[result.confidence[name] for name in LANDMARK_NAMES] for result in results]
        flagged += [result.flagged for result in results]
    return Located(
        found=np.stack(found),
        truth=np.stack([item.points for item in ordered]),
        spacing=np.array([item.geometry.spacing[1::-1] for item in ordered]),
        confidence=np.array(confidence, dtype=float),
        flagged=np.array(flagged, dtype=bool),
        contrasts=tuple(item.contrast for item in ordered),
        subjects=tuple(item.subject for item in ordered),
    )


def errors_of(slices: Iterable[LabelledSlice], model: LandmarkModel, *, stage1_only: bool = False) -> LandmarkErrors:
    """The errors in mm of what a model says of labelled slices; see `located`."""
    return located(slices, model, stage1_only=stage1_only).errors()


def points_of(result: LandmarkPrediction) -> np.ndarray:
    """The landmarks of a result as (landmark, 2), (row, column) in source pixels; NaN in a blank slice."""
    return np.array([getattr(result, name) or (np.nan, np.nan) for name in LANDMARK_NAMES], dtype=float)


def _stage1_points(members: Sequence[LabelledSlice], model: LandmarkModel) -> list[np.ndarray]:
    standard = [standard_image(m.image, m.geometry) for m in members]
    raw = predict_on_grid(np.stack([rescaled(image) for image, _ in standard]), model)
    return [placement.to_source(p) for p, (_, placement) in zip(raw.stage1_points, standard, strict=True)]


def generalisation_error_rate(errors: LandmarkErrors) -> tuple[float, float, float]:
    """Quartiles over the contrasts of their median distance over the pooled median (thesis, 5.2.6)."""
    overall = float(np.median(errors.pooled()))
    names = sorted(set(errors.contrasts))
    return _quartiles(np.array([np.median(errors.of_contrast(name).pooled()) / overall for name in names]))


def specialist_error_rate(errors: LandmarkErrors, own: Sequence[str]) -> tuple[float, float, float]:
    """Quartiles over the other contrasts of their median distance over that on its own (thesis, 5.2.5)."""
    inside = np.concatenate([errors.of_contrast(name).pooled() for name in own])
    others = [name for name in sorted(set(errors.contrasts)) if name not in own]
    return _quartiles(np.array([np.median(errors.of_contrast(name).pooled()) / np.median(inside) for name in others]))


def failure_detection(slices: Sequence[LabelledSlice], model: LandmarkModel) -> dict[str, float]:
    """How well the confidence tells errors above 10 mm on corrupted copies of images.

    Returns:
        ``auc`` over centres and anterior insertions; ``failures`` and ``points``, how many; ``flagged``, the share of
        the images with a failure that are flagged, and ``false_flags``, that of the others; ``auc <kind>`` of each
        corruption.
    """
    bank = bank_of(slices)
    images, truth = corrupted_copies(bank, CORRUPTION_SEED)
    confidence, errors, flags = [], [], []
    for image, points in zip(images, truth, strict=True):
        raw = predict_on_grid(image[None], model)
        sure = model.confidence.confidence(raw.features)[0, :2]
        confidence.append(sure)
        errors.append(np.linalg.norm(raw.points[0, :2] - points[:2], axis=1))
        flags.append(bool(sure.min() < model.confidence.threshold or raw.heart[0] < 0.5))
    sure, error = np.stack(confidence), np.stack(errors)
    known = ~np.isnan(error)
    failed = error > FAILURE_MM
    wrong = (failed & known).any(axis=1)
    result = {
        "auc": area_under_curve(sure[known], failed[known]),
        "failures": float(failed[known].sum()),
        "points": float(known.sum()),
        "flagged": float(np.mean(np.array(flags)[wrong])) if wrong.any() else float("nan"),
        "false_flags": float(np.mean(np.array(flags)[~wrong])),
    }
    for i, kind in enumerate(CORRUPTIONS):
        chosen = known & (np.arange(len(images)) % len(CORRUPTIONS) == i)[:, None]
        result[f"auc {kind}"] = area_under_curve(sure[chosen], failed[chosen])
    return result


def segment_t1_errors(seeds: Iterable[int], model: LandmarkModel) -> np.ndarray:
    """How far each AHA segment's mean T1 moves because of the landmarks' errors.

    The map and the myocardium are the simulator's; only the landmarks are predicted, so that nothing else counts. Four
    maps in ten have a scar.

    Returns:
        float64 (segments of all slices,), absolute differences in ms.
    """
    differences = []
    for seed in seeds:
        rng = np.random.default_rng([seed, 6])
        level, spacing = LEVELS[seed % len(LEVELS)], 1.0
        anatomy = ParametricAnatomy.random(seed)
        body = anatomy.slice(level, anatomy.field_of_view(spacing), spacing)
        t1 = render_contrast(body, "t1_rest", spacing, rng)
        myocardium = tissue_labels(body) == MYOCARDIUM
        geometry = Geometry(spacing=(spacing, spacing, 8.0))
        (result,) = predict_landmarks(t1[None], geometry, model=model)
        marks = body.landmarks
        if marks is None or marks.rv_insertion is None or result.lv_center is None or result.rv_insertion is None:
            continue
        means = []
        for center, anterior in (
            (marks.lv_center, marks.rv_insertion),
            (result.lv_center, result.rv_insertion),
        ):
            labels = label_slice(myocardium, SliceLandmarks(center, anterior), level)
            means.append({n: float(t1[labels == n].mean()) for n in np.unique(labels[labels > 0]).tolist()})
        differences += [abs(means[1][n] - value) for n, value in means[0].items() if n in means[1]]
    return np.array(differences)


def milliseconds_per_image(image: np.ndarray, geometry: Geometry, model: LandmarkModel) -> dict[str, float]:
    """Best of several timings, ms an image: slices one by one, and the stack (slice, row, column) in batches."""

    def best(work: Callable[[], object]) -> float:
        work()
        times = []
        for _ in range(TIMED_RUNS):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        return 1000.0 * min(times) / len(image)

    return {
        "one by one": best(lambda: [predict_landmarks(plane[None], geometry, model=model) for plane in image]),
        "stack": best(lambda: predict_landmarks(image, geometry, model=model, batch=8)),
    }
