"""Loads Qt Designer files, after holding every class, property and connection in them against the name table."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from PySide6 import QtCore, QtUiTools

from .names import is_known, is_qt, names_of, near, played_version
from .pythonqt import QtObject, unwrap, wrap
from .stand_ins import stand_ins


class QUiLoader:
    """What ``qt.QUiLoader`` is to a module: ``load`` makes the widgets of a file."""

    def load(self, file: Any, parent: QtObject | None = None) -> QtObject:
        """The root widget of the ``.ui`` file that the ``qt.QFile`` is open on.

        Raises:
            RuntimeError: the file names something that Slicer does not have.
        """
        return load_ui(Path(unwrap(file).fileName()), parent)


def load_ui(path: Path, parent: QtObject | None = None) -> QtObject:
    """The root widget of a ``.ui`` file; see `QUiLoader.load`."""
    file = _read(path.read_bytes(), played_version())
    if file.mistakes:
        raise RuntimeError(f"{path.name}: " + "; ".join(file.mistakes))
    loader = _loader()
    buffer = QtCore.QBuffer()
    buffer.setData(file.for_qt)
    buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
    loader.setWorkingDirectory(QtCore.QDir(str(path.parent)))
    native = loader.load(buffer, unwrap(parent))
    if native is None:
        raise RuntimeError(f"{path.name}: {loader.errorString()}")
    top = wrap(native)
    for name, prop in file.own_properties:
        setattr(_find(top, name), str(prop.get("name")), _value(prop))
    for text in file.connections:
        _find(top, text["sender"]).connect(text["signal"], _find(top, text["receiver"]), text["slot"])
    return top


@dataclass(frozen=True)
class _File:
    """A ``.ui`` file: what it names that Slicer has not, what Qt's loader is given of it, and the rest.

    Attributes:
        own_properties: (name of the widget, property) of those that a stand-in plays itself.
        connections: sender, signal, receiver and slot of each.
    """

    mistakes: list[str]
    for_qt: bytes
    own_properties: list[tuple[str | None, ET.Element]]
    connections: list[dict[str, str]]


@cache
def _read(content: bytes, _version: str) -> _File:
    """The file of that content, held against the names of that version of Slicer; a panel is loaded by many tests."""
    root = ET.fromstring(content)
    widgets = list(root.iter("widget"))
    mistakes = _mistakes(widgets)
    if mistakes:
        return _File(mistakes, b"", [], [])
    own_properties = [(w.get("name"), p) for w in widgets for p in _take_own_properties(w)]
    connections = root.find("connections")
    wanted = [] if connections is None else list(connections)
    if connections is not None:
        root.remove(connections)
    keys = ("sender", "signal", "receiver", "slot")
    texts = [{key: (connection.findtext(key) or "").strip() for key in keys} for connection in wanted]
    return _File(mistakes, ET.tostring(root), own_properties, texts)


@cache
def _loader() -> QtUiTools.QUiLoader:
    """The loader that knows the stand-ins, made once: this takes longer than loading a file."""
    loader = QtUiTools.QUiLoader()
    for native_class in stand_ins().values():
        loader.registerCustomWidget(native_class)
    return loader


def _find(top: QtObject, name: str | None) -> QtObject:
    found = top if top.objectName == name else wrap(top.native.findChild(QtCore.QObject, name))
    if found is None:
        raise RuntimeError(f"A connection names no widget {name}.")
    return found


def _mistakes(widgets: list[ET.Element]) -> list[str]:
    found, seen = [], set()
    for widget in widgets:
        cls, name = str(widget.get("class")), widget.get("name")
        if name in seen:
            found.append(f"two widgets are called {name}")
        seen.add(name)
        if not is_known(cls) or (not is_qt(cls) and cls not in stand_ins()):
            found.append(f"{name}: no class {cls} in SlicerHost")
            continue
        properties = names_of(cls).properties
        for prop in widget.findall("property"):
            declared = prop.get("name")
            if declared not in properties and prop.get("stdset") != "0" and declared != "orientation":
                found.append(f"{name}: {cls} has no property {declared}{near(str(declared), properties)}")
    return found


def _take_own_properties(widget: ET.Element) -> list[ET.Element]:
    """Remove from the file, and return, the properties that a stand-in plays itself, which Qt's loader cannot set."""
    properties = names_of(str(widget.get("class"))).properties
    own = [
        p
        for p in widget.findall("property")
        if p.get("name") in properties and not is_qt(properties[str(p.get("name"))][2])
    ]
    for prop in own:
        widget.remove(prop)
    return own


def _value(prop: ET.Element) -> Any:
    value = prop[0]
    text = value.text or ""
    if value.tag == "bool":
        return text == "true"
    if value.tag == "number":
        return int(text)
    if value.tag == "double":
        return float(text)
    if value.tag == "stringlist":
        return [s.text or "" for s in value]
    if value.tag in ("string", "cstring"):
        return text
    raise NotImplementedError(f"SlicerHost cannot read the {value.tag} of {prop.get('name')} in a .ui file yet.")
