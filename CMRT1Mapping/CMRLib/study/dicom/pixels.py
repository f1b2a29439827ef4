"""Reading the pixels of DICOM images, compressed or not, with the rescaling their headers give."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk  # noqa: N813 (the name its users know)
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import PYDICOM_IMPLEMENTATION_UID, UID, generate_uid

from CMRLib.errors import InputError
from CMRLib.study.dicom.headers import FrameHeader
from CMRLib.study.dicom.values import without_messages

# Multi-frame Grayscale Byte and Word Secondary Capture: image classes that GDCM reads without any patient geometry.
_CAPTURE_CLASSES = {8: "1.2.840.10008.5.1.4.1.1.7.2", 16: "1.2.840.10008.5.1.4.1.1.7.3"}
_PIXEL_TAGS = (
    *("SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"),
    *("PixelRepresentation", "NumberOfFrames"),
)


def read_frames(frames: Sequence[FrameHeader], factors: Sequence[float]) -> np.ndarray:
    """The images' values as float32 with axes (frame, row, column).

    Args:
        frames: the images' headers, whose slope and intercept turn stored values into real ones.
        factors: what the real values of each image are multiplied by.

    Raises:
        InputError: a file is missing, cut short or cannot be decoded, or the images differ in size.
    """
    stored: dict[Path, np.ndarray] = {}
    values = []
    for number, (frame, factor) in enumerate(zip(frames, factors, strict=True), start=1):
        where = f"Image {number} of {len(frames)}"
        if frame.path not in stored:
            stored[frame.path] = read_stored(frame.path, where)
        if frame.index >= len(stored[frame.path]):
            raise InputError(f"{where} is missing from its multi-frame file; copy it from the scanner again.")
        pixels = stored[frame.path][frame.index].astype(np.float64)
        values.append((pixels * (frame.slope * factor) + frame.intercept * factor).astype(np.float32))
    if len({value.shape for value in values}) > 1:
        raise InputError("The images of one series differ in size; export the series again.")
    return np.stack(values)


def read_stored(path: Path, where: str = "The image") -> np.ndarray:
    """The stored values of all images of a file, with axes (frame, row, column).

    pydicom decodes what it can with the packages that are installed; the rest goes through GDCM inside SimpleITK,
    which has decoders for JPEG (lossy and lossless), JPEG-LS, JPEG 2000 and RLE built in.

    Raises:
        InputError: the file is missing, cut short or cannot be decoded; the sentence begins with ``where``.
    """
    try:
        with without_messages():
            pixels = _decoded(path, where)
    except OSError as error:
        raise InputError(f"{where} cannot be read; check that its file is still there and may be read.") from error
    return pixels.reshape(-1, *pixels.shape[-2:])


def _decoded(path: Path, where: str) -> np.ndarray:
    try:
        dataset = pydicom.dcmread(path, force=True)
    except OSError:
        raise
    except Exception as error:  # pydicom raises many kinds for a damaged file
        raise InputError(f"{where} is damaged; copy it from the scanner again.") from error
    compressed = "PixelData" in dataset and dataset["PixelData"].is_undefined_length
    try:
        return _masked(np.asarray(dataset.pixel_array), dataset)
    except Exception as error:  # a missing decoder and a damaged image look alike here: GDCM tells them apart
        if not compressed:
            raise InputError(f"{where} is cut short or damaged; copy it from the scanner again.") from error
    try:
        return decode_with_gdcm(dataset)
    except RuntimeError as error:
        name = dataset.file_meta.TransferSyntaxUID.name
        raise InputError(
            f"{where} is damaged, or compressed in a way that cannot be read ({name}); "
            "export the series again without compression."
        ) from error


def _masked(pixels: np.ndarray, dataset: Dataset) -> np.ndarray:
    """The values without the bits above Bits Stored, where old files keep overlays, and with their sign restored."""
    unused = int(dataset.get("BitsAllocated", 16)) - int(dataset.get("BitsStored", 16))
    if pixels.dtype.kind not in "iu" or unused <= 0:
        return pixels
    return np.right_shift(np.left_shift(pixels, unused), unused)


def decode_with_gdcm(dataset: Dataset) -> np.ndarray:
    """The stored values of a compressed image, decoded by GDCM, with axes (frame, row, column).

    Only the pixels and what describes them go into the temporary file, so GDCM applies no rescaling and no patient
    data is written.

    Raises:
        RuntimeError: GDCM cannot decode the image.
    """
    bits = 8 if int(dataset.BitsAllocated) == 8 else 16
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(_CAPTURE_CLASSES[bits])
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.FileMetaInformationGroupLength = 0  # counted by pydicom on writing
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pixels.dcm")
        plain = FileDataset(
            str(path), {}, preamble=b"\0" * 128, file_meta=meta, is_implicit_VR=False, is_little_endian=True
        )
        plain.SOPClassUID = meta.MediaStorageSOPClassUID
        plain.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
        plain.Modality = "OT"
        for keyword in _PIXEL_TAGS:
            if keyword in dataset:
                plain[keyword] = dataset[keyword]
        plain.NumberOfFrames = int(dataset.get("NumberOfFrames", 1) or 1)
        plain["PixelData"] = dataset["PixelData"]
        plain.save_as(path)
        return sitk.GetArrayFromImage(sitk.ReadImage(str(path), imageIO="GDCMImageIO"))
