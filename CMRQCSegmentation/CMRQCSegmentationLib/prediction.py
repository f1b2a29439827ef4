"""Segmentation of every slice of a short-axis image, each with its predicted Dice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from CMRLib.errors import InputError
from CMRLib.networks.devices import resolve_device
from CMRLib.networks.models import ModelEntry, load_weights
from CMRQCSegmentationLib.candidates import (
    CAVITY_MAP,
    HEART_MAP,
    candidate_names,
    dice_matrix,
    labels_of,
    nested_maps,
    with_combined,
)
from CMRQCSegmentationLib.locating import Place, place_in, places_of_stack
from CMRQCSegmentationLib.plausible import plausible_heart
from CMRQCSegmentationLib.quality import CONFIDENCE, THRESHOLD, QualityModel
from CMRQCSegmentationLib.signs import signs_of
from CMRQCSegmentationLib.views import View, rescaled

if TYPE_CHECKING:
    import torch
    from torch import nn

TASK = "segmentation"
DEFAULT_MODEL = "segmentation-ensemble"
QUANTILES = (0.01, 0.99)  # quantiles of a view that become 0 and 1
BLANK = "the slice is blank"
NO_HEART = "no heart was found"
GAP = "no heart was found here, but in the slices on both sides"
UNSURE = "the predicted Dice is low"
DOUBTFUL = "image or outline look like those of wrong answers"


@dataclass(frozen=True)
class SegmentationModel:
    """The networks, ready on a device; see `load_segmentation_model`.

    Attributes:
        finder: finds the heart in the whole image.
        networks: the ensemble, shallowest first.
        quality: predicts the Dice; None in a model whose regressions are not fitted yet.
        finder_turns: in how many orientations, up to 8, the finder looks at the whole image.
        finder_equalised: share of histogram equalisation in what the finder looks at.
        turns: in how many orientations, up to 8, each network looks at a crop.
        passes: how often the crop is made; from the second on around what the deepest network found in the one before.
        device: where they are.
        entry: what the weights are.
    """

    finder: nn.Module
    networks: tuple[nn.Module, ...]
    quality: QualityModel | None
    finder_turns: int
    finder_equalised: float
    turns: int
    passes: int
    device: torch.device
    entry: ModelEntry


@dataclass(frozen=True)
class Candidates:
    """All candidates of one slice, in the crop where they were made.

    Attributes:
        maps: float16 (candidate, 2, row, column), see `CMRQCSegmentationLib.candidates`.
        crop: float16 (row, column), 0 to 1, what the networks saw.
        view: of the crop.
        shape: rows and columns of the source.
    """

    maps: np.ndarray
    crop: np.ndarray
    view: View
    shape: tuple[int, int]

    def labels(self, number: int) -> np.ndarray:
        """A candidate on the source's pixels, uint8 (row, column): 1 myocardium, 2 blood pool."""
        maps = self.maps[number].astype(np.float32)
        return labels_of(np.stack([self.view.back(maps[i], self.shape) for i in (HEART_MAP, CAVITY_MAP)]))

    def matrix(self) -> np.ndarray:
        """Dice of the myocardium of every candidate with every other, float64 (candidate, candidate)."""
        return dice_matrix(labels_of(self.maps))


@dataclass(frozen=True)
class SliceSegmentation:
    """The answer for one slice.

    Attributes:
        slice: its number, from 0.
        labels: uint8 (row, column) of the source: 1 myocardium, 2 blood pool, 0 anything else; all 0 without a heart.
        predicted_dice: of the myocardium; NaN where no network was asked, for want of a heart.
        lower_bound: what the true Dice reaches with 90 % certainty; NaN as above.
        flagged: whether someone should look at it.
        reason: why, or "".
        candidate: name of the chosen candidate, or "".
        candidates: all of them; None where no network was asked.
        predictions: predicted Dice of every candidate, in the order of `candidate_names`; what the signs say of the
            chosen one is taken to hold for all.
    """

    slice: int
    labels: np.ndarray
    predicted_dice: float
    lower_bound: float
    flagged: bool
    reason: str
    candidate: str
    candidates: Candidates | None
    predictions: tuple[float, ...]


