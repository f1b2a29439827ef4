"""The bull's-eye: where segments are drawn, their colors, and the document."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from CMRLib.anatomy.aha import SEGMENTS, label_slice, segment_borders
from CMRLib.anatomy.bullseye import EMPTY_COLOR, RINGS, ColorScale, draw_sectors, make_bullseye, sector_degrees
from CMRLib.anatomy.bullseye_svg import bullseye_svg
from CMRLib.anatomy.landmarks import SliceLandmarks
from CMRLib.errors import InputError

SCALE = ColorScale((0.0, 10.0, 20.0), ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)), "T1 [ms]")
RED, GREEN, BLUE = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
SVG = "{http://www.w3.org/2000/svg}"


def number_scale():
    """A scale in which the red of a color is the segment's number."""
    return ColorScale((0.0, 255.0), ((0.0, 0.0, 0.0), (1.0, 0.0, 0.0)))


def test_anterior_is_on_top_and_segments_follow_counter_clockwise():
    middles = {n: sum(sector_degrees(n)) / 2 % 360 for n in range(1, 17)}
    assert [middles[n] for n in (1, 7, 13)] == [90, 90, 90]
    assert [middles[n] for n in range(1, 7)] == [90, 150, 210, 270, 330, 30]
    assert [middles[n] for n in range(13, 17)] == [90, 180, 270, 0]


@pytest.mark.parametrize("level", RINGS)
def test_the_picture_and_the_model_agree(level):
    """A round heart with its insertion where the picture has it shows the picture itself."""
    size = 241
    middle = (size - 1) / 2
    angle = np.radians(120)
    points = SliceLandmarks((middle, middle), (middle - 100 * np.sin(angle), middle + 100 * np.cos(angle)))
    for number, (begin, _) in segment_borders(points, level).items():
        assert sector_degrees(number)[0] == pytest.approx((120 + begin) % 360)
    pixels = draw_sectors(make_bullseye({s.number: s.number for s in SEGMENTS}, number_scale()), size)
    rows, columns = np.indices((size, size))
    radius = np.hypot(rows - middle, columns - middle) / (size / 2)
    inner, outer = RINGS[level]
    labels = label_slice((radius > inner + 0.02) & (radius < outer - 0.02), points, level)
    plain = (labels > 0) & (pixels[..., 1] == 0)  # without the borders, which are grey
    assert np.count_nonzero(plain) > 0.9 * np.count_nonzero(labels)
    np.testing.assert_array_equal(pixels[plain][:, 0], labels[plain])


def test_pixels_around_the_circle_are_transparent_and_its_edge_is_smooth():
    pixels = draw_sectors(make_bullseye(dict.fromkeys(range(1, 17), 10.0), SCALE), 100)
    assert pixels.shape == (100, 100, 4) and pixels.dtype == np.uint8
    assert np.all(pixels[[0, 0, -1, -1], [0, -1, 0, -1], 3] == 0)
    assert tuple(pixels[25, 50]) == (0, 255, 0, 255)
    opacity = pixels[..., 3]
    assert np.any((opacity > 0) & (opacity < 255))
    np.testing.assert_array_equal(opacity, opacity[::-1])


def test_colors_change_evenly_between_the_given_ones():
    assert SCALE.color(0) == BLUE and SCALE.color(10) == GREEN and SCALE.color(20) == RED
    np.testing.assert_allclose(SCALE.color(5), (0, 0.5, 0.5))
    np.testing.assert_allclose(SCALE.color(12.5), (0.25, 0.75, 0))
    assert SCALE.color(-1e9) == BLUE and SCALE.color(1e9) == RED
    assert SCALE.color(np.nan) == EMPTY_COLOR


def test_colors_jump_at_thresholds():
    scale = ColorScale((800, 912, 912, 1012, 1012, 1200), (BLUE, BLUE, GREEN, GREEN, RED, RED))
    assert [scale.color(v) for v in (0, 911.9, 912, 1011.9, 1012, 5000)] == [BLUE, BLUE, GREEN, GREEN, RED, RED]
    assert scale.ticks() == (912, 1012)


