"""Landmarks of every slice of a short-axis image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from CMRLandmarksLib.confidence import features_of, implausibility
from CMRLandmarksLib.grid import Placement, entry_line_placement, is_short_axis, standard_image
from CMRLandmarksLib.looks import Progress, first_looks, look
from CMRLandmarksLib.model import DEFAULT_MODEL, TASK, LandmarkModel, load_landmark_model
from CMRLandmarksLib.orientation import is_mirrored, turn_placement, unusual, upright_turn
from CMRLandmarksLib.stack import reconciled
from CMRLib.errors import InputError
from CMRLib.geometry import Geometry
from CMRLib.networks.normalise import rescaled

__all__ = [
    "BLANK",
    "NO_HEART",
    "UNSURE",
    "DEFAULT_MODEL",
    "TASK",
    "LandmarkModel",
    "LandmarkPrediction",
    "RawPrediction",
    "load_landmark_model",
    "predict_landmarks",
    "predict_on_grid",
]

NO_HEART = "no heart was found"
BLANK = "the slice is blank"
UNSURE = "the landmarks are uncertain"

# Share of a stack's slices whose landmarks are sure, and how unusual they may be on average (see
# `CMRLandmarksLib.orientation.unusual`: 1 is a turn of 45 degrees, or a mirror image), for its orientation not to be
# doubted.
SURE_ENOUGH, USUAL_ENOUGH = 0.8, 0.8

Point = tuple[float, float]


@dataclass(frozen=True)
class LandmarkPrediction:
    """Landmarks of one slice.

    Attributes:
        slice: its number, from 0.
        lv_center, rv_insertion, inferior_rv_insertion: (row, column) in source pixels, pixel centres at whole
            numbers; None in a blank slice.
        confidence: for each name in `CMRLib.anatomy.landmarks.LANDMARKS`, the probability that its error is below
            10 mm.
        heart: probability that there is a heart in the image.
        flagged: whether someone should look at it.
        reason: why, or "".
    """

    slice: int
    lv_center: Point | None
    rv_insertion: Point | None
    inferior_rv_insertion: Point | None
    confidence: dict[str, float]
    heart: float
    flagged: bool
    reason: str


@dataclass(frozen=True)
class RawPrediction:
    """What the networks say of a batch on the standard grid.

    Attributes:
        points: float64 (image, landmark, 2), (row, column) in grid pixels, that is mm.
        stage1_points: the same after stage 1 alone.
        features: float64 (image, landmark, feature), see `CMRLandmarksLib.confidence.FEATURES`.
        heart: float64 (image,), probability of a heart.
    """

    points: np.ndarray
    stage1_points: np.ndarray
    features: np.ndarray
    heart: np.ndarray


def predict_landmarks(
    image: np.ndarray,
    geometry: Geometry,
    *,
    model: LandmarkModel | str | Path = DEFAULT_MODEL,
    device: str = "auto",
    batch: int = 8,
    progress: Callable[[float], None] | None = None,
) -> list[LandmarkPrediction]:
    """Find the LV centre and both RV insertion points in every slice of a short-axis image of any contrast.

    Args:
        image: (slice, row, column).
        geometry: of the image; its pixel spacing matters, and its orientation where it is that of a short-axis plane.
        model: a loaded model, an id or a file.
        device: for a model that is not loaded yet, as in `CMRLib.networks.devices`.
        batch: slices at a time.
        progress: called with the fraction done between batches; it may raise `CMRLib.errors.Cancelled`.

    Returns:
        One result a slice, in order.

    Raises:
        InputError: the image has other axes or no pixels.
        MissingDependencyError, DeviceError: see `CMRLandmarksLib.model.load_landmark_model`.
    """
    image = np.asarray(image)
    if image.ndim != 3 or 0 in image.shape:
        raise InputError("Landmarks need an image of one or more slices (slice, row, column) with pixels in them.")
    if batch < 1:
        raise InputError("The number of slices at a time must be 1 or more.")
    if not isinstance(model, LandmarkModel):
        model = load_landmark_model(model, device)
    grids, placements = [], []
    for plane in image:
        standard, placement = standard_image(plane, geometry)
        grids.append(rescaled(standard))
        placements.append(placement)
    shown = [i for i, grid in enumerate(grids) if grid.any()]
    results = {i: _blank(i) for i in range(len(image)) if i not in shown}
    if shown:
        raw = _predicted_upright(np.stack([grids[i] for i in shown]), geometry, model, batch, progress)
        confidence = model.confidence.confidence(raw.features)
        for n, i in enumerate(shown):
            results[i] = _result(
                i, raw.points[n], confidence[n], float(raw.heart[n]), placements[i], model.confidence.threshold
            )
    if progress is not None:
        progress(1.0)
    return [results[i] for i in range(len(image))]


def _predicted_upright(
    grids: np.ndarray,
    geometry: Geometry,
    model: LandmarkModel,
    batch: int,
    progress: Callable[[float], None] | None,
) -> RawPrediction:
    """As `predict_on_grid`, but a stack whose header does not tell its plane is turned upright first if it is doubtful
    or seems to lie otherwise.
    """
    told = is_short_axis(geometry)
    raw = predict_on_grid(grids, model, batch, progress if told else _half(progress, 0.0))
    sure = model.confidence.confidence(raw.features)[:, :2].min(axis=1) >= model.confidence.threshold
    if told or (sure.mean() >= SURE_ENOUGH and unusual(raw.points) <= USUAL_ENOUGH):
        return raw
    axes = upright_turn(grids, model, batch)
    if np.array_equal(axes, np.eye(2)):
        return raw
    turn = turn_placement(axes, grids.shape[-1])
    upright = np.stack([turn.sample(grid, order=0) for grid in grids])
    turned = predict_on_grid(upright, model, batch, _half(progress, 0.5))
    return replace(turned, points=turn.to_source(turned.points), stage1_points=turn.to_source(turned.stage1_points))


def _half(progress: Progress | None, done: float) -> Progress | None:
    """Progress of half of the work, of which ``done`` is behind it."""
    return None if progress is None else lambda part: progress(done + 0.5 * part)


def _blank(number: int) -> LandmarkPrediction:
    nothing = dict.fromkeys(("lv_center", "rv_insertion", "inferior_rv_insertion"), 0.0)
    return LandmarkPrediction(number, None, None, None, nothing, 0.0, True, BLANK)


def _result(
    number: int, points: np.ndarray, confidence: np.ndarray, heart: float, placement: Placement, threshold: float
) -> LandmarkPrediction:
    center, anterior, inferior = ((float(r), float(c)) for r, c in placement.to_source(points))
    unsure = bool(confidence[:2].min() < threshold)
    reason = NO_HEART if heart < 0.5 else UNSURE if unsure else ""
    named = {
        "lv_center": float(confidence[0]),
        "rv_insertion": float(confidence[1]),
        "inferior_rv_insertion": float(confidence[2]),
    }
    return LandmarkPrediction(number, center, anterior, inferior, named, heart, bool(reason), reason)


def predict_on_grid(
    grids: np.ndarray, model: LandmarkModel, batch: int = 8, progress: Callable[[float], None] | None = None
) -> RawPrediction:
    """Apply both stages to images on the standard grid.

    Slices of one call belong together: whether they are mirrored, which decides how stage 2 sees them, is decided once.

    Args:
        grids: float32 (image, row, column) after `CMRLib.networks.normalise.rescaled`.
        model: see `CMRLandmarksLib.model.load_landmark_model`.
        batch, progress: see `predict_landmarks`.
    """
    steps = 2 + model.passes

    def done(step: int) -> Callable[[float], None] | None:
        return None if progress is None else lambda part: progress((step + part) / steps)

    look1, look2 = first_looks(grids, model, batch, done)
    first = look2.points
    mirrored = bool(is_mirrored(first).mean() > 0.5)
    points, last_move = first, np.zeros(first.shape[:2])
    refined = look2
    for turn in range(model.passes):
        crops = [
            entry_line_placement(center, anterior, mirrored, model.crop_size, model.line_px)
            for center, anterior in points[:, :2]
        ]
        refined = look(model.stage2, grids, crops, model, batch, done(2 + turn))
        last_move = np.linalg.norm(refined.points - points, axis=2) if turn else last_move
        points = 0.5 * (points + refined.points) if turn else refined.points
    tissue_points = refined.tissue_points()
    # The cavity's cells give its centre as well as the heat map does, and the mean of both is better than either.
    cavity = tissue_points[:, :1]
    points = np.concatenate(
        [np.where(np.isnan(cavity), points[:, :1], 0.5 * (points[:, :1] + cavity)), points[:, 1:]], 1
    )
    width = refined.angular_width(points)
    stack = reconciled(points, [first, tissue_points, look2.tissue_points()], width)
    points = stack.points
    features = features_of(
        doubts=np.concatenate([look1.doubts, look2.doubts, refined.doubts], axis=2),
        moves=np.stack([_distance(points, look1.points), _distance(points, first), last_move], axis=2),
        contradiction=_distance(points, tissue_points),
        heart=look1.heart,
        turns=np.stack([width, stack.disagreement, stack.off_line], axis=2),
        shape=implausibility(points, refined.radius()),
    )
    return RawPrediction(points, first, features, 1.0 / (1.0 + np.exp(-look1.heart)))


def _distance(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points - others, axis=2)
