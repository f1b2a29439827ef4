"""The batch's step ``ecv``: what it needs, its results, files, DICOM, report and nodes."""

import csv
import json
import runpy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import slicer
from dicom_tools import errors_of
from ecv_phantom import ECV, HEMATOCRIT, SIZE, SPACING_MM, rings

from CMRLandmarksLib import prediction
from CMRLandmarksLib.prediction import LandmarkPrediction
from CMRLib.batch.registry import in_order, load_step
from CMRLib.batch.run import BatchOptions, run_batch
from CMRLib.batch.step import images_of
from CMRLib.files.images import read_image, write_image
from CMRLib.scene.studies import saveStudyScene
from CMRLib.simulation.study import short_axis_geometry
from CMRLib.standalone import createApplication
from CMRLib.study.reading import read_study
from CMRT1MappingLib.ecv.calculation import EcvFlag
from CMRT1MappingLib.ecv.pairing import pair_slices, slices_of
from CMRT1MappingLib.ecv.step import STEP

SCRIPT = Path(__file__).resolve().parents[3] / "Resources" / "Scripts" / "cmr_batch.py"
GEOMETRY = short_axis_geometry(0, (SIZE, SIZE), SPACING_MM)
MIDDLE = (SIZE - 1) / 2.0
STEPS = ("segmentation", "landmarks", "ecv")


@pytest.fixture(autouse=True)
def models(monkeypatch):
    """A model that knows where the rings are; the segmentation is the one beside the study, and needs none."""
    unused = SimpleNamespace(device="cpu", entry=SimpleNamespace(id="unused", sha256="cd"))
    monkeypatch.setattr("CMRQCSegmentationLib.prediction.load_segmentation_model", lambda device: unused)
    loaded = SimpleNamespace(device="cpu", entry=SimpleNamespace(id="landmarks-test", sha256="ab"))
    sure = dict.fromkeys(("lv_center", "rv_insertion", "inferior_rv_insertion"), 0.9)
    points = ((MIDDLE, MIDDLE), (MIDDLE - 14.0, MIDDLE - 16.0), (MIDDLE + 17.0, MIDDLE - 12.0))
    answer = LandmarkPrediction(0, *points, sure, 0.9, False, "")
    monkeypatch.setattr(prediction, "load_landmark_model", lambda device: loaded)
    monkeypatch.setattr(prediction, "predict_landmarks", lambda image, geometry, **options: [answer] * len(image))


def write_study(folder, *, native=None, post=None, labels=True, slices=1, geometry=GEOMETRY, **stated):
    """A study of T1 maps of the rings, with their segmentations beside it as corrected ones."""
    heart = rings(noise=0.01, shift=(3.0, -4.0))
    folder.mkdir(parents=True, exist_ok=True)
    place = "stack" if slices > 1 else "mid"
    series = []
    for state, image in (
        ("rest", heart.native if native is None else native),
        ("post", heart.post if post is None else post),
    ):
        write_image(folder / f"{state}.nrrd", np.stack([image] * slices), geometry)
        series.append({"role": "t1", "state": state, "slice": place, "file": f"{state}.nrrd"})
    if labels:
        drawn = heart.wall + 2 * heart.pool.astype(np.uint8)
        for state in ("rest", "post"):
            write_image(
                folder / f"t1_{state}_{place}_labels.nrrd", np.stack([drawn] * slices).astype(np.uint8), geometry
            )
    text = json.dumps({"schema": "cmr-study/1", "id": "P001", "series": series, **stated})
    (folder / "study.json").write_text(text, encoding="utf-8")
    return folder


def run(folder, output, steps=STEPS, *, save_scene=None, dicom=False, report=False, **choices):
    options = BatchOptions(
        steps=steps, device="cpu", choices=choices, save_scene=save_scene, dicom=dicom, report=report
    )
    (outcome,) = run_batch([folder], output, options)
    return outcome.results


