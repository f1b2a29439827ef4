"""The batch's step ``segmentation``: entries of the results, label maps, and segmentations that Slicer loads."""

import csv
import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import slicer
from ring_model import drawn_ring, ring_model

from CMRLib.batch.run import BatchOptions, run_batch
from CMRLib.batch.step import StepTask
from CMRLib.errors import MissingDependencyError, OutputError
from CMRLib.files.images import read_image, write_image
from CMRLib.files.segmentations import read_segmentation, write_segmentation
from CMRLib.geometry import Geometry
from CMRLib.scene.review import readReview
from CMRLib.scene.studies import saveStudyScene
from CMRLib.standalone import createApplication
from CMRLib.study.reading import read_study
from CMRQCSegmentationLib import prediction
from CMRQCSegmentationLib.quality import margin_unit
from CMRQCSegmentationLib.segments import SEGMENTS
from CMRQCSegmentationLib.step import STEP

SCRIPT = Path(__file__).resolve().parents[3] / "Resources" / "Scripts" / "cmr_batch.py"
GEOMETRY = Geometry((-31.0, 12.5, 40.0), (1.2, 1.2, 8.0), (0.8, 0.0, 0.6, 0.0, 1.0, 0.0, -0.6, 0.0, 0.8))


@pytest.fixture(autouse=True)
def model(monkeypatch):
    """Networks that tell the drawn ring's tissues by their brightness."""
    loaded = ring_model()
    monkeypatch.setattr(prediction, "load_segmentation_model", lambda device: loaded)
    monkeypatch.setattr("CMRQCSegmentationLib.step.model_entry", lambda model: loaded.entry)


@pytest.fixture
def study(tmp_path):
    image, labels = drawn_ring()
    stack = np.stack([image, image, np.zeros_like(image)])
    write_image(tmp_path / "lge.nrrd", stack, GEOMETRY)
    entry = {"role": "lge", "kind": "psir", "slice": "stack", "file": "lge.nrrd"}
    text = json.dumps({"schema": "cmr-study/1", "id": "P001", "series": [entry]})
    (tmp_path / "study.json").write_text(text, encoding="utf-8")
    return read_study(tmp_path), labels


def test_every_slice_has_an_entry_and_the_stack_its_files(study, tmp_path):
    read, labels = study
    report = STEP.run(StepTask(read, tmp_path))
    assert report.errors == [] and report.models["segmentation"]["id"] == "ring"
    assert [entry["slice"] for entry in report.entries] == [0, 1, 2]
    first, last = report.entries[0], report.entries[2]
    assert first["predicted_dice"] > 0.95 and not first["flagged"] and first["candidate"]
    margin = 0.5 * margin_unit(first["predicted_dice"])
    assert first["dice_lower_bound"] == pytest.approx(first["predicted_dice"] - margin, abs=1e-3)
    assert last["predicted_dice"] is None and last["flagged"] and last["candidate"] is None
    assert last["reason"] == prediction.BLANK
    written, geometry = read_image(tmp_path / first["labels_file"])
    assert geometry.is_close(GEOMETRY) and not written[2].any()
    for value in (1, 2):
        found, truth = written[0] == value, labels == value
        assert 2 * np.sum(found & truth) / (found.sum() + truth.sum()) > 0.95
    assert json.dumps(report.entries)


def test_the_segmentation_is_loaded_by_slicer_where_it_belongs(study, tmp_path):
    read, _labels = study
    report = STEP.run(StepTask(read, tmp_path))
    createApplication()
    slicer.mrmlScene.Clear(False)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    storage = slicer.vtkMRMLSegmentationStorageNode()
    slicer.mrmlScene.AddNode(storage)
    storage.SetFileName(str(tmp_path / report.entries[0]["segmentation_file"]))
    assert storage.ReadData(node)
    segmentation = node.GetSegmentation()
    names = [segmentation.GetSegment(segmentId).GetName() for segmentId in segmentation.GetSegmentIDs()]
    assert names == ["Myocardium", "Blood pool"]
    bounds = np.zeros(6)
    node.GetRASBounds(bounds)
    labels = report.made[0].value.labels()
    slices, rows, columns = np.nonzero(labels)
    ras = (GEOMETRY.ijk_to_ras() @ [columns, rows, slices, np.ones_like(rows)])[:3]
    for axis in range(3):
        assert bounds[2 * axis] <= ras[axis].min() and bounds[2 * axis + 1] >= ras[axis].max()
    slicer.mrmlScene.Clear(False)


def test_the_scene_holds_segments_and_their_review(study, tmp_path):
    read, _labels = study
    report = STEP.run(StepTask(read, tmp_path))
    saveStudyScene({"segmentation": report.made}, tmp_path / "scene.mrb")
    createApplication()
    slicer.mrmlScene.ReadFromMRB(str(tmp_path / "scene.mrb"))
    (node,) = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    entries = readReview(node)
    assert [entry.status.value for entry in entries] == ["auto", "auto", "flagged"]
    assert json.loads(node.GetAttribute("CMR.QC.PredictedDice"))[2] is None
    assert node.GetAttribute("CMR.Role") == "segmentation" and node.GetAttribute("CMR.Model") == "ring"
    slicer.mrmlScene.Clear(False)


