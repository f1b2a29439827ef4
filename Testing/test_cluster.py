"""``cmr-batch --scheduler`` on a real Dask scheduler and two workers, which listen on this computer alone."""

import contextlib
import json
import os
import re
import runpy
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from batch_processes import SCRIPT, BatchProcess
from batch_studies import write_study

distributed = pytest.importorskip("distributed", reason="the extra cluster is not installed")

PATIENCE_S = 120
STUDIES = 4


def dask(*arguments, log):
    """A process of Dask, as its own commands start it."""
    command = [sys.executable, "-m", "distributed.cli." + arguments[0], *map(str, arguments[1:])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    with log.open("w") as file:
        return subprocess.Popen(command, stdout=file, stderr=file, env=environment)


def wait_for(condition):
    end = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.05)
    return found


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    """Address of a scheduler with two workers, their processes and the folder of their logs."""
    folder = tmp_path_factory.mktemp("dask")
    # Without an address of its own, the page that tells of a cluster's state listens on all addresses.
    page = ("--dashboard-address", "127.0.0.1:0")
    quiet = (*page, "--host", "127.0.0.1", "--port", "0")
    log = folder / "scheduler"
    processes = [dask("dask_scheduler", *quiet, log=log)]
    try:
        address = wait_for(lambda: re.search(r"tcp://127\.0\.0\.1:\d+", log.read_text()))[0]
        worker = (address, "--host", "127.0.0.1", "--nthreads", "1", "--no-nanny", *page)
        local = ("--local-directory", folder)
        processes += [dask("dask_worker", *worker, *local, log=folder / f"worker {n}") for n in "12"]
        with distributed.Client(address, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=PATIENCE_S)
        yield address, processes, folder
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def cmr_batch():
    return runpy.run_path(str(SCRIPT))["main"]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    studies = [str(write_study(folder / f"P{n:03}", f"P{n:03}")) for n in range(STUDIES)]
    (folder / "P000" / "mid.nrrd").write_bytes(b"no image")
    return studies


def contents(output):
    """Every file but for times, which results.json and the summary hold."""
    files = {}
    for path in sorted(path for path in output.rglob("*") if path.is_file()):
        content = path.read_bytes()
        if path.suffix in (".json", ".csv"):
            content = re.sub(rb'("seconds": |,)\d+\.\d+', b"", content)
        files[path.relative_to(output).as_posix()] = content
    return files


def listening(pid):
    """Addresses that a process listens on, as Linux writes them."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            inodes |= set(re.findall(r"socket:\[(\d+)\]", os.readlink(link)))
    tables = [Path(f"/proc/{pid}/net/{name}").read_text() for name in ("tcp", "tcp6")]
    lines = [line.split() for table in tables for line in table.splitlines()]
    return [line[1] for line in lines if line[3] == "0A" and line[9] in inodes]


@pytest.mark.slow
def test_results_do_not_depend_on_who_works(cmr_batch, scheduler, inputs, tmp_path, capsys):
    """This process, two processes, a cluster; and one broken study stops nobody."""
    address, *_ = scheduler
    made = {}
    for name, how in (("here", []), ("two", ["--workers", "2"]), ("cluster", ["--scheduler", address])):
        assert cmr_batch(["--input", *inputs, "--output", str(tmp_path / name), *how, "--steps", "t1"]) == 1
        assert f"Studies: {STUDIES - 1} done, 0 complete already, 1 failed" in capsys.readouterr().out
        made[name] = contents(tmp_path / name)
    assert len(made["here"]) > 6 * (STUDIES - 1)
    assert made["here"] == made["two"] == made["cluster"]


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells what a process listens on")
def test_killed_client_and_worker(cmr_batch, scheduler, inputs, tmp_path):
    """The cluster lives on, nobody listens on other addresses, and the same command does the rest."""
    address, processes, logs = scheduler
    output = tmp_path / "out"
    arguments = ["--input", *inputs[1:], "--output", str(output), "--scheduler", address, "--steps", "t1"]
    client = BatchProcess(arguments, tmp_path)
    wait_for(lambda: output.is_dir() and any(output.glob(".partial-P*")) or client.poll() is not None)
    assert client.poll() is None, client.communicate()
    assert listening(client.pid) == []
    here = socket.inet_aton("127.0.0.1")[::-1].hex().upper()
    assert {heard.rpartition(":")[0] for process in processes for heard in listening(process.pid)} == {here}
    client.kill()
    client.communicate()
    os.kill(processes[2].pid, signal.SIGKILL)
    # The other worker ends the study that it has, which the command leaves to it.
    wait_for(lambda: cmr_batch(arguments) == 0)
    assert sorted(path.name for path in output.iterdir() if path.is_dir()) == ["P001", "P002", "P003"]
    for study in output.glob("P*"):
        assert json.loads((study / "results.json").read_text())["status"] == "ok"
    assert not list(output.glob(".*"))
    told = "".join(path.read_text() for path in logs.iterdir() if path.is_file())
    assert "worker" in told and inputs[0] not in told and "P001" not in told


def test_a_scheduler_that_cannot_be_used(cmr_batch, inputs, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("CMRLib.batch.cluster.PATIENCE_S", 0.5)
    command = ["--input", inputs[0], "--output", str(tmp_path / "out"), "--scheduler"]
    assert cmr_batch([*command, "tcp://127.0.0.1:9"]) == 2
    assert capsys.readouterr().err.endswith("No Dask scheduler answers at tcp://127.0.0.1:9; check the address.\n")
    assert cmr_batch([*command, "nowhere://"]) == 2
    assert cmr_batch([*command, "tcp://127.0.0.1:9", "--workers", "2"]) == 2
    assert "--workers has no meaning with --scheduler" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert cmr_batch([*command, "tcp://127.0.0.1:9"]) == 3
    assert "pip install 'cmr-mapping[cluster]'" in capsys.readouterr().err
