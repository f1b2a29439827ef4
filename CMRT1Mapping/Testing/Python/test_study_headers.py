"""Header variants: dates over midnight, where the inversion time stands, and pixels that mean nothing."""

from datetime import datetime, timedelta

import numpy as np
import pytest
from dicom_builder import ENHANCED_MR, SHMOLLI_TIMES, SHORT_AXIS, Exam, along_axis, image, orthonormal
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from CMRLib.errors import InputError
from CMRLib.study.reading import read_study

LEGACY_ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.4"
TIMES = (120.0, 1020.0, 1920.0, 2820.0, 3720.0, 200.0, 1100.0, 1980.0)
EVENING = datetime(2024, 1, 2, 23, 59, 56, 500000)


@pytest.fixture
def exam(tmp_path):
    return Exam(tmp_path)


def item(**values):
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def acquisition(exam, each, **header):
    """Eight MOLLI images with elements of their own; ``each(i, when)`` gives those of image i."""
    shared = exam.header("MOLLI_native", **header)
    for i, time in enumerate(TIMES):
        when = EVENING + timedelta(seconds=0.9 * i)
        values = {"InversionTime": time, "AcquisitionTime": when.strftime("%H%M%S.%f"), **each(i, when)}
        exam.write(
            shared, image(i), i + 1, **{k: v for k, v in values.items() if v is not None or k != "InversionTime"}
        )


def only(tmp_path):
    study = read_study(tmp_path)
    assert study.unrecognised == ()
    (series,) = study.series
    return series


@pytest.mark.parametrize(
    "each",
    [
        lambda i, when: {"AcquisitionDate": None},
        lambda i, when: {"AcquisitionDate": "19000101"},
        lambda i, when: {"AcquisitionDate": when.strftime("%Y%m%d")},
        lambda i, when: {"AcquisitionDate": when.strftime("%Y%m%d") if i % 2 else None},
        lambda i, when: {"AcquisitionDate": None, "SeriesDate": "20240102"},
        lambda i, when: {"AcquisitionDate": None, "AcquisitionTime": None, "ContentTime": when.strftime("%H%M%S.%f")},
    ],
    ids=["no date", "one date for all", "right dates", "some dates", "date of the series", "content time"],
)
def test_an_acquisition_over_midnight_is_one(exam, tmp_path, each):
    acquisition(exam, each)
    series = only(tmp_path)
    assert series.inversion_times_ms == TIMES
    np.testing.assert_array_equal(series.load().images, [image(i) for i in range(8)])


def test_what_comes_after_midnight_is_later(exam, tmp_path):
    """Post-contrast images after midnight follow the perfusion before it."""
    for name, when in (("MOLLI", "2350"), ("perfusion", "2355"), ("MOLLI", "0010")):
        header = exam.header(name)
        for i, time in enumerate(TIMES):
            exam.write(
                header, image(i), i + 1, InversionTime=time, AcquisitionDate=None, AcquisitionTime=f"{when}{i:02}"
            )
    assert [series.key for series in read_study(tmp_path).series] == ["irw_rest_mid", "irw_post_mid"]


PRIVATE_DELAY, PRIVATE_SEQUENCE = 0x2001101B, 0x2005140F


@pytest.mark.parametrize(
    "values",
    [
        lambda t: {"InversionTimes": [t, 1.7976931348623157e308]},
        lambda t: {"InversionTime": 0.0, "InversionTimes": [t, 1.7976931348623157e308]},
        lambda t: {"InversionTimes": t},
        lambda t: {"MRModifierSequence": Sequence([item(InversionTimes=[t])])},
    ],
    ids=["9079", "9079 beside zero", "9079 alone", "modifier"],
)
def test_inversion_time_of_classic_files(exam, tmp_path, values):
    header = exam.header("MOLLI BH", Manufacturer="Philips Medical Systems")
    for i, time in enumerate(TIMES):
        exam.write(header, image(i), i + 1, 0.9 * i, **values(time))
    assert only(tmp_path).inversion_times_ms == TIMES


def test_inversion_time_of_philips_prepulse(exam, tmp_path):
    for i, time in enumerate(TIMES):
        header = exam.header("MOLLI BH") if i == 0 else header  # noqa: F821
        header.add_new(PRIVATE_DELAY & 0xFFFF0000 | 0x10, "LO", "Philips Imaging DD 001")
        header.add_new(PRIVATE_DELAY, "FL", time)
        exam.write(header, image(i), i + 1, 0.9 * i)
    assert only(tmp_path).inversion_times_ms == TIMES


