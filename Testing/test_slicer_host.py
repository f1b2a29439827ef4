"""The host runs a scripted module as Slicer does, and fails where Slicer would."""

from pathlib import Path

import numpy as np
import pytest

TOY = Path(__file__).parent / "SlicerHost" / "toy" / "Toy.py"


@pytest.fixture
def toy(host):
    return host.loadModule(TOY)


@pytest.fixture
def volume(host):
    import slicer

    return slicer.util.addVolumeFromArray(np.ones((2, 3, 4), np.float32), name="Input")


def test_a_panel_does_its_work(host, toy, volume):
    import slicer

    assert not toy.ui.applyButton.enabled
    host.setNode(toy.ui.inputSelector, volume)
    toy.ui.factorSlider.value = 3
    host.click(toy.ui.applyButton)
    assert slicer.util.arrayFromVolume(toy._parameterNode.outputVolume).max() == 3
    assert toy.ui.statusLabel.text == "Done"
