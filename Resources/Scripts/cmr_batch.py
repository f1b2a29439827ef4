"""Process studies without a window: ``cmr-batch --input STUDY [STUDY ...] --output DIR``.

Runs in the repository's environment, as the command ``cmr-batch`` after ``pip install``, and inside 3D Slicer:
``Slicer --no-splash --no-main-window --python-script cmr_batch.py ARGS``.

Exit status: 0 all studies done, 1 some failed (the others are complete), 2 usage, 3 a missing dependency or weights
file, 130 cancelled.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from CMRLib.batch import Outcome, SceneSaver

EXIT_DONE, EXIT_SOME_FAILED, EXIT_USAGE, EXIT_MISSING, EXIT_CANCELLED = 0, 1, 2, 3, 130


def main(arguments: Sequence[str] | None = None, inside_slicer: bool = False) -> int:
    """Run the command with ``arguments`` (those of the process by default) and return its exit status."""
    cancellation = _Cancellation()
    handlers = {signal.SIGTERM: signal.signal(signal.SIGTERM, cancellation)}  # schedulers end jobs with it
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        handlers[signal.SIGINT] = signal.signal(signal.SIGINT, cancellation)
    try:
        from CMRLib.errors import CMRError, MissingDependencyError

        try:
            with cancellation.not_hidden():
                return _run(_parse(arguments, inside_slicer), cancellation)
        except MissingDependencyError as error:
            return _stop(str(error), EXIT_MISSING)
        except CMRError as error:
            return _stop(str(error), EXIT_USAGE)
    except SystemExit as stop:  # argparse
        return stop.code if isinstance(stop.code, int) else EXIT_USAGE
    except KeyboardInterrupt:
        return _stop(
            "Cancelled; complete studies were kept. Run the same command again for the others.", EXIT_CANCELLED
        )
    except ModuleNotFoundError as error:
        return _stop(f"{error.name} is not installed; run pip install cmr-mapping or use 3D Slicer.", EXIT_MISSING)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler or signal.SIG_DFL)  # None: the application's own, in C++


class _Cancellation:
    """Handler of signals that end the run.

    It remembers that there was one, because libraries that are interrupted while they load say that they are missing.
    """

    def __init__(self) -> None:
        self.requested = False

    def __call__(self, signal_number: int, frame: object) -> NoReturn:
        self.requested = True
        raise KeyboardInterrupt

    @contextlib.contextmanager
    def not_hidden(self) -> Iterator[None]:
        """Errors after a signal are taken for the interrupt that caused them."""
        try:
            yield
        except Exception:
            if self.requested:
                raise KeyboardInterrupt from None
            raise


def _stop(sentence: str, status: int) -> int:
    print(sentence, file=sys.stderr)
    return status


def _parse(arguments: Sequence[str] | None, inside_slicer: bool) -> argparse.Namespace:
    from CMRLib.batch import AVAILABLE_STEPS, DEFAULT_STEPS
    from CMRLib.writers import STEPS
    from CMRT1MappingLib.reconstruction import FITS, MOLLI_CORRECTIONS, MOLLI_EFFICIENCY

    parser = argparse.ArgumentParser(prog="cmr-batch", description="Process cardiac MR studies without a window.")
    parser.add_argument("--input", nargs="+", type=Path, required=True, metavar="STUDY", help="folders of studies")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for the results")
    parser.add_argument("--steps", default=",".join(DEFAULT_STEPS), help=f"{','.join(STEPS)} (default: %(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--no-motion-correction", action="store_true", help="map T1 from the images as acquired")
    parser.add_argument(
        "--fit",
        choices=FITS,
        default=FITS[0],
        help="which of ShMOLLI's samples are used: those the scanner would use, or those that spread short T1 least "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--molli",
        choices=tuple(MOLLI_CORRECTIONS),
        default="plain",
        help=f"T1 of MOLLI: plain, or divided by {MOLLI_EFFICIENCY} as scanners print it (default: %(default)s)",
    )
    parser.add_argument("--hematocrit", type=float, metavar="H", help="not part of this version")
    parser.add_argument("--scene", action="store_true", help="also save each study as a scene for 3D Slicer")
    parser.add_argument("--report", action="store_true", help="not part of this version")
    parser.add_argument("--dicom", action="store_true", help="not part of this version")
    parser.add_argument("--overwrite", action="store_true", help="process complete studies again")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="number of processes")

    given = list(sys.argv[1:] if arguments is None else arguments)
    # Slicer takes options that look like its own, so users put -- before ours.
    options = parser.parse_args(given[1:] if given[:1] == ["--"] else given)

    for step in options.steps.split(","):
        if step not in STEPS:
            parser.error(f'there is no step "{step}"; choose from {", ".join(AVAILABLE_STEPS)}')
        if step not in AVAILABLE_STEPS:
            parser.error(f"the step {step} is not part of this version; choose from {', '.join(AVAILABLE_STEPS)}")
    for name, value in (("hematocrit", options.hematocrit), ("report", options.report), ("dicom", options.dicom)):
        if value not in (None, False):
            parser.error(f"--{name} is not part of this version; leave it out")
    if options.workers < 1:
        parser.error("--workers must be at least 1")
    if options.workers > 1 and inside_slicer:
        parser.error("--workers must be 1 inside 3D Slicer; run the script with PythonSlicer for more")
    return options


def _run(options: argparse.Namespace, cancellation: _Cancellation) -> int:
    from CMRLib.batch import BatchOptions, run_batch
    from CMRLib.errors import OutputError
    from CMRLib.writers import write_summary
    from CMRT1MappingLib.reconstruction import FitOptions

    batch = BatchOptions(
        steps=tuple(options.steps.split(",")),
        device=options.device,
        motion_correction=not options.no_motion_correction,
        fit=FitOptions(fit=options.fit, molli=options.molli),
        overwrite=options.overwrite,
        workers=options.workers,
        save_scene=_scene_saver() if options.scene else None,
    )

    def report(outcome: Outcome) -> None:
        if cancellation.requested:  # the study failed of it
            raise KeyboardInterrupt
        _report(outcome)

    outcomes = run_batch(options.input, options.output, batch, report)
    failed = sum(not outcome.ok for outcome in outcomes)
    skipped = sum(outcome.skipped for outcome in outcomes)
    print(f"Studies: {len(outcomes) - failed - skipped} done, {skipped} complete already, {failed} failed")
    try:
        print(f"Summary: {write_summary(options.output, [outcome.results for outcome in outcomes])}")
    except OutputError as error:
        return _stop(str(error), EXIT_SOME_FAILED)
    return EXIT_SOME_FAILED if failed else EXIT_DONE


def _scene_saver() -> SceneSaver:
    from CMRLib.standalone import createApplication

    createApplication()  # says what is missing before anything is computed
    from CMRLib.scene.studies import saveStudyScene

    return saveStudyScene


def _report(outcome: Outcome) -> None:
    """Print what became of a study; its id is the name of its results folder and holds no patient data."""
    results = outcome.results
    if outcome.skipped:
        print(f"{results['id']}: complete already", flush=True)
        return
    maps, warnings = len(results["t1"]), len(results["warnings"])
    corrected = sum(entry["corrected_irw_file"] is not None for entry in results["t1"])
    marked = sum(entry["lv_center_px"] is not None for entry in results["landmarks"])
    counts = f"T1 maps: {maps}" + (f", motion corrected: {corrected}" if corrected else "")
    counts += f", landmarks: {marked}" if marked else ""
    counts += f", warnings: {warnings}" if warnings else ""
    print(f"{results['id']}: {results['status']} ({counts})", flush=True)
    for error in results["errors"]:
        print(f"{results['id']}: {error}", file=sys.stderr, flush=True)


def _main_and_exit() -> None:
    inside_slicer = hasattr(sys.modules.get("slicer"), "app")
    status = main(inside_slicer=inside_slicer)
    if not inside_slicer:
        sys.exit(status)
    import slicer

    slicer.util.exit(status)  # Slicer would stay open otherwise


if __name__ == "__main__":
    _main_and_exit()
