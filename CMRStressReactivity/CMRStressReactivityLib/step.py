"""The step ``stress`` of a batch: the change of T1 from rest to stress, per pixel and in the 16 segments."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from CMRLib.batch.results import series_entry
from CMRLib.batch.step import Step, StepReport, StepResult, StepTask
from CMRLib.errors import InputError
from CMRLib.export.dicom.items import ExportedMap, Exports, Findings, Measurement
from CMRLib.networks.keeper import ModelKeeper
from CMRLib.networks.models import model_entry
from CMRLib.study.series import Study
from CMRLib.terms import MEAN, PERCENT, T1_REACTIVITY, T1_REACTIVITY_ERROR
from CMRStressReactivityLib import registration
from CMRStressReactivityLib.comparison import (
    SegmentReactivity,
    SliceReactivity,
    compare,
    match_maps,
    reactivity_of_segments,
)
from CMRStressReactivityLib.files import slice_entry, write_maps, write_segments
from CMRStressReactivityLib.registration import DEFAULT_MODEL, TASK
from CMRStressReactivityLib.report import MEASURES, stress_section
from CMRStressReactivityLib.sources import (
    IMAGES,
    MAPS,
    REST,
    STATES,
    STRESS,
    SourceMap,
    check_alike,
    chosen_sources,
    read_sources,
    states_with,
)
from CMRStressReactivityLib.volumes import ReactivityVolume, volume_of

if TYPE_CHECKING:
    from CMRLib.export.report.items import ReportSource, Section

_MISSING = "There is no {missing} T1 map, and dT1 needs both states; add its series, or name its state in a study.json."


@dataclass(frozen=True)
class StressOfRest:
    """What was found on the grid of one rest map.

    Attributes:
        volume: the maps.
        stress: the stress maps that they were compared with.
        partners: number of a slice -> key and slice of the stress map that it was compared with.
        segments: of the whole study, see `CMRStressReactivityLib.comparison.reactivity_of_segments`.
    """

    volume: ReactivityVolume
    stress: tuple[StepResult, ...]
    partners: Mapping[int, tuple[str, int]]
    segments: Mapping[int, SegmentReactivity]


class StressStep(Step):
    """The change of T1 from rest to stress."""

    name = "stress"
    roles = (MAPS,)
    after = ("t1", "segmentation", "landmarks")
    nothing = "No T1 map of rest and of stress was found; check the folder, or describe its files in a study.json."
    columns = (
        *("dt1_file", "registered_stress_t1_file", "segments_file", "dt1_percent", "dt1_error", "dt1_significant"),
        *("subendocardial_percent", "subepicardial_percent", "dice_before", "dice_after", "flagged", "reason"),
    )
    counts = {"slices of rest and stress": "dt1_file"}
    measures = MEASURES
    scene = "CMRStressReactivityLib.scene.batch"

    def __init__(self) -> None:
        self._keeper = ModelKeeper[registration.RegistrationModel]()

    def weights(self, choices: Mapping[str, Any]) -> dict[str, str]:
        """See `CMRLib.batch.step.Step`."""
        return {TASK: model_entry(DEFAULT_MODEL).sha256}

    def check(self, choices: Mapping[str, Any], device: str) -> None:
        """See `CMRLib.batch.step.Step`."""
        self._model(device)

    def needs(self, study: Study) -> tuple[str, ...]:
        """See `CMRLib.batch.step.Step`: T1 of images, whose motion is corrected first; and what is measured in."""
        made = ("t1",) if states_with(study, (IMAGES,)) else ()
        return (*made, "segmentation", "landmarks")

    def obstacle(self, study: Study, others: Collection[str]) -> str:
        """See `CMRLib.batch.step.Step`."""
        there = states_with(study, (MAPS, IMAGES) if "t1" in others else (MAPS,))
        if not there:
            return self.nothing
        missing = [state for state in STATES if state not in there]
        return _MISSING.format(missing=missing[0]) if missing else ""

    def run(self, task: StepTask) -> StepReport:
        """See `CMRLib.batch.step.Step`; a slice without a partner is told and left out."""
        report, model = StepReport(), self._model(task.device)
        start = time.perf_counter()
        try:
            rest, stress = _read(task, report)
            left = [[(source, n) for source in sources for n in source.slices] for sources in (rest, stress)]
            slices = [[source.slices[n] for source, n in numbered] for numbered in left]
            matching = match_maps(*slices)
        except InputError as error:
            report.errors.append(str(error))
            return report
        report.models[TASK] = {"id": model.entry.id, "sha256": model.entry.sha256}
        report.device = str(model.device)
        report.warnings += matching.left_out
        compared: dict[tuple[str, int], tuple[SliceReactivity, StepResult, int]] = {}
        for done, match in enumerate(matching.matches):
            task.progress(done / len(matching.matches))
            fixed, moving = slices[0][match.rest], slices[1][match.stress]
            (source, index), (other, number) = left[0][match.rest], left[1][match.stress]
            try:
                compared[source.result.key, index] = compare(fixed, moving, match, model), other.result, number
            except InputError as error:
                report.errors.append(f"{fixed.name}: {error}")
        _write(report, task, rest, compared, start)
        return report

    def exports(self, made: StepResult) -> Exports:
        """See `CMRLib.batch.step.Step`: dT1 and its standard error, and the mean of every slice."""
        found: StressOfRest = made.value
        volume = found.volume
        maps = [ExportedMap("dt1", "dT1", volume.percent, PERCENT, T1_REACTIVITY, (-12.0, 12.0), 0.01)]
        if volume.error is not None:
            error = ExportedMap(
                "dt1_error", "dT1 standard error", volume.error, PERCENT, T1_REACTIVITY_ERROR, (0.0, 10.0), 0.01
            )
            maps.append(error)
        findings = (
            Findings(
                title="T1 reactivity",
                index=index,
                measurements=(Measurement(T1_REACTIVITY, one.whole.percent, PERCENT, derivation=MEAN),),
                flagged=bool(one.reasons),
                model=volume.model,
                model_sha256=volume.model_sha256,
            )
            for index, one in volume.slices.items()
            if one.whole is not None
        )
        return Exports(maps=tuple(maps), findings=tuple(findings), also=tuple(one.series for one in found.stress))

    def show(self, entries: Sequence[Mapping[str, Any]], source: ReportSource) -> Section:
        """See `CMRLib.batch.step.Step`: dT1 over rest T1 in grey, before and after, and the bull's-eye."""
        return stress_section(entries, source)

    def _model(self, device: str) -> registration.RegistrationModel:
        return self._keeper.model(registration.load_registration_model, DEFAULT_MODEL, device)


