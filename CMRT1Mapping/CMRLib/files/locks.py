"""A lock that several processes, on several computers with one file system, take in turn."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_PAUSE_S = 0.02
_TAKEN = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)


@contextlib.contextmanager
def locked(path: Path, patience_s: float = 0.0) -> Iterator[bool]:
    """Hold the lock that a file stands for; the file is there only as long as it is held.

    A process that is killed holds it no longer. Where the file system has no locks, there is no waiting either.

    Args:
        path: the file, in a folder that exists.
        patience_s: how long to wait for others.

    Yields:
        Whether the lock is held; where not, another process has it.

    Raises:
        OSError: the file cannot be made.
    """
    end = time.monotonic() + patience_s
    while (descriptor := _taken(path)) is None and time.monotonic() < end:
        time.sleep(_PAUSE_S)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            with contextlib.suppress(OSError):  # Windows removes no open file
                path.unlink()
            os.close(descriptor)
            if sys.platform == "win32":
                with contextlib.suppress(OSError):
                    path.unlink()


def _taken(path: Path) -> int | None:
    """The open file of the lock, or None where another process holds it."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR)
    try:
        _lock(descriptor)
        if os.path.samestat(os.fstat(descriptor), os.stat(path)):
            return descriptor  # the file was not removed, by who held it before, between opening and locking
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in _TAKEN:  # the file system has no locks
            return descriptor
    os.close(descriptor)
    return None


def _lock(descriptor: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
