"""Landmarks from labels, splits by subject, banks of images, and simulated contrasts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from CMRLandmarksLib.grid import standard_image
from CMRLandmarksLib.research.dataset import (
    LandmarkBank,
    bank_of,
    labelled_slices,
    simulated_slices,
)
from CMRLandmarksLib.research.real_data import EPICARDIAL_RADIUS_MM, insertion_marks, rounding_spacing
from CMRLib.anatomy.insertions import landmarks_of_labels
from CMRLib.errors import InputError
from CMRLib.files.images import write_image
from CMRLib.geometry import Geometry
from CMRLib.simulation.contrasts import CONTRASTS
from CMRLib.training.labelled_folders import ACDC, EMIDEC
from CMRLib.training.splits import SPLITS, split_of, subject_of


def drawn_labels(shape=(120, 140), center=(60.0, 75.0)) -> np.ndarray:
    """A ring with a right ventricle that touches it between 10 and 8 o'clock and beyond."""
    y, x = np.indices(shape)
    radius = np.hypot(y - center[0], x - center[1])
    labels = np.zeros(shape, dtype=np.uint8)
    angle = np.rad2deg(np.arctan2(y - center[0], x - center[1])) % 360.0
    labels[(radius < 45) & (angle > 150) & (angle < 250)] = 1
    labels[radius < 25] = 2
    labels[radius < 16] = 3
    return labels


def test_landmarks_follow_from_where_the_right_ventricle_touches_the_myocardium():
    center, anterior, inferior = landmarks_of_labels(drawn_labels())
    assert center == pytest.approx([60.0, 75.0], abs=0.1)
    for point, degrees in ((anterior, 250.0), (inferior, 150.0)):
        expected = 60 + 24.5 * np.sin(np.deg2rad(degrees)), 75 + 24.5 * np.cos(np.deg2rad(degrees))
        assert np.hypot(*(point - expected)) < 2.0


def test_labels_without_a_right_ventricle_give_the_centre_alone():
    labels = drawn_labels()
    labels[labels == 1] = 0
    points = landmarks_of_labels(labels)
    assert np.isfinite(points[0]).all() and np.isnan(points[1:]).all()
    labels[labels == 3] = 0
    assert np.isnan(landmarks_of_labels(labels)).all()


@pytest.mark.parametrize(
    "subject, split",
    [("patient005", "test"), ("patient010", "test"), ("patient011", "validation"), ("patient012", "training")],
)
def test_the_split_is_by_the_subjects_number(subject, split):
    assert split_of(subject) == split


def test_both_frames_of_a_patient_are_one_subject(tmp_path):
    assert subject_of(tmp_path / "patient012_frame01.nii.gz") == "patient012"
    assert subject_of(tmp_path / "Case_N006.nii.gz") == "Case_N006"


def test_a_labelled_folder_gives_the_slices_that_show_the_ventricle(tmp_path):
    labels = np.stack([np.zeros((120, 140), dtype=np.uint8), drawn_labels(), drawn_labels()])
    geometry = Geometry(spacing=(1.4, 1.4, 10.0))
    write_image(tmp_path / "patient002_frame01.nii.gz", labels * 40.0 + 3.0, geometry)
    write_image(tmp_path / "patient002_frame01_gt.nii.gz", labels, geometry)
    slices = list(labelled_slices(tmp_path, ACDC))
    assert len(slices) == 2
    bank = bank_of(slices)
    assert bank.images.shape == (2, 384, 384) and len(bank.labels) == 2
    # 1.4 mm pixels: the ventricle's centre keeps its distance from the image's centre in mm.
    expected = 191.5 + 1.4 * (np.array([60.0, 75.0]) - [59.5, 69.5])
    assert bank.points[0, 0] == pytest.approx(expected, abs=0.2)
    row, column = np.rint(bank.points[0, 0]).astype(int)
    assert bank.labels[0, row, column] == 3


