"""Segmentations as files that 3D Slicer loads and saves (``.seg.nrrd``), and label maps; without Slicer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813 (the name its users know)

from CMRLib.errors import InputError
from CMRLib.files.images import readable_path, write_image
from CMRLib.geometry import Geometry
from CMRLib.terms import Term

SEGMENTATION_ENDING, LABELS_ENDING = ".seg.nrrd", "_labels.nrrd"

_CONTEXT = "Segmentation category and type - 3D Slicer General Anatomy list"
_REGIONS = "Anatomic codes - DICOM master list"


@dataclass(frozen=True)
class Segment:
    """A kind of segment.

    Attributes:
        label: its value in a label map.
        name: its name and id.
        color: red, green, blue, 0 to 1.
        category, kind: what it is.
        region: where it is, or None.
    """

    label: int
    name: str
    color: tuple[float, float, float]
    category: Term
    kind: Term
    region: Term | None = None

    @property
    def terminology(self) -> str:
        """The terms as Slicer keeps them with a segment."""
        category, kind, region = (
            "^^" if term is None else f"{term.scheme}^{term.value}^{term.meaning}"
            for term in (self.category, self.kind, self.region)
        )
        return f"{_CONTEXT}~{category}~{kind}~^^~{_REGIONS}~{region}~^^"


def write_segmentation(path: Path, labels: np.ndarray, geometry: Geometry, segments: Sequence[Segment]) -> Path:
    """Write a label map as a segmentation.

    Args:
        path: ends in ``.seg.nrrd``.
        labels: uint8 (slice, row, column).
        geometry: where they lie.
        segments: what the labels are; one without a pixel is written too, empty.

    Raises:
        OutputError: the file cannot be written.
    """
    header = {
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
    }
    for number, segment in enumerate(segments):
        described = {
            "ID": segment.name,
            "Name": segment.name,
            "Color": " ".join(f"{value:g}" for value in segment.color),
            "LabelValue": str(segment.label),
            "Layer": "0",
            "Extent": _extent(labels == segment.label),
            "Tags": f"TerminologyEntry:{segment.terminology}|",
        }
        header |= {f"Segment{number}_{key}": text for key, text in described.items()}
    return write_image(path, labels, geometry, header)


def read_segmentation(
    path: Path, segments: Sequence[Segment], geometry: Geometry, shape: tuple[int, int, int]
) -> np.ndarray:
    """Read a segmentation, or a label map, on the pixels of images.

    Slicer saves no more than what segments fill, and each segment under a label of its own; segments are told by their
    terms, or else by their names. In a file without segments, labels are what they are.

    Args:
        path: the file.
        segments: what it must hold; where two of them overlap, the later one counts.
        geometry: of the images.
        shape: of the images, (slice, row, column).

    Returns:
        uint8 (slice, row, column), the segments' labels.

    Raises:
        InputError: it cannot be read, lacks a segment, or lies elsewhere than the images.
    """
    try:
        with readable_path(path) as readable:
            image = sitk.ReadImage(readable)
    except RuntimeError as error:
        raise InputError("Its corrected segmentation cannot be read; save it again.") from error
    if image.GetDimension() != 3:
        raise InputError("Its corrected segmentation has no three axes; save it again from the images' own geometry.")
    header = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}
    layers = sitk.GetArrayFromImage(image)
    layers = layers if image.GetNumberOfComponentsPerPixel() > 1 else layers[..., None]
    result, before = np.zeros(shape, dtype=np.uint8), 0
    for segment in segments:
        layer, label = _place_of(segment, header, layers.shape[-1])
        mask = layers[..., layer] == label
        before += int(mask.sum())
        result[_on_grid(mask, image, geometry, shape)] = segment.label
    if before and not result.any():
        raise InputError("Its corrected segmentation lies elsewhere than the images; save it from these images.")
    return result


def _extent(mask: np.ndarray) -> str:
    """First and last column, row and slice of a mask, as Slicer writes them; "0 -1" three times where it is empty."""
    if not mask.any():
        return "0 -1 0 -1 0 -1"
    ranges = [np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis))) for axis in (2, 1, 0)]
    return " ".join(f"{indices[0]} {indices[-1]}" for indices in ranges)


def _place_of(segment: Segment, header: dict[str, str], layers: int) -> tuple[int, int]:
    """Layer, of so many, and label of a segment in a file."""
    numbers = sorted({found[1] for key in header if (found := re.match(r"Segment(\d+)_", key))}, key=int)
    if not numbers:
        return 0, segment.label
    told = [n for n in numbers if f"~{segment.kind}~" in header.get(f"Segment{n}_Tags", "")]
    named = [n for n in numbers if header.get(f"Segment{n}_Name", "").casefold() == segment.name.casefold()]
    if len(told) != 1 and not named:
        raise InputError(
            f'Its corrected segmentation has no segment called "{segment.name}"; name it so and save it again.'
        )
    number = told[0] if len(told) == 1 else named[0]
    try:
        layer, label = int(header.get(f"Segment{number}_Layer", 0)), int(header.get(f"Segment{number}_LabelValue", 1))
        return range(layers)[layer], label
    except (ValueError, IndexError) as error:
        raise InputError("Its corrected segmentation has a damaged header; save it again.") from error


def _on_grid(mask: np.ndarray, like: sitk.Image, geometry: Geometry, shape: tuple[int, int, int]) -> np.ndarray:
    """A mask that lies as ``like`` on the pixels of images: a pixel is in it when its centre is."""
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.CopyInformation(like)
    moved = sitk.Resample(
        image, shape[::-1], sitk.Transform(), sitk.sitkNearestNeighbor, geometry.origin, geometry.spacing,
        geometry.direction,
    )  # fmt: skip
    on_grid: np.ndarray = sitk.GetArrayFromImage(moved) > 0
    return on_grid
