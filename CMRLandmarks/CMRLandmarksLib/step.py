"""The step ``landmarks`` of a batch: LV centre and RV insertion points in every short-axis image of a study."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from CMRLib.anatomy.landmarks import LANDMARK_NAMES, LANDMARKS, LEAST_HEART
from CMRLib.errors import InputError
from CMRLib.files.markups import MarkupPoint, write_markups
from CMRLib.geometry import Geometry
from CMRLib.study.series import STACK, Study
from CMRT1MappingLib.step import T1Result

if TYPE_CHECKING:
    from CMRLandmarksLib.prediction import LandmarkPrediction

ROLES = ("t1", "lge", "vne", "cine")


@dataclass(frozen=True)
class LandmarksResult:
    """The landmarks of one series or of one T1 map of the same run.

    Attributes:
        key: what the files are named by.
        images: what they were found in, (slice or frame, row, column).
        geometry: of the images.
        frames: whether the images are frames of one slice, as those of a cine, and lie in one place.
        predictions: one per slice or frame.
        device, model, model_sha256: where and by which weights they were found.
    """

    key: str
    images: np.ndarray
    geometry: Geometry
    frames: bool
    predictions: tuple[LandmarkPrediction, ...]
    device: str
    model: str
    model_sha256: str


def find_landmarks(
    study: Study, maps: Sequence[T1Result], folder: Path, device: str, results: dict[str, Any]
) -> list[LandmarksResult]:
    """Find landmarks and write the files into ``folder``.

    Args:
        study: the study; its series of the roles `ROLES` are taken.
        maps: T1 maps made in the same run, which are taken as well.
        folder: where the files go.
        device: see `CMRLib.networks.devices.resolve_device`.
        results: gets the entries ``landmarks``, ``models`` and ``device``, and in ``errors`` a sentence per series that
            failed.

    Raises:
        OutputError: a file cannot be written.
        DeviceError, MissingDependencyError: nothing can be computed.
    """
    from CMRLandmarksLib.prediction import load_landmark_model, predict_landmarks

    series = [one for one in study.series if one.role in ROLES]
    if not series and not maps:
        results["errors"].append(
            "No short-axis image was found for landmarks; check the folder, or describe its files in a study.json."
        )
        return []
    model = load_landmark_model(device=device)
    results["models"]["landmarks"] = {"id": model.entry.id, "sha256": model.entry.sha256}
    results["device"] = str(model.device)
    made = []
    for one in (*(result.series for result in maps), *series):
        start = time.perf_counter()
        try:
            if one.role == "irw":
                t1 = next(result for result in maps if result.series is one)
                role, images, geometry = "t1", t1.maps.t1[None], t1.images.geometry
            else:
                loaded = one.load()
                role, images, geometry = one.role, loaded.images, loaded.geometry
            found = tuple(predict_landmarks(images, geometry, model=model))
        except InputError as error:
            results["errors"].append(f"{one.key}: {error}")
            continue
        are_frames = role == "cine" and one.slice != STACK
        origin = (str(model.device), model.entry.id, model.entry.sha256)
        result = LandmarksResult(one.key, images, geometry, are_frames, found, *origin)
        path = write_landmarks(result, folder)
        seconds = (time.perf_counter() - start) / len(found)
        for index, prediction in enumerate(found):
            results["landmarks"].append(
                {
                    "role": role,
                    "state": one.state,
                    "slice": index if one.slice == STACK else one.slice,
                    **({"frame": index} if result.frames else {}),
                    **_places(prediction, index, result),
                    "markups_file": path.name,
                    "confidence": dict(prediction.confidence),
                    "flagged": prediction.flagged,
                    "reason": prediction.reason,
                    "seconds": round(seconds, 3),
                }
            )
        made.append(result)
    return made


def write_landmarks(result: LandmarksResult, folder: Path) -> Path:
    """Write the points of every slice as one markups file, three for each slice as the panel has them.

    Raises:
        OutputError: the file cannot be written.
    """
    points = [
        MarkupPoint(
            f"{landmark.label} {index}",
            f"{landmark.title}, slice {index}",
            _ras(_shown(prediction, landmark.name), index, result),
        )
        for index, prediction in enumerate(result.predictions)
        for landmark in LANDMARKS
    ]
    return write_markups(folder / f"{result.key}_landmarks.mrk.json", points)


def _shown(prediction: LandmarkPrediction, name: str) -> tuple[float, float] | None:
    """Where a landmark is, (row, column) in pixels; None in a slice without a heart."""
    point: tuple[float, float] | None = getattr(prediction, name)
    return point if prediction.heart >= LEAST_HEART else None


def _ras(point: tuple[float, float] | None, index: int, result: LandmarksResult) -> tuple[float, float, float] | None:
    """RAS mm of (row, column) in an image."""
    if point is None:
        return None
    depth = 0.0 if result.frames else float(index)
    x, y, z = (result.geometry.ijk_to_ras() @ [point[1], point[0], depth, 1.0])[:3].tolist()
    return x, y, z


def _places(prediction: LandmarkPrediction, index: int, result: LandmarksResult) -> dict[str, Any]:
    """Positions as the results have them: (row, column) in pixels and RAS mm, None where there is no landmark."""
    places: dict[str, Any] = {}
    for name in LANDMARK_NAMES:
        point = _shown(prediction, name)
        ras = _ras(point, index, result)
        places[f"{name}_px"] = None if point is None else [round(value, 3) for value in point]
        places[f"{name}_ras"] = None if ras is None else [round(value, 3) for value in ras]
    return places
