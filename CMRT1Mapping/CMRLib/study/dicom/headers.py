"""Finding DICOM files in a folder and reading what their headers say about each image, without the pixels."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from CMRLib.errors import InputError
from CMRLib.study.dicom.values import first, integer, number, numbers, seconds, texts, whole, without_messages

MR_IMAGE_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.4": "MR Image Storage",
    "1.2.840.10008.5.1.4.1.1.4.1": "Enhanced MR Image Storage",
    "1.2.840.10008.5.1.4.1.1.4.4": "Legacy Converted Enhanced MR Image Storage",
}
_PLAIN_SYNTAXES = {None, "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"}  # implicit, explicit
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

_TAGS: list[Any] = [
    *("ImageType", "SOPClassUID", "SOPInstanceUID", "Modality", "Manufacturer", "SeriesDescription", "ProtocolName"),
    *("AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime", "ContentDate", "ContentTime", "SeriesDate"),
    *("SeriesTime", "ComplexImageComponent", "ContrastBolusAgent", "ContrastBolusAgentSequence", "SequenceName"),
    *(
        "PulseSequenceName",
        "MagneticFieldStrength",
        "InversionTime",
        "TriggerTime",
        "SliceThickness",
        "SpacingBetweenSlices",
    ),
    *("StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber", "AcquisitionNumber", "InstanceNumber"),
    *("ImagePositionPatient", "ImageOrientationPatient", "ImageComments", "SamplesPerPixel", "NumberOfFrames"),
    *("PhotometricInterpretation", "Rows", "Columns", "PixelSpacing", "BitsAllocated", "BitsStored"),
    *("PixelRepresentation", "RescaleSlope", "RescaleIntercept", "RescaleType", "RealWorldValueMappingSequence"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", _GE_IMAGE_KIND),
]


@dataclass(frozen=True)
class FrameHeader:
    """What the header says about one image: a classic file, or one frame of a multi-frame file.

    Times are seconds on one clock for the whole study (days since year 1 times 86 400 plus the time of day), lengths
    mm, inversion times ms, the field tesla; vectors are LPS. What the file does not tell is None, "" or an empty tuple.
    """

    path: Path
    index: int
    frames_in_file: int
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
    fault: str

    @property
    def commented_inversion_time(self) -> float | None:
        """The inversion time in ms that the image comments name after "TIeff", or None."""
        match = _TI_COMMENT.search(self.comments)
        if match is None:
            return None
        value = float(match.group(1).replace(",", "."))
        return value * 1000.0 if (match.group(2) or "ms").lower().startswith("s") else value


def find_dicom_files(folder: Path) -> list[Path]:
    """The DICOM files at any depth of a folder, in name order; files of other kinds and hidden ones are passed over."""
    found = []
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(root, name) for name in sorted(names) if not name.startswith(".")]
    return [path for path in found if _looks_like_dicom(path)]


def _looks_like_dicom(path: Path) -> bool:
    """Whether the file has DICOM's mark after its preamble or, as old exports, starts with a group 0002 or 0008 tag."""
    try:
        with path.open("rb") as file:
            start = file.read(132)
    except OSError:
        return False
    return start[128:] == b"DICM" or (len(start) == 132 and start[:2] in (b"\x08\x00", b"\x02\x00") and start[3] == 0)


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


def _headers_of_file(path: Path) -> list[FrameHeader]:
    with path.open("rb") as file:
        dataset = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=_TAGS, force=True)
        bytes_left = path.stat().st_size - file.tell()  # reading stops before the pixels' tag
    class_uid = str(dataset.get("SOPClassUID", "") or dataset.file_meta.get("MediaStorageSOPClassUID", ""))
    if not class_uid:
        raise InputError("It cannot be read as DICOM; it may be damaged, so copy it from the scanner again.")
    if class_uid == _DIRECTORY_CLASS:
        return []
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or []
    count = max(1, integer(dataset, "NumberOfFrames") or 1)
    fault = _fault(dataset, class_uid, count, len(per_frame), bytes_left)
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    groups = [[frame, shared, dataset] for frame in per_frame] if per_frame and not fault else [[dataset]]
    return [_frame_header(path, index, count, sources, fault) for index, sources in enumerate(groups)]


