"""``cmr-batch --deidentify``: nothing that is written or printed tells who the patient is."""

import json
import os
import re
import runpy
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from batch_studies import write_study as write_nrrd_study
from dicom_tools import errors_of

from CMRLib.errors import InputError, OutputError
from CMRLib.export.pseudonyms import Scrubber, default_key_file, read_key, without_quotes
from CMRLib.simulation import simulate_study
from CMRLib.simulation.dicom_writer import write_dicom_study

SCRIPT = Path(__file__).resolve().parents[1] / "Resources" / "Scripts" / "cmr_batch.py"
FAST = ("--no-motion-correction", "--device", "cpu", "--deidentify", "--dicom")
ALL = ("--steps", "t1,landmarks", "--report")
PATIENT = {
    "PatientName": "Zwiebelfisch^Hannelore",
    "PatientID": "MRN-4711-0815",
    "PatientBirthDate": "19511224",
    "AccessionNumber": "ACC998877",
    "ReferringPhysicianName": "Quacksalber^Ottokar",
    "InstitutionName": "Krankenhaus Nirgendwo",
    "StudyDescription": "Zwiebelfischherz",
    "StudyID": "STU776655",
    "OperatorsName": "Knopfmacher^Jimmy",
    "PatientSex": "ZWIEBEL",  # which pydicom would warn of, and quote
}
DATES = dict.fromkeys(("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"), "20170523")


def write_patient(folder, seed, **changes):
    """A study as DICOM of that patient, with her name in the series descriptions and in an image that is left out."""
    files = write_dicom_study(simulate_study(seed, slices=("mid",), shape=(48, 56), snr=60.0), folder)
    for file in files:
        header = pydicom.dcmread(file)
        header.SeriesDescription = header.ProtocolName = f"{header.SeriesDescription} Hannelore"
        for keyword, value in {**PATIENT, **DATES, **changes}.items():
            setattr(header, keyword, value)
        header.save_as(file)
    header.SeriesDescription, header.SeriesNumber = "Lokalisator Zwiebelfisch", 99
    header.ProtocolName, header.ImageComments = "localizer", ""
    header.SeriesInstanceUID, header.SOPInstanceUID = header.SeriesInstanceUID + ".9", header.SOPInstanceUID + ".9"
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    del header.InversionTime
    header.save_as(folder / "MRN-4711-0815.dcm")
    return folder


def telling(folder):
    """Every text that would tell of the patient, or lead to her images."""
    texts = {text for value in (*PATIENT.values(), *DATES.values()) for text in re.split(r"[\^ ]", value)}
    for file in folder.rglob("*.dcm"):
        header = pydicom.dcmread(file, stop_before_pixels=True)
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
            texts.add(str(header[keyword].value))
    return texts


def contents(folder):
    """Name and content of every file, also of those inside a scene."""
    for path in sorted(folder.rglob("*")):
        yield path.relative_to(folder).as_posix(), b""
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path.read_bytes()
            if path.suffix == ".mrb":
                with zipfile.ZipFile(path) as archive:
                    yield from ((name, archive.read(name)) for name in archive.namelist())


def found_in(output, texts, log):
    """Where any of the texts is found, each with its place."""
    places = [("log", log.encode()), *contents(output)]
    return [(text, name) for name, content in places for text in texts if text.encode() in name.encode() + content]


def run(*arguments, **environment):
    variables = {**os.environ, **environment}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)], capture_output=True, text=True, check=False, env=variables
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def cmr_batch():
    return runpy.run_path(str(SCRIPT))["main"]


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    return write_patient(tmp_path_factory.mktemp("patient") / "Zwiebelfisch_Hannelore", 8)


@pytest.fixture(scope="module")
def done(patient, tmp_path_factory):
    """The real command, with a key of its own: output folder, folder of the study, log."""
    folder = tmp_path_factory.mktemp("deidentified")
    key, output = folder / "secret" / "key", folder / "out"
    status, log = run("--input", patient, "--output", output, *FAST, *ALL, "--pseudonym-key", key)
    assert status == 0, log
    (study,) = [path for path in output.iterdir() if path.is_dir()]
    return output, study, log, key


def results_of(study):
    return json.loads((study / "results.json").read_text(encoding="utf-8"))


