"""What the segmentation brings to cmr-train and cmr-evaluate; see `CMRLib.training.commands`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from CMRLib.training import commands
from CMRLib.training.commands import Subcommand
from CMRQCSegmentationLib.prediction import DEFAULT_MODEL

if TYPE_CHECKING:
    from CMRQCSegmentationLib.research.data import TrainingImages

TEST_PARTS = ("simulated", "acdc", "emidec", "spoiled", "speed")


def _add_image_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--emidec", type=Path, help="folder of labelled LGE stacks in EMIDEC's format")
    add("--no-rendered", action="store_true", help="render no other contrasts from ACDC's labelled hearts")
    add("--contrasts", help="contrasts of the simulated images, separated by commas (default: all)")


def _images(options: argparse.Namespace) -> TrainingImages:
    from CMRLib.simulation.contrasts import CONTRASTS
    from CMRQCSegmentationLib.research.data import TrainingImages

    contrasts = tuple(options.contrasts.split(",")) if options.contrasts else CONTRASTS
    return TrainingImages(options.acdc, options.emidec, options.simulated, not options.no_rendered, contrasts)


def _add_training_options(parser: argparse.ArgumentParser) -> None:
    commands.add_training_options(parser, "segmentation-local", examples="images", batch=16, learning_rate=2e-3)
    _add_image_options(parser)
    add = parser.add_argument
    add("--part", choices=("finder", "unets", "both"), default="both", help="networks to train (default: %(default)s)")
    add("--depths", type=int, nargs="+", choices=range(1, 7), help="of the U-Nets, trained together (default: 1 to 6)")
    add("--minutes", type=float, nargs="+", default=[60.0], help="time limit of each part (default: 60)")
    add("--no-augmentation", action="store_true", help="leave every change of appearance out")


def _train(options: argparse.Namespace) -> None:
    """Train the networks and write their weights file once all are there."""
    commands.begin_training(options)
    from CMRLib.errors import InputError
    from CMRLib.training.entries import install_model
    from CMRLib.training.trainer import METRICS
    from CMRQCSegmentationLib.networks import DEPTHS
    from CMRQCSegmentationLib.research.training_run import FINDER, assemble, train_part

    source = _images(options)
    parts = (FINDER, "unets") if options.part == "both" else (options.part,)
    if len(options.minutes) not in (1, len(parts)):
        raise InputError("Give --minutes one number, or one for each part.")
    minutes = options.minutes * (len(parts) if len(options.minutes) == 1 else 1)
    for part, limit in zip(parts, minutes, strict=True):
        train_part(
            source,
            options.output,
            commands.training_limits(options, limit),
            part=part,
            depths=tuple(sorted(options.depths or DEPTHS)),
            augment=not options.no_augmentation,
            architecture=options.architecture,
            cache=options.cache,
            initial=options.initial,
            report=commands.show,
        )
    finished = (options.output / FINDER / METRICS).is_file() and any(options.output.glob(f"unets-*/{METRICS}"))
    if options.architecture == "compact" and finished:
        entry = assemble(options.output, options.id, source, remark=options.remark, report=commands.show)
        commands.show("Now run cmr-train segmentation-quality on it.")
        if options.install is not None:
            install_model(entry, options.output, options.install)


def _add_quality_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("model", type=Path, help="weights file of cmr-train segmentation, which is written anew")
    add("--acdc", type=Path, help="folder of labelled cine stacks in ACDC's format")
    commands.add_simulated_option(parser)
    _add_image_options(parser)
    add("--install", type=Path, help="folder of models, with a manifest.json, to put the finished weights into")
    add("--threads", type=int, default=2, help="CPU threads (default: %(default)s)")


def _train_quality(options: argparse.Namespace) -> None:
    """Fit the prediction of quality of trained networks and write it into their weights file."""
    commands.use_threads(options.threads)
    from CMRLib.training.entries import install_model
    from CMRQCSegmentationLib.research.quality_run import add_quality

    entry = add_quality(options.model, _images(options), report=commands.show)
    if options.install is not None:
        install_model(entry, options.model.parent, options.install)


def _add_evaluation_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--models",
        nargs="+",
        default=[DEFAULT_MODEL],
        help="ids or weights files; the first is reported in full, the others beside it (default: the one that ships)",
    )
    commands.add_data_option(parser, "with acdc-dev and emidec-dev")
    add("--parts", nargs="+", choices=TEST_PARTS, default=TEST_PARTS, help="what to measure (default: all)")
    add("--anatomies", type=int, default=30, help="simulated test anatomies (default: %(default)s)")
    add("--every", type=int, default=3, help="spoil every n-th real test image (default: %(default)s)")
    commands.add_device_option(parser, "cpu")
    add("--threads", type=int, default=2, help="CPU threads (default: %(default)s)")
    add("--pictures", type=Path, help="folder for a scatter plot and pictures of answers of every set")
    add("--record", type=Path, help="manifest in which to write what was measured of the first model")


def _evaluate(options: argparse.Namespace) -> None:
    """Dice and its prediction on test images, on spoiled ones, and time."""
    from CMRLib.errors import InputError
    from CMRLib.training.repository import testing_module
    from CMRQCSegmentationLib.prediction import load_segmentation_model
    from CMRQCSegmentationLib.research import report
    from CMRQCSegmentationLib.research.evaluation import Judged
    from CMRQCSegmentationLib.research.slices import LabelledSlice, read_data_set

    if options.record is not None and set(options.parts) != set(TEST_PARTS):
        raise InputError("An entry needs all parts; leave out --parts or --record.")
    commands.use_threads(options.threads)
    models = {Path(name).stem: load_segmentation_model(name, options.device) for name in options.models}
    first = next(iter(models.values()))
    draw = None if options.pictures is None else testing_module("benchmark_segmentation_pictures").draw_set
    results: dict[str, dict[str, Any]] = {}
    real: list[LabelledSlice] = []
    clean: list[Judged] = []
    for name in ("simulated", "acdc", "emidec"):
        folder = options.data / f"{name}-dev"
        if name == "simulated":
            slices = report.simulated_test(options.anatomies)
        elif folder.is_dir():
            slices = list(read_data_set(folder, name, "test"))
            real += slices
        else:
            print(f"{name} is left out: there is no folder {folder}. Name its parent with --data.", file=sys.stderr)
            continue
        if name in options.parts:
            results[f"segmentation_{name}"], judged = report.report_set(slices, models, name)
            clean += [judged] if name != "simulated" else []
            if draw is not None:
                draw(slices, judged, first, options.pictures, name)
    if "spoiled" in options.parts:
        slices = real or report.simulated_test(options.anatomies)
        results["segmentation_spoiled"] = report.report_spoiled(slices, first, clean, options.every)
    if "speed" in options.parts:
        results["segmentation_speed"] = report.report_speed(first, options.threads)
    if options.record is not None:
        report.record_accuracy(options.record, first.entry, results)
    for name, result in results.items():
        result["models"] = {label: model.entry.sha256 for label, model in models.items()}
        commands.publish(options.output, name, result)


def _add_sources_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--without-acdc", type=Path, help="weights file of a training without ACDC")
    add("--without-emidec", type=Path, help="weights file of a training without EMIDEC")
    commands.add_data_option(parser, "with acdc-dev and emidec-dev")
    commands.add_device_option(parser, "cpu")
    add("--threads", type=int, default=2, help="CPU threads (default: %(default)s)")


def _evaluate_sources(options: argparse.Namespace) -> None:
    """The model that ships beside models that were trained without a data set, on that set's test images."""
    from CMRLib.errors import InputError
    from CMRQCSegmentationLib.prediction import load_segmentation_model
    from CMRQCSegmentationLib.research import report, sources
    from CMRQCSegmentationLib.research.slices import read_data_set

    files = {"acdc": options.without_acdc, "emidec": options.without_emidec}
    given = {name: path for name, path in files.items() if path is not None}
    if not given:
        raise InputError("Name a weights file with --without-acdc or --without-emidec.")
    commands.use_threads(options.threads)
    sets = {report.NAMES[name]: list(read_data_set(options.data / f"{name}-dev", name, "test")) for name in given}
    without = {report.NAMES[name]: load_segmentation_model(path, options.device) for name, path in given.items()}
    shipped = load_segmentation_model(DEFAULT_MODEL, options.device)
    result = sources.report_sources(sets, shipped, without)
    result["models"] = {label: model.entry.sha256 for label, model in {"shipped": shipped, **without}.items()}
    commands.publish(options.output, "segmentation_sources", result)


TRAININGS = (
    Subcommand("segmentation", "myocardium and blood pool of the left ventricle", _add_training_options, _train),
    Subcommand(
        "segmentation-quality",
        "the segmentation's prediction of its own Dice",
        _add_quality_options,
        _train_quality,
    ),
)
EVALUATIONS = (
    Subcommand(
        "segmentation",
        "segmentation and its predicted Dice on test images",
        _add_evaluation_options,
        _evaluate,
    ),
    Subcommand(
        "segmentation-sources",
        "segmentation of a data set that no training used",
        _add_sources_options,
        _evaluate_sources,
    ),
)
