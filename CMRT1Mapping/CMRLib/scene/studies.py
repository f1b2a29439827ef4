"""The scene of a processed study, as the panels would have left it: each step adds its own nodes."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import slicer
import vtk

from CMRLib.batch.registry import load_step
from CMRLib.batch.step import StepResult
from CMRLib.errors import OutputError
from CMRLib.scene.display import showInSliceViews
from CMRLib.standalone import createApplication


def saveStudyScene(results: Mapping[str, Sequence[StepResult]], path: Path) -> None:
    """Build the nodes of a study and save them as a scene bundle; the scene is empty before and after.

    The module that a step names as its ``scene`` has a function ``addNodes(results, volumes)``: it adds the nodes of
    the step's results, and puts the volume in which each is seen into ``volumes``, by the result's key, unless there is
    one already, which is then the one to add to.

    Args:
        results: of each step, in the order in which the steps ran.
        path: the bundle, ending in ``.mrb``.

    Raises:
        OutputError: the bundle cannot be written.
    """
    createApplication()
    slicer.mrmlScene.Clear(0)
    volumes: dict[str, Any] = {}
    for name, made in results.items():
        importlib.import_module(load_step(name).scene).addNodes(made, volumes)
    if volumes:
        showInSliceViews(next(iter(volumes.values())))
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
