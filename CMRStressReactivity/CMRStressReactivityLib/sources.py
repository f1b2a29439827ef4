"""Where the batch finds the T1 maps of both states: those that it made itself, else the scanner's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from CMRLib.anatomy.axis import levels_along_stack
from CMRLib.batch.earlier import landmarks_by_slice, ventricle_of
from CMRLib.batch.step import StepResult, StepTask, images_of
from CMRLib.errors import InputError
from CMRLib.export.dicom.segments import levels_of
from CMRLib.files.images import read_image
from CMRLib.study.series import STACK, Series, Study
from CMRStressReactivityLib.comparison import T1Slice, t1_slice

REST, STRESS = STATES = ("rest", "stress")
MAPS, IMAGES = "t1", "irw"  # roles


@dataclass(frozen=True)
class SourceMap:
    """A T1 map of one state.

    Attributes:
        result: its key, series, images and geometry.
        slices: number of the slice -> what is known of it; blank slices are left out.
        myocardium: bool (slice, row, column), or None.
    """

    result: StepResult
    slices: Mapping[int, T1Slice]
    myocardium: np.ndarray | None


def states_with(study: Study, roles: Sequence[str]) -> list[str]:
    """Which of the states rest and stress a study has series of these roles of."""
    return [state for state in STATES if any(s.role in roles and s.state == state for s in study.series)]


def chosen_sources(task: StepTask) -> tuple[dict[str, list[StepResult | Series]], list[str]]:
    """The T1 maps of both states, by state, and a sentence where they are not of one kind.

    Maps that were made in this run have a standard error and are preferred; where they are there for one state alone
    and the scanner's for both, the scanner's are taken, so that like is compared with like.
    """
    made: dict[str, list[StepResult | Series]] = {
        state: [result for result in task.earlier.get(MAPS, ()) if result.series.state == state] for state in STATES
    }
    read: dict[str, list[StepResult | Series]] = {
        state: [s for s in task.study.series if s.role == MAPS and s.state == state] for state in STATES
    }
    for found in (made, read):
        if all(found.values()):
            return found, []
    mixed = {state: [*made[state], *read[state]] for state in STATES}
    if not all(mixed.values()):
        return mixed, []
    return mixed, [
        "T1 of one state was computed here and that of the other by the scanner, so that dT1 holds whatever the two "
        "computations differ by; export the images of both states."
    ]


def check_alike(sources: Mapping[str, Sequence[StepResult | Series]]) -> list[str]:
    """A sentence where the two states were not acquired alike.

    Raises:
        InputError: they are of different field strengths.
    """
    series = {state: [_series(source) for source in sources[state]] for state in STATES}
    fields = [{s.field_strength_t for s in series[state] if s.field_strength_t is not None} for state in STATES]
    if all(fields) and not any(abs(a - b) < 0.3 for a in fields[0] for b in fields[1]):
        told = [" and ".join(f"{value:g}" for value in sorted(found)) for found in fields]
        raise InputError(
            f"The rest T1 was measured at {told[0]} T and the stress T1 at {told[1]} T, which cannot be compared; "
            "check which series belong together."
        )
    schemes = [{s.scheme for s in series[state] if s.scheme} for state in STATES]
    if all(schemes) and schemes[0] != schemes[1]:
        return ["Rest and stress T1 were acquired with different sequences, so that dT1 holds what these differ by."]
    return []


def read_sources(sources: Sequence[StepResult | Series], task: StepTask) -> tuple[list[SourceMap], list[str]]:
    """The maps of one state with what earlier steps found in them, and a sentence for each that cannot be used."""
    read, errors = list[SourceMap](), list[str]()
    levels = _numbered_levels(sources, task)
    for source in sources:
        try:
            read.append(_read(source, task, levels))
        except InputError as error:
            errors.append(f"{source.key}: {error}")
    return read, errors


def _read(source: StepResult | Series, task: StepTask, levels: Mapping[str, str]) -> SourceMap:
    result = images_of(source)
    series, geometry, shape = result.series, result.geometry, result.images.shape
    myocardium = _myocardium(source.key, shape, task)
    points = landmarks_by_slice(task, source.key)
    known = {0: levels[source.key]} if source.key in levels else {}
    if not known and myocardium is not None:
        known = levels_of(myocardium, series, geometry)
    error = _error(source, task)
    slices: dict[int, T1Slice] = {}
    for index, values in enumerate(result.images):
        if series.slice == STACK and not np.any(values > 0):
            continue
        slices[index] = t1_slice(
            f"{index} of {source.key}" if len(result.images) > 1 else source.key,
            values,
            geometry.at_slice(index),
            None if error is None else error[index],
            None if myocardium is None else myocardium[index],
            points.get(index),
            known.get(index, ""),
        )
    if not slices:
        raise InputError("It holds no value above 0 in any slice; export the T1 map again.")
    return SourceMap(result, slices, myocardium)


def _myocardium(key: str, shape: tuple[int, ...], task: StepTask) -> np.ndarray | None:
    ventricle = ventricle_of(task, key)
    return None if ventricle is None or ventricle.myocardium.shape != shape else ventricle.myocardium


def _error(source: StepResult | Series, task: StepTask) -> np.ndarray | None:
    """The standard error that the step ``t1`` wrote beside its map."""
    path = task.folder / f"{source.key}_t1_error.nrrd"
    return read_image(path)[0] if isinstance(source, StepResult) and path.is_file() else None


def _numbered_levels(sources: Sequence[StepResult | Series], task: StepTask) -> dict[str, str]:
    """Levels of single slices that are numbered from the base, by key; those that show a myocardium count."""
    numbers = {source.key: int(s.slice) for source in sources if (s := _series(source)).slice.isdigit()}
    ventricles = {key: ventricle_of(task, key) for key in numbers}
    shown = {key for key, found in ventricles.items() if found is not None and found.myocardium.any()}
    levels = levels_along_stack([numbers[key] for key in shown])
    return {key: levels[numbers[key]] for key in shown}


def _series(source: StepResult | Series) -> Series:
    return source.series if isinstance(source, StepResult) else source
