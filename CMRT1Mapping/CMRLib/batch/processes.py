"""Workers that are processes of this computer."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any

from CMRLib.batch.workers import Item, Result, Workers, attempt

_VISIBLE_GPUS = "CUDA_VISIBLE_DEVICES"


class Processes(Workers):
    """Processes that are started when there is work for them, and anew where one was ended from outside.

    They live as long as the context, so that what they have loaded serves every item. They can be started from the
    main thread only.
    """

    def __init__(self, count: int, gpus: Sequence[str] | None = None) -> None:
        """No process yet.

        Args:
            count: of processes.
            gpus: for each process, the GPU that is its own, as CUDA_VISIBLE_DEVICES names it; None where they compute
                without.
        """
        self._threads = max(1, (os.cpu_count() or 1) // count)
        self._gpus = gpus
        self._workers: list[_Worker | None] = [None] * count

    def results(
        self, function: Callable[[Item], Result], items: Sequence[Item], lost: Callable[[Item], Result]
    ) -> Generator[tuple[Item, Result], None, None]:
        """See `CMRLib.batch.workers.Workers`."""
        waiting, at_work = deque(items), dict[Connection, tuple[int, Item]]()
        while waiting or at_work:
            for number in range(len(self._workers)):
                if waiting and number not in (place for place, _ in at_work.values()):
                    worker, item = self._worker(number), waiting.popleft()
                    at_work[worker.connection] = (number, item)
                    worker.give(function, item)
            for connection in wait(list(at_work)):
                assert isinstance(connection, Connection)
                number, item = at_work.pop(connection)
                yield item, self._answer(number, connection, functools.partial(lost, item))

    def _answer(self, number: int, connection: Connection, lost: Callable[[], Result]) -> Result:
        """What a worker says of its item; a worker that is no more is let go of."""
        try:
            result, error = connection.recv()
        except (EOFError, OSError):
            self._end(number)
            return lost()
        if error is not None:
            raise error
        answer: Result = result
        return answer

    def _worker(self, number: int) -> _Worker:
        worker = self._workers[number]
        if worker is None or not worker.process.is_alive():
            self._end(number)
            worker = self._workers[number] = _Worker(self._threads, self._gpus[number] if self._gpus else None)
        return worker

    def _end(self, number: int) -> None:
        worker, self._workers[number] = self._workers[number], None
        if worker is not None:
            worker.end()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number in range(len(self._workers)):
            self._end(number)


class _Worker:
    """One process, and this end of the pipe to it."""

    def __init__(self, threads: int, gpu: str | None) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=_work, args=(theirs, threads, gpu), daemon=True)
        with _interrupts_ignored():
            self.process.start()
        theirs.close()  # so that the pipe ends with the process

    def give(self, function: Callable[[Any], Any], item: object) -> None:
        """Have the process work on an item; one that was just ended is found out when its answer is read."""
        with contextlib.suppress(OSError):
            self.connection.send((function, item))

    def end(self) -> None:
        """End the process, in the midst of its work or not."""
        self.process.terminate()
        self.process.join()
        self.connection.close()


@contextlib.contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """What is ignored here is ignored in a new process from its first moment: Ctrl-C is left to this one."""
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def _work(connection: Connection, threads: int, gpu: str | None) -> None:
    """In a new process: answer items until the parent ends, with no more than a fair share of the cores."""
    os.environ["OMP_NUM_THREADS"] = str(threads)  # PyTorch reads these when it is first imported
    if gpu is not None:
        os.environ[_VISIBLE_GPUS] = gpu
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (wait([parent.sentinel]), os._exit(1)), daemon=True).start()
    with contextlib.suppress(EOFError, OSError):
        while True:
            connection.send(attempt(*connection.recv()))


def gpus_of(count: int, workers: int) -> list[str]:
    """The GPU of each worker, as CUDA_VISIBLE_DEVICES names it.

    Args:
        count: of the GPUs that there are, as PyTorch counts them.
        workers: number of processes, at most that of the GPUs.
    """
    named = [name for name in os.environ.get(_VISIBLE_GPUS, "").split(",") if name]
    return (named or [str(number) for number in range(count)])[:workers]
