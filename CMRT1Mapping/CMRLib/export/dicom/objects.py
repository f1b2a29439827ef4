"""What all DICOM results have in common: highdicom and its absence, the maker, dates, references, and the file."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import MRImageStorage

from CMRLib import __version__
from CMRLib.errors import MissingDependencyError
from CMRLib.export.dicom.source import ImageReference, Source
from CMRLib.export.dicom.uids import derived_uid
from CMRLib.files.atomic import write_bytes
from CMRLib.geometry import Geometry
from CMRLib.study.dicom.values import without_messages
from CMRLib.terms import Term

MANUFACTURER = MODEL_NAME = "CMRMapping"
SERIAL_NUMBER = "none"  # of a device; a program has none, and DICOM demands one
CHARACTER_SET = "ISO_IR 192"  # UTF-8: names come in any script
RESEARCH = "RESEARCH"  # content qualification
PROCESSING = Term("110001", "DCM", "Image Processing")
SEGMENTING = Term("113076", "DCM", "Segmentation")
HEART = Term("80891009", "SCT", "Heart")
_HIGHDICOM = "pip install 'cmr-mapping[dicom]'"

# highdicom 0.27 works with pydicom from version 3.0.1 on.
_OLDEST_PYDICOM = (3, 0)


def load_highdicom() -> ModuleType:
    """highdicom, which writes DICOM objects.

    Raises:
        MissingDependencyError: it is not installed, or this Python's packages are too old for it.
    """
    try:
        if tuple(int(part) for part in pydicom.__version__.split(".")[:2]) < _OLDEST_PYDICOM:
            raise ImportError
        for part in ("pm", "seg", "sr"):
            importlib.import_module(f"highdicom.{part}")
        return importlib.import_module("highdicom")
    except Exception as error:  # a half-installed package raises what it likes
        raise MissingDependencyError(
            f"DICOM results need highdicom; install it with {_HIGHDICOM}, or use 3D Slicer 5.12 or newer, which has it "
            "(it cannot be added to 3D Slicer 5.10)."
        ) from error


@dataclass(frozen=True)
class NewObject:
    """A DICOM object that is to be made.

    Attributes:
        source: what it carries over.
        secret: of the study, for its identifiers.
        identity: what tells it from every other object of the same source.
        description: of its series, in ASCII.
        series_number: of its series.
        instance_number: within its series.
    """

    source: Source
    secret: bytes
    identity: tuple[str, ...]
    description: str
    series_number: int
    instance_number: int = 1

    @property
    def series_uid(self) -> str:
        """Identifier of its series."""
        return derived_uid(self.secret, "series", self.source.identity, __version__, *self.identity)

    @property
    def instance_uid(self) -> str:
        """Identifier of the object itself."""
        parts = (self.source.identity, __version__, *self.identity, self.instance_number)
        return derived_uid(self.secret, "instance", *parts)

    def arguments(self) -> dict[str, Any]:
        """What highdicom needs to know of it."""
        return {
            "series_instance_uid": self.series_uid,
            "series_number": self.series_number,
            "sop_instance_uid": self.instance_uid,
            "instance_number": self.instance_number,
            "manufacturer": MANUFACTURER,
            "manufacturer_model_name": MODEL_NAME,
            "software_versions": __version__,
            "device_serial_number": SERIAL_NUMBER,
            "series_description": self.description,
        }


def planes(source: Source, geometry: Geometry, shape: Sequence[int], indices: Iterable[int]) -> list[Dataset]:
    """Headers of classic images that lie where the slices of a result lie: what highdicom makes its objects of.

    Args:
        source: what the result carries over.
        geometry: of the result.
        shape: (slice, row, column).
        indices: of the slices.
    """
    made = []
    for index in indices:
        header = Dataset()
        header.update(source.header)
        header.SpecificCharacterSet = CHARACTER_SET
        header.SOPClassUID = MRImageStorage
        header.SOPInstanceUID = derived_uid(b"", source.identity, index)
        header.SeriesInstanceUID = derived_uid(b"", source.identity)
        header.Modality = "MR"
        header.Rows, header.Columns = int(shape[1]), int(shape[2])
        header.InstanceNumber = index + 1
        add_plane(header, geometry.at_slice(index))
        made.append(header)
    return made


def turn_frames(dataset: Dataset, keyword: str) -> None:
    """Bring the frames of an object into the order in which dcmqi takes them to lie: along the normal of their plane.

    Args:
        dataset: the object, whose frames lie in order in either direction.
        keyword: of its pixels, which are whole bytes.
    """
    groups = dataset.PerFrameFunctionalGroupsSequence
    shared = dataset.SharedFunctionalGroupsSequence[0]
    axes = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, dtype=float).reshape(2, 3)
    first, last = (np.array(groups[end].PlanePositionSequence[0].ImagePositionPatient, dtype=float) for end in (0, -1))
    if float((last - first) @ np.cross(*axes)) < 0:
        dataset.PerFrameFunctionalGroupsSequence = list(groups)[::-1]
        size = len(dataset[keyword].value) // len(groups)
        content = dataset[keyword].value
        setattr(dataset, keyword, b"".join(content[i * size : (i + 1) * size] for i in reversed(range(len(groups)))))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence pydicom and highdicom, whose warnings quote names and identifiers."""
    logger = logging.getLogger("highdicom")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with without_messages():
            yield
    finally:
        logger.setLevel(before)


