"""Why the images of a DICOM file cannot be used, from its header."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.uid import UID

from CMRLib.study.dicom.values import whole_number_of

MR_IMAGE_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.4": "MR Image Storage",
    "1.2.840.10008.5.1.4.1.1.4.1": "Enhanced MR Image Storage",
    "1.2.840.10008.5.1.4.1.1.4.4": "Legacy Converted Enhanced MR Image Storage",
}
_PLAIN_SYNTAXES = {None, "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"}  # implicit, explicit
_PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"
_BITS = (8, 16, 32, 64)


def fault_of_file(dataset: Dataset, class_uid: str, frames: int, frame_groups: int, bytes_left: int) -> str:
    """Why the images of a file cannot be used, as one sentence, or "".

    Args:
        dataset: the file without its pixels.
        class_uid: what kind of object it is.
        frames, frame_groups: how many images it should hold, and how many of them it describes.
        bytes_left: size of what follows the header.
    """
    if class_uid not in MR_IMAGE_CLASSES:
        return _other_kind(class_uid, str(dataset.get("Modality", "")) or "unknown")
    if not dataset.get("StudyInstanceUID") or not dataset.get("SeriesInstanceUID"):
        return "It does not say which study and series it belongs to; export it again without removing these tags."
    if whole_number_of(dataset, "SamplesPerPixel") not in (None, 1) or "MONOCHROME" not in str(
        dataset.get("PhotometricInterpretation", "MONOCHROME2")
    ):
        return "It is a colour picture without values to measure; export the grey-scale series."
    if str(dataset.get("PhotometricInterpretation", "")).strip() == "MONOCHROME1":
        return "Its values are stored as a negative (MONOCHROME1), so they are no signal; export the original series."
    if dataset.get("ModalityLUTSequence"):
        return "Its values were passed through a table (Modality LUT), which is not read; export the original series."
    rows, columns = whole_number_of(dataset, "Rows") or 0, whole_number_of(dataset, "Columns") or 0
    if rows < 2 or columns < 2:
        return "It holds no image (its number of rows or columns is missing)."
    if frames > 1 and frame_groups != frames:
        return "It is a multi-frame image that does not describe each frame; export it as enhanced or classic MR."
    bits = whole_number_of(dataset, "BitsAllocated") or 16
    stored = whole_number_of(dataset, "BitsStored") or bits
    highest = whole_number_of(dataset, "HighBit")
    if bits not in _BITS or stored > bits or (highest is not None and highest != stored - 1):
        return (
            f"Its pixels are stored in a way that is not understood ({stored} of {bits} bits up to bit "
            f"{highest if highest is not None else '?'}); export it with 16 bits a pixel."
        )
    needed = rows * columns * frames * bits // 8
    if dataset.file_meta.get("TransferSyntaxUID") in _PLAIN_SYNTAXES and bytes_left < needed:
        return "It is cut short: it holds fewer bytes than its image needs; copy it from the scanner again."
    return ""


def _other_kind(class_uid: str, modality: str) -> str:
    if class_uid == _PARAMETRIC_MAP:
        return (
            "It is a DICOM Parametric Map, which is not read; save the map as NRRD or NIfTI and name that file with "
            "its role in a study.json."
        )
    name = UID(class_uid).name.removesuffix(" Storage")
    kind = "another kind of file" if name == class_uid else name
    return f"It is no MR image but {kind} (modality {modality}), so it holds nothing to map or to segment."


def fault_of_place(*values_found: tuple[float, ...]) -> str:
    """Why an image cannot be placed; arguments in the order of the names, "" if all are there."""
    names = ("Image Position (0020,0032)", "Image Orientation (0020,0037)", "Pixel Spacing (0028,0030)")
    missing = [name for name, found in zip(names, values_found, strict=True) if not found]
    if not missing:
        return ""
    return f"Its {' and '.join(missing)} {'are' if len(missing) > 1 else 'is'} missing or no number; export it again."