def test_the_ecv_of_a_study_is_measured(tmp_path):
    results = run(write_study(tmp_path / "in", hematocrit=HEMATOCRIT), tmp_path / "out")
    assert (results["status"], results["errors"]) == ("ok", [])
    (entry,) = results["ecv"]
    assert entry["mean_percent"] == pytest.approx(ECV, abs=0.5)
    assert entry["hematocrit"] == HEMATOCRIT and entry["hematocrit_source"] == "measured"
    assert sorted(entry["segments_percent"]) == ["10", "11", "12", "7", "8", "9"]
    assert all(abs(value - ECV) < 1.0 for value in entry["segments_percent"].values())
    assert entry["registration"] == "shifted" and not entry["flagged"]
    assert entry["moved_mm"] == pytest.approx(5.0 * SPACING_MM, abs=0.5)
    percent, geometry = read_image(tmp_path / "out" / "P001" / entry["ecv_file"])
    flags, _ = read_image(tmp_path / "out" / "P001" / entry["ecv_flags_file"])
    assert geometry.is_close(GEOMETRY) and percent.shape == (1, SIZE, SIZE)
    assert np.array_equal(percent == 0, flags != 0)
    assert entry["ecv_error_file"] is None  # a T1 map that was read has no standard error


def test_the_haematocrit_of_the_study_comes_before_that_of_the_command(tmp_path):
    folder = write_study(tmp_path / "in", hematocrit=0.35)
    results = run(folder, tmp_path / "out", hematocrit=0.45, synthetic_hematocrit=True)
    assert results["ecv"][0]["hematocrit"] == 0.35
    assert any("so the 0.45 of the command was not used" in warning for warning in results["warnings"])
    folder = write_study(tmp_path / "other")
    assert run(folder, tmp_path / "out2", hematocrit=0.45, synthetic_hematocrit=True)["ecv"][0]["hematocrit"] == 0.45


def test_a_synthetic_haematocrit_needs_the_field_strength(tmp_path):
    results = run(write_study(tmp_path / "in"), tmp_path / "out", synthetic_hematocrit=True)
    assert results["ecv"] == [] and results["status"] == "partial"
    assert any("field strength is not known" in error for error in results["errors"])


def test_a_missing_haematocrit_is_told(tmp_path):
    results = run(write_study(tmp_path / "in"), tmp_path / "out")
    assert results["status"] == "partial" and results["segmentation"]
    assert any("state it with --hematocrit or in the study.json" in error for error in results["errors"])


def test_the_steps_that_it_needs_are_done_as_well(tmp_path):
    results = run(write_study(tmp_path / "in"), tmp_path / "out", ("ecv",), hematocrit=HEMATOCRIT)
    assert results["status"] == "ok" and len(results["ecv"]) == 1 and results["segmentation"] and results["landmarks"]


def test_without_being_asked_for_it_is_left_out_with_a_note(tmp_path):
    results = run(write_study(tmp_path / "in"), tmp_path / "out", None)
    assert results["status"] == "ok" and results["ecv"] == []
    assert any("ECV needs the patient's haematocrit" in note for note in results["notes"])


def test_a_study_without_contrast_has_no_ecv(tmp_path):
    folder = write_study(tmp_path / "in", hematocrit=0.4)
    content = json.loads((folder / "study.json").read_text())
    content["series"][1]["state"] = "stress"
    (folder / "study.json").write_text(json.dumps(content))
    study = read_study(folder)
    assert "does not hold both" in STEP.obstacle(study, ["t1", "segmentation"])


def test_maps_that_do_not_fit_cost_a_sentence(tmp_path):
    heart = rings()
    folder = write_study(tmp_path / "in", native=heart.post, post=heart.native, hematocrit=0.4)
    results = run(folder, tmp_path / "out")
    assert any("check which map is which" in error for error in results["errors"])


def test_a_stack_has_an_entry_for_every_slice_and_one_file(tmp_path):
    results = run(write_study(tmp_path / "in", hematocrit=HEMATOCRIT, slices=2), tmp_path / "out")
    assert [entry["slice"] for entry in results["ecv"]] == [0, 1]
    assert len({entry["ecv_file"] for entry in results["ecv"]}) == 1
    assert read_image(tmp_path / "out" / "P001" / results["ecv"][0]["ecv_file"])[0].shape[0] == 2