def add_plane(header: Dataset, geometry: Geometry) -> None:
    """Where a classic image lies: that of slice 0 of the geometry."""
    axes = geometry.matrix
    header.ImagePositionPatient = [_decimal(value) for value in geometry.origin]
    header.ImageOrientationPatient = [_decimal(value) for value in (*axes[:, 0], *axes[:, 1])]
    header.PixelSpacing = [_decimal(geometry.spacing[1]), _decimal(geometry.spacing[0])]
    header.SliceThickness = _decimal(geometry.spacing[2])


def _decimal(value: float) -> str:
    """A number as DICOM writes it, in at most 16 characters."""
    return pydicom.valuerep.format_number_as_ds(float(value) + 0.0)


def code(term: Term) -> Dataset:
    """A term as an item of a code sequence."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = term.value, term.scheme, term.meaning
    return item


def coded(term: Term) -> Any:
    """A term as highdicom takes it."""
    return load_highdicom().sr.CodedConcept(term.value, term.scheme, term.meaning)


def finish(dataset: Dataset, source: Source) -> Dataset:
    """Give an object of highdicom the patient, the study and the dates of its source, and nothing of this moment."""
    dataset.update(source.header)
    dataset.SpecificCharacterSet = CHARACTER_SET
    dataset.ContentDate, dataset.ContentTime = source.date, source.time
    for keyword in ("InstanceCreationDate", "InstanceCreationTime", "SeriesDate", "SeriesTime"):
        if keyword in dataset:
            delattr(dataset, keyword)
    for item in dataset.get("ContributingEquipmentSequence", ()):
        if "ContributionDateTime" in item:
            del item.ContributionDateTime
    return dataset


def finish_frames(dataset: Dataset, source: Source, indices: Sequence[int], derivation: Term) -> Dataset:
    """As `finish`, for an object of several frames: what they were made from, and the part of the body.

    Args:
        dataset: the object, whose frames come in any order.
        source: what it was made from.
        indices: the slice of the source of each frame.
        derivation: how the frames were made.
    """
    finish(dataset, source)
    dataset.ContentCreatorName = ""
    organization = derived_uid(b"", "dimensions", dataset.SOPInstanceUID)  # highdicom takes another one each time
    for item in (*dataset.DimensionOrganizationSequence, *dataset.DimensionIndexSequence):
        item.DimensionOrganizationUID = organization
    # highdicom's references point at the headers that stood for the source.
    for keyword in (
        "ReferencedSeriesSequence",
        "SourceImageSequence",
        "StudiesContainingOtherReferencedInstancesSequence",
    ):
        if keyword in dataset:
            delattr(dataset, keyword)
    for item, index in zip(dataset.PerFrameFunctionalGroupsSequence, indices, strict=True):
        if "DerivationImageSequence" in item:
            del item.DerivationImageSequence
        if references := source.references(index):
            item.DerivationImageSequence = [_derivation(references, derivation)]
    shared = dataset.SharedFunctionalGroupsSequence[0]
    anatomy = Dataset()
    anatomy.AnatomicRegionSequence = [code(HEART)]
    anatomy.FrameLaterality = "U"
    shared.FrameAnatomySequence = [anatomy]
    if everything := dict.fromkeys(reference for index in indices for reference in source.references(index)):
        dataset.ReferencedSeriesSequence = _by_series(everything)
    return dataset


def _derivation(references: Sequence[ImageReference], derivation: Term) -> Dataset:
    """The source images of a frame."""
    item = Dataset()
    item.DerivationCodeSequence = [code(derivation)]
    item.SourceImageSequence = [source_image(reference) for reference in references]
    return item


def source_image(reference: ImageReference) -> Dataset:
    """A source image as an item of a Source Image Sequence."""
    item = _instance(reference)
    item.PurposeOfReferenceCodeSequence = [code(Term("121322", "DCM", "Source image for image processing operation"))]
    item.SpatialLocationsPreserved = "YES"
    return item


def _instance(reference: ImageReference) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = reference.class_uid
    item.ReferencedSOPInstanceUID = reference.instance_uid
    if reference.frame is not None:
        item.ReferencedFrameNumber = reference.frame
    return item


def _by_series(references: Iterable[ImageReference]) -> list[Dataset]:
    """The source images by their series, each file once."""
    series: dict[str, dict[str, Dataset]] = {}
    for reference in references:
        item = _instance(ImageReference(reference.class_uid, reference.instance_uid, reference.series_uid))
        series.setdefault(reference.series_uid, {})[reference.instance_uid] = item
    made = []
    for uid, instances in series.items():
        item = Dataset()
        item.SeriesInstanceUID = uid
        item.ReferencedInstanceSequence = list(instances.values())
        made.append(item)
    return made


def plane_order(dataset: Dataset, geometry: Geometry, count: int) -> list[int]:
    """The slice of each frame of an object, by its position: highdicom sorts frames its own way."""
    origins = np.array([geometry.at_slice(index).origin for index in range(count)])
    groups = dataset.PerFrameFunctionalGroupsSequence
    positions = [np.array(item.PlanePositionSequence[0].ImagePositionPatient, dtype=float) for item in groups]
    return [int(np.argmin(np.linalg.norm(origins - position, axis=1))) for position in positions]


def write(dataset: Dataset, path: Path) -> Path:
    """Write a complete object, whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    content = io.BytesIO()
    dataset.save_as(content, enforce_file_format=True)
    return write_bytes(path, content.getvalue())
