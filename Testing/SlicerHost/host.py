"""The host itself: starts the parts, loads modules, and does what a user would do."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import slicer

from . import dialogs, i18n, parameter_nodes, scripted_module, validators

_UTIL_LEAKS_KEPT = {"app", "modules", "mrmlScene", "vtk"}
_HOST: Host | None = None


class HostError(AssertionError):
    """Something that real Slicer would only have printed: an exception in a callback."""


class Host:
    """A Slicer for tests: ``slicer``, ``qt`` and ``ctk`` work while it is started.

    Attributes:
        application: what ``slicer.app`` is.
        errors: exceptions that callbacks raised since they were last looked at, as text.
    """

    def __init__(self) -> None:
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
        # Enum values are numbers in PythonQt. To be said before PySide6 is imported for the first time.
        sys.pyside6_option_python_enum = 0x0F  # type: ignore[attr-defined]
        from CMRLib.standalone import createApplication

        self._standalone = createApplication()
        self._folder = tempfile.TemporaryDirectory(prefix="slicer-host-")
        self.errors: list[str] = []
        self._saved: dict[str, Any] = {}
        self._native_application: Any = None

    def start(self) -> None:
        """Put everything in its place; `stop` takes it away again."""
        from . import application, layout, qt_modules
        from .pythonqt import wrap

        if self._saved:
            return
        self._saved = {"app": slicer.app, "modules": slicer.modules, "excepthook": sys.excepthook}
        self._leaks = {
            n: vars(slicer).pop(n) for n in list(vars(slicer)) if n in vars(slicer.util) and self._leaks_here(n)
        }
        qt_modules.install()
        if self._native_application is None:
            self._native_application = application.qSlicerApplication(sys.argv[:1])
            self._native_application.setApplicationName("Slicer")
            self._native_application.setOrganizationName("SlicerHost")
            self._layoutManager = layout.qSlicerLayoutManager(self._standalone.core)
            self._mainWindow = application.qSlicerMainWindow(self._layoutManager.viewport())
        self._native_application.begin(self._standalone.core, Path(self._folder.name), self._layoutManager)
        self._mainWindow.show()
        slicer.app = wrap(self._native_application)
        slicer.mrmlScene = self._standalone.core.scene
        slicer.selfTests = {}
        slicer.modules = ModuleType("slicer.modules")
        slicer.modules.dicomPlugins = {}
        for name, module in vars(self._saved["modules"]).items():
            native = application.qSlicerLoadableModule(module.name, module.logic())
            self._native_application.moduleManager().by_name[module.name] = native
            setattr(slicer.modules, name, wrap(native))
        for name, members in _python_modules().items():
            module = ModuleType(name)
            vars(module).update(members)
            sys.modules[name] = module
            setattr(slicer, name.split(".")[1], module)
        sys.excepthook = self._report

    def stop(self) -> None:
        """Unload every module and leave Python as it was before `start`."""
        from . import qt_modules

        if not self._saved:
            return
        self.reset()
        self._mainWindow.hide()
        sys.excepthook = self._saved.pop("excepthook")
        for name in _python_modules():
            sys.modules.pop(name, None)
            delattr(slicer, name.split(".")[1])
        qt_modules.uninstall()
        for name, value in {**self._saved, **self._leaks}.items():
            setattr(slicer, name, value)
        self._saved = {}

    @staticmethod
    def _leaks_here(name: str) -> bool:
        """Whether ``slicer`` of the wheel carries a name that in Slicer only ``slicer.util`` has."""
        return name not in _UTIL_LEAKS_KEPT and not name.startswith("_") and callable(getattr(slicer.util, name))

    def reset(self) -> None:
        """Unload the scripted modules, close the scene, and forget messages and errors."""
        self._mainWindow.show_panel(None)
        by_name = self._native_application.moduleManager().by_name
        for name, module in list(by_name.items()):
            if hasattr(module, "unload"):
                module.unload()
                del by_name[name]
        slicer.mrmlScene.Clear(False)
        self.processEvents()
        self.errors.clear()
        dialogs.RECORDER.__init__()

    def loadModule(self, path: str | Path) -> Any:
        """Load a scripted module from its file and open its panel; returns the module's Widget object."""
        from .application import qSlicerScriptedLoadableModule

        native = qSlicerScriptedLoadableModule(Path(path).resolve())
        self._native_application.moduleManager().by_name[native.name] = native
        native.load()
        representation = native.widgetRepresentation()
        self._mainWindow.show_panel(representation)
        representation.enter()
        self.check()
        return representation.self()

    def check(self) -> None:
        """Raise what a callback has raised since the last look.

        Raises:
            HostError: an exception in a slot, an observer or a timer, which Slicer would have printed.
        """
        if self.errors:
            text = "\n".join(self.errors)
            self.errors.clear()
            raise HostError(text)

    def processEvents(self) -> None:
        """Let Qt deliver what waits, timers that are due and deletions included; then `check`."""
        from PySide6 import QtCore

        self._native_application.processEvents()
        self._native_application.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete)
        self.check()

    def answer(self, *answers: Any) -> None:
        """Prepare the answers to the questions that the application will ask."""
        dialogs.RECORDER.answers += answers

    def takeMessages(self) -> list[dialogs.Shown]:
        """The dialogs shown since the last call."""
        shown, dialogs.RECORDER.shown = dialogs.RECORDER.shown, []
        return shown

    def click(self, button: Any) -> None:
        """Click a button as a user can: it must be enabled."""
        if not button.enabled:
            raise HostError(f"{button.name} is disabled and cannot be clicked")
        button.native.click()
        self.processEvents()

    def setNode(self, selector: Any, node: Any) -> None:
        """Choose a node in a node selector; it must be among those offered."""
        selector.setCurrentNode(node)
        self.processEvents()
        if selector.currentNode() is not node:
            raise HostError(f"{selector.name} does not offer {node.GetName() if node else None}")

    def editCell(self, table: Any, row: int, column: int, text: str) -> None:
        """Type into a cell of a table as a user can: it must be editable."""
        from PySide6.QtCore import Qt

        index = table.native.model().index(row, column)
        if not table.native.model().flags(index) & Qt.ItemFlag.ItemIsEditable:
            raise HostError(f"Cell {row}, {column} of {table.name} cannot be edited")
        table.native.model().setData(index, text)
        self.processEvents()

    def grabPanel(self, widget: Any, path: str | Path) -> Path:
        """A picture of a module's panel, or of any widget, as PNG."""
        native = (widget.parent if hasattr(widget, "parent") and not callable(widget.parent) else widget).native
        native.ensurePolished()
        native.adjustSize()
        self.processEvents()
        if not native.grab().save(str(path)):
            raise OSError(f"Cannot write {path}")
        return Path(path)

    def reopenScene(self, path: str | Path) -> None:
        """Save the scene to an ``.mrb`` or ``.mrml`` file, close it, and load it again."""
        if not slicer.util.saveScene(str(path)):
            raise HostError(f"The scene could not be saved to {path}")
        slicer.mrmlScene.Clear(False)
        self.processEvents()
        if not self._native_application.ioManager().loadScene(str(path)):
            raise HostError(f"The scene could not be loaded from {path}")
        self.processEvents()

    def _report(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        text = "".join(traceback.format_exception(kind, error, trace))
        self.errors.append(text)
        sys.stderr.write(text)


def _python_modules() -> dict[str, dict[str, Any]]:
    """Name -> contents of the Python modules that the wheel of Slicer's classes lacks."""
    return {
        "slicer.ScriptedLoadableModule": _public(scripted_module, "ScriptedLoadableModule"),
        "slicer.i18n": {name: getattr(i18n, name) for name in ("tr", "translate", "getContext")},
        "slicer.parameterNodeWrapper": {
            **{
                name: getattr(parameter_nodes, name)
                for name in ("parameterNodeWrapper", "isParameterNodeWrapper", "SlicerParameterNamePropertyName")
            },
            **{
                name: getattr(validators, name)
                for name in "Default Validator NotNone Minimum Maximum WithinRange Choice Exclude Decimals SingleStep".split()
            },
        },
    }


def _public(module: Any, prefix: str) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if name.startswith(prefix)}


def start() -> Host:
    """The host, started; there is one for each Python process."""
    global _HOST
    if _HOST is None:
        _HOST = Host()
    _HOST.start()
    return _HOST
