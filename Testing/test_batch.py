"""The command ``cmr-batch``: its files, its exit status, and what it leaves when things go wrong."""

import csv
import json
import os
import runpy
import signal
import subprocess
import sys
import time
import types
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813 (the name its users know)
from batch_processes import workers_at_once
from batch_studies import GEOMETRY, true_t1, write_study

from CMRLandmarksLib.step import LandmarksStep
from CMRLib.batch.step import StepReport
from CMRLib.errors import MissingDependencyError
from CMRLib.files.images import read_image
from CMRLib.simulation import simulate_study
from CMRLib.simulation.dicom_writer import write_dicom_study

SCRIPT = Path(__file__).resolve().parents[1] / "Resources" / "Scripts" / "cmr_batch.py"
T1 = ("--steps", "t1")  # where no other step matters, as each loads networks
ENTRY_KEYS = {"state", "slice", "t1_file", "r2_file", "samples_file", "corrected_irw_file", "motion_px", "r2_before"}
ENTRY_KEYS |= {
    "r2_after",
    "r2_smoothed",
    "fit",
    "molli",
    "seconds",
    "scheme",
    "motion_correction",
    "corrected_phase_file",
    "displacement_file",
}
STEPS = {"t1", "stress", "segmentation", "landmarks", "ecv"}
RESULT_KEYS = STEPS | {"schema", "id", "status", "software", "models", "device"}
RESULT_KEYS |= {"warnings", "errors", "notes", "made_from"}


__all__ = ["workers_at_once"]


@pytest.fixture(scope="module")
def cmr_batch():
    return runpy.run_path(str(SCRIPT))["main"]


def results_of(folder):
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


