"""Panel and logic of the module CMR Landmarks; the method is in CMRLandmarksLib, the nodes are in CMRLib.scene."""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import numpy as np
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

from CMRLandmarksLib.scene.landmarkreviewlist import LandmarkReviewList
from CMRLib import provenance
from CMRLib.review import Status
from CMRLib.scene import bullseye, display, landmarks, regions, segmentmeasurement
from CMRLib.scene.dependencies import ensureTorch
from CMRLib.scene.landmarkreview import readReview
from CMRLib.scene.panel import Panel
from CMRLib.scene.segmentssection import RULES, STATISTICS, SegmentsSection
from CMRLib.scene.volumes import numberOfSlices

TITLE = "CMR Landmarks"


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

    def setup(self) -> None:
        """Called when the module is loaded: from then on, scenes that were saved in its layout can be opened."""
        bullseye.registerLayout()
        slicer.app.connect("startupCompleted()", bullseye.registerLayout)  # views may be made after the modules


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
    inputName = "inputVolume"
    sections = ("inputsCollapsibleButton", "reviewCollapsibleButton", "segmentsCollapsibleButton")

    def __init__(self, parent: Any = None) -> None:
        Panel.__init__(self, parent)
        self._shownSettings: tuple[Any, ...] = ()
        self._isWriting = False
        self.review: Any = None
        self.segments: Any = None

    def setup(self) -> None:
        """Called when the module is opened for the first time."""
        self.setupPanel("UI/CMRLandmarks.ui", CMRLandmarksLogic())
        self.review = LandmarkReviewList(self, self.ui.reviewListPlace)
        self.segments = SegmentsSection(
            self, self.ui.segmentsCollapsibleButton, self.landmarksNode, lambda: self.review.update()
        )
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.NodeRemovedEvent, self.onNodeRemoved)
        self.initializeParameterNode()

    def _forgetShown(self) -> None:
        self._shownSettings = ()

    def _showRunning(self) -> None:
        self.onParameterNodeModified()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNodeRemoved(self, caller: Any, event: Any, node: Any) -> None:
        """Called after a node was removed: entry lines go with their landmarks, and the panel shows that they did."""
        if slicer.mrmlScene.IsClosing() or not node.IsA(landmarks.CLASS):
            return
        landmarks.removeStrayLines()
        if self._parameterNode is not None and not self._isWriting:
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
        settings = (parameters.inputVolume, *self.segments.settings())
        if settings != self._shownSettings:
            self._shownSettings = settings
            self._showAll()

    def landmarksNode(self) -> Any:
        """The landmarks of the selected images, or None."""
        volume = None if self._parameterNode is None else self._parameterNode.inputVolume
        return None if volume is None else landmarks.findLandmarks(volume)

    def levels(self) -> dict[int, str]:
        """The level that each slice with landmarks is taken for."""
        levels: dict[int, str] = self.segments.levels
        return levels

    def _wanted(self) -> list[tuple[Any, Any, Callable[..., None]]]:
        node = self.landmarksNode()
        if node is None:
            return []
        return [
            (node, node.PointModifiedEvent, self.onPointModified),
            *((node, e, self.onPointSet) for e in (node.PointPositionDefinedEvent, node.PointPositionUndefinedEvent)),
            (node, node.PointEndInteractionEvent, self.onPointReleased),
        ]

    def _showAll(self) -> None:
        """Show the review and the segments of what is selected."""
        self.followNodes()
        self.segments.fillMyocardium()
        self.review.fill()
        self.segments.update()

    # Finding landmarks

    def onApplyButton(self) -> None:
        """Find the landmarks of the selected images."""
        if self._isRunning or self._parameterNode is None:
            return
        with slicer.util.tryWithErrorDisplay(_("The landmarks could not be found."), waitCursor=False):
            if not ensureTorch(TITLE):
                self.say(_("PyTorch is not installed, so there are no landmarks yet; place them by hand."))
                return
            volume, device = self._parameterNode.inputVolume, self._parameterNode.device
            with self.writing():
                self._run(
                    volume,
                    lambda: self.logic.process(volume, device=device, progress=self._onProgress),
                    self._showFound,
                )
            if not self._isClosed and self._parameterNode is not None:
                self._showAll()
                self.review.selectFirst()

    def _showFound(self, _parameters: Any, node: Any) -> None:
        """Show new landmarks on their images."""
        display.showInSliceViews(landmarks.sourceVolume(node))
        self.say(self.logic.summary(node))

    # Points that move

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Points that move now are not moved by the analyst's hand."""
        self._isWriting = True
        try:
            yield
        finally:
            self._isWriting = False

    def onPointModified(self, caller: Any, event: Any) -> None:
        """A point moves under the user's hand, or was moved by a program."""
        if self._isWriting or self._parameterNode is None:
            return
        if landmarks.noticeEdits(caller, self._parameterNode.inputVolume, self.review.reviewer):
            self.review.updateButtons()
        self.pointsChanged()

    def onPointSet(self, caller: Any, event: Any) -> None:
        """A point was placed, or was taken away, as deleting one in a view does."""
        self.onPointModified(caller, event)
        if not self._isWriting and self._parameterNode is not None:
            self.review.updateButtons()

    def onPointReleased(self, caller: Any, event: Any) -> None:
        """A point was dragged and let go: snap insertion points to the epicardium where that is wished."""
        parameters = self._parameterNode
        if parameters is None or not parameters.snapToEpicardium:
            return
        if parameters.segmentationNode is None:
            self.say(_("Select a segmentation of the myocardium to snap points to it."))
            return
        with self.writing():
            problems = self.logic.snapToEpicardium(caller, self.segments.myocardium(parameters.inputVolume))
        self.onPointModified(caller, event)
        self.say(" ".join(problems))

    def pointsChanged(self) -> None:
        """Entry lines and segments follow the points."""
        landmarks.updateEntryLines(self.landmarksNode())
        self.segments.update()


