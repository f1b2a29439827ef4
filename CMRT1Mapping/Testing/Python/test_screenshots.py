"""The pictures of the README can be drawn, and show what they are named for."""

import os
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[3]
FOLDERS = [ROOT / "Resources" / "Scripts", ROOT / "Testing", ROOT / "CMRT1Mapping"]


@pytest.mark.slow
def test_pictures_are_drawn(tmp_path):
    script = "import sys, pathlib, screenshots; screenshots.draw(pathlib.Path(sys.argv[1]))"
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, FOLDERS))}
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], env=variables, check=True, capture_output=True)
    pictures = {path.name: matplotlib.image.imread(path)[..., :3] for path in tmp_path.iterdir()}
    assert set(pictures) == {path.name for path in (ROOT / "Resources" / "Screenshots").glob("*.png")}
    red, green, blue = np.moveaxis(pictures["T1Map.png"], -1, 0)
    assert np.mean((green > 1.3 * red) & (green > 1.3 * blue)) > 0.03, "normal myocardium is green"
    assert np.mean((red > 1.5 * green) & (red > blue)) > 0.05, "blood is purple"
    saturation = np.ptp(pictures["Quality.png"], axis=-1)
    assert np.mean(saturation < 0.05) > 0.8, "R2 is grey"
    assert np.ptp(pictures["Curve.png"]) > 0.9
