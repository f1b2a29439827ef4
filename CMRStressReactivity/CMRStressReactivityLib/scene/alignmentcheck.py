"""What the slice views show of a comparison: dT1 over rest T1, or rest and stress together, to see how they lie."""

from __future__ import annotations

from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from CMRLib import provenance
from CMRLib.scene import display
from CMRLib.scene.gridtransforms import addArrows
from CMRStressReactivityLib.scene import reactivitynodes as nodes

OVER_REST, REST = "dT1 in the myocardium over rest T1", "Rest T1"
FLICKER = "Flicker of rest and stress, registered"
FLICKER_BEFORE = "Flicker of rest and stress, not registered"
# What the slice views can show -> role of the background, role of the foreground ("" for none).
SHOWN = {
    OVER_REST: (nodes.REST_GREY, nodes.DT1_MYOCARDIUM),
    "dT1": (nodes.DT1, ""),
    "dT1 standard error": (nodes.DT1_ERROR, ""),
    REST: ("", ""),
    "Stress T1, registered": (nodes.STRESS, ""),
    "Stress T1, not registered": (nodes.UNREGISTERED, ""),
    "Squares of rest and stress, registered": (nodes.BOARD, ""),
    "Squares of rest and stress, not registered": (nodes.BOARD_BEFORE, ""),
    FLICKER: ("", nodes.STRESS),
    FLICKER_BEFORE: ("", nodes.UNREGISTERED),
}
FLICKER_MS = 500


class AlignmentCheck:
    """Shows what the panel's parameters ``shownImage`` and ``showDisplacement`` say in the slice views."""

    def __init__(self, panel: Any) -> None:
        self._panel = panel
        self._shown: tuple[Any, ...] = ()
        self._isFlickering = False
        self._timer = qt.QTimer()
        self._timer.setInterval(FLICKER_MS)
        self._timer.connect("timeout()", self.onFlicker)

    def forget(self) -> None:
        """Take what the parameters say for what is shown, as when a scene was opened."""
        self._flicker(False)
        parameters = self._panel.parameterNode
        self._shown = () if parameters is None else self._settings()

    def follow(self) -> None:
        """Show another choice once it is made."""
        if self._settings() != self._shown and not self._panel.isRunning:
            self.show()

    def show(self) -> None:
        """Show what was chosen of the volume in the views, if it is there."""
        self._flicker(False)
        self._shown = self._settings()
        volume, choice, arrows = self._shown
        found = nodes.findNodes(volume)
        if not found:
            return
        background, foreground = SHOWN[choice]
        if background in (nodes.BOARD, nodes.BOARD_BEFORE):
            nodes.checkerboardNode(volume, background)
            found = nodes.findNodes(volume)
        below, above = found.get(background) if background else volume, found.get(foreground)
        if below is None or (foreground and above is None):
            self._panel.say(
                _("{choice}: there is none, because the T1 maps have no standard error.").format(choice=choice)
            )
            self._panel.parameterNode.shownImage = OVER_REST
            return
        display.showInSliceViews(below, above)
        if above is not None:
            self._setForeground(1.0)
        self._flicker(choice in (FLICKER, FLICKER_BEFORE))
        self._showArrows(found, arrows)

    def isFlickering(self) -> bool:
        """Whether rest and stress take turns."""
        return self._isFlickering

    def _flicker(self, wanted: bool) -> None:
        self._isFlickering = wanted
        if wanted:
            self._timer.start()
        else:
            self._timer.stop()

    def onFlicker(self) -> None:
        """Show the other one of the two."""
        composites = display.imageComposites()
        shown = bool(composites) and composites[0].GetForegroundOpacity() > 0.5
        self._setForeground(0.0 if shown else 1.0)

    def _settings(self) -> tuple[Any, ...]:
        parameters = self._panel.parameterNode
        return self._panel.shownVolume(), parameters.shownImage, parameters.showDisplacement

    def _setForeground(self, opacity: float) -> None:
        for composite in display.imageComposites():
            composite.SetForegroundOpacity(opacity)

    def _showArrows(self, found: dict[str, Any], visible: bool) -> None:
        """Draw the displacement of the shown volume, and no other's."""
        own = found.get(nodes.DISPLACEMENT) if visible else None
        for node in slicer.util.getNodesByClass(nodes.TRANSFORM):
            shown = node.GetDisplayNode()
            if node is own and shown is None:
                shown = addArrows(node)
            if shown is not None and node.GetAttribute(provenance.ROLE) == nodes.DISPLACEMENT:
                shown.SetVisibility(node is own)
