"""Process a simulated cohort with one worker and with two, kill it and finish it: ``benchmark_cohort.py FOLDER``.

Writes ``Testing/Results/cohort.json``: studies per minute against the ideal, processor time and memory over time, what
a killed run lost, and whether all runs left the same bytes. FOLDER takes the studies (10 MB each, kept for the next
time) and the results (15 to 50 MB each, removed when they were compared).
"""

import argparse
import hashlib
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from CMRLib.simulation import simulate_study
from CMRLib.simulation.dicom_writer import write_dicom_study
from CMRLib.training.repository import RESULTS
from CMRLib.training.tables import markdown_table, write_results

SCRIPT = Path(__file__).resolve().parents[1] / "Resources" / "Scripts" / "cmr_batch.py"
QUIET_LOAD = 0.5
SAMPLE_S = 2.0
SHOWN_SAMPLES = 20
MOVING = 2  # every second study moves
_TIMES = re.compile(rb'("seconds": |,)\d+\.\d+')


@dataclass
class Run:
    """One run of the command.

    Attributes:
        workers: as stated.
        studies: that it completed.
        seconds: of the whole run, start included.
        start_seconds: until the first study was complete.
        processor_seconds: of all its processes.
        memory_mb: minutes since the start and the memory of all its processes, at even distances.
        status: its exit status; -9 where it was killed.
    """

    workers: int
    studies: int = 0
    seconds: float = 0.0
    start_seconds: float = 0.0
    processor_seconds: float = 0.0
    memory_mb: list[tuple[float, float]] = field(default_factory=list)
    status: int = 0

    @property
    def per_minute(self) -> float:
        """Studies per minute once the first was complete."""
        return 60.0 * (self.studies - 1) / max(self.seconds - self.start_seconds, 1e-9)

    @property
    def per_free_minute(self) -> float:
        """Studies per minute if each worker had a processor to itself."""
        return 60.0 * self.workers * self.studies / self.processor_seconds


def make_cohort(folder: Path, studies: int) -> list[Path]:
    """Simulated studies of three slices as DICOM, of which those of an earlier run are taken."""
    inputs = []
    for seed in range(studies):
        inputs.append(folder / f"study{seed:04d}")
        if not inputs[-1].exists():
            motion = {"basal": "mild", "mid": "moderate"} if seed % MOVING else {}
            write_dicom_study(simulate_study(seed, motion=motion), inputs[-1])
    return inputs


