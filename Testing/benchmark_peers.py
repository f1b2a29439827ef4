"""Make the peers' own environment, ``.venv-peers``: what benchmark_t1.py and ``cmr-evaluate`` measure.

The T1 mapping tools need packages older than this project's, so they cannot share its environment. Together they cannot
be resolved either: ukat pins versions for its kidney segmentation, TensorFlow among them. So the four are installed
without their dependencies, and beside them what their T1 fits import, in the versions they ask for or, where they ask
for none, the last ones that they still run with (sh_molli: NumPy 1, SciPy 1.11, pydicom 2). elastix and greedy are at
home there because they are no dependencies of this project.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ENVIRONMENT = Path(__file__).resolve().parents[1] / ".venv-peers"
STAMP = ENVIRONMENT / "complete.txt"
PEERS = ("ukat==0.7.3", "t1est==0.1.2", "sh_molli==0.0.55", "mdreg==0.5.4")
IMPORTED = (
    "numpy==1.26.4",
    "scipy==1.11.4",
    "scikit-learn==1.2.2; python_version < '3.12'",
    "scikit-learn==1.3.2; python_version >= '3.12'",
    "nibabel==5.2.1",
    "pathos==0.3.2",
    "tqdm>=4.64.1",
    "pydicom==2.4.4",
    "pillow>=10",
    "itk-elastix==0.25.4",
    "picsl-greedy==1.4.0.3",
    "SimpleITK==2.5.2",
    "scikit-image==0.22.0",
    "zarr<3",
    "dask>=2024",
    "requests>=2",
    "importlib-resources>=5",
)
NEWEST = (3, 12)  # Python with wheels of these NumPy and SciPy


def make_peers_environment() -> Path:
    """Make the environment unless it is complete, and return its Python; ends the program where that fails."""
    python = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = "\n".join([*IMPORTED, *PEERS])
    if STAMP.is_file() and STAMP.read_text(encoding="utf-8") == stamp and python.exists():
        return python
    print(f"Making the peers' environment in {ENVIRONMENT} (once)", flush=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in (
        [_suitable_python(), "-m", "venv", "--clear", str(ENVIRONMENT)],
        [*pip, "--only-binary=:all:", *IMPORTED],
        [*pip, "--no-deps", *PEERS],
    ):
        if subprocess.call(command) != 0:
            print("The peers could not be installed; see the message above and run this again.", file=sys.stderr)
            raise SystemExit(3)
    STAMP.write_text(stamp, encoding="utf-8")
    return python


def _suitable_python() -> str:
    if sys.version_info[:2] <= NEWEST:
        return sys.executable
    for name in ("python3.12", "python3.11", "python3.10"):
        found = shutil.which(name)
        if found and subprocess.call([found, "-c", "import venv"], stderr=subprocess.DEVNULL) == 0:
            return found
    print("The peers run on Python 3.10 to 3.12 only; install one of these and run this again.", file=sys.stderr)
    raise SystemExit(3)
