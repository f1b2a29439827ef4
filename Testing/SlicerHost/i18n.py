"""``slicer.i18n``: translation of messages. The host speaks the language that the source is written in."""

from __future__ import annotations

from pathlib import Path


def tr(text: str) -> str:
    """The text in the user's language."""
    return text


def translate(context: str, text: str) -> str:
    """The text in the user's language, looked up in a named context."""
    return text


def getContext(sourceFile: str) -> str:
    """Name of the context of a source file."""
    return Path(sourceFile).stem
