"""The names that a real Slicer shows to Python, class by class, read from ``names.json``."""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

TABLE: dict[str, Any] = json.loads(Path(__file__).with_name("names.json").read_text(encoding="utf-8"))
CLASSES: dict[str, dict[str, Any]] = TABLE["classes"]
PYTHON: dict[str, dict[str, Any]] = TABLE["python"]

_version = "5.12"
_METHOD_KINDS = ("slots", "invokables", "decorated", "static")


@dataclass(frozen=True)
class Names:
    """What one class offers, its bases included.

    Attributes:
        lineage: the class and its bases, nearest first.
        properties: name -> (type in C++, whether it can be written, class that declares it).
        methods: name -> class that declares it; slots, invokables and what PythonQt's decorators add.
        overloads: name of a method -> C++ types of the arguments of each of its overloads.
        signals: full signature without argument names, such as ``currentNodeChanged(vtkMRMLNode*)`` -> declaring class.
        slots: as ``signals``, for what a connection may end in.
    """

    lineage: tuple[str, ...]
    properties: dict[str, tuple[str, bool, str]]
    methods: dict[str, str]
    overloads: dict[str, list[list[str]]]
    signals: dict[str, str]
    slots: dict[str, str]

    @cached_property
    def signals_by_name(self) -> dict[str, list[str]]:
        """Name -> the full signatures of the signals of that name, the one with most arguments first."""
        found: dict[str, list[str]] = {}
        for signature in sorted(self.signals, key=lambda s: s.count(",") + ("()" not in s), reverse=True):
            found.setdefault(signature.split("(")[0], []).append(signature)
        return found

    def all(self) -> set[str]:
        """Every name, for hints at what may have been meant."""
        return {*self.properties, *self.methods, *self.signals_by_name}


def use_version(version: str) -> None:
    """Play the Slicer of that version: what 5.10 lacks disappears."""
    global _version
    _version = version
    names_of.cache_clear()


def played_version() -> str:
    """The version of Slicer that is played."""
    return _version


def is_missing(owner: str, name: str) -> bool:
    """Whether the version of Slicer that is played lacks the name of a class or module."""
    missing = TABLE["not_in_5.10"].get(owner, []) if _version == "5.10" else []
    return name in missing or f"{name}()" in missing


def is_known(class_name: str) -> bool:
    """Whether the table has a row for the class."""
    return class_name in CLASSES


def is_qt(class_name: str) -> bool:
    """Whether the class is Qt's own, so that PySide6 has it and its public methods are callable."""
    return bool(CLASSES[class_name]["where"] == "Qt")


@cache
def names_of(class_name: str) -> Names:
    """Everything that the class of that name offers to Python."""
    lineage: list[str] = []
    todo = [class_name]
    while todo:
        current = todo.pop(0)
        if current in CLASSES and current not in lineage:
            lineage.append(current)
            todo += CLASSES[current].get("bases", [])
    properties: dict[str, tuple[str, bool, str]] = {}
    methods: dict[str, str] = {}
    overloads: dict[str, list[list[str]]] = {}
    signals: dict[str, str] = {}
    slots: dict[str, str] = {}
    for owner in lineage:
        row = CLASSES[owner]
        for name, declared in row.get("properties", {}).items():
            if is_missing(owner, name):
                continue
            properties.setdefault(name, (declared.split(" (")[0], "read-only" not in declared, owner))
        for kind in _METHOD_KINDS:
            for declaration in row.get(kind, []):
                name, _, arguments = signature_of(declaration)[:-1].partition("(")
                if not is_missing(owner, name):
                    methods.setdefault(name, owner)
                    overloads.setdefault(name, []).append(arguments.split(",") if arguments else [])
        for declaration in row.get("signals", []):
            signature = signature_of(declaration)
            if not is_missing(owner, signature.split("(")[0]):
                signals.setdefault(signature, owner)
        for declaration in row.get("slots", []):
            slots.setdefault(signature_of(declaration), owner)
    return Names(tuple(lineage), properties, methods, overloads, signals, slots)


def signature_of(declaration: str) -> str:
    """``void setRange(double min, double max)`` -> ``setRange(double,double)``."""
    head, _, arguments = declaration.partition("(")
    types = [_argument_type(a) for a in arguments.rstrip(")").split(",") if a.strip()]
    return f"{re.split(r'[ *&]', head.strip())[-1]}({','.join(types)})"


def normalized(signature: str) -> str:
    """A signature as written in a ``connect``, in the form that the table is held in."""
    return re.sub(r"\s+", "", re.sub(r"\bconst\b|&", "", signature))


def _argument_type(argument: str) -> str:
    bare = re.sub(r"\bconst\b|&", " ", argument).strip()
    match = re.fullmatch(r"(.*[\w>][ *]+|.*\*\s*)(\w+)", bare)
    if match and match.group(1).strip() not in ("unsigned", "long"):
        bare = match.group(1)
    return re.sub(r"\s+", "", bare)


def near(name: str, names: Any) -> str:
    """``; did you mean X?`` when there is a name much like this one, else nothing."""
    hits = difflib.get_close_matches(name, list(names), 1, 0.75)
    return f"; did you mean {hits[0]}?" if hits else ""
