"""Landmarks of every slice of a short-axis image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from CMRLandmarksLib.confidence import ConfidenceModel, features_of
from CMRLandmarksLib.grid import Placement, entry_line_placement, rescaled, standard_image, zoom_placement
from CMRLib.anatomy.insertions import landmarks_of_labels
from CMRLib.errors import InputError
from CMRLib.geometry import Geometry
from CMRLib.networks.devices import resolve_device
from CMRLib.networks.models import ModelEntry, load_weights

if TYPE_CHECKING:
    import torch

    from CMRLandmarksLib.networks import HeatmapNetwork

TASK = "landmarks"
DEFAULT_MODEL = "landmarks-generalist"
NO_HEART = "no heart was found"
BLANK = "the slice is blank"
UNSURE = "the landmarks are uncertain"

Point = tuple[float, float]


@dataclass(frozen=True)
class LandmarkPrediction:
    """Landmarks of one slice.

    Attributes:
        slice: its number, from 0.
        lv_center, rv_insertion, inferior_rv_insertion: (row, column) in source pixels, pixel centres at whole
            numbers; None in a blank slice.
        confidence: for each name in `CMRLandmarksLib.LANDMARKS`, the probability that its error is below 10 mm.
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
class LandmarkModel:
    """Both networks, ready on a device; see `load_landmark_model`.

    Attributes:
        stage1, stage2: networks in evaluation mode.
        confidence: calibration of the confidence.
        crop_size, line_px, passes: of stage 2: pixels of the crop and of the entry line in it, and how often it runs.
        device: where they are.
        entry: what the weights are.
    """

    stage1: HeatmapNetwork
    stage2: HeatmapNetwork
    confidence: ConfidenceModel
    crop_size: int
    line_px: float
    passes: int
    device: torch.device
    entry: ModelEntry


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


