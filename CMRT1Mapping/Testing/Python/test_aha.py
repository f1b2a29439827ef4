"""The 16 segments: hand-computed places, any orientation of the image, and what cannot be divided."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from CMRLib.anatomy.aha import (
    SEGMENTS,
    counting_direction,
    label_slice,
    segment_borders,
    segment_statistics,
    septal_angle,
)
from CMRLib.anatomy.axis import LEVELS, levels_along_stack
from CMRLib.anatomy.landmarks import SliceLandmarks
from CMRLib.errors import InputError
from CMRLib.geometry import Geometry
from CMRLib.simulation import simulate_study

CENTER = np.array([40.0, 44.0])


def towards(degrees, distance, center=CENTER):
    """(row, column) seen from the centre; degrees as in mathematics: 0 to the right, 90 up."""
    angle = np.radians(degrees)
    return tuple(center + distance * np.array([-np.sin(angle), np.cos(angle)]))


# The anterior insertion at 120 degrees puts the segments where the published bull's-eye has them.
STANDARD = SliceLandmarks(tuple(CENTER), towards(120, 25), towards(240, 25))


def ring(shape=(80, 90), center=CENTER, inner=15.0, outer=25.0, spacing=(1.0, 1.0)):
    """A round myocardium; spacing is (row, column) in mm."""
    rows, columns = np.indices(shape)
    distance = np.hypot((rows - center[0]) * spacing[0], (columns - center[1]) * spacing[1])
    return (distance >= inner) & (distance <= outer)


def at(labels, degrees, distance=20):
    row, column = np.round(towards(degrees, distance)).astype(int)
    return labels[row, column]


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        # degrees on the published bull's-eye -> segment
        ("basal", {90: 1, 150: 2, 210: 3, 270: 4, 330: 5, 30: 6, 118: 1, 122: 2, 62: 1, 58: 6}),
        ("mid", {90: 7, 150: 8, 210: 9, 270: 10, 330: 11, 30: 12, 182: 9, 178: 8, 2: 12, 358: 11}),
        ("apical", {90: 13, 180: 14, 270: 15, 0: 16, 132: 13, 138: 14, 222: 14, 228: 15, 312: 15, 318: 16, 48: 13}),
    ],
)
@pytest.mark.parametrize("rule", ["equal", "insertions"])
def test_segments_lie_where_the_published_bulls_eye_has_them(level, expected, rule):
    # A septum of 120 degrees is that of the model, so both rules agree.
    labels = label_slice(ring(), STANDARD, level, rule=rule)
    assert {degrees: at(labels, degrees) for degrees in expected} == expected


def test_segments_are_equally_large():
    for level, count in (("basal", 6), ("apical", 4)):
        labels = label_slice(ring(), STANDARD, level)
        sizes = [np.count_nonzero(labels == s.number) for s in SEGMENTS if s.level == level]
        assert sum(sizes) == np.count_nonzero(ring())
        np.testing.assert_allclose(sizes, ring().sum() / count, rtol=0.04)


def test_a_narrow_septum_is_halved_between_the_insertions():
    points = replace(STANDARD, inferior_rv_insertion=towards(200, 25))  # 80 degrees beyond the anterior one
    borders = segment_borders(points, "mid", rule="insertions")
    expected = {8: (0, 40), 9: (40, 80), 10: (80, 150), 11: (150, 220), 12: (220, 290), 7: (290, 360)}
    assert borders.keys() == expected.keys()
    for number, place in expected.items():
        np.testing.assert_allclose(borders[number], place, atol=1e-5)
    apical = segment_borders(points, "apical", rule="insertions")
    np.testing.assert_allclose(apical[14], (355, 445), atol=1e-5)  # 90 degrees around the septum's middle at 40
    labels = label_slice(ring(), points, "apical", rule="insertions")
    assert [at(labels, degrees) for degrees in (160, 250, 340, 70)] == [14, 15, 16, 13]


def test_angles_are_measured_in_millimetres():
    geometry = Geometry(spacing=(2.0, 1.0, 8.0))  # columns 2 mm apart, rows 1 mm
    points = SliceLandmarks((0.0, 0.0), (-10.0, 0.0))
    assert septal_angle(np.array([-10.0, -5.0]), points, geometry) == pytest.approx(45)  # 10 mm up, 10 mm to the left
    assert septal_angle(np.array([-10.0, -10.0]), points) == pytest.approx(45)


# Directions in the patient (LPS) of a heart with the usual axis, worked out by hand: across the axis, to the head and
# front for the anterior wall; a quarter turn from it lies the septum, to the patient's right and front.
AXIS = np.array([1.0, -1.0, -1.0]) / np.sqrt(3)
ANTERIOR = np.array([1.0, -1.0, 2.0]) / np.sqrt(6)
SEPTAL = np.array([-1.0, -1.0, 0.0]) / np.sqrt(2)


def test_the_anatomical_directions_of_this_test_are_at_right_angles():
    assert np.allclose([AXIS @ ANTERIOR, AXIS @ SEPTAL, ANTERIOR @ SEPTAL], 0)


def short_axis_stack(tilt=0.2):
    """Labels' inputs for a stack of five slices, 1.5 x 1.25 x 8 mm, basal first, shown as usual, turned by ``tilt``."""
    right = -np.cos(tilt) * SEPTAL + np.sin(tilt) * ANTERIOR  # columns grow away from the septum: it is on the left
    down = -np.cos(tilt) * ANTERIOR - np.sin(tilt) * SEPTAL
    direction = np.stack([right, down, AXIS], axis=1)
    geometry = Geometry((-30.0, 40.0, 55.0), (1.5, 1.25, 8.0), tuple(direction.ravel()))
    mask = np.stack([ring((80, 90), CENTER, 12 - n, 24 - n, (1.25, 1.5)) for n in range(5)])
    lps = geometry.ijk_to_lps()
    landmarks = []
    for n in range(5):
        center = lps @ [CENTER[1], CENTER[0], n, 1]
        insertion = center.copy()
        insertion[:3] += 24 * (np.cos(np.pi / 6) * ANTERIOR + np.sin(np.pi / 6) * SEPTAL)
        column, row = (np.linalg.inv(lps) @ insertion)[:2]
        landmarks.append(SliceLandmarks(tuple(CENTER), (row, column)))
    return mask, landmarks, geometry


