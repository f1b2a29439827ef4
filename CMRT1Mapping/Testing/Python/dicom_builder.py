"""Writes DICOM files as scanners do, for the tests of reading: classic and enhanced, any storage, any fault."""

import itertools
from copy import deepcopy
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
SHMOLLI_TIMES = (100.0, 1100.0, 2100.0, 3100.0, 4100.0, 180.0, 260.0)
SHMOLLI_SECONDS = (0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0)  # when each image is acquired
SHORT_AXIS = (0.7, 0.7, 0.141, 0.1, 0.099, -0.99)  # a usual short-axis plane; made orthonormal below
_START = datetime(2020, 5, 17, 10, 0, 0)
_ROWS, _COLUMNS = 12, 16


def orthonormal(orientation):
    """Six direction cosines at right angles, near the ones given."""
    row = np.array(orientation[:3]) / np.linalg.norm(orientation[:3])
    column = np.array(orientation[3:]) - row * np.dot(row, orientation[3:])
    return tuple(float(v) for v in (*row, *(column / np.linalg.norm(column))))


def image(seed, shape=(_ROWS, _COLUMNS), low=0, high=1000):
    """A noise image of whole numbers; images of different seeds differ."""
    return np.random.default_rng(seed).integers(low, high, shape)


class Exam:
    """One study of one patient; every method writes a series and returns its files in the order of acquisition."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.study_uid = generate_uid()
        self.numbers = itertools.count(1)

    def header(self, description, minutes=0.0, **values):
        """A classic MR header shared by the images of one series; a keyword set to None is left out."""
        ds = Dataset()
        ds.SOPClassUID = MRImageStorage
        ds.StudyInstanceUID = self.study_uid
        ds.SeriesInstanceUID = generate_uid()
        ds.SeriesNumber = next(self.numbers)
        ds.SeriesDescription = description
        ds.ProtocolName = description
        ds.Modality = "MR"
        ds.Manufacturer = "SIEMENS"
        ds.PatientName = "Doe^Jane"
        ds.PatientID = "SECRET-4711"
        ds.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
        ds.SamplesPerPixel = 1
        ds.PhotometricInterpretation = "MONOCHROME2"
        ds.ImagePositionPatient = [0.0, 0.0, 0.0]
        ds.ImageOrientationPatient = list(orthonormal(SHORT_AXIS))
        ds.PixelSpacing = [1.5, 1.25]
        ds.SliceThickness = 8.0
        self.start = _START + timedelta(minutes=minutes)
        for keyword, value in values.items():
            if value is None:
                delattr(ds, keyword)
            else:
                setattr(ds, keyword, value)
        return ds

    def write(self, header, pixels, instance, seconds=0.0, name=None, bits=(16, 12), signed=False, **values):
        """Write one image of a series.

        Args:
            header: shared by the series; it is copied.
            pixels: stored values, axes (row, column), or (frame, row, column) for a multi-frame file.
            instance: instance number.
            seconds: acquisition time after the start of the series.
            name: file name; by default it says nothing about the order.
            bits: bits allocated and stored.
            signed: whether the stored values are signed.
            values: further elements; None leaves one out.
        """
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = header.SOPClassUID
        meta.MediaStorageSOPInstanceUID = generate_uid()
        ds = FileDataset("", {}, preamble=b"\0" * 128, file_meta=meta, is_implicit_VR=False, is_little_endian=True)
        ds.update(deepcopy(header))
        ds.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
        ds.InstanceNumber = instance
        acquired = self.start + timedelta(seconds=seconds)
        ds.AcquisitionDate = acquired.strftime("%Y%m%d")
        ds.AcquisitionTime = acquired.strftime("%H%M%S.%f")
        ds.AcquisitionNumber = 1
        pixels = np.asarray(pixels)
        ds.Rows, ds.Columns = pixels.shape[-2:]
        ds.BitsAllocated, ds.BitsStored, ds.HighBit = bits[0], bits[1], bits[1] - 1
        ds.PixelRepresentation = int(signed)
        dtype = np.dtype(f"{'i' if signed else 'u'}{bits[0] // 8}")
        ds.PixelData = pixels.astype(dtype).tobytes()
        for keyword, value in values.items():
            if value is None:
                delattr(ds, keyword)
            else:
                setattr(ds, keyword, value)
        path = self.folder / (name or f"{meta.MediaStorageSOPInstanceUID[-12:]}.dcm")
        path.parent.mkdir(parents=True, exist_ok=True)
        ds.save_as(path)
        return path

    def irw(self, description="ShMOLLI_192i", times=SHMOLLI_TIMES, seconds=SHMOLLI_SECONDS, minutes=0.0, **values):
        """An acquisition of one slice, one image per inversion time; returns the files.

        A time of None leaves (0018,0082) out. ``values`` are elements of the series header.
        """
        header = self.header(description, minutes, **values)
        files = []
        for i, time in enumerate(times):
            own = {} if time is None else {"InversionTime": time}
            files.append(self.write(header, image(i), i + 1, seconds[i] if seconds else 0.0, **own))
        return files

    def phase(self, description="ShMOLLI_192i", times=SHMOLLI_TIMES, seconds=SHMOLLI_SECONDS, minutes=0.0, **values):
        """The phase images of such an acquisition, scaled as Siemens does (slope 2, intercept -4096)."""
        scale = {"RescaleSlope": 2.0, "RescaleIntercept": -4096.0, "RescaleType": "US"}
        header = self.header(
            description, minutes, **{"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"], **scale, **values}
        )
        files = []
        for i, time in enumerate(times):
            own = {} if time is None else {"InversionTime": time}
            files.append(self.write(header, image(100 + i, high=4096), i + 1, seconds[i] if seconds else 0.0, **own))
        return files

    def single(self, description, minutes=0.0, pixels=None, seconds=0.0, **values):
        """One image, such as a map."""
        return self.write(
            self.header(description, minutes, **values), image(7) if pixels is None else pixels, 1, seconds
        )

    def stack(self, description, positions, minutes=0.0, frames=1, **values):
        """Images along the short axis: ``frames`` per position (mm from base to apex); returns the files."""
        header = self.header(description, minutes, **values)
        files = []
        for i, position in enumerate(positions):
            for frame in range(frames):
                number = i * frames + frame
                own = {"ImagePositionPatient": along_axis(position), "TriggerTime": 30.0 * frame}
                files.append(self.write(header, image(number), number + 1, 0.5 * number, **own))
        return files

    def enhanced(
        self, description, pixels, times=None, phase=False, minutes=0.0, positions=None, comments=None, **values
    ):
        """One enhanced multi-frame file; axes of ``pixels`` are (frame, row, column)."""
        header = self.header(description, minutes, SOPClassUID=ENHANCED_MR, **values)
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
            delattr(header, keyword)
        shared = Dataset()
        shared.PixelMeasuresSequence = [_item(PixelSpacing=[1.5, 1.25], SliceThickness=8.0)]
        shared.PlaneOrientationSequence = [_item(ImageOrientationPatient=list(orthonormal(SHORT_AXIS)))]
        if phase:
            shared.PixelValueTransformationSequence = [
                _item(RescaleSlope=2.0, RescaleIntercept=-4096.0, RescaleType="US")
            ]
        header.SharedFunctionalGroupsSequence = Sequence([shared])
        frames = []
        for i in range(len(pixels)):
            frame = Dataset()
            acquired = self.start + timedelta(seconds=float(i))
            frame.FrameContentSequence = [
                _item(FrameAcquisitionDateTime=acquired.strftime("%Y%m%d%H%M%S.%f"), FrameAcquisitionNumber=1)
            ]
            if comments:
                frame.FrameContentSequence[0].FrameComments = comments[i]
            frame.PlanePositionSequence = [_item(ImagePositionPatient=along_axis(positions[i] if positions else 0.0))]
            frame.MRImageFrameTypeSequence = [
                _item(
                    FrameType=["ORIGINAL", "PRIMARY", "CARDIAC", "NONE"],
                    ComplexImageComponent="PHASE" if phase else "MAGNITUDE",
                )
            ]
            if times is not None:
                frame.MRModifierSequence = [_item(InversionRecovery="YES", InversionTimes=[times[i]])]
            frames.append(frame)
        header.PerFrameFunctionalGroupsSequence = Sequence(frames)
        return self.write(header, pixels, 1, AcquisitionTime=None, AcquisitionDate=None, NumberOfFrames=len(pixels))


def along_axis(mm):
    """Position of a slice ``mm`` from the first towards the apex (to the left, front and down), in LPS."""
    row, column = np.split(np.array(orthonormal(SHORT_AXIS)), 2)
    normal = np.cross(row, column)
    normal *= np.sign(normal @ [1.0, -1.0, -1.0])
    return [float(v) for v in mm * normal]


def _item(**values):
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item
