"""Panel and logic of the module CMR QC Segmentation; method and nodes are in CMRQCSegmentationLib."""

import logging
import time
from typing import Annotated, Any

import numpy as np
import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
)

from CMRLib import provenance
from CMRLib.review import Status
from CMRLib.scene import display
from CMRLib.scene.dependencies import ensureTorch
from CMRLib.scene.panel import Panel
from CMRLib.scene.regions import findSegmentation
from CMRLib.scene.volumes import numberOfSlices
from CMRQCSegmentationLib.quality import THRESHOLD
from CMRQCSegmentationLib.scene import candidatepreview, segmentations
from CMRQCSegmentationLib.scene.embeddededitor import EmbeddedEditor
from CMRQCSegmentationLib.scene.segmentationreview import readReview
from CMRQCSegmentationLib.scene.segmentationreviewlist import SegmentationReviewList
from CMRQCSegmentationLib.segments import ROLE

TITLE = "CMR QC Segmentation"


class CMRQCSegmentation(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("CMR QC Segmentation")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Cardiac")]
        self.parent.dependencies = ["CMRT1Mapping", "Segmentations"]
        self.parent.contributors = ["CMRMapping contributors"]
        self.parent.helpText = _(
            "<p>Segments the myocardium and the blood pool of the left ventricle in short-axis images of any contrast "
            "(late enhancement, VNE, T1 map, cine), and predicts for every slice how good that is.</p>"
            "<p>Select the images and click Apply. Go through the slices that are flagged: accept, reject, correct "
            "them in the Segment Editor below the list, or take another candidate of the ensemble.</p>"
            "<p><b>For research only.</b> Not a medical device: not for diagnosis or treatment.</p>"
        )
        self.parent.acknowledgementText = _(
            "<p>Please cite what you use. Quality-control-driven ensemble: Hann et al., Deep neural network ensemble "
            "for on-the-fly quality control-driven segmentation of cardiac MRI T1 mapping, Med Image Anal 2021; "
            "71:102029. Late enhancement and VNE: Gonzales et al., Quality control-driven deep ensemble for "
            "accountable automated segmentation of cardiac magnetic resonance LGE and VNE images, Front Cardiovasc Med "
            "2023; 10:1213290.</p>"
        )


@parameterNodeWrapper
class CMRQCSegmentationParameterNode:
    """What the panel is set to; saved with the scene."""

    inputVolume: vtkMRMLScalarVolumeNode
    device: Annotated[str, Choice(["auto", "cpu", "cuda", "mps"])] = "auto"
    threshold: Annotated[float, WithinRange(0.0, 1.0)] = THRESHOLD


class CMRQCSegmentationWidget(Panel):
    """The panel."""

    title = TITLE
    inputName = "inputVolume"
    sections = ("inputsCollapsibleButton", "reviewCollapsibleButton", "editorCollapsibleButton")

    def __init__(self, parent: Any = None) -> None:
        Panel.__init__(self, parent)
        self._shownSettings: tuple[Any, ...] = ()
        self.editor: Any = None
        self.review: Any = None

    def setup(self) -> None:
        """Called when the module is opened for the first time."""
        self.setupPanel("UI/CMRQCSegmentation.ui", CMRQCSegmentationLogic())
        self.editor = EmbeddedEditor(self.ui.segmentEditor)
        self.review = SegmentationReviewList(self, self.ui.reviewListPlace)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.NodeRemovedEvent, self.onNodeRemoved)
        self.initializeParameterNode()

    def enter(self) -> None:
        """Called each time the user opens this module."""
        Panel.enter(self)
        self.editor.enter()

    def exit(self) -> None:
        """Called each time the user opens a different module."""
        candidatepreview.removeCandidate()
        self.editor.leave()
        Panel.exit(self)

    def cleanup(self) -> None:
        """Called when the application closes and when the module is reloaded."""
        self.editor.leave()
        Panel.cleanup(self)

    def _forgetScene(self) -> None:
        self.editor.forget()

    def _forgetShown(self) -> None:
        self._shownSettings = ()

    def _showRunning(self) -> None:
        self.onParameterNodeModified()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNodeRemoved(self, caller: Any, event: Any, node: Any) -> None:
        """Called after a node was removed: a segmentation that is gone is listed no more."""
        if slicer.mrmlScene.IsClosing() or node.GetAttribute(provenance.ROLE) != ROLE:
            return
        if self._parameterNode is not None:
            self._showAll()

    def onParameterNodeModified(self, caller: Any = None, event: Any = None) -> None:
        """Bring the panel in line with what is selected."""
        parameters = self._parameterNode
        if parameters is None:
            return
        reason = self.logic.whyNotApply(parameters)
        self.ui.applyButton.enabled = not reason and not self._isRunning
        self.ui.applyButton.toolTip = reason or _("Segment every slice.")
        settings = (parameters.inputVolume, parameters.threshold)
        if settings != self._shownSettings:
            self._shownSettings = settings
            self._showAll()

    def segmentationNode(self) -> Any:
        """The segmentation of the selected images, or None."""
        volume = None if self._parameterNode is None else self._parameterNode.inputVolume
        return None if volume is None else findSegmentation(volume)

    def _showAll(self) -> None:
        """Show the review of what is selected."""
        self.followNodes()
        node = self.segmentationNode()
        if not self._isRunning:
            self.editor.show(node, self._parameterNode.inputVolume)
        if node is not None:
            self.review.notice()  # of what was drawn while another module was open
            segmentations.setThreshold(node, self._parameterNode.threshold)
        self.review.fill()

    def onApplyButton(self) -> None:
        """Segment the selected images."""
        if self._isRunning or self._parameterNode is None:
            return
        with slicer.util.tryWithErrorDisplay(_("The images could not be segmented."), waitCursor=False):
            if not ensureTorch(TITLE):
                self.say(_("PyTorch is not installed, so there is no segmentation yet."))
                return
            volume = self._parameterNode.inputVolume
            arguments = {"device": self._parameterNode.device, "threshold": self._parameterNode.threshold}
            self.review.notice()
            arguments |= {"keep": self._slicesToKeep(volume), "aboutToStore": self._onAboutToStore}
            with self.review.writing(canUndo=False):
                self._run(
                    volume,
                    lambda: self.logic.process(volume, progress=self._onProgress, **arguments),
                    self._showSegmented,
                )
            if not self._isClosed and self._parameterNode is not None:
                self._showAll()
                self.review.selectFirst()

    def _onAboutToStore(self) -> None:
        if self._parameterNode is not None and self.segmentationNode() is not None:
            self.review.saveState()

    def _slicesToKeep(self, volume: Any) -> list[int]:
        """The slices that someone has dealt with, if the user wants to keep them."""
        touched = segmentations.touchedSlices(volume)
        if not touched:
            return []
        text = _(
            "Slices that were corrected, accepted or rejected: {slices}. Keep them as they are? No segments them anew, "
            "too."
        ).format(slices=", ".join(str(index) for index in touched))
        return touched if slicer.util.confirmYesNoDisplay(text, windowTitle=self.title) else []

    def _showSegmented(self, _parameters: Any, node: Any) -> None:
        """Show a new segmentation on its images."""
        display.showInSliceViews(segmentations.sourceVolume(node))
        self.say(self.logic.summary(node))


