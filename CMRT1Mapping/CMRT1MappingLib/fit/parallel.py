"""Working through many pixels in groups, on all processors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Result = TypeVar("Result")


def map_chunks(
    work: Callable[[slice], Result],
    count: int,
    size: int,
    workers: int,
    progress: Callable[[float], None] | None = None,
) -> list[Result]:
    """Call ``work`` for consecutive slices of ``size`` items out of ``count`` and return the results in order.

    Args:
        work: called in ``workers`` threads; each call computes with a single PyTorch thread. PyTorch's own threads wait
            for each other after every operation, which on a busy computer costs a hundred times the computation.
        progress: called in this thread with the fraction done; what it raises ends the work.
    """
    chunks = [slice(start, min(start + size, count)) for start in range(0, count, size)]
    results: list[Result] = []
    with _one_torch_thread(), ThreadPoolExecutor(max(1, min(workers, len(chunks)))) as pool:
        futures = [pool.submit(work, chunk) for chunk in chunks]
        try:
            for chunk, future in zip(chunks, futures, strict=True):
                results.append(future.result())
                if progress is not None:
                    progress(chunk.stop / count)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return results


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
