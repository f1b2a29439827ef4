"""The section of a panel that processes a whole study: all steps with one click, and a view of what they found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import qt
import slicer
from slicer.i18n import tr as _

from CMRLib.scene.dependencies import ensureTorch
from CMRLib.scene.part import Part
from CMRLib.scene.studyviews import mapsInScene, showStudy

if TYPE_CHECKING:
    from CMRLib.scene.wholestudy import ProcessedStudy

_IMAGES = ("vtkMRMLSequenceNode", "vtkMRMLScalarVolumeNode")


class StudySection(Part):
    """Does all that a study allows, on what is loaded or on a folder."""

    def __init__(self, panel: Any, place: Any, choices: Callable[[Any], Mapping[str, Any]]) -> None:
        """Build the section.

        Args:
            panel, place: see `CMRLib.scene.part.Part`; the panel's parameter node has the parameter ``device``.
            choices: what the panel's parameters say of the options that the steps bring, by their names.
        """
        self._choices = choices
        Part.__init__(self, panel, "StudySection.ui", place)
        self.ui.studyFolderLineEdit.connect("textChanged(QString)", self.follow)
        self.ui.studyFolderButton.connect("clicked(bool)", self.onFolderButton)
        self.ui.studyButton.connect("clicked(bool)", self.onStudyButton)
        self.ui.showStudyButton.connect("clicked(bool)", self.onShowStudyButton)
        scene = slicer.mrmlScene
        for event in (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndImportEvent):
            panel.addObserver(scene, event, self.follow)

    def forgetShown(self) -> None:
        """What was found belonged to the scene before."""
        if self.panel.parameterNode is None:
            self.ui.studyLabel.text = ""
        self.follow()

    def runningChanged(self) -> None:
        """What was computed may be shown."""
        self.follow()

    def follow(self, *_event: Any) -> None:
        """Enable the buttons when there is something to process or to show, and say why not."""
        if slicer.mrmlScene.IsClosing() or self.panel.isRunning:
            self.ui.studyButton.enabled = self.ui.showStudyButton.enabled = False
            return
        reason = "" if self._folder() or _isAnythingLoaded() else _("Load a study, or choose its folder.")
        self.ui.studyButton.enabled = not reason
        self.ui.studyButton.toolTip = reason or _("Do everything that the study allows, and show what was found.")
        isThere = bool(mapsInScene())
        self.ui.showStudyButton.enabled = isThere
        self.ui.showStudyButton.toolTip = (
            _("Arrange the views: T1 maps, bull's-eye and table, as after processing the study.")
            if isThere
            else _("There is no T1 map yet; process the study.")
        )

    def onShowStudyButton(self) -> None:
        """Show the maps that are there, as those of a scene that was opened."""
        maps = mapsInScene()
        if maps:
            showStudy(maps)

    def onFolderButton(self) -> None:
        """Choose the folder of a study."""
        folder = self._askForFolder()
        if folder:
            self.ui.studyFolderLineEdit.text = folder

    def onStudyButton(self) -> None:
        """Process the study."""
        if self.panel.isRunning or self.panel.parameterNode is None:
            return
        parameters = self.panel.parameterNode
        with slicer.util.tryWithErrorDisplay(_("The study could not be processed."), waitCursor=False):
            if not ensureTorch(self.panel.title):
                self.panel.say(_("PyTorch is not installed, so nothing was processed."))
                return
            from CMRLib.scene.wholestudy import processStudy  # reads DICOM, for which Slicer's start should not wait

            folder, device = self._folder(), parameters.device
            self.ui.studyLabel.text = ""

            def compute(progress: Callable[[float], None]) -> ProcessedStudy:
                return processStudy(folder, self._choices(parameters), device, self._telling(progress))

            self.panel.compute("", compute, self._show)

    def _askForFolder(self) -> str:
        return str(qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Folder of the study")))

    def _folder(self) -> Path | None:
        """The folder that was chosen, or None for what is loaded."""
        text = self.ui.studyFolderLineEdit.text.strip()
        return Path(text).expanduser() if text else None

    def _telling(self, progress: Callable[[float], None]) -> Callable[[str, int, int, float], None]:
        """Progress that says which step is done."""

        def report(name: str, number: int, count: int, fraction: float) -> None:
            self.panel.say(_("Step {number} of {count}: {name}").format(number=number, count=count, name=name))
            progress(fraction)

        return report

    def _show(self, _parameters: Any, study: ProcessedStudy) -> None:
        """Show what was found; the module may have been left meanwhile."""
        showStudy(study.maps)
        self.panel.say(_("The study was processed."))
        if not self.panel.isClosed:
            self.ui.studyFolderLineEdit.text = ""  # it is loaded now
            self.ui.studyLabel.text = describe(study)


def describe(study: ProcessedStudy) -> str:
    """What was found in a study, what is to be looked at, and what was lost, a sentence a line."""
    found = ", ".join(f"{words}: {count}" for words, count in study.counts().items())
    lines = [found or _("Nothing was found.")]
    flagged = study.flagged()
    if flagged:
        lines.append(_("To be looked at in the modules that found them: {count}.").format(count=flagged))
    return "\n".join([*lines, *study.results["errors"], *study.results["warnings"]])


def _isAnythingLoaded() -> bool:
    return any(node.GetClassName() == name for name in _IMAGES for node in slicer.util.getNodesByClass(name))
