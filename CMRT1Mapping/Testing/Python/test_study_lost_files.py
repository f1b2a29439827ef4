"""Files that should be images but cannot be read are named; links are followed; other files are passed over."""

import os

import numpy as np
import pytest
from dicom_builder import SHMOLLI_SECONDS, SHMOLLI_TIMES, Exam, image

from CMRLib.errors import InputError
from CMRLib.study.dicom.files import find_dicom_files, find_files
from CMRLib.study.reading import read_study, scan_files

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"


@pytest.fixture
def exam(tmp_path):
    return Exam(tmp_path)


def molli(exam, suffix=".dcm"):
    """Eight images of one series, in files of a given ending."""
    header = exam.header("MOLLI")
    times = [120, 1020, 1920, 2820, 3720, 200, 1100, 1980]
    return [
        exam.write(header, image(i), i + 1, 0.9 * i, name=f"IM{i:04}{suffix}", InversionTime=time)
        for i, time in enumerate(times)
    ]


def damage(file, how):
    content = file.read_bytes()
    file.unlink()
    if how == "broken link":
        os.symlink("../.git/annex/objects/x9/25/MD5E-s1--0.dcm", file)
        return
    left = {"empty": b"", "zeros": bytes(len(content)), "pointer": LFS, "cut": content[:100], "header": content[:400]}
    file.write_bytes(left[how])


@pytest.mark.parametrize("suffix", [".dcm", "", ".123", ".IMA"])
@pytest.mark.parametrize(
    "how, reason",
    [
        ("broken link", "link to a file that is not there"),
        ("empty", "An empty file"),
        ("zeros", "nothing but zeros"),
        ("pointer", "content was not fetched"),
        ("cut", "nothing but zeros"),
        ("header", "may be damaged"),
    ],
)
def test_a_lost_image_is_named_by_count_and_series(exam, tmp_path, suffix, how, reason):
    files = molli(exam, suffix)
    damage(files[3], how)
    study = read_study(tmp_path)
    assert [series.shape[0] for series in study.series] == [7]
    (lost,) = study.unrecognised
    assert lost.what == "1 file beside series 1 MOLLI (7 images)"
    assert reason in lost.reason and lost.reason.endswith(".")
    assert (lost.files, lost.lost_role) == ((files[3],), "unknown")


def test_a_folder_of_nothing_but_lost_images_says_so(tmp_path):
    for i in range(3):
        os.symlink(f"nowhere/{i}", tmp_path / f"IM{i:04}")
    with pytest.raises(InputError, match=r"holds no DICOM file .*3 files: A link to a file that is not there"):
        read_study(tmp_path)


def test_an_image_that_waits_in_the_cloud_is_lost(exam, tmp_path):
    files = molli(exam)
    files[2].unlink()
    files[2].with_name(f".{files[2].name}.icloud").write_bytes(b"bplist00")
    (lost,) = read_study(tmp_path).unrecognised
    assert "not fetched" in lost.reason


@pytest.mark.parametrize("suffix", [".dcm", ""])
def test_other_files_are_no_lost_images(exam, tmp_path, suffix):
    molli(exam, suffix)
    (tmp_path / "notes.txt").write_text("left ventricle")
    (tmp_path / "README").write_text("what this is")
    (tmp_path / "empty.txt").write_bytes(b"")
    (tmp_path / ".DS_Store").write_bytes(b"\0" * 128 + b"DICM")
    (tmp_path / "table.csv").write_bytes(b"\0\0")
    os.symlink("nowhere", tmp_path / "old.log")
    assert read_study(tmp_path).unrecognised == ()


def test_linked_folders_and_files_are_followed_once(exam, tmp_path):
    store = tmp_path / "store"
    Exam(store / "s1").irw()
    folder = tmp_path / "study"
    (folder / "deep").mkdir(parents=True)
    os.symlink(store / "s1", folder / "deep" / "s1")
    os.symlink(store / "s1", folder / "again")
    assert len(find_dicom_files(folder)) == 7
    (series,) = read_study(folder).series
    assert series.inversion_times_ms == SHMOLLI_TIMES


def test_links_to_files_count_once_beside_the_files_themselves(exam, tmp_path):
    files = exam.irw()
    for file in files:
        os.symlink(file, tmp_path / f"link-{file.name}")
    assert sorted(find_dicom_files(tmp_path)) == sorted(files)


def test_links_that_lead_back_are_not_entered(tmp_path):
    study, other = tmp_path / "study", tmp_path / "other"
    Exam(study).irw()
    Exam(other).irw()
    for target in (".", "..", str(study)):
        (study / "inside").mkdir(exist_ok=True)
        os.symlink(target if target != "." else str(study / "inside"), study / "inside" / f"loop{len(target)}")
    assert len(find_files(study).dicom) == 7


def test_files_that_vanish_are_named_by_the_scan(exam):
    files = exam.irw(times=[*SHMOLLI_TIMES[:5], 180.0, 260.0], seconds=SHMOLLI_SECONDS)
    files[0].unlink()
    series, left_out = scan_files(files)
    assert series == ()
    assert any("cannot be read" in item.reason and item.what.startswith("1 file") for item in left_out)


def test_a_folder_whose_name_is_no_text_is_read(tmp_path):
    folder = os.path.join(os.fsencode(tmp_path), b"M\xfcller")
    os.mkdir(folder)
    Exam(os.fsdecode(folder)).irw()
    (series,) = read_study(os.fsdecode(folder)).series
    np.testing.assert_array_equal(series.load().images[0], image(0))
