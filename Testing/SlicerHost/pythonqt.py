"""Qt objects as PythonQt shows them: properties as attributes, signals by signature, and nothing that is not there.

Every Qt object that a module touches is a `QtObject` around the PySide6 object, which its ``native`` holds. The classes
are made on demand, one for each class of the name table, with the bases that they have in C++.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any

import shiboken6
from PySide6 import QtCore

from . import dialogs
from .conversion import checked, fit, implementation, is_public_qt, read_property, write_property
from .names import is_known, is_qt, names_of, near, normalized
from .stand_ins import qt_class, stand_ins

_WRAPPER_CLASSES: dict[str, type] = {}
_RENAMED = {"exec_": "exec", "print_": "print"}


def wrapper_class(name: str) -> type:
    """The Python class under which modules see the C++ class of that name; it must be in the name table."""
    if name not in _WRAPPER_CLASSES:
        if not is_known(name):
            raise AttributeError(f"SlicerHost has no row for {name}: add it to update_names.py if Slicer has it.")
        native = stand_ins().get(name) or qt_class(name)
        if native is None:
            raise AttributeError(f"SlicerHost has no stand-in for {name}.")
        base = next((b for b in names_of(name).lineage[1:] if b in stand_ins() or qt_class(b)), None)
        parent = wrapper_class(base) if base else QtObject
        _WRAPPER_CLASSES[name] = _ClassMeta(name, (parent,), {"__slots__": (), "_native_class": native})
    return _WRAPPER_CLASSES[name]


def wrap(value: Any) -> Any:
    """What a module sees of a value that Qt or a stand-in returned."""
    if isinstance(value, QtCore.QObject):
        wrapper = value.__dict__.get("_wrapper")
        if wrapper is None:
            name = next(c.__name__ for c in type(value).__mro__ if is_known(c.__name__))
            wrapper = object.__new__(wrapper_class(name))
            wrapper._adopt(value)
        return wrapper
    if isinstance(value, (list, tuple)):
        return tuple(wrap(v) for v in value)
    return value


def unwrap(value: Any) -> Any:
    """What Qt or a stand-in is given for a value of a module."""
    if isinstance(value, QtObject):
        return value.native
    if isinstance(value, _ClassMeta):
        return value._native_class
    if isinstance(value, (list, tuple)):
        return type(value)(unwrap(v) for v in value)
    if isinstance(value, (FunctionType, MethodType, _Method)):
        return _Relay(value)
    return value


class _ClassMeta(type):
    """Makes enum values and static methods of the C++ class attributes of the Python class."""

    def __getattr__(cls, name: str) -> Any:
        lineage = names_of(cls.__name__).lineage if is_known(cls.__name__) else ()
        native = next((qt_class(c) for c in lineage if is_qt(c) and qt_class(c)), None)
        found = None if name.startswith("_") or native is None else getattr(native, name, None)
        if found is None:
            raise AttributeError(f"{cls.__name__} has no {name}")
        return _Method(cls, name, found) if callable(found) and not isinstance(found, type) else found


class QtObject(metaclass=_ClassMeta):
    """One Qt object as PythonQt shows it; ``native`` is the PySide6 object."""

    __slots__ = ("__weakref__", "native")

    def __init_subclass__(cls) -> None:
        if not is_known(cls.__name__):
            raise NotImplementedError(f"SlicerHost plays no Python classes derived from Qt's, such as {cls.__name__}.")

    def __init__(self, *arguments: Any) -> None:
        native_class = type(self)._native_class
        try:
            native = native_class(*[unwrap(a) for a in arguments])
        except TypeError as error:
            raise ValueError(f"{type(self).__name__}: {error}") from None
        self._adopt(native)

    def _adopt(self, native: Any) -> None:
        object.__setattr__(self, "native", native)
        native._wrapper = self

    def __bool__(self) -> bool:
        return True

    def __dir__(self) -> list[str]:
        names = names_of(type(self).__name__)
        return sorted({*object.__dir__(self), *names.all()})

    def __repr__(self) -> str:
        return f"{type(self).__name__} ({type(self).__name__} at: {id(self.native):#x})"

    def __getattr__(self, name: str) -> Any:
        class_name = type(self).__name__
        names = names_of(class_name)
        name = "objectName" if name == "name" and "name" not in names.properties else name
        if name in names.properties:
            return wrap(read_property(self.native, name, names.properties[name][2]))
        if name in names.methods and not is_qt(names.methods[name]):
            function = implementation(self.native, name, names.methods[name])
            return _Method(self, name, function, names.overloads[name])
        if name in names.signals_by_name:
            return _Signal(self, names.signals_by_name[name])
        native = (
            getattr(self.native, _RENAMED.get(name, name), None)
            if is_public_qt(names, _RENAMED.get(name, name))
            else None
        )
        if callable(native):
            return _Method(self, name, native)
        if native is not None:
            return native
        if name in self._dynamic_properties():
            return self.native.property(name)
        raise AttributeError(f"{class_name} has no {name} that Python can see{near(name, names.all())}")

    def __setattr__(self, name: str, value: Any) -> None:
        class_name = type(self).__name__
        names = names_of(class_name)
        name = "objectName" if name == "name" and "name" not in names.properties else name
        if name in names.properties:
            declared, writable, owner = names.properties[name]
            if not writable:
                raise AttributeError(f"{class_name}.{name} is read-only")
            write_property(self.native, name, owner, unwrap(checked(f"{class_name}.{name}", declared, value)))
        elif name in self._dynamic_properties():
            self.native.setProperty(name, unwrap(value))
        else:
            raise AttributeError(f"{class_name} has no property {name}{near(name, names.properties)}")

    def _dynamic_properties(self) -> list[str]:
        return [bytes(n.data()).decode() for n in self.native.dynamicPropertyNames()]

    def className(self) -> str:
        """Name of the C++ class."""
        return type(self).__name__

    def inherits(self, class_name: str) -> bool:
        """Whether the class is, or derives from, the one of that name."""
        return class_name in names_of(type(self).__name__).lineage

    def property(self, name: str) -> Any:
        """The value of a property, or of a dynamic property; None when there is neither."""
        names = names_of(type(self).__name__)
        return getattr(self, name) if name in names.properties else wrap(self.native.property(name))

    def setProperty(self, name: str, value: Any) -> bool:
        """Set a property, or a dynamic one when the class has none of that name."""
        if name in names_of(type(self).__name__).properties:
            setattr(self, name, value)
            return True
        return bool(self.native.setProperty(name, unwrap(value)))

    def connect(self, signal: str, receiver: Any, slot: str | None = None) -> bool:
        """Call ``receiver``, or its slot of that signature, when the signal is emitted.

        Real PythonQt prints an unknown signal and goes on; here it is an error.
        """
        _connect(self, self._checked_signal(signal), _target(receiver, slot))
        return True

    def disconnect(self, signal: str, receiver: Any, slot: str | None = None) -> bool:
        """Undo `connect`; something that is not connected is an error here."""
        _disconnect(self, self._checked_signal(signal), _target(receiver, slot))
        return True

    def delete(self) -> None:
        """Destroy the C++ object now."""
        shiboken6.delete(self.native)

    def _checked_signal(self, signal: str) -> str:
        names = names_of(type(self).__name__)
        wanted = normalized(signal)
        if wanted not in names.signals:
            same = [s for s in names.signals if s.split("(")[0] == wanted.split("(")[0]]
            hint = f"; it has {', '.join(same)}" if same else near(wanted, names.signals)
            raise RuntimeError(f"{type(self).__name__} has no signal {signal}{hint}")
        return wanted


class _Method:
    """A method as PythonQt calls it: positional arguments only, and ValueError where their types do not fit."""

    def __init__(self, owner: Any, name: str, function: Callable[..., Any], overloads: Any = None) -> None:
        self._owner, self._name, self._function, self._overloads = owner, name, function, overloads

    def is_alive(self) -> bool:
        """Whether the object still exists; Qt calls no slot of one that was destroyed."""
        return not isinstance(self._owner, QtObject) or shiboken6.isValid(self._owner.native)

    def __call__(self, *arguments: Any) -> Any:
        if self._name in ("exec", "exec_") and isinstance(self._owner, QtObject):
            return dialogs.run(self._owner.native)
        kind = self._owner.__name__ if isinstance(self._owner, type) else type(self._owner).__name__
        problem = f"Could not find matching overload for {kind}.{self._name}"
        if self._overloads is not None:
            if not any(fit(types, arguments) for types in self._overloads):
                raise ValueError(f"{problem}{arguments}; there is {self._overloads}")
            return wrap(self._function(*[unwrap(a) for a in arguments]))
        try:
            return wrap(self._function(*[unwrap(a) for a in arguments]))
        except TypeError as error:
            raise ValueError(f"{problem}: {error}") from None


class _Signal:
    """``widget.clicked``: the signal of that name; one with several overloads must be connected by its signature."""

    def __init__(self, owner: QtObject, signatures: list[str]) -> None:
        self._owner, self._signatures = owner, signatures

    def _signature(self) -> str:
        longest = self._signatures[0]
        if not all(s[:-1] in (longest[: len(s) - 1], s.split("(")[0] + "(") for s in self._signatures):
            raise RuntimeError(f"There are several signals: connect to one of {', '.join(self._signatures)}")
        return longest

    def connect(self, receiver: Callable[..., Any]) -> bool:
        return self._owner.connect(self._signature(), receiver)

    def disconnect(self, receiver: Callable[..., Any]) -> bool:
        return self._owner.disconnect(self._signature(), receiver)


class _Relay:
    """Calls a Python function for a signal as PythonQt does: no more arguments than it takes, errors only reported."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        code = getattr(getattr(function, "__func__", function), "__code__", None)
        bound = isinstance(function, MethodType)
        takes_all = code is None or code.co_flags & 0x04
        self._count = None if takes_all else code.co_argcount - bound

    def __call__(self, *arguments: Any) -> None:
        if isinstance(self.function, _Method) and not self.function.is_alive():
            return
        try:
            self.function(*[wrap(a) for a in arguments[: self._count]])
        except Exception:
            sys.excepthook(*sys.exc_info())