def load_segmentation_model(
    model: str | Path = DEFAULT_MODEL, device: str = "auto", *, judges: bool = True
) -> SegmentationModel:
    """Load a model by its id in the manifest or by the path of its weights file.

    ``judges=False`` leaves the prediction of quality out, so that it can be fitted anew, whatever the file holds of it.

    Raises:
        MissingDependencyError: torch, safetensors or the weights are missing, or the weights are damaged.
        DeviceError: the device is not available.
        InputError: there is no such model.
    """
    chosen = resolve_device(device)
    weights = load_weights(model, TASK)
    from CMRLib.networks.inference import with_weights
    from CMRQCSegmentationLib.networks import CompactUNet, finder

    contract = weights.entry.input
    networks = [
        with_weights(CompactUNet(int(depth)), weights.part(f"unet{depth}"), weights.entry, chosen)
        for depth in contract["depths"]
    ]
    return SegmentationModel(
        finder=with_weights(finder(), weights.part("finder"), weights.entry, chosen),
        networks=tuple(networks),
        quality=QualityModel.from_dict(contract["quality"]) if judges and "quality" in contract else None,
        finder_turns=int(contract["finder_turns"]),
        finder_equalised=float(contract.get("finder_equalised", 0.0)),
        turns=int(contract["turns"]),
        passes=int(contract["passes"]),
        device=chosen,
        entry=weights.entry,
    )


def segment_slices(
    image: np.ndarray,
    spacing: tuple[float, float] = (1.0, 1.0),
    *,
    model: SegmentationModel | str | Path = DEFAULT_MODEL,
    device: str = "auto",
    threshold: float = THRESHOLD,
    batch: int = 8,
    progress: Callable[[float], None] | None = None,
) -> list[SliceSegmentation]:
    """Segment the left ventricle in every slice of a short-axis image of any contrast.

    Args:
        image: (slice, row, column); the slices belong to one stack.
        spacing: (row, column) in mm; only its ratio matters.
        model: a loaded model, an id or a file.
        device: for a model that is not loaded yet, as in `CMRLib.networks.devices`.
        threshold: of the predicted Dice, below which a slice is flagged.
        batch: slices at a time.
        progress: called with the fraction done between batches; it may raise `CMRLib.errors.Cancelled`.

    Returns:
        One result a slice, in order.

    Raises:
        InputError: the image has other axes or no pixels, or a spacing is not positive.
        MissingDependencyError, DeviceError: see `load_segmentation_model`; or the model has no quality model.
    """
    if not isinstance(model, SegmentationModel):
        model = load_segmentation_model(model, device)
    found = find_candidates(image, spacing, model, batch=batch, progress=progress)
    quality = model.quality if model.quality is not None else QualityModel.from_dict({})
    results = [_answer(i, part, np.asarray(image).shape[1:], quality, threshold) for i, part in enumerate(found)]
    shown = [i for i, result in enumerate(results) if result.labels.any()]
    for i, result in enumerate(results):
        empty = not result.labels.any()
        if empty and not isinstance(found[i], str) and shown and shown[0] < i < shown[-1]:
            results[i] = _flagged(result, GAP)
        elif empty and found[i] != BLANK and not shown:
            results[i] = _flagged(result, NO_HEART)
    return results


def find_candidates(
    image: np.ndarray,
    spacing: tuple[float, float],
    model: SegmentationModel,
    *,
    batch: int = 8,
    progress: Callable[[float], None] | None = None,
) -> list[Candidates | str]:
    """All candidates of every slice, cleaned; or why there are none: `BLANK` or `NO_HEART`.

    Arguments and errors are those of `segment_slices`.
    """
    image = np.asarray(image)
    if image.ndim != 3 or 0 in image.shape:
        raise InputError("Segmentation needs an image of one or more slices (slice, row, column) with pixels in them.")
    if not all(np.isfinite(s) and s > 0 for s in spacing):
        raise InputError("The pixel spacing must be two positive numbers (row, column) in mm.")
    if batch < 1:
        raise InputError("The number of slices at a time must be 1 or more.")
    planes = [rescaled(plane) for plane in image]
    shown = [i for i, plane in enumerate(planes) if plane.any()]
    results: list[Candidates | str] = [BLANK] * len(planes)
    if shown:
        found = _candidates_of([planes[i] for i in shown], spacing, model, batch, progress)
        for i, part in zip(shown, found, strict=True):
            results[i] = part
    if progress is not None:
        progress(1.0)
    return results


