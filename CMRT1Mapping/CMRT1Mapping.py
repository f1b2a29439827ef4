"""Panel and logic of the module CMR T1 Mapping; the method is in CMRT1MappingLib, the nodes are in CMRLib.scene."""

import logging
import math
import time
from typing import Annotated, Any, Union

import numpy as np
import qt
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
from CMRLib.errors import Cancelled, CMRError, InputError
from CMRLib.scene import acquisitions, display
from CMRLib.scene.dependencies import ensureTorch, isTorchInstalled
from CMRLib.scene.panel import Panel
from CMRLib.scene.tables import measureRegions
from CMRLib.scene.volumes import ijkToWorld
from CMRT1MappingLib.fit.curve import PixelCurve
from CMRT1MappingLib.scene import motion, motionoutcome, plots, t1maps, t1reconstruction
from CMRT1MappingLib.scene.t1texts import curveText, summaryOf

TITLE = "CMR T1 Mapping"
SCHEMES = ["ShMOLLI", "MOLLI", "Look-Locker"]

ACQUIRED = "acquired"
R2_MAP = "R2 map"

# What the slice views can show -> result of the reconstruction, part of the motion correction, or images as acquired.
SHOWN_MAPS = {
    "T1 map": "t1",
    R2_MAP: "r2",
    "T1 standard error": "t1_error",
    "Samples used": "samples",
    "Fit residual": "residual",
    "R2 before correction": motion.R2_BEFORE,
    "Displacement": motion.LENGTH,
    "Acquired images": ACQUIRED,
    "Corrected images": motion.IMAGES,
}

# Result of the reconstruction -> parameter that selects its node.
OUTPUTS = {
    "t1": "t1Map",
    "r2": "r2Map",
    "samples": "samplesMap",
    "residual": "residualMap",
    "t1_error": "t1ErrorMap",
    "flags": "flagsMap",
}


