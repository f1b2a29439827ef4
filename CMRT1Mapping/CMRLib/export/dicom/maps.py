"""Maps as DICOM: a parametric map of floating-point numbers, and plain images of whole numbers for any viewer."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage
from pydicom.valuerep import format_number_as_ds

from CMRLib import __version__
from CMRLib.export.dicom.items import ExportedMap
from CMRLib.export.dicom.objects import (
    CHARACTER_SET,
    HEART,
    MANUFACTURER,
    MODEL_NAME,
    PROCESSING,
    NewObject,
    add_plane,
    code,
    coded,
    finish_frames,
    load_highdicom,
    plane_order,
    planes,
    source_image,
    turn_frames,
)
from CMRLib.geometry import Geometry

NO_VALUE = -32768  # stored where there is no value; a map in whole numbers is signed then
_LARGEST = 32767
_UNSIGNED = 65535
_NARROW = 1.0  # a window that DICOM's usual function, which counts in whole numbers, cannot describe

# What the images of a map may say of how the source was acquired, where the source itself does not tell: that it was no
# usual sequence (DICOM PS3.3 C.8.3.1), and nothing.
_UNTOLD = {"ScanningSequence": "RM", "SequenceVariant": "NONE", "ScanOptions": "", "MRAcquisitionType": "2D"}
_UNKNOWN = ("RepetitionTime", "EchoTime", "EchoTrainLength")


def parametric_map(new: NewObject, exported: ExportedMap, geometry: Geometry) -> Dataset:
    """A map as an object of the class Parametric Map Storage, one frame a slice, its values as they are (float32).

    Pixels without a value hold the object's padding value.

    Raises:
        MissingDependencyError: highdicom is missing.
    """
    highdicom = load_highdicom()
    values = np.asarray(exported.values, dtype=np.float32)
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    mapping = highdicom.pm.RealWorldValueMapping(
        lut_label=exported.name.upper()[:16],
        lut_explanation=exported.title[:64],
        unit=coded(exported.unit),
        value_range=(low, high),
        slope=1.0,
        intercept=0.0,
        quantity_definition=coded(exported.quantity),
    )
    lowest, highest = exported.window
    made: Dataset = highdicom.pm.ParametricMap(
        source_images=planes(new.source, geometry, values.shape, range(len(values))),
        pixel_array=np.where(np.isfinite(values), values, np.float32(NO_VALUE)),
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        window_center=(lowest + highest) / 2.0,
        window_width=highest - lowest,
        content_label=exported.name.upper()[:16],
        content_description=exported.title[:64],
        **new.arguments(),
    )
    if finite.size < values.size:
        # One value needs no range, but dciodvfy asks for its limit.
        made.FloatPixelPaddingValue = made.FloatPixelPaddingRangeLimit = float(NO_VALUE)
    if highest - lowest < _NARROW:
        made.SharedFunctionalGroupsSequence[0].FrameVOILUTSequence[0].VOILUTFunction = "LINEAR_EXACT"
    turn_frames(made, "FloatPixelData")
    return finish_frames(made, new.source, plane_order(made, geometry, len(values)), PROCESSING)


def image_series(new: NewObject, exported: ExportedMap, geometry: Geometry) -> list[Dataset]:
    """A map as plain MR images, one a slice, of 16 bit whole numbers with slope, unit and window.

    The slope is the map's step, or a tenfold of it where the values would not fit otherwise; it is the same for all
    slices. Pixels without a value hold the padding value.
    """
    stored, slope, is_signed = as_whole_numbers(np.asarray(exported.values), exported.step)
    made = []
    for index, pixels in enumerate(stored):
        one = NewObject(
            new.source, new.secret, new.identity, new.description, new.series_number, instance_number=index + 1
        )
        image = _image(one, exported, slope)
        add_plane(image, geometry.at_slice(index))
        _add_pixels(image, pixels, is_signed, bool(np.isnan(exported.values).any()))
        if references := new.source.references(index):
            image.SourceImageSequence = [source_image(reference) for reference in references]
            for item in image.SourceImageSequence:
                del item.SpatialLocationsPreserved
        made.append(image)
    return made


def as_whole_numbers(values: np.ndarray, step: float) -> tuple[np.ndarray, float, bool]:
    """Values as 16 bit whole numbers, what they are multiplied by to get the values, and whether they are signed."""
    missing = ~np.isfinite(values)
    finite = np.where(missing, 0.0, values).astype(np.float64)
    is_signed = bool(missing.any() or finite.min() < 0)
    slope = step
    while np.max(np.abs(np.rint(finite / slope))) > (_LARGEST if is_signed else _UNSIGNED):
        slope *= 10.0
    stored = np.where(missing, NO_VALUE, np.rint(finite / slope))
    return stored.astype(np.int16 if is_signed else np.uint16), slope, is_signed


def _image(new: NewObject, exported: ExportedMap, slope: float) -> Dataset:
    """A plain MR image without place and pixels."""
    image = Dataset()
    image.file_meta = _file_meta(new.instance_uid)
    image.update(new.source.header)
    image.SpecificCharacterSet = CHARACTER_SET
    is_t1 = exported.name == "t1"
    image.ImageType = ["DERIVED", "PRIMARY", "T1 MAP" if is_t1 else "OTHER", exported.name.upper()]
    image.SOPClassUID, image.SOPInstanceUID = MRImageStorage, new.instance_uid
    image.Modality = "MR"
    image.Manufacturer, image.ManufacturerModelName, image.SoftwareVersions = MANUFACTURER, MODEL_NAME, __version__
    image.ContentDate, image.ContentTime = new.source.date, new.source.time
    image.SeriesInstanceUID, image.SeriesNumber = new.series_uid, new.series_number
    image.SeriesDescription = image.DerivationDescription = new.description
    image.InstanceNumber, image.AcquisitionNumber = new.instance_number, 1
    image.BodyPartExamined = "HEART"
    image.AnatomicRegionSequence = [code(HEART)]
    image.PatientPosition = ""
    for keyword, value in _UNTOLD.items():
        setattr(image, keyword, value)
    for keyword in _UNKNOWN:
        setattr(image, keyword, None)
    image.update(new.source.sequence)
    if "IR" in image.ScanningSequence:
        image.InversionTime = None  # it has as many as source images
    lowest, highest = exported.window
    image.RescaleIntercept, image.RescaleSlope = "0", format_number_as_ds(slope)
    image.RescaleType = "US" if exported.unit.value == "1" else exported.unit.value
    image.WindowCenter = format_number_as_ds((lowest + highest) / 2.0)
    image.WindowWidth = format_number_as_ds(highest - lowest)
    if highest - lowest < _NARROW:
        image.VOILUTFunction = "LINEAR_EXACT"
    image.RealWorldValueMappingSequence = [_mapping(exported, slope)]
    image.ContentQualification = "RESEARCH"
    return image


def _mapping(exported: ExportedMap, slope: float) -> Dataset:
    """The rescaling once more, with the unit as a code."""
    item = Dataset()
    item.RealWorldValueIntercept, item.RealWorldValueSlope = 0.0, slope
    item.LUTExplanation, item.LUTLabel = exported.title[:64], exported.name.upper()[:16]
    item.MeasurementUnitsCodeSequence = [code(exported.unit)]
    return item


def _add_pixels(image: Dataset, pixels: np.ndarray, is_signed: bool, has_padding: bool) -> None:
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.Rows, image.Columns = pixels.shape
    image.BitsAllocated = image.BitsStored = 16
    image.HighBit, image.PixelRepresentation = 15, int(is_signed)
    mapping = image.RealWorldValueMappingSequence[0]
    for keyword, value in (("First", pixels.min()), ("Last", pixels.max())):
        mapping.add_new(f"RealWorldValue{keyword}ValueMapped", "SS" if is_signed else "US", int(value))
    if has_padding:
        image.add_new("PixelPaddingValue", "SS" if is_signed else "US", NO_VALUE)
    image.PixelData = np.ascontiguousarray(pixels).astype(pixels.dtype.newbyteorder("<")).tobytes()


def _file_meta(instance_uid: str) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MRImageStorage, UID(instance_uid)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return meta
