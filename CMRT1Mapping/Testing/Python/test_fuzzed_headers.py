"""Whatever stands in the header of a DICOM or NRRD file, the study is read or refused in one sentence."""

import json

import numpy as np
import pydicom
import pytest
from dicom_builder import SHMOLLI_TIMES, Exam
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement

from CMRLib.errors import InputError
from CMRLib.files.images import read_image
from CMRLib.files.segmentations import Segment, read_segmentation
from CMRLib.geometry import Geometry
from CMRLib.study.reading import read_study
from CMRLib.terms import Term

CHEAP = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
KEYWORDS = (
    *(
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "SOPInstanceUID",
        "SOPClassUID",
        "Modality",
        "Manufacturer",
        "ImageType",
    ),
    *("SeriesNumber", "InstanceNumber", "AcquisitionNumber", "SeriesDescription", "ImageComments", "AcquisitionTime"),
    *("AcquisitionDate", "InversionTime", "InversionTimes", "TriggerTime", "MagneticFieldStrength", "RescaleSlope"),
    *("RescaleIntercept", "RescaleType", "RealWorldValueMappingSequence", "PerFrameFunctionalGroupsSequence"),
    *("SharedFunctionalGroupsSequence", "NumberOfFrames", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"),
    *("PixelRepresentation", "SamplesPerPixel", "PhotometricInterpretation", "ImagePositionPatient", "PixelSpacing"),
    *("ImageOrientationPatient", "SliceThickness", "ContrastBolusAgent", "SpecificCharacterSet"),
)
NUMBERS = (
    "0",
    "-1",
    "1e99",
    "nan",
    "inf",
    "999999999999",
    "1\\2\\3\\4\\5\\6\\7",
    "",
    " ",
    "1,5",
    "\\",
    "0\\0\\0\\0\\0\\0",
)
VALUES = st.one_of(
    st.tuples(st.sampled_from(("LO", "DS", "IS", "UI", "CS", "TM", "DA", "PN")), st.sampled_from(NUMBERS)),
    st.tuples(st.sampled_from(("LO", "UI", "CS", "LT")), st.text(max_size=20)),
    st.tuples(st.sampled_from(("US", "SS")), st.integers(0, 32767)),
    st.tuples(st.just("FD"), st.floats()),
    st.tuples(st.just("UN"), st.binary(max_size=20)),
    st.tuples(st.just("SQ"), st.sampled_from(([], [pydicom.Dataset()]))),
)


def read_or_refuse(folder):
    """Read a study and its images; any error but `InputError` fails the test."""
    try:
        study = read_study(folder)
    except InputError as error:
        assert str(error)
        return
    for series in study.series:
        try:
            images = series.load().images
        except InputError as error:
            assert str(error)
        else:
            assert images.ndim == 3 and images.dtype == np.float32


@pytest.fixture(scope="module")
def dicom(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dicom")
    return folder, Exam(folder).irw()


@CHEAP
@given(changes=st.dictionaries(st.sampled_from(KEYWORDS), VALUES, min_size=1, max_size=3), every=st.booleans())
def test_dicom(dicom, changes, every):
    """In one of the images, or in all of them."""
    folder, files = dicom
    before = {file: file.read_bytes() for file in (files if every else files[:1])}
    try:
        for file in before:
            header = pydicom.dcmread(file)
            try:
                for keyword, (kind, value) in changes.items():
                    tag = tag_for_keyword(keyword)
                    header[tag] = DataElement(tag, kind, value, validation_mode=pydicom.config.IGNORE)
                header.save_as(file)
            except Exception:  # pydicom has no way to write this
                return
        read_or_refuse(folder)
    finally:
        for file, content in before.items():
            file.write_bytes(content)


FIELDS = {
    "type": "float",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "5 4 7",
    "space directions": "(1,0,0) (0,1,0) (0,0,8)",
    "space origin": "(0,0,0)",
    "kinds": "domain domain domain",
    "endian": "little",
    "encoding": "raw",
    "data file": "",
    "content": "",
    "byte skip": "",
    "Segment0_LabelValue:": "",
    "Segment0_Layer:": "",
    "Segment0_Name:": "wall",
}
NRRD_VALUES = st.one_of(
    st.sampled_from(
        ("0", "-1", "2", "4", "1e99", "nan", "short", "block", "gzip", "5 4", "5 4 7 3", "0 0 0", "-5 4 7")
    ),
    st.sampled_from(("none none none", "(nan,0,0) (0,1,0) (0,0,1)", "(0,0,0) (0,0,0) (0,0,0)", "none (1,0,0) (0,1,0)")),
    st.sampled_from(
        ("5 4 99999999999", "99999 99999 99999", "missing.raw", "LIST", "%d.raw 1 7 1", "image.nrrd", "hex")
    ),
    st.text(st.characters(codec="latin-1", exclude_characters="\n\r"), max_size=20),
)
WALL = Segment(1, "wall", (1.0, 0.0, 0.0), Term("a", "SCT", "a"), Term("b", "SCT", "b"))


@CHEAP
@given(changes=st.dictionaries(st.sampled_from(sorted(FIELDS)), NRRD_VALUES, min_size=1, max_size=3))
def test_nrrd(tmp_path_factory, changes):
    """As images of a study, as any image, and as a corrected segmentation."""
    folder = tmp_path_factory.mktemp("nrrd")
    lines = [f"{name}: {value}" for name, value in {**FIELDS, **changes}.items() if value]
    text = "\n".join(["NRRD0005", *lines, "", ""]).replace("Segment0_LabelValue:: ", "Segment0_LabelValue:=")
    text = text.replace("Layer:: ", "Layer:=").replace("Name:: ", "Name:=")
    path = folder / "image.nrrd"
    path.write_bytes(text.encode("latin-1") + np.linspace(1, 900, 140, dtype="<f4").tobytes())
    series = {"role": "irw", "state": "rest", "slice": "mid", "file": path.name, "scheme": "shmolli"}
    described = {"schema": "cmr-study/1", "id": "P1", "series": [{**series, "inversion_times_ms": SHMOLLI_TIMES}]}
    (folder / "study.json").write_text(json.dumps(described))
    read_or_refuse(folder)
    geometry = Geometry((0.0, 0.0, 0.0), (1.0, 1.0, 8.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    for read in (read_image, lambda file: read_segmentation(file, [WALL], geometry, (7, 4, 5))):
        try:
            read(path)
        except InputError as error:
            assert str(error)
