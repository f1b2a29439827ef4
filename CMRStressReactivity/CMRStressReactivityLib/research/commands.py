"""What stress reactivity brings to cmr-train and cmr-evaluate; see `CMRLib.training.commands`."""

from __future__ import annotations

import argparse
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from CMRLib.training import commands
from CMRLib.training.commands import Subcommand


def _add_training_options(parser: argparse.ArgumentParser) -> None:
    commands.add_training_options(parser, "stress-local", examples="pairs", batch=16, learning_rate=1e-3)
    add = parser.add_argument
    add("--backbone", choices=("swin", "unet"), default="swin", help="compact network (default: %(default)s)")
    add("--loss", choices=("known", "images"), default="known", help="images is the thesis's (default: %(default)s)")
    add("--minutes", type=float, default=60.0, help="time limit (default: %(default)s)")


def _train(options: argparse.Namespace) -> None:
    """Train the registration of stress to rest and write its weights file."""
    commands.begin_training(options)
    from CMRLib.training.entries import TrainingData, install_model
    from CMRStressReactivityLib.research.training import assemble, scene_banks, train_stress

    train_stress(
        scene_banks(options.acdc, options.simulated, options.cache),
        options.output,
        commands.training_limits(options, options.minutes),
        architecture=options.architecture,
        backbone=options.backbone,
        loss=options.loss,
        initial=options.initial,
        report=commands.show,
    )
    if options.architecture == "compact":
        data = TrainingData(("ACDC",) if options.acdc else (), options.simulated, notes=(options.remark,))
        entry = assemble(options.output, options.id, data, options.backbone, options.loss)
        if options.install is not None:
            install_model(entry, options.output, options.install)


def _add_evaluation_options(parser: argparse.ArgumentParser) -> None:
    commands.add_data_option(parser, "of acdc-dev")
    add = parser.add_argument
    add("--model", help="id or weights file, as stress, which ships; none is measured where it is left out")
    add("--baseline", help="id or weights file of the U-Net that it is compared with")
    add("--anatomies", type=int, default=170, help="simulated bodies to make them of (default: %(default)s)")
    add("--stacks", type=int, default=20, help="real stacks to make them of (default: %(default)s)")
    add("--pairs", type=int, default=300, help="number of pairs (default: %(default)s)")
    add("--slow-pairs", type=int, help="the first so many pairs, on which other software is measured (default: all)")
    add("--without-peers", action="store_true", help="leave elastix and greedy out")
    add("--cache", type=Path, help="folder in which anatomies and the slow answers of other software are kept")
    add("--timed", type=int, default=5, help="pairs to measure times on (default: %(default)s)")
    add("--threads", type=int, default=2, help="CPU threads of every method (default: %(default)s)")
    add("--pictures", type=Path, help="folder for plots of agreement and pictures of two cases")


def _evaluate(options: argparse.Namespace) -> None:
    """What is left of simulated motion between rest and stress, and what becomes of the change of T1."""
    from CMRLib.training.repository import testing_module
    from CMRStressReactivityLib.registration import load_registration_model
    from CMRStressReactivityLib.research import methods, report
    from CMRStressReactivityLib.research.evaluation import evaluation_pair, unseen_scenes

    commands.use_threads(options.threads)
    acdc: Path | None = options.data / "acdc-dev"
    if acdc is not None and not acdc.is_dir():
        _tell(f"Left out: pairs of real hearts, there is no folder {acdc}. Name its parent with --data.")
        acdc = None
    model, baseline = (
        load_registration_model(name, "cpu") if name else None for name in (options.model, options.baseline)
    )
    pictures = None if options.pictures is None else testing_module("benchmark_stress_pictures")
    scenes = unseen_scenes(acdc, options.cache, options.anatomies, options.stacks)
    answers = options.cache / "answers" if options.cache else None
    own = methods.own_methods(model, baseline)
    with _peers(options) as peers:
        rows = {**methods.classical_methods(options.threads), **peers, **own}
        timed = [evaluation_pair(scenes, number) for number in range(options.timed)]
        seconds = report.seconds_per_pair(timed, rows)
        results = report.measure_pairs(
            range(options.pairs), scenes, rows, methods.TRUE, answers, _tell, options.slow_pairs
        )
    timing = report.timing_note(options.timed, options.threads)
    ours = methods.OURS if model is not None else methods.ALIGNED
    found = report.report(results, seconds, ours, timing)
    found["models"] = {
        name: loaded.entry.sha256 for name, loaded in (("model", model), ("baseline", baseline)) if loaded is not None
    }
    commands.publish(options.output, "stress", found)
    if pictures is not None:
        pictures.draw(results, ours, scenes, rows[ours], options.pictures)


def _peers(options: argparse.Namespace) -> AbstractContextManager[dict[str, Any]]:
    """The other software's methods, unless they are not wanted."""
    if options.without_peers:
        return nullcontext({})
    from CMRLib.training.repository import testing_module

    return testing_module("benchmark_stress").peer_methods(options.threads)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


TRAININGS = (Subcommand("stress", "registration of a stress T1 map to its rest map", _add_training_options, _train),)
EVALUATIONS = (
    Subcommand(
        "stress",
        "registration of simulated stress T1 maps to their rest maps, and the change of T1",
        _add_evaluation_options,
        _evaluate,
    ),
)
