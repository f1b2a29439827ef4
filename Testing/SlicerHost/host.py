"""The host itself: starts the parts, loads modules, and knows what went wrong."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import slicer

from . import dialogs, hierarchy, names
from .shown import Shown
from .user import User

_NOT_LEAKED = {"app", "modules", "mrmlScene", "vtk"}


class HostError(AssertionError):
    """Something that real Slicer would only have printed: an exception in a callback."""


class Host(User):
    """A Slicer for tests: ``slicer``, ``qt`` and ``ctk`` work as in the application while it is started.

    Attributes:
        errors: exceptions that callbacks raised, and no message box showed, since they were last looked at, as text.
        testing: what ``slicer.app.testingEnabled()`` says; with False, message boxes are shown, that is recorded.
    """

    def __init__(self) -> None:
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
        from CMRLib.standalone import createApplication

        self._core = createApplication().core
        self._folder = tempfile.TemporaryDirectory(prefix="slicer-host-")
        self.errors: list[str] = []
        self.testing = False
        self._saved: dict[str, Any] = {}
        self._observers: list[int] = []
        self._makeApplication()

    def _makeApplication(self) -> None:
        from . import application, layout

        self._application = application.qSlicerApplication(sys.argv[:1])
        self._application.setApplicationName("Slicer")
        self._application.setOrganizationName("SlicerHost")
        self._layoutManager = layout.qSlicerLayoutManager(self._core)
        self._mainWindow = application.qSlicerMainWindow(self._layoutManager.viewport())

    def start(self, version: str = "5.12") -> None:
        """Put everything in its place, as in Slicer 5.12 or 5.10; `stop` takes it away again."""
        from . import python_modules, qt_modules
        from .application import qSlicerLoadableModule, qSlicerSequencesModule
        from .pythonqt import wrap

        if self._saved:
            self.stop()
        names.use_version(version)
        # The wheel shows the functions of slicer.util under slicer, too; Slicer does not.
        leaks = {name: vars(slicer)[name] for name in self._leakedNames()}
        for name in leaks:
            delattr(slicer, name)
        self._saved = {**leaks, "app": slicer.app, "modules": slicer.modules}
        self._excepthook, sys.excepthook = sys.excepthook, self._report
        qt_modules.install()
        self._restoreSingletons()
        self._layoutManager.connect_scene()
        self._application.begin(self, self._core, Path(self._folder.name), self._layoutManager)
        self._mainWindow.show()
        slicer.app = wrap(self._application)
        slicer.modules = ModuleType("slicer.modules")
        slicer.modules.dicomPlugins = {}
        slicer.selfTests = {}
        for name, module in vars(self._saved["modules"]).items():
            module_class = qSlicerSequencesModule if name == "sequences" else qSlicerLoadableModule
            native = module_class(module.name, module.logic())
            self._application.moduleManager().by_name[module.name] = native
            setattr(slicer.modules, name, wrap(native))
        python_modules.install(version)
        self._observers = hierarchy.observe(slicer.mrmlScene)

    def stop(self) -> None:
        """Unload every scripted module and leave Python as it was before `start`."""
        from . import python_modules, qt_modules

        if not self._saved:
            return
        self.reset()
        self._mainWindow.hide()
        self._layoutManager.disconnect_scene()
        for tag in self._observers:
            slicer.mrmlScene.RemoveObserver(tag)
        sys.excepthook = self._excepthook
        python_modules.uninstall()
        qt_modules.uninstall()
        for name, value in self._saved.items():
            setattr(slicer, name, value)
        self._saved = {}

    def _restoreSingletons(self) -> None:
        """Put back the nodes that every scene of the application has, should someone have cleared them away."""
        scene, logic = slicer.mrmlScene, self._core.app_logic
        if scene.GetFirstNodeByClass("vtkMRMLInteractionNode") is None:
            logic.SetMRMLScene(None)
            logic.SetMRMLScene(scene)
        if scene.GetFirstNodeByClass("vtkMRMLCrosshairNode") is None:
            scene.AddNewNodeByClass("vtkMRMLCrosshairNode").SetCrosshairName("default")
        logic.GetColorLogic().AddDefaultColorNodes()

    @staticmethod
    def _leakedNames() -> list[str]:
        util = vars(slicer.util)
        return [
            n
            for n in vars(slicer)
            if n in util and not n.startswith("_") and n not in _NOT_LEAKED and callable(util[n])
        ]

    def reset(self) -> None:
        """Be as a Slicer that was started just now: without scripted modules, scene, messages, errors and layouts."""
        from PySide6 import QtCore

        slicer.util.selectModule("")
        by_name = self._application.moduleManager().by_name
        for name, module in list(by_name.items()):
            if hasattr(module, "unload"):
                module.unload()
                del by_name[name]
        # Panels go before the nodes: each of their selectors would follow every node that goes and comes.
        self._application.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete.value)
        slicer.mrmlScene.Clear(False)
        # Closing a scene keeps its slice views; a view turned to an oblique image would greet the next test with it.
        for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
            node.SetOrientationToDefault()
            node.SetSliceOrigin(0, 0, 0)
            node.SetXYZOrigin(0, 0, 0)
            node.SetFieldOfView(250, 250, 1)
        self._layoutManager.layout = slicer.vtkMRMLLayoutNode.SlicerLayoutConventionalView
        self._layoutManager.forget_layouts()
        self._application.processEvents()
        self.errors.clear()
        dialogs.RECORDER.clear()

    def dragToNode(self, selector: Any, node: Any) -> None:
        """Press the mouse on a node selector, drag to the node in its list, and release."""
        selector.native.drag_to(node)

    def loadModule(self, path: str | Path) -> Any:
        """Load a scripted module from its file and open its panel.

        Returns:
            The module's Widget object, or its own object when it has no panel (a DICOM plugin, for instance).
        """
        from .application import qSlicerScriptedLoadableModule

        native = qSlicerScriptedLoadableModule(Path(path).resolve())
        self._application.moduleManager().by_name[native.name] = native
        native.load()
        self._application.complete_startup()
        self.check()
        panel = native.widgetRepresentation()
        if panel is None:
            return getattr(slicer.modules, f"{native.name}Instance")
        slicer.util.selectModule(native.name)
        self.processEvents()
        return panel.self()

    def check(self) -> None:
        """Raise what callbacks have raised since the last look, unless a message box told the user.

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

        self._application.processEvents()
        self._application.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete.value)
        self.check()

    def answer(self, *answers: Any) -> None:
        """Prepare the answers to the questions that the application will ask, such as ``qt.QMessageBox.Ok``."""
        dialogs.RECORDER.answers += answers

    def takeMessages(self) -> list[Shown]:
        """The dialogs shown since the last call."""
        shown, dialogs.RECORDER.shown = dialogs.RECORDER.shown, []
        return shown

    def _report(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        text = "".join(traceback.format_exception(kind, error, trace))
        sys.stderr.write(text)
        if not any(shown.kind == "error" and str(error) in shown.text for shown in dialogs.RECORDER.shown):
            self.errors.append(text)
