"""Draw the pictures of the README: ``python3 Resources/Scripts/screenshots.py [--output DIR]``.

A simulated ShMOLLI acquisition is opened in the module's own panel, mapped with its Apply button, hovered and measured,
and what an analyst then sees is saved; so are the quality of the fit before and after the motion of another one is
corrected, the landmarks and segments of simulated T1 maps, the segmentation of these maps under review, and their
change from rest to stress. Slicer's Qt
side is played by ``Testing/SlicerHost``; panels, slice views, color legend and plot are the modules' and Slicer's own.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import Any

import environment

MODULE = environment.ROOT / "CMRT1Mapping" / "CMRT1Mapping.py"
LANDMARKS_MODULE = environment.ROOT / "CMRLandmarks" / "CMRLandmarks.py"
SEGMENTATION_MODULE = environment.ROOT / "CMRQCSegmentation" / "CMRQCSegmentation.py"
STRESS_MODULE = environment.ROOT / "CMRStressReactivity" / "CMRStressReactivity.py"
WINDOW_SIZE = (1400, 1310)
FIELD_OF_VIEW_MM = 190.0
MOTION_WINDOW_SIZE = (1600, 910)
MOTION_FIELD_OF_VIEW_MM = 135.0
LANDMARKS_WINDOW_SIZE = (1600, 1040)
LANDMARKS_FIELD_OF_VIEW_MM = 130.0
MID = 1  # of apical, mid and basal slice
SEGMENTATION_WINDOW_SIZE = (1600, 910)
SEGMENTATION_FIELD_OF_VIEW_MM = 160.0
STRESS_WINDOW_SIZE = (1600, 1240)
STRESS_FIELD_OF_VIEW_MM = 130.0
BREATH_PX = (4, -3)  # rows and columns by which the heart lies elsewhere in the stress maps
STUDY_WINDOW_SIZE = (1700, 1040)
STUDY_FIELD_OF_VIEW_MM = 130.0


def main() -> int:
    """Write the pictures and return the exit status."""
    parser = argparse.ArgumentParser(description="Draw the pictures of the README.")
    parser.add_argument("--output", type=Path, default=environment.ROOT / "Resources" / "Screenshots", metavar="DIR")
    options = parser.parse_args()
    environment.enter()
    modules = (MODULE, LANDMARKS_MODULE, SEGMENTATION_MODULE, STRESS_MODULE)
    sys.path[:0] = [str(environment.ROOT / "Testing"), *(str(module.parent) for module in modules)]
    options.output.mkdir(parents=True, exist_ok=True)
    for picture in draw(options.output):
        print(picture)
    return 0


def draw(folder: Path) -> list[Path]:
    """Draw the pictures into an existing folder and return their files."""
    host = importlib.import_module("SlicerHost").start()
    pictures = [*draw_t1(host, folder), *draw_motion(host, folder), draw_landmarks(host, folder)]
    pictures += [draw_segmentation(host, folder), draw_stress(host, folder), draw_study(host, folder)]
    host.stop()
    return pictures


def draw_t1(host: Any, folder: Path) -> list[Path]:
    """Draw the pictures of CMR T1 Mapping."""
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
    return pictures


def draw_motion(host: Any, folder: Path) -> list[Path]:
    """Draw the pictures of a motion correction: R2 before and after side by side, the displacement of an image."""
    import numpy as np
    import slicer

    from CMRLib.scene import acquisitions
    from CMRLib.simulation import simulate_study

    host.reset()
    layout, window = slicer.app.layoutManager(), slicer.util.mainWindow()
    study = simulate_study(seed=1, slices=("mid",), snr=60.0, motion={"mid": "moderate"})
    acquisition = study.acquisitions[0]
    assert acquisition.truth.displacement is not None
    panel = host.loadModule(MODULE)
    source = _load(acquisition)
    host.setNode(panel.ui.inputSelector, source)
    host.click(panel.ui.applyButton)
    _septum, center = _septum_and_center(acquisition, panel.ui.t1MapSelector.currentNode())
    window.resize(*MOTION_WINDOW_SIZE)
    host.click(panel.ui.compareButton)
    host.processEvents()
    for name in ("Red", "Yellow"):
        _center(layout.sliceWidget(name).mrmlSliceNode(), center, MOTION_FIELD_OF_VIEW_MM)
    pictures = [Path(host.grabWidget(window, folder / "Motion.png"))]

    layout.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
    host.choose(panel.ui.shownMapComboBox, "Acquired images")
    panel.ui.showDisplacementCheckBox.checked = True
    length = np.linalg.norm(acquisition.truth.displacement, axis=1)
    browser = acquisitions.browserOf(source)
    browser.SetSelectedItemNumber(int(length.mean(axis=(1, 2)).argmax()))
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    host.processEvents()
    _center(layout.sliceWidget("Red").mrmlSliceNode(), center)
    view = layout.sliceWidget("Red").sliceView()
    return [*pictures, Path(host.grabWidget(view, folder / "Displacement.png"))]


def draw_landmarks(host: Any, folder: Path) -> Path:
    """Draw the picture of CMR Landmarks: points, entry line and segments on T1 maps, bull's-eye and table."""
    import numpy as np
    import slicer

    from CMRLib.simulation import simulate_study

    host.reset()
    layout, window = slicer.app.layoutManager(), slicer.util.mainWindow()
    slices: Any = simulate_study(seed=3, slices=("apical", "mid", "basal"), snr=60.0).acquisitions
    volume = _stack_of_t1_maps(slices)
    panel = host.loadModule(LANDMARKS_MODULE)
    host.setNode(panel.ui.inputSelector, volume)
    host.click(panel.ui.applyButton)
    myocardium = np.stack([item.truth.myocardium > 0.99 for item in slices])
    contours = _segmentation(volume, {"Myocardium": myocardium})
    contours.GetDisplayNode().SetVisibility(False)
    host.setNode(panel.ui.segmentationSelector, contours)
    window.resize(*LANDMARKS_WINDOW_SIZE)
    host.processEvents()
    host.click(panel.ui.layoutButton)
    _select_row(panel, MID)
    host.processEvents()
    _center(layout.sliceWidget("Red").mrmlSliceNode(), _center_of(slices, volume), LANDMARKS_FIELD_OF_VIEW_MM)
    host.processEvents()
    return Path(host.grabWidget(window, folder / "CMRLandmarks.png"))


