"""The batch's step ``landmarks``: entries of the results, and markups files that Slicer loads."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import slicer
from batch_studies import inversion_recovery, true_t1

from CMRLandmarksLib import prediction
from CMRLandmarksLib.prediction import NO_HEART, LandmarkPrediction
from CMRLandmarksLib.step import STEP
from CMRLib.batch.run import BatchOptions, run_batch
from CMRLib.batch.step import StepResult, StepTask
from CMRLib.errors import MissingDependencyError, OutputError
from CMRLib.files.images import write_image
from CMRLib.files.markups import MarkupPoint, write_markups
from CMRLib.geometry import Geometry
from CMRLib.scene import aha, landmarks
from CMRLib.scene.studies import saveStudyScene
from CMRLib.standalone import createApplication
from CMRLib.study.reading import read_study

GEOMETRY = Geometry((-31.0, 12.5, 40.0), (1.2, 1.4, 8.0), (0.8, 0.0, 0.6, 0.0, 1.0, 0.0, -0.6, 0.0, 0.8))
CENTER, ANTERIOR, INFERIOR = (10.0, 12.25), (4.5, 6.0), (15.0, 7.0)
TIMES_MS = [100.0, 1100.0, 2100.0, 3100.0, 4100.0, 180.0, 260.0]


@pytest.fixture(autouse=True)
def model(monkeypatch):
    """A model that always gives the same answer, and finds no heart in slice 2."""
    loaded = SimpleNamespace(device="cpu", entry=SimpleNamespace(id="landmarks-test", sha256="ab"))

    def predict(image, geometry, *, model, progress=lambda fraction: None):
        assert image.ndim == 3 and model is loaded
        sure = dict.fromkeys(("lv_center", "rv_insertion", "inferior_rv_insertion"), 0.9)
        return [
            LandmarkPrediction(
                n, CENTER, ANTERIOR, INFERIOR, sure, *((0.1, True, NO_HEART) if n == 2 else (0.9, False, ""))
            )
            for n in range(len(image))
        ]

    monkeypatch.setattr(prediction, "load_landmark_model", lambda device: loaded)
    monkeypatch.setattr(prediction, "predict_landmarks", predict)


def study_of(folder, *series, shape=(3, 20, 24)):
    entries = []
    for number, given in enumerate(series):
        if given["role"] == "irw":
            images = inversion_recovery(true_t1(*shape[1:]))
        else:
            images = np.random.default_rng(number).uniform(1, 100, shape).astype(np.float32)
        write_image(folder / f"{number}.nrrd", images, GEOMETRY)
        entries.append({"file": f"{number}.nrrd", **given})
    text = json.dumps({"schema": "cmr-study/1", "id": "P001", "series": entries})
    (folder / "study.json").write_text(text, encoding="utf-8")
    return read_study(folder)


def ras(point, depth):
    return (GEOMETRY.ijk_to_ras() @ [point[1], point[0], depth, 1])[:3]


def test_a_stack_has_an_entry_for_every_slice_and_one_file(tmp_path):
    study = study_of(tmp_path, {"role": "lge", "kind": "psir", "slice": "stack"})
    report = STEP.run(StepTask(study, tmp_path))
    (made,) = report.made
    assert report.errors == [] and report.models == {"landmarks": {"id": "landmarks-test", "sha256": "ab"}}
    assert [entry["slice"] for entry in report.entries] == [0, 1, 2]
    assert [entry["flagged"] for entry in report.entries] == [False, False, True]
    entry = report.entries[1]
    assert (
        entry["role"] == "lge" and entry["lv_center_px"] == list(CENTER) and entry["rv_insertion_px"] == list(ANTERIOR)
    )
    np.testing.assert_allclose(entry["lv_center_ras"], ras(CENTER, 1), atol=1e-3)
    np.testing.assert_allclose(entry["rv_insertion_ras"], ras(ANTERIOR, 1), atol=1e-3)
    assert report.entries[2]["lv_center_px"] is None and report.entries[2]["reason"] == NO_HEART
    json.dumps(report.entries)
    assert {entry["markups_file"] for entry in report.entries} == {f"{made.key}_landmarks.mrk.json"}


def test_slicer_loads_the_points_as_they_are_placed_in_the_panel(tmp_path):
    createApplication()
    slicer.mrmlScene.Clear(0)
    study = study_of(tmp_path, {"role": "lge", "slice": "stack"})
    report = STEP.run(StepTask(study, tmp_path))
    storage = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsJsonStorageNode")
    storage.SetFileName(str(tmp_path / report.entries[0]["markups_file"]))
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    assert storage.ReadData(node)
    assert node.GetNumberOfControlPoints() == 9 and node.GetFixedNumberOfControlPoints()
    assert node.GetNumberOfDefinedControlPoints() == 6, "no heart in slice 2"
    assert node.GetNthControlPointLabel(4) == "A 1"
    assert node.GetNthControlPointDescription(4) == "anterior RV insertion, slice 1"
    position = np.zeros(3)
    node.GetNthControlPointPositionWorld(4, position)
    np.testing.assert_allclose(position, ras(ANTERIOR, 1), atol=1e-6)


def test_single_slices_keep_their_names_and_cine_frames_their_place(tmp_path):
    study = study_of(tmp_path, {"role": "t1", "state": "stress", "slice": "mid"}, shape=(1, 20, 24))
    report = STEP.run(StepTask(study, tmp_path))
    (entry,) = report.entries
    assert (entry["slice"], entry["state"]) == ("mid", "stress") and "frame" not in entry

    folder = tmp_path / "cine"
    folder.mkdir()
    study = study_of(folder, {"role": "cine", "slice": "basal"}, shape=(2, 20, 24))
    report = STEP.run(StepTask(study, folder))
    assert [(entry["slice"], entry["frame"]) for entry in report.entries] == [("basal", 0), ("basal", 1)]
    for entry in report.entries:
        np.testing.assert_allclose(entry["lv_center_ras"], ras(CENTER, 0), atol=1e-3)


def test_t1_maps_of_the_same_run_are_taken(tmp_path):
    irw = {"role": "irw", "state": "rest", "slice": "mid", "scheme": "shmolli", "inversion_times_ms": TIMES_MS}
    study = study_of(tmp_path, irw)
    t1 = np.random.default_rng(0).uniform(900, 1500, (1, 20, 24)).astype(np.float32)
    earlier = {"t1": [StepResult("irw_rest_mid", study.series[0], "t1", t1, GEOMETRY, None)]}
    report = STEP.run(StepTask(study, tmp_path, earlier))
    assert report.made[0].images is t1
    (entry,) = report.entries
    assert (entry["role"], entry["state"], entry["slice"]) == ("t1", "rest", "mid")


def test_a_series_that_fails_leaves_the_others(tmp_path):
    study = study_of(tmp_path, {"role": "lge", "slice": "basal"}, {"role": "vne", "slice": "mid"}, shape=(1, 20, 24))
    (tmp_path / "0.nrrd").write_bytes(b"broken")
    report = STEP.run(StepTask(study, tmp_path))
    assert len(report.made) == len(report.errors) == 1 and report.errors[0].startswith("lge_")
    assert [entry["role"] for entry in report.entries] == ["vne"]


def test_nothing_to_look_at_and_missing_weights_are_told(tmp_path, monkeypatch):
    irw = {"role": "irw", "state": "rest", "slice": "mid", "scheme": "shmolli", "inversion_times_ms": TIMES_MS}
    study = study_of(tmp_path, irw)
    assert "No short-axis image was found" in STEP.obstacle(study, [])
    assert STEP.obstacle(study, ["t1"]) == ""

    def missing(device):
        raise MissingDependencyError("The weights are missing; install CMRMapping again.")

    monkeypatch.setattr(prediction, "load_landmark_model", missing)
    (tmp_path / "b").mkdir()
    with pytest.raises(MissingDependencyError):
        STEP.run(StepTask(study_of(tmp_path / "b", {"role": "lge", "slice": "stack"}), tmp_path))


def test_a_file_that_cannot_be_written_is_told_and_leaves_nothing(tmp_path):
    points = [MarkupPoint("LV 0", "LV centre, slice 0", (1.0, 2.0, 3.0))]
    (tmp_path / "x.mrk.json").mkdir()
    (tmp_path / "x.mrk.json" / "y.mrk.json").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        write_markups(tmp_path / "x.mrk.json" / "y.mrk.json", points)
    with pytest.raises(OutputError, match="cannot be written"):
        write_markups(tmp_path / "x.mrk.json", points)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["x.mrk.json", "y.mrk.json"]


def test_both_steps_of_a_study_with_its_scene(tmp_path):
    irw = {"role": "irw", "state": "rest", "slice": "mid", "scheme": "shmolli", "inversion_times_ms": TIMES_MS}
    (tmp_path / "in").mkdir()
    study_of(tmp_path / "in", irw, {"role": "lge", "slice": "stack"})
    createApplication()
    options = BatchOptions(steps=("t1", "landmarks"), save_scene=saveStudyScene)
    (outcome,) = run_batch([tmp_path / "in"], tmp_path / "out", options)
    assert outcome.ok and len(outcome.results["t1"]) == 1 and len(outcome.results["landmarks"]) == 4
    folder = tmp_path / "out" / "P001"
    assert all((folder / entry["markups_file"]).is_file() for entry in outcome.results["landmarks"])

    slicer.mrmlScene.ReadFromMRB(str(folder / "scene.mrb"), True)
    t1 = next(n for n in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if n.GetAttribute("CMR.Role") == "t1")
    node = landmarks.findLandmarks(t1)
    np.testing.assert_allclose(landmarks.slicePoints(node, t1), [[CENTER, ANTERIOR, INFERIOR]], atol=1e-3)
    assert node.GetAttribute("CMR.Model") == "landmarks-test" and node.GetAttribute("CMR.Source") == t1.GetID()
    assert aha.levelsOf(node) == {0: "mid"}, "by the name of the acquisition's slice"
    assert len(slicer.util.getNodesByClass("vtkMRMLMarkupsLineNode")) == 3
    slicer.mrmlScene.Clear(0)


def test_a_step_asked_for_later_is_done_later(tmp_path):
    irw = {"role": "irw", "state": "rest", "slice": "mid", "scheme": "shmolli", "inversion_times_ms": TIMES_MS}
    (tmp_path / "in").mkdir()
    study_of(tmp_path / "in", irw)
    (first,) = run_batch([tmp_path / "in"], tmp_path / "out", BatchOptions(steps=("t1",)))
    assert first.results["landmarks"] == []
    both = BatchOptions(steps=("t1", "landmarks"))
    (second,) = run_batch([tmp_path / "in"], tmp_path / "out", both)
    assert not second.skipped and len(second.results["landmarks"]) == 1
    (third,) = run_batch([tmp_path / "in"], tmp_path / "out", both)
    assert third.skipped
