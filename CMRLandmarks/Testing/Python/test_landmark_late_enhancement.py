"""Late enhancement painted on labelled images."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from CMRLandmarksLib.research.late_enhancement import late_enhanced  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

SIZE, COUNT = 64, 200


def hearts():
    """Images, labels (RV, myocardium, LV) and landmarks of one drawn heart, many times; the upper rows hold no data."""
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    radius = torch.hypot(y - 36.0, x - 36.0)
    right = (torch.hypot(y - 36.0, x - 22.0) < 14) & (radius >= 16)
    labels = torch.stack([right, (radius < 16) & (radius >= 10), radius < 10]).float().expand(COUNT, -1, -1, -1)
    image = 0.3 + 0.4 * labels[:, :1] + 0.4 * labels[:, 2:] + torch.zeros(COUNT, 1, SIZE, SIZE)
    image[:, :, :6] = 0.0
    points = torch.tensor([[36.0, 36.0], [22.0, 28.0], [50.0, 28.0]]).expand(COUNT, -1, -1)
    return image, labels, points


def painted(seed=0, change=lambda points: points):
    image, labels, points = hearts()
    return late_enhanced(image, labels, change(points), torch.Generator().manual_seed(seed)), labels


def mean(image, label):
    return (image[:, 0] * label).sum(dim=(1, 2)) / label.sum(dim=(1, 2))


def test_no_data_stays_no_data_and_all_else_shows_something():
    image, _ = painted()
    assert not image[:, :, :6].any() and (image[:, :, 6:] > 0).all() and torch.isfinite(image).all()


def test_contrasts_of_blood_and_myocardium_are_of_every_kind():
    image, labels = painted()
    right, myocardium, left = (mean(image, labels[:, i]) for i in range(3))
    brighter = (left > myocardium + 0.1).float().mean()
    assert 0.4 < brighter < 0.95 and (left < myocardium).float().mean() > 0.03
    assert (right - left).abs().median() < 0.1  # both cavities hold the same blood


def test_scars_are_bright_patches_of_the_myocardium_only():
    image, labels = painted()
    inside = image[:, 0][:, (labels[0, 1] > 0)]
    cavity = image[:, 0][:, (labels[0, 2] > 0)]
    spread = inside.std(dim=1)
    assert (spread > 2.0 * cavity.std(dim=1)).float().mean() > 0.3


def test_the_same_seed_paints_the_same_and_unknown_insertions_are_no_obstacle():
    first, _ = painted(seed=4)
    assert torch.equal(first, painted(seed=4)[0]) and not torch.equal(first, painted(seed=5)[0])
    unknown, _ = painted(
        change=lambda points: torch.where(torch.tensor([[[1.0], [0.0], [0.0]]]) > 0, points, torch.nan)
    )
    assert torch.isfinite(unknown).all()