def divided(mask, landmarks, geometry):
    """Segments of every slice of a stack, at the levels that go with it."""
    levels = levels_along_stack(range(len(mask)), geometry)
    return np.stack([label_slice(mask[n], landmarks[n], levels[n], geometry) for n in range(len(mask))])


def test_patient_directions_decide_where_segments_lie():
    mask, landmarks, geometry = short_axis_stack()
    assert counting_direction(geometry) == -1  # the usual view is from the apex
    labels = divided(mask, landmarks, geometry)

    def wall(slice_index, direction):
        lps = geometry.ijk_to_lps()
        point = lps @ [CENTER[1], CENTER[0], slice_index, 1] + 16 * np.append(direction, 0)
        column, row = np.round((np.linalg.inv(lps) @ point)[:2]).astype(int)
        return SEGMENTS[labels[slice_index, row, column] - 1].name

    assert wall(0, ANTERIOR) == "Basal anterior"
    assert wall(0, -ANTERIOR) == "Basal inferior"
    assert wall(2, 0.5 * ANTERIOR + 0.87 * SEPTAL) == "Mid anteroseptal"
    assert wall(2, -0.5 * ANTERIOR + 0.87 * SEPTAL) == "Mid inferoseptal"
    assert wall(2, -0.5 * ANTERIOR - 0.87 * SEPTAL) == "Mid inferolateral"
    assert wall(2, 0.5 * ANTERIOR - 0.87 * SEPTAL) == "Mid anterolateral"
    assert [wall(4, d) for d in (ANTERIOR, SEPTAL, -ANTERIOR, -SEPTAL)] == [
        *("Apical anterior", "Apical septal", "Apical inferior", "Apical lateral")
    ]


