"""Pictures of a segmentation: predicted against true Dice, and the best, median and worst answers and the misjudged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from CMRQCSegmentationLib.prediction import SegmentationModel, segment_slices
from CMRQCSegmentationLib.quality import THRESHOLD
from CMRQCSegmentationLib.research.evaluation import Judged, stacks_of, truth_of
from CMRQCSegmentationLib.research.slices import LabelledSlice

DOTS_PER_INCH = 90
PER_ROW = 6
MARGIN_PX = 40
ANSWER, TRUTH = "#e6550d", "#31a3dd"


def draw_set(
    slices: Sequence[LabelledSlice], judged: Judged, model: SegmentationModel, folder: Path, name: str
) -> None:
    """Write ``segmentation-NAME-scatter.png`` and ``segmentation-NAME-answers.png``."""
    folder.mkdir(parents=True, exist_ok=True)
    _scatter(judged, folder / f"segmentation-{name}-scatter.png")
    _answers(slices, judged, model, folder / f"segmentation-{name}-answers.png")


def _scatter(judged: Judged, file: Path) -> None:
    seen = judged.of(judged.there & np.isfinite(judged.predicted))
    figure = Figure(figsize=(4.6, 4.6), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=0.8)
    axes.axvline(THRESHOLD, color="0.8", linewidth=0.8)
    axes.axhline(THRESHOLD, color="0.8", linewidth=0.8)
    axes.plot(seen.predicted, seen.myocardium, ".", markersize=4, color=ANSWER)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="predicted Dice", ylabel="true Dice", aspect="equal")
    figure.savefig(file)


def _answers(slices: Sequence[LabelledSlice], judged: Judged, model: SegmentationModel, file: Path) -> None:
    order = [i for i in np.argsort(judged.myocardium) if judged.there[i]]
    good, trusted = judged.myocardium >= THRESHOLD, ~judged.flagged
    middle = len(order) // 2
    rows = {
        "best": order[::-1][:PER_ROW],
        "median": order[middle - PER_ROW // 2 : middle + PER_ROW // 2],
        "worst": order[:PER_ROW],
        "bad, not flagged": [i for i in range(len(good)) if not good[i] and trusted[i]][:PER_ROW],
        "good, flagged": [i for i in range(len(good)) if good[i] and not trusted[i]][:PER_ROW],
    }
    stacks = stacks_of(slices)
    place = [(s, k) for s, members in enumerate(stacks) for k in range(len(members))]
    figure = Figure(figsize=(2.0 * PER_ROW, 2.15 * len(rows)), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots(len(rows), PER_ROW)
    for axis in axes.flat:
        axis.axis("off")
    answers: dict[int, list[np.ndarray]] = {}
    for row, (title, numbers) in enumerate(rows.items()):
        axes[row, 0].set_title(title, loc="left", fontsize=9)
        for column, i in enumerate(numbers):
            stack, k = place[i]
            if stack not in answers:
                members = stacks[stack]
                image = np.stack([m.image for m in members])
                answers[stack] = [r.labels for r in segment_slices(image, members[0].spacing, model=model)]
            _draw(axes[row, column], stacks[stack][k], answers[stack][k], judged, i)
    figure.savefig(file)


def _draw(axis: Axes, item: LabelledSlice, labels: np.ndarray, judged: Judged, number: int) -> None:
    truth = truth_of(item)
    either = np.argwhere((truth > 0) | (labels > 0))
    low, high = (either.min(0), either.max(0)) if len(either) else (np.zeros(2, int), np.array(truth.shape) - 1)
    low, high = np.maximum(low - MARGIN_PX, 0), np.minimum(high + MARGIN_PX + 1, truth.shape)
    window = (slice(low[0], high[0]), slice(low[1], high[1]))
    axis.imshow(item.image[window], cmap="gray", vmax=np.percentile(item.image[window], 99.5))
    for values, color in ((truth[window], TRUTH), (labels[window], ANSWER)):
        for level in (0.5, 1.5):
            if (values > level).any():
                axis.contour(values, [level], colors=[color], linewidths=0.7)
    axis.text(
        0.02, 0.02, f"{judged.myocardium[number]:.2f} (predicted {judged.predicted[number]:.2f})",
        transform=axis.transAxes, color="white", fontsize=7,
    )  # fmt: skip
