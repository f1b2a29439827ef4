"""Reading a study's files: storage of the pixels, compression, and files that are damaged or no images at all."""

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813 (the name its users know)
from dicom_builder import SHMOLLI_SECONDS, SHMOLLI_TIMES, Exam, image
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import (
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from CMRLib.errors import InputError
from CMRLib.study.dicom.pixels import decode_with_gdcm, read_stored
from CMRLib.study.reading import read_study, scan_files


@pytest.fixture
def exam(tmp_path):
    return Exam(tmp_path)


@pytest.mark.parametrize(
    "bits, signed, low, high",
    [
        ((16, 12), False, 0, 4096),
        ((16, 12), True, -2048, 2048),
        ((16, 16), False, 0, 65536),
        ((16, 16), True, -32768, 32768),
        ((8, 8), False, 0, 256),
    ],
)
@pytest.mark.parametrize("slope, intercept", [(None, None), (0.25, -3.0), (2.0, 10.0)])
def test_stored_values_of_any_kind(exam, tmp_path, bits, signed, low, high, slope, intercept):
    rescale = {} if slope is None else {"RescaleSlope": slope, "RescaleIntercept": intercept}
    pixels = image(1, low=low, high=high)
    pixels[0, :2] = low, high - 1
    exam.write(exam.header("T1map", **rescale), pixels, 1, bits=bits, signed=signed)
    (series,) = read_study(tmp_path).series
    expected = pixels * (slope or 1.0) + (intercept or 0.0)
    np.testing.assert_array_equal(series.load().images[0], expected.astype(np.float32))


@pytest.mark.parametrize("signed", [False, True])
def test_bits_above_those_stored_are_no_values(exam, signed):
    """Old files keep overlays in the upper bits; 12 bit signed values may come without their sign extended."""
    pixels = image(1, low=-2048 if signed else 0, high=2048)
    file = exam.write(exam.header("T1map"), (pixels & 0x0FFF) | 0x5000, 1, bits=(16, 12), signed=signed)
    np.testing.assert_array_equal(read_stored(file)[0], pixels)


def test_slope_may_differ_between_images(exam, tmp_path):
    header = exam.header("ShMOLLI")
    for i, time in enumerate(SHMOLLI_TIMES):
        own = {"InversionTime": time, "RescaleSlope": 1.0 + i, "RescaleIntercept": 0.0}
        exam.write(header, image(i), i + 1, SHMOLLI_SECONDS[i], **own)
    (series,) = read_study(tmp_path).series
    np.testing.assert_array_equal(series.load().images, [image(i) * (1.0 + i) for i in range(7)])


LARGE = (64, 80)  # JPEG 2000 wants more than a few pixels


def compress(file, syntax, folder):
    """Compress a file in place, with pydicom's encoders where it has one and GDCM's otherwise."""
    ds = pydicom.dcmread(file)
    if syntax == JPEGLosslessSV1:
        source = sitk.GetImageFromArray(ds.pixel_array)
        writer = sitk.ImageFileWriter()
        writer.SetFileName(str(folder / "jpeg.dcm"))
        writer.SetUseCompression(True)
        writer.SetCompressor("JPEG")
        writer.Execute(source)
        jpeg = pydicom.dcmread(folder / "jpeg.dcm")
        assert jpeg.file_meta.TransferSyntaxUID == JPEGLosslessSV1
        ds["PixelData"] = jpeg["PixelData"]
        ds.file_meta.TransferSyntaxUID = syntax
        (folder / "jpeg.dcm").unlink()
    else:
        try:
            ds.compress(syntax)
        except NotImplementedError:
            pytest.skip(f"pydicom {pydicom.__version__} cannot write {syntax.name}")
    ds.save_as(file)
    return ds


SYNTAXES = [RLELossless, JPEGLSLossless, JPEG2000Lossless, JPEGLosslessSV1]


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.name)
def test_compressed_images(exam, tmp_path, syntax):
    header = exam.header("ShMOLLI", RescaleSlope=2.0, RescaleIntercept=-5.0)
    for i, time in enumerate(SHMOLLI_TIMES):
        file = exam.write(header, image(i, LARGE), i + 1, SHMOLLI_SECONDS[i], InversionTime=time)
        compress(file, syntax, tmp_path)
    (series,) = read_study(tmp_path).series
    np.testing.assert_array_equal(series.load().images, [np.maximum(image(i, LARGE) * 2.0 - 5.0, 0) for i in range(7)])


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.name)
@pytest.mark.parametrize("signed", [False, True])
def test_images_that_pydicom_cannot_decode_go_through_gdcm(exam, tmp_path, monkeypatch, syntax, signed):
    pixels = image(3, LARGE, low=-2000 if signed else 0, high=2000)
    file = exam.write(exam.header("T1map"), pixels, 1, bits=(16, 16), signed=signed)
    ds = compress(file, syntax, tmp_path)
    np.testing.assert_array_equal(decode_with_gdcm(ds)[0], pixels)

    def no_decoder(self):
        raise RuntimeError("Unable to decompress: the required packages are missing")

    monkeypatch.setattr(Dataset, "pixel_array", property(no_decoder))
    np.testing.assert_array_equal(read_stored(file)[0], pixels)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless], ids=lambda uid: uid.name)
