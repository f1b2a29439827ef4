"""The evaluation of a segmentation model as numbers and Markdown tables, shaped like table 4.1 of the thesis."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from CMRLib.networks.models import ModelEntry
from CMRLib.training.entries import record_test
from CMRLib.training.splits import seeds_of_split
from CMRLib.training.tables import markdown_table
from CMRQCSegmentationLib.prediction import SegmentationModel
from CMRQCSegmentationLib.research.evaluation import (
    Judged,
    Summary,
    detection,
    judge,
    seconds_per_slice,
    summarise,
)
from CMRQCSegmentationLib.research.slices import LabelledSlice, simulated_slices
from CMRQCSegmentationLib.research.spoiling import SPOILINGS, spoiled_copies

NAMES = {
    "t1_rest": "T1 native, rest",
    "t1_stress": "T1 native, stress",
    "t1_post": "T1 post-contrast",
    "lge_magnitude": "LGE magnitude",
    "lge_psir": "LGE PSIR",
    "vne": "VNE",
    "cine": "cine",
    "acdc": "ACDC, cine",
    "emidec": "EMIDEC, LGE",
}
SPOILED_TEST_SEED = 11
SPEED_SHAPE = (10, 256, 256)


def simulated_test(anatomies: int) -> list[LabelledSlice]:
    """The simulated test images: every contrast of bodies that no training uses."""
    return list(simulated_slices(seeds_of_split("test", anatomies)))


def _framework(name: str, s: Summary) -> list[object]:
    return [
        name,
        s.images,
        f"{s.myocardium:.3f}",
        f"{s.blood:.3f}",
        f"{s.error:.3f}",
        f"{s.accuracy:.3f}",
        f"{s.flagged:.0%}",
        f"{s.bound_kept:.1%}",
    ]


def _others(s: Summary) -> list[list[object]]:
    """The rows that the framework is held against: the deepest U-Net alone, and agreement as the prediction."""
    return [
        ["  deepest U-Net alone", s.images, f"{s.deepest:.3f}", "-", "-", "-", "-", "-"],
        [
            "  mean agreement as prediction",
            s.images,
            f"{s.myocardium:.3f}",
            f"{s.blood:.3f}",
            f"{s.agreement_error:.3f}",
            f"{s.agreement_accuracy:.3f}",
            "-",
            "-",
        ],
    ]


HEADER = (
    "test images",
    "slices",
    "Dice, myocardium",
    "Dice, blood pool",
    "error of predicted Dice",
    "accuracy at 0.7",
    "flagged",
    "bound kept (asked 90 %)",
)


def report_set(
    slices: Sequence[LabelledSlice], models: Mapping[str, SegmentationModel], name: str
) -> tuple[dict[str, Any], Judged]:
    """Every model on one set of test images, the first by contrast as well, and with scarred hearts apart.

    Returns:
        Numbers and tables, and the first model's answers.
    """
    rows: list[list[object]] = []
    summary: dict[str, Any] = {}
    first: Judged | None = None
    for label, model in models.items():
        judged = judge(slices, model)
        parts = {"all": judged}
        if first is None:
            first = judged
            contrasts = [c for c in NAMES if c in set(judged.contrasts)]
            parts |= {c: judged.contrast(c) for c in contrasts if len(contrasts) > 1}
            if judged.scarred.any():
                parts |= {"with scar": judged.of(judged.scarred), "without scar": judged.of(~judged.scarred)}
        summary[label] = {part: asdict(summarise(values)) for part, values in parts.items()}
        for part, values in parts.items():
            found = summarise(values)
            shown = label if part == "all" else f"  {NAMES.get(part, part)}"
            rows.append(_framework(shown, found))
            if part == "all":
                rows += _others(found)
        empty = ~judged.there
        summary[label]["without heart"] = {
            "slices": int(empty.sum()),
            "answered": int(judged.answered[empty].sum()),
            "answered and not flagged": int((judged.answered & ~judged.flagged)[empty].sum()),
        }
        whole = summary[label]["all"]
        rows.append(
            [
                "  mean over whole volumes",
                len(set(judged.stacks)),
                f"{whole['myocardium_3d']:.3f}",
                f"{whole['blood_3d']:.3f}",
                *["-"] * 4,
            ]
        )
    assert first is not None
    return {"summary": summary, "tables": {f"segmentation-{name}": markdown_table(HEADER, rows)}}, first


def report_spoiled(
    slices: Sequence[LabelledSlice], model: SegmentationModel, clean: Sequence[Judged], every: int = 1
) -> dict[str, Any]:
    """How well flags tell bad answers, on spoiled copies of every so many test images and on the images themselves.

    ``clean`` are the answers for the images themselves, where they were measured.
    """
    judged = judge(list(spoiled_copies(slices, SPOILED_TEST_SEED, every)), model)
    parts = {**{kind: judged.contrast(kind) for kind in SPOILINGS}, "all spoiled": judged}
    if clean:
        parts["as they are"] = Judged.joined(clean)
    summary, rows = {}, []
    for name, values in parts.items():
        if len(values.flagged) == 0:
            continue
        found = detection(values)
        summary[name] = found
        rows.append(
            [
                name,
                int(found["bad"]),
                "-" if np.isnan(found["bad_flagged"]) else f"{found['bad_flagged']:.1%}",
                int(found["good"]),
                "-" if np.isnan(found["good_flagged"]) else f"{found['good_flagged']:.1%}",
            ]
        )
    for found in summary.values():
        for key in [key for key, value in found.items() if np.isnan(value)]:
            del found[key]
    header = ("spoiled by", "bad answers", "of these flagged", "good answers", "of these flagged ")
    return {"summary": summary, "tables": {"segmentation-spoiled": markdown_table(header, rows)}}


def report_speed(model: SegmentationModel, threads: int) -> dict[str, Any]:
    """Seconds a slice of the whole ensemble, pre- and post-processing included, beside one U-Net of nnU-Net's size."""
    import torch

    torch.set_num_threads(threads)
    stack = np.random.default_rng(0).random(SPEED_SHAPE).astype(np.float32)
    rows_, columns_ = np.indices(SPEED_SHAPE[1:])
    distance = np.hypot(rows_ - 128.0, columns_ - 128.0)
    stack = 0.1 * stack + np.where(distance < 22.0, 0.9, np.where(distance < 32.0, 0.2, 0.4)).astype(np.float32)
    ours = seconds_per_slice(stack, model)
    other = nnunet_seconds(stack)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    rows = [
        ["whole ensemble, slices one by one", f"{ours['one by one']:.3f}"],
        ["whole ensemble, a stack of ten", f"{ours['stack']:.3f}"],
        ["one U-Net of nnU-Net's default size alone", f"{other:.3f}"],
        ["ratio, stack", f"{ours['stack'] / other:.2f}"],
    ]
    summary = {**ours, "nnunet": other, "threads": threads, "load_average": round(load, 1)}
    header = (f"{threads} threads, load average {load:.1f}", "s a slice")
    return {"summary": summary, "tables": {"segmentation-speed": markdown_table(header, rows)}}


