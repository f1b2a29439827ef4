"""Run the tests of the modules inside a real 3D Slicer.

``python3 Testing/run_in_slicer.py [--slicer PATH] [arguments of pytest]`` finds Slicer (from ``--slicer``, the variable
SLICER_EXECUTABLE or the search path), starts it with this same file, and ends with the exit status of the tests.
Inside Slicer it can also be run directly::

    Slicer --testing --no-splash --additional-module-paths CMR* --python-script Testing/run_in_slicer.py

It needs pytest and hypothesis in Slicer's Python, and fails when it cannot run the tests.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODULES = [path.parent for path in sorted(ROOT.glob("CMR*/CMakeLists.txt"))]
# Slicer takes command-line options that look like its own, so those of pytest travel in a variable.
ARGUMENTS = "CMR_PYTEST_ARGUMENTS"
CANNOT_RUN = 2


def main() -> int:
    """Outside Slicer: start it and return the exit status of the tests in it."""
    arguments = sys.argv[1:]
    executable = os.environ.get("SLICER_EXECUTABLE") or shutil.which("Slicer")
    if arguments[:1] == ["--slicer"]:
        executable, arguments = (arguments[1:2] or [None])[0], arguments[2:]
    if executable is None or shutil.which(executable) is None:
        return _cannot("3D Slicer was not found; give its path with --slicer or in SLICER_EXECUTABLE.")
    paths = [str(path) for path in MODULES]
    command = [executable, "--testing", "--no-splash", "--additional-module-paths", *paths]
    variables = {**os.environ, ARGUMENTS: json.dumps(arguments)}
    return subprocess.call([*command, "--python-script", str(Path(__file__).resolve())], cwd=ROOT, env=variables)


def run_tests() -> int:
    """Inside Slicer: run the tests and return pytest's exit status."""
    import slicer

    missing = [name for name in ("pytest", "hypothesis") if importlib.util.find_spec(name) is None]
    if missing:
        return _cannot(f"Install what the tests need: PythonSlicer -m pip install {' '.join(missing)}")
    for module in MODULES:
        if not hasattr(slicer.modules, module.name.lower()):
            return _cannot(f"Slicer did not load the module {module.name}; add --additional-module-paths {module}")
    import pytest

    tests = [str(module / "Testing" / "Python") for module in MODULES]
    # The modules' own tests are ctests of their own, and Reload and Test in the panel.
    options = [
        "--rootdir",
        str(ROOT),
        "-c",
        str(ROOT / "pyproject.toml"),
        "-p",
        "no:cacheprovider",
        "-m",
        "not self_test",
    ]
    return int(pytest.main([*options, *json.loads(os.environ.get(ARGUMENTS, "[]")), *tests]))


def _cannot(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return CANNOT_RUN


if __name__ == "__main__":
    if hasattr(sys.modules.get("slicer"), "app"):
        import slicer

        status = CANNOT_RUN
        try:
            status = run_tests()
        finally:
            slicer.util.exit(status)  # Slicer would stay open otherwise
    else:
        sys.exit(main())
