"""What a batch makes of inputs as users have them: other files under one id, names in any encoding, stray files."""

import contextlib
import csv
import io
import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from batch_processes import SCRIPT, BatchProcess
from batch_studies import GEOMETRY, INVERSION_TIMES_MS, inversion_recovery, true_t1, write_study

from CMRLib.batch.inputs import are_same, inputs_of, is_same_place
from CMRLib.files.images import read_image, write_image
from CMRLib.files.locks import locked
from CMRLib.simulation import simulate_study
from CMRLib.simulation.dicom_writer import write_dicom_study
from CMRLib.study.reading import read_study

OTHER = "made from other files in another folder"
ONLY_T1 = ("--steps", "t1", "--no-motion-correction")


@pytest.fixture(scope="module")
def cmr_batch():
    main = runpy.run_path(str(SCRIPT))["main"]
    return lambda *arguments: main([*map(str, arguments), *ONLY_T1])


def results_of(folder):
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


def rows_of(output):
    with open(output / "summary.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def t1_of(folder):
    return read_image(folder / results_of(folder)["t1"][0]["t1_file"])[0][0]


def another_patient(folder, study_id="P001"):
    write_study(folder, study_id)
    write_image(folder / "mid.nrrd", inversion_recovery(true_t1() - 200.0), GEOMETRY)
    return folder


def test_another_patient_of_the_same_id_is_refused_by_name(cmr_batch, tmp_path, capsys):
    first, second = write_study(tmp_path / "one", "P001"), another_patient(tmp_path / "two")
    assert cmr_batch("--input", first, "--output", tmp_path / "out") == 0
    before = t1_of(tmp_path / "out" / "P001")
    assert cmr_batch("--input", second, "--output", tmp_path / "out") == 1
    printed = capsys.readouterr()
    assert OTHER in printed.err and printed.err.startswith("P001: ") and "complete already, 1 failed" in printed.out
    assert (t1_of(tmp_path / "out" / "P001") == before).all()
    rows = rows_of(tmp_path / "out")
    assert [(row["id"], row["status"]) for row in rows] == [("P001", "failed"), ("P001", "ok")]
    assert cmr_batch("--input", second, "--output", tmp_path / "out", "--overwrite") == 0
    assert abs(t1_of(tmp_path / "out" / "P001") - true_t1() + 200.0).max() < 1.0


def test_a_study_that_changed_is_processed_again(cmr_batch, tmp_path):
    folder = write_study(tmp_path / "in", "P001")
    command = ("--input", folder, "--output", tmp_path / "out")
    assert cmr_batch(*command) == 0
    write_image(folder / "mid.nrrd", inversion_recovery(true_t1() - 100.0), GEOMETRY)
    assert cmr_batch(*command) == 0
    assert abs(t1_of(tmp_path / "out" / "P001") - true_t1() + 100.0).max() < 1.0
    assert "Earlier results were replaced" in results_of(tmp_path / "out" / "P001")["notes"][0]

    content = json.loads((folder / "study.json").read_text())
    content["series"].append({**content["series"][0], "slice": "basal"})
    (folder / "study.json").write_text(json.dumps(content))
    assert cmr_batch(*command) == 0
    assert [entry["slice"] for entry in results_of(tmp_path / "out" / "P001")["t1"]] == ["mid", "basal"]


def test_same_names_sizes_and_times_of_change_do_not_make_the_same_input(tmp_path):
    study, other = write_study(tmp_path / "one", "P001"), write_study(tmp_path / "two", "P001")
    content = bytearray((other / "mid.nrrd").read_bytes())
    content[-20] ^= 1
    (other / "mid.nrrd").write_bytes(content)
    for folder in (study, other):
        for file in folder.iterdir():
            os.utime(file, (1e9, 1e9))
    recorded = inputs_of(read_study(study))
    assert are_same(recorded, read_study(study)) and not are_same(recorded, read_study(other))
    assert not is_same_place(recorded, read_study(other))
    (other / "mid.nrrd").write_bytes((study / "mid.nrrd").read_bytes())
    assert are_same(recorded, read_study(other)), "a copy is the same, whenever it was made"


def test_pixels_beside_a_detached_header_count(tmp_path):
    folder = write_study(tmp_path / "in", "P001")
    write_image(folder / "mid.nhdr", inversion_recovery(true_t1()), GEOMETRY)
    text = (folder / "study.json").read_text().replace("mid.nrrd", "mid.nhdr")
    (folder / "study.json").write_text(text)
    recorded = inputs_of(read_study(folder))
    (pixels,) = (file for file in folder.iterdir() if ".raw" in file.name)
    header = (folder / "mid.nhdr").read_bytes()
    write_image(folder / "mid.nhdr", inversion_recovery(true_t1() - 50.0), GEOMETRY)
    (folder / "mid.nhdr").write_bytes(header)
    assert pixels.is_file() and not are_same(recorded, read_study(folder))


def test_what_the_results_remember_names_nobody(cmr_batch, tmp_path):
    folder = write_study(tmp_path / "SECRET^NAME", "P001")
    (folder / "mid.nrrd").rename(folder / "SECRET.nrrd")
    (folder / "study.json").write_text((folder / "study.json").read_text().replace("mid.nrrd", "SECRET.nrrd"))
    assert cmr_batch("--input", folder, "--output", tmp_path / "out") == 0
    text = (tmp_path / "out" / "P001" / "results.json").read_text()
    assert "content" in text and "SECRET" not in text


def test_a_slice_that_came_later_is_processed(cmr_batch, tmp_path):
    write_dicom_study(simulate_study(seed=1, slices=("basal", "mid"), shape=(48, 64)), tmp_path / "in")
    later = sorted(path for path in (tmp_path / "in").iterdir() if path.is_dir())[2:]
    for folder in later:
        folder.rename(tmp_path / folder.name)
    command = ("--input", tmp_path / "in", "--output", tmp_path / "out")
    cmr_batch(*command)
    (study,) = (tmp_path / "out").glob("study-*")
    assert len(results_of(study)["t1"]) == 1
    for folder in later:
        (tmp_path / folder.name).rename(folder)
    assert cmr_batch(*command) == 0
    results = results_of(study)
    assert len(results["t1"]) == 2
    for entry in results["t1"]:
        assert entry["series_number"] > 0 and entry["series_description"] and entry["scheme"] == "shmolli"


def test_a_stray_file_is_told_and_does_not_stop_the_rest(cmr_batch, tmp_path, capsys):
    (tmp_path / "SMITH^JOHN.txt").write_text("notes")
    good = write_study(tmp_path / "good", "P001")
    inputs = (tmp_path / "SMITH^JOHN.txt", good, tmp_path / "none")
    assert cmr_batch("--input", *inputs, "--output", tmp_path / "out") == 1
    printed = capsys.readouterr()
    assert "Input 1: it is not a folder" in printed.err and "Input 3: it is not a folder" in printed.err
    assert "Studies: 1 done, 0 complete already, 2 failed" in printed.out
    assert "SMITH" not in printed.out + printed.err
    assert results_of(tmp_path / "out" / "P001")["status"] == "ok"


def without_times(folder):
    content = json.loads((folder / "study.json").read_text())
    for series in content["series"]:
        del series["inversion_times_ms"], series["scheme"]
    (folder / "study.json").write_text(json.dumps(content))


@pytest.mark.parametrize("separator", [",", " ", ", "])
def test_inversion_times_can_be_stated(cmr_batch, tmp_path, capsys, separator):
    folder = write_study(tmp_path / "in", "P001")
    without_times(folder)
    command = ("--input", folder, "--output", tmp_path / "out")
    assert cmr_batch(*command) == 1
    assert "state them with --inversion-times or in a study.json" in capsys.readouterr().err
    stated = ("--inversion-times", separator.join(f"{time:g}" for time in INVERSION_TIMES_MS))
    assert cmr_batch(*command, *stated) == 0
    assert abs(t1_of(tmp_path / "out" / "P001") - true_t1()).max() < 1.0
    assert results_of(tmp_path / "out" / "P001")["t1"][0]["scheme"] == "shmolli"
    assert cmr_batch(*command, *stated, "--scheme", "look-locker") == 0
    assert results_of(tmp_path / "out" / "P001")["t1"][0]["scheme"] == "look-locker"
    assert (t1_of(tmp_path / "out" / "P001") > 0).all()


def test_statements_that_do_not_fit_are_told(cmr_batch, tmp_path, capsys):
    folder = write_study(tmp_path / "in", "P001")
    command = ("--input", folder, "--output", tmp_path / "out")
    assert cmr_batch(*command, "--inversion-times", "100,1100,now") == 2
    assert "invalid" in capsys.readouterr().err
    assert cmr_batch(*command, "--scheme", "sasha") == 2
    assert "molli" in capsys.readouterr().err
    assert cmr_batch(*command, "--inversion-times", "1,2,3") == 0
    printed = capsys.readouterr().err
    assert "irw_rest_mid: its files tell its inversion times, so those stated were not used" in printed
    without_times(folder)
    assert cmr_batch(*command, "--inversion-times", "100,200,300") == 1
    assert "What was stated does not fit" in capsys.readouterr().err
    eight = write_study(tmp_path / "eight", "P002", scheme="molli", inversion_times_ms=list(range(100, 4100, 500)))
    times = list(range(100, 4100, 500))
    write_image(eight / "mid.nrrd", inversion_recovery(true_t1())[[0, 1, 2, 3, 4, 5, 6, 6]], GEOMETRY)
    assert len(times) == 8 and cmr_batch("--input", eight, "--output", tmp_path / "out", "--scheme", "shmolli") == 1
    assert "What was stated does not fit irw_rest_mid (): it has 8 images" in capsys.readouterr().err


needs_bytes = pytest.mark.skipif(sys.platform != "linux", reason="needs names that are bytes")


def run_with_a_new_python(command, encoding):
    """The command in a Python whose output is in that encoding: exit status, output, errors."""
    command, variables = [sys.executable, str(SCRIPT), *command], {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(command, env=variables, capture_output=True, check=False)
    return done.returncode, done.stdout, done.stderr


def run_in_this_python(command, encoding):
    """As `run_with_a_new_python`, with what Python makes of its output in that encoding."""
    files = [io.TextIOWrapper(io.BytesIO(), encoding, handling) for handling in ("strict", "backslashreplace")]
    with contextlib.redirect_stdout(files[0]), contextlib.redirect_stderr(files[1]):
        status = runpy.run_path(str(SCRIPT))["main"]([str(argument) for argument in command])
    for file in files:
        file.flush()
    return status, *(file.buffer.getvalue() for file in files)


@needs_bytes
@pytest.mark.parametrize(("run", "encoding"), [(run_in_this_python, "utf-8"), (run_with_a_new_python, "ascii")])
def test_names_in_another_encoding(tmp_path, run, encoding):
    latin = Path(os.fsdecode(os.fsencode(str(tmp_path)) + b"/M\xfcller"))
    write_study(tmp_path / "in", "P001")
    os.rename(tmp_path / "in", latin)
    broken = Path(os.fsdecode(os.fsencode(str(tmp_path)) + b"/M\xfcller_2"))
    broken.mkdir()
    output = tmp_path / "Ausgabe für ÄÖÜ"
    status, told, errors = run(["--input", latin, broken, "--output", output, *ONLY_T1], encoding)
    assert status == 1, errors
    assert b"P001: ok" in told and b"Summary: " in told
    assert b"Input 2: the folder holds no DICOM file" in errors
    assert b"Traceback" not in errors and b"Unexpected" not in errors + told
    assert results_of(output / "P001")["status"] == "ok"


@needs_bytes
def test_output_folder_in_another_encoding_is_refused_in_a_sentence(tmp_path):
    folder = write_study(tmp_path / "in", "P001")
    output = os.fsdecode(os.fsencode(str(tmp_path)) + b"/M\xfcller")
    status, _, errors = run_in_this_python(["--input", folder, "--output", output, *ONLY_T1], "utf-8")
    assert status == 2 and b"not UTF-8; choose another output folder" in errors
    assert len(errors.strip().splitlines()) == 1


def test_runs_at_once_lose_no_rows(tmp_path):
    """As the jobs of an array: one study each, one output folder."""
    names = [f"P{number}" for number in range(5)]
    folders = [write_study(tmp_path / name, name) for name in names]
    output = tmp_path / "out"
    runs = [BatchProcess(["--output", output, *ONLY_T1, "--input", folder], folder) for folder in folders]
    told = [run.communicate() for run in runs]
    assert [run.returncode for run in runs] == [0] * len(runs), told
    assert sorted((row["id"], row["slice"]) for row in rows_of(output)) == [(name, "mid") for name in names]
    assert sorted(path.name for path in output.iterdir()) == [*names, "summary.csv"]


def test_rows_go_with_their_results(cmr_batch, tmp_path):
    first, second = write_study(tmp_path / "one", "P001"), write_study(tmp_path / "two", "P002")
    assert cmr_batch("--input", first, "--output", tmp_path / "out") == 0
    shutil.rmtree(tmp_path / "out" / "P001")
    assert cmr_batch("--input", second, "--output", tmp_path / "out") == 0
    assert [row["id"] for row in rows_of(tmp_path / "out")] == ["P002"]


def test_a_study_that_another_run_works_on_is_left_to_it(cmr_batch, tmp_path, capsys):
    folder = write_study(tmp_path / "in", "P001")
    output = tmp_path / "out"
    (output / ".partial-P001").mkdir(parents=True)
    (output / ".partial-P001" / "of another run").touch()
    with locked(output / ".lock-P001") as held:
        assert held and cmr_batch("--input", folder, "--output", output) == 1
        assert "P001: Another run is working on this study" in capsys.readouterr().err
        assert (output / ".partial-P001" / "of another run").is_file()
    assert cmr_batch("--input", folder, "--output", output) == 0
    assert sorted(path.name for path in output.iterdir()) == ["P001", "summary.csv"]


def test_a_lock_is_waited_for_and_leaves_no_file(tmp_path):
    path = tmp_path / ".lock"
    with locked(path) as held:
        assert held and path.exists()
        with locked(path, patience_s=0.1) as again:
            assert not again
        assert path.exists()
    assert not path.exists()
    with pytest.raises(OSError), locked(tmp_path / "none" / ".lock"):
        pass


def test_images_that_follow_no_inversion_recovery_are_no_result(cmr_batch, tmp_path, capsys):
    folder = write_study(tmp_path / "in", "P001")
    write_image(folder / "mid.nrrd", inversion_recovery(true_t1())[[4, 0, 3, 1, 2, 6, 5]], GEOMETRY)
    assert cmr_batch("--input", folder, "--output", tmp_path / "out") == 1
    assert "follow no curve of inversion recovery" in capsys.readouterr().err
    assert results_of(tmp_path / "out" / "P001")["t1"] == []
