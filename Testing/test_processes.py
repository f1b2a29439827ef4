"""One function over many items in several processes, some of which are ended from outside; and how progress is told.

What the processes import is imported by tests that need it, as that would be the most of their time."""

import io
import multiprocessing
import os
import time

import pytest

from CMRLib.batch.processes import Processes, gpus_of
from CMRLib.batch.progress import Progress, duration
from CMRLib.errors import DeviceError, InputError


def work(item):
    """End the process, raise, or say which process this is and what it was given."""
    if item == "end":
        os._exit(9)
    if item == "raise":
        raise InputError("one sentence")
    return os.getpid(), os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ["OMP_NUM_THREADS"]


def test_an_ended_process_loses_its_own_item_and_the_others_go_on():
    """One process for all items and calls, a new one after each that was ended, and none in the end."""
    with Processes(1, ["3"]) as workers:
        first = [result for _, result in workers.results(work, [1, 2], lambda item: "lost")]
        second = list(workers.results(work, [3, "end", 5, "end", 7], lambda item: f"lost {item}"))
        with pytest.raises(InputError, match="one sentence"):
            list(workers.results(work, ["raise"], str))
    assert len({first[0], first[1], second[0][1]}) == 1 and first[0][1] == "3"
    assert [item for item, _ in second] == [3, "end", 5, "end", 7]
    assert [result for item, result in second if item == "end"] == ["lost end"] * 2
    assert len({result[0] for item, result in second if item != "end"}) == 3
    assert multiprocessing.active_children() == []


def test_leaving_ends_what_is_at_work():
    start = time.monotonic()
    with Processes(1) as workers:
        next(workers.results(work, [1, 2], str))
        workers._worker(0).give(time.sleep, 60)
    assert multiprocessing.active_children() == [] and time.monotonic() - start < 50


def test_a_gpu_is_one_workers(monkeypatch):
    import torch

    from CMRLib.batch import run
    from CMRLib.batch.options import BatchOptions

    monkeypatch.setattr(run, "resolve_device", torch.device)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    assert run._workers(BatchOptions(device="cuda", workers=2), 9)._gpus == ["5", "7"]
    assert run._workers(BatchOptions(device="cpu", workers=3), 9)._gpus is None
    assert isinstance(run._workers(BatchOptions(device="cuda:1", workers=3), 1), run.ThisProcess)
    for device, workers, gpus in (("cuda", 3, 2), ("cuda:1", 2, 1)):
        with pytest.raises(DeviceError, match=f"there are {workers} workers for {gpus}; state --workers {gpus} or"):
            run._workers(BatchOptions(device=device, workers=workers), 9)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert gpus_of(3, 2) == ["0", "1"]


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_progress(stream):
    now = iter((0.0, 30.0, 60.0))
    progress = Progress(stream, lambda: next(now))
    progress.hide()
    progress.expect(3)
    for _ in range(3):
        progress.hide()
        stream.write("a study\n")
        progress.count()
        progress.show()
    if not stream.isatty():
        assert stream.getvalue() == "a study\n" * 3
        return
    clear = "\r\x1b[K"
    first, second, third, end = stream.getvalue().split("a study\n")
    assert first == f"{clear}0 of 3 studies{clear}" and third.startswith(f"{clear}2 of 3 studies, about 30 s left")
    assert second == f"{clear}1 of 3 studies, about 1 min left{clear}" and end == ""


def test_durations():
    told = {0.1: "1 s", 59: "59 s", 60: "1 min", 3569: "59 min", 3600: "1 h 0 min", 9000: "2 h 30 min"}
    assert {seconds: duration(seconds) for seconds in told} == told
