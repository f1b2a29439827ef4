"""Training with a time limit that can be killed and resumed; averaged weights, log and metrics beside each other.

A run's folder holds ``checkpoint.pt`` (everything needed to go on), ``log.jsonl`` (a line per report) and, at the end,
``metrics.json``. The same call on the same folder goes on where it stopped.
"""

from __future__ import annotations

import copy
import io
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from CMRLib.errors import InputError, OutputError
from CMRLib.files.atomic import write_bytes, write_text
from CMRLib.networks.devices import has_fast_bfloat16, resolve_device

CHECKPOINT, LOG, METRICS = "checkpoint.pt", "log.jsonl", "metrics.json"


class Task(Protocol):
    """What the trainer needs to know of a network."""

    name: str

    def network(self) -> nn.Module:
        """A new network."""

    def batch(self, size: int, generator: torch.Generator) -> Any:
        """``size`` random training examples: tensors, in any tuple or dataclass that `loss` understands."""

    def loss(self, network: nn.Module, batch: Any) -> tuple[Tensor, dict[str, float]]:
        """The loss of a batch and the numbers worth logging."""

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Measures on images that are neither trained nor tested on; ``score`` among them, lower is better."""


@dataclass(frozen=True)
class TrainingOptions:
    """How to train.

    Attributes:
        minutes: time limit of training, over all resumed parts; the learning rate reaches 0 there.
        steps: limit of steps, or None; the run ends at whichever limit comes first.
        batch: examples a step.
        learning_rate: at its highest, after ``warmup`` of the run.
        weight_decay: of AdamW.
        warmup: part of the run in which the learning rate rises.
        ema: decay per step of the averaged weights, which are what is validated and shipped.
        seed: of weights and examples.
        device: as in `CMRLib.networks.devices`.
        report_every_s: seconds between reports, each with a checkpoint.
        validate_every_s: seconds between validations.
    """

    minutes: float = 30.0
    steps: int | None = None
    batch: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    warmup: float = 0.03
    ema: float = 0.995
    seed: int = 0
    device: str = "auto"
    report_every_s: float = 30.0
    validate_every_s: float = 300.0

    def __post_init__(self) -> None:
        if not self.minutes > 0 or (self.steps is not None and self.steps < 1) or self.batch < 1:
            raise InputError("Training needs a positive time limit, number of steps and batch size.")


@dataclass(frozen=True)
class TrainingResult:
    """What came of a run.

    Attributes:
        network: with averaged weights, in evaluation mode, on the CPU.
        metrics: last validation.
        steps, seconds: of the whole run.
    """

    network: nn.Module
    metrics: dict[str, float]
    steps: int
    seconds: float


@dataclass
class _State:
    network: nn.Module
    average: nn.Module
    optimiser: torch.optim.Optimizer
    generator: torch.Generator
    step: int = 0
    seconds: float = 0.0


def learning_rate_factor(progress: float, warmup: float) -> float:
    """Linear rise over ``warmup``, then half a cosine down to 0 at progress 1."""
    if progress < warmup:
        return max(progress / warmup, 0.01)
    return 0.5 * (1.0 + math.cos(math.pi * min((progress - warmup) / (1.0 - warmup), 1.0)))


def train(
    task: Task,
    folder: Path | str,
    options: TrainingOptions = TrainingOptions(),
    report: Callable[[str], None] = print,
    initial: dict[str, Tensor] | None = None,
) -> TrainingResult:
    """Train until a limit, or go on with what ``folder`` holds.

    Args:
        task: network, examples and loss.
        folder: of the run; made if missing.
        options: limits and rates.
        report: called with a line of text now and then.
        initial: weights to start a new run from, instead of random ones.

    Raises:
        DeviceError: the device is not available.
        InputError: the folder's checkpoint belongs to another network or is damaged.
        OutputError: the folder cannot be written.
    """
    device = resolve_device(options.device)
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made; check the path and its permissions.") from error
    state = _start(task, folder, options, device, initial)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=has_fast_bfloat16(device))
    metrics: dict[str, float] = {}
    terms: dict[str, float] = {}
    last = reported = validated = time.monotonic()
    while _progress(state, options) < 1.0:
        rate = options.learning_rate * learning_rate_factor(_progress(state, options), options.warmup)
        for group in state.optimiser.param_groups:
            group["lr"] = rate
        batch = task.batch(options.batch, state.generator)
        with autocast:
            loss, numbers = task.loss(state.network, _moved(batch, device))
        state.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(state.network.parameters(), 5.0)
        state.optimiser.step()
        state.step += 1
        _average(state, min(options.ema, state.step / (state.step + 10.0)))
        terms = {key: 0.95 * terms.get(key, value) + 0.05 * value for key, value in numbers.items()}
        now = time.monotonic()
        state.seconds += now - last
        last = now
        if now - reported > options.report_every_s:
            _save(state, task, folder)
            _log(folder, report, state, {"learning_rate": rate, **terms})
            reported = last = time.monotonic()
        if now - validated > options.validate_every_s and _progress(state, options) < 0.95:
            metrics = _validated(task, state)
            _log(folder, report, state, metrics)
            validated = last = time.monotonic()  # the time limit is one of training, not of validation
    metrics = _validated(task, state)
    _save(state, task, folder)
    _log(folder, report, state, metrics)
    summary = {"task": task.name, "steps": state.step, "seconds": round(state.seconds, 1), "device": device.type}
    record = {**summary, "options": asdict(options), "validation": metrics}
    write_text(folder / METRICS, json.dumps(record, indent=1))
    return TrainingResult(state.average.cpu().eval(), metrics, state.step, state.seconds)


def read_average(folder: Path | str) -> dict[str, Tensor]:
    """The averaged weights of a run.

    Raises:
        InputError: the folder holds no readable checkpoint.
    """
    path = Path(folder) / CHECKPOINT
    try:
        return torch.load(path, map_location="cpu", weights_only=True)["average"]
    except Exception as error:  # a cut-off file raises one of many errors
        raise InputError(f"{path} is missing or damaged; train this stage first.") from error


def read_metrics(folder: Path | str) -> dict[str, Any]:
    """What a finished run did: its steps, seconds, options, and what it measured on its validation images.

    Raises:
        InputError: the run is not finished.
    """
    path = Path(folder) / METRICS
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is missing or damaged; let this training finish first.") from error


def _start(
    task: Task, folder: Path, options: TrainingOptions, device: torch.device, initial: dict[str, Tensor] | None
) -> _State:
    torch.manual_seed(options.seed)
    network = task.network().to(device)
    if initial is not None:
        network.load_state_dict(initial)
    if device.type in ("cpu", "cuda"):
        network = network.to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), options.learning_rate, weight_decay=options.weight_decay)
    state = _State(network, copy.deepcopy(network), optimiser, torch.Generator().manual_seed(options.seed + 1))
    path = folder / CHECKPOINT
    if path.is_file():
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)
            if saved["task"] != task.name:
                raise InputError(f"{folder} holds a run of {saved['task']}; give {task.name} a folder of its own.")
            state.network.load_state_dict(saved["network"])
            state.average.load_state_dict(saved["average"])
            state.optimiser.load_state_dict(saved["optimiser"])
            state.generator.set_state(saved["generator"])
            state.step, state.seconds = saved["step"], saved["seconds"]
        except InputError:
            raise
        except Exception as error:  # a cut-off file raises one of many errors
            raise InputError(f"{path} cannot be read; delete it to start this training again.") from error
    state.network.train()
    return state


def _progress(state: _State, options: TrainingOptions) -> float:
    by_time = state.seconds / (60.0 * options.minutes)
    return max(by_time, state.step / options.steps if options.steps else 0.0)


def _moved(batch: Any, device: torch.device) -> Any:
    if device.type == "cpu":
        return batch
    return type(batch)(*(part.to(device) if isinstance(part, Tensor) else part for part in batch))


@torch.no_grad()
def _average(state: _State, decay: float) -> None:
    """Move the averaged weights towards the present ones; running statistics are averaged too."""
    ours = [*state.average.parameters(), *state.average.buffers()]
    theirs = [*state.network.parameters(), *state.network.buffers()]
    for mine, new in zip(ours, theirs, strict=True):
        if mine.dtype.is_floating_point:
            mine.lerp_(new, 1.0 - decay)
        else:
            mine.copy_(new)


def _validated(task: Task, state: _State) -> dict[str, float]:
    state.average.eval()
    with torch.no_grad():
        return task.validate(state.average)


def _save(state: _State, task: Task, folder: Path) -> None:
    content = io.BytesIO()
    torch.save(
        {
            "task": task.name,
            "network": state.network.state_dict(),
            "average": state.average.state_dict(),
            "optimiser": state.optimiser.state_dict(),
            "generator": state.generator.get_state(),
            "step": state.step,
            "seconds": state.seconds,
        },
        content,
    )
    write_bytes(folder / CHECKPOINT, content.getvalue())


def _log(folder: Path, report: Callable[[str], None], state: _State, numbers: dict[str, float]) -> None:
    line = {"step": state.step, "seconds": round(state.seconds, 1), **{k: round(v, 5) for k, v in numbers.items()}}
    with (folder / LOG).open("a", encoding="utf-8") as log:
        log.write(json.dumps(line) + "\n")
    report(" ".join(f"{key}={value:g}" for key, value in line.items()))
