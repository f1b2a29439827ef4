"""The reports of processed studies, made from ``results.json`` and the files that it names."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from CMRLib import __version__
from CMRLib.batch.registry import available_steps, load_step
from CMRLib.batch.results import RESULTS_FILE, SCENE_FILE, SUMMARY_PATIENCE_S, read_results
from CMRLib.errors import CMRError, InputError, OutputError
from CMRLib.export.pseudonyms import Scrubber
from CMRLib.export.report.cohort import StepMeasure, cohort_page, cohort_study
from CMRLib.export.report.items import ReportSource, Section
from CMRLib.export.report.reviews import Reviewed, read_reviews
from CMRLib.export.report.study import ShownStep, study_page
from CMRLib.files.atomic import write_text
from CMRLib.files.locks import locked
from CMRLib.study.series import Study

REPORT_FILE = "report.html"
_HEAD_BYTES = 4096  # of a report, in which its fingerprint stands


def write_study_report(folder: Path, study: Study, results: Mapping[str, Any]) -> Path:
    """Write the report of a study beside its results.

    Args:
        folder: of the results.
        study: that they were made from.
        results: as in its ``results.json``.

    Raises:
        MissingDependencyError: jinja2 or a template is not installed.
        OutputError: the file cannot be written.
    """
    source = ReportSource(folder, study)
    done = results.get("made_from", {}).get("steps", {})
    steps = [_shown(name, results, source) for name in available_steps() if name in done or results[name]]
    reviews, problem = _reviews(folder / SCENE_FILE, study)
    return write_text(folder / REPORT_FILE, study_page(results, steps, _fingerprint(folder), reviews, problem))


def has_current_report(folder: Path) -> bool:
    """Whether the folder's report is made from the results and the scene that it holds, by this version."""
    try:
        with open(folder / REPORT_FILE, "rb") as file:
            return _fingerprint(folder).encode() in file.read(_HEAD_BYTES)
    except OSError:
        return False


def write_cohort_report(output: Path) -> Path:
    """Write the report of all studies in a folder of results; several runs may do so at once.

    Raises:
        MissingDependencyError: jinja2 or a template is not installed.
        OutputError: the file cannot be written.
    """
    steps = available_steps()
    measures = [StepMeasure(name, measure) for name in steps for measure in load_step(name).measures if measure.worst]
    path = output / REPORT_FILE
    try:
        with locked(output / f".lock-{REPORT_FILE}", SUMMARY_PATIENCE_S):
            studies = []
            for folder in sorted(output.iterdir(), key=lambda folder: _natural(folder.name)):
                results = None if folder.name.startswith(".") else read_results(folder)
                if results is not None:
                    address = f"{folder.name}/{REPORT_FILE}" if (folder / REPORT_FILE).is_file() else ""
                    studies.append(cohort_study(results, address, steps, measures))
            return write_text(path, cohort_page(studies, measures))
    except OSError as error:
        raise OutputError(f"{path} cannot be written; check the folder's permissions and free space.") from error


def _natural(name: str) -> list[tuple[int, str]]:
    """Puts 2 before 10."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", name.casefold())]


def _fingerprint(folder: Path) -> str:
    content = (folder / RESULTS_FILE).read_bytes()
    scene = folder / SCENE_FILE
    seen = f"{scene.stat().st_size} {scene.stat().st_mtime_ns}" if scene.is_file() else ""
    return hashlib.sha256(f"{__version__} {seen} ".encode() + content).hexdigest()


def _clean(sentence: str, study: Study) -> str:
    """A sentence without what it quotes of a patient who is to have a pseudonym."""
    return Scrubber.of(study).sentences([sentence])[0] if study.secret else sentence


def _reviews(scene: Path, study: Study) -> tuple[tuple[Reviewed, ...] | None, str]:
    """The reviews in a saved scene, None where there is no scene; and why they cannot be read, "" where they can."""
    if not scene.is_file():
        return None, ""
    try:
        return read_reviews(scene, lambda text: _clean(text, study)), ""
    except InputError as error:
        return None, str(error)


def _shown(name: str, results: Mapping[str, Any], source: ReportSource) -> ShownStep:
    step, entries = load_step(name), results[name]
    try:
        section, problem = step.show(entries, source), ""
    except CMRError as error:
        section, problem = Section(name.capitalize()), f"Pictures cannot be shown: {_clean(str(error), source.study)}"
    return ShownStep(name, entries, step.measures, section, problem)
