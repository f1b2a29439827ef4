"""Reading what the headers of DICOM files say about each image, without the pixels."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset

from CMRLib.errors import InputError
from CMRLib.study.dicom.faults import MR_IMAGE_CLASSES, fault_of_file, fault_of_place
from CMRLib.study.dicom.values import (
    as_number,
    as_numbers,
    as_texts,
    as_whole_number,
    clock_seconds,
    first_value,
    values,
    whole_number_of,
    without_messages,
)

_DIRECTORY_CLASS = "1.2.840.10008.1.3.10"
_GE_IMAGE_KIND = 0x0043102F  # GE "Raw Data Type": 0 magnitude, 1 phase, 2 real, 3 imaginary
_GE_COMPONENTS = ("magnitude", "phase", "real", "imaginary")
# Enhanced: Complex Image Component (0008,9208). Classic: third and later values of Image Type (0008,0008), as Siemens
# (M, P), Philips (M_IR, M; PHASE MAP, P) and others write them.
_COMPONENTS = {
    "magnitude": {"M", "MAG", "MAGNITUDE"},
    "phase": {"P", "PHASE", "PHASE MAP"},
    "real": {"R", "REAL"},
    "imaginary": {"I", "IMAGINARY"},
}
# "TIeff 100 ms", "TI_eff: 100.5", "TIeff=0.1 s"
_TI_COMMENT = re.compile(
    r"(?<![A-Za-z])TI[\s_]*eff(?:ective)?[\s_:=]*(\d+(?:[.,]\d+)?)\s*(ms(?:ec)?|s(?:ec)?)?(?![A-Za-z0-9])",
    re.IGNORECASE,
)
_NOT_AGENTS = {"", "NO", "NONE", "N/A", "WITHOUT", "NO CONTRAST", "UNKNOWN"}

_PHILIPS_PREPULSE_DELAY = 0x2001101B
_LONGEST_INVERSION_TIME_MS = 60000.0  # Philips fills unused values with the largest number there is

_TAGS: list[Any] = [
    *("ImageType", "SOPClassUID", "SOPInstanceUID", "Modality", "Manufacturer", "SeriesDescription", "ProtocolName"),
    *("AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime", "ContentDate", "ContentTime", "SeriesDate"),
    *("SeriesTime", "StudyDate", "ComplexImageComponent", "ContrastBolusAgent", "ContrastBolusAgentSequence"),
    *("SequenceName", "PulseSequenceName", "MagneticFieldStrength", "InversionTime", "InversionTimes", "TriggerTime"),
    *("SaturationRecovery", "MRModifierSequence", "SliceThickness", "SpacingBetweenSlices"),
    *("StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber", "AcquisitionNumber", "InstanceNumber"),
    *("ImagePositionPatient", "ImageOrientationPatient", "ImageComments", "SamplesPerPixel", "NumberOfFrames"),
    *("PhotometricInterpretation", "Rows", "Columns", "PixelSpacing", "BitsAllocated", "BitsStored", "HighBit"),
    *("PixelRepresentation", "RescaleSlope", "RescaleIntercept", "RescaleType", "RealWorldValueMappingSequence"),
    *("ModalityLUTSequence", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    *("UnassignedPerFrameConvertedAttributesSequence", "UnassignedSharedConvertedAttributesSequence", 0x2005140F),
    *(_GE_IMAGE_KIND, _PHILIPS_PREPULSE_DELAY),
]


@dataclass(frozen=True)
class FrameHeader:
    """What the header says about one image: a classic file, or one frame of a multi-frame file.

    Times are seconds on one clock for the whole study (days since year 1 times 86 400 plus the time of day), lengths
    mm, inversion times ms, the field tesla; vectors are LPS. What the file does not tell is None, "" or an empty tuple.
    """

    path: Path
    index: int
    sop_uid: str
    study_uid: str
    series_uid: str
    series_number: int | None
    acquisition_number: int | None
    instance_number: int | None
    description: str
    protocol: str
    sequence: str
    comments: str
    image_type: tuple[str, ...]
    component: str
    manufacturer: str
    time: float | None
    trigger_time: float | None
    inversion_time: float | None
    is_saturation_recovery: bool
    has_contrast_agent: bool
    field_strength: float | None
    rows: int
    columns: int
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    pixel_spacing: tuple[float, ...]
    thickness: float | None
    slope: float
    intercept: float
    units: str
    bits_stored: int
    is_signed: bool
    is_mr: bool
    fault: str

    @property
    def commented_inversion_time(self) -> float | None:
        """The inversion time in ms that the image comments name after "TIeff", or None."""
        match = _TI_COMMENT.search(self.comments)
        if match is None:
            return None
        value = float(match.group(1).replace(",", "."))
        return value * 1000.0 if (match.group(2) or "ms").lower().startswith("s") else value


def read_headers(path: Path) -> list[FrameHeader]:
    """The headers of a file's images: none for a DICOMDIR, one for a classic file, one per frame otherwise.

    An image that cannot be used carries the reason in ``fault``.

    Raises:
        InputError: the file cannot be read as DICOM.
    """
    try:
        with without_messages():
            return _headers_of_file(path)
    except InputError:
        raise
    except OSError as error:
        raise InputError("It cannot be read; check that the file is still there and may be read.") from error
    except Exception as error:  # pydicom raises many kinds for a damaged header
        raise InputError("Its DICOM header is damaged; copy it from the scanner again.") from error


def read_all_headers(files: Iterable[Path]) -> tuple[list[FrameHeader], list[tuple[Path, str]]]:
    """The headers of all images in the order of their files' names, and the files that cannot be read, with why."""
    headers: list[FrameHeader] = []
    damaged: list[tuple[Path, str]] = []
    for file in sorted(set(files)):
        try:
            headers += read_headers(file)
        except InputError as error:
            damaged.append((file, str(error)))
    return headers, damaged


