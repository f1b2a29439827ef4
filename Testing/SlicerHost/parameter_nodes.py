"""``slicer.parameterNodeWrapper``: typed attributes stored in a parameter node and tied to widgets.

Values are kept as text in a ``vtkMRMLScriptedModuleNode``, so they live and die with the scene. Supported are the types
and widgets that Slicer's documentation lists, as far as the panels use them; any other type raises at decoration.
"""

from __future__ import annotations

import typing
import weakref
from collections.abc import Callable
from typing import Any

import slicer
import vtk

from . import names
from .parameter_types import check_supported, check_type, first_value, from_text, is_node_type
from .parameter_widgets import connector_for
from .validators import Default, Validator, annotations_of, bare_type

SlicerParameterNamePropertyName = "SlicerParameterName"
_RESERVED = (
    *("allParameters", "default", "isCached", "dataType", "getValue", "setValue", "connectGui", "disconnectGui"),
    *("connectParametersToGui", "StartModify", "EndModify", "AddObserver", "RemoveObserver", "Modified"),
)


class _Parameter:
    """One attribute of a wrapper: its type, its default, and how it is written into the node."""

    def __init__(self, name: str, annotated: Any, default: Any) -> None:
        self.name, self.annotated, self.kind = name, annotated, bare_type(annotated)
        check_supported(name, self.kind)
        self.validators = [a for a in annotations_of(annotated) if isinstance(a, Validator)]
        given = next((a for a in annotations_of(annotated) if isinstance(a, Default)), None)
        self.default = default if default is not None else given or Default(first_value(self.kind))

    def write(self, node: Any, value: Any) -> None:
        check_type(self.name, self.kind, value)
        for validator in self.validators:
            validator.validate(value)
        wasModifying = node.StartModify()
        try:
            if is_node_type(self.kind):
                node.SetParameter(self.name, "")
                node.SetNodeReferenceID(self.name, value.GetID() if value is not None else None)
            else:
                node.SetParameter(self.name, str(value))
        finally:
            node.EndModify(wasModifying)

    def read(self, node: Any) -> Any:
        if not node.HasParameter(self.name):
            self.write(node, self.default.value)
        if is_node_type(self.kind):
            return node.GetNodeReference(self.name)
        return from_text(self.kind, node.GetParameter(self.name))


def parameterNodeWrapper(classtype: type | None = None) -> Any:
    """Class decorator: the annotated attributes become parameters of a parameter node."""
    return _decorate if classtype is None else _decorate(classtype)


def isParameterNodeWrapper(classOrObj: Any) -> bool:
    """Whether the class or object was made by `parameterNodeWrapper`."""
    return getattr(classOrObj, "_is_parameter_node_wrapper", False)


def _decorate(cls: type) -> type:
    parameters = {}
    for name, annotated in typing.get_type_hints(cls, include_extras=True).items():
        if name in _RESERVED:
            raise ValueError(f"Cannot use reserved name '{name}' in a parameterNodeWrapper")
        default = Default(getattr(cls, name)) if hasattr(cls, name) else None
        parameters[name] = _Parameter(name, annotated, default)
        setattr(cls, name, property(_reader(name), _writer(name)))
    taken = [name for name in _RESERVED if hasattr(cls, name)]
    if taken:
        raise ValueError(f"Cannot use reserved name '{taken[0]}' in a parameterNodeWrapper")
    members = {name: value for name, value in vars(_Wrapper).items() if not name.startswith("__")}
    for name, value in members.items():
        setattr(cls, name, value)
    cls.__del__ = _Wrapper.__del__
    cls.allParameters = parameters
    cls._is_parameter_node_wrapper = True
    cls.__init__ = _Wrapper.__init__
    cls.__setattr__ = _Wrapper.__setattr__
    return cls


def _reader(name: str) -> Callable[[Any], Any]:
    return lambda self: self.getValue(name)


def _writer(name: str) -> Callable[[Any, Any], None]:
    return lambda self, value: self.setValue(name, value)


