"""Panel and logic of the module CMR Landmarks; the method is in CMRLandmarksLib, the nodes are in CMRLib.scene."""

import logging
import time
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
import qt
import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import Choice, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
)

from CMRLib import provenance
from CMRLib.anatomy.axis import LEVELS
from CMRLib.anatomy.bullseye import BullsEye
from CMRLib.errors import CMRError, InputError
from CMRLib.scene import aha, bullseye, display, landmarks, regions, segmentmeasurement
from CMRLib.scene.dependencies import ensureTorch
from CMRLib.scene.landmarkreview import AUTO, CORRECTED, MISSING, SliceReview, readReview, reviewOrder
from CMRLib.scene.panel import Panel
from CMRLib.scene.volumes import ijkToWorld

TITLE = "CMR Landmarks"
RULES = {"Standard": "equal", "Between insertions": "insertions"}
STATISTICS = {"Mean": "mean", "Median": "median", "SD": "sd", "Minimum": "minimum", "Maximum": "maximum"}
LEVEL_CHOICES = {"Automatic": "", "Basal": "basal", "Mid": "mid", "Apical": "apical", "Left out": aha.LEFT_OUT}


class CMRLandmarks(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("CMR Landmarks")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Cardiac")]
        self.parent.dependencies = ["CMRT1Mapping"]
        self.parent.contributors = ["CMRMapping contributors"]
        self.parent.helpText = _(
            "<p>Finds the centre of the left ventricle and the insertion points of the right ventricle in short-axis "
            "images of any contrast (T1 map, late enhancement, VNE, cine), and divides the myocardium into the 16 "
            "segments of the American Heart Association.</p>"
            "<p>Select the images and click Apply. Look at the slices that are flagged, drag points that are not "
            "right, and select the map and the myocardium to be measured.</p>"
            "<p><b>For research only.</b> Not a medical device: not for diagnosis or treatment.</p>"
        )
        self.parent.acknowledgementText = _(
            "<p>Please cite what you use. Landmarks in two stages: Gonzales et al., Deep learning for automated "
            "insertion point annotation of CMR T1 maps, IEEE ISBI 2024. One network for all contrasts: Gonzales et "
            "al., Generalist deep learning for cross-modality landmark annotation in cardiovascular magnetic "
            "resonance, J Cardiovasc Magn Reson 2026; 28. Segments: Cerqueira et al., Circulation 2002; "
            "105:539-542.</p>"
        )


@parameterNodeWrapper
class CMRLandmarksParameterNode:
    """What the panel is set to; saved with the scene.

    ``adoptedVolume`` is the input for which the panel has chosen the map, so that a later choice is not overwritten.
    """

    inputVolume: vtkMRMLScalarVolumeNode
    adoptedVolume: vtkMRMLScalarVolumeNode
    device: Annotated[str, Choice(["auto", "cpu", "cuda", "mps"])] = "auto"
    mapVolume: vtkMRMLScalarVolumeNode
    segmentationNode: vtkMRMLSegmentationNode
    myocardium: str = ""
    rule: Annotated[str, Choice(list(RULES))] = "Standard"
    statistic: Annotated[str, Choice(list(STATISTICS))] = "Mean"
    combineSlices: bool = True
    showSegments: bool = True
    snapToEpicardium: bool = False


class CMRLandmarksWidget(Panel):
    """The panel."""

    title = TITLE
    sections = ("inputsCollapsibleButton", "reviewCollapsibleButton", "segmentsCollapsibleButton")

    def __init__(self, parent: Any = None) -> None:
        Panel.__init__(self, parent)
        self._watched: list[tuple[Any, Any, Callable[..., None]]] = []
        self._shownSettings: tuple[Any, ...] = ()
        self._rows: list[int] = []
        self._picture: BullsEye | None = None
        self._levels: dict[int, str] = {}
        self._isWriting = False

    def setup(self) -> None:
        """Called when the module is opened for the first time."""
        self.setupPanel("UI/CMRLandmarks.ui", CMRLandmarksLogic())
        for text in LEVEL_CHOICES:
            self.ui.levelComboBox.addItem(_(text))

        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.NodeRemovedEvent, self.onNodeRemoved)

        self.ui.reviewTable.connect("itemSelectionChanged()", self.onSliceSelected)
        self.ui.acceptButton.connect("clicked(bool)", self.onAcceptButton)
        self.ui.acceptAllButton.connect("clicked(bool)", self.onAcceptAllButton)
        self.ui.resetButton.connect("clicked(bool)", self.onResetButton)
        self.ui.resetAllButton.connect("clicked(bool)", self.onResetAllButton)
        self.ui.placeButton.connect("clicked(bool)", self.onPlaceButton)
        self.ui.levelComboBox.connect("currentIndexChanged(int)", self.onLevelChosen)
        self.ui.myocardiumComboBox.connect("currentIndexChanged(int)", self.onMyocardiumChosen)
        self.ui.layoutButton.connect("clicked(bool)", self.onLayoutButton)
        self.ui.savePictureButton.connect("clicked(bool)", self.onSavePictureButton)
        self.initializeParameterNode()

    def _forgetScene(self) -> None:
        self.logic.forgetMyocardium()

    def _forgetShown(self) -> None:
        self._shownSettings = ()
        self._picture = None
        self._watch([])

    def _showRunning(self) -> None:
        self.onParameterNodeModified()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNodeRemoved(self, caller: Any, event: Any, node: Any) -> None:
        """Called after a node was removed: entry lines go with their landmarks, and the panel shows that they did."""
        if slicer.mrmlScene.IsClosing() or self._isWriting or not node.IsA(landmarks.CLASS):
            return
        landmarks.removeStrayLines()
        if self._parameterNode is not None:
            self._showAll()

    def onParameterNodeModified(self, caller: Any = None, event: Any = None) -> None:
        """Bring the panel in line with what is selected."""
        parameters = self._parameterNode
        if parameters is None:
            return
        if parameters.inputVolume is not parameters.adoptedVolume:
            self.logic.adoptInput(parameters)
        reason = self.logic.whyNotApply(parameters)
        self.ui.applyButton.enabled = not reason and not self._isRunning
        self.ui.applyButton.toolTip = reason or _("Find the landmarks in every slice.")
        settings = (
            *(parameters.inputVolume, parameters.mapVolume, parameters.segmentationNode, parameters.myocardium),
            *(parameters.rule, parameters.statistic, parameters.combineSlices, parameters.showSegments),
        )
        if settings != self._shownSettings:
            self._shownSettings = settings
            self._showAll()

    # What the panel follows in the scene

    def _watch(self, wanted: list[tuple[Any, Any, Callable[..., None]]]) -> None:
        if wanted == self._watched:
            return
        for caller, event, method in self._watched:
            self.removeObserver(caller, event, method)
        self._watched = wanted
        for caller, event, method in wanted:
            self.addObserver(caller, event, method)

    def _watchNodes(self) -> None:
        parameters, wanted = self._parameterNode, []
        node = self._landmarksNode()
        if node is not None:
            wanted += [
                (node, event, self.onPointModified)
                for event in (node.PointModifiedEvent, node.PointPositionDefinedEvent, node.PointPositionUndefinedEvent)
            ]
            wanted.append((node, node.PointEndInteractionEvent, self.onPointReleased))
        if parameters.mapVolume is not None and parameters.mapVolume.GetDisplayNode() is not None:
            wanted.append((parameters.mapVolume.GetDisplayNode(), vtk.vtkCommand.ModifiedEvent, self.onColorsModified))
        if parameters.segmentationNode is not None:
            segmentation = parameters.segmentationNode.GetSegmentation()
            wanted += [
                (segmentation, event, self.onSegmentationModified)
                for event in (
                    segmentation.SourceRepresentationModified,
                    segmentation.SegmentAdded,
                    segmentation.SegmentRemoved,
                    segmentation.SegmentModified,
                )
            ]
        self._watch(wanted)

    def _landmarksNode(self) -> Any:
        volume = None if self._parameterNode is None else self._parameterNode.inputVolume
        return None if volume is None else landmarks.findLandmarks(volume)

    def _showAll(self) -> None:
        """Show the review and the segments of what is selected."""
        self._watchNodes()
        self._fillMyocardium()
        self._fillReview()
        self._updateSegments()

    # Finding landmarks

    def onApplyButton(self) -> None:
        """Find the landmarks of the selected images."""
        if self._isRunning or self._parameterNode is None:
            return
        with slicer.util.tryWithErrorDisplay(_("The landmarks could not be found."), waitCursor=False):
            if not ensureTorch(TITLE):
                self._say(_("PyTorch is not installed, so there are no landmarks yet; place them by hand."))
                return
            parameters = self._parameterNode
            with self._writing():
                self._run(
                    lambda: self.logic.process(
                        parameters.inputVolume, device=parameters.device, progress=self._onProgress
                    ),
                    self._showFound,
                )
            if not self._isClosed and self._parameterNode is not None:
                self._showAll()
                self._selectRow(0)

    def _showFound(self, node: Any) -> None:
        """Show new landmarks on their images."""
        display.showInSliceViews(landmarks.sourceVolume(node))
        self._say(self.logic.summary(node))

    # Review

    def _fillReview(self) -> None:
        """List every slice, those to be looked at first."""
        node, selected = self._landmarksNode(), self._selectedSlice()
        entries = [] if node is None else readReview(node)
        self._rows = reviewOrder(entries)
        table = self.ui.reviewTable
        wasBlocked = table.blockSignals(True)
        table.setRowCount(len(self._rows))
        for row in range(len(self._rows)):
            for column in range(table.columnCount):
                table.setItem(row, column, qt.QTableWidgetItem(""))
        table.blockSignals(wasBlocked)
        self._updateReview()
        if selected in self._rows:
            self._selectRow(self._rows.index(selected))
        self._updateReviewButtons()

    def _updateReview(self) -> None:
        """Bring the rows in line with the slices, in the order that they have."""
        node = self._landmarksNode()
        if node is None:
            return
        entries = readReview(node)
        for row, index in enumerate(self._rows):
            for column, text in enumerate(self.logic.reviewTexts(entries[index], self._levels)):
                self.ui.reviewTable.item(row, column).setText(text)
        self.ui.reviewTable.resizeColumnsToContents()

    def _selectedSlice(self) -> int | None:
        row = self.ui.reviewTable.currentRow()
        return self._rows[row] if 0 <= row < len(self._rows) else None

    def _selectRow(self, row: int) -> None:
        if row < len(self._rows):
            self.ui.reviewTable.setCurrentCell(row, 0)

    def _updateReviewButtons(self) -> None:
        node, index = self._landmarksNode(), self._selectedSlice()
        entry = None if node is None or index is None else readReview(node)[index]
        self.ui.acceptButton.enabled = entry is not None and entry.status in (AUTO, CORRECTED)
        self.ui.resetButton.enabled = entry is not None and entry.hasModelAnswer
        self.ui.acceptAllButton.enabled = self.ui.resetAllButton.enabled = node is not None
        hasVolume = self._parameterNode is not None and self._parameterNode.inputVolume is not None
        self.ui.placeButton.enabled = hasVolume and (node is None or (entry is not None and entry.status == MISSING))
        self.ui.levelComboBox.enabled = entry is not None
        wasBlocked = self.ui.levelComboBox.blockSignals(True)
        self.ui.levelComboBox.currentIndex = 0 if entry is None else list(LEVEL_CHOICES.values()).index(entry.level)
        self.ui.levelComboBox.blockSignals(wasBlocked)

    def onSliceSelected(self) -> None:
        """Go to the slice of the selected row in every view that shows the images."""
        index = self._selectedSlice()
        self._updateReviewButtons()
        if index is not None and self._parameterNode is not None:
            self.logic.showSlice(self._parameterNode.inputVolume, index)

    def onAcceptButton(self) -> None:
        """Accept the landmarks of the selected slice, and go on to the next that is to be looked at."""
        node, index = self._landmarksNode(), self._selectedSlice()
        if node is None or index is None:
            return
        landmarks.accept(node, self._parameterNode.inputVolume, [index])
        self._fillReview()
        self._selectRow(0)

    def onAcceptAllButton(self) -> None:
        """Accept the landmarks of every slice."""
        node = self._landmarksNode()
        if node is None:
            return
        volume = self._parameterNode.inputVolume
        landmarks.accept(node, volume, range(landmarks.numberOfSlices(volume)))
        self._fillReview()

    def onResetButton(self) -> None:
        """Go back to the model's answer in the selected slice."""
        index = self._selectedSlice()
        self._reset([] if index is None else [index])

    def onResetAllButton(self) -> None:
        """Go back to the model's answer in every slice that has one."""
        node = self._landmarksNode()
        entries = [] if node is None else readReview(node)
        self._reset([e.slice for e in entries if e.hasModelAnswer and e.status != MISSING])

    def _reset(self, slices: list[int]) -> None:
        node = self._landmarksNode()
        if node is None or not slices:
            return
        with self._writing():
            landmarks.reset(node, self._parameterNode.inputVolume, slices)
        self._pointsChanged()
        self._fillReview()

    def onPlaceButton(self) -> None:
        """Place the landmarks of the selected slice by hand; without any landmarks yet, of the slice in view."""
        if self._parameterNode is None:
            return
        volume = self._parameterNode.inputVolume
        with self._writing():
            node = landmarks.createByHand(volume)
            index = self._selectedSlice()
            if index is None:
                display.showInSliceViews(volume)
                index = landmarks.numberOfSlices(volume) // 2
            landmarks.placeByHand(node, volume, index)
        self._watchNodes()
        self._pointsChanged()
        self._fillReview()
        self._selectRow(self._rows.index(index))

    def onLevelChosen(self, choice: int) -> None:
        """Take the selected slice for another level."""
        node, index = self._landmarksNode(), self._selectedSlice()
        if node is None or index is None:
            return
        landmarks.setLevel(node, index, list(LEVEL_CHOICES.values())[choice])
        self._updateSegments()

    # Points that move

    def _writing(self) -> "_Flag":
        return _Flag(self, "_isWriting")

    def onPointModified(self, caller: Any, event: Any) -> None:
        """A point moves under the user's hand, or was moved by a program."""
        if self._isWriting or self._parameterNode is None:
            return
        if landmarks.noticeEdits(caller, self._parameterNode.inputVolume):
            self._updateReviewButtons()
        self._pointsChanged()

    def onPointReleased(self, caller: Any, event: Any) -> None:
        """A point was dragged and let go: snap insertion points to the epicardium where that is wished."""
        parameters = self._parameterNode
        if parameters is None or not parameters.snapToEpicardium:
            return
        if parameters.segmentationNode is None:
            self._say(_("Select a segmentation of the myocardium to snap points to it."))
            return
        with self._writing():
            volume = parameters.inputVolume
            myocardium = self.logic.myocardium(parameters.segmentationNode, parameters.myocardium, volume)
            problems = self.logic.snapToEpicardium(caller, myocardium)
        self.onPointModified(caller, event)
        self._say(" ".join(problems))

    def _pointsChanged(self) -> None:
        landmarks.updateEntryLines(self._landmarksNode())
        self._updateSegments()

    # Segments

    def _fillMyocardium(self) -> None:
        """Offer the regions of the segmentation; the one that is called myocardium, if there is one, is chosen."""
        parameters, box = self._parameterNode, self.ui.myocardiumComboBox
        names = self.logic.regionNames(parameters.segmentationNode)
        chosen = self.logic.myocardiumAmong(names, parameters.myocardium)
        wasBlocked = box.blockSignals(True)
        if [box.itemText(index) for index in range(box.count)] != names:
            box.clear()
            box.addItems(names)
        if names:
            box.currentIndex = names.index(chosen)
        box.blockSignals(wasBlocked)
        if chosen != parameters.myocardium:
            parameters.myocardium = chosen

    def onMyocardiumChosen(self, index: int) -> None:
        """Measure another region."""
        if self._parameterNode is not None:
            self._parameterNode.myocardium = self.ui.myocardiumComboBox.itemText(index)

    def onSegmentationModified(self, caller: Any, event: Any) -> None:
        """The myocardium was drawn anew."""
        self.logic.forgetMyocardium()
        if self._parameterNode is None:
            return
        self._fillMyocardium()
        self._updateSegments()

    def onColorsModified(self, caller: Any, event: Any) -> None:
        """The map is shown in other colors."""
        self._updateSegments()

    def _updateSegments(self) -> None:
        """Measure the segments, and show them, the table and the bull's-eye."""
        if self._parameterNode is None:
            return
        parameters, node = self._parameterNode, self._landmarksNode()
        self._picture = None
        self._levels = {} if node is None else self.logic.levels(node)
        text = self.logic.whyNotMeasure(parameters, node)
        if not text:
            try:
                volume = parameters.mapVolume
                myocardium = self.logic.myocardium(parameters.segmentationNode, parameters.myocardium, volume)
                measurement = segmentmeasurement.measureSegments(
                    node, volume, myocardium, RULES[parameters.rule], parameters.combineSlices
                )
                self._levels = measurement.levels
                statistic = STATISTICS[parameters.statistic]
                self._picture = segmentmeasurement.bullsEyeOf(volume, measurement.statistics, statistic)
                aha.showSegments(measurement.labels, volume, parameters.showSegments)
                bullseye.showBullsEye(volume, self._picture, self._pictureTitle())
                segmentmeasurement.showTable(measurement.table)
                text = self.logic.describe(measurement)
            except CMRError as error:
                text = str(error)
        self.ui.segmentsLabel.text = text
        self._updateReview()
        self.ui.savePictureButton.enabled = self.ui.layoutButton.enabled = self._picture is not None

    def _pictureTitle(self) -> str:
        return str(self._parameterNode.mapVolume.GetName())

    def onLayoutButton(self) -> None:
        """Arrange the views: image, bull's-eye, table."""
        bullseye.showLayout()
        self._updateSegments()

    def onSavePictureButton(self) -> None:
        """Save the bull's-eye as a picture."""
        path = self._askForFile() if self._picture is not None else ""
        if path and self._picture is not None:  # the scene may have been closed meanwhile
            with slicer.util.tryWithErrorDisplay(_("The picture could not be saved."), waitCursor=True):
                bullseye.saveBullsEye(self._picture, self._pictureTitle(), path)
                self._say(_("Saved {path}.").format(path=path))

    def _askForFile(self) -> str:
        return str(
            qt.QFileDialog.getSaveFileName(
                slicer.util.mainWindow(), _("Save bull's-eye"), "bullseye.png", "PNG (*.png);;SVG (*.svg)"
            )
        )