def laid_beside(folder, labels, name):
    """A corrected segmentation as Slicer saves one: cropped to what is drawn, with labels of its own."""
    write_segmentation(folder / "whole.seg.nrrd", labels, GEOMETRY, SEGMENTS)
    whole = sitk.ReadImage(str(folder / "whole.seg.nrrd"))
    (folder / "whole.seg.nrrd").unlink()
    cropped = whole[70:95, 40:85, :2]
    swapped = sitk.ChangeLabel(cropped, {1: 2, 2: 1})
    for key in whole.GetMetaDataKeys():
        text = whole.GetMetaData(key)
        if key.endswith("_LabelValue"):
            text = {"1": "2", "2": "1"}[text]
        swapped.SetMetaData(key, text)
    sitk.WriteImage(swapped, str(folder / name))


def test_a_corrected_segmentation_beside_the_study_is_taken_and_said_so(study, tmp_path):
    read, labels = study
    corrected = np.zeros((3, 120, 150), dtype=np.uint8)
    corrected[0, 45:80, 72:90] = 1
    corrected[0, 50:70, 76:86] = 2
    laid_beside(tmp_path, corrected, "lge_psir_stack.seg.nrrd")
    (tmp_path / "out").mkdir()
    report = STEP.run(StepTask(read, tmp_path / "out"))
    assert report.errors == [] and report.warnings == [] and report.models == {}
    assert report.notes == ["lge_psir_stack: the corrected segmentation beside the study was taken."]
    assert [entry["candidate"] for entry in report.entries] == ["corrected"] * 3
    assert {entry["predicted_dice"] for entry in report.entries} == {None}
    assert not any(entry["flagged"] for entry in report.entries)
    written, _geometry = read_image(tmp_path / "out" / report.entries[0]["labels_file"])
    np.testing.assert_array_equal(written, corrected)
    saveStudyScene({"segmentation": report.made}, tmp_path / "scene.mrb")
    slicer.mrmlScene.ReadFromMRB(str(tmp_path / "scene.mrb"))
    (node,) = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    assert [entry.status.value for entry in readReview(node)] == ["corrected"] * 3
    assert node.GetAttribute("CMR.Model") is None
    slicer.mrmlScene.Clear(False)


def test_a_label_map_beside_the_study_is_taken_too(study, tmp_path):
    read, labels = study
    stack = np.stack([labels, labels, labels])
    write_image(tmp_path / "lge_psir_stack_labels.nrrd", stack, GEOMETRY)
    (tmp_path / "out").mkdir()
    report = STEP.run(StepTask(read, tmp_path / "out"))
    written, _geometry = read_image(tmp_path / "out" / report.entries[0]["labels_file"])
    np.testing.assert_array_equal(written, stack)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda path: path.write_bytes(b"no image"), "cannot be read; save it again"),
        (lambda path: write_image(path, np.ones((3, 5, 5), np.uint8), Geometry((900.0, 0.0, 0.0))), "lies elsewhere"),
        (
            lambda path: write_segmentation(path, np.ones((3, 120, 150), np.uint8), GEOMETRY, SEGMENTS[:1]),
            'has no segment called "Blood pool"; name it so',
        ),
        (
            lambda path: (
                write_image(path.with_name("lge_psir_stack_labels.nrrd"), np.ones((3, 9, 9)), GEOMETRY) and path.touch()
            ),
            "two corrected segmentations",
        ),
    ],
)
def test_a_corrected_segmentation_that_cannot_be_used_is_one_sentence_and_never_the_model_s(
    study, tmp_path, spoil, sentence
):
    read, _labels = study
    spoil(tmp_path / "lge_psir_stack.seg.nrrd")
    (tmp_path / "out").mkdir()
    report = STEP.run(StepTask(read, tmp_path / "out"))
    assert report.entries == [] and list((tmp_path / "out").iterdir()) == []
    (error,) = report.errors
    assert sentence in error and error.startswith("lge_psir_stack: ")


def test_a_segmentation_of_no_image_is_told_without_its_name(study, tmp_path):
    read, labels = study
    write_segmentation(tmp_path / "Doe John.seg.nrrd", np.stack([labels] * 3), GEOMETRY, SEGMENTS)
    (tmp_path / "out").mkdir()
    (warning,) = STEP.run(StepTask(read, tmp_path / "out")).warnings
    assert "lge_psir_stack.seg.nrrd" in warning and "Doe" not in warning


