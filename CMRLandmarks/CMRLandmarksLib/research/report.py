"""The evaluation of a landmark model as numbers and Markdown tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from CMRLandmarksLib.prediction import LandmarkModel, load_landmark_model
from CMRLandmarksLib.research.dataset import LabelledSlice, simulated_slices
from CMRLandmarksLib.research.evaluation import (
    ErrorSummary,
    LandmarkErrors,
    errors_of,
    failure_detection,
    generalisation_error_rate,
    located,
    milliseconds_per_image,
    segment_t1_errors,
    specialist_error_rate,
    summarise,
)
from CMRLib.errors import InputError
from CMRLib.geometry import Geometry
from CMRLib.networks.models import ModelEntry
from CMRLib.simulation.study import short_axis_geometry
from CMRLib.training.entries import contrasts_of, record_test
from CMRLib.training.splits import seeds_of_split
from CMRLib.training.tables import markdown_table

NAMES = {
    "t1_rest": "T1 native, rest",
    "t1_stress": "T1 native, stress",
    "t1_post": "T1 post-contrast",
    "lge_magnitude": "LGE magnitude",
    "lge_psir": "LGE PSIR",
    "vne": "VNE",
    "cine": "cine",
}
SPEED_SHAPE = (10, 256, 216)  # of a usual stack of cine images in ACDC


def _iqr(values: tuple[float, float, float], digits: int = 1) -> str:
    low, middle, high = values
    if np.isnan(middle):
        return "-"
    return f"{middle:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def _row(name: str, summary: ErrorSummary) -> list[object]:
    parts = (summary.pooled, summary.center, summary.anterior, summary.inferior)
    return [
        name,
        summary.images,
        *(_iqr(part, 2) for part in parts),
        _iqr(summary.angle_deg),
        f"{summary.within_10:.1%}",
        f"{summary.flagged:.0%}",
        f"{summary.within_10_unflagged:.1%}",
        "-" if not summary.failures else f"{summary.failures_flagged:.0%} of {summary.failures}",
        f"{summary.right_flagged:.0%}",
    ]


def _header(first: str, unit: str) -> list[str]:
    places = ("centre and anterior", "LV centre", "anterior insertion", "inferior insertion")
    return [
        first,
        "images",
        *(f"{place} ({unit})" for place in places),
        "angle (°)",
        f"within 10 {unit}",
        "flagged",
        "within, unflagged",
        f"images beyond 10 {unit}, flagged",
        "others, flagged",
    ]


def simulated_test(anatomies: int) -> list[LabelledSlice]:
    """The simulated test images: every contrast of anatomies that no training uses."""
    return list(simulated_slices(seeds_of_split("test", anatomies)))


def report_simulated(slices: Sequence[LabelledSlice], models: Mapping[str, LandmarkModel]) -> dict[str, Any]:
    """The first model in full, by contrast and pooled; beside others, the medians and error rates of all models."""
    errors = {name: errors_of(slices, model) for name, model in models.items()}
    first = next(iter(models))
    contrasts = sorted(set(errors[first].contrasts), key=list(NAMES).index)
    rows = [_row(NAMES[name], summarise(errors[first].of_contrast(name))) for name in contrasts]
    rows.append(_row("all", summarise(errors[first])))
    matrix = []
    for name, model in models.items():
        own = contrasts_of(model.entry)
        rate = generalisation_error_rate(errors[name])
        if own and set(own) < set(contrasts):
            rate = specialist_error_rate(errors[name], own)
        medians = [_iqr(summarise(errors[name].of_contrast(c)).pooled, 1) for c in contrasts]
        matrix.append([name, *medians, _iqr(summarise(errors[name]).pooled, 1), _iqr(rate)])
    tables = {"landmarks-simulated": markdown_table(_header("simulated test images", "mm"), rows)}
    if len(models) > 1:
        header = ["trained on", *(NAMES[c] for c in contrasts), "all", "generalisation error rate"]
        tables["landmarks-specialists"] = markdown_table(header, matrix)
    return {"summary": {name: _numbers(error, contrasts) for name, error in errors.items()}, "tables": tables}


def _numbers(errors: LandmarkErrors, contrasts: Sequence[str]) -> dict[str, Any]:
    return {
        "all": _plain(summarise(errors)),
        **{name: _plain(summarise(errors.of_contrast(name))) for name in contrasts},
    }


def _plain(summary: ErrorSummary) -> dict[str, Any]:
    """A summary for JSON, which has no NaN: what was not measured is left out."""
    return {name: value for name, value in asdict(summary).items() if np.isfinite(value).all()}


def report_grid(folder: Path, slices: Sequence[LabelledSlice]) -> dict[str, Any]:
    """Distances and angles of a whole grid, shaped like tables 5.2 and 5.3 of the thesis.

    The grid is that of `CMRLandmarksLib.research.training_run.grid_runs`. Rows are what was trained on,
    by configuration; columns are the contrasts tested.

    Raises:
        InputError: a run of the grid is missing.
    """
    import torch

    from CMRLandmarksLib.networks import STAGE1, HeatmapNetwork
    from CMRLib.training.trainer import read_average

    contrasts = [name for name in NAMES if name in {item.contrast for item in slices}]
    rows: dict[str, list[list[object]]] = {"distance": [], "angle": []}
    weights = {path.parent.parent.name: path for path in sorted(folder.glob("*/augmented/*.safetensors"))}
    if not weights:
        raise InputError(f"{folder} holds no trained grid; run cmr-train landmarks-grid first.")
    for configuration in ("no augmentation", "augmentation", "two stages"):
        for name, path in weights.items():
            model = load_landmark_model(path, "cpu")
            if configuration == "no augmentation":
                plain = HeatmapNetwork(STAGE1)
                plain.load_state_dict(read_average(folder / name / "plain" / "stage1"))
                model = replace(model, stage1=plain.eval().to(torch.device("cpu")))
            errors = errors_of(slices, model, stage1_only=configuration != "two stages")
            parts = [summarise(errors.of_contrast(c)) for c in contrasts] + [summarise(errors)]
            label = f"{configuration}: {NAMES.get(name, name)}"
            rows["distance"].append([label, *(_iqr(part.pooled) for part in parts)])
            rows["angle"].append([label, *(_iqr(part.angle_deg) for part in parts)])
    header = ["trained on", *(NAMES[c] for c in contrasts), "all"]
    return {"tables": {f"landmarks-grid-{kind}": markdown_table(header, lines) for kind, lines in rows.items()}}


STORED = "as stored: 1 mm, no orientation"


def report_real(slices: Sequence[LabelledSlice], models: Mapping[str, LandmarkModel], name: str) -> dict[str, Any]:
    """Errors of the labelled test part: in pixels for every model, in mm for the first.

    The first model's first stage alone is measured too, and the whole of it on the files as they are stored.
    """
    label, model = next(iter(models.items()))
    right, stored = located(slices, model), located(slices, model, stored=True)
    summaries = {label: summarise(right.errors("px"))}
    summaries |= {
        name: summarise(located(slices, other).errors("px")) for name, other in models.items() if name != label
    }
    first = located(slices, model, stage1_only=True)
    summaries[f"{label}, stage 1 alone"] = summarise(first.errors("px"))
    summaries[f"{label}, {STORED}"] = summarise(stored.errors("px"))
    in_mm = {label: summarise(right.errors()), f"{label}, {STORED}": summarise(stored.errors())}
    return {
        "summary": {key: _plain(summary) for key, summary in summaries.items()},
        "summary_mm": {key: _plain(summary) for key, summary in in_mm.items()},
        "tables": {
            f"landmarks-{name}": markdown_table(_header(f"{name} test part", "px"), _rows(summaries)),
            f"landmarks-{name}-mm": markdown_table(_header(f"{name} test part", "mm"), _rows(in_mm)),
        },
    }


def report_insertions(slices: Sequence[LabelledSlice], model: LandmarkModel, label: str) -> dict[str, Any]:
    """Errors in mm on late enhancement whose insertion points were marked by eye (EMIDEC's validation patients)."""
    in_mm = {
        label: summarise(located(slices, model).errors()),
        f"{label}, {STORED}": summarise(located(slices, model, stored=True).errors()),
    }
    header = _header("emidec, marked by eye", "mm")
    return {
        "summary": {key: _plain(summary) for key, summary in in_mm.items()},
        "tables": {"landmarks-insertions": markdown_table(header, _rows(in_mm))},
    }


def _rows(summaries: Mapping[str, ErrorSummary]) -> list[list[object]]:
    return [_row(name, summary) for name, summary in summaries.items()]


def record_accuracy(manifest: Path, entry: ModelEntry, results: Mapping[str, dict[str, Any]]) -> None:
    """Write a model's measured errors on the test images into its entry of a manifest."""
    measured: dict[str, Any] = {}
    for name, result in results.items():
        if "summary" in result:
            summary = next(iter(result["summary"].values()))
            summary = summary.get("all", summary)
            unit = "mm" if name in ("landmarks_simulated", "landmarks_insertions") else "px"
            measured[name] = {
                "images": summary["images"],
                f"median_{unit}": round(summary["pooled"][1], 3),
                f"within_10_{unit}": round(summary["within_10"], 4),
            }
            if "angle_deg" in summary:
                measured[name]["median_angle_deg"] = round(summary["angle_deg"][1], 2)
    use = results["landmarks_use"]
    measured["failure_auc"] = round(use["confidence"]["auc"], 4)
    record_test(manifest, entry, measured)


def report_use(slices: Sequence[LabelledSlice], model: LandmarkModel, anatomies: int, threads: int) -> dict[str, Any]:
    """Confidence on corrupted images, time per image, and the error of segmental T1 that the landmarks cause."""
    found = failure_detection(slices, model)
    stack = np.random.default_rng(0).random(SPEED_SHAPE).astype(np.float32)
    speed = milliseconds_per_image(stack, short_axis_geometry(1, SPEED_SHAPE[1:], 1.4), model)
    unoriented = milliseconds_per_image(stack, Geometry(), model)
    t1 = segment_t1_errors(seeds_of_split("test", anatomies), model)
    quartiles = np.percentile(t1, [25.0, 50.0, 75.0, 95.0])
    rows = [
        ["corrupted images: area under the curve of the confidence for errors above 10 mm", f"{found['auc']:.3f}"],
        ["of the images with such an error, flagged", f"{found['flagged']:.0%}"],
        ["of the others, flagged", f"{found['false_flags']:.0%}"],
        [f"ms an image, one by one ({threads} threads)", f"{speed['one by one']:.0f}"],
        [f"ms an image, stack of {SPEED_SHAPE[0]}", f"{speed['stack']:.0f}"],
        ["ms an image, doubtful and without orientation, one by one", f"{unoriented['one by one']:.0f}"],
        [f"ms an image, doubtful and without orientation, stack of {SPEED_SHAPE[0]}", f"{unoriented['stack']:.0f}"],
        [
            f"change of a segment's mean T1 caused by the landmarks (ms, {t1.size} segments): median (IQR)",
            f"{quartiles[1]:.1f} ({quartiles[0]:.1f}-{quartiles[2]:.1f})",
        ],
        ["the same, 95th percentile (ms)", f"{quartiles[3]:.1f}"],
    ]
    return {
        "confidence": {name: value for name, value in found.items() if np.isfinite(value)},
        "milliseconds": speed,
        "milliseconds_without_orientation": unoriented,
        "segment_t1_ms": {"median": quartiles[1], "p25": quartiles[0], "p75": quartiles[2], "p95": quartiles[3]},
        "tables": {"landmarks-use": markdown_table(["in use", "measured"], rows)},
    }
