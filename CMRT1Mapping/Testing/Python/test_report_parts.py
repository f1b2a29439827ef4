"""The parts of a report: pixels, ranks, distributions."""

import base64

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 (the name its users know)

from CMRLib.anatomy.bullseye import ColorScale
from CMRLib.errors import MissingDependencyError
from CMRLib.export.report.distributions import FEWEST, distribution, histogram
from CMRLib.export.report.findings import findings
from CMRLib.export.report.items import Mark, Measure, Picture, title_of
from CMRLib.export.report.pages import drawn
from CMRLib.export.report.pixels import colored, grey, png_uri
from CMRLib.files.color_tables import T1_COLOR_TABLES, read_color_table


def test_a_map_has_the_colors_of_its_scale():
    scale = read_color_table(T1_COLOR_TABLES["1.5 T"])
    values = np.array([[-50.0, 0.0, 962.0, 987.0], [5000.0, np.nan, np.inf, 1500.0]])
    pixels = colored(values, scale)
    assert pixels.dtype == np.uint8 and pixels.shape == (2, 4, 3)
    for place in ((0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 3)):
        expected = 255 * np.array(scale.color(max(values[place], 0.0)))
        assert np.abs(pixels[place] - expected).max() <= 0.51
    assert not pixels[1, 1].any() and not pixels[1, 2].any()


def test_colors_jump_where_a_scale_does():
    scale = ColorScale((0.0, 10.0, 10.0, 20.0), (2 * ((0.0, 0.0, 0.0),) + 2 * ((1.0, 1.0, 1.0),)))
    assert colored(np.array([[9.99, 10.0, 10.01]]), scale)[0, :, 0].tolist() == [0, 255, 255]


@pytest.mark.parametrize("values", [np.zeros((4, 5)), np.full((4, 5), np.nan), np.full((4, 5), 1e30)])
def test_grey_of_an_image_without_contrast(values):
    assert grey(values).shape == (4, 5, 3)


def test_grey_runs_from_black_to_white():
    pixels = grey(np.arange(10000.0).reshape(100, 100))
    assert pixels.min() == 0 and pixels.max() == 255 and np.ptp(pixels, axis=-1).max() == 0
    assert grey(np.array([[0.0, 25.0, 80.0]]), (0.0, 50.0))[0, :, 0].tolist() == [0, 128, 255]


def test_png_holds_the_pixels(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (7, 5, 3)).astype(np.uint8)
    kind, content = png_uri(pixels).split(",")
    assert kind == "data:image/png;base64"
    (tmp_path / "read.png").write_bytes(base64.b64decode(content))
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "read.png"))), pixels)


def test_marks_lie_on_their_pixels_however_long_these_are():
    marks = (Mark("spot", ((0.0, 0.0),), "a"), Mark("line", ((-0.5, -0.5), (9.5, 19.5))))
    place = drawn(Picture("", "", np.zeros((10, 20, 3), np.uint8), (2.0, 1.0), marks))
    assert (place["width"], place["height"]) == (300.0, 300.0)
    assert place["marks"][0]["at"] == [(7.5, 15.0)] and place["marks"][1]["at"] == [(0.0, 0.0), (300.0, 300.0)]


def test_what_matters_most_comes_first():
    entry = {"role": "lge", "slice": 3, "flagged": True, "reason": "they disagree"}
    results = {"errors": ["lost"], "warnings": ["warned"], "notes": ["noted"], "landmarks": [entry, {"flagged": False}]}
    found = [(finding.word, finding.text) for finding in findings(results, ["landmarks"])]
    assert found == [
        ("Lost", "lost"),
        ("Look", "Landmarks, LGE slice 3: they disagree"),
        ("Warning", "warned"),
        ("Note", "noted"),
    ]


@pytest.mark.parametrize(
    ("entry", "title"),
    [
        ({"state": "rest", "slice": "mid"}, "rest mid"),
        ({"role": "t1", "state": "stress", "slice": "basal"}, "T1 stress basal"),
        ({"role": "cine", "state": "", "slice": "mid", "frame": 4}, "Cine mid, frame 4"),
        ({"role": "lge", "state": "", "slice": 0}, "LGE slice 0"),
        ({}, ""),
    ],
)
def test_results_are_named(entry, title):
    assert title_of(entry) == title


def test_measures_are_written_with_their_unit():
    measure = Measure("Motion", lambda entry: entry.get("motion_px"), "px", "{:.1f}")
    assert measure.heading == "Motion [px]"
    assert [measure.text(entry) for entry in ({"motion_px": 1.26}, {}, {"motion_px": "none"})] == ["1.3", "–", "none"]


def test_outliers_lie_beyond_the_fences():
    values = {f"P{n}": float(n % 4) for n in range(20)} | {"far": 50.0, "low": -40.0}
    found = distribution(values)
    assert found.quartiles == tuple(np.percentile(list(values.values()), (25, 50, 75)))
    assert found.outliers == {"far": 50.0, "low": -40.0}
    few = dict(list(values.items())[-FEWEST + 1 :])
    assert distribution(few).fences is None and distribution(few).outliers == {}


@pytest.mark.parametrize("values", [[1.0], [0.0] * 9, [-3.0] * 9, [1e-9, 1e9], list(range(1000)), [0.99, 0.990001]])
def test_every_value_is_in_a_bar(values):
    drawing = histogram(distribution({str(n): float(value) for n, value in enumerate(values)}))
    assert sum(bar.count for bar in drawing.bars) == len(values) and drawing.highest >= 1
    assert 5 <= len(drawing.bars) <= 20
    assert all(-1e-9 <= drawing.share(value) <= 1.0 + 1e-9 for value in (*values, *drawing.ticks))


def test_a_damaged_color_table_is_told(tmp_path, monkeypatch):
    (tmp_path / "broken.txt").write_text("0 0 0\n1 a b c\n", encoding="utf-8")
    monkeypatch.setattr("CMRLib.files.color_tables.resource_path", lambda name: tmp_path / "broken.txt")
    with pytest.raises(MissingDependencyError, match="broken.txt cannot be read; install CMRMapping again"):
        read_color_table("broken")