@pytest.mark.parametrize("kind", ["legacy", "shared only", "private"])
def test_converted_files_keep_what_their_target_has_no_place_for(exam, tmp_path, kind):
    header = exam.header("MOLLI", SOPClassUID=ENHANCED_MR if kind == "private" else LEGACY_ENHANCED_MR)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        delattr(header, keyword)
    shared = item(
        PixelMeasuresSequence=Sequence([item(PixelSpacing=[1.5, 1.25], SliceThickness=8.0)]),
        PlaneOrientationSequence=Sequence([item(ImageOrientationPatient=list(orthonormal(SHORT_AXIS)))]),
        UnassignedSharedConvertedAttributesSequence=Sequence([item(TriggerTime=500.0, ImageComments="sax")]),
    )
    frames = []
    for i, time in enumerate(TIMES):
        own = item(InversionTime=time, AcquisitionDate="20240102", AcquisitionTime=f"1200{i:02}")
        frame = item(PlanePositionSequence=Sequence([item(ImagePositionPatient=along_axis(0.0))]))
        if kind == "private":
            frame.add_new(0x20050010, "LO", "Philips MR Imaging DD 001")
            frame.add_new(PRIVATE_SEQUENCE, "SQ", Sequence([own]))
        elif kind == "legacy":
            frame.UnassignedPerFrameConvertedAttributesSequence = Sequence([own])
        else:
            frame.MRModifierSequence = Sequence([item(InversionTimes=[time])])
        frames.append(frame)
    header.SharedFunctionalGroupsSequence = Sequence([shared])
    header.PerFrameFunctionalGroupsSequence = Sequence(frames)
    exam.write(
        header, np.stack([image(i) for i in range(8)]), 1, NumberOfFrames=8, AcquisitionDate=None, AcquisitionTime=None
    )
    series = only(tmp_path)
    assert (series.inversion_times_ms, series.scheme) == (TIMES, "molli")


@pytest.mark.parametrize(
    "values, word",
    [
        ({"PhotometricInterpretation": "MONOCHROME1"}, "MONOCHROME1"),
        ({"ModalityLUTSequence": Sequence([item(LUTDescriptor=[2, 0, 16])])}, "Modality LUT"),
        ({"HighBit": 15}, "12 of 16 bits up to bit 15"),
        ({"BitsStored": 24}, "24 of 16 bits"),
        ({"BitsAllocated": 12, "BitsStored": 12}, "12 of 12 bits"),
        ({"PixelSpacing": None}, "Pixel Spacing (0028,0030) is missing"),
        (
            {"PixelSpacing": None, "ImageOrientationPatient": None},
            "(0020,0037) and Pixel Spacing (0028,0030) are missing",
        ),
    ],
)
def test_pixels_that_mean_nothing_are_refused_by_name(exam, tmp_path, values, word):
    header = exam.header("MOLLI")
    for i, time in enumerate(TIMES):
        exam.write(header, image(i), i + 1, 0.9 * i, InversionTime=time, **values)
    study = read_study(tmp_path)
    assert study.series == ()
    (entry,) = study.unrecognised
    assert word in entry.reason and entry.lost_role == "unknown"


def test_a_decimal_comma_names_the_pixel_spacing(exam, tmp_path):
    for file in exam.irw(PixelSpacing=[1.5, 1.5]):
        content = file.read_bytes()
        assert b"1.5\\1.5 " in content
        file.write_bytes(content.replace(b"1.5\\1.5 ", b"1,5\\1,5 "))
    (entry,) = read_study(tmp_path).unrecognised
    assert "Pixel Spacing (0028,0030)" in entry.reason


def test_floating_point_pixels_are_read(exam, tmp_path):
    header = exam.header("MOLLI")
    pixels = [image(i).astype("<f4") + np.float32(0.25) for i in range(8)]
    for i, time in enumerate(TIMES):
        own = {"PixelData": None, "HighBit": None, "BitsStored": None, "PixelRepresentation": None, "BitsAllocated": 32}
        own |= {"InversionTime": time, "FloatPixelData": pixels[i].tobytes()}
        exam.write(header, image(i), i + 1, 0.9 * i, **own)
    np.testing.assert_array_equal(only(tmp_path).load().images, pixels)


@pytest.mark.parametrize(
    "class_uid, words",
    [
        ("1.2.840.10008.5.1.4.1.1.30", "DICOM Parametric Map, which is not read; save the map as NRRD or NIfTI"),
        ("1.2.840.10008.5.1.4.1.1.66.4", "no MR image but Segmentation"),
        ("1.2.840.10008.5.1.4.1.1.104.1", "no MR image but Encapsulated PDF"),
        ("1.2.3.4", "no MR image but another kind of file"),
    ],
)
def test_other_kinds_of_objects_are_named(exam, tmp_path, class_uid, words):
    exam.single("T1 map", SOPClassUID=class_uid)
    (entry,) = read_study(tmp_path).unrecognised
    assert words in entry.reason and entry.lost_role == ""