def test_the_file_is_what_slicerio_reads(study, tmp_path):
    """Another program's reader finds the same segments, their terms and their pixels."""
    slicerio = pytest.importorskip("slicerio")
    _read, labels = study
    stack = np.stack([labels, labels, np.zeros_like(labels)])
    path = write_segmentation(tmp_path / "a.seg.nrrd", stack, GEOMETRY, SEGMENTS)
    read = slicerio.read_segmentation(str(path))
    np.testing.assert_array_equal(read["voxels"].T, stack)
    np.testing.assert_allclose(read["ijkToLPS"], GEOMETRY.ijk_to_lps(), atol=1e-9)
    assert [(segment["name"], segment["labelValue"]) for segment in read["segments"]] == [
        ("Myocardium", 1),
        ("Blood pool", 2),
    ]
    assert read["segments"][0]["terminology"]["type"] == ["SCT", "74281007", "Myocardium"]
    assert read["segments"][1]["terminology"]["anatomicRegion"] == ["SCT", "87878005", "Left ventricle"]


def test_the_batch_does_a_study_again_when_a_corrected_segmentation_was_laid_beside_it(study, tmp_path):
    _read, labels = study
    inputs = tmp_path / "in"
    inputs.mkdir()
    for name in ("lge.nrrd", "study.json"):
        (tmp_path / name).rename(inputs / name)
    options = BatchOptions(steps=("segmentation",))
    (first,) = run_batch([inputs], tmp_path / "out", options)
    assert first.ok and first.results["segmentation"][0]["candidate"].startswith(("scs", "ccs"))
    (again,) = run_batch([inputs], tmp_path / "out", options)
    assert again.skipped
    write_segmentation(inputs / "lge_psir_stack.seg.nrrd", np.stack([labels] * 3), GEOMETRY, SEGMENTS)
    (second,) = run_batch([inputs], tmp_path / "out", options)
    assert not second.skipped and second.results["segmentation"][0]["candidate"] == "corrected"
    (third,) = run_batch([inputs], tmp_path / "out", options)
    assert third.skipped


def test_a_stack_without_a_heart_is_flagged_and_its_files_are_empty(study, tmp_path):
    read, _labels = study
    noise = np.random.default_rng(3).random((2, 120, 150)).astype(np.float32)
    write_image(tmp_path / "lge.nrrd", np.concatenate([noise, noise[:1]]), GEOMETRY)
    report = STEP.run(StepTask(read, tmp_path))
    assert all(entry["flagged"] and entry["candidate"] is None for entry in report.entries)
    assert {entry["reason"] for entry in report.entries} == {prediction.NO_HEART}
    written, _geometry = read_image(tmp_path / report.entries[0]["labels_file"])
    assert not written.any()


def test_the_command_writes_the_files_of_the_contract(study, tmp_path, capsys):
    _read, labels = study
    main = runpy.run_path(str(SCRIPT))["main"]
    arguments = ["--input", str(tmp_path), "--output", str(tmp_path / "out"), "--steps", "segmentation", "--scene"]
    assert main(arguments) == 0
    assert "P001: ok (segmented slices: 2" in capsys.readouterr().out
    folder = tmp_path / "out" / "P001"
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    first, second, blank = results["segmentation"]
    assert results["models"] == {"segmentation": {"id": "ring", "sha256": ""}} and results["device"] == "cpu"
    assert first.keys() >= {"role", "slice", "labels_file", "segmentation_file", "predicted_dice", "flagged", "seconds"}
    assert (first["flagged"], blank["flagged"], blank["reason"]) == (False, True, prediction.BLANK)
    written, geometry = read_image(folder / second["labels_file"])
    assert geometry.is_close(GEOMETRY) and set(np.unique(written[1])) == {0, 1, 2}
    corrected = read_segmentation(folder / second["segmentation_file"], SEGMENTS, GEOMETRY, written.shape)
    np.testing.assert_array_equal(corrected, written)
    assert (folder / "scene.mrb").is_file()
    with open(tmp_path / "out" / "summary.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["segmentation"] * 3 and rows[0]["candidate"] == first["candidate"]


def test_the_command_says_in_one_sentence_that_the_model_is_missing(study, tmp_path, monkeypatch, capsys):
    def missing(model):
        raise MissingDependencyError("The model 'segmentation-ensemble' is not installed; install CMRMapping again.")

    monkeypatch.setattr("CMRQCSegmentationLib.step.model_entry", missing)
    arguments = ["--input", str(tmp_path), "--output", str(tmp_path / "out"), "--steps", "segmentation"]
    main = runpy.run_path(str(SCRIPT))["main"]
    assert main(arguments) == 3
    assert capsys.readouterr().err.strip().splitlines() == [
        "The model 'segmentation-ensemble' is not installed; install CMRMapping again."
    ]


def test_a_file_that_cannot_be_written_leaves_nothing(study, tmp_path, monkeypatch):
    _read, labels = study
    (tmp_path / "a.seg.nrrd").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        write_segmentation(tmp_path / "a.seg.nrrd", labels[None], GEOMETRY, SEGMENTS)
    assert not list(tmp_path.glob(".partial*"))
