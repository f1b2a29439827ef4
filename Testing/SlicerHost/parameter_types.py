"""The types that a parameter can have: which are supported, what they start as, and how they are written as text."""

from __future__ import annotations

import enum
import json
import pathlib
import typing
from typing import Any

import slicer

from .validators import bare_type

_PLAIN = (bool, int, float, str)


def is_node_type(kind: Any) -> bool:
    """Whether the type is a MRML node class or a union of such."""
    options = [o for o in typing.get_args(kind) if o is not type(None)] if _is_union(kind) else [kind]
    return bool(options) and all(isinstance(o, type) and issubclass(o, slicer.vtkMRMLNode) for o in options)


def _is_union(kind: Any) -> bool:
    return typing.get_origin(kind) is typing.Union  # Slicer's serializers do not know ``A | B``


def check_supported(name: str, kind: Any) -> None:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if is_node_type(kind) and _is_union(kind) and type(None) not in arguments:
        raise TypeError(f"The union {kind} of member {name} must name None, which it starts as")
    if is_node_type(kind) or kind in _PLAIN or kind is type(None):
        return
    if isinstance(kind, type) and origin is None and issubclass(kind, (enum.Enum, pathlib.PurePath)):
        return
    if arguments and (_is_union(kind) or origin in (list, tuple, dict)):
        for argument in arguments:
            if argument is not Ellipsis:
                check_supported(name, bare_type(argument))
        return
    raise TypeError(f"Unable to create serializer for type: {kind} of member {name}")


def first_value(kind: Any) -> Any:
    """What a parameter without a default starts as."""
    if is_node_type(kind) or kind is type(None):
        return None
    if _is_union(kind):
        return None if type(None) in typing.get_args(kind) else first_value(typing.get_args(kind)[0])
    if typing.get_origin(kind) is tuple:
        return tuple(first_value(bare_type(a)) for a in typing.get_args(kind) if a is not Ellipsis)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return next(iter(kind))
    return (typing.get_origin(kind) or kind)()


def check_type(name: str, kind: Any, value: Any) -> None:
    if not _is_of(kind, value):
        raise TypeError(f"{name} is of type {kind}; it cannot be set to {value!r} of type {type(value).__name__}")


def _is_of(kind: Any, value: Any) -> bool:
    kind, origin, arguments = bare_type(kind), typing.get_origin(bare_type(kind)), typing.get_args(bare_type(kind))
    if is_node_type(kind) and value is None:
        return True
    if _is_union(kind):
        return any(_is_of(option, value) for option in arguments)
    if origin is list:
        return isinstance(value, list) and all(_is_of(arguments[0], v) for v in value)
    if origin is dict:
        return isinstance(value, dict) and all(
            _is_of(arguments[0], k) and _is_of(arguments[1], v) for k, v in value.items()
        )
    if origin is tuple:
        return (
            isinstance(value, tuple)
            and len(value) == len(arguments)
            and all(_is_of(kind, v) for kind, v in zip(arguments, value, strict=True))
        )
    return isinstance(value, (int, float) if kind is float else kind)


def to_text(value: Any) -> str:
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, (list, tuple, dict)) or value is None:
        return json.dumps(_to_json(value))
    return str(value)


def _to_json(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, (list, tuple)):
        return [_to_json(v) for v in value]
    if isinstance(value, dict):
        return [[_to_json(k), _to_json(v)] for k, v in value.items()]
    if isinstance(value, slicer.vtkMRMLNode):
        return value.GetID()
    return value if isinstance(value, _PLAIN) or value is None else str(value)


def from_text(kind: Any, text: str) -> Any:
    if kind is bool:
        return text == "True"
    if kind in (int, float, str):
        return kind(text)
    if typing.get_origin(kind) is None:
        return _from_json(kind, text)
    if _is_union(kind) and text == "null":
        return None
    if _is_union(kind):
        return from_text(next(o for o in typing.get_args(kind) if o is not type(None)), text)
    return _from_json(kind, json.loads(text))


def _from_json(kind: Any, value: Any) -> Any:
    kind, origin, arguments = bare_type(kind), typing.get_origin(bare_type(kind)), typing.get_args(bare_type(kind))
    if value is None:
        return None
    if is_node_type(kind):
        return slicer.mrmlScene.GetNodeByID(value)
    if _is_union(kind):
        return _from_json(next(o for o in arguments if o is not type(None)), value)
    if origin is list:
        return [_from_json(arguments[0], v) for v in value]
    if origin is tuple:
        return tuple(_from_json(kind, v) for kind, v in zip(arguments, value, strict=True))
    if origin is dict:
        return {_from_json(arguments[0], k): _from_json(arguments[1], v) for k, v in value}
    return kind[value] if issubclass(kind, enum.Enum) else kind(value)