class CMRQCSegmentationLogic(ScriptedLoadableModuleLogic):
    """What the panel does, usable without it."""

    def getParameterNode(self) -> Any:
        """The panel's parameter node, wrapped."""
        wrap: Any = CMRQCSegmentationParameterNode  # whose constructor comes from its decorator
        return wrap(super().getParameterNode())

    def whyNotApply(self, parameters: Any) -> str:
        """Why nothing can be segmented with these parameters, in a sentence; empty when it can."""
        if parameters.inputVolume is None:
            return _("Select short-axis images.")
        if numberOfSlices(parameters.inputVolume) == 0:
            return _("The selected volume holds no image; load the series again.")
        return ""

    def process(self, volumeNode: Any, **arguments: Any) -> Any:
        """Segment every slice of a volume.

        See `CMRQCSegmentationLib.scene.segmentationrun.segmentVolume` for arguments, result and errors.
        """
        from CMRQCSegmentationLib.scene import segmentationrun  # loads SciPy, for which Slicer's start should not wait

        started = time.perf_counter()
        node = segmentationrun.segmentVolume(volumeNode, **arguments)
        device, seconds = node.GetAttribute(provenance.DEVICE), time.perf_counter() - started
        logging.info(f"{numberOfSlices(volumeNode)} slices segmented on {device} in {seconds:.1f} s")
        return node

    def summary(self, node: Any) -> str:
        """What was found, in a sentence for the user."""
        entries = readReview(node)
        shown = segmentations.readLabels(node, segmentations.sourceVolume(node)).any(axis=(1, 2))
        return _("A heart in {found} of {all} slices on {device}; {flagged} flagged to be looked at.").format(
            found=np.count_nonzero(shown),
            all=len(entries),
            flagged=sum(entry.needs_a_look for entry in entries),
            device=node.GetAttribute(provenance.DEVICE),
        )


