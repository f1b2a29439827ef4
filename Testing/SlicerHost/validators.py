"""The annotations of parameters that the panels use: defaults and validators."""

from __future__ import annotations

import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


def bare_type(annotated: Any) -> Any:
    """The type within ``Annotated[type, ...]``, or the type itself."""
    return typing.get_args(annotated)[0] if hasattr(annotated, "__metadata__") else annotated


def annotations_of(annotated: Any) -> tuple[Any, ...]:
    """What ``Annotated`` adds to the type."""
    return tuple(getattr(annotated, "__metadata__", ()))


class Default:
    """The value that a parameter has before it is set."""

    def __init__(self, value: Any = None, *, generator: Callable[[], Any] | None = None) -> None:
        self._value, self._generator = value, generator

    @property
    def value(self) -> Any:
        return self._generator() if self._generator else self._value


class Validator:
    """Something that a value must satisfy; ``validate`` raises ValueError."""

    def validate(self, value: Any) -> None:
        raise NotImplementedError


@dataclass
class WithinRange(Validator):
    minimum: float
    maximum: float

    def validate(self, value: Any) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"Value must be within {self.minimum} and {self.maximum}, not {value}")


@dataclass
class Choice(Validator):
    choices: Any

    def validate(self, value: Any) -> None:
        if value not in self.choices:
            raise ValueError(f"Value must be one of {self.choices}, not {value!r}")