def test_compressed_multi_frame(exam, tmp_path, syntax):
    pixels = np.stack([image(i, LARGE) for i in range(7)]).astype(np.uint16)
    ds = compress(exam.enhanced("ShMOLLI", pixels, SHMOLLI_TIMES), syntax, tmp_path)
    np.testing.assert_array_equal(decode_with_gdcm(ds), pixels)
    (series,) = read_study(tmp_path).series
    np.testing.assert_array_equal(series.load().images, pixels)


def test_damaged_compressed_image(exam, tmp_path):
    header = exam.header("ShMOLLI")
    files = [
        exam.write(header, image(i, LARGE), i + 1, SHMOLLI_SECONDS[i], InversionTime=time)
        for i, time in enumerate(SHMOLLI_TIMES)
    ]
    ds = compress(files[4], JPEGLSLossless, tmp_path)
    data = bytearray(ds.PixelData)
    data[60:-8] = bytes(len(data) - 68)  # the image's code, not the items that hold it
    ds["PixelData"].value = bytes(data)
    ds.save_as(files[4])
    (series,) = read_study(tmp_path).series
    with pytest.raises(InputError, match="Image 5 of 7 is damaged, or compressed in a way that cannot be read"):
        series.load()


@pytest.mark.parametrize("missing", [20, 200])
def test_file_cut_short_is_told_when_scanning(exam, tmp_path, missing):
    files = exam.irw()
    files[2].write_bytes(files[2].read_bytes()[:-missing])
    study = read_study(tmp_path)
    assert study.series == ()
    assert [(entry.what, entry.reason.split(";")[0]) for entry in study.unrecognised] == [
        (
            "series 1 ShMOLLI_192i (6 images)",
            "No whole inversion-recovery acquisition: it has 6 images where ShMOLLI has 7",
        ),
        ("series 1 ShMOLLI_192i (1 image)", "It is cut short: it holds fewer bytes than its image needs"),
    ]


def test_file_cut_short_after_scanning(exam, tmp_path):
    files = exam.irw()
    (series,) = read_study(tmp_path).series
    files[2].write_bytes(files[2].read_bytes()[:-50])
    with pytest.raises(InputError, match="Image 3 of 7 is cut short or damaged; copy it from the scanner again"):
        series.load()
    files[2].unlink()
    with pytest.raises(InputError, match="Image 3 of 7 cannot be read"):
        series.load()


@pytest.mark.parametrize("length", [140, 200, 400, 700])
def test_header_cut_short(exam, tmp_path, length):
    exam.single("T1map")
    file = exam.single("T1map", minutes=1)
    file.write_bytes(file.read_bytes()[:length])
    study = read_study(tmp_path)
    assert [series.key for series in study.series] == ["t1_rest_mid"]
    (entry,) = study.unrecognised
    assert entry.files == (file,)
    assert entry.reason


