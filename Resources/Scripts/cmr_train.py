"""Train the networks of CMRMapping: ``cmr-train landmarks|moconet --output DIR [--acdc DIR] [--simulated N] ...``.

Training can be killed at any time: the same command goes on where it stopped. Weights trained on the ACDC or EMIDEC
images are under those images' licence, CC BY-NC-SA 4.0; the weights file says so. Each module brings its networks (see
`CMRLib.training.commands`).

Exit status: 0 done, 2 usage or input, 3 a missing dependency, 130 cancelled.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with ``arguments`` (those of the process by default) and return its exit status."""
    try:
        from CMRLib.training.commands import run_subcommand, subcommands
    except ModuleNotFoundError as error:  # nothing of this software is installed
        print(f'{error.name} is not installed; run pip install "cmr-mapping[research]".', file=sys.stderr)
        return 3
    return run_subcommand(
        argparse.ArgumentParser(prog="cmr-train", description=(__doc__ or "").partition("\n")[0]),
        "NETWORK",
        lambda: subcommands("TRAININGS"),
        arguments,
        "Cancelled; run the same command again to go on.",
    )


if __name__ == "__main__":
    sys.exit(main())
