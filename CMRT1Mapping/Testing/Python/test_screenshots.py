"""The pictures of the README can be drawn, and show what they are named for."""

import os
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[3]
MODULES = ["CMRT1Mapping", "CMRLandmarks", "CMRQCSegmentation", "CMRStressReactivity"]
FOLDERS = [ROOT / "Resources" / "Scripts", ROOT / "Testing", *(ROOT / module for module in MODULES)]


@pytest.mark.slow
def test_pictures_are_drawn(tmp_path):
    script = "import sys, pathlib, screenshots; screenshots.draw(pathlib.Path(sys.argv[1]))"
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, FOLDERS))}
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], env=variables, check=True, capture_output=True)
    pictures = {path.name: matplotlib.image.imread(path)[..., :3] for path in tmp_path.iterdir()}
    of_the_evaluation = {"MotionCorrection.png"}  # cmr-evaluate moco draws it
    kept = {path.name for path in (ROOT / "Resources" / "Screenshots").glob("*.png")}
    assert set(pictures) == kept - of_the_evaluation
    red, green, blue = np.moveaxis(pictures["T1Map.png"], -1, 0)
    assert np.mean((green > 1.3 * red) & (green > 1.3 * blue)) > 0.03, "normal myocardium is green"
    assert np.mean((red > 1.5 * green) & (red > blue)) > 0.05, "blood is purple"
    saturation = np.ptp(pictures["Quality.png"], axis=-1)
    assert np.mean(saturation < 0.05) > 0.8, "R2 is grey"
    assert np.ptp(pictures["Curve.png"]) > 0.9
    whole = pictures["Motion.png"]
    views = whole[:, 2 * whole.shape[1] // 5 :]
    before, after = np.array_split(views[len(views) // 4 : 3 * len(views) // 4], 2, axis=1)
    assert np.mean(after > 0.9) > 1.1 * np.mean(before > 0.9), "R2 is brighter after the correction, on the right"
    saturation = np.ptp(pictures["Displacement.png"], axis=-1)
    assert 0.005 < np.mean(saturation > 0.2) < 0.2, "colored arrows over a grey image"
    whole = pictures["CMRLandmarks.png"]
    third = whole.shape[1] // 3
    slice_view, right_side = whole[:, third : 2 * third], whole[:, 2 * third :]
    points = np.all(np.abs(slice_view - (1.0, 0.85, 0.1)) < 0.02, axis=-1)
    assert np.count_nonzero(points) > 300, "points and entry line are yellow"
    assert np.ptp(np.argwhere(points)[:, 0]) > 0.2 * len(whole), "from the anterior to the inferior insertion"
    red, green, blue = np.moveaxis(right_side, -1, 0)
    assert np.mean((green > 1.3 * red) & (green > 1.3 * blue)) > 0.1, "the bull's-eye of normal myocardium is green"
    outlines = np.all(np.abs(pictures["CMRQCSegmentation.png"] - (1.0, 0.85, 0.15)) < 0.02, axis=-1)
    assert np.count_nonzero(outlines) > 300, "the myocardium has a yellow outline"
    stress = pictures["CMRStressReactivity.png"]
    third = stress.shape[1] // 3
    saturation = np.ptp(stress[:, third : 2 * third], axis=-1)
    assert 0.01 < np.mean(saturation > 0.2) < 0.2, "a coloured wall on a grey image"
    whole = pictures["Study.png"]
    red, green, blue = np.moveaxis(whole[len(whole) // 2 :, whole.shape[1] // 3 : 2 * whole.shape[1] // 3], -1, 0)
    assert np.mean((green > 1.3 * red) & (green > 1.3 * blue)) > 0.2, "the bull's-eye of normal myocardium is green"
    views = np.array_split(whole[: len(whole) // 2, 3 * whole.shape[1] // 10 :], 3, axis=1)
    for view in views:
        points = np.all(np.abs(view - (1.0, 0.85, 0.1)) < 0.02, axis=-1)
        assert np.count_nonzero(points) > 100, "three maps with their landmarks"