class _Flag:
    """Sets an attribute to True for a while, whatever happens."""

    def __init__(self, owner: Any, name: str) -> None:
        self._owner, self._name = owner, name

    def __enter__(self) -> None:
        setattr(self._owner, self._name, True)

    def __exit__(self, *_error: Any) -> None:
        setattr(self._owner, self._name, False)


class CMRLandmarksLogic(ScriptedLoadableModuleLogic):
    """What the panel does, usable without it."""

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        self._myocardium: tuple[Any, ...] = ()

    def getParameterNode(self) -> CMRLandmarksParameterNode:
        """The panel's parameter node, wrapped."""
        return CMRLandmarksParameterNode(super().getParameterNode())

    def adoptInput(self, parameters: CMRLandmarksParameterNode) -> None:
        """Measure newly chosen images themselves, until another map is chosen."""
        with slicer.util.NodeModify(parameters.parameterNode):
            parameters.adoptedVolume = parameters.inputVolume
            parameters.mapVolume = parameters.inputVolume

    def whyNotApply(self, parameters: CMRLandmarksParameterNode) -> str:
        """Why landmarks cannot be found with these parameters, in a sentence; empty when they can."""
        if parameters.inputVolume is None:
            return _("Select short-axis images.")
        if landmarks.numberOfSlices(parameters.inputVolume) == 0:
            return _("The selected volume holds no image; load the series again.")
        return ""

    def whyNotMeasure(self, parameters: CMRLandmarksParameterNode, landmarksNode: Any) -> str:
        """What is missing for the segments to be measured, in a sentence; empty when nothing is."""
        if landmarksNode is None:
            return _("Find the landmarks first: select images and click Apply.")
        if parameters.mapVolume is None or landmarks.numberOfSlices(parameters.mapVolume) == 0:
            return _("Select the map to be measured.")
        if parameters.segmentationNode is None or not parameters.myocardium:
            return _("Select a segmentation of the myocardium to see its segments.")
        return ""

    def process(self, volumeNode: Any, **arguments: Any) -> Any:
        """Find the landmarks in every slice of a volume.

        See `CMRLandmarksLib.scene.landmarkdetection.detectLandmarks` for arguments, result and errors.
        """
        from CMRLandmarksLib.scene import landmarkdetection  # loads SciPy, for which Slicer's start should not wait

        started = time.perf_counter()
        node = landmarkdetection.detectLandmarks(volumeNode, **arguments)
        device, seconds = node.GetAttribute(provenance.DEVICE), time.perf_counter() - started
        logging.info(f"Landmarks of {landmarks.numberOfSlices(volumeNode)} slices found on {device} in {seconds:.1f} s")
        return node

    def snapToEpicardium(self, landmarksNode: Any, myocardium: np.ndarray) -> list[str]:
        """Move dragged insertion points to the epicardium; see the function of that name in landmarkdetection."""
        from CMRLandmarksLib.scene import landmarkdetection

        return landmarkdetection.snapToEpicardium(landmarksNode, myocardium)

    def summary(self, landmarksNode: Any) -> str:
        """What was found, in a sentence for the user."""
        entries = readReview(landmarksNode)
        return _("Landmarks in {found} of {all} slices on {device}; {flagged} flagged to be looked at.").format(
            found=sum(entry.status != MISSING for entry in entries),
            all=len(entries),
            flagged=sum(entry.needsALook for entry in entries),
            device=landmarksNode.GetAttribute(provenance.DEVICE),
        )

    def levels(self, landmarksNode: Any) -> dict[int, str]:
        """The level of each slice with landmarks; none where the volume is no short-axis stack."""
        try:
            return aha.levelsOf(landmarksNode)
        except InputError:
            return {}

    def reviewTexts(self, entry: SliceReview, levels: dict[int, str]) -> list[str]:
        """What the review says of a slice: its number, level, confidence, status and a remark."""
        level = _("left out") if entry.level == aha.LEFT_OUT else _(levels.get(entry.slice, "–"))
        confidence = f"{100 * entry.leastConfidence:.0f} %" if entry.confidence else "–"
        remarks = [entry.reason] if entry.needsALook else []
        if entry.level in LEVELS:
            remarks.append(_("level chosen by hand"))
        return [str(entry.slice), level, confidence, _(entry.status), "; ".join(remarks)]

    def showSlice(self, volumeNode: Any, index: int) -> None:
        """Go to a slice in every slice view that shows the volume."""
        columns, rows, _slices = volumeNode.GetImageData().GetDimensions()
        middle = ijkToWorld(volumeNode, np.array([[(columns - 1) / 2, (rows - 1) / 2, index]]))[0]
        for view in display.sliceLogics():
            if view.GetSliceCompositeNode().GetBackgroundVolumeID() == volumeNode.GetID():
                view.GetSliceNode().JumpSliceByOffsetting(*middle)

    def regionNames(self, segmentationNode: Any) -> list[str]:
        """The names of a segmentation's segments; none for None."""
        if segmentationNode is None:
            return []
        segmentation = segmentationNode.GetSegmentation()
        return [segmentation.GetSegment(segmentId).GetName() for segmentId in segmentation.GetSegmentIDs()]

    def myocardiumAmong(self, names: list[str], chosen: str) -> str:
        """The region to be measured: the chosen one, else one whose name says myocardium, else the first."""
        if chosen in names:
            return chosen
        return next((name for name in names if "myo" in name.lower()), names[0] if names else "")

    def forgetMyocardium(self) -> None:
        """Take the myocardium from the segmentation anew when it is needed next."""
        self._myocardium = ()

    def myocardium(self, segmentationNode: Any, region: str, volumeNode: Any) -> np.ndarray:
        """A region of a segmentation on the pixels of a volume, (slice, row, column); kept until it is forgotten."""
        key = (segmentationNode, region, volumeNode)
        if self._myocardium[:3] != key:
            masks = regions.regionMasks(segmentationNode, volumeNode)
            if region not in masks:
                raise InputError(f"{segmentationNode.GetName()} has no segment {region!r}; choose the myocardium.")
            self._myocardium = (*key, masks[region])
        return self._myocardium[3]

    def describe(self, measurement: segmentmeasurement.Measurement) -> str:
        """What is to be known about a measurement, in a sentence or two; may be empty."""
        texts = list(measurement.problems)
        if measurement.others:
            names = ", ".join(sorted(node.GetName() for node in measurement.others))
            texts.append(_("Measured together with {names}.").format(names=names))
        return " ".join(texts)