def _headers_of_file(path: Path) -> list[FrameHeader]:
    with path.open("rb") as file:
        dataset = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=_TAGS, force=True)
        bytes_left = path.stat().st_size - file.tell()  # reading stops before the pixels' tag
    class_uid = str(dataset.get("SOPClassUID", "") or dataset.file_meta.get("MediaStorageSOPClassUID", ""))
    if not class_uid or not ("Modality" in dataset or "StudyInstanceUID" in dataset):  # it ends in its first lines
        raise InputError("It cannot be read as DICOM; it may be damaged, so copy it from the scanner again.")
    if class_uid == _DIRECTORY_CLASS:
        return []
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or []
    count = max(1, whole_number_of(dataset, "NumberOfFrames") or 1)
    fault = fault_of_file(dataset, class_uid, count, len(per_frame), bytes_left)
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    groups = [[frame, shared, dataset] for frame in per_frame] if per_frame and not fault else [[dataset]]
    return [_frame_header(path, index, sources, fault) for index, sources in enumerate(groups)]


def _frame_header(path: Path, index: int, sources: list[Dataset], fault: str) -> FrameHeader:
    """One frame's header; ``sources`` are searched in order: the frame's groups, the shared groups, the file."""
    dataset = sources[-1]
    image_type = as_texts(
        first_value(sources, "MRImageFrameTypeSequence", "FrameType") or first_value(sources, "", "ImageType")
    )
    slope, intercept, units = _value_scale(sources)
    position = as_numbers(first_value(sources, "PlanePositionSequence", "ImagePositionPatient"), 3)
    orientation = as_numbers(first_value(sources, "PlaneOrientationSequence", "ImageOrientationPatient"), 6)
    pixel_spacing = as_numbers(first_value(sources, "PixelMeasuresSequence", "PixelSpacing"), 2)
    fault = fault or fault_of_place(position, orientation, pixel_spacing)
    return FrameHeader(
        path=path,
        index=index,
        sop_uid=str(dataset.get("SOPInstanceUID", "")),
        study_uid=str(dataset.get("StudyInstanceUID", "")),
        series_uid=str(dataset.get("SeriesInstanceUID", "")),
        series_number=whole_number_of(dataset, "SeriesNumber"),
        acquisition_number=as_whole_number(
            first_value(sources, "FrameContentSequence", "FrameAcquisitionNumber")
            or first_value(sources, "", "AcquisitionNumber")
        ),
        instance_number=whole_number_of(dataset, "InstanceNumber"),
        description=str(dataset.get("SeriesDescription", "") or ""),
        protocol=str(dataset.get("ProtocolName", "") or ""),
        sequence=str(dataset.get("SequenceName", "") or dataset.get("PulseSequenceName", "") or ""),
        comments=str(
            first_value(sources, "FrameContentSequence", "FrameComments")
            or first_value(sources, "", "ImageComments")
            or ""
        ),
        image_type=image_type,
        component=_component(sources, image_type),
        manufacturer=str(dataset.get("Manufacturer", "") or "").upper(),
        time=_time(sources),
        trigger_time=as_number(
            first_value(sources, "CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime")
            or first_value(sources, "", "TriggerTime")
        ),
        inversion_time=_inversion_time(sources),
        is_saturation_recovery=str(first_value(sources, "MRModifierSequence", "SaturationRecovery") or "").upper()
        == "YES",
        has_contrast_agent=_has_contrast_agent(dataset),
        field_strength=as_number(dataset.get("MagneticFieldStrength")),
        rows=whole_number_of(dataset, "Rows") or 0,
        columns=whole_number_of(dataset, "Columns") or 0,
        position=position,
        orientation=orientation,
        pixel_spacing=pixel_spacing,
        thickness=as_number(first_value(sources, "PixelMeasuresSequence", "SliceThickness")),
        slope=slope,
        intercept=intercept,
        units=units,
        bits_stored=whole_number_of(dataset, "BitsStored") or 16,
        is_signed=whole_number_of(dataset, "PixelRepresentation") == 1,
        is_mr=str(dataset.get("SOPClassUID", "")) in MR_IMAGE_CLASSES,
        fault=fault,
    )