def test_emidec_labels_count_infarct_as_myocardium(tmp_path):
    y, x = np.indices((80, 80))
    radius = np.hypot(y - 40, x - 40)
    labels = np.where(radius < 10, 1, np.where(radius < 18, np.where(x > 40, 3, 2), 0)).astype(np.uint8)
    write_image(tmp_path / "Case_P001.nii.gz", labels[None] + 1.0, Geometry())
    write_image(tmp_path / "Case_P001_gt.nii.gz", labels[None], Geometry())
    (item,) = labelled_slices(tmp_path, EMIDEC)
    assert np.array_equal(item.labels == 2, (labels == 2) | (labels == 3))
    assert item.points[0] == pytest.approx([40.0, 40.0], abs=0.1) and np.isnan(item.points[1:]).all()


def test_emidec_images_are_turned_to_the_usual_view(tmp_path):
    """On display the image's rows are the file's columns from right to left, its columns the file's rows upwards."""
    image = np.random.default_rng(0).random((1, 40, 40)).astype(np.float32) + 1.0
    labels = np.zeros((1, 40, 40), dtype=np.uint8)
    labels[0, 8:20, 22:34], labels[0, 11:17, 25:31] = 2, 1
    write_image(tmp_path / "Case_N001.nii.gz", image, Geometry())
    write_image(tmp_path / "Case_N001_gt.nii.gz", labels, Geometry())
    (item,) = labelled_slices(tmp_path, EMIDEC)
    shown, placement = standard_image(item.image, replace(item.geometry, spacing=(1.0, 1.0, 1.0)), 40)
    assert np.array_equal(shown, image[0, ::-1, ::-1].T)
    assert placement.to_target(item.points[0]) == pytest.approx([39 - 27.5, 39 - 13.5])


def test_a_spacing_makes_the_epicardium_round_and_of_usual_size():
    y, x = np.indices((100, 120))
    ring = np.where(np.hypot((y - 50) / 40.0, (x - 60) / 20.0) < 1.0, 2, 0).astype(np.uint8)
    ring[45:55, 55:65] = 0  # a cavity that nobody labelled counts as inside
    column, row, _ = rounding_spacing([ring, ring])
    assert (40.0 * row, 20.0 * column) == pytest.approx((EPICARDIAL_RADIUS_MM, EPICARDIAL_RADIUS_MM), rel=0.03)


def test_marked_insertions_are_known_and_unmarked_ones_are_not(tmp_path):
    marks = insertion_marks()
    (case, number), points = next(iter(marks.items()))
    assert points.shape == (2, 2) and len(insertion_marks(1)) > len(marks) > len(insertion_marks(3)) > 0
    assert {split_of(name) for name, _ in marks} == set(SPLITS)
    labels = np.zeros((number + 2, 256, 256), dtype=np.uint8)
    labels[:, 100:140, 90:130], labels[:, 110:130, 100:120] = 2, 1
    write_image(tmp_path / f"{case}.nii.gz", labels + 1.0, Geometry())
    write_image(tmp_path / f"{case}_gt.nii.gz", labels, Geometry())
    slices = list(labelled_slices(tmp_path, EMIDEC))
    assert [item.slice for item in slices] == list(range(number + 2))
    assert np.array_equal(slices[number].points[1:], points)
    missing = [k for k in range(number + 2) if (case, k) not in marks]
    assert missing and np.isnan(slices[missing[0]].points[1:]).all()


def test_marked_insertions_lie_on_the_epicardium(real_data):
    marks = insertion_marks()
    seen = 0
    for item in labelled_slices(real_data / "emidec-dev", EMIDEC):
        if (item.subject, item.slice) in marks:
            rows, columns = np.rint(item.points[1:]).astype(int).T
            near = [item.labels[r - 2 : r + 3, c - 2 : c + 3] for r, c in zip(rows, columns, strict=True)]
            assert all((patch == 2).any() and (patch == 0).any() for patch in near)
            seen += 1
    assert seen == len(marks)


def acdc_folder(folder, name="patient002_frame01"):
    labels = drawn_labels()[None]
    write_image(folder / f"{name}.nii.gz", labels * 40.0 + 3.0, Geometry())
    write_image(folder / f"{name}_gt.nii.gz", labels, Geometry())