def draw_segmentation(host: Any, folder: Path) -> Path:
    """Draw the picture of CMR QC Segmentation: outlines on a T1 map, the review list, the Segment Editor."""
    import slicer

    from CMRLib.simulation import simulate_study

    host.reset()
    layout, window = slicer.app.layoutManager(), slicer.util.mainWindow()
    layout.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
    slices: Any = simulate_study(seed=3, slices=("apical", "mid", "basal"), snr=60.0).acquisitions
    panel = host.loadModule(SEGMENTATION_MODULE)
    volume = _stack_of_t1_maps(slices)
    host.setNode(panel.ui.inputSelector, volume)
    host.click(panel.ui.applyButton)
    window.resize(*SEGMENTATION_WINDOW_SIZE)
    _select_row(panel, MID)
    host.processEvents()
    _center(layout.sliceWidget("Red").mrmlSliceNode(), _center_of(slices, volume), SEGMENTATION_FIELD_OF_VIEW_MM)
    host.processEvents()
    return Path(host.grabWidget(window, folder / "CMRQCSegmentation.png"))


def draw_stress(host: Any, folder: Path) -> Path:
    """Draw the picture of CMR Stress Reactivity: dT1 over T1 at rest, the bull's-eye, the table of segments."""
    import numpy as np
    import slicer

    from CMRLib.scene.volumes import volumeArray
    from CMRLib.simulation import simulate_study

    host.reset()
    layout, window = slicer.app.layoutManager(), slicer.util.mainWindow()
    study = simulate_study(seed=3, slices=("apical", "mid", "basal"), states=("rest", "stress"), snr=60.0)
    states: Any = {state: [one for one in study.acquisitions if one.state == state] for state in ("rest", "stress")}
    panel = host.loadModule(STRESS_MODULE)
    rest, stress = _stack_of_t1_maps(states["rest"]), _stack_of_t1_maps(states["stress"], "Stress T1 map")
    moved = np.roll(volumeArray(stress), BREATH_PX, axis=(1, 2))
    slicer.util.updateVolumeFromArray(stress, moved)
    host.setNode(panel.ui.restSelector, rest)
    host.setNode(panel.ui.stressSelector, stress)
    host.click(panel.ui.applyButton)
    for segmentation in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        segmentation.GetDisplayNode().SetVisibility(False)
    for points in slicer.util.getNodesByClass("vtkMRMLMarkupsNode"):
        points.GetDisplayNode().SetVisibility(False)
    window.resize(*STRESS_WINDOW_SIZE)
    host.processEvents()
    host.click(panel.ui.layoutButton)
    panel.check.show()
    panel.ui.matchTable.setCurrentCell(MID, 0)
    host.processEvents()
    center = _center_of(states["rest"], rest)
    _center(layout.sliceWidget("Red").mrmlSliceNode(), center, STRESS_FIELD_OF_VIEW_MM)
    host.processEvents()
    return Path(host.grabWidget(window, folder / "CMRStressReactivity.png"))