@pytest.mark.parametrize(
    "values, word",
    [
        ({"SeriesInstanceUID": None}, "which study and series"),
        ({"ImagePositionPatient": None}, "Image Position (0020,0032) is missing"),
        ({"PixelSpacing": None}, "Pixel Spacing (0028,0030) is missing"),
        ({"ImageOrientationPatient": [1, 0, 0, 0.9, 0.1, 0]}, "right angles"),
        ({"PixelSpacing": [0.0, 1.0]}, "not that of a cardiac image"),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "colour picture"),
        (
            {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.22", "Modality": "SR"},
            "no MR image but Enhanced SR (modality SR)",
        ),
    ],
)
def test_images_that_cannot_be_used(exam, tmp_path, values, word):
    exam.single("T1map", **values)
    study = read_study(tmp_path)
    assert study.series == ()
    assert word in study.unrecognised[0].reason


def test_multi_frame_without_frame_descriptions(exam, tmp_path):
    exam.write(exam.header("T1map"), np.stack([image(1), image(2)]), 1, NumberOfFrames=2)
    assert "does not describe each frame" in read_study(tmp_path).unrecognised[0].reason


@pytest.mark.parametrize("frame, text", [(None, "are empty"), (3, "Image 4 of 7 of irw_rest_mid .* is empty")])
def test_empty_images(exam, tmp_path, frame, text):
    header = exam.header("ShMOLLI")
    for i, time in enumerate(SHMOLLI_TIMES):
        pixels = np.zeros((12, 16)) if frame in (None, i) else image(i)
        exam.write(header, pixels, i + 1, SHMOLLI_SECONDS[i], InversionTime=time)
    (series,) = read_study(tmp_path).series
    with pytest.raises(InputError, match=text):
        series.load()


def test_empty_phase(exam, tmp_path):
    exam.irw()
    header = exam.header("ShMOLLI", ImageType=["ORIGINAL", "PRIMARY", "P"])
    for i, time in enumerate(SHMOLLI_TIMES):
        exam.write(header, np.zeros((12, 16)), i + 1, SHMOLLI_SECONDS[i], InversionTime=time)
    (series,) = read_study(tmp_path).series
    with pytest.raises(InputError, match="phase images of irw_rest_mid .* are empty"):
        series.load()


def test_other_files_are_passed_over(exam, tmp_path):
    exam.irw()
    (tmp_path / "notes.txt").write_text("left ventricle")
    (tmp_path / ".DS_Store").write_bytes(b"\0" * 128 + b"DICM")
    study = read_study(tmp_path)
    assert len(study.series) == 1
    assert study.unrecognised == ()


def test_dicomdir_is_passed_over(exam, tmp_path):
    exam.irw()
    ds = exam.header("", SOPClassUID="1.2.840.10008.1.3.10")
    exam.write(ds, image(1), 1, name="DICOMDIR")
    assert read_study(tmp_path).unrecognised == ()


def test_files_without_a_preamble_are_read(exam, tmp_path):
    for file in exam.irw():
        file.write_bytes(file.read_bytes()[132:])
    (series,) = read_study(tmp_path).series
    np.testing.assert_array_equal(series.load().images[0], image(0))


def test_folder_without_dicom(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing here")
    with pytest.raises(InputError, match="holds no DICOM file and no study.json"):
        read_study(tmp_path)
    with pytest.raises(InputError, match="There is no folder"):
        read_study(tmp_path / "missing")
    with pytest.raises(InputError, match="There is no folder"):
        read_study(tmp_path / "notes.txt")


def test_files_that_are_no_dicom_are_reported_by_the_scan(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing here")
    series, (missing, other) = scan_files([tmp_path / "notes.txt", tmp_path / "missing.dcm"])
    assert series == ()
    assert missing.what == other.what == "1 file"
    assert "check that the file is still there" in missing.reason
    assert "cannot be read as DICOM" in other.reason


@settings(max_examples=60)
@given(places=st.lists(st.integers(132, 1200), min_size=1, max_size=8), values=st.randoms(use_true_random=False))
def test_damaged_headers_never_break_the_scan(tmp_path_factory, places, values):
    folder = tmp_path_factory.mktemp("damaged")
    exam = Exam(folder)
    file = exam.single("T1map")
    content = bytearray(file.read_bytes())
    for place in places:
        content[place % len(content)] = values.randrange(256)
    file.write_bytes(content)
    series, unrecognised = scan_files([file])
    assert len(series) + len(unrecognised) == 1
