"""Properties, and which Python values go with which C++ types, as in PythonQt."""

from __future__ import annotations

from typing import Any

from vtkmodules.vtkCommonCore import vtkObjectBase

from .names import is_qt
from .stand_ins import qt_class

_WHOLE = {"int", "uint", "short", "long", "qint64", "qlonglong"}


def is_public_qt(names: Any, name: str) -> bool:
    """Whether a Qt base of the class has the name among its public methods, or its enums."""
    if name.startswith("_"):
        return False
    owner = next((c for c in names.lineage if is_qt(c) and qt_class(c)), None)
    native = qt_class(owner) if owner else None
    return native is not None and hasattr(native, name)


def implementation(native: Any, name: str, owner: str) -> Any:
    """The stand-in's method for one that the class ``owner`` declares."""
    found = getattr(native, name, None)
    if found is None:
        raise NotImplementedError(f"{owner}.{name} exists in Slicer, but SlicerHost does not play it yet.")
    return found


def read_property(native: Any, name: str, owner: str) -> Any:
    """The value of a property that the class ``owner`` declares."""
    if is_qt(owner):
        return native.property(name)
    _check_played(native, name, owner)
    return getattr(native, name)


def write_property(native: Any, name: str, owner: str, value: Any) -> None:
    """Set a property that the class ``owner`` declares; ValueError where Qt refuses the value."""
    if is_qt(owner):
        if not native.setProperty(name, value):
            raise ValueError(f"{type(native).__name__}.{name} cannot be set to {value!r}")
        return
    _check_played(native, name, owner)
    setattr(native, name, value)


def _check_played(native: Any, name: str, owner: str) -> None:
    """A stand-in plays a property of the real class as a Python property or an attribute."""
    if name not in native.__dict__ and not isinstance(getattr(type(native), name, None), property):
        raise NotImplementedError(f"{owner}.{name} exists in Slicer, but SlicerHost does not play it yet.")


def checked(what: str, declared: str, value: Any) -> Any:
    """The value for a property of the C++ type, or ValueError where PythonQt would not convert it."""
    if not _fits(declared, value):
        raise ValueError(f"{what} is a {declared}; it cannot be set to {value!r} of type {type(value).__name__}")
    return list(value) if declared == "QStringList" else value


def fit(declared: list[str], values: tuple[Any, ...]) -> bool:
    """Whether PythonQt would call an overload with arguments of these C++ types with the values."""
    return len(declared) == len(values) and all(map(_fits, declared, values))


def _fits(declared: str, value: Any) -> bool:
    """Whether PythonQt converts the value to the C++ type, as far as the type is one that can be told here."""
    if declared == "bool" or declared in _WHOLE:
        return isinstance(value, int)
    if declared in ("double", "float"):
        return isinstance(value, (int, float))
    if declared == "QString":
        return isinstance(value, str)
    if declared == "QStringList":
        return isinstance(value, (list, tuple)) and all(isinstance(v, str) for v in value)
    if declared.startswith("vtk") and declared.endswith("*"):
        return value is None or (isinstance(value, vtkObjectBase) and value.IsA(declared[:-1]))
    return True
