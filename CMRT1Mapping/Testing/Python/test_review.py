"""The review of a result slice by slice: order, text form, history."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from CMRLib.review import (
    ATTRIBUTES,
    Change,
    SliceReview,
    Status,
    changes,
    from_attributes,
    history_from_text,
    history_to_csv,
    history_to_text,
    review_order,
    to_attributes,
)

TEXT = st.text(max_size=20)
ENTRY = st.builds(
    SliceReview,
    slice=st.just(0),
    status=st.sampled_from(Status),
    confidence=st.none() | st.floats(0, 1),
    reason=TEXT,
    reviewer=TEXT,
    comment=TEXT,
)


def numbered(entries):
    return [SliceReview(**{**vars(entry), "slice": index}) for index, entry in enumerate(entries)]


@given(st.lists(ENTRY, min_size=1, max_size=6).map(numbered))
def test_a_review_comes_back_from_its_attributes(entries):
    assert from_attributes(to_attributes(entries).get) == entries


def test_no_attributes_are_no_review():
    assert from_attributes({}.get) == []


@pytest.mark.parametrize("text", ["{", "[1, 2]", '["unheard of"]', '{"a": 1}', "3"])
def test_damaged_attributes_are_an_error(text):
    attributes = {**to_attributes([SliceReview(0)]), "CMR.QC.Status": text}
    with pytest.raises(ValueError):
        from_attributes(attributes.get)


def test_attributes_that_a_later_version_adds_or_an_earlier_lacks_do_not_matter():
    attributes = to_attributes([SliceReview(0, Status.ACCEPTED, reviewer="AB")])
    del attributes["CMR.QC.Comment"]
    assert from_attributes({**attributes, "CMR.QC.Other": "[]"}.get) == [SliceReview(0, Status.ACCEPTED, reviewer="AB")]


def test_what_needs_a_look_comes_first_and_what_was_dealt_with_last():
    entries = [
        SliceReview(0, Status.AUTO, 0.95),
        SliceReview(1, Status.ACCEPTED, 0.2, "unsure"),
        SliceReview(2, Status.FLAGGED, 0.4, "unsure"),
        SliceReview(3, Status.MISSING, 0.1, "no heart"),
        SliceReview(4, Status.MISSING),
        SliceReview(5, Status.AUTO, 0.8),
        SliceReview(6, Status.REJECTED, 0.3, "unsure"),
    ]
    assert review_order(entries) == [3, 2, 5, 0, 4, 1, 6]


def test_the_history_holds_changes_of_status_alone():
    before = [SliceReview(0, Status.AUTO), SliceReview(1, Status.FLAGGED, reason="unsure")]
    after = [
        SliceReview(0, Status.AUTO, comment="fine"),
        SliceReview(1, Status.CORRECTED, reason="unsure", reviewer="X"),
    ]
    made = changes(before, after, "2026-01-02T03:04:05+00:00", "moved")
    assert made == [Change("2026-01-02T03:04:05+00:00", 1, Status.FLAGGED, Status.CORRECTED, "X", "moved")]
    assert history_from_text(history_to_text(made)) == made and history_from_text(None) == []
    rows = list(csv.DictReader(io.StringIO(history_to_csv(made, {"result": "T1 map landmarks"}))))
    assert rows == [
        {
            **{"result": "T1 map landmarks", "time": "2026-01-02T03:04:05+00:00", "slice": "1"},
            **{"before": "flagged", "after": "corrected", "reviewer": "X", "note": "moved"},
        }
    ]


@pytest.mark.parametrize("text", ["{", "[1]", '[{"time": "now"}]'])
def test_a_damaged_history_is_an_error(text):
    with pytest.raises(ValueError):
        history_from_text(text)


def test_every_field_but_the_slice_has_an_attribute():
    assert set(ATTRIBUTES.values()) == set(SliceReview.__dataclass_fields__) - {"slice"}
