"""Processing of many studies: each one whole or not at all, and again only what is missing."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from CMRLib.batch_landmarks import LandmarksResult, find_landmarks
from CMRLib.batch_t1 import T1Result, map_t1
from CMRLib.devices import resolve_device
from CMRLib.errors import CMRError, DeviceError, InputError, MissingDependencyError, OutputError
from CMRLib.processes import in_processes
from CMRLib.result_folders import (
    check_writable,
    name_of_unreadable,
    put_in_place,
    remove_partial,
    remove_unreadable,
    start_partial,
)
from CMRLib.series import Study
from CMRLib.study import read_study
from CMRLib.writers import new_results, read_results, write_results
from CMRT1MappingLib.motion_estimation import load_motion_model
from CMRT1MappingLib.reconstruction import FITS, MOLLI_CORRECTIONS, FitOptions

if TYPE_CHECKING:
    from CMRT1MappingLib.motion_estimation import MotionModel

AVAILABLE_STEPS = ("t1", "landmarks")
DEFAULT_STEPS = ("t1",)
SCENE_FILE = "scene.mrb"
LOST = "Its process was ended from outside, perhaps for want of memory; run the command again with fewer workers."

# Saves the nodes of a study's T1 maps and landmarks as a scene file.
SceneSaver = Callable[[Sequence[T1Result], Sequence[LandmarksResult], Path], None]


@dataclass(frozen=True)
class BatchOptions:
    """What to do with every study.

    Attributes:
        steps: what to do, among :data:`AVAILABLE_STEPS`.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        fit: choices of the fit.
        motion_correction: whether images are aligned before T1 is mapped, where that improves the fit.
        overwrite: process studies again whose results are complete.
        workers: number of processes.
        save_scene: what writes each study's ``scene.mrb``, None for no scene. A function at the top level of a module,
            so that processes can share it. It comes from outside because this layer knows no nodes.
    """

    steps: tuple[str, ...] = DEFAULT_STEPS
    device: str = "auto"
    motion_correction: bool = True
    fit: FitOptions = FitOptions()
    overwrite: bool = False
    workers: int = 1
    save_scene: SceneSaver | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of one input.

    Attributes:
        results: as in ``results.json``.
        skipped: the results were complete already.
    """

    results: dict[str, Any] = field(repr=False)
    skipped: bool = False

    @property
    def ok(self) -> bool:
        """Whether every result that was asked for is there."""
        return bool(self.results["status"] == "ok")


