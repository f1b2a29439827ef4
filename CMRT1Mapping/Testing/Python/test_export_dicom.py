"""What is made of a label map, landmarks and segment means, of any study: over arrays, without the batch."""

import json
import shutil
from dataclasses import replace

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813 (the name its users know)
from dicom_builder import Exam, along_axis, image
from dicom_tools import errors_of, is_placed, read_by_dcmqi

from CMRLib.anatomy.aha import SEGMENTS
from CMRLib.errors import InputError
from CMRLib.export.dicom.items import (
    Exported,
    ExportedLabels,
    ExportedMap,
    ExportedPoint,
    Exports,
    Findings,
)
from CMRLib.export.dicom.segmentation import _cielab
from CMRLib.export.dicom.segments import segment_means
from CMRLib.export.dicom.source import SEVERAL_PLACES, source_of
from CMRLib.export.dicom.study import write_study
from CMRLib.files.images import write_image
from CMRLib.files.segmentations import Segment
from CMRLib.geometry import Geometry
from CMRLib.study.reading import read_study
from CMRLib.terms import MILLISECOND, Term

ROWS, COLUMNS = 40, 48


VENTRICLE = Term("87878005", "SCT", "Left ventricle")
STRUCTURE, SUBSTANCE = Term("123037004", "SCT", "Anatomical Structure"), Term("91720002", "SCT", "Body Substance")
MUSCLE = Segment(1, "Myocardium", (0.8, 0.35, 0.35), STRUCTURE, Term("74281007", "SCT", "Myocardium"), VENTRICLE)
BLOOD = Segment(2, "Blood pool", (0.95, 0.8, 0.35), SUBSTANCE, Term("87612001", "SCT", "Blood"), VENTRICLE)
T1 = Term("113063", "DCM", "T1")
CENTER, LEFT = Term("111010", "DCM", "Center"), Term("87878005", "SCT", "Left ventricle")


def ring(count):
    """A ring of myocardium around blood in every slice but the last, which is empty; uint8 (slice, row, column)."""
    rows, columns = np.mgrid[:ROWS, :COLUMNS]
    radius = np.hypot(rows - 20, columns - 24)
    labels = np.where(radius < 6, 2, np.where(radius < 11, 1, 0)).astype(np.uint8)
    return np.stack([labels] * (count - 1) + [0 * labels]) if count > 1 else labels[None]


def offered(series, count, **more):
    """What steps would offer of a series: T1 of 900 ms plus its column, a label map and landmarks."""
    values = np.broadcast_to(900 + np.arange(COLUMNS, dtype=np.float32), (count, ROWS, COLUMNS)).copy()
    labels = ExportedLabels("segmentation", ring(count), (MUSCLE, BLOOD), "ring-1", "ab" * 32)
    points = tuple(
        Findings(
            "landmarks",
            index,
            points=(
                ExportedPoint("lv_center", CENTER, LEFT, 20.0, 24.0),
                ExportedPoint("rv_insertion", Term("a", "99CMRMAPPING", "Anterior"), LEFT, 10.0, 14.0),
            ),
            flagged=index == 0,
            model="points-1",
            model_sha256="cd" * 32,
        )
        for index in range(count)
    )
    maps = (ExportedMap("t1", "T1", values, MILLISECOND, T1, (0.0, 2000.0), 0.1),)

    def one(**offers):
        return Exported(series.key, series, series.geometry, "{}", Exports(**offers, **more))

    return [one(maps=maps), one(labels=(labels,)), one(findings=points)]


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """A late enhancement stack of three slices, what was written of it, and where."""
    folder = tmp_path_factory.mktemp("stack")
    exam = Exam(folder / "in")
    header = exam.header("LGE_PSIR_sax", FrameOfReferenceUID="1.2.3.4")
    for number in range(3):
        position = along_axis(8.0 * number)
        exam.write(header, image(number, (ROWS, COLUMNS)), number + 1, ImagePositionPatient=position)
    study = read_study(folder / "in")
    (series,) = study.series
    results = offered(series, 3)
    written = write_study(study, results, folder)
    assert written.errors == [] and written.notes == []
    return study, series, results, written, folder


INVALID = {"PatientSex": "unknown", "PatientBirthDate": "24.12.51", "StudyTime": "noon"}


def file_of(stack, kind):
    (entry,) = [entry for entry in stack[3].entries if entry["kind"] == kind]
    return stack[4] / entry["file"]