class CMRT1Mapping(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("CMR T1 Mapping")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Cardiac")]
        self.parent.dependencies = []
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
    scheme: Annotated[str, Choice(SCHEMES)] = "ShMOLLI"
    lastTest: Annotated[str, Choice(["scanner", "paper"])] = "scanner"
    correctMotion: bool = True
    device: Annotated[str, Choice(["auto", "cpu", "cuda", "mps"])] = "auto"
    colors: Annotated[str, Choice(list(display.T1_COLOR_TABLES))] = "1.5 T"
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


class CMRT1MappingWidget(Panel):
    """The panel."""

    title = TITLE
    sections = (
        "inputsCollapsibleButton",
        "optionsCollapsibleButton",
        "outputsCollapsibleButton",
        "motionCollapsibleButton",
    )

    def __init__(self, parent: Any = None) -> None:
        Panel.__init__(self, parent)
        self._crosshair: Any = None
        self._plotView: Any = None
        self._tableView: Any = None
        self._timesProblem = ""
        self._pixel: tuple[str, int, int] | None = None
        self._shownColors: tuple[Any, str] = (None, "")
        self._shownMap = ""
        self._shownDisplacement: tuple[Any, bool] = (None, False)

    def setup(self) -> None:
        """Called when the module is opened for the first time."""
        self.setupPanel("UI/CMRT1Mapping.ui", CMRT1MappingLogic())
        self.ui.inversionTimesTable.horizontalHeader().setSectionResizeMode(qt.QHeaderView.Stretch)
        self._tableView = slicer.qMRMLTableView()
        self._tableView.setMRMLScene(slicer.mrmlScene)
        self._tableView.minimumHeight = 120
        self.ui.statisticsWidget.layout().addWidget(self._tableView)
        self.ui.statisticsWidget.visible = False

        self.ui.compareButton.connect("clicked(bool)", self.onCompareButton)
        self.ui.undoButton.connect("clicked(bool)", self.onUndoButton)
        self.ui.measureButton.connect("clicked(bool)", self.onMeasureButton)
        self.ui.restoreTimesButton.connect("clicked(bool)", self.onRestoreTimesButton)
        self.ui.inversionTimesTable.connect("itemChanged(QTableWidgetItem*)", self.onTimeEdited)
        self.ui.showFlagsCheckBox.connect("toggled(bool)", self.onShowFlagsToggled)
        self.initializeParameterNode()

    def cleanup(self) -> None:
        """Called when the application closes and when the module is reloaded."""
        Panel.cleanup(self)
        if self._plotView is not None:
            self._plotView.setMRMLPlotViewNode(None)
        if self._tableView is not None:
            self._tableView.setMRMLTableNode(None)

    def _forgetScene(self) -> None:
        if self._plotView is not None:
            self._plotView.setMRMLPlotViewNode(None)
        self._tableView.setMRMLTableNode(None)
        self.ui.statisticsWidget.visible = False

    def _forgetShown(self) -> None:
        self._pixel = None
        self._shownColors = (None, "")
        self._shownMap = "" if self._parameterNode is None else self._parameterNode.shownMap
        self._shownDisplacement = (None, False)
        if self._parameterNode is None:
            self._observeCursor(False)

    def _showParameters(self) -> None:
        self._fillInversionTimes()
        self._showResult()
        self.onParameterNodeModified()

    def _showRunning(self) -> None:
        if self._parameterNode is not None:
            self._updateButtons()
            self._followDisplacement()

    def onParameterNodeModified(self, caller: Any = None, event: Any = None) -> None:
        """Bring the panel in line with what is selected."""
        parameters = self._parameterNode
        if parameters is None:
            return
        if parameters.inputNode is not parameters.adoptedNode:
            self.logic.adoptInput(parameters)
            self._fillInversionTimes()
            self._showResult()
        self._updateButtons()
        self._followColors()
        self._followDisplacement()
        if parameters.shownMap != self._shownMap:
            self._showMap(parameters)
        self._observeCursor(parameters.showCurve)
        self.ui.curvePlotWidget.visible = parameters.showCurve
        self.ui.curveLabel.visible = parameters.showCurve
        self._showTable(parameters.statisticsTable)

    def _updateButtons(self) -> None:
        reason = self._timesProblem or self.logic.whyNotApply(self._parameterNode)
        self.ui.applyButton.enabled = not reason and not self._isRunning
        self.ui.applyButton.toolTip = reason or _("Compute the T1 map and the maps that say how far to trust it.")
        node = self._parameterNode.inputNode
        isCorrected = self.logic.isCorrected(node)
        self.ui.showDisplacementCheckBox.enabled = self.ui.compareButton.enabled = isCorrected
        self.ui.undoButton.enabled = isCorrected and not self._isRunning
        self.ui.motionLabel.visible = not isCorrected
        self.ui.restoreTimesButton.enabled = node is not None and acquisitions.hasEnteredTimes(node)
        reason = self.logic.whyNotMeasure(self._parameterNode)
        self.ui.measureButton.enabled = not reason and not self._isRunning
        self.ui.measureButton.toolTip = reason or _(
            "Put mean, SD, median and range of T1 in each region into the table."
        )

    # Inversion times

    def _fillInversionTimes(self) -> None:
        """Show the inversion times of the input; cells stay empty where they are not known."""
        node = self._parameterNode.inputNode
        frames = 0 if node is None else acquisitions.numberOfFrames(node)
        times = None if node is None else acquisitions.inversionTimes(node)
        table = self.ui.inversionTimesTable
        wasBlocked = table.blockSignals(True)
        table.setColumnCount(frames)
        table.setRowCount(1)
        for frame in range(frames):
            table.setHorizontalHeaderItem(frame, qt.QTableWidgetItem(str(frame + 1)))
            table.setItem(0, frame, qt.QTableWidgetItem("" if times is None else f"{times[frame]:g}"))
        table.blockSignals(wasBlocked)
        self._readInversionTimes()

    def _readInversionTimes(self) -> list[float] | None:
        """The inversion times in the table, or None and a reason in ``_timesProblem``."""
        table = self.ui.inversionTimesTable
        self._timesProblem = ""
        times = []
        for frame in range(table.columnCount):
            text = table.item(0, frame).text().strip()
            time = _numberIn(text)
            if time is None:
                self._timesProblem = (
                    _("{text} is not an inversion time; enter milliseconds for image {image}.")
                    if text
                    else _("Enter the inversion time of image {image} in milliseconds.")
                ).format(text=text, image=frame + 1)
                return None
            times.append(time)
        return times

    def onTimeEdited(self, item: Any) -> None:
        """Keep inversion times that were typed in with the images."""
        if self._parameterNode is None or self._parameterNode.inputNode is None:
            return  # the cell was still being edited when the module was left or the scene closed
        times = self._readInversionTimes()
        if times is not None:
            acquisitions.setInversionTimes(self._parameterNode.inputNode, times)
        self._updateButtons()

    def onRestoreTimesButton(self) -> None:
        """Go back to the inversion times that the images came with."""
        if self._parameterNode.inputNode is not None:
            acquisitions.setInversionTimes(self._parameterNode.inputNode, None)
            self._fillInversionTimes()
            self._updateButtons()

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
            self._run(
                lambda: self.logic.process(
                    parameters.inputNode,
                    phaseNode=parameters.phaseNode,
                    scheme=parameters.scheme,
                    lastTest=parameters.lastTest,
                    device=parameters.device,
                    outputs={role: parameters.getValue(name) for role, name in OUTPUTS.items()},
                    colors=parameters.colors,
                    progress=self._onProgress,
                    correctMotion=parameters.correctMotion,
                ),
                lambda nodes: self._showMaps(parameters, nodes),
            )

    def onUndoButton(self) -> None:
        """Map the images as acquired, and remove the correction."""
        if self._isRunning:
            return
        parameters = self._parameterNode
        with slicer.util.tryWithErrorDisplay(_("The motion correction could not be undone."), waitCursor=False):
            self._run(
                lambda: self.logic.undoCorrection(parameters.inputNode, parameters.device, self._onProgress),
                lambda nodes: self._showMaps(parameters, nodes),
            )

    def _showMaps(self, parameters: CMRT1MappingParameterNode, nodes: dict[str, Any]) -> None:
        """Select new maps, and show the one that is chosen."""
        with slicer.util.NodeModify(parameters.parameterNode):
            for role, name in OUTPUTS.items():
                parameters.setValue(name, nodes[role])
        self._shownDisplacement = (None, False)
        self._showMap(parameters)
        self._pixel = None
        self.say(summaryOf(nodes))
        self.onShowFlagsToggled(parameters.showFlags)

    def _showResult(self) -> None:
        """Say what the maps are that the images already have."""
        if not self._isRunning:
            source = self._parameterNode.inputNode
            self.say("" if source is None else summaryOf(t1maps.findT1Maps(source)))

    def _showMap(self, parameters: CMRT1MappingParameterNode) -> None:
        """Show what was chosen in the slice views, if it is there."""
        self._shownMap = parameters.shownMap
        node = self.logic.nodeToShow(parameters)
        if node is not None:
            images = None
            if SHOWN_MAPS[self._shownMap] == motion.LENGTH:  # which shows no anatomy itself
                images = motion.shownNode(parameters.inputNode, motion.IMAGES)
            display.showInSliceViews(images or node, overlay=None if images is None else node)
            if SHOWN_MAPS[self._shownMap] in (ACQUIRED, motion.IMAGES):
                self._showBrowser()
        elif parameters.t1Map is not None:  # the views would go on showing something else
            self.say(_("{choice}: there is none, because motion was not corrected.").format(choice=self._shownMap))
            parameters.shownMap = next(iter(SHOWN_MAPS))

    def _showBrowser(self) -> None:
        """Let the images be browsed with Slicer's own tool bar."""
        browser = acquisitions.browserOf(self._parameterNode.inputNode)
        if browser is not None:
            slicer.modules.sequences.showSequenceBrowser(browser)

    def _followDisplacement(self) -> None:
        """Draw the displacement of the images that are selected once that is asked for; otherwise leave it as it is."""
        if self._isRunning:
            return
        wanted = (self._parameterNode.inputNode, self._parameterNode.showDisplacement)
        if wanted != self._shownDisplacement:
            self._shownDisplacement = wanted
            motion.showDisplacement(*wanted)
            if wanted[1] and self.ui.showDisplacementCheckBox.enabled:
                self._showBrowser()

    def onCompareButton(self) -> None:
        """Show R2 before and after the correction side by side."""
        parameters = self._parameterNode
        before = motion.shownNode(parameters.inputNode, motion.R2_BEFORE)
        if before is not None and parameters.r2Map is not None:
            parameters.shownMap = R2_MAP
            display.showSideBySide(before, parameters.r2Map)

    def _followColors(self) -> None:
        """Show the T1 map in the colors of another field strength once that is chosen; leave it as it is until then."""
        t1Map, colors = self._parameterNode.t1Map, self._parameterNode.colors
        if t1Map is not None and self._shownColors[0] is t1Map and self._shownColors[1] != colors:
            t1maps.setT1Colors(t1Map, colors)
        self._shownColors = (t1Map, colors)

    def onShowFlagsToggled(self, checked: bool) -> None:
        """Lay the flags over the slice views, or take them away."""
        flags = None if self._parameterNode is None else self._parameterNode.flagsMap
        if flags is not None:
            display.showLabels(flags, checked)

    # Curve under the cursor

    def _observeCursor(self, observe: bool) -> None:
        event = slicer.vtkMRMLCrosshairNode.CursorPositionModifiedEvent
        if self._crosshair is not None and self.hasObserver(self._crosshair, event, self.onCursorMoved):
            if observe:
                return
            self.removeObserver(self._crosshair, event, self.onCursorMoved)
        self._crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode") if observe else None
        if self._crosshair is not None:
            self.addObserver(self._crosshair, event, self.onCursorMoved)
            self.ui.curveLabel.text = _("Move the mouse over the image in a slice view.")

    def onCursorMoved(self, caller: Any, event: Any) -> None:
        """Draw the curve of the pixel under the cursor."""
        node = None if self._parameterNode is None else self._parameterNode.inputNode
        position = [0.0, 0.0, 0.0]
        if node is None or self._isRunning or not caller.GetCursorPositionRAS(position):
            return
        pixel = t1reconstruction.pixelAt(node, position)
        if pixel is None or (node.GetID(), *pixel) == self._pixel:
            return
        self._pixel = (node.GetID(), *pixel)
        try:
            parameters = self._parameterNode
            curve = t1reconstruction.pixelCurve(
                node, *pixel, parameters.phaseNode, parameters.scheme, parameters.lastTest
            )
        except CMRError as error:
            self.ui.curveLabel.text = str(error)
            return
        self._showCurve(curve)
        self.ui.curveLabel.text = curveText(curve, *pixel)

    def _showCurve(self, curve: PixelCurve) -> None:
        if self._plotView is None:
            self._plotView = slicer.qMRMLPlotView()
            self._plotView.setMRMLScene(slicer.mrmlScene)
            self.ui.curvePlotWidget.layout().addWidget(self._plotView)
        view = plots.curveViewNode(self._parameterNode.parameterNode)
        self._plotView.setMRMLPlotViewNode(view)
        view.SetPlotChartNodeID(plots.showCurve(curve).GetID())

    # Statistics

    def onMeasureButton(self) -> None:
        """Measure T1 in the selected regions."""
        with slicer.util.tryWithErrorDisplay(_("The regions could not be measured."), waitCursor=True):
            try:
                parameters = self._parameterNode
                table = measureRegions(parameters.t1Map, parameters.regionNode, parameters.statisticsTable)
            except CMRError as error:
                self.say(str(error))
                slicer.util.errorDisplay(str(error), windowTitle=TITLE)
            else:
                self._parameterNode.statisticsTable = table
                self._tableView.resizeColumnsToContents()
                self._showResult()  # in place of the reason why an earlier measurement failed

    def _showTable(self, table: Any) -> None:
        self.ui.statisticsWidget.visible = table is not None
        if self._tableView.mrmlTableNode() is not table:
            self._tableView.setMRMLTableNode(table)


class CMRT1MappingLogic(ScriptedLoadableModuleLogic):
    """What the panel does, usable without it."""

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)

    def getParameterNode(self) -> CMRT1MappingParameterNode:
        """The panel's parameter node, wrapped."""
        return CMRT1MappingParameterNode(super().getParameterNode())

    def adoptInput(self, parameters: CMRT1MappingParameterNode) -> None:
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
            if node is None:
                return
            schemes = {scheme.lower(): scheme for scheme in SCHEMES}
            parameters.scheme = schemes.get(node.GetAttribute(acquisitions.SCHEME) or "", parameters.scheme)
            parameters.colors = self._colorsOf(node, parameters.t1Map) or parameters.colors

    @staticmethod
    def _colorsOf(node: Any, t1Map: Any) -> str:
        """The field strength whose colors fit an input: those of its map, else of its own field; empty if unknown."""
        field = node.GetAttribute(acquisitions.FIELD_STRENGTH)
        if t1Map is not None:
            return t1maps.t1ColorsOf(t1Map)
        return display.t1ColorsForField(float(field)) if field else ""

    def whyNotApply(self, parameters: CMRT1MappingParameterNode) -> str:
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

    def whyNotMeasure(self, parameters: CMRT1MappingParameterNode) -> str:
        """Why T1 cannot be measured with these parameters, in a sentence; empty when it can."""
        if parameters.t1Map is None:
            return _("Compute a T1 map first, or select one under Outputs.")
        if parameters.regionNode is None:
            return _("Select a segmentation, an ROI or a closed curve.")
        return ""

    def process(self, inputNode: Any, **arguments: Any) -> dict[str, Any]:
        """Compute the T1 map of an acquisition and the maps that go with it.

        See `CMRT1MappingLib.scene.t1reconstruction.reconstructT1` for arguments, result and errors.
        """
        started = time.perf_counter()
        nodes = t1reconstruction.reconstructT1(inputNode, **arguments)
        device, scheme = (nodes["t1"].GetAttribute(name) for name in (provenance.DEVICE, acquisitions.SCHEME))
        logging.info(f"T1 maps ({scheme}) computed on {device} in {time.perf_counter() - started:.1f} s")
        return nodes

    def undoCorrection(self, inputNode: Any, device: str = "auto", progress: Any = None) -> dict[str, Any]:
        """Map the images as acquired; see `CMRT1MappingLib.scene.t1reconstruction.undoCorrection`."""
        nodes = t1reconstruction.undoCorrection(inputNode, device, progress)
        logging.info("Motion correction undone")
        return nodes

    def isCorrected(self, inputNode: Any) -> bool:
        """Whether the images have maps, or anything else, of a motion correction."""
        if inputNode is None:
            return False
        t1Map = t1maps.findT1Maps(inputNode).get("t1")
        return bool(motion.findCorrection(inputNode)) or (t1Map is not None and motionoutcome.isCorrected(t1Map))

    def nodeToShow(self, parameters: CMRT1MappingParameterNode) -> Any:
        """The volume that is chosen to be shown, or None where there is none."""
        role, source = SHOWN_MAPS[parameters.shownMap], parameters.inputNode
        if role in OUTPUTS:
            return parameters.getValue(OUTPUTS[role])
        if source is None:
            return None
        return acquisitions.shownVolume(source) if role == ACQUIRED else motion.shownNode(source, role)