def test_true_spacings_replace_the_headers(tmp_path):
    acdc_folder(tmp_path)
    (item,) = labelled_slices(tmp_path, ACDC)
    assert item.geometry.spacing == (1.0, 1.0, 1.0)
    (tmp_path / "spacing.csv").write_text("image,row_mm,column_mm,slice_mm\npatient002_frame01,1.5,1.25,10\n")
    (item,) = labelled_slices(tmp_path, ACDC)
    assert item.geometry.spacing == (1.25, 1.5, 10.0)


@pytest.mark.parametrize(
    "table, sentence",
    [
        ("image,row_mm,column_mm,slice_mm\npatient003_frame01,1.5,1.5,10\n", "no spacing of patient002_frame01"),
        ("image,row_mm,column_mm,slice_mm\npatient002_frame01,wide,1.5,10\n", "not a table of spacings"),
        ("name\npatient002_frame01\n", "not a table of spacings"),
    ],
)
def test_a_spacing_that_is_missing_or_no_number_is_refused(tmp_path, table, sentence):
    acdc_folder(tmp_path)
    (tmp_path / "spacing.csv").write_text(table)
    with pytest.raises(InputError, match=sentence):
        list(labelled_slices(tmp_path, ACDC))


def test_labels_of_another_size_are_refused(tmp_path):
    write_image(tmp_path / "patient001.nii.gz", np.zeros((1, 20, 20)), Geometry())
    write_image(tmp_path / "patient001_gt.nii.gz", np.zeros((1, 20, 21), dtype=np.uint8), Geometry())
    with pytest.raises(InputError, match="differ in size"):
        list(labelled_slices(tmp_path, ACDC))


def test_a_folder_without_pairs_is_refused(tmp_path):
    with pytest.raises(InputError, match="no image with labels"):
        list(labelled_slices(tmp_path, ACDC))


@pytest.fixture(scope="module")
def simulated() -> list:
    return list(simulated_slices([4]))


def test_simulated_contrasts_share_anatomy_and_differ_in_appearance(simulated):
    assert sorted(item.contrast for item in simulated) == sorted(CONTRASTS)
    first = simulated[0]
    for item in simulated:
        assert np.array_equal(item.points, first.points) and item.labels is first.labels
        assert item.image.dtype == np.float32 and np.isfinite(item.image).all()
        row, column = np.rint(item.points[0]).astype(int)
        assert item.labels[row, column] == 3
    by_contrast = {item.contrast: item for item in simulated}
    means = {
        name: [float(item.image[item.labels == value].mean()) for value in (2, 3)] for name, item in by_contrast.items()
    }
    assert means["t1_rest"][0] < means["t1_rest"][1]  # blood's T1 is longer
    assert means["t1_post"][0] > means["t1_post"][1]  # and shorter after contrast
    assert means["cine"][0] < means["cine"][1]
    assert means["lge_magnitude"][0] < means["lge_magnitude"][1]
    assert 800 < means["t1_rest"][0] < 1500 and 300 < means["t1_post"][0] < 900


def test_the_same_seed_gives_the_same_images(simulated):
    again = list(simulated_slices([4]))
    assert all(np.array_equal(a.image, b.image) for a, b in zip(simulated, again, strict=True))


def test_an_unknown_contrast_is_refused():
    with pytest.raises(InputError, match="no contrast 'flair'"):
        list(simulated_slices([1], ["flair"]))


def test_banks_join_select_and_come_back_from_a_file(tmp_path, simulated):
    bank = bank_of(simulated[:2])
    joined = LandmarkBank.joined([bank, bank_of(simulated[2:4])])
    assert joined.label_of.tolist() == [0, 0, 1, 1]
    chosen = joined.select(lambda subject, contrast: contrast == simulated[3].contrast)
    assert len(chosen) == 1 and chosen.label_of.tolist() == [1]
    joined.save(tmp_path / "bank.npz")
    loaded = LandmarkBank.load(tmp_path / "bank.npz")
    assert np.array_equal(loaded.images, joined.images) and loaded.contrasts == joined.contrasts
    (tmp_path / "bank.npz").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(InputError, match="delete it"):
        LandmarkBank.load(tmp_path / "bank.npz")