def _target(receiver: Any, slot: str | None) -> Callable[..., Any]:
    if slot is None:
        if not callable(receiver):
            raise ValueError(f"A signal cannot be connected to {receiver!r}, which cannot be called.")
        return receiver
    names = names_of(type(receiver).__name__)
    wanted = normalized(slot)
    shorter = {s for s in [*names.slots, *names.signals] if s.split("(")[0] == wanted.split("(")[0]}
    if wanted not in shorter:
        known = {*names.slots, *names.signals}
        raise RuntimeError(f"{type(receiver).__name__} has no slot {slot}{near(wanted, known)}")
    return getattr(receiver, wanted.split("(")[0])


def _same(this: Any, other: Any) -> bool:
    if isinstance(this, _Method) and isinstance(other, _Method):
        return this._owner is other._owner and this._name == other._name
    return bool(this == other)


def _connect(wrapper: QtObject, signature: str, function: Callable[..., Any]) -> None:
    native = wrapper.native
    relays = native.__dict__.setdefault("_relays", {})
    if signature not in relays:
        functions: list[_Relay] = []
        if is_qt(names_of(type(wrapper).__name__).signals[signature]):

            def relay_all(*arguments: Any) -> None:
                for relay in list(functions):
                    relay(*arguments)

            if native.metaObject().indexOfSignal(signature) < 0:
                raise RuntimeError(f"{type(wrapper).__name__}: Qt 6 has no signal {signature}")
            QtCore.QObject.connect(native, QtCore.SIGNAL(signature), relay_all)
        relays[signature] = functions
    relays[signature].append(_Relay(function))


def _disconnect(wrapper: QtObject, signature: str, function: Callable[..., Any]) -> None:
    relays = wrapper.native.__dict__.get("_relays", {}).get(signature, [])
    for relay in relays:
        if _same(relay.function, function):
            relays.remove(relay)
            return
    raise RuntimeError(f"{type(wrapper).__name__}: {signature} is not connected to {function}")
