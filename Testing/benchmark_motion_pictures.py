"""Pictures of a motion correction: what the frames show, how well they meet, T1 and R², before and after."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from PIL import Image

from CMRLib.resources import resource_path
from CMRT1MappingLib.research.irw_evaluation import EvaluationSet, evaluation_set
from CMRT1MappingLib.research.motion_evaluation import anatomy_seen, sample
from CMRT1MappingLib.research.motion_report import Method, fitted

T1_TABLE, T1_RANGE_MS = "ColorTables/CMR_T1_1.5T.txt", (0.0, 2000.0)
R2_RANGE = (0.8, 1.0)
MARGIN_MM = 28.0  # around the myocardium
DOTS_PER_INCH = 90
GRAYS, T1_COLORS, FRAME_COLORS = 100, 120, 36  # of the file's palette, which makes it a third as large


def draw_case(number: int, acdc: Path, method: Method, file: Path) -> None:
    """Write a picture of one of the evaluation's sets, corrected by a method."""
    item = evaluation_set(number, acdc)
    file.parent.mkdir(parents=True, exist_ok=True)
    draw_correction(item, method.estimate(item), file)


def draw_correction(item: EvaluationSet, displacement: np.ndarray, file: Path) -> None:
    """Write a picture of a set before and after its correction by a displacement (frame, 2, row, column)."""
    figure = Figure(figsize=(11.0, 5.9), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots(2, 4)
    window = _window(item)
    t1_colors = ListedColormap(_color_table(T1_TABLE))
    for row, (label, shift) in enumerate((("before", np.zeros_like(displacement)), ("after", displacement))):
        maps = fitted(item, shift)
        seen = anatomy_seen(shift, item.moved)
        frames = [sample(image, d) for image, d in zip(item.images, shift, strict=True)]
        _draw_contours(axes[row, 0], item, frames, seen, window)
        axes[row, 1].imshow(_profiles(frames, item, window), cmap="gray", aspect="auto", interpolation="nearest")
        t1 = axes[row, 2].imshow(maps.t1[window], cmap=t1_colors, vmin=T1_RANGE_MS[0], vmax=T1_RANGE_MS[1])
        r2 = axes[row, 3].imshow(maps.r2[window], cmap="gray", vmin=R2_RANGE[0], vmax=R2_RANGE[1])
        axes[row, 0].set_ylabel(label, fontsize=12)
    for axis, name in zip(
        axes[0], ("myocardium in each frame", "one line of each frame", "T1 (ms)", "R²"), strict=True
    ):
        axis.set_title(name, fontsize=10)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    figure.colorbar(t1, ax=axes[:, 2], shrink=0.6)
    figure.colorbar(r2, ax=axes[:, 3], shrink=0.6)
    with io.BytesIO() as drawn:
        figure.savefig(drawn, format="png")
        Image.open(drawn).convert("RGB").quantize(palette=_palette(), dither=Image.Dither.NONE).save(
            file, optimize=True
        )


def _window(item: EvaluationSet) -> tuple[slice, slice]:
    """Rows and columns around the myocardium."""
    margin = round(MARGIN_MM / item.spacing_mm)
    ranges = []
    for axis, length in zip((1, 0), item.myocardium.shape, strict=True):
        found = np.nonzero((item.myocardium > 0.5).any(axis=axis))[0]
        ranges.append(slice(max(0, found[0] - margin), min(length, found[-1] + margin + 1)))
    return ranges[0], ranges[1]


def _draw_contours(
    axis: Axes, item: EvaluationSet, frames: list[np.ndarray], seen: np.ndarray, window: tuple[slice, slice]
) -> None:
    """The mean of the frames, and where each of them shows the myocardium's edge."""
    mean = np.mean([frame / np.percentile(frame, 99.0) for frame in frames], axis=0)[window]
    axis.imshow(mean, cmap="gray", vmax=np.percentile(mean, 99.0))
    for number, offset in enumerate(seen):
        color = colormaps["turbo"](number / (len(seen) - 1))
        axis.contour(sample(item.myocardium, offset)[window], levels=[0.5], colors=[color], linewidths=0.9)


def _profiles(frames: list[np.ndarray], item: EvaluationSet, window: tuple[slice, slice]) -> np.ndarray:
    """The column through the ventricle's middle in each frame, one band of columns for a frame."""
    middle = round(float(np.nonzero(item.myocardium > 0.5)[1].mean()))
    lines = [frame[window[0], middle - 1 : middle + 2].mean(axis=1) for frame in frames]
    return np.repeat(np.column_stack([(line - line.min()) / np.ptp(line) for line in lines]), 12, axis=1)


def _color_table(name: str) -> np.ndarray:
    """Colors (T1_COLORS, 3), 0 to 1, of a table in Slicer's text format: lines of a value, its red, green and blue."""
    lines = resource_path(name).read_text(encoding="utf-8").splitlines()
    points = np.array([line.split() for line in lines if line and not line.startswith("#")], dtype=float)
    values = np.linspace(*T1_RANGE_MS, T1_COLORS)
    return np.column_stack([np.interp(values, points[:, 0], points[:, channel]) for channel in (1, 2, 3)])


def _palette() -> Image.Image:
    """The colors that a picture is made of: images and text, T1, and a color for each frame."""
    grays = np.repeat(np.linspace(0.0, 1.0, GRAYS)[:, None], 3, axis=1)
    frames = colormaps["turbo"](np.linspace(0.0, 1.0, FRAME_COLORS))[:, :3]
    image = Image.new("P", (1, 1))
    image.putpalette((np.vstack([grays, _color_table(T1_TABLE), frames]) * 255.0).round().astype(np.uint8).tobytes())
    return image