def summary_of(output):
    with open(output / "summary.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_one_study_gives_the_files_of_the_contract(cmr_batch, tmp_path):
    write_study(tmp_path / "in", "P001", ("basal", "mid"))
    assert cmr_batch(["--input", str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--device", "cpu"]) == 0

    results = results_of(tmp_path / "out" / "P001")
    assert set(results) == RESULT_KEYS
    assert (results["schema"], results["id"], results["status"]) == ("cmr-results/1", "P001", "ok")
    assert results["device"] == "cpu" and results["software"]["CMRMapping"] and results["errors"] == []
    assert [entry["slice"] for entry in results["t1"]] == ["basal", "mid"]
    for entry in results["t1"]:
        assert set(entry) == ENTRY_KEYS | {"residual_file", "t1_error_file", "flags_file"}
        assert entry["corrected_irw_file"] is None and entry["motion_correction"] in ("not needed", "no better")
        assert entry["r2_before"] > 0.999 and entry["seconds"] > 0
        for key in ("t1", "r2", "samples", "residual", "t1_error", "flags"):
            file = tmp_path / "out" / "P001" / entry[f"{key}_file"]
            assert file.suffix == ".nrrd"
            image, geometry = read_image(file)
            assert geometry.is_close(GEOMETRY) and image.shape == (1, 20, 24), key
        header = sitk.ReadImage(str(tmp_path / "out" / "P001" / entry["r2_file"]))
        assert (header.GetMetaData("CMR.Role"), header.GetMetaData("CMR.Device")) == ("r2", "cpu")
        assert header.GetMetaData("CMR.InversionTimes") == "100 1100 2100 3100 4100 180 260"
        t1, _ = read_image(tmp_path / "out" / "P001" / entry["t1_file"])
        assert np.abs(t1[0] - true_t1()).max() < 1.0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["P001", "summary.csv"]


def test_again_only_what_is_missing(cmr_batch, tmp_path, capsys):
    first = write_study(tmp_path / "one", "P001")
    second = write_study(tmp_path / "two", "P002")
    output = tmp_path / "out"
    assert cmr_batch(["--input", str(first), "--output", str(output), "--steps", "t1"]) == 0
    before = (output / "P001" / "results.json").stat().st_mtime_ns
    both = ["--input", str(first), str(second), "--output", str(output), "--steps", "t1"]
    assert cmr_batch(both) == 0
    assert "Studies: 1 done, 1 complete already, 0 failed" in capsys.readouterr().out
    assert (output / "P001" / "results.json").stat().st_mtime_ns == before
    assert [row["id"] for row in summary_of(output)] == ["P001", "P002"]
    assert cmr_batch([*both, "--overwrite"]) == 0
    assert (output / "P001" / "results.json").stat().st_mtime_ns > before
    assert sorted(p.name for p in output.iterdir()) == ["P001", "P002", "summary.csv"]


def test_summary_has_a_row_per_result_and_per_error(cmr_batch, tmp_path):
    good = write_study(tmp_path / "good", "P001", ("basal", "mid"))
    half = write_study(tmp_path / "half", "P002", ("basal", "mid"))
    damage(half / "mid.nrrd")
    assert cmr_batch(["--input", str(half), str(good), "--output", str(tmp_path / "out"), "--steps", "t1"]) == 1
    rows = summary_of(tmp_path / "out")
    assert [(row["id"], row["status"], row["slice"]) for row in rows] == [
        ("P002", "partial", "basal"),
        ("P002", "partial", ""),
        ("P001", "ok", "basal"),
        ("P001", "ok", "mid"),
    ]
    assert "irw_rest_mid" in rows[1]["message"]
    assert (tmp_path / "out" / "P001" / rows[2]["t1_file"]).is_file()


def damage(image):
    """Cut off the second half of the pixels."""
    content = image.read_bytes()
    image.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize("workers", ["1", "2"])
def test_failed_studies_do_not_stop_the_others(cmr_batch, workers_at_once, tmp_path, capfd, workers):
    damaged = write_study(tmp_path / "damaged", "P001")
    damage(damaged / "mid.nrrd")
    (tmp_path / "SMITH^JOHN").mkdir()
    untold = write_study(tmp_path / "untold", "P003", inversion_times_ms=None)
    good = write_study(tmp_path / "good", "P004")
    folders = [str(damaged), str(tmp_path / "SMITH^JOHN"), str(untold), str(good)]
    output = tmp_path / "out"
    assert cmr_batch(["--input", *folders, "--output", str(output), "--workers", workers, *T1]) == 1
    assert results_of(output / "P004")["status"] == "ok"
    failed = results_of(output / "P001")
    assert failed["status"] == "failed" and len(failed["errors"]) == 1 and failed["t1"] == []
    assert sorted(p.name for p in (output / "P001").iterdir()) == ["results.json"]
    messages = {row["id"]: row["message"] for row in summary_of(output)}
    empty = next(name for name in messages if name.startswith("unreadable-"))
    assert messages[empty].startswith("Input 2: the folder holds no DICOM file")
    printed = capfd.readouterr()
    assert "SMITH" not in printed.out + printed.err + (output / "summary.csv").read_text(encoding="utf-8")
    assert "P003: " in printed.err and "Traceback" not in printed.err

    write_study(tmp_path / "SMITH^JOHN" / "mended", "P002").rename(tmp_path / "mended")
    (tmp_path / "SMITH^JOHN").rmdir()
    (tmp_path / "mended").rename(tmp_path / "SMITH^JOHN")
    assert cmr_batch(["--input", *folders, "--output", str(output), *T1]) == 1
    assert sorted(p.name for p in output.iterdir()) == ["P001", "P002", "P003", "P004", "summary.csv"]


def test_study_without_inversion_recovery_images_fails_with_the_reason(cmr_batch, tmp_path, capsys):
    folder = write_study(tmp_path / "in", "P001")
    content = json.loads((folder / "study.json").read_text())
    content["series"] = [{"role": "lge", "kind": "psir", "slice": "stack", "file": "mid.nrrd"}]
    (folder / "study.json").write_text(json.dumps(content))
    assert cmr_batch(["--input", str(folder), "--output", str(tmp_path / "out"), "--steps", "t1"]) == 1
    assert "No inversion-recovery series was found" in capsys.readouterr().err


def test_study_with_a_missing_image_fails_under_the_id_it_states(cmr_batch, tmp_path):
    folder = write_study(tmp_path / "in", "P001")
    image = (folder / "mid.nrrd").rename(tmp_path / "mid.nrrd")
    command = ["--input", str(folder), "--output", str(tmp_path / "out"), *T1]
    assert cmr_batch(command) == 1
    assert results_of(tmp_path / "out" / "P001")["status"] == "failed"
    image.rename(folder / "mid.nrrd")
    assert cmr_batch(command) == 0
    assert results_of(tmp_path / "out" / "P001")["status"] == "ok"


def test_good_results_are_kept_when_processing_again_fails(cmr_batch, tmp_path):
    folder = write_study(tmp_path / "in", "P001")
    command = ["--input", str(folder), "--output", str(tmp_path / "out"), *T1]
    assert cmr_batch(command) == 0
    damage(folder / "mid.nrrd")
    assert cmr_batch([*command, "--overwrite"]) == 1
    assert results_of(tmp_path / "out" / "P001")["status"] == "ok"
    assert summary_of(tmp_path / "out")[0]["status"] == "failed"


def test_results_of_an_earlier_step_are_kept_by_a_later_one(cmr_batch, tmp_path, monkeypatch):
    monkeypatch.setattr(LandmarksStep, "run", lambda self, task: StepReport([{"slice": "mid", "lv_center_px": [1, 2]}]))
    folder = write_study(tmp_path / "in", "P001")
    command = ["--input", str(folder), "--output", str(tmp_path / "out")]
    assert cmr_batch([*command, "--steps", "t1"]) == 0
    assert cmr_batch([*command, "--steps", "landmarks"]) == 0
    results = results_of(tmp_path / "out" / "P001")
    assert len(results["landmarks"]) == 1
    assert (tmp_path / "out" / "P001" / results["t1"][0]["t1_file"]).is_file()


def test_foreign_folder_in_the_place_of_results_is_not_touched(cmr_batch, tmp_path, capsys):
    folder = write_study(tmp_path / "P001", "P001")
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    assert cmr_batch(["--input", str(folder), "--output", str(tmp_path), *T1]) == 1
    assert "choose another output folder" in capsys.readouterr().err
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_results_replaced_by_a_killed_run_come_back(cmr_batch, tmp_path):
    folder = write_study(tmp_path / "in", "P001")
    command = ["--input", str(folder), "--output", str(tmp_path / "out"), *T1]
    assert cmr_batch(command) == 0
    (tmp_path / "out" / "P001").rename(tmp_path / "out" / ".replaced-P001")
    damage(folder / "mid.nrrd")
    assert cmr_batch(command) == 1
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["P001", "summary.csv"]
    assert results_of(tmp_path / "out" / "P001")["status"] == "ok"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--steps", "t2"], 'there is no step "t2"'),
        (["--hematocrit", "45"], "stated as a fraction, not in percent: 0.45 instead of 45"),
        (["--hematocrit", "1.2"], "1.2 is no haematocrit of a patient"),
        (["--workers", "0"], "--workers must be at least 1"),
        (["--device", "tpu"], 'There is no device called "tpu"'),
        (["--device", "cuda:99"], "is not available"),
        (["--nonsense"], "unrecognized arguments"),
    ],
)
def test_usage_errors(cmr_batch, tmp_path, capsys, arguments, sentence):
    folder = write_study(tmp_path / "in", "P001")
    assert cmr_batch(["--input", str(folder), "--output", str(tmp_path / "out"), *arguments]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_input_that_is_no_folder(cmr_batch, tmp_path, capsys):
    assert cmr_batch(["--input", str(tmp_path / "none"), "--output", str(tmp_path / "out")]) == 2
    assert "Input 1 is not a folder" in capsys.readouterr().err


def test_two_inputs_with_the_same_id(cmr_batch, tmp_path, capsys):
    folders = [str(write_study(tmp_path / "one", "P001")), str(write_study(tmp_path / "two", "p001"))]
    assert cmr_batch(["--input", *folders, "--output", str(tmp_path / "out"), *T1]) == 2
    assert "Inputs 1 and 2 are both the study p001" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


def test_input_given_twice_is_processed_once(cmr_batch, tmp_path, capsys):
    folder = str(write_study(tmp_path / "one", "P001"))
    assert cmr_batch(["--input", folder, folder + "/", "--output", str(tmp_path / "out"), *T1]) == 0
    assert "Studies: 1 done, 0 complete already" in capsys.readouterr().out


def test_output_that_cannot_be_written(cmr_batch, tmp_path, capsys):
    folder = write_study(tmp_path / "in", "P001")
    (tmp_path / "file").touch()
    assert cmr_batch(["--input", str(folder), "--output", str(tmp_path / "file" / "out")]) == 2
    assert "choose another output folder" in capsys.readouterr().err


def test_torch_missing(cmr_batch, tmp_path, capsys, monkeypatch):
    folder = write_study(tmp_path / "in", "P001")
    monkeypatch.setitem(sys.modules, "torch", None)
    assert cmr_batch(["--input", str(folder), "--output", str(tmp_path / "out")]) == 3
    assert "PyTorch cannot be loaded" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("error", [MissingDependencyError("PyTorch cannot be loaded."), ValueError("half loaded")])
def test_cancelled_while_a_library_hides_it(cmr_batch, tmp_path, capsys, monkeypatch, error, number):
    def hides(*args, **kwargs):
        try:
            os.kill(os.getpid(), number)
            time.sleep(5)
        except KeyboardInterrupt:
            raise error from None

    monkeypatch.setattr("CMRT1MappingLib.step.map_t1", hides)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        folders = [str(write_study(tmp_path / name, name)) for name in ("P001", "P002")]
        assert cmr_batch(["--input", *folders, "--output", str(tmp_path / "out"), *T1]) == 130
    finally:
        assert signal.signal(signal.SIGINT, before) is signal.default_int_handler
    assert capsys.readouterr().err.startswith("Cancelled; complete studies were kept.")
    assert not (tmp_path / "out" / "P002").exists()


def test_unexpected_error_is_told_without_quoting_files(cmr_batch, tmp_path, capsys, monkeypatch):
    def broken(*args, **kwargs):
        raise KeyError("SMITH^JOHN")

    folders = [str(write_study(tmp_path / name, name)) for name in ("P001", "P002")]
    monkeypatch.setattr("CMRT1MappingLib.step.map_t1", broken)
    assert cmr_batch(["--input", *folders, "--output", str(tmp_path / "out"), *T1]) == 1
    printed = capsys.readouterr().err
    assert printed.count("Unexpected KeyError at test_batch.py:") == 2 and "SMITH" not in printed
    assert results_of(tmp_path / "out" / "P002")["status"] == "failed"


def test_scene_is_saved_and_can_be_loaded(cmr_batch, tmp_path):
    pytest.importorskip("trame_slicer", reason="needs slicer-core and trame-slicer")
    folder = write_study(tmp_path / "in", "P001", ("basal", "mid"))
    command = ["--input", str(folder), "--output", str(tmp_path / "out"), *T1]
    assert cmr_batch(command) == 0
    assert cmr_batch([*command, "--scene"]) == 0  # complete results without a scene are not complete for this

    import slicer

    slicer.mrmlScene.Clear(0)
    assert slicer.mrmlScene.ReadFromMRB(str(tmp_path / "out" / "P001" / "scene.mrb"))
    maps = [n for n in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if n.GetAttribute("CMR.Role") == "t1"]
    assert len(maps) == 2
    for node in maps:
        assert np.abs(slicer.util.arrayFromVolume(node)[0] - true_t1()).max() < 1.0
        assert node.GetNodeReference("CMR.Source").GetAttribute("CMR.Slice") in ("basal", "mid")
    slicer.mrmlScene.Clear(0)


@pytest.mark.parametrize(("missing", "status", "maps"), [("_M", "partial", 1), ("_P", "ok", 2)])
def test_acquisition_without_one_of_its_images(cmr_batch, tmp_path, capsys, missing, status, maps):
    """Without a magnitude image a slice is lost, which is an error; without its phase it can still be fitted."""
    files = write_dicom_study(simulate_study(seed=1, slices=("basal", "mid"), shape=(48, 64)), tmp_path / "in")
    next(file for file in files if file.parent.name.endswith(missing)).unlink()
    command = ["--input", str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--no-motion-correction", *T1]
    assert cmr_batch(command) == (0 if status == "ok" else 1)
    (study,) = (tmp_path / "out").glob("study-*")
    results = results_of(study)
    assert (results["status"], len(results["t1"])) == (status, maps)
    told = results["warnings"] if status == "ok" else results["errors"]
    assert "it has 6 images where ShMOLLI has 7" in told[0] and len(told) == 1
    assert told[0] in capsys.readouterr().err


@pytest.fixture(scope="module")
def secret_studies(tmp_path_factory):
    """Folders whose names and headers tell who the patient is; the headers break the rules, and a file is damaged."""
    folder = tmp_path_factory.mktemp("secrets")
    for number in (1, 2):
        simulated = simulate_study(seed=number, slices=("mid",), shape=(48, 64))
        files = write_dicom_study(simulated, folder / f"SECRET^NAME {number}")
        for file in files:
            header = pydicom.dcmread(file)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                header.PatientName, header.PatientID = "SECRET^NAME\\\\=^=^=", "SECRET ID" + 80 * "X"
                header.PatientBirthDate, header.PatientAge = "SECRET", "SECRET"
                header.save_as(file)
    files[0].write_bytes(files[0].read_bytes()[:-2000])
    return [str(path) for path in folder.glob("SECRET*")]


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_nothing_written_or_printed_tells_who_the_patient_is(secret_studies, tmp_path, workers):
    """Headers that break the rules make pydicom quote them in its warnings, and damaged files end in error messages."""
    command = [
        sys.executable,
        str(SCRIPT),
        "--input",
        *secret_studies,
        "--output",
        str(tmp_path / "out"),
        "--workers",
        workers,
    ]
    done = subprocess.run([*command, "--device", "cpu"], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode in (0, 1) and b"study-" in done.stdout
    assert b"SECRET" not in done.stdout + done.stderr
    for file in (tmp_path / "out").rglob("*"):
        assert "SECRET" not in file.name
        assert file.is_dir() or b"SECRET" not in file.read_bytes(), file.name


class FakeSlicer(types.ModuleType):
    """As much of Slicer as the end of the script meets: an application, and its exit."""

    def __init__(self):
        super().__init__("slicer")
        self.app = object()
        self.statuses = []
        self.util = types.SimpleNamespace(exit=self.statuses.append)


@pytest.mark.parametrize(
    ("arguments", "status"),
    [([], 0), (["--steps", "t2"], 2), (["--workers", "2"], 2), (["--help"], 0)],
)
def test_inside_slicer_every_path_ends_the_application(tmp_path, monkeypatch, arguments, status):
    folder = write_study(tmp_path / "in", "P001")
    slicer = FakeSlicer()
    monkeypatch.setitem(sys.modules, "slicer", slicer)
    given = ["--", "--input", str(folder), "--output", str(tmp_path / "out"), *T1, *arguments]
    monkeypatch.setattr(sys, "argv", ["Slicer", *given])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    assert slicer.statuses == [status]