def test_nothing_tells_who_the_patient_is(patient, done):
    output, study, log, _ = done
    texts = telling(patient)
    assert len(texts) > 20 and found_in(patient, texts, "") != []
    assert found_in(output, texts, log) == []
    assert (study / "report.html").is_file() and (output / "report.html").is_file()
    results = results_of(study)
    assert results["deidentified"] is True and results["t1"] and results["landmarks"]
    assert any(re.match(r"series 99 \(1 image\)", note) for note in results["notes"])  # what was left out is still told


def test_objects_carry_the_pseudonym_and_conform(done):
    _, study, _, _ = done
    studies = set()
    for entry in results_of(study)["dicom"]:
        header = pydicom.dcmread(study / entry["file"])
        pseudonym = study.name.rpartition("-")[0]
        assert header.PatientID == str(header.PatientName) == pseudonym and re.fullmatch(r"P[A-Z2-7]{12}", pseudonym)
        assert header.PatientIdentityRemoved == "YES" and header.StudyDate == "" and header.ContentDate == "19000101"
        assert errors_of(study / entry["file"]) == []
        studies.add(header.StudyInstanceUID)
    assert len(studies) == 1


def test_identifiers_of_sources_are_replaced_alike_in_every_object(done):
    _, study, _, _ = done
    named = {}
    for entry in results_of(study)["dicom"]:
        if entry["kind"] == "parametric map":
            header = pydicom.dcmread(study / entry["file"])
            item = header.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0]
            named[entry["name"]] = {one.ReferencedSOPInstanceUID for one in item.SourceImageSequence}
    assert len(named["t1"]) == 14 and named["t1"] == named["r2"]


def test_again_is_complete_already(patient, done):
    output, _, _, key = done
    status, log = run("--input", patient, "--output", output, *FAST, *ALL, "--pseudonym-key", key)
    assert status == 0 and "1 complete already" in log


@pytest.mark.slow
def test_a_scene_tells_no_more(patient, tmp_path):
    arguments = ("--steps", "t1", "--scene", "--pseudonym-key", tmp_path / "key")
    status, log = run("--input", patient, "--output", tmp_path / "out", *FAST, *arguments)
    assert status == 0, log
    assert any(name.endswith(".mrml") for name, _ in contents(tmp_path / "out"))
    assert found_in(tmp_path / "out", telling(patient), log) == []


def test_a_patient_has_one_pseudonym_for_each_key(cmr_batch, patient, done, tmp_path):
    """Another study of her, with the same key and with another."""
    _, study, _, key = done
    other = write_patient(tmp_path / "later", 9)
    stranger = write_patient(tmp_path / "stranger", 10, PatientID="MRN-1")

    def pseudonyms(output, key, *studies):
        arguments = [*FAST, "--steps", "t1", "--output", str(output), "--pseudonym-key", str(key), "--input"]
        assert cmr_batch([*arguments, *map(str, studies)]) == 0
        return [path.name for path in output.iterdir() if path.is_dir()]

    same, others = study.name.rpartition("-")[0], pseudonyms(tmp_path / "a", key, other, stranger)
    assert len(others) == 2 and study.name not in others
    assert sorted(name.startswith(f"{same}-") for name in others) == [False, True]
    (name,) = pseudonyms(tmp_path / "b", tmp_path / "key", other)
    assert not name.startswith(same)


def test_other_files_and_broken_studies(tmp_path):
    """Names of folders and files, ids and broken values of a study.json are a patient's as well."""
    good = write_nrrd_study(tmp_path / "Zwiebelfisch_1", "Zwiebelfisch-H")
    half = write_nrrd_study(tmp_path / "Zwiebelfisch_2", "Hannelore-Z", ("basal", "mid"))
    renamed = half / "Zwiebelfisch_mid.nrrd"
    (half / "mid.nrrd").rename(renamed)
    renamed.write_bytes(renamed.read_bytes()[:700])
    content = (half / "study.json").read_text().replace("mid.nrrd", renamed.name)
    (half / "study.json").write_text(content)
    bad = write_nrrd_study(tmp_path / "Zwiebelfisch_3", "Zwiebelfisch-3", state="Hannelore")
    arguments = ("--output", tmp_path / "out", *FAST, "--pseudonym-key", tmp_path / "key", "--steps", "t1")
    status, log = run("--input", good, half, bad, *arguments)
    assert status == 1
    assert found_in(tmp_path / "out", {"Zwiebelfisch", "Hannelore"}, log) == []
    folders = sorted(path.name for path in (tmp_path / "out").iterdir() if path.is_dir())
    assert len(folders) == 3 and folders[2].startswith("unreadable-")
    for folder in folders[:2]:
        for entry in results_of(tmp_path / "out" / folder)["dicom"]:
            header = pydicom.dcmread(tmp_path / "out" / folder / entry["file"])
            assert header.PatientID == folder.rpartition("-")[0]


