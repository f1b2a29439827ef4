"""The batch's step ``stress``: entries, maps, segments, DICOM, report and scene; and studies that lack something."""

import csv
import json
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import slicer
from dicom_tools import errors_of
from stress_study import RESPONSE, SHIFT, SPACING_MM, found, place, slices, write_study

from CMRLib.anatomy.axis import LEVELS
from CMRLib.batch.plan import plan_study
from CMRLib.batch.step import StepTask, images_of
from CMRLib.export.report.items import ReportSource
from CMRLib.files.images import read_image, write_image
from CMRLib.scene.studies import saveStudyScene
from CMRLib.simulation import simulate_study
from CMRLib.simulation.dicom_writer import write_dicom_study
from CMRLib.standalone import createApplication
from CMRLib.study.reading import read_study
from CMRQCSegmentationLib.step import write_labels
from CMRStressReactivityLib import registration
from CMRStressReactivityLib.comparison import NO_CENTER, NO_MYOCARDIUM
from CMRStressReactivityLib.reactivity import THRESHOLDS_PERCENT
from CMRStressReactivityLib.registration import Registration
from CMRStressReactivityLib.scene.reactivitynodes import sliceEntries
from CMRStressReactivityLib.step import STEP

SHMOLLI_MS = [100.0, 1100.0, 2100.0, 3100.0, 4100.0, 180.0, 260.0]
SCRIPT = Path(__file__).resolve().parents[3] / "Resources" / "Scripts" / "cmr_batch.py"


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The step with the network that ships, on three pairs: the study, its report and the folder of results."""
    folder = tmp_path_factory.mktemp("stress")
    study, output = read_study(write_study(folder / "in")), folder / "out"
    output.mkdir()
    earlier = found(study)
    for made in earlier["segmentation"]:
        write_labels(made, output)
    return study, STEP.run(StepTask(study, output, earlier)), output


@pytest.fixture
def known_motion(monkeypatch):
    """Registrations that know the motion, for tests of what comes before and after it."""
    loaded = registration.load_registration_model(device="cpu")

    def register(rest, stress, spacing_mm, center=None, *, model):
        shift = np.array(SHIFT, np.float32) * SPACING_MM / np.array(spacing_mm, np.float32)
        return Registration(np.broadcast_to(shift[:, None, None], (2, *rest.shape)).copy(), loaded.entry, "cpu")

    monkeypatch.setattr(registration, "load_registration_model", lambda device: loaded)
    monkeypatch.setattr("CMRStressReactivityLib.comparison.register", register)


def run(study, folder, earlier=None):
    folder.mkdir(exist_ok=True)
    return STEP.run(StepTask(study, folder, found(study) if earlier is None else earlier))


def test_every_pair_has_its_change_and_says_how_well_it_lies(done):
    _study, report, _output = done
    assert report.errors == [] and report.warnings == []
    assert report.models["stress-registration"]["id"] == "stress" and report.device == "cpu"
    assert [(entry["state"], entry["slice"]) for entry in report.entries] == [("stress", level) for level in LEVELS]
    for entry in report.entries:
        assert entry["dt1_percent"] == pytest.approx(RESPONSE, abs=0.5)
        assert entry["subendocardial_percent"] == pytest.approx(RESPONSE, abs=0.5)
        assert entry["dice_before"] < 0.7 and entry["dice_after"] > 0.95
        assert entry["moved_mm"] == pytest.approx(np.hypot(*SHIFT) * SPACING_MM, abs=0.5)
        assert not entry["flagged"] and entry["reason"] == ""
        assert (entry["rest"], entry["stress"]) == (f"t1_rest_{entry['slice']}", f"t1_stress_{entry['slice']}")
    assert json.dumps(report.entries)


def test_the_maps_lie_on_the_rest_map_and_hold_what_they_say(done):
    _study, report, output = done
    for number, (entry, one) in enumerate(zip(report.entries, slices(), strict=True)):
        files = {
            name.removesuffix("_file"): output / entry[name] for name in entry if name.endswith("_file") and entry[name]
        }
        percent, geometry = read_image(files["dt1"])
        stress, _ = read_image(files["registered_stress_t1"])
        assert geometry.is_close(place(number))
        both = np.isfinite(percent[0])
        assert both.sum() > 10000 and np.all(stress[0][both] > 0)
        np.testing.assert_allclose(percent[0][both], 100 * (stress[0][both] / one.rest[both] - 1), atol=0.01)
        assert np.median(percent[0][one.rest_labels == 1]) == pytest.approx(RESPONSE, abs=0.3)
        vectors = sitk.GetArrayFromImage(sitk.ReadImage(str(files["stress_displacement"])))
        assert np.linalg.norm(vectors[0][one.rest_labels == 1], axis=-1).mean() == pytest.approx(
            np.hypot(*SHIFT) * SPACING_MM, abs=0.5
        )
        assert "dt1_error" not in files  # the maps have no standard errors


def test_the_displacement_file_is_what_itk_resamples_through(done):
    _study, report, output = done
    entry = report.entries[1]
    field = sitk.ReadImage(str(output / entry["stress_displacement_file"]), sitk.sitkVectorFloat64)
    stress = sitk.GetImageFromArray(slices()[1].stress[None])
    stress.CopyInformation(field)
    through = sitk.GetArrayFromImage(sitk.Resample(stress, field, sitk.DisplacementFieldTransform(sitk.Image(field))))
    ours, _ = read_image(output / entry["registered_stress_t1_file"])
    heart = slices()[1].rest_labels > 0
    np.testing.assert_allclose(through[0][heart], ours[0][heart], atol=1.0)


def test_the_table_of_segments_holds_all_sixteen(done):
    _study, _report, output = done
    with open(output / "stress_segments.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["segment"]) for row in rows] == list(range(1, 17))
    assert rows[0]["name"] == "Basal anterior" and rows[15]["name"] == "Apical lateral"
    assert all(abs(float(row["dt1_percent"]) - RESPONSE) < 1.0 for row in rows)
    assert sum(int(row["pixels"]) for row in rows) == sum(np.sum(one.rest_labels == 1) for one in slices())


def test_the_scene_holds_maps_the_displacement_and_what_the_panel_is_to_show(done, tmp_path):
    study, report, _output = done
    saveStudyScene({**found(study), "stress": report.made}, tmp_path / "scene.mrb")
    createApplication()
    slicer.mrmlScene.ReadFromMRB(str(tmp_path / "scene.mrb"))
    maps = {node.GetAttribute("CMR.Role") for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")}
    assert {"dt1", "dt1_myocardium", "registered_stress_t1", "rest_t1_grey"} <= maps and "dt1_error" not in maps
    assert len(slicer.util.getNodesByClass("vtkMRMLGridTransformNode")) == len(study.series) / 2
    shown = slicer.mrmlScene.GetSingletonNode("CMRStressReactivity", "vtkMRMLScriptedModuleNode")
    rest, stress = (shown.GetNodeReference(name) for name in ("restVolume", "stressVolume"))
    assert (rest.GetName(), stress.GetName()) == ("t1_rest_basal", "t1_stress_basal")
    assert shown.GetNodeReference("segmentationNode").GetNodeReference("CMR.Source") is rest
    (entry,) = sliceEntries(rest)
    assert entry["stress"] == "t1_stress_basal" and entry["dice_after"] > 0.95
    tables = slicer.util.getNodesByClass("vtkMRMLTableNode")
    (table,) = [one for one in tables if one.GetNodeReference("CMR.Source") is shown.GetNodeReference("mapVolume")]
    names = [table.GetColumnName(index) for index in range(table.GetNumberOfColumns())]
    assert "Subendocardial [%]" in names and table.GetNumberOfRows() == 16
    slicer.mrmlScene.Clear(False)


def test_the_report_shows_every_pair_and_the_bulls_eye(done):
    study, report, output = done
    section = STEP.show(report.entries, ReportSource(output, study))
    assert [group.title for group in section.groups] == ["dT1 basal", "dT1 mid", "dT1 apical", "dT1 by segment"]
    overlay, board = section.groups[1].pictures
    assert "3, 6, 9 %" in section.text and overlay.scale.title == "dT1 [%]"
    is_colored = (overlay.pixels.max(axis=-1) != overlay.pixels.min(axis=-1)).sum()
    assert is_colored == np.sum(slices()[1].rest_labels == 1)
    assert np.all(board.pixels[..., 0] == board.pixels[..., 1])
    (bullseye,) = section.groups[3].pictures
    values = [sector.value for sector in bullseye.bullseye.sectors]
    assert values == pytest.approx([RESPONSE] * 16, abs=1.0)
    assert bullseye.bullseye.scale.ticks() == THRESHOLDS_PERCENT


def test_a_missing_partner_is_told_and_the_others_are_compared(tmp_path, known_motion):
    study = read_study(write_study(tmp_path / "in", stress_levels=("mid",)))
    report = run(study, tmp_path / "out")
    assert report.errors == [] and [entry["slice"] for entry in report.entries] == ["mid"]
    assert sorted(report.warnings) == [
        "Rest slice t1_rest_apical has no stress partner: the nearest free one is 16 mm away.",
        "Rest slice t1_rest_basal has no stress partner: the nearest free one is 16 mm away.",
    ]


@pytest.mark.parametrize(("state", "other"), [("rest", "stress"), ("stress", "rest")])
def test_a_study_of_one_state_cannot_be_done_and_says_which_is_missing(tmp_path, state, other):
    folder = write_study(tmp_path / "in")
    content = json.loads((folder / "study.json").read_text())
    content["series"] = [entry for entry in content["series"] if entry["state"] == state]
    (folder / "study.json").write_text(json.dumps(content))
    obstacle = STEP.obstacle(read_study(folder), ("segmentation", "landmarks"))
    assert obstacle.startswith(f"There is no {other} T1 map, and dT1 needs both states; ")


def test_a_study_without_t1_says_so(tmp_path):
    write_image(tmp_path / "lge.nrrd", slices()[0].rest[None], place(0))
    entry = {"role": "lge", "kind": "psir", "slice": "mid", "file": "lge.nrrd"}
    content = {"schema": "cmr-study/1", "id": "P001", "series": [entry]}
    (tmp_path / "study.json").write_text(json.dumps(content))
    assert STEP.obstacle(read_study(tmp_path), ()).startswith("No T1 map of rest and of stress was found; ")


def test_images_of_both_states_need_motion_correction_and_t1_first(tmp_path):
    folder = write_study(tmp_path / "in")
    content = json.loads((folder / "study.json").read_text())
    for entry in content["series"]:
        entry |= {"role": "irw", "scheme": "shmolli", "inversion_times_ms": SHMOLLI_MS}
        image, _ = read_image(folder / entry["file"])
        write_image(folder / entry["file"], np.repeat(image, 7, axis=0), place(0))
    (folder / "study.json").write_text(json.dumps(content))
    study = read_study(folder)
    assert STEP.needs(study) == ("t1", "segmentation", "landmarks")
    plan = plan_study(study, ("stress",), {}, None)
    assert [planned.step.name for planned in plan.steps] == ["t1", "segmentation", "landmarks", "stress"]
    assert plan.missed == ()
    everything = plan_study(study, None, {}, None)
    assert [planned.step.name for planned in everything.steps] == ["t1", "segmentation", "landmarks", "stress"]


def test_maps_alone_need_no_images(tmp_path):
    plan = plan_study(read_study(write_study(tmp_path / "in")), ("stress",), {}, None)
    assert [planned.step.name for planned in plan.steps] == ["segmentation", "landmarks", "stress"]
    assert plan.missed == ()


def test_t1_in_seconds_is_the_same_change(tmp_path, known_motion):
    study = read_study(write_study(tmp_path / "in", ("mid",), factor=0.001))
    (entry,) = run(study, tmp_path / "out").entries
    assert entry["dt1_percent"] == pytest.approx(RESPONSE, abs=0.2)


def test_a_grey_picture_of_a_map_is_refused_and_the_others_are_compared(tmp_path, known_motion):
    folder = write_study(tmp_path / "in")
    write_image(folder / "stress_mid.nrrd", np.rint(slices()[1].stress / 20)[None], place(1))
    study = read_study(folder)
    report = run(study, tmp_path / "out")
    (error,) = report.errors
    assert error.startswith("t1_stress_mid: The t1_stress_mid holds grey levels up to")
    assert [entry["slice"] for entry in report.entries] == ["basal", "apical"]


def test_another_matrix_and_spacing_give_the_same_change(tmp_path, known_motion):
    folder = write_study(tmp_path / "in", ("mid",))
    image = sitk.ReadImage(str(folder / "stress_mid.nrrd"))
    finer = sitk.Resample(
        image,
        (300, 290, 1),
        sitk.Transform(),
        sitk.sitkLinear,
        image.GetOrigin(),
        (0.75, 0.75, 8.0),
        image.GetDirection(),
    )
    sitk.WriteImage(finer, str(folder / "stress_mid.nrrd"))
    earlier = found(read_study(write_study(tmp_path / "same", ("mid",))))
    study = read_study(folder)
    rest = [[made for made in earlier[name] if made.series.state == "rest"] for name in ("segmentation", "landmarks")]
    report = run(study, tmp_path / "out", dict(zip(("segmentation", "landmarks"), rest, strict=True)))
    assert report.errors == []
    (entry,) = report.entries
    assert entry["dt1_percent"] == pytest.approx(RESPONSE, abs=0.4)
    assert entry["dice_after"] is None  # the stress map has no contour


def test_stacks_in_opposite_order_are_matched_by_their_place(tmp_path, known_motion):
    folder = tmp_path / "in"
    folder.mkdir()
    entries = []
    geometry = place(0)
    for state in ("rest", "stress"):
        images = np.stack([getattr(one, state) for one in slices()])
        stack = sitk.GetImageFromArray(images)
        stack.SetSpacing((*geometry.spacing[:2], 16.0))
        stack.SetOrigin(geometry.origin)
        direction = geometry.matrix.copy()
        direction[:, 2] = np.subtract(place(1).origin, geometry.origin) / 16.0
        stack.SetDirection(direction.ravel().tolist())
        if state == "stress":
            stack = sitk.Flip(stack, (False, False, True))
        sitk.WriteImage(stack, str(folder / f"{state}.nrrd"))
        entries.append({"role": "t1", "state": state, "slice": "stack", "file": f"{state}.nrrd"})
    content = {"schema": "cmr-study/1", "id": "P001", "series": entries}
    (folder / "study.json").write_text(json.dumps(content), encoding="utf-8")
    study = read_study(folder)
    report = run(study, tmp_path / "out", {})
    assert report.errors == [] and report.warnings == []
    pairs = [(entry["rest_index"], entry["stress_index"]) for entry in report.entries]
    assert pairs == [(0, 2), (1, 1), (2, 0)] or pairs == [(0, 0), (1, 1), (2, 2)]
    percent, _ = read_image(tmp_path / "out" / report.entries[0]["dt1_file"])
    rest = study.series[0].load().images
    assert percent.shape == rest.shape
    for plane, t1 in zip(percent, rest, strict=True):
        one = min(slices(), key=lambda one: float(np.abs(one.rest - t1).sum()))
        assert np.nanmedian(plane[one.rest_labels == 1]) == pytest.approx(RESPONSE, abs=0.3)


def test_without_a_segmentation_there_is_a_map_and_the_reason_why_nothing_is_measured(tmp_path, known_motion):
    study = read_study(write_study(tmp_path / "in", ("mid",)))
    report = run(study, tmp_path / "out", {})
    (entry,) = report.entries
    assert entry["dt1_percent"] is None and entry["segments_file"] is None and entry["flagged"]
    assert entry["reason"] == f"{NO_CENTER} {NO_MYOCARDIUM}"
    section = STEP.show(report.entries, ReportSource(tmp_path / "out", study))
    assert section.groups[0].title == "dT1 mid – flagged" and section.groups[0].text == entry["reason"]


def test_another_field_strength_is_refused(tmp_path, known_motion):
    study = read_study(write_study(tmp_path / "in", ("mid",)))
    fields = {"rest": 1.5, "stress": 3.0}
    told = replace(study, series=tuple(replace(s, field_strength_t=fields[s.state]) for s in study.series))
    report = run(told, tmp_path / "out")
    assert report.entries == []
    assert report.errors == [
        "The rest T1 was measured at 1.5 T and the stress T1 at 3 T, which cannot be compared; "
        "check which series belong together."
    ]


def test_maps_of_this_run_are_preferred_and_bring_their_standard_error(tmp_path, known_motion):
    study = read_study(write_study(tmp_path / "in", ("mid",)))
    output = tmp_path / "out"
    output.mkdir()
    made, images = [], {}
    for series in study.series:
        key = series.key.replace("t1", "irw")
        images[key] = replace(images_of(series), key=key, role="t1")
        error = np.where(images[key].images > 0, 20.0, 0.0)
        write_image(output / f"{key}_t1_error.nrrd", error, series.geometry)
        made.append(images[key])
    earlier = {
        "t1": made,
        **{k: [replace(m, key=m.key.replace("t1", "irw")) for m in v] for k, v in found(study).items()},
    }
    report = STEP.run(StepTask(study, output, earlier))
    (entry,) = report.entries
    assert (entry["rest"], entry["stress"]) == ("irw_rest_mid", "irw_stress_mid")
    one = slices()[1]
    wall = one.rest_labels == 1
    expected = (
        np.sqrt(np.sum((100 * 1.06 * 20 * np.hypot(1 / one.rest[wall], 1 / (1.06 * one.rest[wall]))) ** 2)) / wall.sum()
    )
    assert entry["dt1_error"] == pytest.approx(expected, rel=0.05)
    assert entry["dt1_significant"] is True
    error, _ = read_image(output / entry["dt1_error_file"])
    assert np.nanmedian(error[0][wall]) == pytest.approx(100 * 20 / 1200 * 1.45, rel=0.3)


@pytest.mark.slow
def test_the_command_goes_from_maps_to_dicom_and_report(tmp_path, capsys):
    folder = write_study(tmp_path / "in")
    main = runpy.run_path(str(SCRIPT))["main"]
    arguments = ["--input", str(folder), "--output", str(tmp_path / "out"), "--steps", "stress"]
    assert main([*arguments, "--dicom", "--report", "--scene"]) == 0
    assert "slices of rest and stress: 3" in capsys.readouterr().out
    results = json.loads((tmp_path / "out" / "P001" / "results.json").read_text())
    assert len(results["stress"]) == 3 and results["errors"] == []
    assert all(abs(entry["dt1_percent"] - RESPONSE) < 1.0 for entry in results["stress"])
    names = {(entry["kind"], entry["name"]) for entry in results["dicom"]}
    assert {("parametric map", "dt1"), ("image", "dt1"), ("report", "report")} <= names
    of_change = [entry["file"] for entry in results["dicom"] if entry["name"] in ("dt1", "report")]
    assert {file: errors_of(tmp_path / "out" / "P001" / file) for file in of_change} == dict.fromkeys(of_change, [])
    page = (tmp_path / "out" / "P001" / "report.html").read_text(encoding="utf-8")
    assert "Stress T1 reactivity" in page and "dT1 by segment" in page
    with open(tmp_path / "out" / "summary.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["step"] == "stress"]
    assert [row["slice"] for row in rows] == list(LEVELS) and all(row["dice_after"] for row in rows)
    assert main(arguments) == 0
    assert "P001: complete already" in capsys.readouterr().out


@pytest.mark.slow
def test_images_of_both_states_go_through_motion_correction_and_t1(tmp_path):
    """From DICOM images of rest and stress to dT1 with a standard error, near the change that was simulated."""
    study = simulate_study(seed=3, slices=("mid",), states=("rest", "stress"), snr=60.0)
    write_dicom_study(study, tmp_path / "in")
    main = runpy.run_path(str(SCRIPT))["main"]
    assert main(["--input", str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--steps", "stress"]) == 0
    (folder,) = [path for path in (tmp_path / "out").iterdir() if path.is_dir()]
    results = json.loads((folder / "results.json").read_text())
    assert [entry["state"] for entry in results["t1"]] == ["rest", "stress"]
    assert {"motion", "segmentation", "landmarks", "stress-registration"} == set(results["models"])
    (entry,) = results["stress"]
    assert (entry["rest"], entry["stress"]) == ("irw_rest_mid", "irw_stress_mid")
    truth = {one.state: one.truth for one in study.acquisitions}
    walls = {state: one.t1[one.myocardium > 0.99].mean() for state, one in truth.items()}
    expected = 100 * (walls["stress"] / walls["rest"] - 1)
    assert 0.0 < entry["dt1_error"] < 2.0
    assert entry["dt1_percent"] == pytest.approx(expected, abs=3.0)
