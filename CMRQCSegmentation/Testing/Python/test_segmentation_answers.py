"""A model's answer as text, and what is kept of a segmentation in the scene."""

import json

import numpy as np
import pytest
import slicer
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from ring_model import drawn_ring, ring_model

from CMRLib import provenance
from CMRLib.errors import InputError
from CMRLib.geometry import Geometry
from CMRLib.review import Status
from CMRLib.scene import landmarks, regions, segmentmeasurement
from CMRLib.scene.tables import measureRegions
from CMRLib.scene.volumes import addVolume
from CMRQCSegmentationLib.answers import Answer, digest, labels_from_text, labels_to_text
from CMRQCSegmentationLib.prediction import UNSURE, SliceSegmentation, segment_slices
from CMRQCSegmentationLib.scene import segmentations
from CMRQCSegmentationLib.scene.segmentationreview import readAnswer, readReview
from CMRQCSegmentationLib.scene.segmentpixels import segmentMask, setSegmentMask

GEOMETRY = Geometry((31.0, 12.5, 40.0), (1.2, 1.4, 8.0), (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0))


@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=3, max_side=6), elements=st.integers(0, 2)))
def test_labels_come_back_from_their_text(labels):
    found = labels_from_text(labels_to_text(labels))
    np.testing.assert_array_equal(found, labels)
    assert found.dtype == np.uint8 and digest(found) == digest(labels)


def test_digests_tell_labels_apart():
    labels = np.zeros((9, 9), np.uint8)
    other = labels.copy()
    other[4, 4] = 1
    assert digest(labels) != digest(other)


def test_an_answer_comes_back_from_its_text():
    image, _labels = drawn_ring((90, 100), (45.0, 52.0))
    (result,) = segment_slices(image[None], model=ring_model(shifts=(0, 1, 3)))
    answer = Answer.of(result)
    found = Answer.from_text(answer.to_text())
    assert found.names == ("scs-1", "scs-2", "scs-3", "ccs-1", "ccs-2", "ccs-3") and found.chosen == result.candidate
    np.testing.assert_allclose(found.predictions, result.predictions, atol=1e-4)
    np.testing.assert_array_equal(found.labels, answer.labels)
    np.testing.assert_array_equal(found.shown(), result.labels)
    assert found.best_first()[0][0] == result.candidate
    assert len(answer.to_text()) < 5000, "small enough to travel with the scene"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"names": ["a"], "predictions": [], "chosen": "", "labels": "[]"}'])
def test_a_damaged_answer_is_told(text):
    with pytest.raises(ValueError):
        Answer.from_text(text)


@pytest.mark.parametrize("text", ["1", '[[2, 2], [0, 0], [1, 1], "AAAA"]', "[[2, 2], [0, 0]]"])
def test_damaged_labels_are_told(text):
    with pytest.raises(ValueError):
        labels_from_text(text)


# In the scene


def rings(slices=3, shape=(80, 80)):
    rows, columns = np.indices(shape) - 39.5
    distance = np.hypot(rows, columns)
    plane = np.where(distance < 15, 2, np.where(distance < 25, 1, 0)).astype(np.uint8)
    return np.repeat(plane[None], slices, axis=0)


@pytest.fixture
def stored(scene):
    """Three slices of which the second is doubtful, over a map of 1000 in the wall and 300 elsewhere."""
    labels = rings()
    volume = addVolume("Map", np.where(labels == 1, 1000.0, 300.0).astype(np.float32), GEOMETRY)
    results = [
        SliceSegmentation(i, plane, p, p - 0.1, p < 0.7, UNSURE if p < 0.7 else "", "ccs-2", None, ())
        for i, (plane, p) in enumerate(zip(labels, (0.9, 0.5, 0.8), strict=True))
    ]
    attributes = provenance.result_attributes("segmentation", source=volume.GetID())
    return volume, segmentations.storeSegmentation(volume, results, attributes)