def _fault(dataset: Dataset, class_uid: str, frames: int, frame_groups: int, bytes_left: int) -> str:
    """Why the images of a file cannot be used, as one sentence, or ""."""
    if class_uid not in MR_IMAGE_CLASSES:
        kind = str(dataset.get("Modality", "")) or "unknown"
        return f"It is no MR image (modality {kind}), so it holds nothing to map or to segment."
    if not dataset.get("StudyInstanceUID") or not dataset.get("SeriesInstanceUID"):
        return "It does not say which study and series it belongs to; export it again without removing these tags."
    if integer(dataset, "SamplesPerPixel") not in (None, 1) or "MONOCHROME" not in str(
        dataset.get("PhotometricInterpretation", "MONOCHROME2")
    ):
        return "It is a colour picture without values to measure; export the grey-scale series."
    rows, columns = integer(dataset, "Rows") or 0, integer(dataset, "Columns") or 0
    if rows < 2 or columns < 2:
        return "It holds no image (its number of rows or columns is missing)."
    if frames > 1 and frame_groups != frames:
        return "It is a multi-frame image that does not describe each frame; export it as enhanced or classic MR."
    needed = rows * columns * frames * (integer(dataset, "BitsAllocated") or 16) // 8
    if dataset.file_meta.get("TransferSyntaxUID") in _PLAIN_SYNTAXES and bytes_left < needed:
        return "It is cut short: it holds fewer bytes than its image needs; copy it from the scanner again."
    return ""


def _frame_header(path: Path, index: int, count: int, sources: list[Dataset], fault: str) -> FrameHeader:
    """One frame's header; ``sources`` are searched in order: the frame's groups, the shared groups, the file."""
    dataset = sources[-1]
    image_type = texts(first(sources, "MRImageFrameTypeSequence", "FrameType") or dataset.get("ImageType"))
    slope, intercept, units = _value_scale(sources)
    position = numbers(first(sources, "PlanePositionSequence", "ImagePositionPatient"), 3)
    orientation = numbers(first(sources, "PlaneOrientationSequence", "ImageOrientationPatient"), 6)
    pixel_spacing = numbers(first(sources, "PixelMeasuresSequence", "PixelSpacing"), 2)
    if not fault and not (position and orientation and pixel_spacing):
        fault = "It does not say where it lies in the patient or how large its pixels are; export it again."
    return FrameHeader(
        path=path,
        index=index,
        frames_in_file=count,
        sop_uid=str(dataset.get("SOPInstanceUID", "")),
        study_uid=str(dataset.get("StudyInstanceUID", "")),
        series_uid=str(dataset.get("SeriesInstanceUID", "")),
        series_number=integer(dataset, "SeriesNumber"),
        acquisition_number=whole(
            first(sources, "FrameContentSequence", "FrameAcquisitionNumber") or dataset.get("AcquisitionNumber")
        ),
        instance_number=integer(dataset, "InstanceNumber"),
        description=str(dataset.get("SeriesDescription", "") or ""),
        protocol=str(dataset.get("ProtocolName", "") or ""),
        sequence=str(dataset.get("SequenceName", "") or dataset.get("PulseSequenceName", "") or ""),
        comments=str(first(sources, "FrameContentSequence", "FrameComments") or dataset.get("ImageComments") or ""),
        image_type=image_type,
        component=_component(sources, image_type),
        manufacturer=str(dataset.get("Manufacturer", "") or "").upper(),
        time=_time(sources),
        trigger_time=number(
            first(sources, "CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime")
            or dataset.get("TriggerTime")
        ),
        inversion_time=_inversion_time(sources),
        has_contrast_agent=_has_contrast_agent(dataset),
        field_strength=number(dataset.get("MagneticFieldStrength")),
        rows=integer(dataset, "Rows") or 0,
        columns=integer(dataset, "Columns") or 0,
        position=position,
        orientation=orientation,
        pixel_spacing=pixel_spacing,
        thickness=number(first(sources, "PixelMeasuresSequence", "SliceThickness")),
        slope=slope,
        intercept=intercept,
        units=units,
        bits_stored=integer(dataset, "BitsStored") or 16,
        is_signed=integer(dataset, "PixelRepresentation") == 1,
        fault=fault,
    )


