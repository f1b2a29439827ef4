"""Hold the T1 reconstruction against other open T1 mapping tools: ``python3 Testing/benchmark_t1.py``.

Makes the repository's environment and, for the peers, a second one, ``.venv-peers``. Every tool gets the same pixels of
the same images and runs in processes of its own, in turns; times and memory are medians. The images are the real
ShMOLLI phantom where it is (``../shared/data`` or CMR_REAL_DATA), else a simulated one.

ukat, t1est and sh_molli fit one curve to all samples of any inversion recovery. ShMOLLI leaves samples out where the
magnetisation had not recovered between its inversions, so their T1 of this acquisition is that of a generic fit used
outside its model; their times are those of a fit of as many samples.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "CMRT1Mapping"), str(ROOT / "Resources" / "Scripts")]

import environment  # noqa: E402 (found through the line above)

if __name__ == "__main__":
    environment.enter()  # the system's Python need not have the packages below

import numpy as np  # noqa: E402
from benchmark_images import T1_RANGE_MS, Images, real_phantom, sample_pixels, simulated_phantom  # noqa: E402
from benchmark_peers import make_peers_environment  # noqa: E402

from CMRLib.training.repository import RESULTS, real_data_folder  # noqa: E402
from CMRLib.training.tables import markdown_table, write_results  # noqa: E402

WORKER = Path(__file__).with_name("benchmark_tools.py")
ROUNDS = 3
SAMPLE_SIDE = 45
QUIET_LOAD = 0.5  # load average; above it other programs lengthen the times


@dataclass(frozen=True)
class Tool:
    """One row of the benchmark: a function of benchmark_tools.py on so many cores and pixels, so often a round."""

    label: str
    function: str
    cores: int
    side: int
    repeats: int

    @property
    def own(self) -> bool:
        """Whether it is this repository's, which takes the whole image and lives in its own environment."""
        return self.function == "cmr_mapping"


TOOLS = (
    Tool("CMRMapping", "cmr_mapping", 2, 0, 5),
    Tool("CMRMapping", "cmr_mapping", 1, 0, 5),
    Tool("ukat 0.7.3, three parameters, MOLLI", "ukat", 1, SAMPLE_SIDE, 1),
    Tool("ukat 0.7.3, three parameters, MOLLI", "ukat", 2, SAMPLE_SIDE, 1),
    Tool("t1est 0.1.2, lm, MOLLI", "t1est", 2, SAMPLE_SIDE, 1),
    Tool("sh_molli 0.0.55, fast", "sh_molli_fast", 1, SAMPLE_SIDE, 1),
    Tool("sh_molli 0.0.55, slow", "sh_molli_slow", 1, 15, 1),
)


@dataclass(frozen=True)
class Errors:
    """Difference from the reference T1: mean, mean of the absolute value (ms), and the fraction within 5 ms."""

    bias_ms: float
    mae_ms: float
    within_5_ms: float


@dataclass(frozen=True)
class Measurement:
    """What one tool gave and took; times are medians, and every single one is in ``all_seconds``.

    ``image_pixels`` is the number of pixels of the image that have signal, ``image_seconds`` the time for all of them.
    """

    tool: str
    cores: int
    compared_pixels: int
    errors: Errors
    ms_per_pixel: float
    image_pixels: int
    image_seconds: float
    cold_seconds: float
    peak_mb: float
    all_seconds: tuple[float, ...]


def t1_errors(t1: np.ndarray, reference: np.ndarray) -> Errors:
    """Compare T1 in ms with a reference of the same shape; a T1 that is no number counts as 0, that is not fitted."""
    difference = np.nan_to_num(np.asarray(t1, dtype=float), nan=0.0, posinf=0.0, neginf=0.0) - reference
    size = np.abs(difference)
    return Errors(float(difference.mean()), float(size.mean()), float((size <= 5.0).mean()))


