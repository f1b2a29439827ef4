"""Evaluation sets: groups, splits, repeatability, and that their truth is what moved the images."""

from collections import Counter

import numpy as np
import pytest
from test_simulation_irw_sets import patients

from CMRLib.errors import InputError

torch = pytest.importorskip("torch")

from CMRLib.networks.warp import compose, folded_share, warp  # noqa: E402
from CMRLib.training.splits import split_of, subject_of  # noqa: E402
from CMRT1MappingLib.research.irw_evaluation import (  # noqa: E402
    EVALUATION_SETS,
    evaluation_set,
    severity_of_set,
)

__all__ = ["patients"]


@pytest.fixture(scope="module")
def severe():
    return evaluation_set(0)


def aligned(images, displacement):
    return warp(torch.from_numpy(images)[:, None], torch.from_numpy(displacement))[:, 0].numpy()


def test_the_groups_are_those_of_the_thesis():
    expected = {"severe": 50, "moderate": 100, "mild": 25, "none": 25}
    assert Counter(map(severity_of_set, range(EVALUATION_SETS))) == expected
    for half in (0, 1):
        counts = Counter(map(severity_of_set, range(half, EVALUATION_SETS, 2)))
        assert counts["severe"] == 25
        assert counts["moderate"] == 50
        assert 12 <= counts["none"] <= 13


def test_a_set_is_like_a_scan(severe):
    frames, rows, columns = severe.images.shape
    assert (frames, rows, columns) == (7, 288, 384)
    assert severe.spacing_mm == 0.9375
    assert (severe.subject, severe.severity, severe.scheme) == ("SIM900000", "severe", "shmolli")
    assert len(severe.inversion_times_ms) == frames
    for part in (severe.images, severe.phase, severe.still_images, severe.still_phase):
        assert part.shape == severe.images.shape
        assert part.dtype == np.float32
    for part in (severe.displacement, severe.moved):
        assert part.shape == (frames, 2, rows, columns)
        assert part.dtype == np.float32
    assert severe.images.min() >= 0
    assert set(np.unique(severe.labels)) == {0, 1, 2, 3}
    assert 0.9 < severe.myocardium.max() <= 1.0


def test_the_truth_has_no_net_motion_and_no_folds_and_is_inverse(severe):
    displacement, moved = torch.from_numpy(severe.displacement), torch.from_numpy(severe.moved)
    assert float(displacement.mean(dim=0).abs().max()) < 1e-5
    assert folded_share(displacement) == 0.0
    assert float(compose(moved, displacement)[:, :, 24:-24, 24:-24].abs().max()) < 0.02
    wall = np.hypot(*np.moveaxis(severe.displacement, 1, 0))[:, severe.labels == 1] * severe.spacing_mm
    assert 2.5 < wall.mean() < 8.0


def test_the_truth_aligns_the_images(severe):
    """Complex images warped by the displacement differ from the still ones by little more than noise."""
    complex_images = severe.images * np.exp(1j * severe.phase)
    still = severe.still_images * np.exp(1j * severe.still_phase)
    heart = severe.labels > 0
    real, imaginary = (
        aligned(np.ascontiguousarray(part), severe.displacement)
        for part in (complex_images.real.astype(np.float32), complex_images.imag.astype(np.float32))
    )
    after = np.abs(np.abs(real + 1j * imaginary) - np.abs(still))[:, heart]
    before = np.abs(np.abs(complex_images) - np.abs(still))[:, heart]
    assert after.mean() < 0.6 * before.mean()
    assert after.mean() < 2.5 * severe.noise_sd


def test_without_motion_only_the_noise_differs():
    found = next(evaluation_set(n) for n in range(0, 20, 2) if severity_of_set(n) == "none")
    assert not found.displacement.any()
    assert not found.moved.any()
    difference = found.images * np.exp(1j * found.phase) - found.still_images * np.exp(1j * found.still_phase)
    assert difference.real.std() == pytest.approx(found.noise_sd, rel=0.05)
    assert difference.imag.std() == pytest.approx(found.noise_sd, rel=0.05)


def test_the_same_number_gives_the_same_set(severe):
    again = evaluation_set(0)
    assert np.array_equal(again.images, severe.images)
    assert np.array_equal(again.displacement, severe.displacement)


def test_odd_numbers_show_test_patients(patients):
    tested = [evaluation_set(n, patients) for n in (1, 3, 5)]
    assert [item.subject for item in tested] == ["patient005", "patient010", "patient010"]
    assert all(split_of(item.subject) == "test" for item in tested)
    assert not np.array_equal(tested[1].labels, tested[2].labels)


def test_a_fifth_is_molli():
    assert evaluation_set(8).scheme == "molli"
    assert evaluation_set(8).images.shape[0] == 8


def test_what_cannot_be_made_is_refused(tmp_path, patients):
    with pytest.raises(InputError, match="0 to 199"):
        evaluation_set(200)
    with pytest.raises(InputError, match="give the folder"):
        evaluation_set(1)
    with pytest.raises(InputError, match="no image"):
        evaluation_set(1, tmp_path)


@pytest.mark.real_data
def test_every_odd_number_shows_another_slice(real_data):
    folder = real_data / "acdc-dev"
    tested = {subject_of(path) for path in folder.glob("*_gt.nii.gz")}
    found = [evaluation_set(n, folder) for n in (1, 3, 41, 81)]
    assert all(item.subject in tested and split_of(item.subject) == "test" for item in found)
    assert len({(item.subject, item.labels.shape, int(item.labels.sum())) for item in found}) == len(found)
