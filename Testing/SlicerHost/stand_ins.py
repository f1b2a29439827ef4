"""The registry of the classes that play CTK's and Slicer's own, and Qt's classes by name."""

from __future__ import annotations

from functools import cache
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

_QT_MODULES = (QtCore, QtGui, QtWidgets)
_STAND_INS: dict[str, type] = {}


class StandIn:
    """Base of the classes that play a CTK or Slicer class: a Qt object with the real one's names in Python.

    Properties are Python attributes or properties, methods are methods; ``fire`` emits a signal that Qt itself does not
    know, because its arguments are VTK objects.
    """

    def fire(self, signature: str, *arguments: Any) -> None:
        """Call what is connected to the signal of that full signature."""
        if not self.signalsBlocked():
            for relay in list(self.__dict__.get("_relays", {}).get(signature, [])):
                relay(*arguments)


def stand_in(native_class: type) -> type:
    """Class decorator: this class plays the Slicer class of the same name."""
    _STAND_INS[native_class.__name__] = native_class
    return native_class


def stand_ins() -> dict[str, type]:
    """Name -> class of everything decorated with `stand_in`."""
    return _STAND_INS


@cache
def qt_class(name: str) -> type | None:
    """The PySide6 class of that name, or None."""
    return next((getattr(module, name) for module in _QT_MODULES if hasattr(module, name)), None)