def test_every_object_conforms(stack):
    assert {entry["file"]: errors_of(stack[4] / entry["file"]) for entry in stack[3].entries} == {
        entry["file"]: [] for entry in stack[3].entries
    }
    assert [entry["kind"] for entry in stack[3].entries].count("image") == 3


def test_a_map_of_a_stack_keeps_its_slices_apart(stack, tmp_path):
    _, series, results, _, _ = stack
    values = results[0].offers.maps[0].values + 100 * np.arange(3, dtype=np.float32)[:, None, None]
    changed = replace(results[0], offers=Exports(maps=(replace(results[0].offers.maps[0], values=values),)))
    written = write_study(stack[0], [changed], tmp_path)
    images, _ = read_by_dcmqi("paramap2itkimage", tmp_path / written.entries[0]["file"], tmp_path / "dcmqi")
    (read,) = images.values()
    placed = sitk.Resample(read, _grid(series, values.shape))
    assert np.allclose(sitk.GetArrayFromImage(placed), values, atol=1e-3)
    plain = [entry["file"] for entry in written.entries if entry["kind"] == "image"]
    for index, file in enumerate(plain):
        read = sitk.ReadImage(str(tmp_path / file))
        assert np.abs(sitk.GetArrayFromImage(read)[0] - values[index]).max() < 0.06
        assert is_placed(read, series.geometry.at_slice(index))


def _grid(series, shape):
    grid = sitk.GetImageFromArray(np.zeros(shape, dtype=np.float32))
    grid.SetOrigin(series.geometry.origin)
    grid.SetSpacing(series.geometry.spacing)
    grid.SetDirection(series.geometry.direction)
    return grid


def test_a_segmentation_is_read_back_by_highdicom_and_dcmqi(stack, tmp_path):
    _, series, _, _, _ = stack
    expected = ring(3)
    read = highdicom.seg.segread(file_of(stack, "segmentation"))
    assert read.SegmentationType == "BINARY" and read.FrameOfReferenceUID == "1.2.3.4"
    volume = read.get_volume(combine_segments=True, relabel=False)
    assert (np.asarray(volume.array) > 0).sum() == (expected > 0).sum()
    for number, (label, kind) in enumerate((("Myocardium", "74281007"), ("Blood pool", "87612001")), start=1):
        described = read.get_segment_description(number)
        assert (described.segment_label, described.segmented_property_type.value) == (label, kind)
        assert described.algorithm_identification.name == "ring-1" and described.algorithm_type.value == "AUTOMATIC"

    images, meta = read_by_dcmqi("segimage2itkimage", file_of(stack, "segmentation"), tmp_path / "dcmqi")
    (image_read,) = images.values()
    placed = sitk.Resample(image_read, _grid(series, expected.shape), sitk.Transform(), sitk.sitkNearestNeighbor)
    assert np.array_equal(sitk.GetArrayFromImage(placed), expected)
    kinds = [s["SegmentedPropertyTypeCodeSequence"]["CodeValue"] for part in meta["segmentAttributes"] for s in part]
    assert kinds == ["74281007", "87612001"]


def test_a_segmentation_names_the_image_of_each_frame(stack):
    sources = {}
    for path in (stack[4] / "in").iterdir():
        header = pydicom.dcmread(path)
        sources[header.SOPInstanceUID] = header
    read = pydicom.dcmread(file_of(stack, "segmentation"))
    assert len(read.PerFrameFunctionalGroupsSequence) == 4  # two slices of two segments
    for frame in read.PerFrameFunctionalGroupsSequence:
        (source,) = frame.DerivationImageSequence[0].SourceImageSequence
        position = sources[source.ReferencedSOPInstanceUID].ImagePositionPatient
        assert np.allclose(frame.PlanePositionSequence[0].ImagePositionPatient, position, atol=1e-6)


