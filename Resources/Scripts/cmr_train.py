"""Train the networks of CMRMapping: ``cmr-train landmarks|moconet --output DIR [--acdc DIR] [--simulated N] ...``.

Training can be killed at any time: the same command goes on where it stopped. Weights trained on the ACDC or EMIDEC
images are under those images' licence, CC BY-NC-SA 4.0; the weights file says so.

Exit status: 0 done, 2 usage or input, 3 a missing dependency, 130 cancelled.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from CMRLib.networks.models import ModelEntry

EXIT_DONE, EXIT_USAGE, EXIT_MISSING, EXIT_CANCELLED = 0, 2, 3, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with ``arguments`` (those of the process by default) and return its exit status."""
    try:
        from CMRLib.errors import CMRError, MissingDependencyError

        try:
            options = _parser().parse_args(arguments)
            options.run(options)
        except MissingDependencyError as error:
            return _stop(str(error), EXIT_MISSING)
        except CMRError as error:
            return _stop(str(error), EXIT_USAGE)
    except SystemExit as stop:  # argparse
        return stop.code if isinstance(stop.code, int) else EXIT_USAGE
    except KeyboardInterrupt:
        return _stop("Cancelled; run the same command again to go on.", EXIT_CANCELLED)
    except ModuleNotFoundError as error:
        return _stop(f"{error.name} is not installed; run pip install cmr-mapping.", EXIT_MISSING)
    return EXIT_DONE


def _stop(sentence: str, status: int) -> int:
    print(sentence, file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cmr-train", description=__doc__.partition("\n")[0])
    networks = parser.add_subparsers(required=True, metavar="NETWORK")
    _add_landmarks(networks)
    _add_grid(networks)
    _add_moconet(networks)
    return parser


def _add_run(parser: argparse.ArgumentParser, model_id: str) -> None:
    """Options of every training of one network."""
    add = parser.add_argument
    add("--output", type=Path, required=True, help="folder of the run")
    add("--id", default=model_id, help="id of the model (default: %(default)s)")
    add("--acdc", type=Path, help="folder of labelled cine stacks in ACDC's format")
    add("--seed", type=int, default=0, help="of weights and examples (default: %(default)s)")
    add("--initial", type=Path, help="folder of another run, whose weights are where this one starts")
    add("--install", type=Path, help="folder of models, with a manifest.json, to put the finished weights into")
    add("--remark", default="", help="a line about this training for the weights file")
    add("--architecture", choices=("compact", "paper"), default="compact", help="network (default: %(default)s)")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: %(default)s)")
    add("--threads", type=int, help="CPU threads (default: all cores)")
    add("--cache", type=Path, help="folder that keeps simulated images between runs")