@pytest.mark.parametrize(
    "header, word",
    [
        ({"description": "T1map_SASHA_sax"}, "Saturation recovery"),
        ({"description": "T1map", "ProtocolName": "SASHA"}, "Saturation recovery"),
        ({"description": "SMART1Map SAX"}, "Saturation recovery"),
        ({"description": "T1 map", "SequenceName": "sat_rec"}, "Saturation recovery"),
        ({"description": "T1map_VFA"}, "another way of T1 mapping"),
        ({"description": "T1 map", "ProtocolName": "MP2RAGE"}, "another way of T1 mapping"),
    ],
)
def test_other_ways_of_t1_mapping_are_refused_by_name(exam, tmp_path, header, word):
    header = dict(header)
    exam.irw(header.pop("description"), (10000.0, *TIMES[:6]), **header)
    study = read_study(tmp_path)
    assert study.series == ()
    (entry,) = study.unrecognised
    assert word in entry.reason and entry.lost_role == "irw"


def test_the_header_alone_may_tell_saturation_recovery(exam, tmp_path):
    header = exam.header("T1 map sax")
    for i, time in enumerate(TIMES):
        exam.write(header, image(i), i + 1, 0.9 * i, InversionTime=time, SaturationRecovery="YES")
    (entry,) = read_study(tmp_path).unrecognised
    assert "Saturation recovery by its header" in entry.reason and entry.lost_role == "irw"


def test_the_map_of_a_saturation_recovery_is_a_t1_map(exam, tmp_path):
    exam.single("T1map_SASHA_sax", ImageType=["DERIVED", "PRIMARY", "T1 MAP"])
    assert only(tmp_path).role == "t1"


@pytest.mark.parametrize(
    "times, scheme",
    [
        ((50.0, 400.0, 1100.0, 2500.0), "other"),
        ((100.0, 200.0, 400.0, 800.0, 1600.0, 3200.0, 6400.0), "other"),
        ((350.0, 2000.0, 90.0, 1200.0, 700.0, 3100.0), "other"),
        ((10000.0, *(120.0 + 100.0 * i for i in range(9))), "other"),
        (tuple(100.0 + 100.0 * i for i in range(7)), "look-locker"),
        (SHMOLLI_TIMES, "shmolli"),
        (tuple(sorted(SHMOLLI_TIMES)), "shmolli"),
        (TIMES, "molli"),
    ],
)
def test_any_sampling_pattern_has_a_scheme(exam, tmp_path, times, scheme):
    exam.irw("IR_sax", times, [0.9 * i for i in range(len(times))])
    series = only(tmp_path)
    assert (series.scheme, series.inversion_times_ms) == (scheme, times)


def test_times_that_cannot_be_shmollis_are_not_fitted_as_shmolli(exam, tmp_path):
    exam.irw("ShMOLLI", (100.0, 200.0, 400.0, 800.0, 1600.0, 3200.0, 6400.0))
    (entry,) = read_study(tmp_path).unrecognised
    assert "not those of ShMOLLI" in entry.reason and "study.json" in entry.reason


def test_a_stated_scheme_comes_before_the_name(exam, tmp_path):
    times = (100.0, 200.0, 400.0, 800.0, 1600.0, 3200.0, 6400.0)
    exam.irw("ShMOLLI", times)
    (series,) = read_study(tmp_path, scheme="other").series
    assert (series.scheme, series.inversion_times_ms) == ("other", times)
    exam.irw("MOLLI", [None] * 7)
    stated = read_study(tmp_path, scheme="other", inversion_times_ms=TIMES[:7]).series
    assert [item.inversion_times_ms for item in stated] == [times, TIMES[:7]]
    with pytest.raises(InputError, match='no scheme called "sasha"'):
        read_study(tmp_path, scheme="sasha")
    with pytest.raises(InputError, match="does not fit irw_rest_mid.*those of ShMOLLI"):
        read_study(tmp_path, inversion_times_ms=times, scheme="shmolli")


def test_three_images_are_too_few_for_reading_too(exam, tmp_path):
    exam.irw("MOLLI", TIMES[:3])
    (entry,) = read_study(tmp_path).unrecognised
    assert "it has 3 images and a T1 fit needs at least 4" in entry.reason