def test_the_aha_table_takes_the_segmentation_as_it_is_and_no_rejected_slice(stored):
    volume, node = stored
    points = landmarks.createByHand(volume)
    for index in range(3):
        landmarks.placeByHand(points, volume, index)

    def measured():
        myocardium = regions.regionMasks(node, volume)["Myocardium"]
        found = segmentmeasurement.measureSegments(points, volume, myocardium).statistics
        return {number: values for number, values in found.items() if values is not None}

    first = measured()
    assert len(first) == 16 and {round(values.mean) for values in first.values()} == {1000}
    assert sum(values.pixels for values in first.values()) == np.count_nonzero(rings() == 1)
    segmentations.judge(node, volume, [1], Status.REJECTED, "AB")
    assert sum(values.pixels for values in measured().values()) == np.count_nonzero(rings(2) == 1)


def test_region_statistics_take_the_segmentation_as_it_is(stored):
    volume, node = stored
    table = measureRegions(volume, node).GetTable()
    names = [table.GetValueByName(row, "Region").ToString() for row in range(table.GetNumberOfRows())]
    means = [table.GetValueByName(row, "Mean [ms]").ToDouble() for row in range(table.GetNumberOfRows())]
    assert dict(zip(names, means, strict=True)) == pytest.approx({"Myocardium": 1000.0, "Blood pool": 300.0})


def test_predicted_dice_is_an_attribute_of_its_own(stored):
    _volume, node = stored
    assert json.loads(node.GetAttribute("CMR.QC.PredictedDice")) == [0.9, 0.5, 0.8]
    assert json.loads(node.GetAttribute("CMR.QC.Status")) == ["auto", "flagged", "auto"]
    assert node.GetNodeReferenceID("CMR.Source") == node.GetAttribute("CMR.Source")


def test_a_candidate_that_is_not_there_changes_nothing(stored):
    volume, node = stored
    before = node.GetAttribute("CMR.QC.History")
    with pytest.raises(InputError, match="Slice 0 has no candidate scs-9; choose one of the list"):
        segmentations.take(node, volume, 0, "scs-9")
    assert node.GetAttribute("CMR.QC.History") == before
    np.testing.assert_array_equal(segmentations.readLabels(node, volume), rings())


def test_damaged_attributes_are_one_sentence(stored):
    _volume, node = stored
    node.SetAttribute("CMR.Segmentation.Answers", "[")
    with pytest.raises(InputError, match="The review kept with Map segmentation is damaged; click Apply again"):
        readAnswer(node, 0)
    node.SetAttribute("CMR.QC.Status", '["auto"]')
    with pytest.raises(InputError, match="damaged"):
        readReview(node)


def test_a_segmentation_of_other_slices_is_made_anew(stored):
    """The volume was loaded again with fewer slices: nothing of the earlier review fits."""
    volume, node = stored
    segmentations.judge(node, volume, [0], Status.ACCEPTED, "AB")
    slicer.util.updateVolumeFromArray(volume, np.full((1, 80, 80), 300.0, np.float32))
    result = SliceSegmentation(0, rings(1)[0], 0.9, 0.8, False, "", "ccs-2", None, ())
    attributes = provenance.result_attributes("segmentation", source=volume.GetID())
    assert segmentations.storeSegmentation(volume, [result], attributes, keep=[0]) is node
    (entry,) = readReview(node)
    assert entry.status is Status.AUTO
    np.testing.assert_array_equal(segmentations.readLabels(node, volume), rings(1))


def test_other_segments_of_the_node_are_left_alone(stored):
    volume, node = stored
    node.GetSegmentation().AddEmptySegment("scar", "Scar")
    scar = np.zeros((3, 80, 80), bool)
    scar[0, 20:25, 38:42] = True
    setSegmentMask(node, "scar", volume, scar)
    segmentations.noticeEdits(node, volume)
    segmentations.reset(node, volume, [0, 1, 2])
    np.testing.assert_array_equal(segmentMask(node, "scar", volume), scar)
    np.testing.assert_array_equal(segmentations.readLabels(node, volume), rings())