def test_slices_are_paired_by_their_place(tmp_path):
    folder = write_study(tmp_path / "in", slices=3)
    one, other = (series for series in read_study(folder).series)
    native, post = images_of(one), images_of(other)
    post = replace(post, geometry=post.geometry.at_slice(1))  # its first slice lies where the native one's second does
    pairs = pair_slices(slices_of([native]), slices_of([post]))
    assert [(pair[0].index, pair[1].index) for pair in pairs] == [(1, 0), (2, 1)]


def test_results_of_a_version_without_it_are_still_read(tmp_path):
    folder = write_study(tmp_path / "in", labels=False)
    run(folder, tmp_path / "out", ("landmarks",))
    file = tmp_path / "out" / "P001" / "results.json"
    content = json.loads(file.read_text())
    del content["ecv"]
    file.write_text(json.dumps(content))
    options = BatchOptions(steps=("landmarks",), device="cpu")
    (outcome,) = run_batch([folder], tmp_path / "out", options)
    assert outcome.skipped


def test_the_scene_holds_the_map_with_its_colors_and_the_segments(tmp_path):
    createApplication()
    folder = write_study(tmp_path / "in", hematocrit=HEMATOCRIT)
    run(folder, tmp_path / "out", save_scene=saveStudyScene)
    slicer.mrmlScene.Clear(0)
    assert slicer.mrmlScene.ReadFromMRB(str(tmp_path / "out" / "P001" / "scene.mrb"))
    nodes = {node.GetAttribute("CMR.Role"): node for node in slicer.util.getNodesByClass("vtkMRMLNode")}
    ecv = nodes["ecv"]
    assert ecv.GetVoxelValueUnits().GetCodeValue() == "%"
    assert ecv.GetDisplayNode().GetColorNode().GetName() == "CMR ECV"
    assert ecv.GetAttribute("CMR.HematocritSource") == "measured"
    assert ecv.GetNodeReference("CMR.Source").GetName() == "t1_rest_mid"
    assert ecv.GetNodeReference("CMR.PostContrastMap").GetName() == "t1_post_mid"
    assert nodes["ecv_flags"].GetDisplayNode().GetColorNode().GetColorName(int(EcvFlag.NO_UPTAKE)).startswith("T1 not")
    parameters = slicer.mrmlScene.GetSingletonNode("CMRT1Mapping", "vtkMRMLScriptedModuleNode")
    assert parameters.GetNodeReference("ecvNativeMap").GetName() == "t1_rest_mid"
    assert parameters.GetNodeReference("ecvSegmentation") is not None
    table = nodes["ecv_segments"]
    assert table.GetNumberOfRows() == 6
    assert float(table.GetCellText(0, 1)) == pytest.approx(ECV, abs=1.0)
    slicer.mrmlScene.Clear(0)


def test_dicom_and_report_have_it(tmp_path):
    pytest.importorskip("highdicom")
    folder = write_study(tmp_path / "in", hematocrit=HEMATOCRIT)
    results = run(folder, tmp_path / "out", dicom=True, report=True)
    assert results["status"] == "ok", results["errors"]
    assert {entry["name"] for entry in results["dicom"]} >= {"ecv", "segmentation"}
    for entry in results["dicom"]:
        assert errors_of(tmp_path / "out" / "P001" / entry["file"]) == [], entry["file"]
    page = (tmp_path / "out" / "P001" / "report.html").read_text(encoding="utf-8")
    assert "Extracellular volume" in page and "0.420 (measured)" in page and "ECV by segment" in page


def test_the_command_takes_a_fraction(tmp_path, capsys):
    main = runpy.run_path(str(SCRIPT))["main"]
    folder, output = write_study(tmp_path / "in"), tmp_path / "out"
    command = ["--input", str(folder), "--output", str(output), "--steps", "segmentation,landmarks,ecv"]
    assert main([*command, "--device", "cpu", "--hematocrit", "0.42"]) == 0
    assert "ECV maps: 1" in capsys.readouterr().out
    (row,) = [row for row in csv.DictReader((output / "summary.csv").open()) if row["step"] == "ecv"]
    assert float(row["mean_percent"]) == pytest.approx(ECV, abs=0.5) and row["hematocrit_source"] == "measured"


def test_it_runs_after_what_it_needs():
    assert [step.name for step in in_order(["ecv", "landmarks", "segmentation", "t1"])][-1] == "ecv"
    assert load_step("ecv") is STEP
