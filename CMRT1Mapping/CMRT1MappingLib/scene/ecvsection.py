"""The section of the panel for the extracellular volume: two T1 maps, a segmentation and a haematocrit."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from CMRLib.errors import InputError
from CMRLib.scene import display
from CMRLib.scene.part import Part
from CMRT1MappingLib.scene import ecvmapping, ecvmaps

_ANY_HEMATOCRIT = 0.4


class EcvSection(Part):
    """Computes and shows ECV.

    The panel's parameter node has the parameters ``ecvNativeMap``, ``ecvPostMap``, ``ecvSegmentation``, ``hematocrit``
    (as text) and ``syntheticHematocrit``.
    """

    def __init__(self, panel: Any, place: Any) -> None:
        """Build the section; see `CMRLib.scene.part.Part`."""
        Part.__init__(self, panel, "ECVSection.ui", place)
        self._view = slicer.qMRMLTableView()
        self._view.setMRMLScene(slicer.mrmlScene)
        self._view.minimumHeight = 120
        self.ui.ecvTableWidget.layout().addWidget(self._view)
        self.ui.ecvButton.connect("clicked(bool)", self.onEcvButton)
        self._showTable(None)

    def forgetShown(self) -> None:
        """A table of the scene before is not shown any more."""
        if self.panel.parameterNode is None:
            self._showTable(None)

    def follow(self) -> None:
        """Bring the section in line with what is selected."""
        parameters = self.panel.parameterNode
        reason = _whyNot(parameters)
        self.ui.ecvButton.enabled = not reason and not self.panel.isRunning
        self.ui.ecvButton.toolTip = reason or _("Register the map after contrast and compute the ECV map.")
        self.ui.hematocritLineEdit.enabled = not parameters.syntheticHematocrit
        found = {} if parameters.ecvNativeMap is None else ecvmaps.findEcv(parameters.ecvNativeMap)
        self.ui.ecvLabel.text = ecvmapping.summaryOf(found)
        self._showTable(found.get(ecvmaps.TABLE_ROLE))

    def onEcvButton(self) -> None:
        """Compute the ECV of the selected maps."""
        if self.panel.isRunning:
            return
        parameters = self.panel.parameterNode
        chosen = (parameters.ecvNativeMap, parameters.ecvPostMap, parameters.ecvSegmentation)
        with slicer.util.tryWithErrorDisplay(_("ECV could not be computed."), waitCursor=False):
            hematocrit = None if parameters.syntheticHematocrit else ecvmapping.readHematocrit(parameters.hematocrit)
            self.panel.compute(
                "ecvNativeMap",
                lambda progress: ecvmapping.computeEcv(*chosen, hematocrit, progress),
                self._showEcv,
            )

    def _showEcv(self, parameters: Any, nodes: dict[str, Any]) -> None:
        """Show a new ECV map; the panel may have been left meanwhile."""
        display.showInSliceViews(nodes["ecv"])
        self._view.resizeColumnsToContents()
        self.panel.say(_("The ECV map of {name} was computed.").format(name=parameters.ecvNativeMap.GetName()))

    def _showTable(self, table: Any) -> None:
        self.ui.ecvTableWidget.visible = table is not None
        if self._view.mrmlTableNode() is not table:
            self._view.setMRMLTableNode(table)


def _whyNot(parameters: Any) -> str:
    """Why ECV cannot be computed with these parameters, in a sentence; empty when it can."""
    chosen = (parameters.ecvNativeMap, parameters.ecvPostMap, parameters.ecvSegmentation)
    try:
        ecvmapping.checkInput(*chosen, None if parameters.syntheticHematocrit else _ANY_HEMATOCRIT)
        if not parameters.syntheticHematocrit:
            ecvmapping.readHematocrit(parameters.hematocrit)
    except InputError as error:
        return str(error)
    return ""
