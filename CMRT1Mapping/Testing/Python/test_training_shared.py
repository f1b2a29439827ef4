"""What every network's training and measuring shares: splits, labelled folders, entries and tables."""

import json

import numpy as np
import pytest

from CMRLib.errors import InputError, OutputError
from CMRLib.files.images import write_image
from CMRLib.geometry import Geometry
from CMRLib.networks.models import ModelEntry, read_manifest
from CMRLib.training.entries import TrainingData, contrasts_of, install_model, record_test
from CMRLib.training.labelled_folders import ACDC, read_labelled_folder
from CMRLib.training.splits import images_of_split, seeds_of_split
from CMRLib.training.tables import (
    markdown_table,
    read_results_folder,
    tables_in,
    tables_of,
    with_tables,
    write_results,
)


@pytest.fixture
def patients(tmp_path):
    for number in (1, 2, 3):
        for name in (f"patient{number:03}_frame01", f"patient{number:03}_frame01_gt"):
            write_image(tmp_path / f"{name}.nii.gz", np.full((2, 8, 8), 3, dtype=np.uint8), Geometry())
    return tmp_path


def test_a_split_has_its_own_subjects_and_no_others(patients):
    training = [path.name[:10] for path in images_of_split(patients, "training")]
    assert training == ["patient002", "patient003"]
    assert [stack.subject for stack in read_labelled_folder(patients, ACDC, "validation")] == ["patient001"]
    assert len(list(read_labelled_folder(patients, ACDC))) == 3
    with pytest.raises(InputError, match="no test subject"):
        images_of_split(patients, "test")


def test_seeds_stay_within_their_split():
    assert seeds_of_split("training", 3, skip=10) == range(10, 13)
    assert seeds_of_split("test", 2) == range(900_000, 900_002)
    assert seeds_of_split("validation", 0) == range(800_000, 800_000)
    for split, count in (("training", 800_001), ("validation", 100_001)):
        with pytest.raises(InputError, match="ask for fewer"):
            seeds_of_split(split, count)


def test_the_licence_follows_the_images():
    assert TrainingData(simulated=3).licence == "Apache-2.0"
    real = TrainingData(("ACDC",), 3, ("cine", "vne"), with_validation=True, notes=("", "brief"))
    assert real.licence == "CC-BY-NC-SA-4.0"
    assert real.lines() == [
        "ACDC challenge, training and validation patients (see cmr-train)",
        "3 simulated anatomies: cine, vne",
        "brief",
    ]
    assert contrasts_of(entry_of(real)) == ("cine", "vne") and contrasts_of(entry_of(TrainingData())) == ()


def entry_of(data):
    return ModelEntry("toy", "toys", "a", "toy.safetensors", "", 4, {}, tuple(data.lines()), data.licence, "2024-05-06")


def test_a_model_is_installed_and_its_test_recorded(tmp_path):
    entry = entry_of(TrainingData(simulated=1))
    (tmp_path / "toy.safetensors").write_bytes(b"four")
    install_model(entry, tmp_path, tmp_path / "models")
    assert (tmp_path / "models" / "toy.safetensors").read_bytes() == b"four"
    record_test(tmp_path / "models" / "manifest.json", entry, {"dice": 0.9})
    (installed,) = read_manifest(tmp_path / "models" / "manifest.json")
    assert installed.accuracy == {"test": {"dice": 0.9}}
    with pytest.raises(OutputError, match="cannot be copied"):
        install_model(entry, tmp_path, tmp_path / "toy.safetensors")


def test_tables_come_back_from_results_and_documents(tmp_path):
    table = markdown_table(["tool", "ms"], [["ours", 1], ["theirs", "2 ± 1"]])
    assert table == "| tool | ms |\n| --- | ---: |\n| ours | 1 |\n| theirs | 2 ± 1 |"
    write_results(tmp_path, "speed", {"numbers": [1, 2], "tables": {"speed": table}})
    results = read_results_folder(tmp_path)
    assert results["speed"]["numbers"] == [1, 2] and {"version", "date"} <= set(results["speed"])
    document = "<!-- table speed -->\nold\n<!-- end -->\nText.\n<!-- table other -->\nkept\n<!-- end -->\n"
    filled = with_tables(document, tables_of(results))
    assert tables_in(filled) == {"speed": table, "other": "kept"} and "Text.\n" in filled
    assert with_tables(filled, tables_of(results)) == filled
    (tmp_path / "speed.json").write_text(json.dumps(results)[:30], encoding="utf-8")
    with pytest.raises(InputError, match="run its evaluation again"):
        read_results_folder(tmp_path)
