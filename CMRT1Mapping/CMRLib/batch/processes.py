"""The same function over many items, in this process or in several."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_processes(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int, lost: Callable[[Item], Result]
) -> Generator[tuple[Item, Result], None, None]:
    """Yield pairs of item and result as they come; closing the generator ends the processes at once.

    Args:
        function: at the top level of a module, so that processes can share it.
        items: what to call it with.
        workers: number of processes; 1 works in this process. More can be started from the main thread only.
        lost: gives the result of an item whose process was ended from outside.

    Raises:
        Exception: whatever ``function`` raises ends all processes.
    """
    workers = min(workers, len(items))
    if workers <= 1:
        for item in items:
            yield item, function(item)
        return
    threads = max(1, (os.cpu_count() or 1) // workers)
    executor = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start_worker, (threads,))
    # What is ignored here is ignored in the new processes from their first moment: Ctrl-C is left to this one.
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        futures: dict[Future[Result], Item] = {executor.submit(function, item): item for item in items}
    finally:
        signal.signal(signal.SIGINT, interrupt)
    try:
        for future in as_completed(futures):
            item = futures[future]
            try:
                result = future.result()
            except BrokenProcessPool:
                result = lost(item)
            yield item, result
    except BaseException:
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    finally:
        executor.shutdown(cancel_futures=True)


def _start_worker(threads: int) -> None:
    """In a new process: end with the parent, and take no more than a fair share of the cores."""
    os.environ["OMP_NUM_THREADS"] = str(threads)  # PyTorch reads it when it is first imported
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (wait([parent.sentinel]), os._exit(1)), daemon=True).start()