class CMRQCSegmentationTest(ScriptedLoadableModuleTest):
    """Tests on a drawn heart, inside Slicer."""

    def setUp(self) -> None:
        """Start every test with an empty scene, two images and their segmentation, whose second slice is doubtful."""
        from CMRQCSegmentationLib.prediction import UNSURE, SliceSegmentation

        slicer.mrmlScene.Clear()
        self.logic = CMRQCSegmentationLogic()
        rows, columns = np.indices((80, 80)) - 39.5
        distance = np.hypot(rows, columns)
        self.labels = np.where(distance < 15, 2, np.where(distance < 25, 1, 0)).astype(np.uint8)
        self.volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Images")
        slicer.util.updateVolumeFromArray(self.volume, np.stack([self.labels, self.labels]).astype(np.float32))
        self.volume.CreateDefaultDisplayNodes()
        results = [
            SliceSegmentation(0, self.labels, 0.9, 0.8, False, "", "ccs-3", None, ()),
            SliceSegmentation(1, self.labels, 0.5, 0.3, True, UNSURE, "ccs-3", None, ()),
        ]
        attributes = provenance.result_attributes(ROLE, source=self.volume.GetID())
        self.node = segmentations.storeSegmentation(self.volume, results, attributes)

    def runTest(self) -> None:
        """Run all tests, as the button Reload and Test does."""
        for name in [name for name in dir(self) if name.startswith("test_")]:
            self.setUp()
            self.delayDisplay(name)
            getattr(self, name)()
        self.delayDisplay("Test passed")

    def test_segmentsHaveTermsAndPixels(self) -> None:
        """Both segments are coded, and show the labels that were put in."""
        segmentation = self.node.GetSegmentation()
        self.assertEqual(tuple(segmentation.GetSegmentIDs()), ("Myocardium", "Blood pool"))
        tag = vtk.mutable("")
        self.assertTrue(segmentation.GetSegment("Myocardium").GetTag("TerminologyEntry", tag))
        self.assertIn("74281007", str(tag))
        shown = segmentations.readLabels(self.node, self.volume)
        np.testing.assert_array_equal(shown, np.stack([self.labels, self.labels]))

    def test_drawingIsNoticed(self) -> None:
        """A slice that someone draws in is corrected, and as it was after the drawing is taken back."""
        statuses = [entry.status for entry in readReview(self.node)]
        self.assertEqual(statuses, [Status.AUTO, Status.FLAGGED])
        drawn = segmentations.readLabels(self.node, self.volume)
        drawn[1, :10, :10] = 1
        segmentations.writeLabels(self.node, self.volume, drawn)
        self.assertEqual(segmentations.noticeEdits(self.node, self.volume, "AB"), [1])
        drawn[1] = self.labels
        segmentations.writeLabels(self.node, self.volume, drawn)
        segmentations.noticeEdits(self.node, self.volume, "AB")
        self.assertEqual([entry.status for entry in readReview(self.node)], statuses)

    def test_rejectedSlicesAreNotMeasured(self) -> None:
        """A rejected slice is empty, and shows what it did when it is accepted after all."""
        segmentations.judge(self.node, self.volume, [1], Status.REJECTED, "AB")
        self.assertFalse(segmentations.readLabels(self.node, self.volume)[1].any())
        segmentations.judge(self.node, self.volume, [1], Status.ACCEPTED, "AB")
        np.testing.assert_array_equal(segmentations.readLabels(self.node, self.volume)[1], self.labels)