class CMRLandmarksLogic(ScriptedLoadableModuleLogic):
    """What the panel does, usable without it."""

    def getParameterNode(self) -> Any:
        """The panel's parameter node, wrapped."""
        wrap: Any = CMRLandmarksParameterNode  # whose constructor comes from its decorator
        return wrap(super().getParameterNode())

    def adoptInput(self, parameters: Any) -> None:
        """Measure newly chosen images themselves, until another map is chosen."""
        with slicer.util.NodeModify(parameters.parameterNode):
            parameters.adoptedVolume = parameters.inputVolume
            parameters.mapVolume = parameters.inputVolume

    def whyNotApply(self, parameters: Any) -> str:
        """Why landmarks cannot be found with these parameters, in a sentence; empty when they can."""
        if parameters.inputVolume is None:
            return _("Select short-axis images.")
        if numberOfSlices(parameters.inputVolume) == 0:
            return _("The selected volume holds no image; load the series again.")
        return ""

    def process(self, volumeNode: Any, **arguments: Any) -> Any:
        """Find the landmarks in every slice of a volume.

        See `CMRLandmarksLib.scene.landmarkdetection.detectLandmarks` for arguments, result and errors.
        """
        from CMRLandmarksLib.scene import landmarkdetection  # loads SciPy, for which Slicer's start should not wait

        started = time.perf_counter()
        node = landmarkdetection.detectLandmarks(volumeNode, **arguments)
        device, seconds = node.GetAttribute(provenance.DEVICE), time.perf_counter() - started
        logging.info(f"Landmarks of {numberOfSlices(volumeNode)} slices found on {device} in {seconds:.1f} s")
        return node

    def snapToEpicardium(self, landmarksNode: Any, myocardium: np.ndarray) -> list[str]:
        """Move dragged insertion points to the epicardium; see the function of that name in landmarkdetection."""
        from CMRLandmarksLib.scene import landmarkdetection

        return landmarkdetection.snapToEpicardium(landmarksNode, myocardium)

    def summary(self, landmarksNode: Any) -> str:
        """What was found, in a sentence for the user."""
        entries = readReview(landmarksNode)
        return _("Landmarks in {found} of {all} slices on {device}; {flagged} flagged to be looked at.").format(
            found=sum(entry.status is not Status.MISSING for entry in entries),
            all=len(entries),
            flagged=sum(entry.needs_a_look for entry in entries),
            device=landmarksNode.GetAttribute(provenance.DEVICE),
        )


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
        myocardium = regions.regionMasks(self.segmentation, self.map)["Myocardium"]
        measurement = segmentmeasurement.measureSegments(node, self.map, myocardium)
        self.assertEqual(measurement.problems, ())
        self.assertEqual(list(measurement.levels.values()), ["basal", "mid", "apical"])
        measured = [statistics for statistics in measurement.statistics.values() if statistics is not None]
        self.assertEqual({round(statistics.mean, 3) for statistics in measured}, {1000.0})
        self.assertEqual(sum(statistics.pixels for statistics in measured), np.count_nonzero(self.rings))
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
