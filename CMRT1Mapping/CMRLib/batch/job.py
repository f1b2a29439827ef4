"""One study of a batch: what is left to do, and doing it, whole or not at all."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from CMRLib.batch.exporting import DICOM, is_written, write_dicom
from CMRLib.batch.folders import (
    put_in_place,
    remove_partial,
    remove_unreadable,
    start_partial,
    study_lock,
)
from CMRLib.batch.inputs import are_same, inputs_of, is_same_place
from CMRLib.batch.options import BatchOptions, Outcome
from CMRLib.batch.plan import Plan, is_complete, plan_study
from CMRLib.batch.registry import STEP_MODULES
from CMRLib.batch.reporting import has_current_report, write_study_report
from CMRLib.batch.results import SCENE_FILE, new_results, read_results, write_results
from CMRLib.batch.running import run_steps, tell_of_reading
from CMRLib.errors import CMRError, DeviceError, MissingDependencyError, OutputError
from CMRLib.export.pseudonyms import Scrubber
from CMRLib.study.series import Study

LOST = "Its process was ended from outside, perhaps for want of memory; run the command again with fewer workers."
BUSY = "Another run is working on this study; run the command again when that has ended."
OTHER_INPUT = (
    "There are results of this id already, made from other files in another folder. If they are another patient's, "
    "give each study its own id in a study.json, or process them into different output folders; if they are the same "
    "study's, state --overwrite."
)
REPLACED = "Earlier results were replaced: the files that they were made from, or what is stated of them, changed."


@dataclass(frozen=True)
class Job:
    """A study to be processed.

    Attributes:
        folder: the input.
        study: what is in it.
        warnings: sentences about how it was read.
        output: folder of all results.
        options: what to do.
    """

    folder: Path
    study: Study
    warnings: tuple[str, ...]
    output: Path
    options: BatchOptions

    @property
    def final(self) -> Path:
        """Where the results go."""
        return self.output / self.study.id

    def plan(self) -> Plan:
        """What is to be done, in view of the results so far."""
        return plan_study(self.study, self.options.steps, self.options.choices, read_results(self.final))

    def wants_dicom(self, earlier: Mapping[str, Any] | None) -> bool:
        """Whether DICOM is to be written: it was asked for, or what an earlier run wrote would be lost."""
        return self.options.dicom or (earlier is not None and DICOM in earlier)

    def settled(self) -> Outcome | None:
        """The outcome where the results so far are complete, or are another study's; None where work is left."""
        earlier = read_results(self.final)
        if self.options.overwrite or earlier is None or earlier["status"] == "failed":
            return None
        recorded = _inputs_of(earlier)
        if are_same(recorded, self.study):
            has_scene = self.options.save_scene is None or (self.final / SCENE_FILE).is_file()
            has_dicom = not self.wants_dicom(earlier) or is_written(earlier, self.final)
            complete = has_scene and has_dicom and is_complete(earlier, self.final, self.plan())
            return Outcome(earlier, skipped=True) if complete else None
        if recorded and not is_same_place(recorded, self.study):
            return Outcome(_without_files(new_results(self.study.id), OTHER_INPUT))
        return None

    def lacks_report(self, outcome: Outcome) -> bool:
        """Whether the report of these results is left to do; a study that failed has none."""
        return self.options.report and outcome.results["status"] != "failed" and not has_current_report(self.final)


def process(job: Job) -> Outcome:
    """Process one study; only what concerns every study is raised."""
    try:
        with study_lock(job.output, job.study.id) as held:
            if not held:
                return Outcome(_without_files(new_results(job.study.id), BUSY))
            # Another run may have finished it, or put another study in its place, since this one looked.
            return _reported(job, job.settled() or _process(job))
    except OutputError as error:
        return Outcome(_without_files(new_results(job.study.id), str(error)))