def draw_study(host: Any, folder: Path) -> Path:
    """Draw the picture of a whole study: its T1 maps with contours and landmarks, the bull's-eye and the table."""
    import tempfile

    import numpy as np
    import slicer

    from CMRLib.scene import bullseye, landmarks
    from CMRLib.scene.volumes import ijkToWorld
    from CMRLib.simulation import simulate_study
    from CMRLib.simulation.dicom_writer import write_dicom_study

    host.reset()
    layout, window = slicer.app.layoutManager(), slicer.util.mainWindow()
    panel = host.loadModule(MODULE)
    window.resize(*STUDY_WINDOW_SIZE)
    with tempfile.TemporaryDirectory() as temporary:
        write_dicom_study(simulate_study(seed=5, snr=60.0), Path(temporary) / "study")
        panel.ui.studyFolderLineEdit.text = str(Path(temporary) / "study")
        host.click(panel.ui.studyButton)
    host.processEvents()
    for name in bullseye.STUDY_VIEWS:
        view = layout.sliceWidget(name)
        volume = slicer.mrmlScene.GetNodeByID(view.mrmlSliceCompositeNode().GetBackgroundVolumeID())
        place = landmarks.slicePoints(landmarks.findLandmarks(volume), volume)[0][0]
        assert place is not None
        center = ijkToWorld(volume, np.array([[place[1], place[0], 0.0]]))[0]
        _center(view.mrmlSliceNode(), center, STUDY_FIELD_OF_VIEW_MM)
    host.processEvents()
    return Path(host.grabWidget(window, folder / "Study.png"))


def _select_row(panel: Any, index: int) -> None:
    """Select the row of a slice in a review list."""
    for row in range(panel.ui.reviewTable.rowCount):
        if panel.ui.reviewTable.item(row, 0).text() == str(index):
            panel.ui.reviewTable.setCurrentCell(row, 0)


def _center_of(slices: Any, volume: Any) -> Any:
    """RAS position of the LV's centre in the middle slice of a stack."""
    import numpy as np

    from CMRLib.scene.volumes import ijkToWorld

    y, x = slices[MID].truth.landmarks.lv_center
    return ijkToWorld(volume, np.array([[x, y, MID]]))[0]


def _stack_of_t1_maps(slices: Any, name: str = "Rest T1 map") -> Any:
    """T1 maps reconstructed of the slices, as one volume in the colors of a T1 map."""
    import numpy as np
    import slicer

    from CMRLib.geometry import Geometry
    from CMRLib.scene.volumes import setVolumeArray
    from CMRT1MappingLib.fit.reconstruction import reconstruct
    from CMRT1MappingLib.scene import t1maps

    first = slices[0].geometry
    step = float(np.linalg.norm(np.subtract(slices[1].geometry.origin, first.origin)))
    t1 = np.stack([reconstruct(s.images, s.inversion_times_ms, s.phase, scheme=s.scheme).t1 for s in slices])
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    geometry = Geometry(first.origin, (*first.spacing[:2], step), first.direction)
    setVolumeArray(volume, t1, geometry)
    t1maps.setT1Colors(volume, "1.5 T")
    return volume


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
    labels = acquisition.truth.labels
    return _segmentation(t1, {"Myocardium": acquisition.truth.myocardium[None] > 0.99, "LV blood": labels[None] == 2})


def _segmentation(volume: Any, masks: dict[str, Any]) -> Any:
    """A segmentation on the pixels of a volume; masks are (slice, row, column) by the names of their segments."""
    import numpy as np
    import slicer

    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Contours")
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segmentation.GetDisplayNode().SetOpacity2DFill(0.0)
    for name, mask in masks.items():
        segment = segmentation.GetSegmentation().AddEmptySegment("", name)
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask.astype(np.uint8), segmentation, segment, volume)
    return segmentation


def _septum_and_center(acquisition: Any, t1: Any) -> Any:
    """RAS positions of a pixel in the septum, half way between the insertion points, and of the LV's centre."""
    import numpy as np

    from CMRLib.scene.volumes import ijkToWorld

    marks = acquisition.truth.landmarks
    center = np.array(marks.lv_center)
    to_septum = (np.array(marks.rv_insertion) + np.array(marks.inferior_rv_insertion)) / 2 - center
    myocardium = np.argwhere(acquisition.truth.myocardium > 0.99)
    angle = (myocardium - center) @ to_septum / np.linalg.norm(myocardium - center, axis=1)
    row, column = myocardium[np.argmax(angle)]
    return ijkToWorld(t1, np.array([[column, row, 0], [center[1], center[0], 0]]))


def _center(slice_node: Any, position: Any, field_of_view_mm: float = FIELD_OF_VIEW_MM) -> None:
    """Show the surroundings of a point in a slice view, without changing its plane."""
    width, height, depth = slice_node.GetFieldOfView()
    scale = field_of_view_mm / min(width, height)
    slice_node.SetFieldOfView(width * scale, height * scale, depth)
    slice_node.JumpSliceByCentering(*position)


if __name__ == "__main__":
    sys.exit(main())
