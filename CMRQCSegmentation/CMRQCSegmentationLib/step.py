"""The step ``segmentation`` of a batch: myocardium and blood pool in every short-axis image, with predicted Dice."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from CMRLib.batch.results import series_entry
from CMRLib.batch.step import Step, StepReport, StepResult, StepTask, images_of
from CMRLib.errors import InputError
from CMRLib.export.dicom.items import ExportedLabels, Exports, Findings, Measurement
from CMRLib.files.images import write_image
from CMRLib.files.segmentations import LABELS_ENDING, SEGMENTATION_ENDING, read_segmentation, write_segmentation
from CMRLib.networks.keeper import ModelKeeper
from CMRLib.networks.models import model_entry
from CMRLib.provenance import result_attributes
from CMRLib.study.series import STACK, Series
from CMRLib.terms import NO_UNITS, OWN_SCHEME, Term
from CMRQCSegmentationLib import prediction
from CMRQCSegmentationLib.prediction import DEFAULT_MODEL, TASK, SegmentationModel, SliceSegmentation
from CMRQCSegmentationLib.report import MEASURES, segmentation_section
from CMRQCSegmentationLib.segments import CORRECTED, ROLE, SEGMENTS

if TYPE_CHECKING:
    from CMRLib.export.report.items import ReportSource, Section

# DICOM has no term for it.
_PREDICTED_DICE = Term("predicted-dice", OWN_SCHEME, "Predicted Dice similarity coefficient of the myocardium")


@dataclass(frozen=True)
class SegmentationOfImages:
    """The segmentation of one series or of one T1 map of the same run.

    Attributes:
        slices: the answer for every slice or frame.
        device, model, model_sha256: where and by which weights it was made; "" for a corrected one.
    """

    slices: tuple[SliceSegmentation, ...]
    device: str = ""
    model: str = ""
    model_sha256: str = ""

    @property
    def is_corrected(self) -> bool:
        """Whether it was laid beside the study rather than made by a model."""
        return not self.model

    def labels(self) -> np.ndarray:
        """uint8 (slice, row, column): 1 myocardium, 2 blood pool."""
        return np.stack([answer.labels for answer in self.slices])


class SegmentationStep(Step):
    """Myocardium and blood pool of the left ventricle."""

    name = "segmentation"
    roles = ("t1", "lge", "vne", "cine")
    after = ("t1",)
    nothing = "No short-axis image was found to segment; check the folder, or describe its files in a study.json."
    columns = ("segmentation_file", "predicted_dice", "flagged", "candidate")
    counts = {"segmented slices": "candidate"}
    measures = MEASURES
    scene = "CMRQCSegmentationLib.scene.batch"

    def __init__(self) -> None:
        self._keeper = ModelKeeper[prediction.SegmentationModel]()

    def weights(self, choices: Mapping[str, Any]) -> dict[str, str]:
        """See `CMRLib.batch.step.Step`."""
        return {TASK: model_entry(DEFAULT_MODEL).sha256}

    def check(self, choices: Mapping[str, Any], device: str) -> None:
        """See `CMRLib.batch.step.Step`."""
        self._model(device)

    def run(self, task: StepTask) -> StepReport:
        """See `CMRLib.batch.step.Step`; T1 maps made in the same run are taken as well as the series.

        Where ``KEY.seg.nrrd`` or ``KEY_labels.nrrd`` lies in the study's folder, KEY naming the result as its own files
        do, it is taken instead of the model's answer: someone corrected it.
        """
        model = self._model(task.device)
        report = StepReport(device=str(model.device))
        sources = task.sources(self.roles)
        report.warnings += _strays(task.study.path, [source.key for source in sources])
        for done, source in enumerate(sources):
            start = time.perf_counter()
            progress = task.part(done, len(sources))
            progress(0.0)
            try:
                corrected = _corrected_file(task.study.path, source.key)
                made = _segmented(source, model, progress) if corrected is None else _corrected(source, corrected)
            except InputError as error:
                report.errors.append(f"{source.key}: {error}")
                continue
            if made.value.is_corrected:
                report.notes.append(f"{source.key}: the corrected segmentation beside the study was taken.")
            else:
                report.models[TASK] = {"id": model.entry.id, "sha256": model.entry.sha256}
            files = write_labels(made, task.folder)
            seconds = (time.perf_counter() - start) / len(made.images)
            report.entries += _entries(made, source.role, files, seconds)
            report.made.append(made)
        return report

    def exports(self, made: StepResult) -> Exports:
        """See `CMRLib.batch.step.Step`: the label map, and the predicted Dice of every slice that has one."""
        found: SegmentationOfImages = made.value
        labels = ExportedLabels(ROLE, found.labels(), SEGMENTS, found.model, found.model_sha256)
        findings = (
            Findings(
                title="quality of the segmentation",
                index=answer.slice,
                measurements=(Measurement(_PREDICTED_DICE, answer.predicted_dice, NO_UNITS),),
                flagged=answer.flagged,
                model=found.model,
                model_sha256=found.model_sha256,
            )
            for answer in found.slices
            if np.isfinite(answer.predicted_dice)
        )
        return Exports(labels=(labels,), findings=tuple(findings), are_frames=_are_frames(made))

    def show(self, entries: Sequence[Mapping[str, Any]], source: ReportSource) -> Section:
        """See `CMRLib.batch.step.Step`: every slice with the borders of its segments."""
        return segmentation_section(entries, source)

    def _model(self, device: str) -> prediction.SegmentationModel:
        return self._keeper.model(prediction.load_segmentation_model, DEFAULT_MODEL, device)


STEP = SegmentationStep()


def _corrected_file(folder: Path, key: str) -> Path | None:
    """The corrected segmentation of a result in the study's folder, or None."""
    files = [folder / f"{key}{ending}" for ending in (SEGMENTATION_ENDING, LABELS_ENDING)]
    there = [file for file in files if file.is_file()]
    if len(there) > 1:
        raise InputError("There are two corrected segmentations of it beside the study; leave one of them there.")
    return there[0] if there else None


