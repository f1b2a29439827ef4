"""What ``cmr-batch`` leaves behind when it is killed or cancelled, or when the disk is full."""

import json
import os
import resource
import runpy
import signal
import subprocess
import sys
import time

import pytest
from batch_processes import SCRIPT, BatchProcess, heed_interrupts
from batch_studies import write_study

STUDIES = 10
STEPS = ("--steps", "t1")  # the shortest, as none matters here
PATIENCE_S = 120


@pytest.fixture(scope="module")
def cmr_batch():
    return runpy.run_path(str(SCRIPT))["main"]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    return [str(write_study(folder / f"P{n:03}", f"P{n:03}")) for n in range(STUDIES)]


def start(inputs, output, *arguments, preexec_fn=heed_interrupts):
    """The command as a user starts it."""
    command = [sys.executable, str(SCRIPT), "--input", *inputs, "--output", str(output), *STEPS, *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, start_new_session=True, preexec_fn=preexec_fn, **pipes)


def start_at_once(inputs, output, *arguments):
    """The command without the time that a new Python takes."""
    return BatchProcess(["--input", *inputs, "--output", output, *STEPS, *arguments], output.parent)


def wait_until_in_the_middle(process, output):
    """Wait until a study is complete and the next one is being written."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end and process.poll() is None:
        names = os.listdir(output) if output.is_dir() else []
        if any(name.startswith("P") for name in names) and any(name.startswith(".partial-P") for name in names):
            return
        time.sleep(0.002)
    process.kill()
    pytest.fail(f"the command was not caught in the middle: {process.communicate()}")


def check_whole(output):
    """Every study that is there is complete, with all its files; return how many there are."""
    studies = sorted(output.glob("P*"))
    for study in studies:
        results = json.loads((study / "results.json").read_text())
        assert results["status"] == "ok" and len(results["t1"]) == 1
        for entry in results["t1"]:
            assert all((study / entry[key]).is_file() for key in entry if key.endswith("_file") and entry[key])
    return len(studies)


def finish(cmr_batch, inputs, output, capsys):
    """The same command again does the rest and nothing else; no process of its own is needed for this."""
    there = {study.name: study.stat().st_ino for study in output.glob("P*")}
    assert cmr_batch(["--input", *inputs, "--output", str(output), *STEPS]) == 0
    printed = capsys.readouterr().out
    assert f"Studies: {STUDIES - len(there)} done, {len(there)} complete already, 0 failed" in printed
    assert {name: (output / name).stat().st_ino for name in there} == there
    assert check_whole(output) == STUDIES
    assert not list(output.glob(".*"))


@pytest.mark.parametrize(("start", "workers"), [(start_at_once, "1"), (start, "2")])
def test_killed_run_leaves_whole_studies_and_can_be_finished(cmr_batch, inputs, tmp_path, capsys, start, workers):
    output = tmp_path / "out"
    process = start(inputs, output, "--workers", workers)
    wait_until_in_the_middle(process, output)
    process.kill()
    process.communicate()
    wait_until_group_ended(process.pid)
    assert 0 < check_whole(output) < STUDIES
    finish(cmr_batch, inputs, output, capsys)


def wait_until_group_ended(group):
    """Worker processes must end with the process that was killed."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    os.killpg(group, signal.SIGKILL)
    pytest.fail("worker processes outlived the command")


@pytest.mark.parametrize(
    ("start", "workers", "number"),
    [
        (start, "1", signal.SIGINT),
        (start_at_once, "1", signal.SIGTERM),
        (start_at_once, "2", signal.SIGINT),
        (start_at_once, "2", signal.SIGTERM),
    ],
)
def test_cancelled_run_leaves_nothing_half_written(inputs, tmp_path, start, workers, number):
    output = tmp_path / "out"
    process = start(inputs, output, "--workers", workers)
    wait_until_in_the_middle(process, output)
    os.killpg(process.pid, number)  # as a terminal does for Ctrl-C
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert errors.strip() == "Cancelled; complete studies were kept. Run the same command again for the others."
    wait_until_group_ended(process.pid)
    assert 0 < check_whole(output) < STUDIES
    assert not list(output.glob(".*"))


def test_full_disk(cmr_batch, inputs, tmp_path):
    output = tmp_path / "out"

    def allow_small_files_only():
        resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))

    process = start(inputs[:2], output, preexec_fn=allow_small_files_only)
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert (
        "P000: " in errors and "check the folder's permissions and free space" in errors and "Traceback" not in errors
    )
    assert check_whole_or_failed(output)
    assert cmr_batch(["--input", *inputs[:2], "--output", str(output), *STEPS]) == 0
    assert check_whole(output) == 2


def check_whole_or_failed(output):
    """Nothing of a study is there, or a complete account of its failure."""
    for entry in output.iterdir():
        if entry.is_dir():
            assert [file.name for file in entry.iterdir()] in ([], ["results.json"])
            for file in entry.iterdir():
                assert json.loads(file.read_text())["status"] == "failed"
    return not list(output.glob(".*"))


def test_only_study_cannot_be_read_from_a_file_cut_short(cmr_batch, tmp_path, capsys):
    folder = write_study(tmp_path / "in", "P001")
    image = folder / "mid.nrrd"
    image.write_bytes(image.read_bytes()[:200])
    assert cmr_batch(["--input", str(folder), "--output", str(tmp_path / "out")]) == 1
    errors = capsys.readouterr().err
    assert len(errors.strip().splitlines()) == 1 and errors.startswith("P001: ")
