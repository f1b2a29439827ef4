"""What T1 mapping brings to cmr-train and cmr-evaluate; see `CMRLib.training.commands`."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from CMRLib.training import commands
from CMRLib.training.commands import Subcommand


def _add_moconet_options(parser: argparse.ArgumentParser) -> None:
    commands.add_training_options(parser, "moconet-local", examples="sets", batch=4, learning_rate=1e-3)
    parser.add_argument(
        "--heart-only",
        action="store_true",
        help="go on with the part that finds the heart, keep the others as they are",
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="time limit (default: %(default)s)")


def _train_moconet(options: argparse.Namespace) -> None:
    """Train MOCOnet and write its weights file."""
    commands.begin_training(options)
    from CMRLib.training.entries import TrainingData, install_model
    from CMRT1MappingLib.research.moconet_training import assemble, motion_banks, train_moconet

    limits = commands.training_limits(options, options.minutes)
    training, validation = motion_banks(options.acdc, options.simulated, options.cache)
    train_moconet(
        training,
        validation,
        options.output,
        limits,
        architecture=options.architecture,
        heart_only=options.heart_only,
        initial=options.initial,
        report=commands.show,
    )
    if options.architecture == "compact":
        data = TrainingData(("ACDC",) if options.acdc else (), options.simulated, notes=(options.remark,))
        entry = assemble(options.output, options.id, data)
        if options.install is not None:
            install_model(entry, options.output, options.install)


def _add_t1_options(parser: argparse.ArgumentParser) -> None:
    commands.add_data_option(parser, "that holds shmolli-phantom")


def _evaluate_t1(options: argparse.Namespace) -> None:
    """The precision of the fit and, where its images are, the phantom."""
    from CMRT1MappingLib.research.fit_report import report_phantom, report_precision

    commands.publish(options.output, "t1_precision", report_precision())
    phantom = options.data / "shmolli-phantom"
    if phantom.is_dir():
        commands.publish(options.output, "t1_phantom", report_phantom(phantom))
    else:
        _tell(f"The phantom is left out: there is no folder {phantom}. Name its parent with --data.")


def _add_moco_options(parser: argparse.ArgumentParser) -> None:
    commands.add_data_option(parser, "of acdc-dev and shmolli-phantom")
    add = parser.add_argument
    add("--model", default="moconet", help="id or weights file (default: the one that ships)")
    add("--sets", type=int, default=200, help="the first so many of the 200 sets (default: %(default)s)")
    add("--still", type=int, default=24, help="still acquisitions of each kind, 0 for none (default: %(default)s)")
    add("--moved", type=int, default=6, help="moved acquisitions of each kind and severity (default: %(default)s)")
    add("--without-peers", action="store_true", help="leave SimpleITK's and elastix's registration out")
    add("--without-mdreg", action="store_true", help="leave mdreg out, which takes minutes a set")
    add("--cache", type=Path, help="folder in which the slow answers of other software are kept")
    add("--timed", type=int, default=5, help="sets to measure times on (default: %(default)s)")
    add(
        "--keep-sets", action="store_true", help="keep the report's errors of the sets; measure times and phantom again"
    )
    add(
        "--keep-peers",
        action="store_true",
        help="keep the report's errors of the other software; measure ours, and times",
    )
    add("--threads", type=int, default=2, help="CPU threads of every method (default: %(default)s)")
    add("--pictures", type=Path, help="folder for pictures of the best, the median and the worst set")


def _evaluate_moco(options: argparse.Namespace) -> None:
    """What is left of simulated motion, and what happens to a phantom that does not move."""
    from CMRLib.training.repository import testing_module
    from CMRLib.training.tables import read_results
    from CMRT1MappingLib.motion.estimation import load_motion_model
    from CMRT1MappingLib.research import motion_decisions, motion_methods, motion_phantom, motion_report

    commands.use_threads(options.threads)
    acdc, phantom = options.data / "acdc-dev", options.data / "shmolli-phantom"
    for folder, what in ((acdc, "sets with patients are"), (phantom, "the phantom is")):
        if not folder.is_dir():
            _tell(f"Left out: {what}, there is no folder {folder}. Name its parent with --data.")
    numbers = [number for number in range(max(1, options.sets)) if acdc.is_dir() or number % 2 == 0]
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    timing = motion_report.timing_note(options.timed, options.threads, load)
    model = load_motion_model(options.model, "cpu")
    own = motion_methods.own_methods(model)
    earlier = _earlier_moco(options.output / "moco.json", model.entry.sha256) if options.keep_sets else None
    draw = None if options.pictures is None else testing_module("benchmark_motion_pictures").draw_case
    with _motion_peers(options) as peers:
        methods = {**motion_methods.BEFORE, **peers, **own, **motion_methods.BOUND}
        measured = {name: method for name, method in methods.items() if not (options.keep_peers and name in peers)}
        seconds = motion_report.seconds_per_set(numbers, acdc, methods, options.timed)
        if earlier is not None:
            results = motion_report.read_results(earlier)
        else:
            results = motion_report.measure_sets(numbers, acdc, measured, options.cache, _tell)
        if options.keep_peers:
            kept = motion_report.read_results(read_results(options.output / "moco.json"))
            results = motion_report.with_earlier(results, kept, list(methods))
    report = motion_report.report_sets(results, seconds, timing)
    report["model"] = model.entry.sha256
    if phantom.is_dir():
        few = {**motion_methods.BEFORE, **own}
        moved = [motion_report.measure_set(item, few) for item in motion_phantom.phantom_sets(phantom)]
        report["phantom"] = motion_report.report_phantom(moved)
        report["tables"] |= report["phantom"].pop("tables")
    if options.still:
        cases = motion_decisions.cases(
            acdc if acdc.is_dir() else None,
            phantom if phantom.is_dir() else None,
            counts=(options.still, options.moved),
        )
        decided = motion_decisions.measure_decisions(cases, model, _tell)
        report["still"] = motion_decisions.report_decisions(decided)
        report["tables"] |= report["still"].pop("tables")
    commands.publish(options.output, "moco", report)
    if draw is not None:
        for name, number in motion_report.pictured_sets(results, motion_methods.REFINED, acdc).items():
            draw(number, acdc, own[motion_methods.REFINED], options.pictures / f"{name}.png")


def _earlier_moco(file: Path, model: str) -> dict[str, Any]:
    """The report of the same model whose errors of the simulated sets ``--keep-sets`` keeps."""
    from CMRLib.errors import InputError
    from CMRLib.training.tables import read_results

    earlier = read_results(file) if file.is_file() else {}
    if earlier.get("model") != model:
        raise InputError(f"{file} is no report of this model; run cmr-evaluate moco without --keep-sets.")
    return earlier


def _motion_peers(options: argparse.Namespace) -> AbstractContextManager[dict[str, Any]]:
    """The other software's methods, unless they are not wanted."""
    if options.without_peers:
        return nullcontext({})
    from CMRLib.training.repository import testing_module

    return testing_module("benchmark_motion").peer_methods(options.threads, with_mdreg=not options.without_mdreg)


def _add_ecv_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pairs", type=int, default=120, help="number of pairs (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default: %(default)s)")


def _evaluate_ecv(options: argparse.Namespace) -> None:
    """What registration and noise leave of a known extracellular volume."""
    from CMRT1MappingLib.research.ecv_evaluation import measure_pairs, report

    commands.use_threads(options.threads)
    commands.publish(options.output, "ecv", report(measure_pairs(range(options.pairs), _tell)))


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


TRAININGS = (Subcommand("moconet", "motion between inversion-recovery images", _add_moconet_options, _train_moconet),)
EVALUATIONS = (
    Subcommand(
        "t1",
        "T1 against the scanner's maps of a phantom and against the Cramér-Rao bound",
        _add_t1_options,
        _evaluate_t1,
    ),
    Subcommand(
        "moco",
        "motion correction of simulated sets with known motion and of a phantom",
        _add_moco_options,
        _evaluate_moco,
    ),
    Subcommand("ecv", "extracellular volume of simulated pairs with known ECV", _add_ecv_options, _evaluate_ecv),
)
