"""Motion correction in ``cmr-batch``: files and entries, switching it off, weights that are missing or damaged."""

import csv
import json
import runpy
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 (the name its users know)
from batch_studies import GEOMETRY, INVERSION_TIMES_MS, inversion_recovery, true_t1, write_study

from CMRLandmarksLib.step import LandmarksStep
from CMRLib.batch.step import StepReport
from CMRLib.files.images import read_image, write_image
from CMRLib.networks import models
from CMRLib.resources import resource_path
from CMRT1MappingLib.motion import correction as motion_correction
from CMRT1MappingLib.motion.estimation import MotionEstimate

SCRIPT = Path(__file__).resolve().parents[1] / "Resources" / "Scripts" / "cmr_batch.py"
T1 = ("--steps", "t1")  # where no other step matters, as each loads networks
SHIFTS = np.array([[0, 3], [0, -2], [0, 1], [0, 0], [0, -3], [0, 2], [0, -1]])  # zero mean, (row, column)
INNER = np.s_[..., 4:-4]
MODEL = SimpleNamespace(entry=SimpleNamespace(id="moconet-test", sha256="ab"))
MAPS = ("t1", "r2", "samples", "residual", "t1_error", "flags")


@pytest.fixture(scope="module")
def cmr_batch():
    return runpy.run_path(str(SCRIPT))["main"]


@pytest.fixture
def network(monkeypatch):
    """A network that always sees the same motion, in all of the image."""

    def estimate(images, spacing_mm, *, model, mirrored, progress):
        assert spacing_mm == GEOMETRY.spacing[1::-1]
        displacement = np.zeros((len(images), 2, *images.shape[1:]), np.float32)
        displacement[:] = SHIFTS[:, :, None, None]
        return MotionEstimate(displacement, np.ones(images.shape[1:], np.float32), model.entry, "cpu")

    monkeypatch.setattr("CMRT1MappingLib.step.load_motion_model", lambda device: MODEL)
    monkeypatch.setattr(motion_correction, "estimate_motion", estimate)
    monkeypatch.setattr(motion_correction, "refine_motion", lambda images, displacement, *_, **__: displacement)


def moving_study(folder, study_id="P001", phase=False):
    write_study(folder, study_id, **({"phase_file": "phase.nrrd"} if phase else {}))
    images = inversion_recovery(true_t1())
    moved = np.stack([np.roll(frame, shift, (0, 1)) for frame, shift in zip(images, SHIFTS, strict=True)])
    write_image(folder / "mid.nrrd", moved, GEOMETRY)
    if phase:
        t1_star = true_t1() / 0.95
        signed = 1000.0 - 1950.0 * np.exp(-np.asarray(INVERSION_TIMES_MS)[:, None, None] / t1_star)
        angle = (np.where(signed < 0, np.pi / 2, -np.pi / 2) + 0.02 * np.arange(24)).astype(np.float32)
        turned = np.stack([np.roll(frame, shift, (0, 1)) for frame, shift in zip(angle, SHIFTS, strict=True)])
        write_image(folder / "phase.nrrd", turned, GEOMETRY)
    return folder


def results_of(folder):
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