def _reported(job: Job, outcome: Outcome) -> Outcome:
    """The outcome after the report was made where that is left to do; a report that fails costs no result."""
    if not job.lacks_report(outcome):
        return outcome
    try:
        write_study_report(job.final, job.study, outcome.results)
        return outcome
    except MissingDependencyError:
        raise
    except CMRError as error:
        message = str(error)
    except Exception as error:
        message = unexpected(error)
    errors = [*outcome.results["errors"], f"Its report cannot be made: {message}"]
    return Outcome(_clean({**outcome.results, "status": "partial", "errors": errors}, job.study))


def lost(job: Job) -> Outcome:
    """The outcome of a study whose process was ended."""
    return failed(job.study.id, LOST, job.output, job.study.secret)


def failed(study_id: str, message: str, output: Path, secret: bytes = b"") -> Outcome:
    """The outcome of an input that cannot be processed, which is written down."""
    results = _without_files(_new_results(study_id, secret), message)
    with contextlib.suppress(OutputError), study_lock(output, study_id) as held:
        if held:
            _write_down(results, output)
    return Outcome(results)


def unexpected(error: Exception) -> str:
    """A sentence about a fault of this program, without the error's text, which could quote a file."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"Unexpected {type(error).__name__} at {Path(place.filename).name}:{place.lineno}; please report it."


def _inputs_of(results: Mapping[str, Any]) -> dict[str, Any]:
    recorded: dict[str, Any] = results.get("made_from", {}).get("inputs", {})
    return recorded


def _process(job: Job) -> Outcome:
    """Process a study whose lock is held."""
    study, output = job.study, job.output
    results, plan, earlier = _new_results(study.id, study.secret), job.plan(), read_results(job.final)
    try:
        partial = start_partial(output, study.id)
        results["made_from"] = {"inputs": inputs_of(study), "steps": plan.settings()}
        if earlier is not None and _inputs_of(earlier) and not are_same(_inputs_of(earlier), study):
            results["notes"].append(REPLACED)
        tell_of_reading(study, plan, job.warnings, results)
        made = run_steps(study, plan, partial, job.options.device, results)
        found = any(results[name] for name in STEP_MODULES)
        if found or not results["errors"]:
            if job.wants_dicom(earlier):
                write_dicom(study, plan, made, partial, results)
            if job.options.save_scene is not None:
                job.options.save_scene(made, partial / SCENE_FILE)
            results["status"] = "partial" if results["errors"] else "ok"
            results = _clean(results, study)
            write_results(partial, results)
            put_in_place(output, study.id)
            remove_unreadable(output, job.folder, study.secret)
            return Outcome(results)
    except (DeviceError, MissingDependencyError):
        raise
    except CMRError as error:
        results = _without_files(results, str(error))
    except Exception as error:
        results = _without_files(results, unexpected(error))
    finally:
        remove_partial(output, study.id)
    results = _clean(results, study)
    _write_down(results, output)
    return Outcome(results)


def _new_results(study_id: str, secret: bytes) -> dict[str, Any]:
    """Results before anything was computed; "deidentified" is there where they carry a pseudonym."""
    return new_results(study_id) | ({"deidentified": True} if secret else {})


def _clean(results: dict[str, Any], study: Study) -> dict[str, Any]:
    """The results, without what sentences quote of a patient who is to have a pseudonym."""
    return Scrubber.of(study).scrub(results) if study.secret else results


def _without_files(results: dict[str, Any], message: str) -> dict[str, Any]:
    """The results of a study that failed as a whole: its messages alone."""
    kept = {"warnings": results["warnings"], "errors": [*results["errors"], message], "notes": results["notes"]}
    return {**new_results(results["id"]), **kept, **{key: True for key in ("deidentified",) if key in results}}


def _write_down(results: dict[str, Any], output: Path) -> None:
    """Write the results of a failed study where no better ones of an earlier run are; the lock must be held."""
    earlier = read_results(output / results["id"])
    if earlier is None or earlier["status"] == "failed":
        # The failure is reported in any case, so it does not matter much if the disk has no room even for this.
        with contextlib.suppress(OutputError):
            write_results(start_partial(output, results["id"]), results)
            put_in_place(output, results["id"])
        remove_partial(output, results["id"])
