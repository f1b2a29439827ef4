"""``run_in_slicer.py`` finds Slicer and ends with the status of the tests in it; here with a stand-in for Slicer."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent / "run_in_slicer.py"
MODULES = [path.parent.name for path in sorted(SCRIPT.parents[1].glob("CMR*/CMakeLists.txt"))]

# Runs the script it is given as Slicer does: with an application, the modules that it found, and no arguments.
STAND_IN = """#!{python}
import runpy, sys, types
from pathlib import Path
arguments = sys.argv[1:]
assert arguments[:3] == ["--testing", "--no-splash", "--additional-module-paths"], arguments
paths, (_, script) = arguments[3:-2], arguments[-2:]
assert arguments[-2] == "--python-script"
found = {{Path(path).name.lower(): object() for path in paths if {found}}}
statuses = []
slicer = types.ModuleType("slicer")
slicer.app, slicer.modules = object(), types.SimpleNamespace(**found)
slicer.util = types.SimpleNamespace(exit=statuses.append)
sys.modules["slicer"] = slicer
for name in {missing}:
    sys.modules[name] = None
sys.argv = ["Slicer"]
runpy.run_path(script, run_name="__main__")
sys.exit(statuses[0])
"""


def run(executable, *arguments, **variables):
    given = {**os.environ, "SLICER_EXECUTABLE": "", **variables}
    command = [sys.executable, str(SCRIPT), *(["--slicer", str(executable)] if executable else []), *arguments]
    return subprocess.run(command, env=given, capture_output=True, text=True, check=False)


@pytest.fixture
def slicer(tmp_path):
    def make(found="True", missing=()):
        path = tmp_path / "Slicer"
        path.write_text(STAND_IN.format(python=sys.executable, found=found, missing=missing), encoding="utf-8")
        path.chmod(0o755)
        return path

    return make


def test_no_slicer_is_an_error():
    done = run(None, PATH="")
    assert done.returncode == 2
    assert done.stderr == "3D Slicer was not found; give its path with --slicer or in SLICER_EXECUTABLE.\n"
    assert run("/none/Slicer").returncode == 2


def test_arguments_reach_pytest_and_its_status_comes_back(slicer):
    executable = slicer()
    collected = run(executable, "--collect-only", "-q", "--ignore-glob=*/test_*")
    assert collected.returncode == 5, collected.stdout + collected.stderr  # pytest's status for no tests
    panel_alone = ("--ignore-glob=*/test_[!l]*", "--ignore-glob=*/test_landmark_*")
    own = run(executable, "--collect-only", "-q", *panel_alone, "-k", "test_self_test_of_the_module")
    assert own.returncode == 5 and "deselected" in own.stdout, "a module's own tests are not run a second time"
    assert run(None, "--no-such-option", SLICER_EXECUTABLE=str(executable)).returncode == 4


def test_module_that_slicer_did_not_load_is_an_error(slicer):
    done = run(slicer(found="False"))
    assert done.returncode == 2
    assert done.stderr.startswith(f"Slicer did not load the module {MODULES[0]}; add --additional-module-paths")


def test_missing_pytest_is_an_error(slicer):
    done = run(slicer(missing=("pytest",)))
    assert done.returncode == 2
    assert done.stderr == "Install what the tests need: PythonSlicer -m pip install pytest\n"


def test_ctest_runs_the_suite_only_where_that_is_asked_for():
    """Slicer's Python has no pytest of its own."""
    lists = (SCRIPT.parents[1] / "CMakeLists.txt").read_text(encoding="utf-8")
    (option,) = re.findall(r"option\((\w+) \"[^\"]*pytest[^\"]*\" OFF\)", lists)
    (condition,) = re.findall(r"if\((.*)\)\n  slicer_add_python_test\(SCRIPT Testing/run_in_slicer.py\)", lists)
    assert condition == f"BUILD_TESTING AND {option}"
