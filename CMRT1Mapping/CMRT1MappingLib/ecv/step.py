"""The step ``ecv`` of a batch: extracellular volume of every slice with a native and a post-contrast T1 map."""

from __future__ import annotations

import argparse
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from CMRLib.anatomy.aha import label_slice
from CMRLib.batch.earlier import Ventricle, landmarks_by_slice, ventricle_of
from CMRLib.batch.step import Argument, Step, StepReport, StepResult, StepTask, images_of
from CMRLib.errors import InputError
from CMRLib.export.dicom.items import ExportedMap, Exports, Findings, Measurement
from CMRLib.export.dicom.segments import levels_of
from CMRLib.study.hematocrit import hematocrit_fault
from CMRLib.study.series import Series, Study
from CMRLib.terms import ECV, MEAN, NO_UNITS, OWN_SCHEME, PERCENT, Term
from CMRT1MappingLib.ecv.calculation import inner_wall
from CMRT1MappingLib.ecv.files import EcvOfMap, SliceEcv, write_ecv
from CMRT1MappingLib.ecv.hematocrit import Hematocrit, measured_hematocrit
from CMRT1MappingLib.ecv.mapping import T1Slice, map_ecv
from CMRT1MappingLib.ecv.pairing import MapSlice, pair_slices, slices_of
from CMRT1MappingLib.ecv.report import MEASURES, ecv_section

if TYPE_CHECKING:
    from CMRLib.anatomy.landmarks import SliceLandmarks
    from CMRLib.export.report.items import ReportSource, Section

NATIVE, POST = "rest", "post"
_HEMATOCRIT = Term("20570-8", "LN", "Hematocrit [Volume Fraction] of Blood")
_SYNTHETIC = Term("synthetic-hematocrit", OWN_SCHEME, "Synthetic hematocrit, estimated from the native T1 of blood")


def _fraction(text: str) -> float:
    """A haematocrit on the command line."""
    value = float(text)
    if fault := hematocrit_fault(value):
        raise argparse.ArgumentTypeError(fault)
    return value


HEMATOCRIT = Argument(
    name="hematocrit",
    flag="--hematocrit",
    help="for the extracellular volume, as a fraction (0.42); a study.json that states its own keeps that",
    default=None,
    parsing={"type": _fraction, "metavar": "H"},
)
SYNTHETIC_HEMATOCRIT = Argument(
    name="synthetic_hematocrit",
    flag="--synthetic-hematocrit",
    help="where no haematocrit is stated, estimate it from the native T1 of the blood",
    default=False,
    parsing={"action": "store_true"},
)


class EcvStep(Step):
    """Extracellular volume."""

    name = "ecv"
    roles = ("t1",)
    after = ("t1", "segmentation", "landmarks")
    nothing = "ECV needs a native and a post-contrast T1 map, and the study does not hold both."
    columns = (
        *("ecv_file", "hematocrit", "hematocrit_source", "blood_native_ms", "blood_post_ms"),
        *("mean_percent", "mean_error", "registration", "flagged"),
    )
    counts = {"ECV maps": "ecv_file"}
    measures = MEASURES
    arguments = (HEMATOCRIT, SYNTHETIC_HEMATOCRIT)
    scene = "CMRT1MappingLib.scene.ecvbatch"

    def needs(self, study: Study) -> tuple[str, ...]:
        """See `CMRLib.batch.step.Step`: T1 of images, the segmentation, and the landmarks that segments begin at."""
        made = ("t1",) if any(series.role == "irw" for series in study.series) else ()
        return (*made, "segmentation", "landmarks")

    def obstacle(self, study: Study, others: Collection[str]) -> str:
        """See `CMRLib.batch.step.Step`: both maps are needed, and the segmentation of the native one."""
        roles = ("t1", "irw") if "t1" in others else ("t1",)
        if not {NATIVE, POST} <= {series.state for series in study.series if series.role in roles}:
            return self.nothing
        if "segmentation" not in others:
            return "ECV needs the blood pool and the myocardium of the native T1 map; add the step segmentation."
        return ""

    def missing_choice(self, study: Study, choices: Mapping[str, Any]) -> str:
        """See `CMRLib.batch.step.Step`: there is no ECV without a haematocrit."""
        if _stated(study, choices) is not None or choices.get(SYNTHETIC_HEMATOCRIT.name):
            return ""
        return (
            "ECV needs the patient's haematocrit; state it with --hematocrit or in the study.json, or have it "
            "estimated with --synthetic-hematocrit."
        )

    def check(self, choices: Mapping[str, Any], device: str) -> None:
        """See `CMRLib.batch.step.Step`: it needs nothing that may be missing."""

    def run(self, task: StepTask) -> StepReport:
        """See `CMRLib.batch.step.Step`; T1 maps made in the same run are taken as well as the series."""
        report = StepReport()
        native, post = (slices_of(maps) for maps in _maps(task, report))
        pairs = pair_slices(native, post)
        own = task.study.hematocrit
        asked = task.choices.get(HEMATOCRIT.name)
        if own is not None and asked is not None and own != asked:
            report.warnings.append(
                f"ECV: the study states the haematocrit {own:g}, so the {asked:g} of the command was not used."
            )
        alone = [one for one in native if all(one is not pair[0] for pair in pairs)]
        report.notes += [
            f"{one.made.key}: no post-contrast T1 map shows slice {one.index}, so no ECV." for one in alone
        ]
        found: dict[str, list[SliceEcv]] = {}
        for done, (one, other) in enumerate(pairs):
            task.progress(done / len(pairs))
            try:
                found.setdefault(one.made.key, []).append(_slice_ecv(one, other, task))
            except InputError as error:
                place = f", slice {one.index}" if len(one.made.images) > 1 else ""
                report.errors.append(f"ECV of {one.made.key}{place}: {error}")
        maps = {one.made.key: one.made for one, _ in pairs}
        for key, slices in found.items():
            if not slices:
                continue
            made = StepResult(key, maps[key].series, "", maps[key].images, maps[key].geometry, EcvOfMap(tuple(slices)))
            report.entries += write_ecv(task.folder, made)
            report.made.append(made)
        if any(one.result.hematocrit.is_synthetic for slices in found.values() for one in slices):
            report.warnings.append(
                "ECV: the haematocrit was estimated from the blood's native T1 (synthetic), with equations that hold "
                "for MOLLI; it is less sure than a blood sample."
            )
        return report

    def exports(self, made: StepResult) -> Exports:
        """See `CMRLib.batch.step.Step`: ECV of every pixel, and its mean with what it rests on."""
        value: EcvOfMap = made.value
        percent = value.stack("ecv", made.images.shape)
        assert percent is not None
        inner = np.zeros(percent.shape, bool)
        for one in value.slices:
            inner[one.index] = one.inner
        there = percent > 0
        return Exports(
            maps=(
                ExportedMap(
                    "ecv", "ECV", np.where(there, percent, np.nan), PERCENT, ECV, (0.0, 100.0), 0.01, there & inner
                ),
            ),
            findings=tuple(_findings(one) for one in value.slices),
        )

    def show(self, entries: Sequence[Mapping[str, Any]], source: ReportSource) -> Section:
        """See `CMRLib.batch.step.Step`: the maps of every slice, and the segments."""
        return ecv_section(entries, source)


