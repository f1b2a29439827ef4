"""How far a batch has come: a line that is written over in a terminal, and nothing where lines are kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

_CLEAR = "\r\x1b[K"


class Progress:
    """Tells of the studies that are done, and how long the others will take.

    In a terminal the last line says so and is written over. A log gets no such line: there, each study's own line says
    that it is done.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is told before `expect`.

        Args:
            stream: where to.
            clock: seconds.
        """
        self._stream, self._clock = stream, clock
        self._is_terminal = stream.isatty()
        self._total = self._done = 0
        self._start = 0.0

    def expect(self, studies: int) -> None:
        """So many studies are to be done, from now on."""
        self._total, self._done, self._start = studies, 0, self._clock()
        self.show()

    def count(self) -> None:
        """One more study is done."""
        self._done += 1

    def hide(self) -> None:
        """Make room for a line that stays."""
        if self._is_terminal and self._total:
            self._stream.write(_CLEAR)
            self._stream.flush()

    def show(self) -> None:
        """Write the line, unless everything is done."""
        if self._is_terminal and self._done < self._total:
            self._stream.write(_CLEAR + self.line())
            self._stream.flush()

    def line(self) -> str:
        """The line, as "12 of 80 studies, about 3 min left"."""
        told = f"{self._done} of {self._total} studies"
        if not self._done:
            return told
        left = (self._clock() - self._start) / self._done * (self._total - self._done)
        return f"{told}, about {duration(left)} left"


def duration(seconds: float) -> str:
    """A time in the unit that suits it."""
    if seconds < 59.5:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
