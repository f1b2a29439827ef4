"""Panel and logic of the module CMR T1 Mapping; the method is in CMRT1MappingLib, the nodes are in CMRLib.scene."""

import logging
import time
from typing import Annotated, Any, Union

import numpy as np
import slicer
from slicer import (
    vtkMRMLLabelMapVolumeNode,
    vtkMRMLMarkupsClosedCurveNode,
    vtkMRMLMarkupsROINode,
    vtkMRMLScalarVolumeNode,
    vtkMRMLSegmentationNode,
    vtkMRMLSequenceNode,
    vtkMRMLTableNode,
)
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import Choice, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
)

from CMRLib import provenance
from CMRLib.errors import InputError
from CMRLib.files.color_tables import T1_COLOR_TABLES
from CMRLib.scene import acquisitions
from CMRLib.scene.dependencies import ensureTorch, isTorchInstalled
from CMRLib.scene.panel import Panel
from CMRLib.scene.sampledata import registerSampleData
from CMRLib.scene.studysection import StudySection
from CMRLib.scene.tables import findStatistics
from CMRLib.scene.volumes import ijkToWorld
from CMRLib.study.schemes import SHMOLLI
from CMRLib.study.schemes import TITLES as SCHEME_TITLES
from CMRT1MappingLib.scene import motion, motionoutcome, t1maps, t1reconstruction
from CMRT1MappingLib.scene.curveprobe import CurveProbe
from CMRT1MappingLib.scene.ecvsection import EcvSection
from CMRT1MappingLib.scene.regionstatistics import RegionStatistics
from CMRT1MappingLib.scene.shownmap import OUTPUTS, SHOWN_MAPS, ShownMap
from CMRT1MappingLib.scene.studychoices import choicesOf
from CMRT1MappingLib.scene.t1texts import summaryOf
from CMRT1MappingLib.scene.timestable import TimesTable

TITLE = "CMR T1 Mapping"