def _add_landmarks(networks: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    landmarks = networks.add_parser("landmarks", help="LV centre and RV insertion points")
    landmarks.set_defaults(run=train_landmarks)
    _add_run(landmarks, "landmarks-local")
    add = landmarks.add_argument
    add("--emidec", type=Path, help="folder of labelled LGE stacks in EMIDEC's format (LV centre only)")
    add("--simulated", type=int, default=700, help="number of simulated anatomies (default: %(default)s)")
    add("--contrasts", help="contrasts of the simulated images, separated by commas (default: all)")
    add("--with-validation", action="store_true", help="train on the validation patients too, going on with --initial")
    add("--stage", choices=("1", "2", "both"), default="both", help="stage to train (default: %(default)s)")
    add("--minutes", type=float, nargs="+", default=[30.0], help="time limit of each stage (default: 30)")
    add("--batch", type=int, default=16, help="images a step (default: %(default)s)")
    add("--learning-rate", type=float, default=2e-3, help="highest learning rate (default: %(default)s)")
    add("--crop-size", type=int, choices=(128, 192), default=128, help="of stage 2 (default: %(default)s)")
    add("--no-augmentation", action="store_true", help="the thesis's baseline")


def _add_grid(networks: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    grid = networks.add_parser("landmarks-grid", help="every specialist and the generalist, in three configurations")
    grid.set_defaults(run=train_grid)
    add = grid.add_argument
    add("--output", type=Path, required=True, help="folder of the grid; measure it with cmr-evaluate landmarks-grid")
    add("--simulated", type=int, default=700, help="number of simulated anatomies (default: %(default)s)")
    add("--minutes", type=float, default=30.0, help="time limit of each stage of each run (default: %(default)s)")
    add("--batch", type=int, default=16, help="images a step (default: %(default)s)")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: %(default)s)")


def _add_moconet(networks: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    moconet = networks.add_parser("moconet", help="motion between inversion-recovery images")
    moconet.set_defaults(run=train_motion)
    _add_run(moconet, "moconet-local")
    add = moconet.add_argument
    add("--simulated", type=int, default=700, help="number of simulated anatomies (default: %(default)s)")
    add(
        "--heart-only",
        action="store_true",
        help="go on with the part that finds the heart, keep the others as they are",
    )
    add("--minutes", type=float, default=60.0, help="time limit (default: %(default)s)")
    add("--batch", type=int, default=4, help="sets a step (default: %(default)s)")
    add("--learning-rate", type=float, default=1e-3, help="highest learning rate (default: %(default)s)")


def train_grid(options: argparse.Namespace) -> None:
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
            print(f"{run.name}, {run.folder.name}, stage {stage}", flush=True)
            cache = options.output / "cache"
            train_stage(run.source, folder, limits, stage=stage, augment=run.augment, cache=cache)
        if len(run.stages) == 2:
            assemble(folder, f"landmarks-{run.name.replace('_', '-')}", run.source)


def train_landmarks(options: argparse.Namespace) -> None:
    """Train the landmark model and write its weights file once both stages are there."""
    from CMRLib.networks.devices import resolve_device

    resolve_device(options.device)
    import torch

    from CMRLandmarksLib.research.training_run import TrainingImages, assemble, train_stage
    from CMRLib.errors import InputError
    from CMRLib.simulation.contrasts import CONTRASTS
    from CMRLib.training.trainer import METRICS, TrainingOptions

    if options.threads:
        torch.set_num_threads(options.threads)
    contrasts = tuple(options.contrasts.split(",")) if options.contrasts else CONTRASTS
    source = TrainingImages(options.acdc, options.emidec, options.simulated, contrasts, options.with_validation)
    if options.with_validation and options.initial is None:
        raise InputError("With --with-validation, name the run to go on with by --initial; it gives the accuracy.")
    stages = (1, 2) if options.stage == "both" else (int(options.stage),)
    if len(options.minutes) not in (1, len(stages)):
        raise InputError("Give --minutes one number, or one for each stage.")

    def report(line: str) -> None:
        print(line, flush=True)

    for number, stage in enumerate(stages):
        limits = TrainingOptions(
            minutes=options.minutes[number if len(options.minutes) > 1 else 0],
            batch=options.batch,
            learning_rate=options.learning_rate,
            seed=options.seed,
            device=options.device,
        )
        train_stage(
            source,
            options.output,
            limits,
            stage=stage,
            augment=not options.no_augmentation,
            crop_size=options.crop_size,
            cache=options.cache,
            initial=options.initial,
            architecture=options.architecture,
            report=report,
        )
    finished = all((options.output / f"stage{stage}" / METRICS).is_file() for stage in (1, 2))
    if options.architecture == "compact" and finished:
        entry = assemble(
            options.output,
            options.id,
            source,
            crop_size=options.crop_size,
            unseeing=options.initial if options.with_validation else None,
            remark=options.remark,
            report=report,
        )
        if options.install is not None:
            install(options.output / entry.file, entry, options.install)


def train_motion(options: argparse.Namespace) -> None:
    """Train MOCOnet and write its weights file."""
    from CMRLib.networks.devices import resolve_device

    resolve_device(options.device)
    import torch

    from CMRLib.training.trainer import TrainingOptions
    from CMRT1MappingLib.research.moconet_training import assemble, motion_banks, train_moconet

    if options.threads:
        torch.set_num_threads(options.threads)
    limits = TrainingOptions(
        minutes=options.minutes,
        batch=options.batch,
        learning_rate=options.learning_rate,
        seed=options.seed,
        device=options.device,
    )

    def report(line: str) -> None:
        print(line, flush=True)

    training, validation = motion_banks(options.acdc, options.simulated, options.cache)
    train_moconet(
        training,
        validation,
        options.output,
        limits,
        architecture=options.architecture,
        heart_only=options.heart_only,
        initial=options.initial,
        report=report,
    )
    if options.architecture == "compact":
        data = [f"{options.simulated} simulated anatomies"]
        data += ["ACDC challenge, training patients (see cmr-train)"] if options.acdc else []
        data += [options.remark] if options.remark else []
        entry = assemble(options.output, options.id, data, options.acdc is not None)
        if options.install is not None:
            install(options.output / entry.file, entry, options.install)


def install(path: Path, entry: ModelEntry, folder: Path) -> None:
    """Copy a weights file into a folder of models and put it into the manifest there."""
    from CMRLib.errors import OutputError
    from CMRLib.networks.models import add_to_manifest

    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / path.name)
    except OSError as error:
        raise OutputError(f"{path.name} cannot be copied to {folder}; check the folder's permissions.") from error
    add_to_manifest(entry, folder / "manifest.json")


if __name__ == "__main__":
    sys.exit(main())
