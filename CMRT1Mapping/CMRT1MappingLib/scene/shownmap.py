"""What the slice views show of an acquisition: its maps, its images, and what was done to them."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from CMRLib.scene import acquisitions, display
from CMRT1MappingLib.scene import motion, t1maps

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


class ShownMap:
    """Shows what the panel's parameters ``shownMap``, ``showDisplacement`` and ``showFlags`` say in the slice views."""

    def __init__(self, panel: Any) -> None:
        self._panel = panel
        self._choice = ""
        self._displacement: tuple[Any, bool] = (None, False)
        self._colors: tuple[Any, str] = (None, "")
        panel.ui.compareButton.connect("clicked(bool)", self.onCompareButton)
        panel.ui.showFlagsCheckBox.connect("toggled(bool)", self.onShowFlagsToggled)

    def forget(self) -> None:
        """Take what the parameters say for what is shown, as when a scene was opened."""
        parameters = self._panel.parameterNode
        self._choice = "" if parameters is None else parameters.shownMap
        self._displacement = (None, False)
        self._colors = (None, "")

    def follow(self) -> None:
        """Show another choice once it is made."""
        self._followColors()
        self.followDisplacement()
        if self._panel.parameterNode.shownMap != self._choice:
            self.show()

    def showNew(self) -> None:
        """Show the choice, and the flags, of maps that were computed just now."""
        self._displacement = (None, False)
        self.show()
        self.onShowFlagsToggled(self._panel.parameterNode.showFlags)

    def show(self) -> None:
        """Show what was chosen in the slice views, if it is there."""
        parameters = self._panel.parameterNode
        self._choice = parameters.shownMap
        node = nodeToShow(parameters)
        if node is not None:
            images = None
            if SHOWN_MAPS[self._choice] == motion.LENGTH:  # which shows no anatomy itself
                images = motion.shownNode(parameters.inputNode, motion.IMAGES)
            display.showInSliceViews(images or node, overlay=None if images is None else node)
            if SHOWN_MAPS[self._choice] in (ACQUIRED, motion.IMAGES):
                self._showBrowser()
        elif parameters.t1Map is not None:  # the views would go on showing something else
            self._panel.say(_("{choice}: there is none, because motion was not corrected.").format(choice=self._choice))
            parameters.shownMap = next(iter(SHOWN_MAPS))

    def followDisplacement(self) -> None:
        """Draw the displacement of the images that are selected once that is asked for; otherwise leave it as it is."""
        parameters = self._panel.parameterNode
        if self._panel.isRunning:
            return
        wanted = (parameters.inputNode, parameters.showDisplacement)
        if wanted != self._displacement:
            self._displacement = wanted
            motion.showDisplacement(*wanted)
            if wanted[1] and self._panel.ui.showDisplacementCheckBox.enabled:
                self._showBrowser()

    def _followColors(self) -> None:
        """Show the T1 map in the colors of another field strength once that is chosen; leave it as it is until then."""
        t1Map, colors = self._panel.parameterNode.t1Map, self._panel.parameterNode.colors
        if t1Map is not None and self._colors[0] is t1Map and self._colors[1] != colors:
            t1maps.setT1Colors(t1Map, colors)
        self._colors = (t1Map, colors)

    def _showBrowser(self) -> None:
        """Let the images be browsed with Slicer's own tool bar."""
        browser = acquisitions.browserOf(self._panel.parameterNode.inputNode)
        if browser is not None:
            slicer.modules.sequences.showSequenceBrowser(browser)

    def onCompareButton(self) -> None:
        """Show R2 before and after the correction side by side."""
        parameters = self._panel.parameterNode
        before = motion.shownNode(parameters.inputNode, motion.R2_BEFORE)
        if before is not None and parameters.r2Map is not None:
            parameters.shownMap = R2_MAP
            display.showSideBySide(before, parameters.r2Map)

    def onShowFlagsToggled(self, checked: bool) -> None:
        """Lay the flags over the slice views, or take them away."""
        parameters = self._panel.parameterNode
        if parameters is not None and parameters.flagsMap is not None:
            display.showLabels(parameters.flagsMap, checked)


def nodeToShow(parameters: Any) -> Any:
    """The volume that is chosen to be shown, or None where there is none."""
    role, source = SHOWN_MAPS[parameters.shownMap], parameters.inputNode
    if role in OUTPUTS:
        return parameters.getValue(OUTPUTS[role])
    if source is None:
        return None
    return acquisitions.shownVolume(source) if role == ACQUIRED else motion.shownNode(source, role)