class CMRT1Mapping(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        slicer.app.connect("startupCompleted()", registerSampleData)
        self.parent.title = _("CMR T1 Mapping")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Cardiac")]
        self.parent.contributors = ["CMRMapping contributors"]
        self.parent.helpText = _(
            "<p>Computes T1 maps of the heart from inversion-recovery images (ShMOLLI, MOLLI, Look-Locker), together "
            "with the quality of fit (R²), the standard error of T1, and a mark on every pixel that is not to be "
            "trusted. Motion of the heart between the images is corrected first by a neural network, MOCOnet; where "
            "that does not clearly raise R² in the heart, the images are fitted as acquired.</p>"
            "<p>Load the images with the DICOM module, select them below and click Apply. Then move the mouse over "
            "the map to see the samples and the fitted curve of a pixel. The corrected images, the displacement and R² "
            "before the correction can be shown, and the correction can be undone.</p>"
            "<p><b>For research only.</b> Not a medical device: not for diagnosis or treatment.</p>"
        )
        self.parent.acknowledgementText = _(
            "<p>Please cite what you use. ShMOLLI: Piechnik et al., J Cardiovasc Magn Reson 2010; 12:69. "
            "MOLLI: Messroghli et al., Magn Reson Med 2004; 52:141-146. "
            "T1 from the apparent T1*: Deichmann and Haase, J Magn Reson 1992; 96:608-612. "
            "Variable projection: Golub and Pereyra, SIAM J Numer Anal 1973; 10:413-432. "
            "Motion correction: Gonzales et al., MOCOnet: robust motion correction of cardiovascular magnetic "
            "resonance T1 mapping using convolutional neural networks, Front Cardiovasc Med 2021; 8:768245.</p>"
            "<p>ShMOLLI is the subject of US patent application 2012/0078084.</p>"
        )


@parameterNodeWrapper
class CMRT1MappingParameterNode:
    """What the panel is set to; saved with the scene.

    ``adoptedNode`` is the input whose own phase, scheme and results the panel has taken over, so that choices made
    since then are not overwritten.
    """

    inputNode: Union[vtkMRMLSequenceNode, vtkMRMLScalarVolumeNode, None]  # noqa: UP007
    adoptedNode: Union[vtkMRMLSequenceNode, vtkMRMLScalarVolumeNode, None]  # noqa: UP007
    phaseNode: Union[vtkMRMLSequenceNode, vtkMRMLScalarVolumeNode, None]  # noqa: UP007
    scheme: Annotated[str, Choice(list(SCHEME_TITLES.values()))] = SCHEME_TITLES[SHMOLLI]
    lastTest: Annotated[str, Choice(["scanner", "paper"])] = "scanner"
    correctMotion: bool = True
    device: Annotated[str, Choice(["auto", "cpu", "cuda", "mps"])] = "auto"
    colors: Annotated[str, Choice(list(T1_COLOR_TABLES))] = "1.5 T"
    t1Map: vtkMRMLScalarVolumeNode
    r2Map: vtkMRMLScalarVolumeNode
    samplesMap: vtkMRMLScalarVolumeNode
    residualMap: vtkMRMLScalarVolumeNode
    t1ErrorMap: vtkMRMLScalarVolumeNode
    flagsMap: vtkMRMLLabelMapVolumeNode
    shownMap: Annotated[str, Choice(list(SHOWN_MAPS))] = "T1 map"
    showFlags: bool = False
    showDisplacement: bool = False
    showCurve: bool = False
    regionNode: Union[vtkMRMLSegmentationNode, vtkMRMLMarkupsROINode, vtkMRMLMarkupsClosedCurveNode, None]  # noqa: UP007
    statisticsTable: vtkMRMLTableNode
    ecvNativeMap: vtkMRMLScalarVolumeNode
    ecvPostMap: vtkMRMLScalarVolumeNode
    ecvSegmentation: vtkMRMLSegmentationNode
    hematocrit: str
    syntheticHematocrit: bool = False


class CMRT1MappingWidget(Panel):
    """The panel."""

    title = TITLE
    sections = (
        "studyCollapsibleButton",
        "inputsCollapsibleButton",
        "optionsCollapsibleButton",
        "outputsCollapsibleButton",
        "motionCollapsibleButton",
        "ecvCollapsibleButton",
    )

    def __init__(self, parent: Any = None) -> None:
        Panel.__init__(self, parent)
        self.times: Any = None
        self.curve: Any = None
        self.shown: Any = None
        self.statistics: Any = None
        self.ecv: Any = None

    def setup(self) -> None:
        """Called when the module is opened for the first time."""
        self.setupPanel("UI/CMRT1Mapping.ui", CMRT1MappingLogic())
        self.times, self.curve, self.shown = TimesTable(self), CurveProbe(self), ShownMap(self)
        self.statistics, self.ecv = RegionStatistics(self), EcvSection(self, self.ui.ecvCollapsibleButton)
        StudySection(self, self.ui.studyCollapsibleButton, choicesOf)
        self.ui.undoButton.connect("clicked(bool)", self.onUndoButton)
        self.initializeParameterNode()

    def cleanup(self) -> None:
        """Called when the application closes and when the module is reloaded."""
        Panel.cleanup(self)
        if self.curve is not None:
            self.curve.forgetScene()
        if self.statistics is not None:
            self.statistics.show(None)

    def _forgetScene(self) -> None:
        self.curve.forgetScene()
        self.statistics.show(None)

    def _forgetShown(self) -> None:
        if self.shown is None:  # closed before it was built
            return
        self.shown.forget()
        self.curve.forgetPixel()
        if self._parameterNode is None:
            self.curve.follow(False)

    def _showParameters(self) -> None:
        self.times.fill()
        self.showResult()
        self.onParameterNodeModified()

    def _showRunning(self) -> None:
        if self._parameterNode is not None:
            self.updateButtons()
            self.shown.followDisplacement()

    def onParameterNodeModified(self, caller: Any = None, event: Any = None) -> None:
        """Bring the panel in line with what is selected."""
        parameters = self._parameterNode
        if parameters is None:
            return
        if parameters.inputNode is not parameters.adoptedNode:
            self.logic.adoptInput(parameters)
            self.times.fill()
            self.showResult()
        self.updateButtons()
        self.shown.follow()
        self.curve.follow(parameters.showCurve)
        self.statistics.show(parameters.statisticsTable)

    def updateButtons(self) -> None:
        """Enable what can be done with what is selected, and say why the rest cannot."""
        reason = self.times.problem or self.logic.whyNotApply(self._parameterNode)
        self.ui.applyButton.enabled = not reason and not self._isRunning
        self.ui.applyButton.toolTip = reason or _("Compute the T1 map and the maps that say how far to trust it.")
        node = self._parameterNode.inputNode
        isCorrected = motion.isCorrected(node)
        self.ui.showDisplacementCheckBox.enabled = self.ui.compareButton.enabled = isCorrected
        self.ui.undoButton.enabled = isCorrected and not self._isRunning
        self.ui.motionLabel.visible = not isCorrected
        self.ui.restoreTimesButton.enabled = node is not None and acquisitions.hasEnteredTimes(node)
        self.statistics.updateButton()
        self.ecv.follow()

    # Reconstruction

    def onApplyButton(self) -> None:
        """Compute the maps of the selected images."""
        if self._isRunning:
            return
        parameters = self._parameterNode
        with slicer.util.tryWithErrorDisplay(_("The T1 map could not be computed."), waitCursor=False):
            if not ensureTorch(TITLE, networks=parameters.correctMotion):
                self.ui.statusLabel.text = _("PyTorch is not installed, so there is no T1 map yet.")
                return
            source = parameters.inputNode
            outputs = {role: parameters.getValue(name) for role, name in OUTPUTS.items()}
            mayOverwrite = self.mayOverwrite(source, outputs, t1maps.MAP_NAMES)
            if mayOverwrite is None:
                return
            names = ("phaseNode", "scheme", "lastTest", "device", "colors", "correctMotion")
            settings = {name: parameters.getValue(name) for name in names}
            settings |= {"outputs": outputs, "mayOverwrite": mayOverwrite, "progress": self._onProgress}
            self._run(source, lambda: self.logic.process(source, **settings), self._showMaps)

    def onUndoButton(self) -> None:
        """Map the images as acquired, and remove the correction."""
        if self._isRunning:
            return
        source, device = self._parameterNode.inputNode, self._parameterNode.device
        with slicer.util.tryWithErrorDisplay(_("The motion correction could not be undone."), waitCursor=False):
            self._run(source, lambda: self.logic.undoCorrection(source, device, self._onProgress), self._showMaps)

    def _showMaps(self, parameters: Any, nodes: dict[str, Any]) -> None:
        """Select new maps, and show the one that is chosen; the panel may have been left meanwhile."""
        with slicer.util.NodeModify(parameters.parameterNode):
            for role, name in OUTPUTS.items():
                parameters.setValue(name, nodes[role])
        if self._parameterNode is not None:
            self.curve.forgetPixel()
            self.shown.showNew()
        self.say(summaryOf(nodes))

    def showResult(self) -> None:
        """Say what the maps are that the images already have."""
        if not self._isRunning:
            source = self._parameterNode.inputNode
            self.say("" if source is None else summaryOf(t1maps.findT1Maps(source)))


class CMRT1MappingLogic(ScriptedLoadableModuleLogic):
    """What the panel does, usable without it."""

    def getParameterNode(self) -> Any:
        """The panel's parameter node, wrapped."""
        wrap: Any = CMRT1MappingParameterNode  # whose constructor comes from its decorator
        return wrap(super().getParameterNode())

    def adoptInput(self, parameters: Any) -> None:
        """Select what belongs to a newly chosen input: its phase, scheme and colors, and the results that it has."""
        chosen = parameters.inputNode
        # A sequence and the volume that shows its current image have the same name; either stands for the acquisition,
        # and so do the images that its correction has made.
        node = None if chosen is None else motion.sourceOf(chosen)
        found = {} if node is None else t1maps.findT1Maps(node)
        with slicer.util.NodeModify(parameters.parameterNode):
            parameters.inputNode = node
            parameters.adoptedNode = node
            parameters.phaseNode = None if node is None else acquisitions.phaseOf(node)
            for role, name in OUTPUTS.items():
                parameters.setValue(name, found.get(role))
            parameters.statisticsTable = findStatistics(parameters.t1Map)
            if node is None:
                return
            parameters.scheme = SCHEME_TITLES.get(node.GetAttribute(acquisitions.SCHEME) or "", parameters.scheme)
            parameters.colors = t1maps.colorsOf(node, parameters.t1Map) or parameters.colors

    def whyNotApply(self, parameters: Any) -> str:
        """Why the maps cannot be computed with these parameters, in a sentence; empty when they can."""
        node = parameters.inputNode
        if node is None:
            return _("Select the inversion-recovery images.")
        try:
            outputs = {role: parameters.getValue(name) for role, name in OUTPUTS.items()}
            t1reconstruction.checkInput(node, parameters.phaseNode, parameters.scheme, outputs)
        except InputError as error:
            return str(error)
        return ""

    def process(self, inputNode: Any, **arguments: Any) -> dict[str, Any]:
        """Compute the T1 map of an acquisition and the maps that go with it.

        See `CMRT1MappingLib.scene.t1reconstruction.reconstructT1` for arguments, result and errors.
        """
        started = time.perf_counter()
        nodes = t1reconstruction.reconstructT1(inputNode, **arguments)
        device, seconds = nodes["t1"].GetAttribute(provenance.DEVICE), time.perf_counter() - started
        logging.info(f"T1 maps computed on {device} in {seconds:.1f} s")
        return nodes

    def undoCorrection(self, inputNode: Any, device: str = "auto", progress: Any = None) -> dict[str, Any]:
        """Map the images as acquired; see `CMRT1MappingLib.scene.t1reconstruction.undoCorrection`."""
        nodes = t1reconstruction.undoCorrection(inputNode, device, progress)
        logging.info("Motion correction undone")
        return nodes


class CMRT1MappingTest(ScriptedLoadableModuleTest):
    """Tests on a simulated acquisition, inside Slicer; they need PyTorch and are skipped without it."""

    MYOCARDIUM_MS = 962.0  # ShMOLLI at 1.5 T in health, J Cardiovasc Magn Reson 2013; 15:13

    def setUp(self) -> None:
        """Start every test with an empty scene."""
        if not isTorchInstalled():
            self.skipTest("PyTorch is not installed; install it with the PyTorch extension")
        slicer.mrmlScene.Clear()
        self.logic = CMRT1MappingLogic()

    def runTest(self) -> None:
        """Run all tests, as the button Reload and Test does."""
        for name in [name for name in dir(self) if name.startswith("test_")]:
            self.setUp()
            self.delayDisplay(name)
            getattr(self, name)()
        self.delayDisplay("Test passed")

    def test_mapsOfASimulatedAcquisition(self) -> None:
        """Maps, their geometry, display and provenance."""
        source, myocardium = self._simulated()
        phase = acquisitions.phaseOf(source)
        nodes = self.logic.process(source, phaseNode=phase, device="cpu", correctMotion=False)
        t1 = slicer.util.arrayFromVolume(nodes["t1"])[0]
        self.assertLess(abs(float(np.median(t1[myocardium])) - self.MYOCARDIUM_MS), 40.0)
        self.assertGreater(float(np.median(slicer.util.arrayFromVolume(nodes["r2"])[0][myocardium])), 0.98)
        self.assertTrue(np.isin(slicer.util.arrayFromVolume(nodes["samples"]), (0, 5, 6, 7)).all())
        for role, node in nodes.items():
            self.assertEqual(node.GetAttribute(provenance.ROLE), role)
            self.assertIs(node.GetNodeReference(provenance.SOURCE), source)
        self.assertEqual(nodes["t1"].GetVoxelValueUnits().GetCodeValue(), "ms")
        legend = slicer.modules.colors.logic().GetColorLegendDisplayNode(nodes["t1"])
        self.assertEqual(legend.GetTitleText(), "T1 [ms]")

    def test_motionIsCorrectedAndUndone(self) -> None:
        """The network raises R2 and brings T1 nearer to the truth; undoing it maps the images as acquired."""
        source, myocardium = self._simulated("moderate")
        before = self._t1AndR2(self.logic.process(source, device="cpu", correctMotion=False), myocardium)
        nodes = self.logic.process(source, device="cpu")
        self.assertTrue(motionoutcome.isCorrected(nodes["t1"]))
        after = self._t1AndR2(nodes, myocardium)
        self.assertGreater(after[1].mean(), before[1].mean() + 0.01)
        errors = [float(np.abs(t1 - np.median(after[0])).mean()) for t1 in (before[0], after[0])]
        self.assertLess(errors[1], 0.7 * errors[0])
        undone = self._t1AndR2(self.logic.undoCorrection(source, "cpu"), myocardium)
        self.assertTrue(np.array_equal(undone, before))
        self.assertEqual(motion.findCorrection(source), {})

    def test_panel(self) -> None:
        """Choosing the images and clicking Apply fills the outputs; hovering describes the pixel."""
        source, myocardium = self._simulated()
        panel = slicer.util.getModuleWidget("CMRT1Mapping")
        panel.enter()
        panel.ui.inputSelector.setCurrentNode(source)
        self.assertIs(panel.ui.phaseSelector.currentNode(), acquisitions.phaseOf(source))
        self.assertTrue(panel.ui.applyButton.enabled, panel.ui.applyButton.toolTip)
        panel.ui.correctMotionCheckBox.checked = False
        panel.ui.applyButton.click()
        t1 = panel.ui.t1MapSelector.currentNode()
        self.assertIsNotNone(t1)
        panel.ui.showCurveCheckBox.checked = True
        row, column = np.argwhere(myocardium)[0]
        crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
        crosshair.SetCursorPositionRAS(ijkToWorld(t1, np.array([[column, row, 0]]))[0])
        value = slicer.util.arrayFromVolume(t1)[0, row, column]
        self.assertIn(f"T1 {value:.0f}", panel.ui.curveLabel.text)
        panel.ui.showCurveCheckBox.checked = False

    @staticmethod
    def _t1AndR2(nodes: Any, mask: np.ndarray) -> np.ndarray:
        """T1 and R2 in a mask, axes (map, pixel)."""
        return np.stack([slicer.util.arrayFromVolume(nodes[role])[0][mask] for role in ("t1", "r2")])

    def _simulated(self, severity: str = "none") -> tuple[Any, np.ndarray]:
        """A simulated short-axis ShMOLLI acquisition in the scene, and the mask of its myocardium.

        Args:
            severity: of the motion, see ``CMRLib.simulation.motion``.
        """
        from CMRLib.simulation import simulate_study  # takes a second, which Slicer's start need not wait for

        (acquisition,) = simulate_study(seed=1, slices=("mid",), snr=60.0, motion={"mid": severity}).acquisitions
        node = acquisitions.createAcquisition(
            "Simulated rest mid",
            acquisition.images,
            acquisition.inversion_times_ms,
            acquisition.geometry,
            acquisition.phase,
            {acquisitions.SCHEME: acquisition.scheme, acquisitions.STATE: "rest", acquisitions.SLICE: "mid"},
        )
        return node, acquisition.truth.myocardium > 0.99
