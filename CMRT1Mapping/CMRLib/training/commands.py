"""What cmr-train and cmr-evaluate are made of: the subcommands that the modules bring, and the options they share.

Only Python's own modules are loaded here, so that the commands can say what is missing.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from CMRLib.commands import EXIT_DONE, Cancellation, exit_status

if TYPE_CHECKING:
    from CMRLib.training.trainer import TrainingOptions

# Each names its subcommands in two tuples, TRAININGS and EVALUATIONS.
RESEARCH_COMMANDS = (
    "CMRT1MappingLib.research.commands",
    "CMRQCSegmentationLib.research.commands",
    "CMRLandmarksLib.research.commands",
    "CMRStressReactivityLib.research.commands",
)
REMEDY = 'run pip install "cmr-mapping[research]"'


@dataclass(frozen=True)
class Subcommand:
    """One network to train, or one thing to measure.

    Attributes:
        name, help: as the command line has them.
        add_options: puts its options into its parser.
        run: does it with the parsed options; returns the exit status, None where all went well.
    """

    name: str
    help: str
    add_options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int | None]


def subcommands(kind: Literal["TRAININGS", "EVALUATIONS"]) -> list[Subcommand]:
    """What all modules bring."""
    return [found for room in RESEARCH_COMMANDS for found in getattr(importlib.import_module(room), kind)]


def run_subcommand(
    parser: argparse.ArgumentParser,
    metavar: str,
    find: Callable[[], Iterable[Subcommand]],
    arguments: Sequence[str] | None,
    cancelled: str,
) -> int:
    """Run the subcommand that the arguments name and return the exit status.

    Args:
        parser: of the whole command.
        metavar: what a subcommand is called in its help.
        find: gives the subcommands; called where a missing package is told.
        arguments: those of the process where None.
        cancelled: see `CMRLib.commands.exit_status`.
    """

    def work(cancellation: Cancellation) -> int:
        places = parser.add_subparsers(required=True, metavar=metavar)
        for subcommand in find():
            part = places.add_parser(subcommand.name, help=subcommand.help)
            subcommand.add_options(part)
            part.set_defaults(run=subcommand.run)
        options = parser.parse_args(arguments)
        return options.run(options) or EXIT_DONE

    return exit_status(work, cancelled=cancelled, remedy=REMEDY)


def add_training_options(
    parser: argparse.ArgumentParser, model_id: str, *, examples: str, batch: int, learning_rate: float
) -> None:
    """Options of every training of one network; its time limit, ``--minutes``, is its own.

    Args:
        parser: of the subcommand.
        model_id: id of the model where the user gives none.
        examples: what one is called, as "images".
        batch: of them in a step, by default.
        learning_rate: by default.
    """
    add = parser.add_argument
    add("--output", type=Path, required=True, help="folder of the run")
    add("--id", default=model_id, help="id of the model (default: %(default)s)")
    add("--acdc", type=Path, help="folder of labelled cine stacks in ACDC's format")
    add("--seed", type=int, default=0, help="of weights and examples (default: %(default)s)")
    add("--initial", type=Path, help="folder of another run, whose weights are where this one starts")
    add("--install", type=Path, help="folder of models, with a manifest.json, to put the finished weights into")
    add("--remark", default="", help="a line about this training for the weights file")
    add("--architecture", choices=("compact", "paper"), default="compact", help="network (default: %(default)s)")
    add_device_option(parser)
    add("--threads", type=int, help="CPU threads (default: all cores)")
    add("--cache", type=Path, help="folder that keeps simulated images between runs")
    add_simulated_option(parser)
    add("--batch", type=int, default=batch, help=f"{examples} a step (default: %(default)s)")
    add("--learning-rate", type=float, default=learning_rate, help="highest learning rate (default: %(default)s)")


def add_device_option(parser: argparse.ArgumentParser, default: str = "auto") -> None:
    """``--device``."""
    parser.add_argument("--device", default=default, help="auto, cpu, cuda, cuda:N or mps (default: %(default)s)")


def add_simulated_option(parser: argparse.ArgumentParser) -> None:
    """``--simulated``."""
    parser.add_argument(
        "--simulated", type=int, default=700, help="number of simulated anatomies (default: %(default)s)"
    )


def begin_training(options: argparse.Namespace) -> None:
    """Find out whether the device is there, and use as many threads as were asked for.

    Raises:
        DeviceError, MissingDependencyError: the device cannot be used.
    """
    from CMRLib.networks.devices import resolve_device

    resolve_device(options.device)
    if options.threads:
        use_threads(options.threads)


def use_threads(count: int) -> None:
    """Compute with so many CPU threads."""
    import torch

    torch.set_num_threads(count)


def training_limits(options: argparse.Namespace, minutes: float) -> TrainingOptions:
    """The trainer's options, from those of `add_training_options` and a time limit."""
    from CMRLib.training.trainer import TrainingOptions

    return TrainingOptions(
        minutes=minutes,
        batch=options.batch,
        learning_rate=options.learning_rate,
        seed=options.seed,
        device=options.device,
    )


def show(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def add_data_option(parser: argparse.ArgumentParser, holds: str) -> None:
    """``--data``, the folder of real images, which ``holds`` these folders."""
    from CMRLib.training.repository import real_data_folder

    parser.add_argument("--data", type=Path, default=real_data_folder(), help=f"folder {holds}")


def publish(folder: Path, name: str, results: Mapping[str, Any]) -> None:
    """Write results as ``folder/name.json`` and print their tables.

    Raises:
        OutputError: the file cannot be written.
    """
    from CMRLib.training.tables import write_results

    write_results(folder, name, results)
    for table in results["tables"].values():
        print(f"\n{table}")
