"""The panel of CMRLandmarks with the model that is shipped, on a simulated and on a real heart."""

from pathlib import Path

import numpy as np
import pytest
import slicer

from CMRLandmarksLib.prediction import DEFAULT_MODEL
from CMRLib import provenance
from CMRLib.anatomy.insertions import find_landmarks
from CMRLib.files.images import read_image
from CMRLib.geometry import Geometry
from CMRLib.networks.models import read_manifest
from CMRLib.review import Status
from CMRLib.scene import aha, landmarks
from CMRLib.scene.landmarkreview import readReview
from CMRLib.scene.results import findResult
from CMRLib.scene.volumes import setVolumeArray
from CMRLib.simulation import simulate_study

MODULE = Path(__file__).resolve().parents[2] / "CMRLandmarks.py"


def load(name, array, geometry):
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    setVolumeArray(volume, np.asarray(array, np.float32), geometry)
    volume.CreateDefaultDisplayNodes()
    return volume


def segment(volume, mask):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Contours")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segmentId = node.GetSegmentation().AddEmptySegment("", "Myocardium")
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask.astype(np.uint8), node, segmentId, volume)
    return node


def applied(host, volume, myocardium):
    """Apply in the panel, with the myocardium to be measured; the panel and the landmarks."""
    panel = host.loadModule(MODULE)
    host.setNode(panel.ui.inputSelector, volume)
    host.click(panel.ui.applyButton)
    host.setNode(panel.ui.segmentationSelector, segment(volume, myocardium))
    return panel, landmarks.findLandmarks(volume)


def stacked(study):
    """T1 maps of a simulated study as one stack, towards the base, with their truth."""
    slices = [item for name in ("apical", "mid", "basal") for item in study.acquisitions if item.slice == name]
    first = slices[0].geometry
    gap = np.subtract(slices[1].geometry.origin, first.origin)
    axis = gap / np.linalg.norm(gap)
    direction = np.array(first.direction).reshape(3, 3)
    direction[:, 2] = axis
    spacing = (first.spacing[0], first.spacing[1], float(np.linalg.norm(gap)))
    geometry = Geometry(first.origin, spacing, tuple(direction.ravel().tolist()))
    return np.stack([item.truth.t1 for item in slices]), geometry, [item.truth for item in slices]


def distances(points, truth, spacing_mm):
    """Millimetres between landmarks found and true, (slice, landmark)."""
    known = [(item.lv_center, item.rv_insertion, item.inferior_rv_insertion) for item in truth]
    return np.linalg.norm(np.subtract(points, known), axis=-1) * spacing_mm


def measuredPixels(volume):
    """Pixels of each of the 16 segments, as in the table."""
    table = findResult(volume, aha.TABLE_ROLE, "vtkMRMLTableNode")
    titles = [table.GetColumnName(column) for column in range(table.GetNumberOfColumns())]
    return [int(float(table.GetCellText(row, titles.index("Pixels")))) for row in range(16)]


def test_simulated_t1_maps(host):
    t1, geometry, truth = stacked(simulate_study(seed=3))
    noise = np.random.default_rng(0).normal(0, 25, t1.shape)
    volume = load("T1 map", np.where(t1 > 0, t1 + noise, 0), geometry)
    myocardium = np.stack([item.myocardium > 0.5 for item in truth])
    panel, node = applied(host, volume, myocardium)

    shipped = next(entry for entry in read_manifest() if entry.id == DEFAULT_MODEL)
    assert node.GetAttribute(provenance.MODEL) == shipped.id
    assert node.GetAttribute(provenance.MODEL_SHA256) == shipped.sha256
    found = distances(landmarks.slicePoints(node, volume), [item.landmarks for item in truth], geometry.spacing[0])
    assert found[:, 0].max() < 5, "LV centres"
    assert np.median(found[:, 1:]) < 4 and found.max() < 10, "insertion points"
    assert not any(entry.needs_a_look for entry in readReview(node)), "a clear image needs no look"
    pixels = measuredPixels(volume)
    assert min(pixels) > 0 and sum(pixels) == np.count_nonzero(myocardium)
    assert panel.ui.segmentsLabel.text == "" and panel.ui.savePictureButton.enabled


@pytest.mark.real_data
def test_real_cine_images(host, real_data):
    """Of a patient whom the model was not trained on; the pixel spacing is lost, most are near 1.5 mm."""
    file = real_data / "acdc-dev" / "patient015_frame01.nii.gz"
    if not file.is_file():
        pytest.skip(f"REAL IMAGES ARE Status.MISSING: no file {file}; set CMR_REAL_DATA to where they are")
    image, _geometry = read_image(file)
    labels, _geometry = read_image(file.with_name("patient015_frame01_gt.nii.gz"))
    plane = stacked(simulate_study(seed=3))[1]  # so is the orientation
    volume = load("Cine", image, Geometry(plane.origin, (1.5, 1.5, 10.0), plane.direction))
    _panel, node = applied(host, volume, labels == 2)

    truth = [find_landmarks(plane) if (plane == 3).any() and (plane == 1).any() else None for plane in labels]
    found = [
        distances([points], [known], 1.5)[0] if None not in points else [np.inf] * 3
        for points, known in zip(landmarks.slicePoints(node, volume), truth, strict=True)
        if known is not None and known.rv_insertion is not None
    ]
    assert len(found) >= 6
    center, anterior, inferior = np.transpose(found)
    assert np.mean(center < 8) >= 0.8 and np.median(center) < 4
    assert np.median(anterior) < 8 and np.median(inferior) < 8
    placed = [entry.slice for entry in readReview(node) if entry.status != Status.MISSING]
    pixels = measuredPixels(volume)
    assert min(pixels) > 0 and sum(pixels) == np.count_nonzero(labels[placed] == 2)
