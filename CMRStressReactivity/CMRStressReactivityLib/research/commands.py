"""What stress reactivity brings to cmr-train and cmr-evaluate; see `CMRLib.training.commands`."""

from __future__ import annotations

import argparse

from CMRLib.training import commands
from CMRLib.training.commands import Subcommand


def _add_training_options(parser: argparse.ArgumentParser) -> None:
    commands.add_training_options(parser, "stress-local", examples="pairs", batch=16, learning_rate=2e-3)
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


TRAININGS = (Subcommand("stress", "registration of a stress T1 map to its rest map", _add_training_options, _train),)
EVALUATIONS: tuple[Subcommand, ...] = ()