def run_batch(
    inputs: Sequence[Path],
    output: Path,
    options: BatchOptions,
    report: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Process studies into ``output``.

    Args:
        inputs: folders that :func:`CMRLib.study.read_study` reads; one given twice is processed once.
        output: folder for the results, made when missing.
        options: see :class:`BatchOptions`.
        report: called with each outcome as it comes.

    Returns:
        An outcome for each study in the order of the inputs; a study that fails does not stop the others.

    Raises:
        InputError: an input is not a folder, or two inputs are the same study.
        OutputError: nothing can be written to ``output``.
        DeviceError: the device is not available.
        MissingDependencyError: a package or the weights of the motion correction are missing, or these are damaged.
        KeyboardInterrupt: cancelled; complete studies stay, nothing else does.
    """
    resolve_device(options.device)
    # Folders are often named after patients, so messages name an input by its number.
    folders: dict[Path, int] = {}
    for number, folder in enumerate(inputs, start=1):
        if not Path(folder).is_dir():
            raise InputError(f"Input {number} is not a folder; check its path.")
        folders.setdefault(Path(folder).resolve(), number)
    check_writable(output)
    with contextlib.closing(in_processes(_read, list(folders), options.workers, lambda folder: LOST)) as pairs:
        found = dict(pairs)
    names = {
        folder: study.id if isinstance(study, Study) else name_of_unreadable(folder) for folder, study in found.items()
    }
    _check_distinct({folders[folder]: name for folder, name in names.items()})

    outcomes: dict[Path, Outcome] = {}
    jobs: list[_Job] = []
    for folder, number in folders.items():
        study = found[folder]
        if isinstance(study, str):
            outcomes[folder] = _failed(names[folder], f"Input {number}: {study}", output)
        elif (complete := _complete_results(study.id, output, options)) is not None:
            outcomes[folder] = Outcome(complete, skipped=True)
        else:
            jobs.append(_Job(folder, study, output, options))
            continue
        report(outcomes[folder])
    if jobs and "t1" in options.steps:
        _motion_model(options, None)  # says what is missing before anything is computed
    try:
        with contextlib.closing(in_processes(_process, jobs, options.workers, _lost)) as results:
            for job, outcome in results:
                outcomes[job.folder] = outcome
                report(outcome)
    finally:
        for job in jobs:
            remove_partial(output, job.study.id)
    return [outcomes[folder] for folder in folders]


@dataclass(frozen=True)
class _Job:
    folder: Path
    study: Study
    output: Path
    options: BatchOptions


def _read(folder: Path) -> Study | str:
    """The study in the folder, or the sentence that says why it cannot be read."""
    try:
        return read_study(folder)
    except CMRError as error:
        return str(error).replace(str(folder), "the folder")
    except Exception as error:
        return _unexpected(error)


def _check_distinct(ids: dict[int, str]) -> None:
    """Two inputs must not share a results folder, on file systems that ignore case as well."""
    owners: dict[str, int] = {}
    for number, study_id in ids.items():
        other = owners.setdefault(study_id.casefold(), number)
        if other != number:
            raise InputError(
                f"Inputs {other} and {number} are both the study {study_id}; give each its own id in a study.json, "
                "or process them into different output folders."
            )


def _complete_results(study_id: str, output: Path, options: BatchOptions) -> dict[str, Any] | None:
    results = read_results(output / study_id)
    if options.overwrite or results is None or results["status"] != "ok":
        return None
    if not all(results[step] for step in options.steps):
        return None
    if "t1" in options.steps and _is_corrected(results) != options.motion_correction:
        return None
    if "t1" in options.steps and not _is_fitted(results, options.fit):
        return None
    if options.save_scene is not None and not (output / study_id / SCENE_FILE).is_file():
        return None
    return results


def _is_fitted(results: Mapping[str, Any], fit: FitOptions) -> bool:
    """Whether all T1 maps of these results were made with the choices of a fit that concern them."""
    wanted = {"fit": fit.parameters("shmolli")["Fit"], "molli": fit.parameters("molli")["Molli"]}
    return all(entry.get(name, "") in ("", value) for entry in results["t1"] for name, value in wanted.items())


def _fit_options(options: BatchOptions, earlier: Mapping[str, Any] | None) -> FitOptions:
    """The choices of the fit: as asked for, or for maps that are only made again, as they were before."""
    if "t1" in options.steps or earlier is None or _is_fitted(earlier, options.fit):
        return options.fit
    tried = (FitOptions(fit=fit, molli=molli) for fit in FITS for molli in MOLLI_CORRECTIONS)
    return next((one for one in tried if _is_fitted(earlier, one)), options.fit)


def _is_corrected(results: Mapping[str, Any]) -> bool:
    """Whether motion correction was asked for when these results were made."""
    return any(entry.get("motion_correction", "off") != "off" for entry in results["t1"])


def _motion_model(options: BatchOptions, earlier: Mapping[str, Any] | None) -> MotionModel | None:
    """What corrects motion, if anything: as asked for, or for maps that are only made again, as it was before."""
    asked = options.motion_correction if "t1" in options.steps or earlier is None else _is_corrected(earlier)
    return load_motion_model(device=options.device) if asked else None


def _process(job: _Job) -> Outcome:
    """Process one study; only what concerns every study is raised."""
    study, output, options = job.study, job.output, job.options
    results, earlier = new_results(study.id), read_results(output / study.id)
    # The folder is replaced as a whole, so what an earlier run did is done again rather than lost.
    steps = [step for step in AVAILABLE_STEPS if step in options.steps or (earlier is not None and earlier[step])]
    try:
        partial = start_partial(output, study.id)
        for item in study.unrecognised:
            kind = "errors" if item.lost_role == "irw" else "warnings"
            results[kind].append(f"{item.what}: {item.reason}")
        maps: list[T1Result] = []
        marked: list[LandmarksResult] = []
        if "t1" in steps:
            model, fit = _motion_model(options, earlier), _fit_options(options, earlier)
            maps = map_t1(study, partial, options.device, results, model, fit)
        if "landmarks" in steps:
            marked = find_landmarks(study, maps, partial, options.device, results)
        if maps or marked:
            if options.save_scene is not None:
                options.save_scene(maps, marked, partial / SCENE_FILE)
            results["status"] = "partial" if results["errors"] else "ok"
            write_results(partial, results)
            put_in_place(output, study.id)
            remove_unreadable(output, job.folder)
            return Outcome(results)
    except (DeviceError, MissingDependencyError):
        raise
    except CMRError as error:
        results = _without_files(results, str(error))
    except Exception as error:
        results = _without_files(results, _unexpected(error))
    finally:
        remove_partial(output, study.id)
    return _written_down(results, output)


def _lost(job: _Job) -> Outcome:
    return _failed(job.study.id, LOST, job.output)


def _failed(study_id: str, message: str, output: Path) -> Outcome:
    return _written_down(_without_files(new_results(study_id), message), output)


def _without_files(results: dict[str, Any], message: str) -> dict[str, Any]:
    """The results of a study that failed as a whole: its messages alone."""
    kept = {"warnings": results["warnings"], "errors": [*results["errors"], message]}
    return {**new_results(results["id"]), **kept}


def _written_down(results: dict[str, Any], output: Path) -> Outcome:
    """The outcome of a failed study; written where no better results of an earlier run are."""
    earlier = read_results(output / results["id"])
    if earlier is None or earlier["status"] == "failed":
        # The failure is reported in any case, so it does not matter much if the disk has no room even for this.
        with contextlib.suppress(OutputError):
            write_results(start_partial(output, results["id"]), results)
            put_in_place(output, results["id"])
        remove_partial(output, results["id"])
    return Outcome(results)


def _unexpected(error: Exception) -> str:
    """A sentence about a fault of this program, without the error's text, which could quote a file."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"Unexpected {type(error).__name__} at {Path(place.filename).name}:{place.lineno}; please report it."