def _inversion_time(sources: list[Dataset]) -> float | None:
    """Inversion time in ms: (0018,0082), or in enhanced files Inversion Times (0018,9079) of the MR modifiers."""
    value = first(sources, "MRModifierSequence", "InversionTimes") or sources[-1].get("InversionTime")
    time = number(value[0] if isinstance(value, (list, MultiValue)) and value else value)
    return time if time is not None and time > 0 else None  # some scanners write 0 for "none"


def _value_scale(sources: list[Dataset]) -> tuple[float, float, str]:
    """Slope, intercept and unit (lower case, "" where unnamed) that turn stored values into real ones."""
    mapping = next(
        (s["RealWorldValueMappingSequence"].value for s in sources if s.get("RealWorldValueMappingSequence")), None
    )
    if mapping:
        codes = mapping[0].get("MeasurementUnitsCodeSequence")
        mapped_slope = number(mapping[0].get("RealWorldValueSlope"))
        if codes and mapped_slope:
            return (
                mapped_slope,
                number(mapping[0].get("RealWorldValueIntercept")) or 0.0,
                _unit(codes[0].get("CodeValue")),
            )
    slope = number(first(sources, "PixelValueTransformationSequence", "RescaleSlope"))
    intercept = number(first(sources, "PixelValueTransformationSequence", "RescaleIntercept"))
    units = first(sources, "PixelValueTransformationSequence", "RescaleType")
    return slope or 1.0, intercept or 0.0, _unit(units)


def _unit(code: Any) -> str:
    """A unit in lower case, "" where the code says that there is none (US: unspecified; 1: no unit)."""
    unit = str(code or "").strip().lower()
    return "" if unit in ("us", "1", "normalized", "no units") else unit


def _component(sources: list[Dataset], image_type: tuple[str, ...]) -> str:
    """ "magnitude", "phase", "real", "imaginary", or "" where the header does not tell."""
    named = str(first(sources, "MRImageFrameTypeSequence", "ComplexImageComponent") or "").upper()
    ge_kind = whole(sources[-1].get(_GE_IMAGE_KIND).value) if sources[-1].get(_GE_IMAGE_KIND) else None
    if not named and ge_kind is not None and 0 <= ge_kind < len(_GE_COMPONENTS):
        return _GE_COMPONENTS[ge_kind]
    for token in (named, *(value.upper() for value in image_type[2:])):
        for component, names in _COMPONENTS.items():
            if token in names or token.partition("_")[0] in names:
                return component
    return ""


def _has_contrast_agent(dataset: Dataset) -> bool:
    agent = str(dataset.get("ContrastBolusAgent", "") or "").strip().upper()
    return agent not in _NOT_AGENTS or bool(dataset.get("ContrastBolusAgentSequence"))


def _time(sources: list[Dataset]) -> float | None:
    """When the image was acquired, in seconds on one clock."""
    dataset = sources[-1]
    stamp = str(
        first(sources, "FrameContentSequence", "FrameAcquisitionDateTime") or dataset.get("AcquisitionDateTime") or ""
    )
    if match := re.match(r"(\d{8})(\d{2}.*)", stamp):
        return seconds(match.group(1), match.group(2))
    for name in ("Acquisition", "Content", "Series"):
        if time := str(dataset.get(f"{name}Time") or ""):
            return seconds(str(dataset.get(f"{name}Date") or ""), time)
    return None