STEP = StressStep()


def _read(task: StepTask, report: StepReport) -> tuple[list[SourceMap], list[SourceMap]]:
    """The maps of both states; what cannot be used goes into the report.

    Raises:
        InputError: a state has none.
    """
    sources, mixed = chosen_sources(task)
    report.warnings += [*mixed, *check_alike(sources)]
    read: dict[str, list[SourceMap]] = {}
    for state in STATES:
        read[state], errors = read_sources(sources[state], task)
        report.errors += errors
    for state in STATES:
        if not read[state]:
            raise InputError(f"dT1: There is no {state} T1 map that can be used, and dT1 needs both states.")
    return read[REST], read[STRESS]


def _write(
    report: StepReport,
    task: StepTask,
    rest: Sequence[SourceMap],
    compared: Mapping[tuple[str, int], tuple[SliceReactivity, StepResult, int]],
    start: float,
) -> None:
    """Write the files, and enter what was found into the report."""
    if not compared:
        return
    segments = reactivity_of_segments([one.divided for one, _, _ in compared.values()])
    table = write_segments(segments, task.folder).name if segments else None
    seconds = (time.perf_counter() - start) / len(compared)
    for source in rest:
        key, own = source.result.key, {n: found for (k, n), found in compared.items() if k == source.result.key}
        if not own:
            continue
        shape = source.result.images.shape
        volume = volume_of(
            {n: one for n, (one, _, _) in own.items()}, (shape[0], shape[1], shape[2]), source.myocardium
        )
        files = write_maps(volume, key, source.result.geometry, task.folder)
        for index, (one, other, number) in own.items():
            report.entries.append(
                {
                    **series_entry(source.result.series, index),
                    "state": STRESS,
                    "rest": key,
                    "rest_index": index,
                    "stress": other.key,
                    "stress_index": number,
                    **files,
                    "segments_file": table,
                    **slice_entry(one),
                    "seconds": round(seconds, 3),
                }
            )
        stress = tuple({other.key: other for _, other, _ in own.values()}.values())
        partners = {index: (other.key, number) for index, (_, other, number) in own.items()}
        value = StressOfRest(volume, stress, partners, segments)
        report.made.append(replace(source.result, role="", value=value))
