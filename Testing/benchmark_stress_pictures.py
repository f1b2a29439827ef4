"""Pictures of stress reactivity: how found and true dT1 agree, and two hearts (as the thesis's figures 3.3 and 3.4)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from PIL import Image

from CMRLib.anatomy.axis import LEVELS
from CMRLib.anatomy.bullseye import ColorScale, draw_sectors, make_bullseye
from CMRLib.files.color_tables import T1_COLOR_TABLES, read_color_table, t1_colors_for_field
from CMRStressReactivityLib.grades import graded_scale, map_scale
from CMRStressReactivityLib.reactivity import reactivity_map
from CMRStressReactivityLib.registration import registered
from CMRStressReactivityLib.research.agreement import icc
from CMRStressReactivityLib.research.evaluation import EvaluationPair, Method, pair_of_scene
from CMRStressReactivityLib.research.scenes import SceneBank
from CMRStressReactivityLib.research.summary import PairResult

DOTS_PER_INCH = 80
COLORS = 96  # of a picture's palette, which makes it a third as large
CASES = {"global": 5, "territorial": 15}  # response -> seed of its motion and of the maps' errors
MARGIN = 26  # pixels around the myocardium
BULLSEYE_PX = 300
LIMITS = 1.96  # standard deviations, of Bland and Altman's limits of agreement
DOT, LINE = "#31608f", "#e6550d"


def draw(results: Sequence[PairResult], name: str, scenes: SceneBank, method: Method, folder: Path) -> None:
    """Write ``stress-agreement.svg`` and, where there is a heart with all levels, ``stress-RESPONSE.png``."""
    folder.mkdir(parents=True, exist_ok=True)
    draw_agreement(results, name, folder / "stress-agreement.svg")
    for response, seed in CASES.items():
        numbers = _whole_heart(scenes)
        if numbers:
            pairs = [pair_of_scene(scenes, number, seed, response) for number in numbers]
            draw_case(pairs, method, folder / f"stress-{response}.png")


def draw_agreement(results: Sequence[PairResult], name: str, file: Path) -> None:
    """Regression and Bland-Altman plots of the slices' and the segments' dT1."""
    errors = [result.errors[name] for result in results]
    slices = np.array([(e.found, e.true) for e in errors])
    segments = np.array([both for e in errors for both in e.segments.values()]).reshape(-1, 2)
    figure = Figure(figsize=(8.0, 7.4), dpi=2 * DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots(2, 2)
    for row, (title, values) in zip(axes, (("slices", slices), ("segments", segments)), strict=True):
        if len(values) > 2:
            _regression(row[0], values, title)
            _bland_altman(row[1], values, title)
    # Without the date and with fixed names, so that the same results give the same file.
    with rc_context({"svg.hashsalt": "stress", "svg.fonttype": "none"}):
        figure.savefig(file, metadata={"Date": None})


def _regression(axis: Axes, values: np.ndarray, title: str) -> None:
    found, true = values.T
    slope, height = np.polyfit(true, found, 1)
    ends = np.array([values.min(), values.max()])
    axis.plot(ends, ends, color="0.75", linewidth=0.8)
    axis.plot(true, found, ".", markersize=3, color=DOT, alpha=0.6, rasterized=True)
    axis.plot(ends, slope * ends + height, color=LINE, linewidth=1.0)
    text = f"found = {slope:.2f} true {height:+.2f}\nICC {icc(found, true):.3f}, n = {len(values)}"
    axis.text(0.04, 0.96, text, transform=axis.transAxes, va="top", fontsize=9)
    axis.set(xlabel="true dT1 (%)", ylabel="dT1 found (%)", title=title)


def _bland_altman(axis: Axes, values: np.ndarray, title: str) -> None:
    difference = values[:, 0] - values[:, 1]
    bias, sd = difference.mean(), difference.std(ddof=1)
    axis.plot(values.mean(axis=1), difference, ".", markersize=3, color=DOT, alpha=0.6, rasterized=True)
    for at, style in ((bias, "-"), (bias - LIMITS * sd, "--"), (bias + LIMITS * sd, "--")):
        axis.axhline(at, color=LINE, linewidth=1.0, linestyle=style)
        axis.text(0.99, at, f"{at:+.2f}", transform=axis.get_yaxis_transform(), ha="right", va="bottom", fontsize=9)
    axis.set(xlabel="mean of both (%)", ylabel="found - true (percentage points)", title=f"{title}, Bland-Altman")


def _whole_heart(scenes: SceneBank) -> list[int]:
    """The middle scene of each level of the first real heart that has all of them; else nothing."""
    for subject in dict.fromkeys(np.array(scenes.subjects)[scenes.real].tolist()):
        own = np.flatnonzero(np.array(scenes.subjects) == subject)
        levels = [own[scenes.level[own] == level] for level in range(len(LEVELS))]
        if all(level.size for level in levels):
            return [int(level[level.size // 2]) for level in levels]
    return []


def draw_case(pairs: Sequence[EvaluationPair], method: Method, file: Path) -> None:
    """Rest, stress as acquired and registered, dT1, dT1 in the myocardium over rest, and the bull's-eyes of a heart."""
    figure = Figure(figsize=(13.0, 6.6), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots(len(pairs), 6, width_ratios=[1, 1, 1, 1, 1, 1.25])
    t1_scale = read_color_table(T1_COLOR_TABLES[t1_colors_for_field(pairs[0].field)])
    t1_colors, changes = _colormap(t1_scale), _colormap(map_scale())
    t1_range, change_range = (t1_scale.values[0], t1_scale.values[-1]), (map_scale().values[0], map_scale().values[-1])
    found: dict[int, float | None] = {}
    true: dict[int, float | None] = {}
    for row, pair in zip(axes, pairs, strict=True):
        stress = registered(pair.stress, method.register(pair.rest, pair.stress))
        change = reactivity_map(pair.rest, stress).percent
        window = _window(pair.myocardium)
        for axis, image in zip(row[:3], (pair.rest, pair.stress, stress), strict=True):
            t1 = axis.imshow(image[window], cmap=t1_colors, vmin=t1_range[0], vmax=t1_range[1])
            axis.contour(pair.myocardium[window], [0.5], colors="white", linewidths=0.5)
        dt1 = row[3].imshow(change[window], cmap=changes, vmin=change_range[0], vmax=change_range[1])
        row[4].imshow(pair.rest[window], cmap="gray", vmin=400.0, vmax=2000.0)
        inside = np.where(pair.myocardium, change, np.nan)
        row[4].imshow(inside[window], cmap=changes, vmin=change_range[0], vmax=change_range[1])
        row[0].set_ylabel(pair.level, fontsize=11)
        for values, image in ((found, change), (true, pair.truth())):
            for number in np.unique(pair.segments[pair.segments > 0]):
                values[int(number)] = float(np.nanmean(image[pair.segments == number]))
    for axis, (title, values) in zip(axes[:2, 5], (("found", found), ("true", true)), strict=True):
        bullseye = make_bullseye(values, graded_scale())
        axis.imshow(draw_sectors(bullseye, BULLSEYE_PX))
        for sector in bullseye.sectors:
            right, up = sector.center
            place = [(1 + right) * BULLSEYE_PX / 2, (1 - up) * BULLSEYE_PX / 2]
            axis.text(*place, sector.text, ha="center", va="center", fontsize=7, color=sector.text_color)
        axis.set_title(f"segments, {title} (%)", fontsize=10)
    titles = ("rest T1 (ms)", "stress T1 as acquired", "stress T1 registered", "dT1 (%)", "dT1 over rest T1")
    for axis, title in zip(axes[0], titles, strict=False):
        axis.set_title(title, fontsize=10)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[], frame_on=False)
    figure.colorbar(t1, ax=axes[:, 2], shrink=0.7)
    figure.colorbar(dt1, ax=axes[:, 4], shrink=0.7)
    with io.BytesIO() as drawn:
        figure.savefig(drawn, format="png")
        few = Image.open(drawn).convert("RGB").quantize(COLORS, dither=Image.Dither.NONE)
        few.save(file, optimize=True)


def _window(mask: np.ndarray) -> tuple[slice, slice]:
    places = np.argwhere(mask)
    low, high = np.maximum(places.min(0) - MARGIN, 0), places.max(0) + MARGIN + 1
    return slice(low[0], high[0]), slice(low[1], high[1])


def _colormap(scale: ColorScale) -> LinearSegmentedColormap:
    low, high = scale.values[0], scale.values[-1]
    stops = [((value - low) / (high - low), color) for value, color in zip(scale.values, scale.colors, strict=True)]
    return LinearSegmentedColormap.from_list("", stops)
