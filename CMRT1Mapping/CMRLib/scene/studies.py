"""The scene of a processed study, as the panel would have left it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import slicer
import vtk

from CMRLib.batch_t1 import T1Result
from CMRLib.errors import OutputError
from CMRLib.scene.acquisitions import createAcquisition, phaseOf, seriesAttributes
from CMRLib.scene.display import showInSliceViews, t1ColorsForField
from CMRLib.scene.t1maps import storeT1Maps
from CMRLib.standalone import createApplication

WEAKER_FIELD_T = 1.5  # whose colors are taken where the files do not tell the field


def saveStudyScene(results: Sequence[T1Result], path: Path) -> None:
    """Build the nodes of a study and save them as a scene bundle; the scene is empty before and after.

    Args:
        results: the acquisitions and their maps.
        path: the bundle, ending in ``.mrb``.

    Raises:
        OutputError: the bundle cannot be written.
    """
    createApplication()
    slicer.mrmlScene.Clear(0)
    maps = []
    for result in results:
        series, images = result.series, result.images
        times, attributes = series.inversion_times_ms or (), seriesAttributes(series)
        source = createAcquisition(series.key, images.images, times, images.geometry, images.phase, attributes)
        colors = t1ColorsForField(series.field_strength_t or WEAKER_FIELD_T)
        nodes = storeT1Maps(source, result.maps, images.geometry, result.parameters, phaseOf(source), colors=colors)
        maps.append(nodes["t1"])
    showInSliceViews(maps[0])
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