def _numberIn(text: str) -> float | None:
    """The finite number that was typed, with a decimal point or comma; None if it is none."""
    try:
        number = float(text.replace(",", "."))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


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

    def test_applyAgainUpdatesTheSameNodes(self) -> None:
        """A second run on the same source makes no further nodes."""
        source, _myocardium = self._simulated()
        first = self.logic.process(source, device="cpu", correctMotion=False)
        count = slicer.mrmlScene.GetNumberOfNodes()
        second = self.logic.process(source, scheme="MOLLI", device="cpu", correctMotion=False)
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), count)
        self.assertTrue(all(second[role] is first[role] for role in first))

    def test_cancelChangesNothing(self) -> None:
        """What the progress callback raises ends the run before any node is made."""

        def cancel(fraction: float) -> None:
            raise Cancelled("Cancelled by the test.")

        source, _myocardium = self._simulated()
        count = slicer.mrmlScene.GetNumberOfNodes()
        with self.assertRaises(Cancelled):
            self.logic.process(source, device="cpu", progress=cancel)
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), count)

    def test_badInputIsASentence(self) -> None:
        """Six inversion times for seven images are refused with the remedy."""
        source, _myocardium = self._simulated()
        with self.assertRaisesRegex(InputError, "7 images but 6 inversion times"):
            self.logic.process(source, inversionTimesMs=(100, 200, 300, 400, 500, 600), device="cpu")

    def test_statisticsOfASegment(self) -> None:
        """The statistics of a segment are those of the pixels under it."""
        source, myocardium = self._simulated()
        t1 = self.logic.process(source, device="cpu", correctMotion=False)["t1"]
        segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Segmentation")
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(t1)
        segment = segmentation.GetSegmentation().AddEmptySegment("", "Myocardium")
        slicer.util.updateSegmentBinaryLabelmapFromArray(myocardium[None].astype(np.uint8), segmentation, segment, t1)
        table = measureRegions(t1, segmentation).GetTable()
        values = slicer.util.arrayFromVolume(t1)[0][myocardium]
        self.assertAlmostEqual(table.GetValueByName(0, "Mean [ms]").ToDouble(), float(values.mean()), delta=0.1)
        self.assertEqual(table.GetValueByName(0, "Pixels").ToInt(), values.size)

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

        study = simulate_study(seed=1, slices=("mid",), snr=60.0, motion={"mid": severity})
        acquisition = study.acquisitions[0]
        node = acquisitions.createAcquisition(
            "Simulated rest mid",
            acquisition.images,
            acquisition.inversion_times_ms,
            acquisition.geometry,
            acquisition.phase,
            {acquisitions.SCHEME: acquisition.scheme, acquisitions.STATE: "rest", acquisitions.SLICE: "mid"},
        )
        return node, acquisition.truth.myocardium > 0.99