def test_values_that_a_map_does_not_draw_are_grey():
    scale = ColorScale(SCALE.values, SCALE.colors, shown=(5, 15))
    bullseye = make_bullseye({1: 4.9, 2: 5, 3: 15, 4: 15.1}, scale)
    assert [s.color == EMPTY_COLOR for s in bullseye.sectors[:4]] == [True, False, False, True]
    assert [s.text for s in bullseye.sectors[:5]] == ["5", "5", "15", "15", "–"]


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 2000, (0, 500, 1000, 1500, 2000)),
        (0, 1, (0, 0.2, 0.4, 0.6, 0.8, 1.0)),
        (850, 1130, (850, 900, 950, 1000, 1050, 1100)),
        (-5, 15, (-5, 0, 5, 10, 15)),
    ],
)
def test_round_numbers_stand_at_the_color_bar(low, high, ticks):
    assert ColorScale((low, high), (BLUE, RED)).ticks() == pytest.approx(ticks)


@given(st.floats(-1e4, 1e4), st.floats(1e-3, 1e5))
def test_any_range_has_some_round_numbers(low, span):
    scale = ColorScale((low, low + span), (BLUE, RED))
    ticks = scale.ticks()
    assert 3 <= len(ticks) <= 11
    assert low - 1e-6 * span <= ticks[0] and ticks[-1] <= low + span * (1 + 1e-6)


def test_text_stands_out_on_its_color():
    bullseye = make_bullseye({1: 0, 2: 10}, SCALE)
    assert bullseye.sectors[0].text_color == (1, 1, 1)  # white on blue
    assert bullseye.sectors[1].text_color == (0, 0, 0)  # black on green


values = st.dictionaries(st.integers(1, 16), st.none() | st.floats(), max_size=16)


@given(values)
def test_any_values_give_sixteen_sectors_and_a_document(given_values):
    bullseye = make_bullseye(given_values, SCALE)
    assert [s.segment for s in bullseye.sectors] == list(range(1, 17))
    for sector in bullseye.sectors:
        value = given_values.get(sector.segment)
        assert (sector.value is None) == (value is None or not np.isfinite(value))
        assert np.all((np.array(sector.color) >= 0) & (np.array(sector.color) <= 1))
    assert len(ET.fromstring(bullseye_svg(bullseye)).findall(f"{SVG}path[{SVG}title]")) == 16


def test_the_document_holds_numbers_values_names_and_scale():
    bullseye = make_bullseye({1: 3, 16: 17.4}, SCALE)
    root = ET.fromstring(bullseye_svg(bullseye, "Rest <1.5 T> & more"))
    texts = [element.text for element in root.iter(f"{SVG}text")]
    for expected in ("Rest <1.5 T> & more", "Anterior", "Septal", "Inferior", "Lateral", "T1 [ms]", "3", "17", "20"):
        assert expected in texts
    assert texts.count("–") == 14
    for number in range(1, 17):
        assert str(number) in texts
    titles = [path.find(f"{SVG}title").text for path in root.findall(f"{SVG}path[{SVG}title]")]
    assert titles[0] == "Basal anterior: 3" and titles[15] == "Apical lateral: 17"
    stops = root.findall(f".//{SVG}stop")
    assert [stop.get("stop-color") for stop in stops] == ["#0000ff", "#00ff00", "#ff0000"]


def test_the_document_puts_sectors_where_they_belong():
    root = ET.fromstring(bullseye_svg(make_bullseye({1: 3}, SCALE), size=1000))
    x0, y0, radius = 490, 530, 400
    texts = {e.text: (float(e.get("x")), float(e.get("y"))) for e in root.iter(f"{SVG}text")}
    assert texts["1"][0] == pytest.approx(x0) and texts["1"][1] < y0 - 0.7 * radius
    assert texts["14"][0] < x0 and texts["14"][1] == pytest.approx(y0, abs=20)
    assert texts["Septal"][0] < x0 - radius < x0 + radius < texts["Lateral"][0]


def test_what_is_no_scale_or_segment_is_refused():
    with pytest.raises(InputError, match="no segment 17"):
        make_bullseye({17: 1.0}, SCALE)
    with pytest.raises(InputError, match="two or more values"):
        ColorScale((1.0,), (RED,))
    with pytest.raises(InputError, match="must ascend"):
        ColorScale((2.0, 1.0), (RED, BLUE))
