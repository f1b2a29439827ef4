"""The shipped network in the panel: Apply on moving images, look at what it did, undo it."""

from pathlib import Path

import numpy as np
import pytest
import slicer

from CMRLib.networks.models import read_manifest
from CMRLib.scene import acquisitions
from CMRLib.scene.volumes import volumeArray
from CMRLib.simulation import simulate_study
from CMRT1MappingLib.motion.estimation import DEFAULT_MODEL
from CMRT1MappingLib.scene import motion, motionoutcome, t1maps

MODULE = Path(__file__).resolve().parents[2] / "CMRT1Mapping.py"


@pytest.fixture(scope="module")
def acquisition():
    return simulate_study(seed=5, slices=("mid",), snr=60.0, motion={"mid": "severe"}).acquisitions[0]


def test_shipped_network_corrects_and_is_undone(host, acquisition):
    panel = host.loadModule(MODULE)
    source = acquisitions.createAcquisition(
        "rest mid",
        acquisition.images,
        acquisition.inversion_times_ms,
        acquisition.geometry,
        acquisition.phase,
        {acquisitions.SCHEME: acquisition.scheme},
    )
    host.setNode(panel.ui.inputSelector, source)
    host.click(panel.ui.applyButton)
    maps, parts = t1maps.findT1Maps(source), motion.findCorrection(source)
    outcome = motionoutcome.outcomeOf(maps["t1"])
    assert outcome.outcome == "corrected" and outcome.region == "heart", panel.ui.statusLabel.text
    assert outcome.r2After > outcome.r2Before + 0.02
    entry = next(entry for entry in read_manifest() if entry.id == DEFAULT_MODEL)
    assert maps["t1"].GetAttribute("CMR.ModelSHA256") == entry.sha256

    myocardium = acquisition.truth.myocardium > 0.99
    length = volumeArray(parts[motion.LENGTH])[0][myocardium].mean()
    column_mm, row_mm, _ = acquisition.geometry.spacing
    moved = acquisition.truth.displacement * np.array([row_mm, column_mm])[:, None, None]
    assert length == pytest.approx(np.hypot(moved[:, 0], moved[:, 1]).mean(axis=0)[myocardium].mean(), rel=0.25)

    corrected = volumeArray(maps["t1"])[0][myocardium]
    host.click(panel.ui.undoButton)
    acquired = volumeArray(maps["t1"])[0][myocardium]
    still = np.median(corrected)
    assert np.abs(corrected - still).mean() < 0.6 * np.abs(acquired - still).mean(), "T1 of one tissue is one T1"
    assert not slicer.util.getNodesByClass("vtkMRMLGridTransformNode")
