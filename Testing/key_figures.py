"""The few numbers of the README that say how well the software measures, out of the result files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HEADER = ("what", "measured on", "result")


def key_figures(results: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Rows under `HEADER`.

    Args:
        results: content of the result files, by name without suffix.
    """
    rows = (t1_rows, motion_rows, ecv_rows, landmark_rows, segmentation_rows, stress_rows)
    return [row for part in rows for row in part(results)]


def t1_rows(results: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The maps against the scanner's own, and their time."""
    agreement = results["t1_phantom"]["agreement"]["with phase"]
    scan = f"ShMOLLI phantom at 3 T, {agreement['pixels']} pixels"
    tools = [tool for tool in results["t1_benchmark"]["tools"] if tool["tool"] == "CMRMapping"]
    fastest = min(tools, key=lambda tool: tool["image_seconds"])
    size = f"{fastest['image_pixels']} pixels on {fastest['cores']} processor cores"
    return [
        ("T1 within 1 ms of the scanner's own map", scan, f"{agreement['within_1_ms']:.2%}"),
        ("R² within 0.001 of the scanner's own map", scan, f"{agreement['r2_within_0_001']:.2%}"),
        ("time of the maps of a slice", size, f"{fastest['image_seconds']:.2f} s"),
    ]


def motion_rows(results: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What motion correction leaves, as the panel and the batch do it."""
    methods = results["moco"]["summary"]["all"]
    before, after = methods["uncorrected"], methods["refined, kept where R² improves"]
    bound = methods["true motion taken out"]["t1_error_ms"]
    sets = f"{after['sets']} simulated acquisitions"
    pixels = f"{after['displacement_px']:.2f} px, before {before['displacement_px']:.2f} px"
    errors = f"{after['t1_error_ms']:.0f} ms, before {before['t1_error_ms']:.0f} ms, without any motion {bound:.0f} ms"
    return [
        ("displacement left by motion correction", sets, pixels),
        ("error of T1 after motion correction", sets, errors),
    ]


def ecv_rows(results: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What registration leaves of the error of ECV."""
    summary = results["ecv"]["summary"]
    found, before = summary["registered"], summary["not registered"]
    pairs = f"{found['pairs']:.0f} simulated pairs before and after contrast, {found['segments']:.0f} segments"
    errors = (
        f"{found['segment_error']:+.1f} ± {found['segment_error_sd']:.1f} percentage points, not registered "
        f"{before['segment_error']:+.1f} ± {before['segment_error_sd']:.1f}"
    )
    return [("error of ECV of a segment", pairs, errors)]


def landmark_rows(results: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Landmarks of the shipped model on patients that it never saw."""
    cine = results["landmarks_acdc"]["summary"]["landmarks-generalist"]
    late = results["landmarks_emidec"]["summary_mm"]["landmarks-generalist"]
    patients = "patients it never saw"
    cine_slices = f"{cine['images']} cine slices of ACDC, {patients}"
    late_slices = f"{late['images']} late enhancement slices of EMIDEC, {patients}"
    seconds = results["landmarks_use"]["milliseconds"]["one by one"] / 1000
    return [
        ("landmarks within 10 px of the expert's", cine_slices, f"{cine['within_10']:.1%}"),
        ("slices flagged for review", cine_slices, f"{cine['flagged']:.0%}"),
        ("LV centre and insertion within 10 mm of labels and marks", late_slices, f"{late['within_10']:.1%}"),
        ("time of the landmarks of a slice", "2 processor threads", f"{seconds:.2f} s"),
    ]


def segmentation_rows(results: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The segmentation of the shipped model on patients that it never saw, its flags, and its time."""
    model, patients = "segmentation-ensemble", "patients it never saw"
    cine, late = (results[f"segmentation_{name}"]["summary"][model]["all"] for name in ("acdc", "emidec"))
    speed = results["segmentation_speed"]["summary"]
    rows = []
    for name, found in (("cine slices of ACDC", cine), ("late enhancement slices of EMIDEC", late)):
        measured_on = f"{found['images']} {name}, {patients}"
        dice = f"{found['myocardium']:.2f} and {found['blood']:.2f}"
        rows.append(("Dice of the myocardium and the blood pool", measured_on, dice))
        rows.append(("error of the predicted Dice", measured_on, f"{found['error']:.3f}"))
    return [
        *rows,
        ("time of the segmentation of a slice", f"{speed['threads']} processor threads", f"{speed['stack']:.2f} s"),
    ]


def stress_rows(results: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What registering stress to rest leaves, of motion and of the change of T1."""
    ours, before = (results["stress"]["summary_of_all_pairs"][name] for name in ("Swin U-Net, refined", "uncorrected"))
    pairs = f"{ours['pairs']} simulated pairs of rest and stress"
    dice = f"{ours['dice']:.2f}, before {before['dice']:.2f}"
    return [
        ("Dice of the myocardium at rest and under stress, registered", pairs, dice),
        ("error of dT1, slice", pairs, f"{ours['slice_error']:+.2f} ± {ours['slice_error_sd']:.2f} percentage points"),
        ("mean absolute error of dT1, segment", pairs, f"{ours['segment_abs_error']:.2f} percentage points"),
    ]
