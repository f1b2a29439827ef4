"""What the application would show to the user, recorded instead; and what the user would answer, asked of the test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


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


class Recorder:
    """The dialogs shown so far, and the answers that the test has prepared for questions, in their order."""

    def __init__(self) -> None:
        self.shown: list[Shown] = []
        self.answers: list[Any] = []

    def clear(self) -> None:
        """Forget what was shown and what was prepared."""
        self.shown, self.answers = [], []


RECORDER = Recorder()


def run(dialog: Any) -> Any:
    """Play ``exec`` of a dialog: record it, and return the prepared answer.

    A message without a choice needs no answer. Anything else would block a test for ever, so it is an error.
    """
    shown = _describe(dialog)
    RECORDER.shown.append(shown)
    if shown.kind in ("error", "warning", "information"):
        return dialog.standardButtons()
    if not RECORDER.answers:
        raise RuntimeError(f"The application asks {shown.text!r} and the test has prepared no answer (host.answer).")
    return RECORDER.answers.pop(0)


def _describe(dialog: Any) -> Shown:
    title = dialog.windowTitle().strip()
    if not hasattr(dialog, "standardButtons"):
        return Shown(type(dialog).__name__, "", title, "")
    kind = {1: "information", 2: "warning", 3: "error", 4: "question"}.get(int(dialog.icon()), "message")
    if bin(int(dialog.standardButtons())).count("1") > 1:
        kind = "question"
    return Shown(kind, dialog.text(), title, dialog.detailedText())
