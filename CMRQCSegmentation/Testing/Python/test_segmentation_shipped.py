"""The weights that ship: as accurate on simulated and on real test images as was measured, within a margin."""

import pytest

from CMRLib.networks.models import read_manifest
from CMRLib.training.splits import TEST_SEED
from CMRQCSegmentationLib.prediction import DEFAULT_MODEL, load_segmentation_model
from CMRQCSegmentationLib.research.evaluation import judge, summarise
from CMRQCSegmentationLib.research.slices import read_data_set, simulated_slices

pytestmark = pytest.mark.usefixtures("one_thread")
MARGIN = 0.03  # how far below what the manifest says a part of a test set may lie


@pytest.fixture(scope="module")
def model():
    return load_segmentation_model(device="cpu")


@pytest.fixture(scope="module")
def measured():
    (entry,) = (entry for entry in read_manifest() if entry.id == DEFAULT_MODEL)
    return entry.accuracy["test"]


def test_the_entry_says_what_the_weights_are(model):
    entry = model.entry
    assert entry.licence == "CC-BY-NC-SA-4.0"
    assert entry.bytes < 16 * 2**20
    assert tuple(entry.input["depths"]) == (1, 2, 3, 4, 5, 6) and len(model.networks) == 6
    assert model.quality is not None and model.quality.weights.shape == (12, 12)


def test_simulated_hearts_are_segmented(model, measured):
    slices = list(simulated_slices(range(TEST_SEED, TEST_SEED + 8), ("cine", "vne", "t1_rest")))
    found = summarise(judge(slices, model))
    assert found.myocardium > measured["segmentation_simulated"]["myocardium"], "these are the easier contrasts"
    assert found.error < measured["segmentation_simulated"]["error"] + MARGIN


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["acdc", "emidec"])
def test_real_hearts_are_segmented(real_data, model, measured, name):
    slices = list(read_data_set(real_data / f"{name}-dev", name, "test"))
    stacks = sorted({item.stack for item in slices})[:: (8 if name == "acdc" else 4)]
    found = summarise(judge([item for item in slices if item.stack in stacks], model))
    assert found.myocardium > measured[f"segmentation_{name}"]["myocardium"] - MARGIN
    assert found.blood > measured[f"segmentation_{name}"]["blood"] - MARGIN
    assert found.error < measured[f"segmentation_{name}"]["error"] + MARGIN