def load_landmark_model(model: str | Path = DEFAULT_MODEL, device: str = "auto") -> LandmarkModel:
    """Load a model by its id in the manifest or by the path of its weights file.

    Raises:
        MissingDependencyError: torch, safetensors or the weights are missing, or the weights are damaged.
        DeviceError: the device is not available.
        InputError: there is no such model.
    """
    chosen = resolve_device(device)
    weights = load_weights(model, TASK)
    from CMRLandmarksLib.networks import STAGE1, STAGE2, HeatmapNetwork
    from CMRLib.networks.inference import with_weights

    networks = [
        with_weights(HeatmapNetwork(shape), weights.part(name), weights.entry, chosen)
        for name, shape in (("stage1", STAGE1), ("stage2", STAGE2))
    ]
    contract = weights.entry.input
    return LandmarkModel(
        stage1=networks[0],
        stage2=networks[1],
        confidence=ConfidenceModel.from_dict(contract.get("confidence", {})),
        crop_size=int(contract["crop_size"]),
        line_px=float(contract["line_px"]),
        passes=int(contract["passes"]),
        device=chosen,
        entry=weights.entry,
    )


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
        MissingDependencyError, DeviceError: see `load_landmark_model`.
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
        raw = predict_on_grid(np.stack([grids[i] for i in shown]), model, batch, progress)
        confidence = model.confidence.confidence(raw.features)
        for n, i in enumerate(shown):
            results[i] = _result(
                i, raw.points[n], confidence[n], float(raw.heart[n]), placements[i], model.confidence.threshold
            )
    if progress is not None:
        progress(1.0)
    return [results[i] for i in range(len(image))]


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
        grids: float32 (image, row, column) after `CMRLandmarksLib.grid.rescaled`.
        model: see `load_landmark_model`.
        batch, progress: see `predict_landmarks`.
    """
    from CMRLandmarksLib.networks import STAGE1_FACTOR, STAGE1_SIZE, ZOOM_LINE_PX, ZOOM_SIZE

    steps = 2 + model.passes

    def done(step: int) -> Callable[[float], None] | None:
        return None if progress is None else lambda part: progress((step + part) / steps)

    half = (STAGE1_FACTOR - 1) / 2.0
    whole = Placement(np.eye(2) * STAGE1_FACTOR, np.full(2, half), STAGE1_SIZE)
    look1 = _look(model.stage1, grids, [whole] * len(grids), model, batch, done(0))
    zooms = [zoom_placement(points, ZOOM_SIZE, ZOOM_LINE_PX) for points in look1.points]
    look2 = _look(model.stage1, grids, zooms, model, batch, done(1))
    first = look2.points
    across = first[:, 0] - first[:, 1]
    down = first[:, 2] - first[:, 0]
    mirrored = float(np.sum(np.sign(across[:, 1] * down[:, 0] - across[:, 0] * down[:, 1]))) < 0
    points, last_move = first, np.zeros(first.shape[:2])
    refined = look2
    for turn in range(model.passes):
        crops = [
            entry_line_placement(center, anterior, mirrored, model.crop_size, model.line_px)
            for center, anterior in points[:, :2]
        ]
        refined = _look(model.stage2, grids, crops, model, batch, done(2 + turn))
        last_move = np.linalg.norm(refined.points - points, axis=2) if turn else last_move
        points = 0.5 * (points + refined.points) if turn else refined.points
    tissue_points = refined.tissue_points()
    contradiction = _distance(points, tissue_points)
    # The cavity's cells give its centre as well as the heat map does, and the mean of both is better than either.
    cavity = tissue_points[:, :1]
    points = np.concatenate(
        [np.where(np.isnan(cavity), points[:, :1], 0.5 * (points[:, :1] + cavity)), points[:, 1:]], 1
    )
    features = features_of(
        doubts=np.concatenate([look1.doubts, look2.doubts, refined.doubts], axis=2),
        moves=np.stack([_distance(points, look1.points), _distance(points, first), last_move], axis=2),
        contradiction=contradiction,
        heart=look1.heart,
    )
    return RawPrediction(points, first, features, 1.0 / (1.0 + np.exp(-look1.heart)))


def _distance(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points - others, axis=2)


@dataclass(frozen=True)
class _Look:
    """What a network says of one view of each image.

    Attributes:
        points: float64 (image, landmark, 2), (row, column) in grid pixels.
        doubts: float64 (image, landmark, 2), see `CMRLandmarksLib.networks.doubt`.
        heart: float64 (image,) logit of a heart being there.
        tissue: uint8 (image, cell row, cell column), label of each cell.
        views: placement of each image's view.
        cell: pixels of the view per cell.
    """

    points: np.ndarray
    doubts: np.ndarray
    heart: np.ndarray
    tissue: np.ndarray
    views: Sequence[Placement]
    cell: int

    def tissue_points(self) -> np.ndarray:
        """Where the tissues put the landmarks, as ``points``; NaN where they do not show them."""
        return np.stack(
            [
                view.to_source(landmarks_of_labels(labels) * self.cell + (self.cell - 1) / 2.0)
                for view, labels in zip(self.views, self.tissue, strict=True)
            ]
        )


def _look(
    network: HeatmapNetwork,
    grids: np.ndarray,
    views: Sequence[Placement],
    model: LandmarkModel,
    batch: int,
    progress: Callable[[float], None] | None,
) -> _Look:
    """Apply a network to one view of each image."""
    import torch

    from CMRLandmarksLib.networks import doubt, positions
    from CMRLandmarksLib.sampling import sample, standardised

    points: list[np.ndarray] = []
    doubts, hearts, tissues = [], [], []
    cell = network.shape.cell
    with torch.inference_mode():
        for start in range(0, len(grids), batch):
            part = views[start : start + batch]
            matrix = torch.tensor(np.stack([view.matrix for view in part]), dtype=torch.float32, device=model.device)
            offset = torch.tensor(np.stack([view.offset for view in part]), dtype=torch.float32, device=model.device)
            images = torch.from_numpy(grids[start : start + batch])[:, None].to(model.device)
            output = network(standardised(sample(images, matrix, offset, part[0].size)))
            places = positions(output, cell, window=2).double().cpu().numpy()
            points.extend(view.to_source(place) for view, place in zip(part, places, strict=True))
            tissues.append(output.tissue.argmax(dim=1).to(torch.uint8).cpu())
            doubts.append(doubt(output).double().cpu())
            hearts.append(output.heart.double().cpu())
            if progress is not None:
                progress(min(start + batch, len(grids)) / len(grids))
    doubt_array, heart_array, tissue_array = (torch.cat(parts).numpy() for parts in (doubts, hearts, tissues))
    return _Look(np.stack(points), doubt_array, heart_array, tissue_array, views, cell)
