"""The review of a result in the scene: attributes ``CMR.QC.*`` of its node, and their history."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from datetime import datetime, timezone
from typing import Any, TypeVar

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

_Entry = TypeVar("_Entry", bound=SliceReview)


def readReview(node: Any) -> list[SliceReview]:
    """The review of every slice, in the order of slices; empty for a node that holds none.

    Raises:
        InputError: what the node holds is damaged.
    """
    try:
        return from_attributes(node.GetAttribute)
    except (ValueError, TypeError, KeyError) as error:
        raise damaged(node) from error


def writeReview(
    node: Any, entries: Sequence[SliceReview], note: str | Mapping[int, str] = "", isLogged: bool = True
) -> None:
    """Keep the review of every slice with its result, and add what changed to the history.

    Args:
        node: the result.
        entries: of every slice, in their order.
        note: to the changes, or to that of each slice, for the history.
        isLogged: whether the history learns of it.
    """
    before = readReview(node)
    for name, text in to_attributes(entries).items():
        node.SetAttribute(name, text)
    if isLogged:
        _log(node, changes(before, entries, _now(), note))


def readExtended(node: Any, attribute: str, make: Callable[[dict[str, Any]], _Entry]) -> list[_Entry]:
    """The review of every slice with what a module adds to it; empty for a node that holds none.

    Args:
        node: the result.
        attribute: that `writeExtended` wrote.
        make: an entry from its values by name.

    Raises:
        InputError: what the node holds is damaged.
    """
    try:
        entries = readReview(node)
        own = json.loads(node.GetAttribute(attribute) or "") if entries else []
        return [make({**asdict(entry), **added}) for entry, added in zip(entries, own, strict=True)]
    except (ValueError, TypeError, KeyError) as error:
        raise damaged(node) from error


def writeExtended(
    node: Any,
    attribute: str,
    entries: Sequence[SliceReview],
    note: str | Mapping[int, str] = "",
    isLogged: bool = True,
) -> None:
    """As `writeReview`; what the entries have besides the fields of a review goes into an attribute of its own."""
    shared = {field.name for field in fields(SliceReview)}
    own = [{name: value for name, value in asdict(entry).items() if name not in shared} for entry in entries]
    wasModifying = node.StartModify()
    node.SetAttribute(attribute, json.dumps(own))
    writeReview(node, entries, note, isLogged)
    node.EndModify(wasModifying)


def logChange(node: Any, before: SliceReview, after: SliceReview, note: str) -> None:
    """Add a change of a slice to the history that left its status as it was."""
    _log(node, [Change(_now(), after.slice, before.status, after.status, after.reviewer, note)])


def noteLastChange(node: Any, index: int, note: str) -> None:
    """Say in the history what became of the last change of a slice, as the work on it goes on."""
    history = readHistory(node)
    places = [place for place, change in enumerate(history) if change.slice == index]
    if places and history[places[-1]].note != note:
        history[places[-1]] = replace(history[places[-1]], note=note)
        node.SetAttribute(HISTORY, history_to_text(history))


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


def _log(node: Any, made: Sequence[Change]) -> None:
    if made:
        node.SetAttribute(HISTORY, history_to_text([*readHistory(node), *made]))


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