def _inversion_time(sources: list[Dataset]) -> float | None:
    """Inversion time in ms, the frame's own before those of the file.

    It is (0018,9079) of the MR modifiers in enhanced files and in some classic ones of Philips, else (0018,0082), else
    Philips's prepulse delay. Some scanners write 0 for "none", and a very large number for values that do not exist.
    """
    for source in sources:
        for sequence, name in (
            ("MRModifierSequence", "InversionTimes"),
            ("", "InversionTime"),
            ("", _PHILIPS_PREPULSE_DELAY),
        ):
            found = [as_number(value) for value in values(first_value([source], sequence, name))]
            usable = [time for time in found if time is not None and 0 < time <= _LONGEST_INVERSION_TIME_MS]
            if usable:
                return usable[0]
    return None


def _value_scale(sources: list[Dataset]) -> tuple[float, float, str]:
    """Slope, intercept and unit (lower case, "" where unnamed) that turn stored values into real ones."""
    mapping = next(
        (s["RealWorldValueMappingSequence"].value for s in sources if s.get("RealWorldValueMappingSequence")), None
    )
    if mapping:
        codes = mapping[0].get("MeasurementUnitsCodeSequence")
        mapped_slope = as_number(mapping[0].get("RealWorldValueSlope"))
        if codes and mapped_slope:
            return (
                mapped_slope,
                as_number(mapping[0].get("RealWorldValueIntercept")) or 0.0,
                _unit(codes[0].get("CodeValue")),
            )
    slope = as_number(first_value(sources, "PixelValueTransformationSequence", "RescaleSlope"))
    intercept = as_number(first_value(sources, "PixelValueTransformationSequence", "RescaleIntercept"))
    units = first_value(sources, "PixelValueTransformationSequence", "RescaleType")
    return slope or 1.0, intercept or 0.0, _unit(units)


def _unit(code: Any) -> str:
    """A unit in lower case, "" where the code says that there is none (US: unspecified; 1: no unit)."""
    unit = str(code or "").strip().lower()
    return "" if unit in ("us", "1", "normalized", "no units") else unit


def _component(sources: list[Dataset], image_type: tuple[str, ...]) -> str:
    """ "magnitude", "phase", "real", "imaginary", or "" where the header does not tell."""
    named = str(first_value(sources, "MRImageFrameTypeSequence", "ComplexImageComponent") or "").upper()
    ge_kind = as_whole_number(first_value(sources, "", _GE_IMAGE_KIND))
    if not named and ge_kind is not None and 0 <= ge_kind < len(_GE_COMPONENTS):
        return _GE_COMPONENTS[ge_kind]
    return next((name for token in (named, *image_type[2:]) if (name := component_named(token))), "")


def component_named(token: str) -> str:
    """The component that a value of Image Type names, or ""."""
    token = token.upper()
    return next((name for name, names in _COMPONENTS.items() if token in names or token.partition("_")[0] in names), "")


def _has_contrast_agent(dataset: Dataset) -> bool:
    agent = str(dataset.get("ContrastBolusAgent", "") or "").strip().upper()
    return agent not in _NOT_AGENTS or bool(dataset.get("ContrastBolusAgentSequence"))


def _time(sources: list[Dataset]) -> float | None:
    """When the image was acquired, in seconds on one clock.

    A time without its own date gets that of the series or the study, which may be the day before: see
    `CMRLib.study.dicom.clock`.
    """
    stamp = str(
        first_value(sources, "FrameContentSequence", "FrameAcquisitionDateTime")
        or first_value(sources, "", "AcquisitionDateTime")
        or ""
    )
    if match := re.match(r"(\d{8})(\d{2}.*)", stamp):
        return clock_seconds(match.group(1), match.group(2))
    for name in ("Acquisition", "Content", "Series"):
        if time := str(first_value(sources, "", f"{name}Time") or ""):
            days = (f"{name}Date", "AcquisitionDate", "ContentDate", "SeriesDate", "StudyDate")
            return clock_seconds(
                next((str(day) for keyword in days if (day := first_value(sources, "", keyword))), ""), time
            )
    return None
