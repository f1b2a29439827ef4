"""From a real ShMOLLI scan through the DICOM reader and the panel to the scanner's own T1."""

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from CMRLib.scene import acquisitions
from CMRLib.scene.volumes import ijkToWorld, volumeArray, volumeGeometry
from CMRLib.study.reading import read_study
from CMRT1MappingLib.scene import t1maps

MODULES = Path(__file__).resolve().parents[2]
COLOR_BAR = 368  # the scanner drew its own color bar into its T1 map from this column on


@pytest.mark.real_data
def test_real_scan_is_mapped_as_the_scanner_maps_it(host, real_data):
    study = read_study(real_data / "shmolli-phantom")
    (acquired,) = [series for series in study.series if series.role == "irw"]
    (mapped,) = [series for series in study.series if series.role == "t1"]
    source = acquisitions.addSeries("ShMOLLI", acquired, acquired.load())
    panel = host.loadModule(MODULES / "CMRT1Mapping.py")
    host.setNode(panel.ui.inputSelector, source)
    assert panel.ui.colorsComboBox.currentText == "3 T" and panel.ui.phaseSelector.currentNode() is not None
    panel.ui.correctMotionCheckBox.checked = False
    host.click(panel.ui.applyButton)

    maps = t1maps.findT1Maps(source)
    t1 = volumeArray(maps["t1"])[0]
    scanner = mapped.load().images[0]
    region = (scanner >= 600) & (scanner <= 2000) & (volumeArray(maps["r2"])[0] > 0.99)
    region[:, COLOR_BAR:] = False
    assert region.sum() > 8000
    assert np.mean(np.abs(t1 - scanner)[region] <= 1.0) >= 0.998
    assert volumeGeometry(maps["t1"]).is_close(mapped.geometry, 0.1)

    row, column = np.argwhere(region)[region.sum() // 2]
    panel.ui.showCurveCheckBox.checked = True
    host.moveMouse("Red", ijkToWorld(maps["t1"], np.array([[column, row, 0]]))[0])
    assert f"T1 {t1[row, column]:.0f} " in panel.ui.curveLabel.text

    panel.ui.correctMotionCheckBox.checked = True
    host.click(panel.ui.applyButton)
    inside = binary_erosion(region, iterations=2)  # of the tubes: at their rims two materials share a pixel
    assert inside.sum() > 6000
    assert np.abs(volumeArray(maps["t1"])[0] - t1)[inside].mean() < 1.0, "a phantom does not move"
