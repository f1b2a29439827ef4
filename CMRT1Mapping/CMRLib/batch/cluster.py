"""Workers of a Dask cluster that somebody else has started, on other computers perhaps."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import CancelledError
from types import TracebackType
from typing import TYPE_CHECKING

from CMRLib.batch.workers import Item, Result, Workers, attempt
from CMRLib.errors import DeviceError, MissingDependencyError
from CMRLib.provenance import software_versions

if TYPE_CHECKING:
    from distributed import Client

PATIENCE_S = 15.0  # for the scheduler to answer
_AHEAD = 2  # items that each worker has or waits for; more would only fill the scheduler's memory
_NO_WORKERS = "The Dask cluster has no workers; start some, for example with dask worker ADDRESS --nthreads 1."
_ENDED = "The Dask scheduler ended; complete studies were kept. Start it and run the same command again for the others."
_REMEDY = "install it with pip install 'cmr-mapping[cluster]'"


class Cluster(Workers):
    """Workers that a Dask scheduler knows; they stay when the context is left.

    A worker that is ended has its item done by another one; an item that ends several workers is given up.
    """

    def __init__(self, address: str) -> None:
        """Connect.

        Args:
            address: of the scheduler, as ``tcp://HOST:8786``.

        Raises:
            MissingDependencyError: Dask is not installed here, or the workers have other software.
            DeviceError: no scheduler answers, or its workers cannot be used.
        """
        try:
            from distributed import Client
        except ModuleNotFoundError as error:
            raise MissingDependencyError(
                f"Dask is needed for --scheduler ({error.name} is missing); {_REMEDY}."
            ) from error
        try:
            self._client: Client = Client(address, timeout=PATIENCE_S, set_as_default=False)
        except (OSError, ValueError) as error:  # TimeoutError is an OSError
            raise DeviceError(f"No Dask scheduler answers at {address}; check the address.") from error
        try:
            self._check()
        except BaseException:
            self._client.close()
            raise

    def _check(self) -> None:
        """Whether every worker works on one item at a time, with the software that is here."""
        threads: Mapping[str, int] = self._client.nthreads()
        if not threads:
            raise DeviceError(_NO_WORKERS)
        if any(count != 1 for count in threads.values()):
            raise DeviceError("A worker of the Dask cluster has several threads; start every worker with --nthreads 1.")
        # A worker that ended just now says nothing, and gets no work either.
        said = [
            a for a in self._client.run(software_versions, on_error="return").values() if not isinstance(a, OSError)
        ]
        if any(isinstance(answer, Exception) for answer in said):
            raise MissingDependencyError(
                "A worker of the Dask cluster lacks CMRMapping; install it where the workers run."
            )
        if any(answer != software_versions() for answer in said):
            raise MissingDependencyError(
                "A worker of the Dask cluster has other versions of CMRMapping or of its packages than this command, "
                "so results would depend on who made them; install the same versions everywhere."
            )

    def results(
        self, function: Callable[[Item], Result], items: Sequence[Item], lost: Callable[[Item], Result]
    ) -> Generator[tuple[Item, Result], None, None]:
        """See `CMRLib.batch.workers.Workers`."""
        from distributed import Future, KilledWorker, as_completed

        waiting = iter(items)
        given: dict[Future, Item] = {}
        finished = as_completed(loop=self._client.loop)

        def give(most: int) -> None:
            while len(given) < most and (item := next(waiting, None)) is not None:
                future = self._client.submit(attempt, function, item, pure=False)
                given[future] = item
                finished.add(future)

        try:
            give(self._most())
            for future in finished:
                item = given.pop(future)
                try:
                    result, error = future.result()
                except (OSError, CancelledError) as ended:
                    raise DeviceError(_ENDED) from ended
                except KilledWorker:
                    result, error = lost(item), None
                future.release()
                if error is not None:
                    raise error
                yield item, result
                give(self._most())
        finally:
            with contextlib.suppress(Exception):  # the scheduler may be no more
                self._client.cancel(list(given))

    def _most(self) -> int:
        return _AHEAD * max(1, len(self._client.nthreads()))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()
