"""What the three commands share: the way from an error to an exit status, and what the modules bring to two of them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from CMRLib.commands import exit_status, stopped
from CMRLib.errors import DeviceError, InputError, MissingDependencyError
from CMRLib.training import commands

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ROOT / "Resources" / "Scripts"


def ended_by(error):
    def work(cancellation):
        raise error

    return exit_status(work, cancelled="Cancelled.", remedy="run pip install it")


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (InputError("No image; name another folder."), 2, "No image; name another folder.\n"),
        (DeviceError("No such GPU; use cpu."), 2, "No such GPU; use cpu.\n"),
        (MissingDependencyError("No weights; install them."), 3, "No weights; install them.\n"),
        (ModuleNotFoundError("...", name="torch"), 3, "torch is not installed; run pip install it.\n"),
        (KeyboardInterrupt(), 130, "Cancelled.\n"),
        (SystemExit(2), 2, ""),
        (SystemExit(0), 0, ""),
    ],
)
def test_every_error_has_its_status_and_its_sentence(capsys, error, status, sentence):
    assert ended_by(error) == status
    assert capsys.readouterr().err == sentence


def test_an_error_that_nobody_expects_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        ended_by(ZeroDivisionError())


def test_the_work_has_the_last_word(capsys):
    assert exit_status(lambda cancellation: stopped("Half.", 1), cancelled="", remedy="") == 1
    assert capsys.readouterr().err == "Half.\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_cancels_and_its_handlers_come_back(capsys, number):
    def work(cancellation):
        try:
            os.kill(os.getpid(), number)
            time.sleep(5)
        except KeyboardInterrupt:
            raise ImportError("half loaded") from None

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        terminated = signal.getsignal(signal.SIGTERM)
        assert exit_status(work, cancelled="Cancelled.", remedy="") == 130
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert signal.getsignal(signal.SIGTERM) is terminated
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err == "Cancelled.\n"


@pytest.mark.parametrize("kind", ["TRAININGS", "EVALUATIONS"])
def test_every_module_with_research_is_named_and_names_differ(kind):
    folders = {path.parent.parent.name for path in ROOT.glob("CMR*/CMR*Lib/research/commands.py")}
    assert {name.split(".")[0] for name in commands.RESEARCH_COMMANDS} == folders
    names = [subcommand.name for subcommand in commands.subcommands(kind)]
    assert names and len(names) == len(set(names))


# Python takes a package without a module for one that is not installed.
HIDE = "import sys; sys.modules[{!r}] = None; "
RUN = "import sys; sys.path.insert(0, {!r}); import {} as script; sys.exit(script.main({!r}))"


@pytest.mark.parametrize(
    ("script", "arguments", "package", "remedy"),
    [
        ("cmr_batch", ["--input", ".", "--output", "out"], "CMRLib", "run pip install cmr-mapping or use 3D Slicer"),
        ("cmr_batch", ["--input", ".", "--output", "out"], "numpy", "run pip install cmr-mapping or use 3D Slicer"),
        ("cmr_train", ["--help"], "CMRLib", commands.REMEDY),
        ("cmr_train", ["moconet", "--output", "out"], "scipy", commands.REMEDY),
        ("cmr_evaluate", ["readme", "--check"], "CMRLib", commands.REMEDY),
        ("cmr_evaluate", ["moco", "--pictures", "out", "--without-peers"], "matplotlib", commands.REMEDY),
    ],
)
def test_a_missing_package_is_one_sentence_that_says_what_to_install(tmp_path, script, arguments, package, remedy):
    run = RUN.format(str(SCRIPTS), script, arguments)
    # Without site-packages nothing is installed, this software least of all.
    command = ["-I", "-S", "-c", run] if package == "CMRLib" else ["-c", HIDE.format(package) + run]
    done = subprocess.run([sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    told = [line for line in done.stderr.splitlines() if not line.startswith("Left out:")]
    assert told == [f"{package} is not installed; {remedy}."]
    assert not list(tmp_path.iterdir())
