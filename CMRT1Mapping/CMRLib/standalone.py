"""The MRML side of a Slicer application in plain Python, for commands and tests that need nodes but no windows.

The wheels ``slicer-core`` (Slicer's own MRML classes) and ``trame-slicer`` (which composes them) supply everything;
this file only puts it where code written for Slicer looks for it: ``slicer.mrmlScene``, ``slicer.app`` and
``slicer.modules.<name>.logic()``. There is no Qt, so there are no widgets, no layout manager and no plugins that file
each new node in the subject hierarchy. Inside Slicer itself nothing is done, because all of it exists already.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from CMRLib.errors import MissingDependencyError

if TYPE_CHECKING:
    from trame_slicer.core import SlicerApp

# Name of a Slicer module -> class of its logic, for those that trame-slicer does not compose, or composes without the
# node classes that the real module registers (the colour legend's display node, for one).
_MORE_LOGICS = {
    "Colors": "vtkSlicerColorLogic",
    "Sequences": "vtkSlicerSequencesLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Texts": "vtkSlicerTextsLogic",
    "Plots": "vtkSlicerPlotsLogic",
    "Models": "vtkSlicerModelsLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "Units": "vtkSlicerUnitsLogic",
}


class StandaloneModule:
    """What code sees of a loadable module without its widget: its name and its logic."""

    def __init__(self, name: str, logic: Any) -> None:
        self.name = name
        self._logic = logic

    def logic(self) -> Any:
        """The module's VTK logic, connected to ``slicer.mrmlScene``."""
        return self._logic


class StandaloneApplication:
    """The part of ``slicer.app`` that does not need Qt, under the names that ``qSlicerApplication`` has.

    Attributes:
        core: the composition of scene, application logic and off-screen views that this application stands on.
        temporaryPath: a folder for temporary files, removed when Python ends.
        applicationName: what the application calls itself.
    """

    def __init__(self, core: SlicerApp) -> None:
        self.core = core
        self.temporaryPath = core.io_manager.cache_dir.name
        self.applicationName = "CMRMapping"

    def mrmlScene(self) -> Any:
        """The scene, which is also ``slicer.mrmlScene``."""
        return self.core.scene

    def applicationLogic(self) -> Any:
        """The ``vtkSlicerApplicationLogic``: selection node, slice logics, colour logic."""
        return self.core.app_logic

    def moduleLogic(self, name: str) -> Any:
        """The logic of the module called ``name`` (as in Slicer, with capitals), or None."""
        return self.core.app_logic.GetModuleLogic(name)

    def layoutManager(self) -> None:
        """None, as in a Slicer started without its main window."""
        return None

    def testingEnabled(self) -> bool:
        """False: nothing here was started by ``Slicer --testing``."""
        return False

    def processEvents(self) -> None:
        """Nothing: there is no event loop."""

    def pauseRender(self) -> None:
        """Nothing: views are drawn on request."""

    def resumeRender(self) -> None:
        """Nothing: views are drawn on request."""


def createApplication() -> Any:
    """Make ``slicer.app``, ``slicer.mrmlScene`` and ``slicer.modules`` exist, and return ``slicer.app``.

    A second call, and a call inside Slicer, return the application that is already there.

    Raises:
        MissingDependencyError: the packages with Slicer's MRML classes are not installed.
    """
    try:
        slicer = importlib.import_module("slicer")
        if hasattr(slicer, "app"):
            return slicer.app
        core = importlib.import_module("trame_slicer.core").SlicerApp()
    except ImportError as error:
        raise MissingDependencyError(
            "Scenes need Slicer's MRML classes; install them with pip install 'cmr-mapping[scene]', "
            "or run the command inside 3D Slicer."
        ) from error

    logics = {
        "Volumes": core.volumes_logic,
        "Segmentations": core.segmentations_logic,
        "SubjectHierarchy": core.subject_hierarchy_logic,
        "Terminologies": core.terminologies_logic,
        "Markups": core.app_logic.GetModuleLogic("Markups"),
        "Data": core.data_logic,
        "VolumeRendering": core.app_logic.GetModuleLogic("VolumeRendering"),
    }
    # The color logic insists on a folder of further color files, and complains when there is none.
    core.app_logic.SetHomeDirectory(core.io_manager.cache_dir.name)
    core.app_logic.SetShareDirectory("share")
    Path(core.io_manager.cache_dir.name, "share", "ColorFiles").mkdir(parents=True)
    for name, className in _MORE_LOGICS.items():
        logic = getattr(slicer, className)()
        logic.SetMRMLApplicationLogic(core.app_logic)  # before the scene: the color logic looks for files through it
        logics[name] = core.register_module_logic(logic, logic_name=name)

    application = StandaloneApplication(core)
    modules = SimpleNamespace(**{name.lower(): StandaloneModule(name, logic) for name, logic in logics.items()})
    for name, value in (("app", application), ("mrmlScene", core.scene), ("modules", modules)):
        setattr(slicer, name, value)
    return application
