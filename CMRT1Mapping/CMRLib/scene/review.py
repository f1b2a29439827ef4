"""The review of a result in the scene: attributes ``CMR.QC.*`` of its node, and their history."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from CMRLib.errors import InputError
from CMRLib.review import (
    HISTORY,
    PREFIX,
    Change,
    SliceReview,
    changes,
    from_attributes,
    history_from_text,
    history_to_text,
    to_attributes,
)


def readReview(node: Any) -> list[SliceReview]:
    """The review of every slice, in the order of slices; empty for a node that holds none.

    Raises:
        InputError: what the node holds is damaged.
    """
    try:
        return from_attributes(node.GetAttribute)
    except (ValueError, TypeError, KeyError) as error:
        raise damaged(node) from error


def writeReview(node: Any, entries: Sequence[SliceReview], note: str = "") -> None:
    """Keep the review of every slice with its result, and add what changed to the history.

    Args:
        node: the result.
        entries: of every slice, in their order.
        note: to the changes, for the history.
    """
    before = readReview(node)
    for name, text in to_attributes(entries).items():
        node.SetAttribute(name, text)
    made = changes(before, entries, datetime.now(timezone.utc).isoformat(timespec="seconds"), note)
    if made:
        node.SetAttribute(HISTORY, history_to_text([*readHistory(node), *made]))


def readHistory(node: Any) -> list[Change]:
    """The changes of a result's review, oldest first.

    Raises:
        InputError: what the node holds is damaged.
    """
    try:
        return history_from_text(node.GetAttribute(HISTORY))
    except ValueError as error:
        raise damaged(node) from error


def reviewAttributes(node: Any) -> dict[str, str]:
    """The attributes of a node that hold its review, to be given back after its result was computed again."""
    return {name: node.GetAttribute(name) for name in node.GetAttributeNames() if name.startswith(PREFIX)}


def damaged(node: Any) -> InputError:
    """The error that the review of a node cannot be read."""
    return InputError(f"The review kept with {node.GetName()} is damaged; click Apply again.")
