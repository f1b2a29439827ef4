"""Writing a simulated study as DICOM in the layout of a Siemens ShMOLLI scan.

Each acquisition becomes a magnitude and a phase series of classic MR images, one file an image, 12 bits stored; the
layout follows the headers of the ShMOLLI scan in MRKonrad/tomato: inversion time in (0018,0082) and in the comments,
phase as 0 to 4095 for a full turn with slope 2 and intercept -4096.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import uuid
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage
from pydicom.valuerep import format_number_as_ds

from CMRLib import __version__
from CMRLib.errors import OutputError
from CMRLib.simulation.study import SimulatedAcquisition, SimulatedStudy
from CMRLib.study.schemes import TITLES

STUDY_DATE = "20200101"
STUDY_START_S = 12 * 3600.0
TRIGGER_DELAY_MS = 500.0
LARGEST_VALUE = 4095
BRIGHTEST_STORED = 2400
GYROMAGNETIC_MHZ_PER_TESLA = 42.577


def write_dicom_study(study: SimulatedStudy, folder: Path | str) -> list[Path]:
    """Write every acquisition of a study below ``folder``, a folder per series.

    The same study gives the same bytes: dates, times and UIDs (2.25, made from the study's content) hold nothing of
    when or where it was written. Nothing is left behind when writing fails.

    Args:
        study: what to write.
        folder: must not exist yet, or be empty.

    Returns:
        The files, in the order of series and instance number.

    Raises:
        OutputError: the folder is in use or cannot be written.
    """
    folder = Path(folder)
    partial: Path | None = None
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise OutputError(f"{folder} is not an empty folder; choose a new one for the DICOM files.")
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder.parent))
        partial.chmod(0o755)
        names = _write_all(study, partial)
        if folder.exists():
            folder.rmdir()
        os.replace(partial, folder)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written; check the folder's permissions and free space.") from error
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)
    return [folder / name for name in names]


def series_description(acquisition: SimulatedAcquisition) -> str:
    """What the operator would have called the acquisition, for instance ShMOLLI_192i_stress_sax_mid."""
    pattern = "192i" if acquisition.scheme == "shmolli" else acquisition.schedule.pattern
    return f"{TITLES[acquisition.scheme]}_{pattern}_{acquisition.state}_sax_{acquisition.slice}"


def _write_all(study: SimulatedStudy, folder: Path) -> list[Path]:
    digest = _digest(study)
    scale = BRIGHTEST_STORED / max(float(acquisition.images.max()) for acquisition in study.acquisitions)
    names = []
    number = 10
    for acquisition in study.acquisitions:
        magnitude = np.clip(np.rint(acquisition.images * scale), 0, LARGEST_VALUE).astype(np.uint16)
        turns = (acquisition.phase + np.pi) / (2.0 * np.pi)
        phase = (np.rint(turns * (LARGEST_VALUE + 1)).astype(np.int64) % (LARGEST_VALUE + 1)).astype(np.uint16)
        for component, pixels in (("M", magnitude), ("P", phase)):
            number += 1
            series = f"{number:02d}_{re.sub(r'[^A-Za-z0-9]+', '_', series_description(acquisition))}_{component}"
            (folder / series).mkdir()
            for frame in range(pixels.shape[0]):
                dataset = _dataset(study, acquisition, digest, number, component, frame, pixels[frame])
                name = Path(series) / f"IM-{number:04d}-{frame + 1:04d}.dcm"
                _save(dataset, folder / name)
                names.append(name)
    return names


def _digest(study: SimulatedStudy) -> str:
    """A fingerprint of the study's content, so that only equal studies share UIDs."""
    train = study.readout
    # In the words of the first version, so that UIDs stay what they were.
    readout = f"flip_angle_deg={train.flip_angle_deg}, tr_ms={train.tr_ms}, pulses={train.pulses}"
    readout = f"Readout({readout}, centre_pulse={train.center_pulse})"
    total = hashlib.sha256(f"{study.id} {study.field_strength} {readout}".encode())
    for acquisition in study.acquisitions:
        named = (acquisition.state, acquisition.slice, acquisition.schedule.pattern, acquisition.start_s)
        total.update(" ".join(map(str, (*named, acquisition.geometry))).encode())
        total.update(np.ascontiguousarray(acquisition.schedule.image_at_ms).tobytes())
        total.update(np.ascontiguousarray(acquisition.images).tobytes())
        total.update(np.ascontiguousarray(acquisition.phase).tobytes())
    return total.hexdigest()


def _uid(digest: str, *parts: object) -> UID:
    """A UID under 2.25 (DICOM PS3.5 annex B.2) made from a name-based UUID."""
    return UID(f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, ' '.join(map(str, (digest, *parts)))).int}")


def _time(seconds: float) -> str:
    """Seconds of the day as a DICOM time."""
    microseconds = round(seconds * 1e6)
    whole, fraction = divmod(microseconds, 1_000_000)
    return f"{whole // 3600 % 24:02d}{whole // 60 % 60:02d}{whole % 60:02d}.{fraction:06d}"