def reoriented(array, geometry, transpose, flips):
    """The same images stored another way; also a function that takes (row, column) along."""
    matrix, size = geometry.ijk_to_lps(), np.array(array.shape[::-1])
    order = [1, 0, 2] if transpose else [0, 1, 2]
    array, matrix, size = (array.transpose(0, 2, 1) if transpose else array), matrix[:, [*order, 3]], size[order]
    for axis, flip in enumerate(flips):  # in the order of columns, rows, slices
        if flip:
            array = np.flip(array, 2 - axis)
            matrix[:, 3] += matrix[:, axis] * (size[axis] - 1)
            matrix[:, axis] *= -1
    matrix[3] = [0, 0, 0, 1]
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    turned = Geometry(tuple(matrix[:3, 3]), tuple(spacing), tuple((matrix[:3, :3] / spacing).ravel()))

    def move(point):
        row, column = point[::-1] if transpose else point
        return (size[1] - 1 - row if flips[1] else row), (size[0] - 1 - column if flips[0] else column)

    return array, turned, move


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("flips", list(itertools.product([False, True], repeat=3)))
@pytest.mark.parametrize("tilt", [0.0, 0.2])  # without a tilt, some pixels lie exactly on borders
def test_a_stack_stored_in_any_orientation_has_the_same_segments(transpose, flips, tilt):
    mask, landmarks, geometry = short_axis_stack(tilt)
    labels = divided(mask, landmarks, geometry)

    turned_mask, turned_geometry, move = reoriented(mask, geometry, transpose, flips)
    order = range(4, -1, -1) if flips[2] else range(5)
    points = [SliceLandmarks(move(landmarks[n].lv_center), move(landmarks[n].rv_insertion)) for n in order]
    result = divided(turned_mask, points, turned_geometry)

    expected, _, _ = reoriented(labels, geometry, transpose, flips)
    np.testing.assert_array_equal(result, expected)
    assert set(np.unique(result)) == set(range(17))


def test_a_placeholder_for_the_geometry_decides_nothing():
    mirrored = Geometry(direction=(1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0))
    assert counting_direction(None) == counting_direction(mirrored) == counting_direction(Geometry()) == -1
    assert levels_along_stack(range(3), mirrored) == {0: "basal", 1: "mid", 2: "apical"}


finite = st.floats(-60, 60)
POINTS = st.tuples(finite, finite)


@given(st.floats(0, 360), st.floats(0, 360), POINTS, st.sampled_from(LEVELS), st.floats(40, 190))
def test_segments_partition_the_mask_and_turn_with_it(entry, turn, shift, level, septum):
    center = np.array([60.0, 60.0])
    mask = ring((121, 121), center, 10, 16)
    rule = "insertions"

    def points(by):
        return SliceLandmarks(tuple(center), towards(entry + by, 16, center), towards(entry + septum + by, 16, center))

    labels = label_slice(mask, points(0), level, rule=rule)
    allowed = {s.number for s in SEGMENTS if s.level == level}
    assert np.array_equal(labels > 0, mask)
    assert set(np.unique(labels[mask])) <= allowed

    # Turning points and landmarks together changes no angle.
    pixels = np.argwhere(mask)
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    turned = (pixels - center) @ np.array([[c, s], [-s, c]]) + center  # counter-clockwise on the screen
    change = septal_angle(turned, points(turn)) - septal_angle(pixels, points(0))
    np.testing.assert_allclose((change + 180) % 360 - 180, 0, atol=1e-5)

    # Shifting all together changes nothing either.
    moved = SliceLandmarks(*(tuple(np.add(p, shift)) for p in (points(0).lv_center, points(0).rv_insertion)))
    change = septal_angle(pixels + shift, moved) - septal_angle(pixels, points(0))
    np.testing.assert_allclose((change + 180) % 360 - 180, 0, atol=1e-5)


@given(POINTS, st.sampled_from(LEVELS), st.floats(30, 200))
def test_borders_close_the_circle(insertion, level, septum):
    if np.hypot(*insertion) < 1:
        return
    angle = np.degrees(np.arctan2(-insertion[0], insertion[1])) + septum
    points = SliceLandmarks((0.0, 0.0), insertion, towards(angle, 20, np.zeros(2)))
    try:
        borders = segment_borders(points, level, rule="insertions")
    except InputError:  # just outside the range by rounding
        assert septum in (30, 200)
        return
    spans = sorted(borders.values())
    assert sum(end - begin for begin, end in spans) == pytest.approx(360)
    for (_, end), (begin, _) in itertools.pairwise([*spans, (spans[0][0] + 360, 0)]):
        assert end == pytest.approx(begin)


@pytest.mark.parametrize(
    ("count", "expected"),
    [(1, "m"), (2, "ba"), (3, "bma"), (5, "bbmaa"), (6, "bbmmaa"), (10, "bbbmmmmaaa"), (12, "bbbbmmmmaaaa")],
)
def test_levels_follow_the_place_along_the_stack(count, expected):
    names = {"b": "basal", "m": "mid", "a": "apical"}
    positions = range(3, 3 + count)
    assert levels_along_stack(positions) == {n: names[c] for n, c in zip(positions, expected, strict=True)}


def test_levels_know_gaps_and_nothing():
    assert levels_along_stack([9, 0, 4]) == {0: "basal", 4: "mid", 9: "apical"}
    assert levels_along_stack([]) == {}


