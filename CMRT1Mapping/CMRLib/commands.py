"""What the commands have in common: their exit statuses, and the way from an error or a signal to one of them.

Only Python's own modules are loaded here, so that a command can say what is missing.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn

from CMRLib.errors import CMRError, MissingDependencyError

EXIT_DONE, EXIT_SOME_FAILED, EXIT_USAGE, EXIT_MISSING, EXIT_CANCELLED = 0, 1, 2, 3, 130


class Cancellation:
    """Handler of signals that end a command.

    It remembers that there was one, because libraries that are interrupted while they load say that they are missing.
    """

    def __init__(self) -> None:
        self.requested = False

    def __call__(self, signal_number: int, frame: object) -> NoReturn:
        self.requested = True
        raise KeyboardInterrupt

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Be the handler; the earlier ones come back at the end."""
        handlers = {signal.SIGTERM: signal.signal(signal.SIGTERM, self)}  # schedulers end jobs with it
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            handlers[signal.SIGINT] = signal.signal(signal.SIGINT, self)
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler or signal.SIG_DFL)  # None: the application's own, in C++

    @contextlib.contextmanager
    def not_hidden(self) -> Iterator[None]:
        """Errors after a signal are taken for the interrupt that caused them."""
        try:
            yield
        except Exception:
            if self.requested:
                raise KeyboardInterrupt from None
            raise


def exit_status(work: Callable[[Cancellation], int], *, cancelled: str, remedy: str) -> int:
    """Do a command's work and return its exit status; what ended it early is told in one sentence.

    Args:
        work: parses the arguments and does what they ask for; returns the exit status.
        cancelled: sentence for a user, or a scheduler, who ends the command.
        remedy: what to do where a Python package is missing, as "run pip install cmr-mapping".
    """
    cancellation = Cancellation()
    with cancellation.listening():
        try:
            try:
                with cancellation.not_hidden():
                    return work(cancellation)
            except MissingDependencyError as error:
                return stopped(str(error), EXIT_MISSING)
            except CMRError as error:
                return stopped(str(error), EXIT_USAGE)
        except SystemExit as stop:  # argparse
            return stop.code if isinstance(stop.code, int) else EXIT_USAGE
        except KeyboardInterrupt:
            return stopped(cancelled, EXIT_CANCELLED)
        except ModuleNotFoundError as error:
            return stopped(f"{error.name} is not installed; {remedy}.", EXIT_MISSING)


def stopped(sentence: str, status: int) -> int:
    """Say why a command ends and return its exit status."""
    print(sentence, file=sys.stderr)
    return status