def summary_of(output):
    with open(output / "summary.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_corrected_study_has_maps_images_and_displacement(cmr_batch, network, tmp_path, capsys):
    moving_study(tmp_path / "in", phase=True)
    assert cmr_batch(["--input", str(tmp_path / "in"), "--output", str(tmp_path / "out"), *T1]) == 0
    folder = tmp_path / "out" / "P001"
    results = results_of(folder)
    (entry,) = results["t1"]
    assert results["warnings"] == [] and results["models"] == {"motion": {"id": "moconet-test", "sha256": "ab"}}
    assert entry["motion_correction"] == "corrected"
    assert entry["motion_px"] == pytest.approx(np.abs(SHIFTS).sum() / 7, abs=1e-4)
    assert entry["r2_before"] < 0.985 < 0.999 < entry["r2_after"]
    t1, _ = read_image(folder / entry["t1_file"])
    assert np.abs(t1[0] - true_t1())[INNER].max() < 1.0

    corrected, geometry = read_image(folder / entry["corrected_irw_file"])
    assert geometry.is_close(GEOMETRY) and corrected.shape == (7, 20, 24)
    np.testing.assert_allclose(corrected[INNER], inversion_recovery(true_t1())[INNER], rtol=1e-3, atol=0.1)
    phase, geometry = read_image(folder / entry["corrected_phase_file"])
    assert geometry.is_close(GEOMETRY) and phase.shape == (7, 20, 24)
    header = sitk.ReadImage(str(folder / entry["t1_file"]))
    assert (
        header.GetMetaData("CMR.MotionCorrection") == "corrected" and header.GetMetaData("CMR.Model") == MODEL.entry.id
    )
    (row,) = summary_of(tmp_path / "out")
    assert row["displacement_file"] == entry["displacement_file"] and row["r2_after"] == str(entry["r2_after"])
    assert "P001: ok (T1 maps: 1, motion corrected: 1)" in capsys.readouterr().out


def test_displacement_file_takes_the_acquired_images_to_the_corrected_ones(cmr_batch, network, tmp_path):
    """As ITK has displacement fields: the whole stack is resampled at once, frames stay apart."""
    moving_study(tmp_path / "in")
    assert cmr_batch(["--input", str(tmp_path / "in"), "--output", str(tmp_path / "out"), *T1]) == 0
    folder = tmp_path / "out" / "P001"
    (entry,) = results_of(folder)["t1"]
    acquired = sitk.ReadImage(str(tmp_path / "in" / "mid.nrrd"), sitk.sitkFloat32)
    field = sitk.ReadImage(str(folder / entry["displacement_file"]), sitk.sitkVectorFloat64)
    assert field.GetMetaData("CMR.Unit") == "mm"
    aligned = sitk.Resample(acquired, acquired, sitk.DisplacementFieldTransform(field), sitk.sitkLinear)
    corrected, _ = read_image(folder / entry["corrected_irw_file"])
    np.testing.assert_allclose(sitk.GetArrayFromImage(aligned)[INNER], corrected[INNER], atol=0.5)
    assert np.abs(sitk.GetArrayFromImage(acquired) - corrected)[INNER].max() > 20


def test_original_is_kept_and_said_where_correction_does_not_help(cmr_batch, network, tmp_path):
    write_study(tmp_path / "in", "P001")
    command = ["--input", str(tmp_path / "in"), *T1, "--output"]
    assert cmr_batch([*command, str(tmp_path / "on")]) == 0
    results = results_of(tmp_path / "on" / "P001")
    (entry,) = results["t1"]
    assert entry["motion_correction"] == "no better" and entry["r2_after"] < entry["r2_before"]
    assert entry["corrected_irw_file"] is None and entry["displacement_file"] is None
    (note,) = (note for note in results["notes"] if note.startswith("irw_rest_mid: "))
    assert "Motion correction did not improve the fit" in note and results["warnings"] == []
    assert cmr_batch([*command, str(tmp_path / "off"), "--no-motion-correction"]) == 0
    same_maps(tmp_path / "on" / "P001", tmp_path / "off" / "P001")


def same_maps(output, other):
    for first, second in zip(results_of(output)["t1"], results_of(other)["t1"], strict=True):
        for role in MAPS:
            files = output / first[f"{role}_file"], other / second[f"{role}_file"]
            assert np.array_equal(*(read_image(file)[0] for file in files)), role


def test_switched_off_neither_loads_nor_says_anything_of_it(cmr_batch, tmp_path, monkeypatch):
    monkeypatch.setattr("CMRT1MappingLib.step.load_motion_model", lambda device: pytest.fail("the network was loaded"))
    moving_study(tmp_path / "in")
    command = ["--input", str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--no-motion-correction"]
    assert cmr_batch([*command, *T1]) == 0
    results = results_of(tmp_path / "out" / "P001")
    (entry,) = results["t1"]
    assert results["warnings"] == [] and results["models"] == {} and entry["motion_correction"] == "off"
    for key in ("corrected_irw_file", "corrected_phase_file", "displacement_file", "motion_px", "r2_after"):
        assert entry[key] is None, key
    assert sorted(path.suffix for path in (tmp_path / "out" / "P001").iterdir()) == [".json", *[".nrrd"] * 6]


def test_choices_of_the_fit_are_made_again_written_down_and_kept_by_other_steps(cmr_batch, tmp_path, monkeypatch):
    monkeypatch.setattr(LandmarksStep, "run", lambda self, task: StepReport([{"slice": "mid", "lv_center_px": [1, 2]}]))
    moving_study(tmp_path / "in")
    command = ["--input", str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--no-motion-correction"]

    def entry():
        return results_of(tmp_path / "out" / "P001")["t1"][0]

    assert cmr_batch(command) == 0 and (entry()["fit"], entry()["molli"]) == ("scanner", "")
    assert cmr_batch([*command, "--fit", "precise"]) == 0 and entry()["fit"] == "precise"
    written = sitk.ReadImage(str(tmp_path / "out" / "P001" / entry()["t1_file"]))
    assert written.GetMetaData("CMR.Fit") == "precise"
    assert cmr_batch([*command, "--steps", "landmarks"]) == 0 and entry()["fit"] == "precise"
    made = (tmp_path / "out" / "P001" / "results.json").stat().st_mtime_ns
    assert cmr_batch([*command, "--fit", "precise"]) == 0
    assert (tmp_path / "out" / "P001" / "results.json").stat().st_mtime_ns == made
    assert cmr_batch([*command, "--fit", "fast"]) == 2


def test_maps_are_made_again_when_the_choice_changes_and_kept_by_other_steps(cmr_batch, network, tmp_path, monkeypatch):
    monkeypatch.setattr(LandmarksStep, "run", lambda self, task: StepReport([{"slice": "mid", "lv_center_px": [1, 2]}]))
    moving_study(tmp_path / "in")
    command = ["--input", str(tmp_path / "in"), "--output", str(tmp_path / "out")]

    def outcome():
        return results_of(tmp_path / "out" / "P001")["t1"][0]["motion_correction"]

    assert cmr_batch([*command, "--no-motion-correction"]) == 0 and outcome() == "off"
    assert cmr_batch([*command, "--steps", "landmarks"]) == 0 and outcome() == "off"
    assert cmr_batch(command) == 0 and outcome() == "corrected"
    made = (tmp_path / "out" / "P001" / "results.json").stat().st_mtime_ns
    assert cmr_batch(command) == 0
    assert (tmp_path / "out" / "P001" / "results.json").stat().st_mtime_ns == made


def test_acquisition_with_too_many_images_is_fitted_as_acquired(cmr_batch, network, tmp_path):
    folder = write_study(tmp_path / "in", "P001", scheme="look-locker", inversion_times_ms=list(range(100, 4100, 250)))
    times = np.arange(100, 4100, 250)[:, None, None]
    images = np.abs(1000.0 - 1950.0 * np.exp(-times / (true_t1() / 0.95)))
    write_image(folder / "mid.nrrd", images.astype(np.float32), GEOMETRY)
    assert cmr_batch(["--input", str(folder), "--output", str(tmp_path / "out"), *T1]) == 0
    results = results_of(tmp_path / "out" / "P001")
    (entry,) = results["t1"]
    assert entry["motion_correction"] == "not possible" and entry["motion_px"] is None and entry["r2_before"] > 0.999
    assert "needs 5 to 11 images, not 16" in results["warnings"][0]


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A copy of the folder of models, which the test may spoil."""
    folder = shutil.copytree(resource_path(models.MANIFEST).parent, tmp_path / "Models")
    monkeypatch.setattr(models, "resource_path", lambda name: tmp_path / name)
    return folder


def spoil(weights):
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)


@pytest.mark.parametrize(("harm", "sentence"), [(Path.unlink, "are missing"), (spoil, "are damaged")])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_missing_and_damaged_weights_stop_before_any_study(
    cmr_batch, tmp_path, shipped, capsys, harm, sentence, workers
):
    folders = [str(write_study(tmp_path / name, name)) for name in ("P001", "P002")]
    harm(shipped / "moconet.safetensors")
    command = ["--input", *folders, "--output", str(tmp_path / "out"), *T1, "--workers", workers]
    assert cmr_batch(command) == 3
    errors = capsys.readouterr().err
    assert sentence in errors and "moconet" in errors and len(errors.strip().splitlines()) == 1
    assert list((tmp_path / "out").iterdir()) == []
    assert cmr_batch([*command[:-1], "1", "--no-motion-correction"]) == 0


def test_study_cancelled_in_the_network_leaves_nothing(cmr_batch, network, tmp_path, monkeypatch):
    def interrupted(images, spacing_mm, *, model, mirrored, progress):
        raise KeyboardInterrupt

    monkeypatch.setattr(motion_correction, "estimate_motion", interrupted)
    moving_study(tmp_path / "in")
    assert cmr_batch(["--input", str(tmp_path / "in"), "--output", str(tmp_path / "out"), *T1]) == 130
    assert list((tmp_path / "out").iterdir()) == []
