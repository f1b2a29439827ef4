"""The scene of a processed study, as the panel would have left it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import slicer
import vtk

from CMRLandmarksLib.step import LandmarksResult
from CMRLib.errors import OutputError
from CMRLib.provenance import result_attributes
from CMRLib.scene.acquisitions import addSeries, phaseOf
from CMRLib.scene.display import showInSliceViews, t1ColorsForField
from CMRLib.scene.landmarks import ROLE, storeLandmarks, updateEntryLines
from CMRLib.scene.volumes import setVolumeArray
from CMRLib.standalone import createApplication
from CMRT1MappingLib.scene.t1reconstruction import storeResults
from CMRT1MappingLib.step import T1Result

WEAKER_FIELD_T = 1.5  # whose colors are taken where the files do not tell the field


def saveStudyScene(results: Sequence[T1Result], marked: Sequence[LandmarksResult], path: Path) -> None:
    """Build the nodes of a study and save them as a scene bundle; the scene is empty before and after.

    Args:
        results: the acquisitions and their maps.
        marked: the landmarks of those maps and of other images.
        path: the bundle, ending in ``.mrb``.

    Raises:
        OutputError: the bundle cannot be written.
    """
    createApplication()
    slicer.mrmlScene.Clear(0)
    maps = {}
    for result in results:
        series, images = result.series, result.images
        source = addSeries(series.key, series, images)
        colors = t1ColorsForField(series.field_strength_t or WEAKER_FIELD_T)
        nodes = storeResults(
            source,
            result.maps,
            result.corrected,
            images.geometry,
            result.parameters,
            phaseOf(source),
            colors=colors,
        )
        maps[series.key] = nodes["t1"]
    for found in marked:
        volume = maps.get(found.key) or _addVolume(found)
        maps[found.key] = volume
        attributes = result_attributes(
            ROLE, source=volume.GetID(), device=found.device, model=found.model, model_sha256=found.model_sha256
        )
        updateEntryLines(storeLandmarks(volume, found.predictions, attributes))
    showInSliceViews(next(iter(maps.values())))
    messages = vtk.vtkOutputWindow.GetInstance()
    mode = messages.GetDisplayMode()
    messages.SetDisplayModeToNever()  # the archive would tell of every file in it
    try:
        written = slicer.mrmlScene.WriteToMRB(str(path))
    finally:
        messages.SetDisplayMode(mode)
        slicer.mrmlScene.Clear(0)
    if not written:
        raise OutputError(f"{path} cannot be written; check the folder's permissions and free space.")


def _addVolume(found: LandmarksResult) -> Any:
    """The images in which landmarks were found, as a volume."""
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", found.key)
    setVolumeArray(volume, found.images, found.geometry)
    volume.CreateDefaultDisplayNodes()
    return volume
