"""Which widget can hold which type of parameter, and how its value is read and written.

The widget's class must be exactly the one listed, not one derived from it; anything else raises RuntimeError, as
``connectGui`` does in Slicer. Slicer knows more widgets than the panels use; those are not listed here.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Any

from .parameter_types import is_node_type
from .validators import Choice, WithinRange, annotations_of, bare_type

_FLOAT_WIDGETS = ("QDoubleSpinBox", "ctkSliderWidget")
_COMBO_BOXES = ("QComboBox", "ctkComboBox")


class Connector:
    """Ties one widget to one parameter.

    Args:
        widget: the widget.
        signal: the signal that says that the user changed it.
        read: the widget's value as the parameter's type.
        write: show a value.
    """

    def __init__(self, widget: Any, signal: str, read: Callable[[], Any], write: Callable[[Any], None]) -> None:
        self.widget, self.signal, self.read, self.write = widget, signal, read, write
        self._callback: Callable[[], None] | None = None

    def connect(self, callback: Callable[[], None]) -> None:
        self._callback = callback
        self.widget.connect(self.signal, callback)

    def disconnect(self) -> None:
        self.widget.disconnect(self.signal, self._callback)


def connector_for(widget: Any, annotated: Any) -> Connector:
    """The connector for a widget and a parameter's (annotated) type.

    Raises:
        RuntimeError: the two do not go together.
    """
    kind, name = bare_type(annotated), type(widget).__name__
    if kind is bool and name == "QCheckBox":
        return _by_property(widget, "stateChanged(int)", "checked")
    if kind is bool and name == "QPushButton":
        widget.checkable = True
        return _by_property(widget, "toggled(bool)", "checked")
    if kind is int and name in ("QSpinBox", "QSlider"):
        _set_range(widget, annotated, -(2**31), 2**31 - 1, name == "QSlider")
        return _by_property(widget, "valueChanged(int)", "value")
    if kind in (int, float) and name in _FLOAT_WIDGETS:
        _set_range(widget, annotated, float("-inf"), float("inf"), name == "ctkSliderWidget")
        return Connector(
            widget, "valueChanged(double)", lambda: kind(widget.value), lambda value: setattr(widget, "value", value)
        )
    if name in _COMBO_BOXES and kind in (int, float, str, bool):
        choice = next((a for a in annotations_of(annotated) if isinstance(a, Choice)), None)
        if choice is None:
            raise RuntimeError(f"A {name} for a parameter of type {kind} requires the Choice annotation.")
        return _by_choice(widget, [(str(c), c) for c in choice.choices])
    if kind is str and name == "QLineEdit":
        return _by_property(widget, "textChanged(QString)", "text")
    if kind is str and name == "QTextEdit":
        return Connector(widget, "textChanged()", widget.toPlainText, widget.setPlainText)
    if name == "qMRMLNodeComboBox" and _node_types(kind):
        widget.nodeTypes = _node_types(kind)
        return Connector(widget, "currentNodeChanged(vtkMRMLNode*)", widget.currentNode, widget.setCurrentNode)
    raise RuntimeError(f"Unable to create GUI connector from datatype '{annotated}' to widget type '{type(widget)}'")


def _by_property(widget: Any, signal: str, name: str) -> Connector:
    return Connector(widget, signal, lambda: getattr(widget, name), lambda value: setattr(widget, name, value))


def _by_choice(widget: Any, choices: list[tuple[str, Any]]) -> Connector:
    widget.clear()
    for label, _value in choices:
        widget.addItem(label)
    values = [value for _label, value in choices]
    return Connector(
        widget,
        "currentIndexChanged(int)",
        lambda: values[widget.currentIndex],
        lambda value: setattr(widget, "currentIndex", values.index(value)),
    )


def _set_range(widget: Any, annotated: Any, lowest: float, highest: float, must_be_bounded: bool) -> None:
    bounds = next((a for a in annotations_of(annotated) if isinstance(a, WithinRange)), None)
    if must_be_bounded and bounds is None:
        raise RuntimeError(f"Cannot have a connection to {type(widget).__name__} where the type is unbounded.")
    widget.minimum = lowest if bounds is None else bounds.minimum
    widget.maximum = highest if bounds is None else bounds.maximum


def _node_types(kind: Any) -> list[str]:
    options = [o for o in typing.get_args(kind) if o is not type(None)] or [kind]
    return [o.__name__ for o in options] if is_node_type(kind) else []
