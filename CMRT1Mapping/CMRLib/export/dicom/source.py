"""What DICOM results carry over from the study that they were made from: patient, study, place and source images."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset

from CMRLib.errors import InputError
from CMRLib.export.dicom.uids import derived_uid, shown_uid
from CMRLib.export.pseudonyms import REMOVED_METHOD, patient_pseudonym
from CMRLib.study.dicom.files import is_dicom_file
from CMRLib.study.dicom.groups import Acquisition
from CMRLib.study.dicom.values import whole_number_of, without_messages
from CMRLib.study.series import Series, Study

NO_DICOM = (
    "The study's files are no DICOM, so its DICOM results carry the study's id as patient id, no patient name, and new "
    "identifiers of study and frame of reference."
)
NO_PLACE = "its images name no frame of reference, so its DICOM results carry a new one."
SEVERAL_PLACES = (
    "its images name several frames of reference, so nothing says where they lie to each other, and no DICOM results "
    "were written of it; export the series again with one."
)
NO_DATE = "19000101"  # where a date has to stand and none may or can be told

_DATE, _TIME = re.compile(r"\d{8}"), re.compile(r"\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?")
_PATIENT = ("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex")
_STUDY = ("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName", "StudyDescription")
_WHEN = ("AcquisitionDate", "AcquisitionTime", "ContentDate", "ContentTime", "SeriesDate", "SeriesTime")
# How the images were acquired, for plain images made of them (DICOM PS3.3 C.8.3.1).
_SEQUENCE = (
    *("ScanningSequence", "SequenceVariant", "MRAcquisitionType", "RepetitionTime", "EchoTime"),
    *("EchoTrainLength", "FlipAngle", "MagneticFieldStrength", "ImagingFrequency", "ImagedNucleus", "PatientPosition"),
)
_IDENTIFIERS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
_TAGS: list[Any] = [*_PATIENT, *_STUDY, *_WHEN, *_SEQUENCE, *_IDENTIFIERS, "SpecificCharacterSet", "NumberOfFrames"]


@dataclass(frozen=True)
class ImageReference:
    """A source image: its class, instance and series, and the number of the frame from 1 in a file of several."""

    class_uid: str
    instance_uid: str
    series_uid: str
    frame: int | None = None


@dataclass(frozen=True)
class Source:
    """What the results of a series carry over.

    Attributes:
        header: attributes of patient, study and frame of reference that every result carries.
        date, time: that results carry where DICOM demands them: those of the source, so that the same results are the
            same bytes.
        sequence: how the images were acquired, as far as the source tells.
        series_number: of the source, or None.
        images: the source images of each slice or frame; empty where the source was no DICOM.
        identity: what stands for the source in the identifiers of its results.
        notes: clauses about what was invented.
    """

    header: Dataset
    date: str
    time: str
    sequence: Dataset
    series_number: int | None
    images: tuple[tuple[ImageReference, ...], ...]
    identity: str
    notes: tuple[str, ...] = ()

    def references(self, index: int) -> tuple[ImageReference, ...]:
        """The source images of a slice of a result: those of the slice, or all where the source has frames of one."""
        return self.images[index] if index < len(self.images) else ()


def source_of(series: Series, study: Study) -> Source:
    """What the results of a series carry over; without who the patient is where the study has a secret.

    Raises:
        InputError: a clause (without capital) that says why no DICOM results can be written.
    """
    frames, phase = _images(series)
    if not frames:
        return _invented(series, study)
    try:
        with without_messages():
            headers = {file: _header(file) for file, _ in (*frames, *phase)}
    except Exception as error:  # pydicom raises many kinds
        raise InputError("its headers can no longer be read; check that its files are still there.") from error
    first = headers[frames[0][0]]
    places = {str(headers[file].get("FrameOfReferenceUID", "") or "") for file, _ in frames}
    if len(places) > 1:
        raise InputError(SEVERAL_PLACES)
    secret = study.secret
    place = places.pop()
    identity = " ".join(f"{headers[file].get('SOPInstanceUID', '')}/{index}" for file, index in (*frames, *phase))
    header = _carried(first, secret)
    header.StudyInstanceUID = shown_uid(secret, str(first.StudyInstanceUID))
    header.FrameOfReferenceUID = (
        shown_uid(secret, place) if place else derived_uid(secret, "frame of reference", first.SeriesInstanceUID)
    )
    references = [tuple(_reference(headers[file], index, secret) for file, index in part) for part in (frames, phase)]
    return Source(
        header=header,
        date=NO_DATE if secret else _first_valid(first, ("Content", "Acquisition", "Series", "Study"), "Date", _DATE),
        time="000000" if secret else _first_valid(first, ("Content", "Acquisition", "Series", "Study"), "Time", _TIME),
        sequence=_only(first, _SEQUENCE),
        series_number=series.series_number,
        images=_by_slice(series, *references),
        identity=identity,
        notes=() if place else (f"{series.key}: {NO_PLACE}",),
    )


def _images(series: Series) -> tuple[list[tuple[Path, int | None]], list[tuple[Path, int | None]]]:
    """File and place in the file (None where it is not known) of each image, and of each phase image."""
    if isinstance(series.source, Acquisition):
        acquisition = series.source
        return [(f.path, f.index) for f in acquisition.frames], [(f.path, f.index) for f in acquisition.phase]
    if all(is_dicom_file(file) for file in series.files):
        return [(file, None) for file in series.files], [(file, None) for file in series.phase_files]
    return [], []


def _header(file: Path) -> Dataset:
    header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=_TAGS, force=True)
    header.decode()
    return header


def _by_slice(
    series: Series, images: Sequence[ImageReference], phase: Sequence[ImageReference]
) -> tuple[tuple[ImageReference, ...], ...]:
    """The source images of each slice or frame; those of an acquisition all belong to its one map."""
    if series.role == "irw":
        return ((*images, *phase),)
    if len(images) == series.shape[0]:
        return tuple((image,) for image in images)
    return (tuple(images),) * series.shape[0]


def _reference(header: Dataset, index: int | None, secret: bytes) -> ImageReference:
    return ImageReference(
        class_uid=str(header.get("SOPClassUID", "")),
        instance_uid=shown_uid(secret, str(header.get("SOPInstanceUID", ""))),
        series_uid=shown_uid(secret, str(header.get("SeriesInstanceUID", ""))),
        frame=None if index is None or (whole_number_of(header, "NumberOfFrames") or 1) == 1 else index + 1,
    )


def _carried(first: Dataset, secret: bytes) -> Dataset:
    """Patient and study as results carry them: with every attribute that DICOM demands, and only valid values."""
    header = Dataset()
    for keyword in (*_PATIENT, *_STUDY):
        setattr(header, keyword, "" if secret else str(first.get(keyword, "") or ""))
    if secret:
        header.PatientID = header.PatientName = patient_pseudonym(secret, first)
        header.PatientIdentityRemoved = "YES"
        header.DeidentificationMethod = REMOVED_METHOD
    for keyword, pattern in (("PatientBirthDate", _DATE), ("StudyDate", _DATE), ("StudyTime", _TIME)):
        if not pattern.fullmatch(str(header[keyword].value)):
            setattr(header, keyword, "")
    if header.PatientSex not in ("M", "F", "O"):
        header.PatientSex = ""
    for keyword in ("IssuerOfPatientID", "StudyDescription"):
        if not header[keyword].value:
            delattr(header, keyword)
    header.PositionReferenceIndicator = ""
    return header


def _first_valid(header: Dataset, names: Sequence[str], ending: str, pattern: re.Pattern[str]) -> str:
    told = (str(header.get(f"{name}{ending}", "") or "") for name in names)
    return next((text for text in told if pattern.fullmatch(text)), NO_DATE if ending == "Date" else "000000")


def _only(header: Dataset, keywords: Sequence[str]) -> Dataset:
    kept = Dataset()
    for keyword in keywords:
        if header.get(keyword) not in (None, ""):
            kept[keyword] = header[keyword]
    return kept


def _invented(series: Series, study: Study) -> Source:
    """For a series of other files: the study's id, and identifiers made from it."""
    secret = study.secret
    header = _carried(Dataset(), b"")
    header.PatientID = study.id.rpartition("-")[0] if secret else study.id
    if secret:
        header.PatientName = header.PatientID
        header.PatientIdentityRemoved = "YES"
        header.DeidentificationMethod = REMOVED_METHOD
    header.StudyInstanceUID = derived_uid(secret, "study", study.id)
    header.FrameOfReferenceUID = derived_uid(secret, "frame of reference", study.id)
    return Source(
        header=header,
        date=NO_DATE,
        time="000000",
        sequence=Dataset(),
        series_number=None,
        images=(),
        identity=f"{study.id} {series.key}",
        notes=(NO_DICOM,),
    )