def run(inputs: list[Path], output: Path, workers: int, arguments: list[str], kill_after: int = 0) -> Run:
    """Run the command, or kill it with all its processes when so many studies are complete."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, SCRIPT, "--input", *inputs, "--output", output, "--workers", workers, *arguments]
    log = output.with_suffix(".log")
    with log.open("w") as file:
        process = subprocess.Popen(
            [str(part) for part in command], stdout=file, stderr=file, env=environment, start_new_session=True
        )
    made = Run(workers)
    try:
        while process.poll() is None:
            time.sleep(SAMPLE_S if not kill_after else 0.05)
            done = len(re.findall(r"^study-\w+: (?:ok|partial)", log.read_text(), flags=re.MULTILINE))
            made.memory_mb.append((round((time.monotonic() - start) / 60, 2), memory_mb(process.pid)))
            if done and not made.start_seconds:
                made.start_seconds = time.monotonic() - start
            if kill_after and done >= kill_after:
                break
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    made.status = process.wait()
    made.seconds = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    made.processor_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    made.studies = len(re.findall(r"^study-\w+: (?:ok|partial)", log.read_text(), flags=re.MULTILINE))
    made.memory_mb = made.memory_mb[:: max(1, len(made.memory_mb) // SHOWN_SAMPLES)]
    if made.status not in (0, -signal.SIGKILL):
        raise SystemExit(log.read_text()[-2000:])
    return made


def memory_mb(session: int) -> float:
    """Memory of the processes of a session in MB, what they share counted once for each."""
    pages = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        pages += int(fields[21]) if int(fields[3]) == session else 0
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


def digests(output: Path) -> dict[str, str]:
    """A digest of every file, but for the times in ``results.json`` and the table."""
    found = {}
    for path in sorted(path for path in output.rglob("*") if path.is_file()):
        content = path.read_bytes()
        if path.suffix in (".json", ".csv"):
            content = _TIMES.sub(b"", content)
        found[path.relative_to(output).as_posix()] = hashlib.sha256(content).hexdigest()
    return found


def killed_and_finished(inputs: list[Path], output: Path, arguments: list[str]) -> dict[str, object]:
    """Kill a run of two workers in the middle, run the command again, and compare with an undisturbed run."""
    clean = run(inputs, output.with_name("undisturbed"), 2, arguments)
    whole = digests(output.with_name("undisturbed"))
    killed = run(inputs, output, 2, arguments, kill_after=max(1, len(inputs) // 2))
    there, begun = len(list(output.glob("study-*"))), len(list(output.glob(".partial-study-*")))
    finished = run(inputs, output, 2, arguments)
    result = {
        "studies": clean.studies,
        "complete_when_killed": there,
        "begun_when_killed": begun,
        "done_by_the_second_run": finished.studies,
        "same_bytes": digests(output) == whole,
        "exit_status": [killed.status, finished.status],
    }
    for folder in (output, output.with_name("undisturbed")):
        shutil.rmtree(folder)
    return result


def table(runs: list[Run], kill: dict[str, object], same: bool, load: float, steps: str) -> str:
    """The runs as a table, and what the killed one left in words."""
    one = runs[0]
    rows = [
        [
            made.workers,
            made.studies,
            f"{made.per_minute:.1f}",
            f"{made.per_minute / (made.workers * one.per_minute):.0%}",
            f"{made.processor_seconds / made.studies:.2f}",
            f"{made.per_free_minute:.0f}",
            f"{made.start_seconds:.0f}",
            f"{_middle(made.memory_mb):.0f}",
            f"{max(used for _, used in made.memory_mb[-len(made.memory_mb) // 4 :]):.0f}",
        ]
        for made in runs
    ]
    header = [
        "workers", "studies", "studies per minute", "of the ideal", "processor seconds per study",
        "studies per minute with a processor for each worker", "first study after (s)", "memory half way (MB)",
        "memory at the end (MB)",
    ]  # fmt: skip
    notes = [
        f"Simulated studies of three slices as DICOM, every second with motion, steps {steps}; one thread per worker.",
        f"All runs left {'the same bytes' if same else 'different bytes'}.",
        f"Of {kill['studies']} studies, {kill['complete_when_killed']} were complete and {kill['begun_when_killed']} "
        "were begun when a run of two workers was killed (kill -9); the same command did the other "
        f"{kill['done_by_the_second_run']}, and all files "
        f"{'are' if kill['same_bytes'] else 'are not'} those of an undisturbed run, byte for byte.",
    ]
    if load > QUIET_LOAD:
        notes.append(
            f"The machine was not idle (load average {load:.1f} at the start), so times on the clock are longer than "
            "they could be and the share of the ideal means little; processor seconds say more."
        )
    return "\n\n".join([markdown_table(header, rows), " ".join(notes)])


def _middle(samples: list[tuple[float, float]]) -> float:
    return samples[len(samples) // 2][1]


def main() -> int:
    """Measure, print the table and write it with its numbers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--killed", type=int, default=24, help="studies of the run that is killed")
    parser.add_argument("--steps", default="t1,landmarks")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    load = os.getloadavg()[0]
    inputs = make_cohort(options.folder / "studies", options.studies)
    arguments = ["--steps", options.steps, "--device", "cpu"]
    runs, left = [], []
    for workers in (1, 2):
        results = options.folder / f"results-{workers}"
        shutil.rmtree(results, ignore_errors=True)
        runs.append(run(inputs, results, workers, arguments))
        left.append(digests(results))
        shutil.rmtree(results)
        print(runs[-1], flush=True)
    kill = killed_and_finished(inputs[: options.killed], options.folder / "killed", arguments)
    text = table(runs, kill, left[0] == left[1], load, options.steps)
    record = {
        "steps": options.steps,
        "load_average_before": load,
        "runs": [{**asdict(made), "per_minute": made.per_minute} for made in runs],
        "same_bytes": left[0] == left[1],
        "killed": kill,
        "tables": {"cohort": text},
    }
    print(f"\n{text}\n\nWritten: {write_results(options.output, 'cohort', record)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