STEP = EcvStep()


def _maps(task: StepTask, report: StepReport) -> tuple[list[StepResult], list[StepResult]]:
    """The native and the post-contrast T1 maps; what cannot be read goes into the report.

    Maps that were made in this run, which have standard errors, come before the scanner's where they are there of both
    states, so that like is taken with like.
    """
    made: list[StepResult | Series] = [*task.earlier.get("t1", ())]
    read: list[StepResult | Series] = [series for series in task.study.series if series.role == "t1"]
    choices = (made, read, [*made, *read])
    sources = next((one for one in choices if {NATIVE, POST} <= {_state(source) for source in one}), choices[-1])
    found: dict[str, list[StepResult]] = {NATIVE: [], POST: []}
    for source in sources:
        if _state(source) not in found:
            continue
        try:
            images = images_of(source)
        except InputError as error:
            report.errors.append(f"{source.key}: {error}")
            continue
        value = source.value if isinstance(source, StepResult) else None
        found[_state(source)].append(replace(images, value=value))
    return found[NATIVE], found[POST]


def _state(source: StepResult | Series) -> str:
    return (source.series if isinstance(source, StepResult) else source).state


def _stated(study: Study, choices: Mapping[str, Any]) -> float | None:
    """The measured haematocrit: the study's own before that of the command."""
    stated: float | None = choices.get(HEMATOCRIT.name) if study.hematocrit is None else study.hematocrit
    return stated


def _hematocrit(task: StepTask) -> Hematocrit | None:
    stated = _stated(task.study, task.choices)
    return None if stated is None else measured_hematocrit(stated)


def _slice_ecv(one: MapSlice, other: MapSlice, task: StepTask) -> SliceEcv:
    """ECV of one pair of slices.

    Raises:
        InputError: see `CMRT1MappingLib.ecv.mapping.map_ecv`; or there is no segmentation.
    """
    start = time.perf_counter()
    key, index, series = one.made.key, one.index, one.made.series
    ventricle = ventricle_of(task, key)
    if ventricle is None:
        raise InputError("there is no segmentation of the native T1 map; lay one beside the study, see the README.")
    myocardium = ventricle.myocardium[index]
    result = map_ecv(
        _t1_slice(one),
        _t1_slice(other),
        myocardium,
        ventricle.blood_pool[index],
        _hematocrit(task),
        field_strength_t=series.field_strength_t,
    )
    reasons = result.reasons
    if index in ventricle.flagged:
        reasons = (*reasons, "The segmentation of the native map is flagged.")
    landmarks = landmarks_by_slice(task, key).get(index)
    segments = _segments(one, ventricle, landmarks)
    return SliceEcv(
        index, other.made.key, result, inner_wall(myocardium), segments, reasons, time.perf_counter() - start
    )


def _t1_slice(one: MapSlice) -> T1Slice:
    """A slice with the standard error of its T1, where the map was made here."""
    error = None if one.made.value is None else one.made.value.result.maps.t1_error
    return T1Slice(one.t1, one.geometry, error)


def _segments(one: MapSlice, ventricle: Ventricle, landmarks: SliceLandmarks | None) -> np.ndarray | None:
    """AHA segments of a slice; None where level or landmarks are not known, or it cannot be divided."""
    levels = levels_of(ventricle.myocardium, one.made.series, one.made.geometry)
    if landmarks is None or one.index not in levels:
        return None
    try:
        return label_slice(ventricle.myocardium[one.index], landmarks, levels[one.index], one.made.geometry)
    except InputError:
        return None


def _findings(one: SliceEcv) -> Findings:
    used = one.result.hematocrit
    return Findings(
        title="extracellular volume",
        index=one.index,
        measurements=(
            Measurement(ECV, one.result.mean.percent, PERCENT, derivation=MEAN),
            Measurement(_SYNTHETIC if used.is_synthetic else _HEMATOCRIT, used.value, NO_UNITS),
        ),
        flagged=bool(one.reasons),
    )
