"""A part of a panel that several modules have: widgets from a ``.ui`` file of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer

from CMRLib.resources import resource_path


class Part:
    """Base of the parts that a panel is given.

    A part knows its panel, follows nodes of the scene on its behalf, and overrides the methods that are empty here.
    """

    def __init__(self, panel: Any, uiFile: str, place: Any) -> None:
        """Build the part.

        Args:
            panel: the module's `CMRLib.scene.panel.Panel`; its ``ui`` gets the part's widgets too.
            uiFile: the part's file in ``Resources/UI``.
            place: the panel's widget, with a layout, that the part is put into.
        """
        self.panel = panel
        widget = slicer.util.loadUI(str(resource_path(f"UI/{uiFile}")))
        place.layout().addWidget(widget)
        widget.setMRMLScene(slicer.mrmlScene)
        self.ui = slicer.util.childWidgetVariables(widget)
        panel.addPart(self)

    def watched(self) -> list[tuple[Any, Any, Callable[..., None]]]:
        """What the part follows now: (node or other VTK object, event, method)."""
        return []

    def forgetShown(self) -> None:
        """Called after another parameter node, or none, was set: what is shown was that of the one before."""

    def runningChanged(self) -> None:
        """Called when the panel starts to compute, and when it has ended."""
