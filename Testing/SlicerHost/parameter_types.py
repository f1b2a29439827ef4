"""The types that a parameter can have: which are supported, what they start as, and how they are written as text.

Slicer knows more types than the panels use (collections, enumerations, paths); those are refused here.
"""

from __future__ import annotations

import typing
from functools import cache
from typing import Any

import slicer

_PLAIN = (bool, int, float, str)


@cache
def is_node_type(kind: Any) -> bool:
    """Whether the type is a MRML node class or a union of such."""
    options = [o for o in typing.get_args(kind) if o is not type(None)] if _is_union(kind) else [kind]
    return bool(options) and all(isinstance(o, type) and issubclass(o, slicer.vtkMRMLNode) for o in options)


def _is_union(kind: Any) -> bool:
    return typing.get_origin(kind) is typing.Union  # Slicer's serializers do not know ``A | B``


def check_supported(name: str, kind: Any) -> None:
    if is_node_type(kind) and _is_union(kind) and type(None) not in typing.get_args(kind):
        raise TypeError(f"The union {kind} of member {name} must name None, which it starts as")
    if not is_node_type(kind) and kind not in _PLAIN:
        raise TypeError(f"Unable to create serializer for type: {kind} of member {name}")


def first_value(kind: Any) -> Any:
    """What a parameter without a default starts as."""
    return None if is_node_type(kind) else kind()


def check_type(name: str, kind: Any, value: Any) -> None:
    if is_node_type(kind):
        right = value is None or isinstance(value, typing.get_args(kind) or kind)
    else:
        right = isinstance(value, (int, float) if kind is float else kind)
    if not right:
        raise TypeError(f"{name} is of type {kind}; it cannot be set to {value!r} of type {type(value).__name__}")


def from_text(kind: Any, text: str) -> Any:
    return text == "True" if kind is bool else kind(text)
