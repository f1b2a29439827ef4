"""Check the code and run every test: ``python3 Testing/run_tests.py [arguments of pytest]``.

Makes the environment first. The tests run in as many processes as there are cores, or in one with ``-n 0``. The last
line is pytest's summary, unless mypy found something; the exit status is 0 only when everything passed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "Resources" / "Scripts"))

import environment  # noqa: E402 (found through the line above)

CHECKS = (("ruff", "check", "."), ("ruff", "format", "--check", "."))
# mypy takes long where it has no cache yet, so it runs beside the tests.
TYPES = ("mypy",)
# More processes than this would wait for memory: each holds torch and a scene.
MOST_PROCESSES = 8


def parallel() -> tuple[str, ...]:
    """pytest's options for so many processes; each begins with a part of the files and takes over what others leave."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return ("-n", str(min(cores, MOST_PROCESSES)), "--dist", "worksteal")


def main() -> int:
    """Run the checks and the tests, and return the exit status."""
    environment.enter()
    variables = dict(os.environ)
    variables.pop("PYTHONDONTWRITEBYTECODE", None)  # every process of the tests would compile everything again
    statuses = []

    def run(command: tuple[str, ...]) -> None:
        print(f"== {' '.join(command)}", flush=True)
        statuses.append(subprocess.call([sys.executable, "-m", *command], cwd=ROOT, env=variables))

    for command in CHECKS:
        run(command)
    print(f"== {' '.join(TYPES)}, beside the tests; what it finds is told after them", flush=True)
    with tempfile.TemporaryFile() as told:
        types = subprocess.Popen([sys.executable, "-m", *TYPES], cwd=ROOT, env=variables, stdout=told, stderr=told)
        run(("pytest", *parallel(), *sys.argv[1:]))
        statuses.append(types.wait())
        if types.returncode:
            told.seek(0)
            print(told.read().decode(errors="replace"), flush=True)
    return next((status for status in statuses if status), 0)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
