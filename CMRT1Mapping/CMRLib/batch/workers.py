"""Who works on the items of a batch: this process, or others that take one item at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from types import TracebackType
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Workers(ABC):
    """Workers, as a context: leaving it ends them, or lets go of those that are not this program's own."""

    @abstractmethod
    def results(
        self, function: Callable[[Item], Result], items: Sequence[Item], lost: Callable[[Item], Result]
    ) -> Generator[tuple[Item, Result], None, None]:
        """Yield pairs of item and result as they come; what is not wanted any more ends with the context.

        Args:
            function: at the top level of a module, so that processes can share it.
            items: what to call it with.
            lost: gives the result of an item whose process was ended from outside.

        Raises:
            Exception: whatever ``function`` raises.
        """

    def __enter__(self) -> Workers:
        return self

    @abstractmethod
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def attempt(function: Callable[[Item], Result], item: Item) -> tuple[Result | None, Exception | None]:
    """In a worker: the result, or what was raised, as a value.

    What is raised would be logged by Dask together with the item, and folders are often named after patients.
    """
    try:
        return function(item), None
    except Exception as error:
        return None, error


class ThisProcess(Workers):
    """No other process."""

    def results(
        self, function: Callable[[Item], Result], items: Sequence[Item], lost: Callable[[Item], Result]
    ) -> Generator[tuple[Item, Result], None, None]:
        """See `Workers`."""
        for item in items:
            yield item, function(item)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass
