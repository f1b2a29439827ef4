"""What the application would show to the user, recorded instead; and what the user would answer, asked of the test."""

from __future__ import annotations

from typing import Any

from PySide6 import QtWidgets

from .shown import Shown


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
    if not dialog.findChildren(QtWidgets.QAbstractButton):
        return 0  # closes by itself, as slicer.util.delayDisplay
    if not RECORDER.answers:
        raise RuntimeError(f"The application asks {shown.text!r} and the test has prepared no answer (host.answer).")
    return RECORDER.answers.pop(0)


def _describe(dialog: Any) -> Shown:
    title = dialog.windowTitle().strip()
    if not hasattr(dialog, "standardButtons"):
        text = "\n".join(label.text() for label in dialog.findChildren(QtWidgets.QLabel))
        return Shown(type(dialog).__name__, text, title, "")
    kind = {1: "information", 2: "warning", 3: "error", 4: "question"}.get(int(dialog.icon()), "message")
    if bin(int(dialog.standardButtons())).count("1") > 1:
        kind = "question"
    return Shown(kind, dialog.text(), title, dialog.detailedText())
