"""The step ``landmarks`` of a batch: LV centre and RV insertion points in every short-axis image of a study."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from CMRLandmarksLib import prediction
from CMRLandmarksLib.prediction import DEFAULT_MODEL, TASK
from CMRLandmarksLib.report import MEASURES, landmarks_section
from CMRLib.anatomy.landmarks import LANDMARK_NAMES, LANDMARKS, LEAST_HEART
from CMRLib.batch.results import series_entry
from CMRLib.batch.step import Step, StepReport, StepResult, StepTask, images_of
from CMRLib.errors import InputError
from CMRLib.export.dicom.items import ExportedPoint, Exports, Findings
from CMRLib.files.markups import LANDMARKS_ENDING, MarkupPoint, write_markups
from CMRLib.networks.keeper import ModelKeeper
from CMRLib.networks.models import model_entry
from CMRLib.study.series import STACK, Series
from CMRLib.terms import LEFT_VENTRICLE, OWN_SCHEME, Term

if TYPE_CHECKING:
    from CMRLandmarksLib.prediction import LandmarkModel, LandmarkPrediction
    from CMRLib.export.report.items import ReportSource, Section


@dataclass(frozen=True)
class LandmarksOfImages:
    """The landmarks of one series or of one T1 map of the same run.

    Attributes:
        frames: whether the images are frames of one slice, as those of a cine, and lie in one place.
        predictions: one per slice or frame.
        device, model, model_sha256: where and by which weights they were found.
    """

    frames: bool
    predictions: tuple[LandmarkPrediction, ...]
    device: str
    model: str
    model_sha256: str


class LandmarksStep(Step):
    """LV centre and RV insertion points."""

    name = "landmarks"
    roles = ("t1", "lge", "vne", "cine")
    after = ("t1",)
    nothing = "No short-axis image was found for landmarks; check the folder, or describe its files in a study.json."
    columns = ("markups_file", "flagged")
    counts = {"landmarks": "lv_center_px"}
    measures = MEASURES
    scene = "CMRLandmarksLib.scene.batch"

    def __init__(self) -> None:
        self._keeper = ModelKeeper[prediction.LandmarkModel]()

    def weights(self, choices: Mapping[str, Any]) -> dict[str, str]:
        """See `CMRLib.batch.step.Step`."""
        return {TASK: model_entry(DEFAULT_MODEL).sha256}

    def check(self, choices: Mapping[str, Any], device: str) -> None:
        """See `CMRLib.batch.step.Step`."""
        self._model(device)

    def run(self, task: StepTask) -> StepReport:
        """See `CMRLib.batch.step.Step`; T1 maps made in the same run are taken as well as the series."""
        model = self._model(task.device)
        report = StepReport(device=str(model.device))
        report.models[TASK] = {"id": model.entry.id, "sha256": model.entry.sha256}
        sources = task.sources(self.roles)
        for done, source in enumerate(sources):
            start = time.perf_counter()
            progress = task.part(done, len(sources))
            progress(0.0)
            try:
                made = _found(source, model, progress)
            except InputError as error:
                report.errors.append(f"{source.key}: {error}")
                continue
            file = write_landmarks(made, task.folder).name
            seconds = (time.perf_counter() - start) / len(made.images)
            report.entries += _entries(made, source.role, file, seconds)
            report.made.append(made)
        return report

    def exports(self, made: StepResult) -> Exports:
        """See `CMRLib.batch.step.Step`: the points of every slice that shows a heart."""
        found: LandmarksOfImages = made.value
        return Exports(
            findings=tuple(_findings(found, *numbered) for numbered in enumerate(found.predictions)),
            are_frames=found.frames,
        )

    def show(self, entries: Sequence[Mapping[str, Any]], source: ReportSource) -> Section:
        """See `CMRLib.batch.step.Step`: every slice with its landmarks and the directions of its segments."""
        return landmarks_section(entries, source)

    def _model(self, device: str) -> prediction.LandmarkModel:
        return self._keeper.model(prediction.load_landmark_model, DEFAULT_MODEL, device)


STEP = LandmarksStep()

_RIGHT_VENTRICLE = Term("53085002", "SCT", "Right ventricle")
_TERMS = {
    "lv_center": (Term("111010", "DCM", "Center"), LEFT_VENTRICLE),
    "rv_insertion": (
        Term("anterior-rv-insertion", OWN_SCHEME, "Anterior right ventricular insertion"),
        _RIGHT_VENTRICLE,
    ),
    "inferior_rv_insertion": (
        Term("inferior-rv-insertion", OWN_SCHEME, "Inferior right ventricular insertion"),
        _RIGHT_VENTRICLE,
    ),
}


def _findings(found: LandmarksOfImages, index: int, answer: LandmarkPrediction) -> Findings:
    shown = {name: point for name in LANDMARK_NAMES if (point := _shown(answer, name)) is not None}
    return Findings(
        title="landmarks",
        index=index,
        points=tuple(ExportedPoint(name, *_TERMS[name], *point) for name, point in shown.items()),
        flagged=answer.flagged,
        model=found.model,
        model_sha256=found.model_sha256,
    )


def _found(source: StepResult | Series, model: LandmarkModel, progress: Callable[[float], None]) -> StepResult:
    made = images_of(source)
    found = LandmarksOfImages(
        frames=source.role == "cine" and made.series.slice != STACK,
        predictions=tuple(prediction.predict_landmarks(made.images, made.geometry, model=model, progress=progress)),
        device=str(model.device),
        model=model.entry.id,
        model_sha256=model.entry.sha256,
    )
    return replace(made, value=found)


def _entries(made: StepResult, role: str, file: str, seconds: float) -> list[dict[str, Any]]:
    found: LandmarksOfImages = made.value
    return [
        {
            "role": role,
            **series_entry(made.series, index),
            **({"frame": index} if found.frames else {}),
            **_places(answer, index, made),
            "markups_file": file,
            "confidence": dict(answer.confidence),
            "flagged": answer.flagged,
            "reason": answer.reason,
            "seconds": round(seconds, 3),
        }
        for index, answer in enumerate(found.predictions)
    ]


def write_landmarks(made: StepResult, folder: Path) -> Path:
    """Write the points of every slice as one markups file, three for each slice as the panel has them.

    Raises:
        OutputError: the file cannot be written.
    """
    points = [
        MarkupPoint(
            f"{landmark.label} {index}",
            f"{landmark.title}, slice {index}",
            _ras(_shown(answer, landmark.name), index, made),
        )
        for index, answer in enumerate(made.value.predictions)
        for landmark in LANDMARKS
    ]
    return write_markups(folder / f"{made.key}{LANDMARKS_ENDING}", points)


def _shown(answer: LandmarkPrediction, name: str) -> tuple[float, float] | None:
    """Where a landmark is, (row, column) in pixels; None in a slice without a heart."""
    point: tuple[float, float] | None = getattr(answer, name)
    return point if answer.heart >= LEAST_HEART else None


def _ras(point: tuple[float, float] | None, index: int, made: StepResult) -> tuple[float, float, float] | None:
    """RAS mm of (row, column) in an image."""
    if point is None:
        return None
    depth = 0.0 if made.value.frames else float(index)
    x, y, z = (made.geometry.ijk_to_ras() @ [point[1], point[0], depth, 1.0])[:3].tolist()
    return x, y, z


def _places(answer: LandmarkPrediction, index: int, made: StepResult) -> dict[str, Any]:
    """Positions as the results have them: (row, column) in pixels and RAS mm, None where there is no landmark."""
    places: dict[str, Any] = {}
    for name in LANDMARK_NAMES:
        point = _shown(answer, name)
        ras = _ras(point, index, made)
        places[f"{name}_px"] = None if point is None else [round(value, 3) for value in point]
        places[f"{name}_ras"] = None if ras is None else [round(value, 3) for value in ras]
    return places