def _candidates_of(
    planes: Sequence[np.ndarray],
    spacing: tuple[float, float],
    model: SegmentationModel,
    batch: int,
    progress: Callable[[float], None] | None,
) -> list[Candidates | str]:
    from CMRQCSegmentationLib.networks import CROP_RADIUS_PX, CROP_SIZE, WHOLE_SIZE

    steps = 1 + model.passes
    step = 0

    def done(part: float) -> None:
        if progress is not None:
            progress((step + part) / steps)

    shape = planes[0].shape
    whole = View.whole((shape[0], shape[1]), spacing, WHOLE_SIZE)
    seen = [whole.sample(plane) for plane in planes]
    (shares,) = _shares([model.finder], seen, model.finder_turns, batch, model, done, model.finder_equalised)
    places = places_of_stack([place_in(part, whole, spacing) for part in nested_maps(shares)])
    asked = [i for i, place in enumerate(places) if place is not None]
    views: list[View] = []
    crops: list[np.ndarray] = []
    maps = np.zeros((len(model.networks), 0, 2, CROP_SIZE, CROP_SIZE), dtype=np.float32)
    for turn in range(model.passes if asked else 0):
        step = 1 + turn
        if turn:
            again = places_of_stack(
                [place_in(part, view, spacing) for part, view in zip(maps.mean(0), views, strict=True)]
            )
            places_now = [new or old for new, old in zip(again, [places[i] for i in asked], strict=True)]
        else:
            places_now = [places[i] for i in asked]
        views = [_crop(place, spacing, CROP_RADIUS_PX, CROP_SIZE) for place in places_now if place is not None]
        crops = [view.sample(planes[i]) for i, view in zip(asked, views, strict=True)]
        last = turn == model.passes - 1
        networks, turns = (model.networks, model.turns) if last else (model.networks[-1:], 1)
        maps = nested_maps(_shares(networks, crops, turns, batch, model, done))
    results: list[Candidates | str] = [NO_HEART] * len(planes)
    for n, (i, view) in enumerate(zip(asked, views, strict=True)):
        cleaned = np.stack([plausible_heart(part) for part in with_combined(maps[:, n])])
        seen_crop = _normalised(crops[n : n + 1])[0].numpy().astype(np.float16)
        results[i] = Candidates(cleaned.astype(np.float16), seen_crop, view, (shape[0], shape[1]))
    return results


def _crop(place: Place, spacing: tuple[float, float], radius_px: float, size: int) -> View:
    return View.around(place.center_mm / np.array(spacing), place.radii_mm / radius_px / np.array(spacing), size)


def _shares(
    networks: Sequence[nn.Module],
    views: Sequence[np.ndarray],
    turns: int,
    batch: int,
    model: SegmentationModel,
    done: Callable[[float], None],
    equalised: float = 0.0,
) -> np.ndarray:
    """Class shares of every view by every network, mean over its orientations.

    Returns:
        float32 (network, view, class, row, column).
    """
    import torch

    from CMRLib.networks.normalise import part_equalised

    parts = []
    with torch.inference_mode():
        for start in range(0, len(views), batch):
            chunk = _normalised(views[start : start + batch]).to(model.device)
            images = part_equalised(chunk, equalised)[:, None]
            answers = []
            for network in networks:
                turned = [_turned(network(_turned(images, k)).softmax(dim=1), k, back=True) for k in range(turns)]
                answers.append(torch.stack(turned).mean(dim=0))
            parts.append(torch.stack(answers).float().cpu().numpy())
            done(min(start + batch, len(views)) / len(views))
    return np.concatenate(parts, axis=1)


def _normalised(views: Sequence[np.ndarray]) -> torch.Tensor:
    """Views as the networks see them, (view, row, column)."""
    import torch

    from CMRLib.networks.normalise import quantile_normalise

    return quantile_normalise(torch.from_numpy(np.stack(views)), QUANTILES, 1.0)


def _turned(images: torch.Tensor, turn: int, back: bool = False) -> torch.Tensor:
    """One of the eight orientations of square images, or the way back from it."""
    if turn & 1 and not back:
        images = images.flip(-1)
    quarters = (0, 2, 1, 3)[turn >> 1]
    images = images.rot90(-quarters if back else quarters, (-2, -1))
    return images.flip(-1) if turn & 1 and back else images


def _answer(
    number: int, found: Candidates | str, shape: tuple[int, ...], quality: QualityModel, threshold: float
) -> SliceSegmentation:
    if isinstance(found, str):
        nothing = np.zeros(shape, dtype=np.uint8)
        reason = BLANK if found == BLANK else ""
        return SliceSegmentation(number, nothing, np.nan, np.nan, bool(reason), reason, "", None, ())
    predictions = quality.predict(found.matrix())
    best = int(quality.choose(predictions))
    signs = signs_of(found.crop, found.maps, best)
    first = float(predictions[best])
    predicted = quality.refined(first, signs)
    doubtful = quality.doubtful(first, signs)
    reason = DOUBTFUL if doubtful else UNSURE if predicted < threshold else ""
    return SliceSegmentation(
        slice=number,
        labels=found.labels(best),
        predicted_dice=predicted,
        lower_bound=quality.lower_bound(predicted, CONFIDENCE),
        flagged=bool(reason),
        reason=reason,
        candidate=candidate_names(len(predictions) // 2)[best],
        candidates=found,
        predictions=tuple(np.clip(predictions + predicted - first, 0.0, 1.0).tolist()),
    )


def _flagged(result: SliceSegmentation, reason: str) -> SliceSegmentation:
    return replace(result, flagged=True, reason=reason)