def test_a_report_holds_landmarks_quality_models_and_segment_means(stack, tmp_path):
    _, series, results, _, _ = stack
    read = highdicom.sr.srread(file_of(stack, "report"))
    groups = read.content.get_planar_roi_measurement_groups()
    assert len(groups) == 6
    for group in groups:
        (point,) = group.roi.value
        index = int(group.tracking_identifier.split("slice ")[1].split(":")[0])
        row, column = (20, 24) if group.finding_type.value == "111010" else (10, 14)
        assert np.allclose(point, (series.geometry.ijk_to_lps() @ [column, row, index, 1])[:3], atol=1e-3)
        (quality,) = group.get_qualitative_evaluations()
        assert quality.value.value == ("flagged" if index == 0 else "not-flagged")

    text = str(pydicom.dcmread(file_of(stack, "report")))
    assert text.count("'points-1'") == file_of(stack, "report").read_bytes().count(b"sha256=" + b"cd" * 32) == 6
    assert text.count("Referenced Frame of Reference UID   UI: 1.2.3.4") == 6

    means = read.content.get_image_measurement_groups()
    expected = {
        (findings.index, measurement.site.value): measurement.value
        for result in segment_means(results)
        for findings in result.offers.findings
        for measurement in findings.measurements
    }
    assert len(expected) == 10 and {site for _, site in expected} <= {segment.code for segment in SEGMENTS}
    found = {}
    for group in means:
        (measured,) = group.get_measurements()
        assert (measured.name.value, measured.unit.value, measured.derivation.value) == ("113063", "ms", "373098007")
        index = int(group.tracking_identifier.split("slice ")[1].split(":")[0])
        found[index, group.finding_sites[0].value.value] = measured.value
    assert found == pytest.approx(expected, abs=1e-5)

    _, described = read_by_dcmqi("tid1500reader", file_of(stack, "report"), tmp_path / "dcmqi")
    by_dcmqi = [float(m["value"]) for group in described["Measurements"] for m in group["measurementItems"]]
    assert sorted(by_dcmqi) == pytest.approx(sorted(expected.values()), abs=1e-3)


def test_segment_means_are_those_of_the_myocardium(stack):
    _, _, results, _, _ = stack
    (result,) = segment_means(results)
    values, labels = results[0].offers.maps[0].values, ring(3)
    by_slice = [[measurement.value for measurement in findings.measurements] for findings in result.offers.findings]
    assert [len(means) for means in by_slice] == [6, 4] and [f.index for f in result.offers.findings] == [0, 1]
    muscle = values[0][labels[0] == 1]
    assert muscle.min() < min(by_slice[0]) < muscle.mean() < max(by_slice[0]) < muscle.max()


def test_an_empty_label_map_and_frames_of_one_slice(stack, tmp_path):
    study, _, results, _, _ = stack
    empty = replace(results[1].offers.labels[0], labels=np.zeros((3, ROWS, COLUMNS), dtype=np.uint8))
    assert write_study(study, [replace(results[1], offers=Exports(labels=(empty,)))], tmp_path).entries == []

    exam = Exam(tmp_path / "cine")
    header = exam.header("cine_sax", FrameOfReferenceUID="1.2.3.4")
    for number in range(3):
        exam.write(header, image(number, (ROWS, COLUMNS)), number + 1, 0.03 * number, TriggerTime=30.0 * number)
    cine = read_study(tmp_path / "cine")
    (series,) = cine.series
    assert series.role == "cine"
    written = write_study(cine, offered(series, 3, are_frames=True)[1:], tmp_path)
    files = [tmp_path / entry["file"] for entry in written.entries if entry["kind"] == "segmentation"]
    assert [file.name for file in files] == ["cine_mid_segmentation_0001.dcm", "cine_mid_segmentation_0002.dcm"]
    for file in files:
        assert errors_of(file) == []
        images, _ = read_by_dcmqi("segimage2itkimage", file, tmp_path / file.stem)
        assert np.array_equal(sitk.GetArrayFromImage(next(iter(images.values())))[0], ring(3)[0])
    report = highdicom.sr.srread(tmp_path / "dicom" / "report.dcm")
    depths = {tuple(np.round(group.roi.value[0], 3)) for group in report.content.get_planar_roi_measurement_groups()}
    assert len(depths) == 2  # the same two places in every frame


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_missing_and_invalid_patient_fields_are_left_empty(tmp_path):
    exam = Exam(tmp_path / "in")
    exam.single("T1_MAP", pixels=image(1, (ROWS, COLUMNS)), PatientName=None, PatientID=None, **INVALID)
    study = read_study(tmp_path / "in")
    written = write_study(study, offered(study.series[0], 1), tmp_path)
    assert written.errors == [] and written.notes == [
        "t1_rest_mid: its images name no frame of reference, so its DICOM results carry a new one."
    ]
    for entry in written.entries:
        read = pydicom.dcmread(tmp_path / entry["file"])
        assert (read.PatientID, str(read.PatientName), read.PatientSex, read.PatientBirthDate) == ("", "", "", "")
        assert errors_of(tmp_path / entry["file"]) == []