def run_tool(python: Path, tool: Tool, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Run benchmark_tools.py once, on as many cores as the tool may use, and return what it wrote.

    Raises:
        RuntimeError: the tool failed; the text is the last line it said.
    """
    pinned = None
    if hasattr(os, "sched_setaffinity"):
        pinned = partial(os.sched_setaffinity, 0, sorted(os.sched_getaffinity(0))[: tool.cores])
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.npz"), Path(folder, "out.npz")
        np.savez(source, **arrays)  # type: ignore[arg-type]
        done = subprocess.run(
            [str(python), str(WORKER), tool.function, str(tool.cores), str(tool.repeats), str(source), str(target)],
            env={**os.environ, "PYTHONPATH": str(ROOT / "CMRT1Mapping")},
            preexec_fn=pinned,
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise RuntimeError((done.stderr.strip().splitlines() or [f"it ended with status {done.returncode}"])[-1])
        with np.load(target) as written:
            return dict(written)


def measure(images: Images, peers_python: Path, rounds: int = ROUNDS) -> tuple[list[Measurement], dict[str, str]]:
    """Run every tool ``rounds`` times, in turns so that other load on the machine meets all of them.

    Returns:
        The measurements, and what kept the tools that are not among them from running.
    """
    whole = {"magnitude": images.magnitude, "phase": images.phase, "inversion_times_ms": images.inversion_times_ms}
    answers: dict[Tool, list[dict[str, np.ndarray]]] = {tool: [] for tool in TOOLS}
    failures: dict[str, str] = {}
    for number in range(rounds):
        for tool in TOOLS:
            arrays = dict(whole)
            if not tool.own:
                rows, columns = sample_pixels(images.candidates, tool.side)
                arrays |= {name: whole[name][:, rows, columns] for name in ("magnitude", "phase")}
            print(f"round {number + 1} of {rounds}: {tool.label}, {tool.cores} core(s)", file=sys.stderr, flush=True)
            try:
                answers[tool].append(run_tool(Path(sys.executable) if tool.own else peers_python, tool, arrays))
            except RuntimeError as problem:
                if tool.own:
                    raise
                failures[f"{tool.label}, {tool.cores} core(s)"] = str(problem)
    whole_pixels = int(next(a["fitted"] for tool, done in answers.items() for a in done if tool.own))
    measured = [t for t in TOOLS if len(answers[t]) == rounds]
    return [summarise(tool, answers[tool], images, whole_pixels) for tool in measured], failures


def summarise(tool: Tool, answers: Sequence[dict[str, Any]], images: Images, whole_pixels: int) -> Measurement:
    """Medians of a tool's runs, and its time for ``whole_pixels`` pixels."""
    rows, columns = sample_pixels(images.candidates, SAMPLE_SIDE if tool.own else tool.side)
    t1 = answers[0]["t1"][rows, columns] if tool.own else answers[0]["t1"]
    seconds = tuple(float(value) for answer in answers for value in answer["seconds"])
    seconds_per_pixel = statistics.median(seconds) / int(answers[0]["fitted"])
    return Measurement(
        tool=tool.label,
        cores=tool.cores,
        compared_pixels=rows.size,
        errors=t1_errors(t1, images.t1[rows, columns]),
        ms_per_pixel=1000.0 * seconds_per_pixel,
        image_pixels=whole_pixels,
        image_seconds=seconds_per_pixel * whole_pixels,
        cold_seconds=statistics.median(float(answer["cold_seconds"]) for answer in answers),
        peak_mb=statistics.median(float(answer["peak_mb"]) for answer in answers),
        all_seconds=seconds,
    )


def benchmark_table(images: Images, measurements: Sequence[Measurement], failures: dict[str, str], load: float) -> str:
    """The README's table, and below it what was measured; ratios compare times on the same number of cores.

    ``load`` is the number of processes of other programs that wanted to run when the measurement began.
    """
    own_label = TOOLS[0].label
    own = {m.cores: m for m in measurements if m.tool == own_label}
    rows = []
    for m in measurements:
        ratio = m.ms_per_pixel / own[m.cores].ms_per_pixel
        rows.append(
            [
                f"{m.tool}",
                m.cores,
                f"{m.errors.bias_ms:+.1f}",
                f"{m.errors.mae_ms:.1f}",
                f"{m.errors.within_5_ms:.1%}",
                f"{m.ms_per_pixel:.3g}",
                f"{ratio:.0f}" if m.tool != own_label else "1",
                f"{m.image_seconds:.2f}" if m.tool == own_label else f"{m.image_seconds:.0f}",
                f"{m.peak_mb:.0f}",
            ]
        )
    header = [
        "tool", "cores", "bias (ms)", "mean abs. error (ms)", "within 5 ms", "ms per pixel", "times our time",
        "whole image (s)", "peak memory (MB)",
    ]  # fmt: skip
    first = own[max(own)]
    frames, height, width = images.magnitude.shape
    smallest = min(m.compared_pixels for m in measurements)
    fewer = f" ({smallest} for the slowest tool)" if smallest < first.compared_pixels else ""
    notes = (
        f"{images.name[0].upper()}{images.name[1:]}, {height}x{width}x{frames}, {first.image_pixels} pixels with "
        f"signal. Errors are differences from {images.reference} in {first.compared_pixels} random "
        f"pixels{fewer} of {T1_RANGE_MS[0]:.0f} to {T1_RANGE_MS[1]:.0f} ms. Our time is that of the whole image, "
        f"{first.cold_seconds:.1f} s for the first one in a new process with all imports; the peers' whole image is "
        "worked out from their time per pixel. Peak memory is that of the process, ours with the whole image, the "
        "peers' with the sample and without their helper processes. The peers fit one curve to all seven samples, "
        "which is not the model of ShMOLLI: their bias here says nothing about the acquisitions they are made for."
    )
    if load > QUIET_LOAD:
        notes += f" The machine was not idle (load average {load:.1f}), so the times are longer than they could be."
    missing = [f"{tool} could not be measured: {problem}" for tool, problem in failures.items()]
    return "\n\n".join([markdown_table(header, rows), notes, *missing])


def processor_name() -> str:
    """The processor's model as Linux gives it; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def main() -> int:
    """Measure every tool, print the table and write it with its numbers as ``Testing/Results/t1_benchmark.json``."""
    peers_python = make_peers_environment()
    phantom = real_data_folder() / "shmolli-phantom"
    if phantom.is_dir():
        images = real_phantom(phantom)
    else:
        print(f"The images are simulated: there is no folder {phantom} (CMR_REAL_DATA names its parent).")
        images = simulated_phantom()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > QUIET_LOAD:
        print(f"The machine is not idle (load average {load:.1f}): the times will be too long.", file=sys.stderr)
    measurements, failures = measure(images, peers_python)
    table = benchmark_table(images, measurements, failures, load)
    record = {
        "processor": processor_name(),
        "images": images.name,
        "load_average_before": load,
        "tools": [asdict(m) for m in measurements],
        "failures": failures,
        "tables": {"t1-benchmark": table},
    }
    path = write_results(RESULTS, "t1_benchmark", record)
    print(f"\n{table}\n\nWritten: {path}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
