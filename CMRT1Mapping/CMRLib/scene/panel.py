"""What every module's panel does alike: it lives with the scene, and runs computations that can be cancelled."""

from collections.abc import Callable, Mapping
from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin

from CMRLib.errors import Cancelled, CMRError
from CMRLib.scene.outputs import foreignOutputs
from CMRLib.scene.part import Part


class Panel(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Base of the modules' widgets.

    A widget calls `setupPanel` and then `initializeParameterNode` in its ``setup``, has ``onApplyButton``
    and ``onParameterNodeModified``, and overrides the methods that are empty here. Its ``.ui`` file has an apply and a
    cancel button, a progress bar in a widget of its own, and a status label.
    """

    title = ""  # of error messages
    inputName = "inputNode"  # the parameter that selects what is computed from
    sections: tuple[str, ...] = ()  # parts of the panel that are locked while it computes

    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic: Any = None
        self._parameterNode: Any = None
        self._parameterNodeGuiTag: Any = None
        self._leaving: dict[str, tuple[Any, list[str]]] = {}  # id of a node -> parameters that hold it, and their names
        self._isRunning = False
        self._cancelRequested = False
        self._isClosed = False
        self._parts: list[Part] = []
        self._watched: list[tuple[Any, Any, Callable[..., None]]] = []

    def setupPanel(self, uiFile: str, logic: Any) -> None:
        """Build the panel from its ``.ui`` file, and follow the scene."""
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath(uiFile))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = logic
        self.ui.progressWidget.visible = False

        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneEndImport)
        self.addObserver(scene, scene.NodeAboutToBeRemovedEvent, self.onSelectedNodeAboutToBeRemoved)
        self.addObserver(scene, scene.NodeRemovedEvent, self.onSelectedNodeRemoved)
        self.ui.applyButton.connect("clicked(bool)", self.onApplyButton)
        self.ui.cancelButton.connect("clicked(bool)", self.onCancelButton)

    @property
    def parameterNode(self) -> Any:
        """What the panel is set to, or None while it is not open or the scene is closed."""
        return self._parameterNode

    @property
    def isRunning(self) -> bool:
        """Whether something is being computed."""
        return self._isRunning

    @property
    def isClosed(self) -> bool:
        """Whether the application closes or the module is reloaded: the panel's widgets are gone."""
        return self._isClosed

    def addPart(self, part: Part) -> None:
        """Called by a part when it is built: its widgets become those of the panel."""
        self._parts.append(part)
        vars(self.ui).update(vars(part.ui))

    def onApplyButton(self) -> None:
        """Compute what the module is for."""
        raise NotImplementedError

    def onParameterNodeModified(self, caller: Any = None, event: Any = None) -> None:
        """Bring the panel in line with what is selected."""
        raise NotImplementedError

    def _forgetScene(self) -> None:
        """Called before the scene is closed: let go of its nodes."""

    def _forgetShown(self) -> None:
        """Called after another parameter node, or none, was set: what is shown was that of the one before."""

    def _wanted(self) -> list[tuple[Any, Any, Callable[..., None]]]:
        """What the panel follows in the scene besides what its parts do: (node, event, method)."""
        return []

    def _showParameters(self) -> None:
        """Called after a parameter node was set: show all that belongs to it."""
        self.onParameterNodeModified()

    def _showRunning(self) -> None:
        """Called when a computation starts and when it ends."""

    # The scene

    def cleanup(self) -> None:
        """Called when the application closes and when the module is reloaded."""
        self._isClosed = True
        self._cancelRequested = True
        self.setParameterNode(None)
        self.removeObservers()

    def enter(self) -> None:
        """Called each time the user opens this module."""
        self.initializeParameterNode()

    def exit(self) -> None:
        """Called each time the user opens a different module."""
        self.setParameterNode(None)

    def onSceneStartClose(self, caller: Any, event: Any) -> None:
        """Called just before the scene is closed: a run stops, and nothing of this scene is used any more."""
        self._cancelRequested = True
        self.setParameterNode(None)
        self._forgetScene()
        self.ui.statusLabel.text = ""

    def onSceneEndClose(self, caller: Any, event: Any) -> None:
        """Called just after the scene is closed."""
        if self.parent.isEntered:
            self.initializeParameterNode()

    def onSceneEndImport(self, caller: Any, event: Any) -> None:
        """Called after a scene was loaded: the panel shows what was saved with it."""
        if self.parent.isEntered:
            self.initializeParameterNode()

    def initializeParameterNode(self) -> None:
        """Make sure that the parameter node exists and is observed."""
        self.setParameterNode(self.logic.getParameterNode())

    def setParameterNode(self, parameterNode: Any) -> None:
        """Tie the panel to a parameter node, or to none."""
        if self._parameterNode is not None:
            self._parameterNode.disconnectGui(self._parameterNodeGuiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParametersModified)
        self._parameterNode = parameterNode
        self._forgetShown()
        for part in self._parts:
            part.forgetShown()
        if parameterNode is None:
            self.followNodes()
        if self._parameterNode is not None:
            self._parameterNodeGuiTag = self._parameterNode.connectParametersToGui(self._parameterWidgets())
            self.addObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParametersModified)
            self._showParameters()

    def _onParametersModified(self, caller: Any, event: Any) -> None:
        if not self._leaving:
            self.onParameterNodeModified(caller, event)

    def _parameterWidgets(self) -> dict[str, Any]:
        """Parameter -> its widget, as ``connectGui`` finds them; Slicer 5.10 does not return that one's tag."""
        named = {widget.property("SlicerParameterName"): widget for widget in vars(self.ui).values()}
        return {name: widget for name, widget in named.items() if name}

    def followNodes(self) -> None:
        """Follow what the panel and its parts want to follow now, and nothing else."""
        wanted: list[tuple[Any, Any, Callable[..., None]]] = []
        if self._parameterNode is not None:
            wanted = [*self._wanted(), *(watched for part in self._parts for watched in part.watched())]
        if wanted == self._watched:
            return
        for caller, event, method in self._watched:
            self.removeObserver(caller, event, method)
        self._watched = wanted
        for caller, event, method in wanted:
            self.addObserver(caller, event, method)

    # Selected nodes that are removed

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onSelectedNodeAboutToBeRemoved(self, caller: Any, event: Any, node: Any) -> None:
        """Called before a node is removed: note which parameters hold it.

        A selector whose node is removed goes on to a neighbour, and its parameter follows, which nobody has chosen. The
        selectors' own model learns of the removal after this, because its observer has a lower priority.
        """
        parameters = self._parameterNode
        names = [] if parameters is None else [n for n in self._parameterWidgets() if parameters.getValue(n) is node]
        if names:
            self._leaving[node.GetID()] = parameters, names

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onSelectedNodeRemoved(self, caller: Any, event: Any, node: Any) -> None:
        """Called after a node was removed: what held it holds none. Other nodes may have been removed in between."""
        parameters, names = self._leaving.get(node.GetID(), (None, []))
        if not names:
            return
        with slicer.util.NodeModify(parameters.parameterNode):
            for name in names:
                parameters.setValue(name, None)
        del self._leaving[node.GetID()]
        if parameters is self._parameterNode:
            self._onParametersModified(caller, event)

    # Computations

    def mayOverwrite(self, source: Any, outputs: Mapping[str, Any], names: Mapping[str, str]) -> tuple[Any, ...] | None:
        """The outputs that hold data of another role or source, if the user gives these data up; None if not.

        Args:
            source: the node that the results will be made from.
            outputs: role -> node that was chosen for it, or None.
            names: role -> what the user reads.
        """
        foreign = foreignOutputs(source, outputs)
        if not foreign:
            return ()
        text = _("These nodes hold other data, which would be overwritten:")
        lines = [f"{node.GetName()} ({names[role]})" for role, node in foreign.items()]
        if slicer.util.confirmOkCancelDisplay("\n".join([text, *lines]), windowTitle=self.title):
            return tuple(foreign.values())
        self.say(_("Nothing was changed; choose another node for the result, or none to have it created."))
        return None

    def compute(
        self, inputName: str, compute: Callable[[Callable[[float], None]], Any], show: Callable[[Any, Any], None]
    ) -> None:
        """Compute something for a part of the panel; see `_run`.

        Args:
            inputName: the parameter that selects what is computed from; "" for what depends on none of them.
            compute: given what is to be called with the fraction done, puts the results into nodes and returns them.
            show: see `_run`.
        """
        source = self._parameterNode.getValue(inputName) if inputName else None
        self._run(source, lambda: compute(self._onProgress), show, inputName)

    def _run(
        self, source: Any, compute: Callable[[], Any], show: Callable[[Any, Any], None], inputName: str = ""
    ) -> None:
        """Compute, and show the result; say why there is none if it is cancelled or cannot be computed.

        Args:
            source: the node that is computed from; None for what does not depend on the panel's input.
            compute: puts the results into nodes and returns them.
            show: called with the panel's parameters and the result, if ``source`` is still the input. The module may
                have been left, so that the panel is tied to no parameters, or another scene may have been loaded.
            inputName: the parameter that selects the source, where it is not the panel's input.
        """
        self._setRunning(True)
        try:
            result = compute()
        except Cancelled:
            self.say(_("Cancelled; nothing was changed."))
        except CMRError as error:
            self.say(str(error))
            slicer.util.errorDisplay(str(error), windowTitle=self.title)
        else:
            parameters = self._parameterNode or self.logic.getParameterNode()
            if source is None or parameters.getValue(inputName or self.inputName) is source:
                show(parameters, result)
            else:
                self.say(_("Computed for {name}, which is not selected any more.").format(name=source.GetName()))
        finally:
            self._setRunning(False)

    def _setRunning(self, running: bool) -> None:
        self._isRunning = running
        if self._isClosed:
            return
        self._cancelRequested = False
        self.ui.progressWidget.visible = running
        self.ui.progressBar.value = 0
        for name in self.sections:
            getattr(self.ui, name).enabled = not running
        self._showRunning()
        for part in self._parts:
            part.runningChanged()
        if running:
            self.say(_("Computing..."))
            slicer.app.processEvents()

    def _onProgress(self, fraction: float) -> None:
        if not self._isClosed:
            self.ui.progressBar.value = round(100 * fraction)
        slicer.app.processEvents()
        if self._cancelRequested:
            raise Cancelled("Cancelled by the user.")

    def onCancelButton(self) -> None:
        """Stop the run at its next step."""
        self._cancelRequested = True

    def say(self, text: str) -> None:
        """Show a text in the status label."""
        if not self._isClosed:
            self.ui.statusLabel.text = text