def test_an_enhanced_source_is_named_by_its_frames(tmp_path):
    exam = Exam(tmp_path / "in")
    pixels = np.stack([image(n, (ROWS, COLUMNS)) for n in range(3)])
    file = exam.enhanced("LGE_sax", pixels, positions=[0.0, 8.0, 16.0], FrameOfReferenceUID="1.2.3.4")
    study = read_study(tmp_path / "in")
    written = write_study(study, offered(study.series[0], 3), tmp_path)
    assert written.errors == []
    instance = pydicom.dcmread(file).SOPInstanceUID
    read = pydicom.dcmread(tmp_path / "dicom" / f"{study.series[0].key}_segmentation.dcm")
    named = [frame.DerivationImageSequence[0].SourceImageSequence[0] for frame in read.PerFrameFunctionalGroupsSequence]
    assert {item.ReferencedSOPInstanceUID for item in named} == {instance}
    assert sorted(item.ReferencedFrameNumber for item in named) == [1, 1, 2, 2]
    for entry in written.entries:
        assert errors_of(tmp_path / entry["file"]) == []


def test_several_frames_of_reference_are_refused_for_their_series_alone(tmp_path):
    exam = Exam(tmp_path / "in")
    files = exam.irw(FrameOfReferenceUID="1.2.3.4")
    exam.single("T1_MAP", pixels=image(1, (ROWS, COLUMNS)), FrameOfReferenceUID="1.2.3.5")
    header = pydicom.dcmread(files[3])
    header.FrameOfReferenceUID = "1.2.3.6"
    header.save_as(files[3])
    study = read_study(tmp_path / "in")
    mixed, single = study.series
    with pytest.raises(InputError, match="several frames of reference"):
        source_of(mixed, study)
    results = [replace(made, key=mixed.key, series=mixed) for made in offered(single, 1)] + offered(single, 1)
    written = write_study(study, results, tmp_path)
    assert written.errors == [f"{mixed.key}: {SEVERAL_PLACES}"]
    places = {
        pydicom.dcmread(tmp_path / e["file"]).FrameOfReferenceUID for e in written.entries if e["kind"] != "report"
    }
    assert places == {"1.2.3.5"}


def test_what_cannot_be_made_costs_no_other_result(stack, tmp_path, monkeypatch):
    def refuse(*arguments):
        raise ValueError("Doe^Jane is no valid name")

    monkeypatch.setattr("CMRLib.export.dicom.study.segmentation", refuse)
    study, series, results, _, _ = stack
    written = write_study(study, results, tmp_path)
    assert written.errors == [f"{series.key}: its DICOM results cannot be made (ValueError); please report it."]
    assert {entry["kind"] for entry in written.entries} == {"parametric map", "image", "report"}
    assert all((tmp_path / entry["file"]).is_file() for entry in written.entries)


def test_image_files_of_other_content_get_other_identifiers(tmp_path):
    def identifiers(name, brightness):
        folder = tmp_path / name
        folder.mkdir()
        write_image(folder / "t1.nrrd", np.full((1, ROWS, COLUMNS), brightness, dtype=np.float32), Geometry())
        text = {"schema": "cmr-study/1", "id": "P1", "series": [{"role": "t1", "file": "t1.nrrd"}]}
        (folder / "study.json").write_text(json.dumps(text))
        study = read_study(folder)
        (series,) = study.series
        exported = ExportedMap("t1", "T1", np.full((1, ROWS, COLUMNS), brightness), MILLISECOND, T1, (0.0, 2000.0), 0.1)
        result = Exported(series.key, series, series.geometry, "{}", Exports(maps=(exported,)))
        return [entry["sop_instance_uid"] for entry in write_study(study, [result], folder).entries]

    first = identifiers("one", 900.0)
    assert identifiers("copy", 900.0) == first and not set(identifiers("other", 901.0)) & set(first)


def test_files_that_are_gone_are_one_sentence(tmp_path):
    exam = Exam(tmp_path / "in")
    exam.single("T1_MAP", pixels=image(1, (ROWS, COLUMNS)))
    study = read_study(tmp_path / "in")
    results = offered(study.series[0], 1)
    shutil.rmtree(tmp_path / "in")
    written = write_study(study, results, tmp_path)
    assert written.entries == [] and written.errors == [
        "t1_rest_mid: its headers can no longer be read; check that its files are still there."
    ]


def test_colors_are_cielab():
    """White, black and sRGB red as in published tables: L* 100, 0 and 53.2; a* 80.1; b* 67.2."""
    assert _cielab((1, 1, 1))[0] == 65535 and _cielab((0, 0, 0))[0] == 0
    light, a, b = _cielab((1, 0, 0))
    assert light / 655.35 == pytest.approx(53.2, abs=0.1)
    assert (a / 65535 * 255 - 128, b / 65535 * 255 - 128) == pytest.approx((80.1, 67.2), abs=0.2)
