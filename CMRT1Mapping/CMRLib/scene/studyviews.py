"""How a processed study is shown: its maps beside each other, and bull's-eye and table of the first one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer

from CMRLib import provenance
from CMRLib.scene import aha, bullseye, display, segmentmeasurement
from CMRLib.scene.acquisitions import STATE, known
from CMRLib.scene.results import findResult


def mapsInScene() -> list[Any]:
    """The T1 maps of the scene that were computed here, of the state of the first one, as in a scene that was saved."""
    volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    maps = [volume for volume in volumes if volume.GetAttribute(provenance.ROLE) == "t1" and volume.GetImageData()]
    return [volume for volume in maps if known(volume, STATE) == known(maps[0], STATE)]


def showStudy(maps: Sequence[Any]) -> None:
    """Arrange the views, if there are any, and show up to three maps of a study in them.

    Args:
        maps: volumes, one at least; with segments measured together if they were measured.
    """
    first = maps[0]
    several = len(maps) > 1
    bullseye.showLayout(bullseye.STUDY_LAYOUT if several else bullseye.LAYOUT)
    display.showInSliceViews(first)
    if several:
        display.showEach(dict(zip(bullseye.STUDY_VIEWS, maps, strict=False)))
    picture = findResult(first, bullseye.ROLE, bullseye.CLASS)
    if picture is not None:
        bullseye.showInView(picture)
    table = findResult(first, aha.TABLE_ROLE, "vtkMRMLTableNode")
    if table is not None:
        segmentmeasurement.showTable(table)
    slicer.app.processEvents()