class CMRLandmarksTest(ScriptedLoadableModuleTest):
    """Tests on a drawn heart, inside Slicer."""

    def setUp(self) -> None:
        """Start every test with an empty scene, a map of three rings and their segmentation."""
        slicer.mrmlScene.Clear()
        self.logic = CMRLandmarksLogic()
        rows, columns = np.indices((80, 80)) - 39.5
        self.rings = np.repeat((np.abs(np.hypot(rows, columns) - 20) < 5)[None], 3, axis=0)
        self.map = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Map")
        slicer.util.updateVolumeFromArray(self.map, np.where(self.rings, 1000.0, 300.0).astype(np.float32))
        self.map.CreateDefaultDisplayNodes()
        self.segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Segmentation")
        self.segmentation.CreateDefaultDisplayNodes()
        self.segmentation.SetReferenceImageGeometryParameterFromVolumeNode(self.map)
        segment = self.segmentation.GetSegmentation().AddEmptySegment("", "Myocardium")
        pixels = self.rings.astype(np.uint8)
        slicer.util.updateSegmentBinaryLabelmapFromArray(pixels, self.segmentation, segment, self.map)

    def runTest(self) -> None:
        """Run all tests, as the button Reload and Test does."""
        for name in [name for name in dir(self) if name.startswith("test_")]:
            self.setUp()
            self.delayDisplay(name)
            getattr(self, name)()
        self.delayDisplay("Test passed")

    def test_segmentsOfPointsPlacedByHand(self) -> None:
        """Points in the middle of three rings divide them into all sixteen segments."""
        node = landmarks.createByHand(self.map)
        for index in range(3):
            landmarks.placeByHand(node, self.map, index)
        landmarks.updateEntryLines(node)
        self.assertEqual(len(slicer.util.getNodesByClass("vtkMRMLMarkupsLineNode")), 3)
        myocardium = self.logic.myocardium(self.segmentation, "Myocardium", self.map)
        measurement = segmentmeasurement.measureSegments(node, self.map, myocardium)
        self.assertEqual(measurement.problems, ())
        self.assertEqual(list(measurement.levels.values()), ["basal", "mid", "apical"])
        for statistics in measurement.statistics.values():
            self.assertAlmostEqual(statistics.mean, 1000.0)
        pixels = sum(statistics.pixels for statistics in measurement.statistics.values())
        self.assertEqual(pixels, np.count_nonzero(self.rings))
        self.assertEqual(measurement.table.GetNumberOfRows(), 16)

    def test_bullsEyeInTheLayout(self) -> None:
        """The picture is shown in a view of its own."""
        bullseye.showLayout()
        statistics = dict.fromkeys(range(1, 17))
        picture = segmentmeasurement.bullsEyeOf(self.map, statistics)
        self.assertEqual({sector.text for sector in picture.sectors}, {"–"})
        node = bullseye.showBullsEye(self.map, picture, "Map")
        self.assertGreater(slicer.util.arrayFromVolume(node).max(), 0)
        manager = slicer.app.layoutManager()
        if manager is not None:  # there are no views in a Slicer without main window
            composite = manager.sliceWidget(bullseye.VIEW_NAME).mrmlSliceCompositeNode()
            self.assertEqual(composite.GetBackgroundVolumeID(), node.GetID())
