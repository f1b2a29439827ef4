"""What a test learns of a message box."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shown:
    """A dialog that the user would have seen.

    Attributes:
        kind: class of the dialog, or ``error``, ``warning``, ``information`` or ``question`` of a message box.
        text: its text; title: its window title; details: its detailed text.
    """

    kind: str
    text: str
    title: str
    details: str
