"""Panel and logic of the module CMR Stress Reactivity; method and nodes are in CMRStressReactivityLib."""

import contextlib
import logging
import time
from typing import Annotated, Any

import numpy as np
import slicer
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
)

from CMRLib.errors import CMRError
from CMRLib.geometry import Geometry
from CMRLib.scene import bullseye, display, landmarks, segmentmeasurement
from CMRLib.scene.dependencies import ensureTorch
from CMRLib.scene.panel import Panel
from CMRLib.scene.regions import findSegmentation
from CMRLib.scene.results import SOURCE_REFERENCE
from CMRLib.scene.segmentssection import RULES, STATISTICS
from CMRLib.scene.volumes import addVolume, numberOfSlices, volumeArray
from CMRStressReactivityLib.scene import alignmentcheck, reactivitymeasurement, reactivitynodes, reactivitysegments
from CMRStressReactivityLib.scene.matchtable import MatchTable

TITLE = "CMR Stress Reactivity"


class CMRStressReactivity(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("CMR Stress Reactivity")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Cardiac")]
        self.parent.dependencies = ["CMRT1Mapping", "CMRQCSegmentation", "CMRLandmarks"]
        self.parent.contributors = ["CMRMapping contributors"]
        self.parent.helpText = _(
            "<p>Brings a T1 map under vasodilator stress onto the T1 map at rest, and shows the change in percent, "
            "dT1 = (stress - rest) / rest: in every pixel, in the 16 segments of the American Heart Association, and "
            "in the inner and the outer half of the wall, each with its standard error where the T1 maps have one.</p>"
            "<p>Select both maps and click Apply. See whether rest and stress lie on each other (squares, flicker, "
            "Dice), and look at the slices that are marked.</p>"
            "<p><b>For research only.</b> Not a medical device: not for diagnosis or treatment.</p>"
        )
        self.parent.acknowledgementText = _(
            "<p>Please cite what you use. Stress T1: Liu et al., Adenosine stress and rest T1 mapping can "
            "differentiate between ischemic, infarcted, remote, and normal myocardium without the need for gadolinium "
            "contrast agents, JACC Cardiovasc Imaging 2016; 9:27-36. Registration by a network: Balakrishnan et al., "
            "VoxelMorph, IEEE Trans Med Imaging 2019; 38:1788-1800. Segments: Cerqueira et al., Circulation 2002; "
            "105:539-542.</p>"
        )

    def setup(self) -> None:
        """Called when the module is loaded: from then on, scenes that were saved in its layout can be opened."""
        bullseye.registerLayout()
        slicer.app.connect("startupCompleted()", bullseye.registerLayout)  # views may be made after the modules


@parameterNodeWrapper
class CMRStressReactivityParameterNode:
    """What the panel is set to; saved with the scene.

    ``adoptedVolume`` is the rest map for which the panel has chosen map and segmentation, so that a later choice is not
    overwritten. ``partners`` are the stress slices that were chosen by hand, see
    `CMRStressReactivityLib.scene.matchtable`.
    """

    restVolume: vtkMRMLScalarVolumeNode
    stressVolume: vtkMRMLScalarVolumeNode
    adoptedVolume: vtkMRMLScalarVolumeNode
    otherSlices: bool = True
    findMissing: bool = True
    partners: str = ""
    device: Annotated[str, Choice(["auto", "cpu", "cuda", "mps"])] = "auto"
    shownImage: Annotated[str, Choice(list(alignmentcheck.SHOWN))] = alignmentcheck.OVER_REST
    showDisplacement: bool = False
    mapVolume: vtkMRMLScalarVolumeNode
    segmentationNode: vtkMRMLSegmentationNode
    myocardium: str = ""
    rule: Annotated[str, Choice(list(RULES))] = "Standard"
    statistic: Annotated[str, Choice(list(STATISTICS))] = "Mean"
    combineSlices: bool = True
    showSegments: bool = False
    lowThreshold: Annotated[float, WithinRange(0.0, 50.0)] = 3.0
    middleThreshold: Annotated[float, WithinRange(0.0, 50.0)] = 6.0
    highThreshold: Annotated[float, WithinRange(0.0, 50.0)] = 9.0


class CMRStressReactivityWidget(Panel):
    """The panel."""

    title = TITLE
    inputName = "restVolume"
    sections = (
        "inputsCollapsibleButton",
        "matchCollapsibleButton",
        "checkCollapsibleButton",
        "segmentsCollapsibleButton",
    )

    def __init__(self, parent: Any = None) -> None:
        Panel.__init__(self, parent)
        self._shownSettings: tuple[Any, ...] = ()
        self._shownInputs: tuple[Any, ...] = ()
        self._shownVolume: Any = None
        self.match: Any = None
        self.check: Any = None
        self.segments: Any = None

    def setup(self) -> None:
        """Called when the module is opened for the first time."""
        self.setupPanel("UI/CMRStressReactivity.ui", CMRStressReactivityLogic())
        self.match = MatchTable(self)
        self.check = alignmentcheck.AlignmentCheck(self)
        self.segments = reactivitysegments.ReactivitySegments(
            self, self.ui.segmentsPlace, self.landmarksNode, self._showLayers
        )
        self.initializeParameterNode()

    def exit(self) -> None:
        """Called each time the user opens a different module."""
        self.check.forget()
        Panel.exit(self)

    def cleanup(self) -> None:
        """Called when the application closes and when the module is reloaded."""
        self.check.forget()
        Panel.cleanup(self)

    def _forgetScene(self) -> None:
        self._shownVolume = None
        self.check.forget()

    def _forgetShown(self) -> None:
        self._shownSettings = self._shownInputs = ()
        if self.check is not None:
            self.check.forget()

    def _showRunning(self) -> None:
        self.onParameterNodeModified()

    def onParameterNodeModified(self, caller: Any = None, event: Any = None) -> None:
        """Bring the panel in line with what is selected."""
        parameters = self._parameterNode
        if parameters is None:
            return
        if parameters.restVolume is not parameters.adoptedVolume:
            self._shownVolume = None
            self.logic.adoptInput(parameters)
        inputs = (parameters.restVolume, parameters.stressVolume, parameters.otherSlices, parameters.partners)
        if inputs != self._shownInputs:
            self._shownInputs = inputs
            self.match.fill()
        reason = self.logic.whyNotApply(parameters) or self.match.problem
        self.ui.applyButton.enabled = not reason and not self._isRunning
        self.ui.applyButton.toolTip = reason or _("Compare the slices.")
        settings = self.segments.settings()
        if settings != self._shownSettings and not self._isRunning:
            self._shownSettings = settings
            self._showSegments()
        self.check.follow()

    def shownVolume(self) -> Any:
        """The rest map whose results the slice views show."""
        chosen = self._shownVolume
        isThere = chosen is not None and slicer.mrmlScene.IsNodePresent(chosen)
        return chosen if isThere else self._parameterNode.restVolume

    def goTo(self, slot: Any) -> None:
        """Show a slice at rest in the views, and its volume's segments."""
        found = reactivitynodes.findNodes(slot.volume)
        if self._parameterNode is None or not found:
            return
        self._shownVolume = slot.volume
        self._parameterNode.mapVolume = found[reactivitynodes.DT1]
        self.check.follow()
        for node in (slot.volume, *found.values()):
            if node.IsA("vtkMRMLVolumeNode"):
                display.goToSlice(node, slot.index)

    def landmarksNode(self) -> Any:
        """The landmarks by which the map is divided: those of the rest map that it was made from; or None."""
        parameters = self._parameterNode
        if parameters is None or parameters.restVolume is None:
            return None
        made = parameters.mapVolume
        source = made.GetNodeReference(SOURCE_REFERENCE) if made is not None else None
        isOurs = made is not None and reactivitymeasurement.isReactivity(made)
        return landmarks.findLandmarks(source if isOurs and source is not None else parameters.restVolume)

    def _showSegments(self) -> None:
        self.followNodes()
        self.segments.fillMyocardium()
        self.segments.update()

    def _showLayers(self) -> None:
        """Tell the change in the inner and in the outer half of the wall."""
        self.ui.layersLabel.text = self.logic.layers(self.segments.found)

    def onApplyButton(self) -> None:
        """Compare the selected maps."""
        if self._isRunning or self._parameterNode is None:
            return
        with slicer.util.tryWithErrorDisplay(_("The maps could not be compared."), waitCursor=False):
            if not ensureTorch(TITLE):
                self.say(_("PyTorch is not installed, so the maps cannot be compared yet."))
                return
            parameters = self._parameterNode
            rest, stress = self.match.volumes()
            arguments = {
                "partners": self.match.partners(),
                "segmentationNode": parameters.segmentationNode,
                "myocardium": parameters.myocardium,
                "findMissing": parameters.findMissing,
                "device": parameters.device,
            }
            self._run(
                parameters.restVolume,
                lambda: self.logic.process(rest, stress, progress=self._onProgress, **arguments),
                self._showCompared,
            )
            if not self._isClosed and self._parameterNode is not None:
                self.match.fill()
                self._showSegments()

    def _showCompared(self, parameters: Any, compared: Any) -> None:
        """Show new results."""
        volume = parameters.restVolume if parameters.restVolume in compared.nodes else next(iter(compared.nodes))
        with slicer.util.NodeModify(parameters.parameterNode):
            parameters.mapVolume = compared.nodes[volume][reactivitynodes.DT1]
            if parameters.segmentationNode is None:
                parameters.segmentationNode = findSegmentation(parameters.restVolume)
        self.logic.divideOthers(parameters, compared)
        self._shownVolume = volume
        if self._parameterNode is not None:
            self.check.show()
        self.say(self.logic.summary(compared))


class CMRStressReactivityLogic(ScriptedLoadableModuleLogic):
    """What the panel does, usable without it."""

    def getParameterNode(self) -> Any:
        """The panel's parameter node, wrapped."""
        wrap: Any = CMRStressReactivityParameterNode  # whose constructor comes from its decorator
        return wrap(super().getParameterNode())

    def adoptInput(self, parameters: Any) -> None:
        """Choose what belongs to a newly chosen rest map, until something else is chosen."""
        rest = parameters.restVolume
        with slicer.util.NodeModify(parameters.parameterNode):
            parameters.adoptedVolume = rest
            parameters.partners = ""
            parameters.mapVolume = reactivitynodes.findNodes(rest).get(reactivitynodes.DT1)
            parameters.segmentationNode = None if rest is None else findSegmentation(rest)

    def whyNotApply(self, parameters: Any) -> str:
        """Why nothing can be compared with these parameters, in a sentence; empty when it can."""
        rest, stress = parameters.restVolume, parameters.stressVolume
        if rest is None:
            return _("Select the T1 map at rest.")
        if stress is None:
            return _("Select the T1 map under stress.")
        if rest is stress:
            return _("The same map is selected for rest and for stress; select that of the other state.")
        for volume in (rest, stress):
            if numberOfSlices(volume) == 0:
                return _("{name} holds no image; load the series again.").format(name=volume.GetName())
        low, middle, high = parameters.lowThreshold, parameters.middleThreshold, parameters.highThreshold
        if not low < middle < high:
            return _("The thresholds must rise; correct them.")
        return ""

    def process(self, restVolumes: Any, stressVolumes: Any, **arguments: Any) -> Any:
        """Bring stress maps onto rest maps, and put the change of T1 into nodes.

        See `CMRStressReactivityLib.scene.reactivityrun.compareVolumes` for arguments, result and errors.
        """
        from CMRStressReactivityLib.scene import reactivityrun

        started = time.perf_counter()
        compared = reactivityrun.compareVolumes(restVolumes, stressVolumes, **arguments)
        logging.info(f"{len(compared.nodes)} rest maps compared in {time.perf_counter() - started:.1f} s")
        return compared

    def divideOthers(self, parameters: Any, compared: Any) -> None:
        """Divide dT1 of the other slices of an examination, so that they are measured together with the shown one."""
        for nodes in compared.nodes.values():
            node = nodes[reactivitynodes.DT1]
            if node is not parameters.mapVolume:
                with contextlib.suppress(CMRError):  # told when it is shown
                    reactivitymeasurement.measureMap(
                        node, parameters.segmentationNode, parameters.myocardium, RULES[parameters.rule]
                    )

    def summary(self, compared: Any) -> str:
        """What was found, in a sentence for the user."""
        entries = [entry for volume in compared.nodes for entry in reactivitynodes.sliceEntries(volume)]
        flagged = sum(entry["flagged"] for entry in entries)
        text = _("{slices} slices compared, {flagged} of them to be looked at.").format(
            slices=len(entries), flagged=flagged
        )
        return " ".join([text, *compared.told])

    def layers(self, found: Any) -> str:
        """The change in the inner and the outer half of the wall over all segments, in a sentence; may be empty."""
        means = []
        for name in ("subendocardial", "subepicardial"):
            regions = [one for one in (getattr(segment.layers, name) for segment in found.values()) if one is not None]
            pixels = sum(one.pixels for one in regions)
            if not pixels:
                return ""
            means.append(sum(one.percent * one.pixels for one in regions) / pixels)
        inner, outer = means
        return _("Subendocardial {inner:.1f} %, subepicardial {outer:.1f} %; difference {difference:+.1f} %.").format(
            inner=inner, outer=outer, difference=outer - inner
        )


class CMRStressReactivityTest(ScriptedLoadableModuleTest):
    """Tests on drawn rings, inside Slicer."""

    def setUp(self) -> None:
        """Start every test with an empty scene and the change of a ring from 1200 ms to 1260 ms."""
        from CMRStressReactivityLib.comparison import SliceReactivity
        from CMRStressReactivityLib.judgement import Judgement
        from CMRStressReactivityLib.matching import SliceMatch
        from CMRStressReactivityLib.reactivity import reactivity_map
        from CMRStressReactivityLib.registration import Registration
        from CMRStressReactivityLib.volumes import volume_of

        slicer.mrmlScene.Clear()
        self.logic = CMRStressReactivityLogic()
        rows, columns = np.indices((80, 80)) - 39.5
        self.ring = np.abs(np.hypot(rows, columns) - 20) < 5
        rest = np.where(self.ring, 1200.0, 400.0).astype(np.float32)
        stress = np.where(self.ring, 1260.0, 400.0).astype(np.float32)
        self.volume = addVolume("Rest", rest[None], Geometry())
        one = SliceReactivity(
            SliceMatch(0, 0, 0.0, 0.0),
            stress,
            stress,
            Registration(np.zeros((2, 80, 80), np.float32), None, "cpu"),
            reactivity_map(rest, stress),
            Judgement(0.0, 0.0, 0.0, 0.0, None, None, ()),
        )
        found = volume_of({0: one}, (1, 80, 80), self.ring[None])
        self.nodes = reactivitynodes.storeReactivity(self.volume, rest[None], found, Geometry())

    def runTest(self) -> None:
        """Run all tests, as the button Reload and Test does."""
        for name in [name for name in dir(self) if name.startswith("test_")]:
            self.setUp()
            self.delayDisplay(name)
            getattr(self, name)()
        self.delayDisplay("Test passed")

    def test_changeInPercent(self) -> None:
        """T1 that rises by a twentieth is 5 %, and nothing changes elsewhere."""
        percent = volumeArray(self.nodes[reactivitynodes.DT1])[0]
        self.assertEqual(round(float(percent[self.ring].mean()), 3), 5.0)
        self.assertFalse(percent[~self.ring].any())
        inWall = volumeArray(self.nodes[reactivitynodes.DT1_MYOCARDIUM])[0]
        np.testing.assert_array_equal(np.isfinite(inWall), self.ring)

    def test_segmentsOfTheChange(self) -> None:
        """Points placed by hand divide the ring, and each segment has changed by 5 %."""
        node = landmarks.createByHand(self.volume)
        landmarks.placeByHand(node, self.volume, 0)
        measurement = segmentmeasurement.measureSegments(node, self.nodes[reactivitynodes.DT1], self.ring[None])
        self.assertEqual(measurement.problems, ())
        found = reactivitymeasurement.segmentsOf(self.nodes[reactivitynodes.DT1], measurement.labels, False)
        measured = [one.whole.percent for one in found.values() if one.whole is not None]
        self.assertEqual(len(measured), 6)
        np.testing.assert_allclose(measured, 5.0, atol=1e-3)
