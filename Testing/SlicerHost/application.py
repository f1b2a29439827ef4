"""``slicer.app`` and what hangs on it: modules, their manager, reading and writing files, settings."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from .io_manager import qSlicerIOManager
from .pythonqt import wrap
from .qmrml_widgets import qMRMLWidget
from .stand_ins import StandIn, stand_in


@stand_in
class qSlicerApplication(StandIn, QtWidgets.QApplication):
    """The application object; the scene and the logics are those of the standalone application."""

    def begin(self, host, core, folder, layout_manager):
        """Connect to the composition of scene and logics, with a folder for temporary files and settings."""
        self._host, self._core, self._layout_manager = host, core, layout_manager
        self._settings_file = str(folder / "settings.ini")
        self._manager = qSlicerModuleManager(self)
        self._io = qSlicerIOManager(self)
        self.temporaryPath = str(folder)
        self.documentationBaseUrl = ""
        self.majorVersion, self.minorVersion = 5, 12
        self.slicerHome = str(folder)

    def mrmlScene(self):
        return self._core.scene

    def applicationLogic(self):
        return self._core.app_logic

    def moduleLogic(self, name):
        return self._core.app_logic.GetModuleLogic(name)

    def moduleManager(self):
        return self._manager

    def ioManager(self):
        return self._io

    coreIOManager = ioManager

    def layoutManager(self):
        return self._layout_manager

    def settings(self):
        return QtCore.QSettings(self._settings_file, QtCore.QSettings.Format.IniFormat, self)

    userSettings = revisionUserSettings = settings

    def testingEnabled(self):
        return self._host.testing

    def complete_startup(self):
        """Tell those who wait for it that all modules are loaded."""
        self.fire("startupCompleted()")
        self.__dict__.get("_relays", {}).pop("startupCompleted()", None)

    def pauseRender(self):
        self.setRenderPaused(True)

    def resumeRender(self):
        self.setRenderPaused(False)

    def setRenderPaused(self, pause):
        self._layout_manager.setRenderPaused(pause)


@stand_in
class qSlicerMainWindow(StandIn, QtWidgets.QMainWindow):
    """The main window: the panel of the chosen module beside the views."""

    def __init__(self, viewport):
        super().__init__()
        self.setObjectName("qSlicerMainWindow")
        self._panel = QtWidgets.QScrollArea()
        self._panel.setWidgetResizable(True)
        splitter = QtWidgets.QSplitter()
        splitter.addWidget(self._panel)
        splitter.addWidget(viewport)
        splitter.setSizes([480, 1120])
        self.setCentralWidget(splitter)
        self.resize(1600, 1000)
        self._selector = qSlicerModuleSelectorToolBar(self._panel)

    def moduleSelector(self):
        return self._selector


@stand_in
class qSlicerModuleSelectorToolBar(StandIn, QtWidgets.QToolBar):
    """Chooses the module whose panel is shown."""

    def __init__(self, panel):
        super().__init__()
        self._panel, self._selected = panel, ""

    @property
    def selectedModule(self):
        return self._selected

    def selectModule(self, name):
        if name == self._selected:
            return
        before = self._panel.takeWidget()
        if before is not None:
            before.setParent(None)
            before.exit()
        self._selected = name
        module = slicer.app.moduleManager().native.module(name)
        widget = module.widgetRepresentation() if module else None
        if widget is not None:
            self._panel.setWidget(widget)
            widget.enter()
        self.fire("moduleSelected(QString)", name)


@stand_in
class qSlicerModuleManager(StandIn, QtCore.QObject):
    """Knows the modules by name."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self._factory = qSlicerModuleFactoryManager(self)
        self.by_name = {}

    def module(self, name):
        return self.by_name.get(name)

    def modulesNames(self):
        return list(self.by_name)

    def factoryManager(self):
        return self._factory


@stand_in
class qSlicerModuleFactoryManager(StandIn, QtCore.QObject):
    """Knows which modules are loaded."""

    def loadedModuleNames(self):
        return self.parent().modulesNames()


