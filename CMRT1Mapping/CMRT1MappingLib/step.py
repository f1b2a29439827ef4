"""The step ``t1`` of a batch: motion-corrected T1 maps of every inversion-recovery acquisition of a study."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from CMRLib.batch.step import Argument, Step, StepReport, StepResult, StepTask
from CMRLib.errors import InputError
from CMRLib.export.dicom.items import ExportedMap, Exports, Findings, Measurement
from CMRLib.networks.keeper import ModelKeeper
from CMRLib.networks.models import model_entry
from CMRLib.study.series import Series, SeriesImages
from CMRLib.terms import MEAN, MILLISECOND, NO_UNITS, R2, T1
from CMRT1MappingLib.files import write_t1
from CMRT1MappingLib.fit.quality import map_doubt, map_fault
from CMRT1MappingLib.fit.reconstruction import FITS, MOLLI_CORRECTIONS, MOLLI_EFFICIENCY, FitOptions
from CMRT1MappingLib.mapping import T1Result, map_t1
from CMRT1MappingLib.motion.correction import Correction
from CMRT1MappingLib.motion.estimation import DEFAULT_MODEL, TASK, MotionModel, load_motion_model
from CMRT1MappingLib.motion.judgement import summary_r2
from CMRT1MappingLib.report import MEASURES, t1_section

if TYPE_CHECKING:
    from CMRLib.export.report.items import ReportSource, Section

MOTION_CORRECTION = Argument(
    name="motion_correction",
    flag="--no-motion-correction",
    help="map T1 from the images as acquired",
    default=True,
    parsing={"action": "store_false"},
)
FIT = Argument(
    name="fit",
    flag="--fit",
    help="which of ShMOLLI's samples are used: those the scanner would use, or those that spread short T1 least "
    "(default: %(default)s)",
    default=FITS[0],
    parsing={"choices": FITS},
)
MOLLI = Argument(
    name="molli",
    flag="--molli",
    help=f"T1 of MOLLI: plain, or divided by {MOLLI_EFFICIENCY} as scanners print it (default: %(default)s)",
    default="plain",
    parsing={"choices": tuple(MOLLI_CORRECTIONS)},
)


@dataclass(frozen=True)
class T1OfSeries:
    """One acquisition, as acquired, and its T1 result."""

    images: SeriesImages
    result: T1Result


class T1Step(Step):
    """Motion-corrected T1 maps."""

    name = "t1"
    roles = ("irw",)
    nothing = "No inversion-recovery series was found; check the folder, or describe its files in a study.json."
    columns = (
        *("scheme", "t1_file", "r2_file", "samples_file", "corrected_irw_file", "displacement_file"),
        *("motion_correction", "motion_px", "r2_before", "r2_after", "r2_smoothed"),
    )
    counts = {"T1 maps": "t1_file", "motion corrected": "corrected_irw_file"}
    measures = MEASURES
    arguments = (MOTION_CORRECTION, FIT, MOLLI)
    scene = "CMRT1MappingLib.scene.batch"

    def __init__(self) -> None:
        self._keeper = ModelKeeper[MotionModel]()

    def weights(self, choices: Mapping[str, Any]) -> dict[str, str]:
        """See `CMRLib.batch.step.Step`; without motion correction there are none."""
        return {TASK: model_entry(DEFAULT_MODEL).sha256} if _corrects(choices) else {}

    def check(self, choices: Mapping[str, Any], device: str) -> None:
        """See `CMRLib.batch.step.Step`."""
        self._model(choices, device)

    def run(self, task: StepTask) -> StepReport:
        """See `CMRLib.batch.step.Step`."""
        report, model = StepReport(), self._model(task.choices, task.device)
        acquisitions = [series for series in task.study.series if series.role in self.roles]
        if acquisitions and model is not None:
            report.models[TASK] = {"id": model.entry.id, "sha256": model.entry.sha256}
        for done, series in enumerate(acquisitions):
            start = time.perf_counter()
            progress = task.part(done, len(acquisitions))
            progress(0.0)
            try:
                images = series.load()
                result = _mapped(series, images, model, task, progress)
                if fault := map_fault(result.maps, result.heart):
                    raise InputError(fault)
            except InputError as error:
                report.errors.append(f"{series.key}: {error}")
                continue
            report.notes += images.notes
            if doubt := map_doubt(result.maps, result.heart):
                report.warnings.append(f"{series.key}: {doubt}")
            corrected = result.corrected
            if corrected is not None and corrected.outcome in (Correction.NO_BETTER, Correction.NOT_POSSIBLE):
                told = report.warnings if corrected.outcome is Correction.NOT_POSSIBLE else report.notes
                told.append(f"{series.key}: {corrected.explanation}")
            seconds = time.perf_counter() - start
            report.entries.append(write_t1(task.folder, series, result, seconds))
            report.device = result.maps.device
            value = T1OfSeries(images, result)
            report.made.append(StepResult(series.key, series, "t1", result.maps.t1[None], images.geometry, value))
        return report

    def exports(self, made: StepResult) -> Exports:
        """See `CMRLib.batch.step.Step`: T1, and the quality of its fit."""
        maps = made.value.result.maps
        fitted = maps.samples[None] > 0
        return Exports(
            maps=(
                ExportedMap("t1", "T1", maps.t1[None], MILLISECOND, T1, (0.0, 2000.0), 0.1, fitted),
                ExportedMap("r2", "R2 of the fit", maps.r2[None], NO_UNITS, R2, (0.8, 1.0), 0.0001, fitted),
            ),
            findings=(_quality(made.value.result),),
        )

    def show(self, entries: Sequence[Mapping[str, Any]], source: ReportSource) -> Section:
        """See `CMRLib.batch.step.Step`: the maps of every acquisition."""
        return t1_section(entries, source)

    def _model(self, choices: Mapping[str, Any], device: str) -> MotionModel | None:
        return self._keeper.model(load_motion_model, DEFAULT_MODEL, device) if _corrects(choices) else None


STEP = T1Step()


def _quality(result: T1Result) -> Findings:
    """R² as ``results.json`` has it, of the images that were kept."""
    corrected = result.corrected
    if corrected is None:
        r2 = summary_r2(result.maps, result.maps.samples > 0)
    else:
        r2 = corrected.r2_after if corrected.kept else corrected.r2_before
    return Findings(
        title="quality of the T1 map",
        index=0,
        measurements=(Measurement(R2, r2, NO_UNITS, derivation=MEAN),),
        flagged=bool(map_doubt(result.maps, result.heart)),
    )


def _corrects(choices: Mapping[str, Any]) -> bool:
    return bool(choices.get(MOTION_CORRECTION.name, MOTION_CORRECTION.default))


def _mapped(
    series: Series,
    images: SeriesImages,
    model: MotionModel | None,
    task: StepTask,
    progress: Callable[[float], None],
) -> T1Result:
    if series.inversion_times_ms is None:
        raise InputError("its inversion times cannot be read; state them with --inversion-times or in a study.json.")
    column_mm, row_mm, _thickness = images.geometry.spacing
    return map_t1(
        images.images,
        series.inversion_times_ms,
        images.phase,
        (row_mm, column_mm),
        scheme=series.scheme,
        options=FitOptions(
            fit=task.choices.get(FIT.name, FIT.default), molli=task.choices.get(MOLLI.name, MOLLI.default)
        ),
        model=model,
        device=task.device,
        progress=progress,
    )
