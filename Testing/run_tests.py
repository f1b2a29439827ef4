"""Check the code and run every test: ``python3 Testing/run_tests.py [arguments of pytest]``.

Makes the environment first. The last line is pytest's summary; the exit status is 0 only when everything passed.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "Resources" / "Scripts"))

import environment  # noqa: E402 (found through the line above)

CHECKS = (("ruff", "check", "."), ("ruff", "format", "--check", "."), ("mypy",))


def main() -> int:
    """Run the checks and the tests, and return the exit status."""
    environment.enter()
    statuses = []
    for command in (*CHECKS, ("pytest", *sys.argv[1:])):
        print(f"== {' '.join(command)}", flush=True)
        statuses.append(subprocess.call([sys.executable, "-m", *command], cwd=ROOT))
    return next((status for status in statuses if status), 0)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
