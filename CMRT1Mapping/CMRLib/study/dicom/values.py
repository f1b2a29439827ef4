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
from pydicom.sequence import Sequence


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


# Where conversion puts what its target has no place for: legacy converted enhanced MR (of a frame, of all frames), and
# Philips's copy of the classic attributes.
_CONVERTED = (
    "UnassignedPerFrameConvertedAttributesSequence",
    "UnassignedSharedConvertedAttributesSequence",
    0x2005140F,
)


def first_value(sources: list[Dataset], sequence: str, keyword: Any) -> Any:
    """The value of ``keyword`` in the first source that has it, else None.

    A source has it inside ``sequence``, on its own (classic), or among the attributes that a conversion has kept.

    Args:
        sources: a frame's functional groups, the shared ones and the file's data set, or the data set alone.
        sequence: the functional group that holds the attribute, "" where none does.
        keyword: the attribute's keyword, or the tag of a private one.
    """
    for source in sources:
        for holder in _holders(source, sequence):
            value = holder.get(keyword)
            value = getattr(value, "value", value)  # a private tag gives the element
            if value is not None and str(value) != "":
                return value
    return None


def _holders(source: Dataset, sequence: str) -> Iterator[Dataset]:
    if sequence and (items := source.get(sequence)):
        yield items[0]
    yield source
    for name in _CONVERTED:
        items = source.get(name)
        items = getattr(items, "value", items)
        if isinstance(items, Sequence) and len(items):
            yield items[0]


def clock_seconds(day: str, time: str) -> float | None:
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


def as_number(value: Any) -> float | None:
    """The value as a finite number, or None."""
    try:
        converted = float(value)
    except (TypeError, ValueError):
        return None
    return converted if math.isfinite(converted) else None


def as_whole_number(value: Any) -> int | None:
    """The value as a whole number, or None."""
    converted = as_number(value)
    return None if converted is None else int(converted)


def whole_number_of(dataset: Dataset, keyword: str) -> int | None:
    """The value of ``keyword`` as a whole number, or None."""
    return as_whole_number(dataset.get(keyword))


def as_numbers(value: Any, count: int) -> tuple[float, ...]:
    """``count`` finite numbers, or an empty tuple where the value is anything else."""
    items = [as_number(item) for item in values(value)]
    finite = tuple(item for item in items if item is not None)
    return finite if len(finite) == count == len(items) else ()


def values(value: Any) -> list[Any]:
    """The values of an element with one, several or no values."""
    if value is None:
        return []
    return list(value) if isinstance(value, (list, MultiValue)) else [value]


def as_texts(value: Any) -> tuple[str, ...]:
    """The values of a text element with one, several or no values."""
    return tuple(str(item) for item in values(value))