def nnunet_seconds(stack: np.ndarray) -> float:
    """Best of several times a slice takes in a U-Net of nnU-Net's default 2D layout, as far as speed goes.

    Its plan for 256 x 256 pixels: seven levels of 32, 64, 128, 256, 512, 512, 512 channels, two 3 x 3 convolutions with
    instance norm and leaky ReLU each, strided convolutions down, transposed ones up (Isensee et al., Nat Methods
    2021;18:203). It is untrained.
    """
    import time

    import torch

    network = _default_unet().eval()
    times = []
    with torch.inference_mode():
        for plane in stack[:3]:
            image = torch.from_numpy(plane)[None, None]
            start = time.perf_counter()
            network(image)
            times.append(time.perf_counter() - start)
    return min(times)


def _default_unet() -> Any:
    import torch
    from torch import nn

    widths = (32, 64, 128, 256, 512, 512, 512)

    def block(inputs: int, outputs: int, stride: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for i in range(2):
            layers += [
                nn.Conv2d(inputs if i == 0 else outputs, outputs, 3, stride=stride if i == 0 else 1, padding=1),
                nn.InstanceNorm2d(outputs, affine=True),
                nn.LeakyReLU(0.01, inplace=True),
            ]
        return nn.Sequential(*layers)

    class DefaultUNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            pairs = list(zip((1, *widths), widths, strict=False))
            self.down = nn.ModuleList(block(a, b, 1 if i == 0 else 2) for i, (a, b) in enumerate(pairs))
            back = list(zip(widths[::-1], widths[-2::-1], strict=False))
            self.rise = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, stride=2) for a, b in back)
            self.up = nn.ModuleList(block(2 * b, b, 1) for _, b in back)
            self.head = nn.Conv2d(widths[0], 3, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            skipped = []
            for part in self.down:
                x = part(x)
                skipped.append(x)
            skipped.pop()
            for rise, part in zip(self.rise, self.up, strict=True):
                x = part(torch.cat([rise(x), skipped.pop()], dim=1))
            return self.head(x)

    return DefaultUNet()


def record_accuracy(manifest: Path, entry: ModelEntry, results: Mapping[str, dict[str, Any]]) -> None:
    """Write what was measured of a model on the test images into its entry of a manifest."""
    kept = ("images", "myocardium", "blood", "error", "accuracy", "bound_kept", "myocardium_3d", "blood_3d")
    measured: dict[str, Any] = {}
    for name, result in results.items():
        summary = next(iter(result["summary"].values())) if "all" not in result["summary"] else result["summary"]
        if isinstance(summary, Mapping) and "all" in summary:
            measured[name] = {key: round(summary["all"][key], 4) for key in kept}
    if "segmentation_spoiled" in results:
        found = results["segmentation_spoiled"]["summary"]["all spoiled"]
        measured["spoiled"] = {key: round(value, 4) for key, value in found.items()}
    record_test(manifest, entry, measured)
