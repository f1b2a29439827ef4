"""Reading values from DICOM data sets whatever their type: numbers, lists of numbers, times, functional groups."""

from __future__ import annotations

import logging
import math
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue


@contextmanager
def without_messages() -> Iterator[None]:
    """Silence pydicom: its warnings quote the header's values, which may identify a patient."""
    logger = logging.getLogger("pydicom")
    before = logger.disabled
    logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = before


def first(sources: list[Dataset], sequence: str, keyword: str) -> Any:
    """The value of ``keyword`` in the first source that has it, inside ``sequence`` or (classic) on its own; else None.

    ``sources`` are a frame's functional groups, the shared ones and the file's data set, or the data set alone.
    """
    for source in sources:
        items = source.get(sequence)
        for holder in ([items[0]] if items else []) + [source]:
            value = holder.get(keyword)
            if value is not None and str(value) != "":
                return value
    return None


def seconds(day: str, time: str) -> float | None:
    """Seconds on one clock (days since year 1 times 86 400 plus the time of day) of a DICOM date and time.

    An unusable date counts as day 0; an unusable time gives None.
    """
    match = re.match(r"(\d{2})(\d{2})?(\d{2}(?:\.\d+)?)?", time.replace(":", ""))
    if match is None:
        return None
    hour, minute, second = (float(part or 0) for part in match.groups())
    try:
        days = date(int(day[:4]), int(day[4:6]), int(day[6:8])).toordinal()
    except ValueError:
        days = 0
    return days * 86400.0 + hour * 3600.0 + minute * 60.0 + second


def number(value: Any) -> float | None:
    """The value as a finite number, or None."""
    try:
        converted = float(value)
    except (TypeError, ValueError):
        return None
    return converted if math.isfinite(converted) else None


def whole(value: Any) -> int | None:
    """The value as a whole number, or None."""
    converted = number(value)
    return None if converted is None else int(converted)


def integer(dataset: Dataset, keyword: str) -> int | None:
    """The value of ``keyword`` as a whole number, or None."""
    return whole(dataset.get(keyword))


def numbers(value: Any, count: int) -> tuple[float, ...]:
    """``count`` finite numbers, or an empty tuple where the value is anything else."""
    items = [number(item) for item in value] if isinstance(value, (list, MultiValue)) else []
    finite = tuple(item for item in items if item is not None)
    return finite if len(finite) == count == len(items) else ()


def texts(value: Any) -> tuple[str, ...]:
    """The values of a text element with one, several or no values."""
    if value is None:
        return ()
    return tuple(str(item) for item in ([value] if isinstance(value, str) else value))
