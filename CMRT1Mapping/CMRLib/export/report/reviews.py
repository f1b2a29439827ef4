"""What analysts made of the results: the reviews ``CMR.QC.*`` in a saved scene, read without 3D Slicer."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

from CMRLib.errors import InputError
from CMRLib.review import HISTORY, Change, SliceReview, from_attributes, history_from_text

LARGEST_SCENE = 64 * 2**20  # bytes of the scene's own text, which is far shorter


@dataclass(frozen=True)
class Reviewed:
    """The review of one result.

    Attributes:
        name: of its node.
        slices: the review of each slice.
        history: the changes of status, oldest first.
    """

    name: str
    slices: tuple[SliceReview, ...]
    history: tuple[Change, ...]


def read_reviews(path: Path, clean: Callable[[str], str] = str) -> tuple[Reviewed, ...]:
    """The reviews that a scene bundle (``.mrb``) holds, in the order of its nodes.

    Args:
        path: of the bundle.
        clean: takes out of what analysts wrote what is not to be told.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return tuple(
            _reviewed(clean(name), attributes, clean) for name, attributes in _nodes(path) if HISTORY in attributes
        )
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, ElementTree.ParseError) as error:
        raise InputError(f"The reviews in {path.name} cannot be read; save the scene again.") from error


def _nodes(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Name and attributes of every node."""
    with zipfile.ZipFile(path) as bundle:
        member = next(member for member in bundle.infolist() if member.filename.endswith(".mrml"))
        if member.file_size > LARGEST_SCENE:
            raise ValueError("too large")
        root = ElementTree.fromstring(bundle.read(member))
    for node in root:
        # Slicer writes "name:value;name:value" and escapes what separates them.
        pairs = (pair.partition(":") for pair in node.get("attributes", "").split(";") if pair)
        yield node.get("name", ""), {unquote(name): unquote(value) for name, _, value in pairs}


def _reviewed(name: str, attributes: dict[str, str], clean: Callable[[str], str]) -> Reviewed:
    slices = (replace(one, comment=clean(one.comment)) for one in from_attributes(attributes.get))
    history = (replace(one, note=clean(one.note)) for one in history_from_text(attributes[HISTORY]))
    return Reviewed(name, tuple(slices), tuple(history))
