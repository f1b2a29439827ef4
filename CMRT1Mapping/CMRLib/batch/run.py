"""Processing of many studies: each one whole or not at all, and again only what is missing."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from CMRLib.batch.folders import check_same_kind, check_writable, clear_up, name_of_unreadable
from CMRLib.batch.inputs import read_stated
from CMRLib.batch.job import LOST, Job, failed, lost, process, unexpected
from CMRLib.batch.options import BatchOptions, Outcome
from CMRLib.batch.processes import in_processes
from CMRLib.batch.registry import load_step
from CMRLib.errors import CMRError, InputError
from CMRLib.export.pseudonyms import Scrubber, deidentified, without_quotes
from CMRLib.networks.devices import resolve_device
from CMRLib.study.series import Study

NO_FOLDER = "it is not a folder; check its path."


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
        options: see `CMRLib.batch.options.BatchOptions`.
        report: called with each outcome as it comes.

    Returns:
        An outcome for each study in the order of the inputs; a study that fails does not stop the others.

    Raises:
        InputError: a step is not there, no input is a folder, or two inputs are the same study.
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
        folders.setdefault(Path(folder).resolve(), number)
    if not any(folder.is_dir() for folder in folders):
        raise InputError("Input 1 is not a folder; check its path.")
    check_writable(output)
    check_same_kind(output, bool(options.secret))
    read = functools.partial(_read, options=options)
    with contextlib.closing(in_processes(read, list(folders), options.workers, lambda folder: LOST)) as pairs:
        found = dict(pairs)
    names = {
        folder: name_of_unreadable(folder, options.secret) if isinstance(study, str) else study[0].id
        for folder, study in found.items()
    }
    _check_distinct({folders[folder]: name for folder, name in names.items()})

    outcomes: dict[Path, Outcome] = {}
    jobs: list[Job] = []
    for folder, number in folders.items():
        study = found[folder]
        if isinstance(study, str):
            outcomes[folder] = failed(names[folder], f"Input {number}: {study}", output, options.secret)
        else:
            job = Job(folder, *study, output, options)
            settled = job.settled()
            if settled is None or job.lacks_report(settled):
                jobs.append(job)
                continue
            outcomes[folder] = settled
        report(outcomes[folder])
    _check_steps([job for job in jobs if job.settled() is None], options.device)
    try:
        with contextlib.closing(in_processes(process, jobs, options.workers, lost)) as results:
            for job, outcome in results:
                outcomes[job.folder] = outcome
                report(outcome)
    finally:
        for job in jobs:
            clear_up(output, job.study.id)
    return [outcomes[folder] for folder in folders]


def _check_steps(jobs: Sequence[Job], device: str) -> None:
    """Say what is missing before anything is computed."""
    checked: list[tuple[str, Mapping[str, Any]]] = []
    for planned in (planned for job in jobs for planned in job.plan().steps):
        if (planned.step.name, planned.choices) not in checked:
            planned.step.check(planned.choices, device)
            checked.append((planned.step.name, planned.choices))


def _read(folder: Path, options: BatchOptions) -> tuple[Study, tuple[str, ...]] | str:
    """The study in the folder and warnings about it, or the sentence that says why it cannot be read."""
    if not folder.is_dir():
        return NO_FOLDER
    try:
        study, warnings = read_stated(folder, options.inversion_times_ms, options.scheme)
        if not options.secret:
            return study, warnings
        return deidentified(study, options.secret), tuple(Scrubber.of(study).sentences(warnings))
    except CMRError as error:
        sentence = str(error).replace(str(folder), "the folder")
        return without_quotes(sentence, folder) if options.secret else sentence
    except Exception as error:
        return unexpected(error)


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
