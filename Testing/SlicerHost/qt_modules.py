"""The Python modules ``qt`` and ``ctk``, and the qMRML and qSlicer classes of ``slicer``."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import slicer
from PySide6 import QtCore

from . import ctk_widgets, qmrml_widgets, segment_editor  # noqa: F401  (their classes register themselves)
from .names import is_known
from .pythonqt import wrapper_class
from .stand_ins import qt_class, stand_ins
from .ui_loader import QUiLoader


class _Qt(ModuleType):
    """``qt``: Qt's own classes; those that are objects with properties and signals come wrapped."""

    QUiLoader = QUiLoader

    def __getattr__(self, name: str) -> Any:
        native = None if name.startswith("_") else qt_class(name)
        if native is None:
            raise AttributeError(f"module 'qt' has no attribute {name!r}")
        if isinstance(native, type) and issubclass(native, QtCore.QObject):
            return wrapper_class(name)
        return native


class _Ctk(ModuleType):
    """``ctk``: the CTK classes that have a stand-in."""

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("ctk") or name not in stand_ins():
            raise AttributeError(f"module 'ctk' has no attribute {name!r}")
        return wrapper_class(name)


def install() -> None:
    """Make ``import qt`` and ``import ctk`` work, and put the widget classes into ``slicer``."""
    sys.modules["qt"], sys.modules["ctk"] = _Qt("qt"), _Ctk("ctk")
    for name in stand_ins():
        if name.startswith("q") and is_known(name):
            setattr(slicer, name, wrapper_class(name))


def uninstall() -> None:
    """Undo `install`."""
    for name in ("qt", "ctk"):
        sys.modules.pop(name, None)
    for name in stand_ins():
        if hasattr(slicer, name):
            delattr(slicer, name)
