"""Label maps as DICOM: a binary segmentation with coded terms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydicom.dataset import Dataset

from CMRLib import __version__
from CMRLib.export.dicom.items import ExportedLabels
from CMRLib.export.dicom.objects import (
    MANUFACTURER,
    SEGMENTING,
    NewObject,
    coded,
    finish_frames,
    load_highdicom,
    plane_order,
    planes,
)
from CMRLib.files.segmentations import Segment
from CMRLib.geometry import Geometry
from CMRLib.terms import Term

ARTIFICIAL_INTELLIGENCE = Term("123110", "DCM", "Artificial Intelligence")


def segmentation(new: NewObject, exported: ExportedLabels, geometry: Geometry, index: int | None = None) -> Dataset:
    """A label map as an object of the class Segmentation Storage; slices in which a segment is not there have no frame.

    Args:
        new: what is to be made.
        exported: the label map.
        geometry: of its slices.
        index: the one frame to be written, where the label map is of frames that lie in one place; None for slices.

    Raises:
        MissingDependencyError: highdicom is missing.
        ValueError: the label map is empty.
    """
    highdicom = load_highdicom()
    labels = exported.labels if index is None else exported.labels[index : index + 1]
    numbers = np.zeros_like(labels)
    for number, segment in enumerate(exported.segments, start=1):
        numbers[labels == segment.label] = number
    if not numbers.any():
        raise ValueError("The label map holds no segment.")
    slices = list(range(len(labels))) if index is None else [0]
    made: Dataset = highdicom.seg.Segmentation(
        source_images=planes(new.source, geometry, labels.shape, slices),
        pixel_array=numbers.astype(np.uint8),
        segmentation_type="BINARY",
        segment_descriptions=[
            _description(number, segment, exported) for number, segment in enumerate(exported.segments, start=1)
        ],
        content_label=exported.name.upper()[:16],
        content_description=new.description,
        **new.arguments(),
    )
    order = plane_order(made, geometry, len(labels))
    return finish_frames(made, new.source, order if index is None else [index] * len(order), SEGMENTING)


def _description(number: int, segment: Segment, exported: ExportedLabels) -> Dataset:
    highdicom = load_highdicom()
    algorithm = None
    if exported.model:
        algorithm = highdicom.AlgorithmIdentificationSequence(
            name=exported.model,
            family=coded(ARTIFICIAL_INTELLIGENCE),
            version=__version__,
            source=MANUFACTURER,
            parameters={"sha256": exported.model_sha256},
        )
    described: Dataset = highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=segment.name,
        segmented_property_category=coded(segment.category),
        segmented_property_type=coded(segment.kind),
        algorithm_type="AUTOMATIC" if exported.model else "MANUAL",
        algorithm_identification=algorithm,
        anatomic_regions=[coded(segment.region)] if segment.region else None,
    )
    described.RecommendedDisplayCIELabValue = _cielab(segment.color)
    return described


def _cielab(color: Sequence[float]) -> list[int]:
    """Red, green and blue (sRGB, 0 to 1) as CIELab values in 16 bits, as DICOM PS3.3 C.10.7.1.1 has them.

    The matrix is that of IEC 61966-2-1 to the white point D65; DICOM wants D50, to which it is scaled.
    """
    rgb = np.asarray(color, dtype=float)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear
    relative = xyz / (0.9505, 1.0, 1.089)
    cube = np.where(relative > (6 / 29) ** 3, np.cbrt(relative), relative / (3 * (6 / 29) ** 2) + 4 / 29)
    light, a, b = 116 * cube[1] - 16, 500 * (cube[0] - cube[1]), 200 * (cube[1] - cube[2])
    scaled = np.rint([light / 100 * 65535, (a + 128) / 255 * 65535, (b + 128) / 255 * 65535])
    return [int(value) for value in np.clip(scaled, 0, 65535)]
