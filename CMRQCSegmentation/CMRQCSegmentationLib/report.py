"""What the report of a study shows of its segmentations: every slice around the heart, with the borders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from scipy import ndimage

from CMRLib.errors import InputError
from CMRLib.export.report.items import Group, Measure, Picture, ReportSource, Section, title_of
from CMRLib.export.report.pixels import grey
from CMRLib.files.images import read_image
from CMRLib.files.segmentations import LABELS_ENDING
from CMRQCSegmentationLib.segments import CORRECTED, SEGMENTS

MARGIN_MM = 40.0  # of what is shown around the heart
TEXT = (
    "Myocardium and blood pool of the left ventricle, with the Dice that the model predicts for the myocardium. Slices "
    "that are likely to be wrong are flagged; look at all of them."
)
MEASURES = (
    Measure("Predicted Dice", lambda entry: entry.get("predicted_dice"), worst="low"),
    Measure("At least, with 90 % certainty", lambda entry: entry.get("dice_lower_bound")),
    Measure("Made by", lambda entry: entry.get("candidate")),
    Measure("To be looked at because", lambda entry: entry.get("reason") or None),
)


def segmentation_section(entries: Sequence[Mapping[str, Any]], source: ReportSource) -> Section:
    """The slices of each series or map; of a cine those frames that are flagged, and the first one.

    Raises:
        InputError: the images or the label map cannot be read.
    """
    groups: dict[str, list[Picture]] = {}
    left_out = 0
    for file, found in groupby(entries, key=lambda entry: entry["labels_file"]):
        slices = list(found)
        images, geometry = source.images(file.removesuffix(LABELS_ENDING), slices[0]["role"])
        labels, _ = read_image(source.folder / file)
        if labels.shape != images.shape:
            raise InputError(f"{file} does not belong to the images any more, so it is not shown.")
        spacing = (geometry.spacing[1], geometry.spacing[0])
        shown = [n for n, entry in enumerate(slices) if "frame" not in entry or n == 0 or entry["flagged"]]
        left_out += len(slices) - len(shown)
        groups.setdefault(title_of({"role": slices[0]["role"], "state": slices[0]["state"]}), []).extend(
            _picture(slices[n], images[n], labels[n], spacing) for n in shown
        )
    text = TEXT + (f" {left_out} frames of cines that are not flagged are left out here." if left_out else "")
    return Section(
        "Segmentation", text if groups else "", tuple(Group(title, tuple(shown)) for title, shown in groups.items())
    )


def _picture(entry: Mapping[str, Any], image: np.ndarray, labels: np.ndarray, spacing: tuple[float, float]) -> Picture:
    title = title_of(entry) + (" – flagged" if entry["flagged"] else "")
    if not labels.any():
        return Picture(f"{title} – no heart found", "The image, in which no heart was segmented", grey(image), spacing)
    if entry["candidate"] == CORRECTED:
        title += " – corrected by hand"
    elif entry["predicted_dice"] is not None:
        title += f" – predicted Dice {entry['predicted_dice']:.2f}"
    pixels = grey(image)
    for segment in SEGMENTS:
        within = labels >= segment.label  # the wall's outer border goes around the blood pool, too
        border = within & ~ndimage.binary_erosion(within)
        pixels[border] = np.round(255 * np.array(segment.color)).astype(np.uint8)
    names = " and ".join(segment.name.lower() for segment in SEGMENTS)
    return Picture(title, f"Borders of {names} on {title_of(entry)}", _around(pixels, labels > 0, spacing), spacing)


def _around(pixels: np.ndarray, heart: np.ndarray, spacing: tuple[float, float]) -> np.ndarray:
    """The part of an image around what was segmented."""
    (rows, columns) = ndimage.find_objects(heart.astype(np.int8))[0]
    parts = [
        slice(max(0, part.start - round(MARGIN_MM / mm)), part.stop + round(MARGIN_MM / mm))
        for part, mm in zip((rows, columns), spacing, strict=True)
    ]
    return pixels[parts[0], parts[1]]
