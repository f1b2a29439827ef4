"""Process studies without a window: ``cmr-batch --input STUDY [STUDY ...] --output DIR``.

Runs in the repository's environment, as the command ``cmr-batch`` after ``pip install``, and inside 3D Slicer:
``Slicer --no-splash --no-main-window --python-script cmr_batch.py ARGS``.

Exit status: 0 all studies done, 1 some failed (the others are complete), 2 usage, 3 a missing dependency or weights
file, 130 cancelled.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from CMRLib.batch.options import Outcome, SceneSaver
    from CMRLib.commands import Cancellation

REMEDY = "run pip install cmr-mapping or use 3D Slicer"
CANCELLED = "Cancelled; complete studies were kept. Run the same command again for the others."


def main(arguments: Sequence[str] | None = None, inside_slicer: bool = False) -> int:
    """Run the command with ``arguments`` (those of the process by default) and return its exit status."""
    try:
        from CMRLib.commands import exit_status
    except ModuleNotFoundError as error:  # nothing of this software is installed
        print(f"{error.name} is not installed; {REMEDY}.", file=sys.stderr)
        return 3
    return exit_status(
        lambda cancellation: _run(_parse(arguments, inside_slicer), cancellation), cancelled=CANCELLED, remedy=REMEDY
    )


def _parse(arguments: Sequence[str] | None, inside_slicer: bool) -> argparse.Namespace:
    from CMRLib.batch.registry import STEP_MODULES, available_steps, load_step
    from CMRLib.errors import InputError
    from CMRLib.study.schemes import SCHEMES

    steps = [load_step(name) for name in available_steps()]

    parser = argparse.ArgumentParser(prog="cmr-batch", description="Process cardiac MR studies without a window.")
    parser.add_argument("--input", nargs="+", type=Path, required=True, metavar="STUDY", help="folders of studies")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for the results")
    named = f"{','.join(STEP_MODULES)} (default: all that a study allows)"
    parser.add_argument("--steps", type=lambda text: tuple(text.split(",")), metavar="STEP[,STEP...]", help=named)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument(
        "--inversion-times", type=_milliseconds, metavar="MS,MS,...", help="for images whose files do not tell theirs"
    )
    parser.add_argument("--scheme", choices=SCHEMES, default="", help="of all inversion-recovery series")
    for argument in (argument for step in steps for argument in step.arguments):
        parser.add_argument(
            argument.flag, dest=argument.name, default=argument.default, help=argument.help, **argument.parsing
        )
    parser.add_argument("--scene", action="store_true", help="also save each study as a scene for 3D Slicer")
    parser.add_argument(
        "--dicom", action="store_true", help="also write the results as DICOM, into dicom/ of each study"
    )
    parser.add_argument(
        "--deidentify",
        action="store_true",
        help="write everything, the ids of studies too, under pseudonyms and without names, identifiers and dates; a "
        "pseudonym is a keyed digest of the patient's id, so that a patient has the same one in every run with the "
        "same key",
    )
    parser.add_argument(
        "--pseudonym-key",
        type=Path,
        metavar="FILE",
        help="the key of --deidentify, made where it is missing (default: among your settings); keep it, and keep it "
        "secret: whoever has it and a patient's id can find the pseudonym",
    )
    parser.add_argument("--report", action="store_true", help="also make HTML reports of each study and of all")
    parser.add_argument("--overwrite", action="store_true", help="process complete studies again")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="number of processes on this computer")
    parser.add_argument(
        "--scheduler",
        default="",
        metavar="ADDRESS",
        help="let the workers of a Dask cluster work, as tcp://HOST:8786; they need the same paths and software",
    )

    given = list(sys.argv[1:] if arguments is None else arguments)
    # Slicer takes options that look like its own, so users put -- before ours.
    options = parser.parse_args(given[1:] if given[:1] == ["--"] else given)

    for name in options.steps or ():
        try:
            load_step(name)
        except InputError as error:
            parser.error(str(error))
    options.choices = {argument.name: getattr(options, argument.name) for step in steps for argument in step.arguments}
    if options.pseudonym_key is not None and not options.deidentify:
        parser.error("--pseudonym-key has no meaning without --deidentify")
    if options.workers < 1:
        parser.error("--workers must be at least 1")
    if options.workers > 1 and options.scheduler:
        parser.error("--workers has no meaning with --scheduler, whose cluster has workers of its own")
    if options.workers > 1 and inside_slicer:
        parser.error("--workers must be 1 inside 3D Slicer; run the script with PythonSlicer for more")
    return options


def _milliseconds(text: str) -> tuple[float, ...]:
    """Numbers with commas or spaces between them; argparse tells of what is none."""
    times = tuple(float(part) for part in text.replace(",", " ").split())
    if not times:
        raise ValueError(text)
    return times


def _run(options: argparse.Namespace, cancellation: Cancellation) -> int:
    from CMRLib.batch.options import BatchOptions
    from CMRLib.batch.progress import Progress
    from CMRLib.batch.reporting import write_cohort_report
    from CMRLib.batch.results import write_summary
    from CMRLib.batch.run import run_batch
    from CMRLib.commands import EXIT_DONE, EXIT_SOME_FAILED, stopped
    from CMRLib.errors import OutputError
    from CMRLib.export.dicom.objects import load_highdicom
    from CMRLib.export.report.pages import environment

    if options.report:
        environment()  # says what is missing before anything is computed
    with contextlib.suppress(AttributeError):  # 3D Slicer has streams of its own
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # paths in any encoding
    if options.dicom:
        load_highdicom()  # says what is missing before anything is computed
    batch = BatchOptions(
        steps=options.steps,
        device=options.device,
        choices=options.choices,
        inversion_times_ms=options.inversion_times,
        scheme=options.scheme,
        overwrite=options.overwrite,
        workers=options.workers,
        scheduler=options.scheduler,
        dicom=options.dicom,
        secret=_key(options) if options.deidentify else b"",
        report=options.report,
        save_scene=_scene_saver() if options.scene else None,
    )

    progress = Progress(sys.stdout)

    def report(outcome: Outcome) -> None:
        if cancellation.requested:  # the study failed of it
            raise KeyboardInterrupt
        progress.hide()
        _report(outcome)
        progress.count()
        progress.show()

    try:
        outcomes = run_batch(options.input, options.output, batch, report, progress.expect)
    finally:
        progress.hide()
    failed = sum(not outcome.ok for outcome in outcomes)
    skipped = sum(outcome.skipped for outcome in outcomes)
    print(f"Studies: {len(outcomes) - failed - skipped} done, {skipped} complete already, {failed} failed")
    try:
        print(f"Summary: {write_summary(options.output, [outcome.results for outcome in outcomes])}")
        if options.report:
            print(f"Report: {write_cohort_report(options.output)}")
    except OutputError as error:
        return stopped(str(error), EXIT_SOME_FAILED)
    return EXIT_SOME_FAILED if failed else EXIT_DONE


def _key(options: argparse.Namespace) -> bytes:
    """The key of the pseudonyms; says where it is when it was made."""
    from CMRLib.export.pseudonyms import default_key_file, read_key

    path = options.pseudonym_key or default_key_file()
    key, made = read_key(path, options.output)
    if made:
        print(f"A new key of the pseudonyms was made: {path}; keep it, and keep it secret.", flush=True)
    return key


def _scene_saver() -> SceneSaver:
    from CMRLib.standalone import createApplication

    createApplication()  # says what is missing before anything is computed
    from CMRLib.scene.studies import saveStudyScene

    return saveStudyScene


def _report(outcome: Outcome) -> None:
    """Print what became of a study; its id is the name of its results folder and holds no patient data."""
    from CMRLib.batch.registry import available_steps, load_step

    results = outcome.results
    if outcome.skipped:
        print(f"{results['id']}: complete already", flush=True)
        return
    counted = {
        words: sum(entry[key] is not None for entry in results[name])
        for name in available_steps()
        for words, key in load_step(name).counts.items()
    }
    counted["warnings"] = len(results["warnings"])
    counts = ", ".join(f"{words}: {count}" for words, count in counted.items() if count)
    counts = counts or ("nothing found" if outcome.ok else "")
    print(f"{results['id']}: {results['status']}" + (f" ({counts})" if counts else ""), flush=True)
    # Where nothing came of a study, the reason may be among what was left out as it should be.
    told = ("errors", "warnings", "notes") if results["status"] == "failed" else ("errors", "warnings")
    for sentence in (sentence for kind in told for sentence in results[kind]):
        print(f"{results['id']}: {sentence}", file=sys.stderr, flush=True)


def _main_and_exit() -> None:
    inside_slicer = hasattr(sys.modules.get("slicer"), "app")
    status = main(inside_slicer=inside_slicer)
    if not inside_slicer:
        sys.exit(status)
    import slicer

    slicer.util.exit(status)  # Slicer would stay open otherwise


if __name__ == "__main__":
    _main_and_exit()
