"""The review of a result, slice by slice: what the model thinks of its answer, and what the analyst made of it.

A review travels as text: `to_attributes` makes of it the attributes ``CMR.QC.*`` of a node, each a JSON list with one
item for each slice, and `from_attributes` reads them again.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from enum import Enum


class Status(str, Enum):
    """What a slice's result is.

    AUTO is as the model made it; FLAGGED is that too, but likely to be wrong; MISSING is none at all.
    """

    AUTO = "auto"
    FLAGGED = "flagged"
    CORRECTED = "corrected"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    MISSING = "missing"


@dataclass(frozen=True)
class SliceReview:
    """What is known about the result of one slice.

    Attributes:
        slice: its index, from 0.
        status: see `Status`.
        confidence: the model's own, 0 to 1 (for a segmentation its predicted Dice), or None.
        reason: why the model's answer is likely to be wrong, or empty where it is not.
        reviewer: who gave the status; empty for the model.
        comment: the analyst's.
    """

    slice: int
    status: Status = Status.MISSING
    confidence: float | None = None
    reason: str = ""
    reviewer: str = ""
    comment: str = ""

    @property
    def untouched(self) -> Status:
        """The status of the model's answer as long as nobody changes or judges it."""
        return Status.FLAGGED if self.reason else Status.AUTO

    @property
    def needs_a_look(self) -> bool:
        """Whether the answer, or that there is none, is likely to be wrong and nobody has dealt with it."""
        return self.status is Status.FLAGGED or (self.status is Status.MISSING and bool(self.reason))


@dataclass(frozen=True)
class Change:
    """One step in the history of a slice.

    Attributes:
        time: when, ISO 8601 in UTC.
        slice: its index, from 0.
        before, after: the status.
        reviewer: who made it; empty for the model.
        note: what else is to be known, as the Dice between the model's answer and the corrected one.
    """

    time: str
    slice: int
    before: Status
    after: Status
    reviewer: str = ""
    note: str = ""


PREFIX = "CMR.QC."
HISTORY = f"{PREFIX}History"
# Attribute -> field of a slice's review.
ATTRIBUTES = {
    f"{PREFIX}Status": "status",
    f"{PREFIX}Confidence": "confidence",
    f"{PREFIX}Reason": "reason",
    f"{PREFIX}Reviewer": "reviewer",
    f"{PREFIX}Comment": "comment",
}


def to_attributes(entries: Sequence[SliceReview]) -> dict[str, str]:
    """The attributes that hold a review; ``entries`` are in the order of the slices."""
    return {name: json.dumps([getattr(entry, field) for entry in entries]) for name, field in ATTRIBUTES.items()}


def from_attributes(attribute: Callable[[str], str | None]) -> list[SliceReview]:
    """The review that attributes hold, in the order of the slices; empty where they hold none.

    Args:
        attribute: gives the text of an attribute, or None.

    Raises:
        ValueError: they are damaged.
    """
    texts = {field: attribute(name) for name, field in ATTRIBUTES.items()}
    if texts["status"] is None:
        return []
    columns = {field: json.loads(text) for field, text in texts.items() if text is not None}
    if not all(isinstance(column, list) for column in columns.values()):
        raise ValueError("not a list")
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return [SliceReview(**{**row, "slice": index, "status": Status(row["status"])}) for index, row in enumerate(rows)]


def changes(
    before: Sequence[SliceReview], after: Sequence[SliceReview], time: str, note: str | Mapping[int, str] = ""
) -> list[Change]:
    """The changes of status from one review of the same slices to another.

    Args:
        before, after: the reviews.
        time: when, see `Change`.
        note: to every change, or to that of each slice.
    """
    notes = {new.slice: note for new in after} if isinstance(note, str) else note
    return [
        Change(time, new.slice, old.status, new.status, new.reviewer, notes.get(new.slice, ""))
        for old, new in zip(before, after, strict=False)
        if old.status is not new.status
    ]


def history_to_text(history: Iterable[Change]) -> str:
    """The history as the text of the attribute `HISTORY`."""
    return json.dumps([asdict(change) for change in history])


def history_from_text(text: str | None) -> list[Change]:
    """The history that the text of the attribute `HISTORY` holds; empty for None.

    Raises:
        ValueError: it is damaged.
    """
    try:
        return [
            Change(**{**entry, "before": Status(entry["before"]), "after": Status(entry["after"])})
            for entry in json.loads(text or "[]")
        ]
    except (TypeError, KeyError) as error:
        raise ValueError("not a history") from error


def history_to_csv(history: Iterable[Change], columns: Mapping[str, str] | None = None) -> str:
    """The history as a table in CSV, a row for each change.

    Args:
        history: the changes.
        columns: columns to put before, the same in every row, as what the result is of.
    """
    before = dict(columns or {})
    text = io.StringIO()
    writer = csv.DictWriter(text, [*before, *(field.name for field in fields(Change))], lineterminator="\n")
    writer.writeheader()
    for change in history:
        writer.writerow({**before, **asdict(change), "before": change.before.value, "after": change.after.value})
    return text.getvalue()


def review_order(entries: Iterable[SliceReview]) -> list[int]:
    """Slices in the order of the review: those that need a look, then untouched ones, the less certain first."""

    def place(entry: SliceReview) -> tuple[bool, bool, float, int]:
        touched = entry.status in (Status.CORRECTED, Status.ACCEPTED, Status.REJECTED)
        return not entry.needs_a_look, touched, 2.0 if entry.confidence is None else entry.confidence, entry.slice

    return [entry.slice for entry in sorted(entries, key=place)]
