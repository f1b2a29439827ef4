"""What the report of a study shows of its segmentations: every slice with the contours of myocardium and blood pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from CMRLib.errors import InputError
from CMRLib.export.report.items import Group, Measure, Picture, ReportSource, Section, title_of
from CMRLib.export.report.pixels import around, grey, outlined
from CMRLib.files.images import read_image
from CMRLib.files.segmentations import LABELS_ENDING
from CMRQCSegmentationLib.segments import CORRECTED, SEGMENTS

SIDE_MM = 150.0  # of what is shown around the segmentation
TEXT = (
    "Edge of the myocardium (yellow) and of the blood pool (orange), and the Dice coefficient that the model predicts "
    "for each slice. Slices with a low prediction, or that look like those of wrong answers, are flagged; look at all."
)
MEASURES = (
    Measure("Predicted Dice", lambda entry: entry.get("predicted_dice"), worst="low"),
    Measure("At least, with 90 % certainty", lambda entry: entry.get("dice_lower_bound")),
    Measure("Candidate", lambda entry: entry.get("candidate")),
)


def segmentation_section(entries: Sequence[Mapping[str, Any]], source: ReportSource) -> Section:
    """The slices of each series or map; of a cine those frames that are flagged, and the first one.

    Raises:
        InputError: the images or the label map cannot be read.
    """
    pictures: dict[str, list[Picture]] = {}
    for file, found in groupby(entries, key=lambda entry: entry["labels_file"]):
        slices = list(found)
        key, role = file.removesuffix(LABELS_ENDING), slices[0]["role"]
        images, geometry = source.images(key, role)
        labels = np.rint(read_image(source.folder / file)[0])
        if labels.shape != images.shape:
            raise InputError(f"{file} is not that of its images, so it is not shown.")
        spacing = (geometry.spacing[1], geometry.spacing[0])
        title = title_of({"role": role, "state": slices[0]["state"]})
        for index, entry in enumerate(slices):
            if "frame" not in entry or index == 0 or entry["flagged"]:
                pictures.setdefault(title, []).append(_picture(entry, grey(images[index]), labels[index], spacing))
    groups = tuple(Group(title, tuple(shown)) for title, shown in pictures.items())
    return Section("Segmentation", TEXT if groups else "", groups)


def _picture(entry: Mapping[str, Any], pixels: np.ndarray, labels: np.ndarray, spacing: tuple[float, float]) -> Picture:
    for segment in SEGMENTS:
        pixels = outlined(pixels, labels == segment.label, segment.color)
    dice = entry.get("predicted_dice")
    words = "corrected by an analyst" if entry.get("candidate") == CORRECTED else ""
    words = words or ("" if dice is None else f"predicted Dice {dice:.2f}")
    parts = (title_of(entry), words, "flagged" if entry["flagged"] else "")
    if labels.any():
        row, column = np.argwhere(labels > 0).mean(axis=0).tolist()
        pixels, _ = around(pixels, (row, column), spacing, SIDE_MM)
    else:
        parts = (title_of(entry), "nothing found", "")
    description = f"Myocardium and blood pool on {title_of(entry)}"
    return Picture(" – ".join(part for part in parts if part), description, pixels, spacing)
