"""Processing of many studies: each one whole or not at all, and again only what is missing."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from CMRLib.batch.folders import (
    check_writable,
    name_of_unreadable,
    put_in_place,
    remove_partial,
    remove_unreadable,
    start_partial,
)
from CMRLib.batch.plan import Plan, is_complete, made_from, plan_study
from CMRLib.batch.processes import in_processes
from CMRLib.batch.registry import STEP_MODULES, load_step
from CMRLib.batch.results import new_results, read_results, write_results
from CMRLib.batch.step import StepResult, StepTask
from CMRLib.errors import CMRError, DeviceError, InputError, MissingDependencyError, OutputError
from CMRLib.networks.devices import resolve_device
from CMRLib.study.reading import read_study
from CMRLib.study.series import Study

SCENE_FILE = "scene.mrb"
LOST = "Its process was ended from outside, perhaps for want of memory; run the command again with fewer workers."

# Saves the nodes of a study's results, by the step that made them, as a scene file.
SceneSaver = Callable[[Mapping[str, Sequence[StepResult]], Path], None]


@dataclass(frozen=True)
class BatchOptions:
    """What to do with every study.

    Attributes:
        steps: names of the steps to do; None does all that a study allows.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        choices: values of the options that the steps bring, see `CMRLib.batch.step.Argument`.
        overwrite: process studies again whose results are complete.
        workers: number of processes.
        save_scene: what writes each study's ``scene.mrb``, None for no scene. A function at the top level of a module,
            so that processes can share it. It comes from outside because this layer knows no nodes.
    """

    steps: tuple[str, ...] | None = None
    device: str = "auto"
    choices: Mapping[str, Any] = field(default_factory=dict)
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
        inputs: folders that `CMRLib.study.reading.read_study` reads; one given twice is processed once.
        output: folder for the results, made when missing.
        options: see `BatchOptions`.
        report: called with each outcome as it comes.

    Returns:
        An outcome for each study in the order of the inputs; a study that fails does not stop the others.

    Raises:
        InputError: a step is not there, an input is not a folder, or two inputs are the same study.
        OutputError: nothing can be written to ``output``.
        DeviceError: the device is not available.
        MissingDependencyError: a package or the weights of a step are missing, or these are damaged.
        KeyboardInterrupt: cancelled; complete studies stay, nothing else does.
    """
    for name in options.steps or ():
        load_step(name)
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
        else:
            earlier = read_results(output / study.id)
            plan = plan_study(study, options.steps, options.choices, earlier)
            if not _is_done(earlier, output / study.id, plan, options):
                jobs.append(_Job(folder, study, plan, output, options))
                continue
            outcomes[folder] = Outcome(earlier or {}, skipped=True)
        report(outcomes[folder])
    _check_steps(jobs, options.device)
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
    plan: Plan
    output: Path
    options: BatchOptions


def _check_steps(jobs: Sequence[_Job], device: str) -> None:
    """Say what is missing before anything is computed."""
    checked: list[tuple[str, Mapping[str, Any]]] = []
    for planned in (planned for job in jobs for planned in job.plan.steps):
        if (planned.step.name, planned.choices) not in checked:
            planned.step.check(planned.choices, device)
            checked.append((planned.step.name, planned.choices))


def _is_done(earlier: Mapping[str, Any] | None, folder: Path, plan: Plan, options: BatchOptions) -> bool:
    if options.overwrite or (options.save_scene is not None and not (folder / SCENE_FILE).is_file()):
        return False
    return is_complete(earlier, folder, plan)


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


def _process(job: _Job) -> Outcome:
    """Process one study; only what concerns every study is raised."""
    study, output, options = job.study, job.output, job.options
    results = new_results(study.id)
    try:
        partial = start_partial(output, study.id)
        for item in study.unrecognised:
            kind = "errors" if item.lost_role == "irw" else "warnings"
            results[kind].append(f"{item.what}: {item.reason}")
        results["errors"] += job.plan.missed
        results["notes"] += job.plan.left_out
        made = _run_steps(job, partial, results)
        found = any(results[name] for name in STEP_MODULES)
        if found or not results["errors"]:
            if options.save_scene is not None:
                options.save_scene(made, partial / SCENE_FILE)
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


def _run_steps(job: _Job, folder: Path, results: dict[str, Any]) -> dict[str, list[StepResult]]:
    """Run the steps of a plan, and enter into ``results`` what they report; the results by the step's name."""
    made: dict[str, list[StepResult]] = {}
    for planned in job.plan.steps:
        report = planned.step.run(StepTask(job.study, folder, made, job.options.device, planned.choices))
        made[planned.step.name] = report.made
        results[planned.step.name] = report.entries
        results["models"] |= report.models
        results["device"] = report.device or results["device"]
        for kind in ("errors", "warnings", "notes"):
            results[kind] += getattr(report, kind)
    results["made_from"] = made_from(job.plan)
    return made


def _lost(job: _Job) -> Outcome:
    return _failed(job.study.id, LOST, job.output)


def _failed(study_id: str, message: str, output: Path) -> Outcome:
    return _written_down(_without_files(new_results(study_id), message), output)


def _without_files(results: dict[str, Any], message: str) -> dict[str, Any]:
    """The results of a study that failed as a whole: its messages alone."""
    kept = {"warnings": results["warnings"], "errors": [*results["errors"], message], "notes": results["notes"]}
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