def test_statistics_of_every_segment():
    labels = label_slice(ring(), STANDARD, "mid")
    values = np.where(labels > 0, 900.0 + 10 * labels, np.nan)
    values[labels == 8] = np.nan  # nothing fitted in segment 8
    rows, columns = np.nonzero(labels == 9)
    values[rows[0], columns[0]] += 7
    statistics = segment_statistics(values, labels)
    assert list(statistics) == list(range(1, 17))
    assert statistics[7].mean == pytest.approx(970) and statistics[7].sd == 0
    assert statistics[7].pixels == np.count_nonzero(labels == 7)
    assert statistics[9].mean == pytest.approx(990 + 7 / len(rows)) and statistics[9].median == 990
    assert statistics[9].sd == pytest.approx(7 / np.sqrt(len(rows)))
    assert statistics[8] is None and statistics[1] is None
    fitted = labels != 10
    assert segment_statistics(values, labels, fitted)[10] is None


def test_codes_are_those_of_dicom():
    concepts = pytest.importorskip("pydicom.sr.codedict").codes
    assert [s.number for s in SEGMENTS] == list(range(1, 17))
    for segment in SEGMENTS:
        keyword = "LeftVentricle" + segment.name.title().replace(" ", "") + "Segment"
        concept = getattr(concepts.SCT, keyword)
        assert (concept.value, concept.meaning) == (segment.code, segment.meaning)


@pytest.mark.parametrize(
    ("change", "mask", "level", "sentence"),
    [
        ({"rv_insertion": tuple(CENTER)}, ring(), "mid", "lies on the LV centre"),
        ({"lv_center": (np.nan, 3.0)}, ring(), "mid", "has no position"),
        ({"lv_center": (5.0, 5.0)}, ring(), "mid", "does not lie within the myocardium"),
        ({}, ring() & (np.arange(90) > 48), "mid", "does not lie within the myocardium"),
        ({}, np.zeros((80, 90)), "mid", "no myocardium"),
        ({}, ring()[None], "mid", "axes"),
        ({}, ring(), "middle", "choose basal, mid or apical"),
        ({"inferior_rv_insertion": None}, ring(), "mid", "inferior RV insertion is missing"),
        ({"rv_insertion": towards(240, 25), "inferior_rv_insertion": towards(120, 25)}, ring(), "mid", "exchanged"),
    ],
)
def test_what_cannot_be_divided_is_said_in_one_sentence(change, mask, level, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        rule = "insertions" if "inferior_rv_insertion" in change else "equal"
        label_slice(mask, replace(STANDARD, **change), level, rule=rule)
    assert str(caught.value).count(". ") == 0 and str(caught.value).endswith(".")


def test_what_is_no_short_axis_stack_is_refused():
    in_plane = Geometry(direction=tuple(np.stack([AXIS, ANTERIOR, SEPTAL], axis=1).ravel()))
    for question in (
        lambda: label_slice(ring(), STANDARD, "mid", in_plane),
        lambda: levels_along_stack([0, 1], in_plane),
    ):
        with pytest.raises(InputError, match="no short-axis image"):
            question()
    with pytest.raises(InputError, match="choose equal or insertions"):
        segment_borders(STANDARD, "mid", rule="thirds")
    with pytest.raises(InputError, match="do not match the map"):
        segment_statistics(np.zeros((3, 3)), np.zeros((3, 4)))


@pytest.mark.parametrize("seed", [1, 2])
def test_segments_of_a_simulated_heart_lie_beside_its_right_ventricle(seed):
    """The simulator draws the heart and says where it lies in the patient; the septum must be where the RV is."""
    for acquisition in simulate_study(seed=seed, shape=(144, 144), spacing_mm=1.875).acquisitions:
        truth, geometry = acquisition.truth, acquisition.geometry
        points = SliceLandmarks(
            truth.landmarks.lv_center, truth.landmarks.rv_insertion, truth.landmarks.inferior_rv_insertion
        )
        labels = label_slice(truth.labels == 1, points, acquisition.slice, geometry)
        rv = np.argwhere(truth.labels == 3)  # 1 is myocardium, 3 the right ventricle's cavity
        angles = septal_angle(rv, points, geometry)
        assert 20 < np.median(angles) < 100, acquisition.slice
        assert 40 < septal_angle(np.array(points.inferior_rv_insertion), points, geometry) < 180
        assert {SEGMENTS[n - 1].level for n in np.unique(labels[labels > 0])} == {acquisition.slice}
        label_slice(labels > 0, points, acquisition.slice, geometry, "insertions")
