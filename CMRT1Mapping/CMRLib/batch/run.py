"""Processing of many studies: each one whole or not at all, and again only what is missing."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from CMRLib.batch.cluster import Cluster
from CMRLib.batch.folders import check_same_kind, check_writable, clear_up, name_of_unreadable
from CMRLib.batch.inputs import read_stated
from CMRLib.batch.job import LOST, Job, failed, lost, process, unexpected
from CMRLib.batch.options import BatchOptions, Outcome
from CMRLib.batch.processes import Processes, gpus_of
from CMRLib.batch.registry import load_step
from CMRLib.batch.workers import ThisProcess, Workers
from CMRLib.errors import CMRError, DeviceError, InputError
from CMRLib.export.pseudonyms import Scrubber, deidentified, without_quotes
from CMRLib.networks.devices import resolve_device
from CMRLib.study.series import Study

NO_FOLDER = "it is not a folder; check its path."


def run_batch(
    inputs: Sequence[Path],
    output: Path,
    options: BatchOptions,
    report: Callable[[Outcome], None] = lambda outcome: None,
    expect: Callable[[int], None] = lambda studies: None,
) -> list[Outcome]:
    """Process studies into ``output``.

    Args:
        inputs: folders that `CMRLib.study.reading.read_study` reads; one given twice is processed once.
        output: folder for the results, made when missing.
        options: see `CMRLib.batch.options.BatchOptions`.
        report: called with each outcome as it comes.
        expect: called with the number of studies that are left to do, once it is known, before the first is done.

    Returns:
        An outcome for each study in the order of the inputs; a study that fails does not stop the others.

    Raises:
        InputError: a step is not there, no input is a folder, or two inputs are the same study.
        OutputError: nothing can be written to ``output``.
        DeviceError: the device is not available, or there are fewer of it than workers, or no scheduler answers.
        MissingDependencyError: a package or the weights of a step are missing, or these are damaged.
        KeyboardInterrupt: cancelled; complete studies stay, nothing else does.
    """
    for name in options.steps or ():
        load_step(name)
    # Folders are often named after patients, so messages name an input by its number.
    folders: dict[Path, int] = {}
    for number, folder in enumerate(inputs, start=1):
        folders.setdefault(Path(folder).resolve(), number)
    if not any(os.path.isdir(folder) for folder in folders):  # which a folder that may not be entered is not
        raise InputError("Input 1 is not a folder; check its path.")
    outcomes: dict[Path, Outcome] = {}
    jobs: list[Job] = []
    try:
        with _workers(options, len(folders)) as workers:
            check_writable(output)
            check_same_kind(output, bool(options.secret))
            found = dict(workers.results(partial(_read, options=options), list(folders), lambda folder: LOST))
            for folder, outcome in _sorted_out(folders, found, output, options, jobs).items():
                outcomes[folder] = outcome
                report(outcome)
            # Where others compute, the weights are looked at here and the device is looked for there.
            _check_steps([job for job in jobs if job.settled() is None], "cpu" if options.scheduler else options.device)
            expect(len(jobs))
            for job, outcome in workers.results(process, jobs, lost):
                outcomes[job.folder] = outcome
                report(outcome)
    finally:
        for job in jobs:
            clear_up(output, job.study.id)
    return [outcomes[folder] for folder in folders]


def _workers(options: BatchOptions, items: int) -> Workers:
    """Who works on that many inputs."""
    if options.scheduler:
        return Cluster(options.scheduler)
    device = resolve_device(options.device)
    count = min(options.workers, items)
    if count == 1:
        return ThisProcess()
    if device.type != "cuda":
        return Processes(count)
    import torch

    gpus = torch.cuda.device_count() if device.index is None else 1
    if count > gpus:
        raise DeviceError(
            f"A GPU is one worker's, and there are {count} workers for {gpus}; state --workers {gpus} or --device cpu."
        )
    return Processes(count, gpus_of(gpus, count))


def _sorted_out(
    folders: Mapping[Path, int],
    found: Mapping[Path, tuple[Study, tuple[str, ...]] | str],
    output: Path,
    options: BatchOptions,
    jobs: list[Job],
) -> dict[Path, Outcome]:
    """The outcomes of inputs that need no work; the others are added to ``jobs``.

    Raises:
        InputError: two inputs are the same study.
    """
    names = {
        folder: name_of_unreadable(folder, options.secret) if isinstance(study, str) else study[0].id
        for folder, study in found.items()
    }
    _check_distinct({folders[folder]: names[folder] for folder in folders})
    outcomes: dict[Path, Outcome] = {}
    for folder, number in folders.items():
        study = found[folder]
        if isinstance(study, str):
            outcomes[folder] = failed(names[folder], f"Input {number}: {study}", output, options.secret)
            continue
        job = Job(folder, *study, output, options)
        settled = job.settled()
        if settled is None or job.lacks_report(settled):
            jobs.append(job)
        else:
            outcomes[folder] = settled
    return outcomes


def _check_steps(jobs: Sequence[Job], device: str) -> None:
    """Say what is missing before anything is computed."""
    checked: list[tuple[str, Mapping[str, Any]]] = []
    for planned in (planned for job in jobs for planned in job.plan().steps):
        if (planned.step.name, planned.choices) not in checked:
            planned.step.check(planned.choices, device)
            checked.append((planned.step.name, planned.choices))


def _read(folder: Path, options: BatchOptions) -> tuple[Study, tuple[str, ...]] | str:
    """The study in the folder and warnings about it, or the sentence that says why it cannot be read."""
    if not os.path.isdir(folder):
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
