"""Processes of ``cmr-batch`` that start at once: forked from one that has imported what the command imports.

What a new Python imports takes it two to three seconds of a processor, mostly for PyTorch. These processes are as real
as others: they have their own standard output, group and limits, and can be killed. That the script itself starts is
for tests that run it with a new Python.
"""

import multiprocessing
import os
import runpy
import signal
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "Resources" / "Scripts" / "cmr_batch.py"
IMPORTED = ["torch", "CMRLib.batch.run", "CMRT1MappingLib.step", "CMRT1MappingLib.mapping", "CMRLandmarksLib.step"]


def at_once():
    """What makes such processes."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    return context


@pytest.fixture
def workers_at_once(monkeypatch):
    """The processes of ``--workers`` start at once, too, where a test runs the command in its own."""
    context = at_once()
    monkeypatch.setattr("CMRLib.batch.processes.multiprocessing.get_context", lambda method: context)


class BatchProcess:
    """A running ``cmr-batch``, with as much of `subprocess.Popen` as tests need."""

    def __init__(self, arguments, folder, prepare=None):
        """Start it; ``prepare``, at the top level of a module, is called in the process before the command."""
        self._told = [folder / f"{name} of the command" for name in ("output", "errors")]
        self._process = at_once().Process(target=_run, args=([str(a) for a in arguments], self._told, prepare))
        self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self):
        return self._process.exitcode

    def poll(self):
        return self._process.exitcode

    def wait(self, timeout=None):
        """Wait for the end, or for so many seconds."""
        self._process.join(timeout)

    def kill(self):
        self._process.kill()

    def communicate(self, timeout=None):
        """Wait for the end, and return what was printed and the error messages."""
        self._process.join(timeout)
        return tuple(path.read_text(encoding="utf-8") if path.exists() else "" for path in self._told)


def heed_interrupts():
    """Undo what a shell does to programs it starts in the background, which ignore Ctrl-C from then on."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _run(arguments, told, prepare):
    os.setsid()
    for number, path in enumerate(told, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    heed_interrupts()
    if prepare is not None:
        prepare()
    sys.exit(runpy.run_path(str(SCRIPT))["main"](arguments))