def _strays(folder: Path, keys: list[str]) -> list[str]:
    """What is to be said of segmentations in the study's folder that belong to none of its results."""
    own = {f"{key}{SEGMENTATION_ENDING}" for key in keys}
    if all(file.name in own for file in folder.glob(f"*{SEGMENTATION_ENDING}")):
        return []
    # Their names may be patients', so only those that they should have are told.
    return [
        "A segmentation beside the study belongs to none of its images and was not used; a corrected one is called "
        f"{' or '.join(sorted(own))}."
    ]


def _segmented(source: StepResult | Series, model: SegmentationModel, progress: Callable[[float], None]) -> StepResult:
    made = images_of(source)
    column_mm, row_mm, _thickness = made.geometry.spacing
    answers = prediction.segment_slices(made.images, (row_mm, column_mm), model=model, progress=progress)
    return replace(
        made,
        value=SegmentationOfImages(tuple(answers), str(model.device), model.entry.id, model.entry.sha256),
    )


def _corrected(source: StepResult | Series, file: Path) -> StepResult:
    made = images_of(source)
    slices, rows, columns = made.images.shape
    labels = read_segmentation(file, SEGMENTS, made.geometry, (slices, rows, columns))
    answers = (
        SliceSegmentation(number, plane, np.nan, np.nan, False, "", CORRECTED, None, ())
        for number, plane in enumerate(labels)
    )
    return replace(made, value=SegmentationOfImages(tuple(answers)))


def write_labels(made: StepResult, folder: Path) -> dict[str, str]:
    """Write the label map, and the segmentation that Slicer loads; the names of the files by their keys in the results.

    Raises:
        OutputError: a file cannot be written.
    """
    found: SegmentationOfImages = made.value
    labels = found.labels()
    attributes = result_attributes(
        ROLE, source=made.key, device=found.device, model=found.model, model_sha256=found.model_sha256
    )
    label_map = write_image(folder / f"{made.key}{LABELS_ENDING}", labels, made.geometry, attributes)
    segmentation = write_segmentation(folder / f"{made.key}{SEGMENTATION_ENDING}", labels, made.geometry, SEGMENTS)
    return {"labels_file": label_map.name, "segmentation_file": segmentation.name}


def _entries(made: StepResult, role: str, files: Mapping[str, str], seconds: float) -> list[dict[str, Any]]:
    are_frames = _are_frames(made)
    found: SegmentationOfImages = made.value
    return [
        {
            "role": role,
            **series_entry(made.series, answer.slice),
            **({"frame": answer.slice} if are_frames else {}),
            **files,
            "predicted_dice": _rounded(answer.predicted_dice),
            "dice_lower_bound": _rounded(answer.lower_bound),
            "candidate": answer.candidate or None,
            "flagged": answer.flagged,
            "reason": answer.reason,
            "seconds": round(seconds, 3),
        }
        for answer in found.slices
    ]


def _are_frames(made: StepResult) -> bool:
    """Whether the slices are frames of one slice, as those of a cine."""
    return made.series.role == "cine" and made.series.slice != STACK


def _rounded(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None