@stand_in
class qSlicerLoadableModule(StandIn, QtCore.QObject):
    """A module in C++: of it the host has the real logic, and no widget."""

    def __init__(self, name, logic):
        super().__init__()
        self.name, self.title, self._logic = name, name, logic

    def logic(self):
        return self._logic

    def widgetRepresentation(self):
        return None


@stand_in
class qSlicerSequencesModule(qSlicerLoadableModule):
    """The module Sequences with its tool bar, of which the host has what it would show."""

    def __init__(self, name, logic):
        super().__init__(name, logic)
        self.toolBarVisible, self._browser = False, None

    def setToolBarActiveBrowserNode(self, browser):
        self._browser = browser

    def showSequenceBrowser(self, browser):
        self.setToolBarActiveBrowserNode(browser)
        self.toolBarVisible = True
        return True


@stand_in
class qSlicerScriptedLoadableModule(StandIn, QtCore.QObject):
    """A module in Python, loaded from its file."""

    def __init__(self, path):
        super().__init__()
        self.path, self.name = str(path), Path(path).stem
        self.title, self.helpText, self.acknowledgementText = "", "", ""
        self.categories, self.contributors, self.dependencies, self.associatedNodeTypes = [], [], [], []
        self.hidden, self.index, self.icon, self.extensions = False, -1, QtGui.QIcon(), {}
        self.widgetRepresentationCreationEnabled = True
        self._widget = None

    def load(self):
        """Import the file and make the module's own object, as Slicer does at start."""
        folder = str(Path(self.path).parent)
        if folder not in sys.path:
            sys.path.insert(0, folder)
        specification = importlib.util.spec_from_file_location(self.name, self.path)
        module = importlib.util.module_from_spec(specification)
        sys.modules[self.name] = module
        specification.loader.exec_module(module)
        instance = getattr(module, self.name)(wrap(self))
        setattr(slicer.modules, f"{self.name}Instance", instance)
        setattr(slicer.modules, self.name.lower(), wrap(self))
        if hasattr(instance, "setup"):
            instance.setup()

    def logic(self):
        return None

    def mrmlScene(self):
        return slicer.mrmlScene

    def widgetRepresentation(self):
        if self._widget is None and hasattr(sys.modules[self.name], f"{self.name}Widget"):
            self._widget = qSlicerScriptedLoadableModuleWidget(self.name)
            self._widget.create()
        return self._widget

    def unload(self):
        """Tell the panel that its module goes, and destroy the panel."""
        if self._widget is not None:
            slicer.app.moduleManager().native.fire("moduleAboutToBeUnloaded(QString)", self.name)
            self._widget.setParent(None)
            self._widget.deleteLater()
            self._widget = None
        for attribute in (self.name.lower(), f"{self.name}Instance", f"{self.name}Widget"):
            vars(slicer.modules).pop(attribute, None)
        sys.modules.pop(self.name, None)


@stand_in
class qSlicerScriptedLoadableModuleWidget(qMRMLWidget):
    """The Qt widget that a scripted module fills in its ``setup``."""

    def __init__(self, module_name):
        super().__init__()
        self.moduleName, self.isEntered, self._python = module_name, False, None
        QtWidgets.QVBoxLayout(self)

    def create(self):
        """Make the Python object that owns this widget, and let it set itself up."""
        self._python = getattr(sys.modules[self.moduleName], f"{self.moduleName}Widget")(wrap(self))
        setattr(slicer.modules, f"{self.moduleName}Widget", self._python)
        self._python.setup()
        self.setMRMLScene(slicer.mrmlScene)

    reload = create

    def self(self):
        return self._python

    def enter(self):
        self.isEntered = True
        if hasattr(self._python, "enter"):
            self._python.enter()

    def exit(self):
        self.isEntered = False
        if hasattr(self._python, "exit"):
            self._python.exit()
