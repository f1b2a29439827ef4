"""What the landmarks bring to cmr-train and cmr-evaluate; see `CMRLib.training.commands`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from CMRLib.training import commands
from CMRLib.training.commands import Subcommand

TEST_PARTS = ("simulated", "acdc", "emidec", "use")


def _add_landmarks_options(parser: argparse.ArgumentParser) -> None:
    commands.add_training_options(parser, "landmarks-local", examples="images", batch=16, learning_rate=2e-3)
    add = parser.add_argument
    add("--emidec", type=Path, help="folder of labelled LGE stacks in EMIDEC's format")
    add("--contrasts", help="contrasts of the simulated images, separated by commas (default: all)")
    add("--with-validation", action="store_true", help="train on ACDC's validation patients too, from --initial on")
    add("--unseeing", type=Path, help="run that never saw those and gives the accuracy (default: --initial)")
    add("--stage", choices=("1", "2", "both"), default="both", help="stage to train (default: %(default)s)")
    add("--minutes", type=float, nargs="+", default=[30.0], help="time limit of each stage (default: 30)")
    add("--crop-size", type=int, choices=(128, 192), default=128, help="of stage 2 (default: %(default)s)")
    add("--no-augmentation", action="store_true", help="the thesis's baseline")


def _train_landmarks(options: argparse.Namespace) -> None:
    """Train the landmark model and write its weights file once both stages are there."""
    commands.begin_training(options)
    from CMRLandmarksLib.research.training_run import TrainingImages, assemble, train_stage
    from CMRLib.errors import InputError
    from CMRLib.simulation.contrasts import CONTRASTS
    from CMRLib.training.entries import install_model
    from CMRLib.training.trainer import METRICS

    contrasts = tuple(options.contrasts.split(",")) if options.contrasts else CONTRASTS
    source = TrainingImages(options.acdc, options.emidec, options.simulated, contrasts, options.with_validation)
    if options.with_validation and options.initial is None:
        raise InputError("With --with-validation, name the run to go on with by --initial; it gives the accuracy.")
    stages = (1, 2) if options.stage == "both" else (int(options.stage),)
    if len(options.minutes) not in (1, len(stages)):
        raise InputError("Give --minutes one number, or one for each stage.")
    minutes = options.minutes * (len(stages) if len(options.minutes) == 1 else 1)
    for stage, limit in zip(stages, minutes, strict=True):
        train_stage(
            source,
            options.output,
            commands.training_limits(options, limit),
            stage=stage,
            augment=not options.no_augmentation,
            crop_size=options.crop_size,
            cache=options.cache,
            initial=options.initial,
            architecture=options.architecture,
            report=commands.show,
        )
    finished = all((options.output / f"stage{stage}" / METRICS).is_file() for stage in (1, 2))
    if options.architecture == "compact" and finished:
        entry = assemble(
            options.output,
            options.id,
            source,
            crop_size=options.crop_size,
            unseeing=(options.unseeing or options.initial) if options.with_validation else None,
            remark=options.remark,
            report=commands.show,
        )
        if options.install is not None:
            install_model(entry, options.output, options.install)


def _add_confidence_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--model", default="landmarks-generalist", help="id or weights file (default: the one that ships)")
    add("--output", type=Path, required=True, help="folder for the weights file")
    add("--acdc", type=Path, help="folder of labelled cine stacks in ACDC's format")
    add("--emidec", type=Path, help="folder of labelled LGE stacks in EMIDEC's format")
    add("--unseeing", type=Path, help="weights of a model that was not trained on ACDC's validation patients")
    add("--install", type=Path, help="folder of models, with a manifest.json, to put the weights into")
    add("--threads", type=int, help="CPU threads (default: all cores)")


def _calibrate_confidence(options: argparse.Namespace) -> None:
    """Fit the confidence of a trained model anew on validation images."""
    from CMRLandmarksLib.research.training_run import TrainingImages, recalibrate
    from CMRLib.training.entries import install_model

    if options.threads:
        commands.use_threads(options.threads)
    source = TrainingImages(options.acdc, options.emidec)
    entry = recalibrate(options.model, options.output, source, unseeing=options.unseeing, report=commands.show)
    if options.install is not None:
        install_model(entry, options.output, options.install)


def _add_grid_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--output", type=Path, required=True, help="folder of the grid; measure it with cmr-evaluate landmarks-grid")
    commands.add_simulated_option(parser)
    add("--minutes", type=float, default=30.0, help="time limit of each stage of each run (default: %(default)s)")
    add("--batch", type=int, default=16, help="images a step (default: %(default)s)")
    commands.add_device_option(parser)


def _train_grid(options: argparse.Namespace) -> None:
    """Train the whole grid, one run after the other; finished ones are not trained again."""
    from CMRLib.networks.devices import resolve_device

    resolve_device(options.device)
    from CMRLandmarksLib.research.training_run import assemble, grid_runs, train_stage
    from CMRLib.training.trainer import METRICS, TrainingOptions

    limits = TrainingOptions(minutes=options.minutes, batch=options.batch, device=options.device)
    for run in grid_runs(options.simulated):
        folder = options.output / run.folder
        for stage in run.stages:
            if (folder / f"stage{stage}" / METRICS).is_file():
                continue
            commands.show(f"{run.name}, {run.folder.name}, stage {stage}")
            cache = options.output / "cache"
            train_stage(run.source, folder, limits, stage=stage, augment=run.augment, cache=cache)
        if len(run.stages) == 2:
            assemble(folder, f"landmarks-{run.name.replace('_', '-')}", run.source)


def _add_evaluation_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--models",
        nargs="+",
        default=["landmarks-generalist"],
        help="ids or weights files; the first is reported in full, the others beside it (default: the one that ships)",
    )
    commands.add_data_option(parser, "with acdc-dev and emidec-dev")
    add(
        "--parts",
        nargs="+",
        choices=TEST_PARTS,
        default=TEST_PARTS,
        help="what to measure: errors on simulated, ACDC and EMIDEC test images, and confidence and time in use "
        "(default: all)",
    )
    _add_anatomies_option(parser)
    add("--every", type=int, default=2, help="corrupt every n-th test image (default: %(default)s)")
    commands.add_device_option(parser, "cpu")
    add("--threads", type=int, default=2, help="CPU threads (default: %(default)s)")
    add("--record", type=Path, help="manifest in which to write what was measured of the first model")


def _add_anatomies_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--anatomies", type=int, default=30, help="simulated test anatomies (default: %(default)s)")


def _evaluate_landmarks(options: argparse.Namespace) -> None:
    """Errors on simulated and real test images, confidence, time, segmental T1."""
    from CMRLandmarksLib.prediction import load_landmark_model
    from CMRLandmarksLib.research import report
    from CMRLandmarksLib.research.dataset import labelled_slices
    from CMRLib.errors import InputError
    from CMRLib.training.labelled_folders import ACDC, EMIDEC

    if options.record is not None and set(options.parts) != set(TEST_PARTS):
        raise InputError("An entry needs all parts; leave out --parts or --record.")
    commands.use_threads(options.threads)
    models = {Path(name).stem: load_landmark_model(name, options.device) for name in options.models}
    first = next(iter(models.values()))
    slices = report.simulated_test(options.anatomies)
    results = {}
    if "simulated" in options.parts:
        results["landmarks_simulated"] = report.report_simulated(slices, models)
    for data_set in (ACDC, EMIDEC):
        name = data_set.name
        folder = options.data / f"{name}-dev"
        if not folder.is_dir():
            print(f"{name} is left out: there is no folder {folder}. Name its parent with --data.", file=sys.stderr)
            continue
        labelled = list(labelled_slices(folder, data_set, "test"))
        slices = slices + labelled
        if name in options.parts:
            results[f"landmarks_{name}"] = report.report_real(labelled, models, name)
        if name in options.parts and data_set is EMIDEC:
            marked = list(labelled_slices(folder, data_set, "validation"))
            results["landmarks_insertions"] = report.report_insertions(marked, first, next(iter(models)))
    if "use" in options.parts:
        results["landmarks_use"] = report.report_use(
            slices[:: options.every], first, options.anatomies, options.threads
        )
    if options.record is not None:
        report.record_accuracy(options.record, first.entry, results)
    for name, result in results.items():
        result["models"] = {label: model.entry.sha256 for label, model in models.items()}
        commands.publish(options.output, name, result)


def _add_grid_evaluation_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="the grid's folder")
    _add_anatomies_option(parser)


def _evaluate_grid(options: argparse.Namespace) -> None:
    """Tables of specialists and configurations."""
    from CMRLandmarksLib.research.report import report_grid, simulated_test

    results = report_grid(options.folder, simulated_test(options.anatomies))
    commands.publish(options.output, "landmarks_grid", results)


TRAININGS = (
    Subcommand("landmarks", "LV centre and RV insertion points", _add_landmarks_options, _train_landmarks),
    Subcommand(
        "landmarks-confidence",
        "the confidence of a trained landmark model, anew",
        _add_confidence_options,
        _calibrate_confidence,
    ),
    Subcommand(
        "landmarks-grid",
        "every specialist and the generalist, in three configurations",
        _add_grid_options,
        _train_grid,
    ),
)
EVALUATIONS = (
    Subcommand(
        "landmarks",
        "landmarks on simulated and on labelled real test images",
        _add_evaluation_options,
        _evaluate_landmarks,
    ),
    Subcommand(
        "landmarks-grid",
        "specialists and configurations that cmr-train landmarks-grid made",
        _add_grid_evaluation_options,
        _evaluate_grid,
    ),
)
