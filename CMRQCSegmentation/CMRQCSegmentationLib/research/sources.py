"""What a source of images may expect that no training used: every data set with and without itself in the training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from CMRLib.networks.models import ModelEntry
from CMRLib.training.tables import markdown_table
from CMRQCSegmentationLib.prediction import SegmentationModel
from CMRQCSegmentationLib.research.evaluation import detection, judge, summarise
from CMRQCSegmentationLib.research.slices import LabelledSlice

HEADER = (
    "test images",
    "trained on it",
    "training (min)",
    "slices",
    "Dice, myocardium",
    "Dice, blood pool",
    "error of predicted Dice",
    "accuracy at 0.7",
    "bad answers flagged",
    "good answers flagged",
    "bound kept (asked 90 %)",
)


def training_minutes(entry: ModelEntry) -> float:
    """How long a model's networks were trained, all together."""
    return sum(float(part["seconds"]) for part in entry.accuracy.get("training", {}).values()) / 60.0


def report_sources(
    sets: Mapping[str, Sequence[LabelledSlice]],
    shipped: SegmentationModel,
    without: Mapping[str, SegmentationModel],
) -> dict[str, Any]:
    """Numbers and a table: each set's test slices by the model that ships and by one that was trained without the set.

    Args:
        sets: test slices by name of their set, as the table shows it.
        shipped: trained on all of them.
        without: by name of the set that each was trained without; the others are left out.
    """
    rows: list[list[object]] = []
    summary: dict[str, Any] = {}
    for name, slices in sets.items():
        for label, model in (("yes", shipped), ("no", without.get(name))):
            if model is None:
                continue
            judged = judge(slices, model)
            found, flags, minutes = summarise(judged), detection(judged), training_minutes(model.entry)
            summary[f"{name}: {label}"] = {**asdict(found), **flags, "minutes": round(minutes, 1)}
            rows.append(
                [
                    name,
                    label,
                    f"{minutes:.0f}",
                    found.images,
                    f"{found.myocardium:.3f}",
                    f"{found.blood:.3f}",
                    f"{found.error:.3f}",
                    f"{found.accuracy:.3f}",
                    f"{flags['bad_flagged']:.0%} of {flags['bad']:.0f}",
                    f"{flags['good_flagged']:.0%}",
                    f"{found.bound_kept:.1%}",
                ]
            )
    return {"summary": summary, "tables": {"segmentation-sources": markdown_table(HEADER, rows)}}