def test_named_and_pseudonymous_results_do_not_lie_side_by_side(cmr_batch, done, tmp_path, capsys):
    output, _, _, key = done
    study = write_nrrd_study(tmp_path / "in", "P001")
    plain = ["--input", str(study), "--steps", "t1", "--output"]
    assert cmr_batch([*plain, str(output)]) == 2
    assert "holds results with pseudonyms; choose another output folder." in capsys.readouterr().err
    assert cmr_batch([*plain, str(tmp_path / "out")]) == 0
    assert cmr_batch([*plain, str(tmp_path / "out"), *FAST, "--pseudonym-key", str(key)]) == 2
    assert "holds results without pseudonyms" in capsys.readouterr().err


def test_the_key(tmp_path, monkeypatch):
    path = tmp_path / "settings" / "key"
    key, made = read_key(path, tmp_path / "out")
    assert made and len(key) == 32 and read_key(path, tmp_path / "out") == (key, False)
    assert os.name == "nt" or path.stat().st_mode & 0o077 == 0
    assert read_key(tmp_path / "other", tmp_path / "out")[0] != key
    with pytest.raises(InputError, match="must not lie among the results"):
        read_key(tmp_path / "out" / "key", tmp_path / "out")
    for text in ("", "secret", "é" * 64):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match="holds no key of pseudonyms"):
            read_key(path, tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="name another file with --pseudonym-key"):
        read_key(tmp_path / "file" / "key", tmp_path / "out")
    monkeypatch.setenv("APPDATA" if os.name == "nt" else "XDG_CONFIG_HOME", str(tmp_path))
    assert default_key_file() == tmp_path / "cmr-mapping" / "pseudonym.key"


def test_the_key_of_the_settings_is_told_once(cmr_batch, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("APPDATA" if os.name == "nt" else "XDG_CONFIG_HOME", str(tmp_path / "settings"))
    study = write_nrrd_study(tmp_path / "in", "P001")
    arguments = ["--input", str(study), "--output", str(tmp_path / "out"), "--steps", "t1", "--deidentify"]
    assert cmr_batch(arguments) == 0 and "A new key of the pseudonyms was made" in capsys.readouterr().out
    assert cmr_batch(arguments) == 0 and "new key" not in capsys.readouterr().out
    assert cmr_batch([*arguments[:-1], "--pseudonym-key", "x"]) == 2
    assert "has no meaning without --deidentify" in capsys.readouterr().err


def test_sentences_are_cleaned(patient):
    from CMRLib.study.reading import read_study

    told = ["Hannelore Zwiebelfisch (MRN-4711-0815) was seen on 20170523 in the study.", "Image 3 of 7 is empty."]
    cleaned = Scrubber.of(read_study(patient)).sentences(told)
    assert cleaned == ["[removed] [removed] ([removed]) was seen on [removed] in the study.", told[1]]
    assert without_quotes('"state" is "Jane" in Doe_Jane', Path("Doe_Jane")) == "[removed] is [removed] in [removed]"


def test_results_are_the_same_numbers(cmr_batch, patient, done, tmp_path):
    _, study, _, _ = done
    plain = ["--input", str(patient), "--output", str(tmp_path / "out"), "--no-motion-correction", "--device", "cpu"]
    assert cmr_batch([*plain, "--steps", "t1"]) == 0
    from CMRLib.files.images import read_image

    (named,) = [path for path in (tmp_path / "out").iterdir() if path.is_dir()]
    for one, other in zip(results_of(study)["t1"], results_of(named)["t1"], strict=True):
        assert np.array_equal(read_image(study / one["t1_file"])[0], read_image(named / other["t1_file"])[0])