def _dataset(
    study: SimulatedStudy,
    acquisition: SimulatedAcquisition,
    digest: str,
    series_number: int,
    component: str,
    frame: int,
    pixels: np.ndarray,
) -> FileDataset:
    """One image; ``component`` is M or P and ``pixels`` is uint16 (row, column)."""
    instance_uid = _uid(digest, series_number, frame)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = instance_uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = _uid("CMRMapping")
    meta.ImplementationVersionName = "CMRMAPPING"
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.ImageType = ["ORIGINAL", "PRIMARY", component, "DIS2D"]
    data.SOPClassUID = MRImageStorage
    data.SOPInstanceUID = instance_uid
    _add_patient_and_study(data, study, digest)
    start = STUDY_START_S + acquisition.start_s
    inversion_time = acquisition.inversion_times_ms[frame]
    data.SeriesDate = data.AcquisitionDate = data.ContentDate = STUDY_DATE
    data.SeriesTime = _time(start)
    data.AcquisitionTime = _time(start + acquisition.schedule.image_at_ms[frame] / 1000.0)
    data.ContentTime = _time(start + acquisition.schedule.image_at_ms[-1] / 1000.0 + 2.0 + 0.004 * frame)
    data.SeriesDescription = data.ProtocolName = series_description(acquisition)
    data.SeriesInstanceUID = _uid(digest, series_number)
    data.SeriesNumber = series_number
    data.AcquisitionNumber = 1
    data.InstanceNumber = frame + 1
    if acquisition.state == "post":
        data.ContrastBolusAgent = "Gadolinium-based (simulated)"
    _add_sequence(data, study, acquisition)
    data.InversionTime = format_number_as_ds(float(inversion_time))
    data.ImageComments = f"TIeff {inversion_time:g} ms"
    _add_plane(data, acquisition)
    _add_pixels(data, component, pixels)
    return data


def _add_patient_and_study(data: FileDataset, study: SimulatedStudy, digest: str) -> None:
    data.SpecificCharacterSet = "ISO_IR 100"
    data.PatientName = f"Simulated^{study.id}"
    data.PatientID = study.id
    data.PatientBirthDate = ""
    data.PatientSex = "O"
    data.PatientIdentityRemoved = "YES"
    data.DeidentificationMethod = "Simulated, no patient"
    data.StudyInstanceUID = _uid(digest, "study")
    data.FrameOfReferenceUID = _uid(digest, "frame of reference")
    data.PositionReferenceIndicator = ""
    data.StudyDate = STUDY_DATE
    data.StudyTime = _time(STUDY_START_S - 600.0)
    data.StudyID = "1"
    data.StudyDescription = "Simulated T1 mapping"
    data.AccessionNumber = ""
    data.ReferringPhysicianName = ""
    data.Modality = "MR"
    data.Manufacturer = "CMRMapping"
    data.ManufacturerModelName = "Simulator"
    data.SoftwareVersions = __version__
    data.BodyPartExamined = "HEART"
    data.PatientPosition = "HFS"


def _add_sequence(data: FileDataset, study: SimulatedStudy, acquisition: SimulatedAcquisition) -> None:
    readout = study.readout
    data.ScanningSequence = ["GR", "IR"]
    data.SequenceVariant = ["SK", "SS", "MP"]
    data.ScanOptions = ["IR", "CT"]
    data.MRAcquisitionType = "2D"
    data.SequenceName = "tfi2d1"
    data.AngioFlag = "N"
    data.RepetitionTime = format_number_as_ds(readout.pulses * readout.tr_ms)
    data.EchoTime = format_number_as_ds(readout.tr_ms / 2.0)
    data.FlipAngle = format_number_as_ds(readout.flip_angle_deg)
    data.NumberOfAverages = "1"
    data.EchoNumbers = "1"
    data.EchoTrainLength = "1"
    data.ImagedNucleus = "1H"
    data.MagneticFieldStrength = format_number_as_ds(study.field_strength)
    data.ImagingFrequency = format_number_as_ds(round(study.field_strength * GYROMAGNETIC_MHZ_PER_TESLA, 6))
    data.TriggerTime = format_number_as_ds(TRIGGER_DELAY_MS)
    data.NominalInterval = round(acquisition.schedule.rr_ms)
    data.CardiacNumberOfImages = 1


def _add_plane(data: FileDataset, acquisition: SimulatedAcquisition) -> None:
    geometry = acquisition.geometry
    axes = geometry.matrix
    position = np.asarray(geometry.origin)
    data.ImagePositionPatient = [format_number_as_ds(float(v)) for v in position]
    data.ImageOrientationPatient = [format_number_as_ds(float(v)) for v in (*axes[:, 0], *axes[:, 1])]
    data.SliceLocation = format_number_as_ds(float(position @ axes[:, 2]))
    data.SliceThickness = format_number_as_ds(geometry.spacing[2])
    data.PixelSpacing = [format_number_as_ds(geometry.spacing[1]), format_number_as_ds(geometry.spacing[0])]


def _add_pixels(data: FileDataset, component: str, pixels: np.ndarray) -> None:
    data.SamplesPerPixel = 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.Rows, data.Columns = pixels.shape
    data.BitsAllocated = 16
    data.BitsStored = 12
    data.HighBit = 11
    data.PixelRepresentation = 0
    data.SmallestImagePixelValue = int(pixels.min())
    data.LargestImagePixelValue = int(pixels.max())
    if component == "P":
        data.RescaleIntercept = "-4096"
        data.RescaleSlope = "2"
        data.RescaleType = "US"
        data.WindowCenter, data.WindowWidth = "0", "8192"
    else:
        high = max(int(np.percentile(pixels, 99.5)), 2)
        data.WindowCenter, data.WindowWidth = str(high // 2), str(high)
    data.PixelData = np.ascontiguousarray(pixels, dtype="<u2").tobytes()


def _save(data: FileDataset, path: Path) -> None:
    """Write a complete file with pydicom 2.4 as with pydicom 3, which renamed the option for it."""
    if int(pydicom.__version__.split(".")[0]) >= 3:
        data.save_as(path, enforce_file_format=True)
    else:
        data.is_little_endian, data.is_implicit_VR = True, False
        data.save_as(path, write_like_original=False)
