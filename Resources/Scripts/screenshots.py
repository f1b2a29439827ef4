"""Draw the pictures of the README: ``python3 Resources/Scripts/screenshots.py [--output DIR]``.

A simulated ShMOLLI acquisition is opened in the module's own panel, mapped with its Apply button, hovered and measured,
and what an analyst then sees is saved. Slicer's Qt side is played by ``Testing/SlicerHost``; panel, slice views, color
legend and plot are the module's and Slicer's own.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import Any

import environment

MODULE = environment.ROOT / "CMRT1Mapping" / "CMRT1Mapping.py"
WINDOW_SIZE = (1400, 1140)
FIELD_OF_VIEW_MM = 190.0


def main() -> int:
    """Write the pictures and return the exit status."""
    parser = argparse.ArgumentParser(description="Draw the pictures of the README.")
    parser.add_argument("--output", type=Path, default=environment.ROOT / "Resources" / "Screenshots", metavar="DIR")
    options = parser.parse_args()
    environment.enter()
    sys.path[:0] = [str(environment.ROOT / "Testing"), str(MODULE.parent)]
    options.output.mkdir(parents=True, exist_ok=True)
    for picture in draw(options.output):
        print(picture)
    return 0


def draw(folder: Path) -> list[Path]:
    """Draw the pictures into an existing folder and return their files."""
    host = importlib.import_module("SlicerHost").start()
    import slicer

    from CMRLib.simulation import simulate_study

    acquisition = simulate_study(seed=1, slices=("mid",), snr=60.0).acquisitions[0]
    layout, window = slicer.app.layoutManager(), slicer.util.mainWindow()
    layout.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
    panel = host.loadModule(MODULE)
    host.setNode(panel.ui.inputSelector, _load(acquisition))
    host.click(panel.ui.applyButton)
    t1 = panel.ui.t1MapSelector.currentNode()
    host.setNode(panel.ui.regionSelector, _contour(acquisition, t1))
    host.click(panel.ui.measureButton)
    panel.ui.showCurveCheckBox.checked = True

    view = layout.sliceWidget("Red").sliceView()
    septum, center = _septum_and_center(acquisition, t1)

    def picture(widget: Any, name: str) -> Path:
        _center(layout.sliceWidget("Red").mrmlSliceNode(), center)
        return Path(host.grabWidget(widget, folder / name))

    window.resize(*WINDOW_SIZE)
    host.processEvents()
    _center(layout.sliceWidget("Red").mrmlSliceNode(), center)
    host.moveMouse("Red", septum)
    pictures = [picture(window, "CMRT1Mapping.png"), picture(panel.ui.curveCollapsibleButton, "Curve.png")]
    for segmentation in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        segmentation.GetDisplayNode().SetVisibility(False)
    pictures.append(picture(view, "T1Map.png"))
    host.choose(panel.ui.shownMapComboBox, "R2 map")
    panel.ui.showFlagsCheckBox.checked = True
    pictures.append(picture(view, "Quality.png"))
    host.stop()
    return pictures


def _load(acquisition: Any) -> Any:
    """The acquisition as the DICOM reader leaves it in the scene."""
    from CMRLib.scene import acquisitions

    return acquisitions.createAcquisition(
        "Rest mid",
        acquisition.images,
        acquisition.inversion_times_ms,
        acquisition.geometry,
        acquisition.phase,
        {acquisitions.SCHEME: acquisition.scheme, acquisitions.STATE: acquisition.state},
    )


def _contour(acquisition: Any, t1: Any) -> Any:
    """A segmentation of the myocardium and of the blood in the left ventricle, as an analyst would draw it."""
    import numpy as np
    import slicer

    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Contours")
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(t1)
    segmentation.GetDisplayNode().SetOpacity2DFill(0.0)
    labels = acquisition.truth.labels
    for name, mask in (("Myocardium", acquisition.truth.myocardium > 0.99), ("LV blood", labels == 2)):
        segment = segmentation.GetSegmentation().AddEmptySegment("", name)
        pixels = mask[None].astype(np.uint8)
        slicer.util.updateSegmentBinaryLabelmapFromArray(pixels, segmentation, segment, t1)
    return segmentation


def _septum_and_center(acquisition: Any, t1: Any) -> Any:
    """RAS positions of a pixel in the septum, half way between the insertion points, and of the LV's centre."""
    import numpy as np

    from CMRLib.scene.volumes import ijkToWorld

    marks = acquisition.truth.landmarks
    center = np.array(marks.lv_centre)
    to_septum = (np.array(marks.anterior_rv_insertion) + np.array(marks.inferior_rv_insertion)) / 2 - center
    myocardium = np.argwhere(acquisition.truth.myocardium > 0.99)
    angle = (myocardium - center) @ to_septum / np.linalg.norm(myocardium - center, axis=1)
    row, column = myocardium[np.argmax(angle)]
    return ijkToWorld(t1, np.array([[column, row, 0], [center[1], center[0], 0]]))


def _center(slice_node: Any, position: Any) -> None:
    """Show the surroundings of a point in a slice view, without changing its plane."""
    width, height, depth = slice_node.GetFieldOfView()
    scale = FIELD_OF_VIEW_MM / min(width, height)
    slice_node.SetFieldOfView(width * scale, height * scale, depth)
    slice_node.JumpSliceByCentering(*position)


if __name__ == "__main__":
    sys.exit(main())