class _Wrapper:
    """The methods that a decorated class receives."""

    allParameters: dict[str, _Parameter]
    parameterNode: Any

    def __init__(self, parameterNode: Any, prefix: str | None = None) -> None:
        if prefix:
            raise NotImplementedError("SlicerHost plays no prefix of parameter names yet.")
        self.parameterNode = parameterNode
        self._guis: dict[int, tuple[dict[str, Any], int]] = {}
        self._nextGuiTag = 0
        self._updatingGui = False
        self._values: dict[str, Any] = {}
        self._writing = False
        self._cacheTag = 0
        self._refresh()
        # As in Slicer, values are read again when the node says that it was modified, and only then: what changes
        # without that event, such as a node reference that is resolved when a scene is loaded, is not seen.
        me = weakref.ref(self)
        self._cacheTag = parameterNode.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: me() and me()._refresh())

    def __del__(self) -> None:
        self.parameterNode.RemoveObserver(self._cacheTag)

    def _refresh(self) -> None:
        if not self._writing:
            self._values = {name: parameter.read(self.parameterNode) for name, parameter in self.allParameters.items()}

    def __setattr__(self, name: str, value: Any) -> None:
        if not hasattr(type(self), name) and name != "parameterNode" and not name.startswith("_"):
            raise AttributeError(f"{type(self).__name__} declares no parameter {name}")
        object.__setattr__(self, name, value)

    def _checked(self, name: str) -> _Parameter:
        if name not in self.allParameters:
            raise ValueError(f"Cannot find a param with the given name: {name}")
        return self.allParameters[name]

    def default(self, name: str) -> Default:
        return self._checked(name).default

    def isCached(self, name: str) -> bool:
        self._checked(name)
        return True

    def dataType(self, name: str) -> Any:
        return self._checked(name).annotated

    def getValue(self, name: str) -> Any:
        self._checked(name)
        return self._values[name]

    def setValue(self, name: str, value: Any) -> None:
        parameter = self._checked(name)
        self._writing = True
        try:
            with slicer.util.NodeModify(self.parameterNode):
                parameter.write(self.parameterNode, value)
                self._values[name] = parameter.read(self.parameterNode)
        finally:
            self._writing = False

    def connectGui(self, gui: Any) -> int | None:
        """Tie every widget of ``gui`` that carries the property ``SlicerParameterName`` to its parameter.

        In Slicer 5.10 the tag is not returned, so that `disconnectGui` does nothing and the widgets stay tied.
        """
        mapping = {}
        for widget in vars(gui).values() if not hasattr(gui, "isWidgetType") else slicer.util.findChildren(gui):
            name = widget.property(SlicerParameterNamePropertyName)
            if name:
                mapping[name] = widget
        tag = self.connectParametersToGui(mapping)
        return None if names.played_version() == "5.10" else tag

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:
        for name in mapping:
            self._checked(name)
        connectors = {name: connector_for(widget, self.dataType(name)) for name, widget in mapping.items()}
        for name, connector in connectors.items():
            connector.write(self.getValue(name))
            connector.connect(self._guiCallback(name, connector))
        observer = self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._updateGui())
        tag = self._nextGuiTag
        self._nextGuiTag += 1
        self._guis[tag] = (connectors, observer)
        return tag

    def disconnectGui(self, guiTag: int | None) -> None:
        connectors, observer = self._guis.pop(guiTag, ({}, None))
        for connector in connectors.values():
            connector.disconnect()
        if observer is not None:
            self.RemoveObserver(observer)

    def _guiCallback(self, name: str, connector: Any) -> Callable[[], None]:
        def changed() -> None:
            if not self._updatingGui:
                self.setValue(name, connector.read())

        return changed

    def _updateGui(self) -> None:
        if self._updatingGui:
            return
        self._updatingGui = True
        try:
            for connectors, _observer in list(self._guis.values()):
                for name, connector in connectors.items():
                    connector.write(self.getValue(name))
        finally:
            self._updatingGui = False

    def StartModify(self) -> Any:
        return self.parameterNode.StartModify()

    def EndModify(self, wasModified: Any) -> Any:
        return self.parameterNode.EndModify(wasModified)

    def AddObserver(self, event: Any, callback: Any, priority: float = 0.0) -> int:
        return int(self.parameterNode.AddObserver(event, callback, priority))

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def Modified(self) -> None:
        self.parameterNode.Modified()
