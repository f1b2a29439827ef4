"""Simulated pairs of rest and stress: the truth they come with is true."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pairs_bank import small_bank  # noqa: E402

from CMRLib.errors import InputError  # noqa: E402
from CMRLib.networks.warp import folded_share, invert, warp  # noqa: E402
from CMRStressReactivityLib.research.pairs import RESPONSES, random_pairs  # noqa: E402
from CMRStressReactivityLib.research.scenes import SIZE, SPLEEN, make_scenes  # noqa: E402


def pairs(count=3, seed=1, **options):
    return random_pairs(small_bank(), count, torch.Generator().manual_seed(seed), **options)


def overlap(one, other):
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def test_scenes_show_a_heart_in_their_middle():
    bank = small_bank()
    assert bank.t1.shape[1:] == (SIZE, SIZE) and set(np.unique(bank.labels)) <= {0, 1, 2, 3, SPLEEN}
    for t1, labels, depth, points in zip(bank.t1, bank.labels, bank.depth, bank.landmarks, strict=True):
        wall = labels == 2
        assert 900 < np.median(t1[wall]) < 1450 < np.median(t1[labels == 3])
        assert np.array_equal(depth < 255, wall)
        assert np.abs(points[0] - (SIZE - 1) / 2).max() < 1.0 and labels[tuple(np.rint(points[0]).astype(int))] == 3


def test_scenes_of_other_splits_are_refused():
    with pytest.raises(InputError, match="belongs to the test anatomies"):
        make_scenes([900_000], None, "training")
    with pytest.raises(InputError, match="nothing to put"):
        make_scenes([], None, "training")


def test_the_displacement_leads_to_what_rest_shows():
    batch = pairs(6, varied=False)
    inside = batch.myocardium > 0.5
    back = warp(batch.moved, batch.displacement) > 0.5
    assert overlap(inside, back) > 0.97 > overlap(inside, batch.moved > 0.5)
    assert folded_share(batch.displacement) == 0.0
    moved = warp(batch.stress, batch.displacement)
    left = (moved - batch.unmoved)[inside]
    # What is left is the errors of T1 and nothing that has a side.
    assert abs(float(left.mean())) < 0.01 * float(batch.unmoved[inside].mean())
    assert float(left.abs().mean()) < 1.5 * float(batch.errors[:, 1:][inside].mean())


def test_the_same_generator_gives_the_same_pairs():
    one, other = pairs(), pairs()
    assert torch.equal(one.stress, other.stress) and not torch.equal(one.stress, pairs(seed=2).stress)


@pytest.mark.parametrize("response", RESPONSES)
def test_responses_are_what_they_are_called(response):
    batch = pairs(6, response=response, varied=False)
    # Of whole pixels of myocardium: partial ones hold the change of blood too.
    inside = batch.myocardium > 0.99
    change = 100 * (batch.unmoved - batch.clean) / batch.clean
    low, high = (np.array([float(change[i][inside[i]].quantile(q)) for i in range(6)]) for q in (0.05, 0.95))
    if response == "none":
        assert np.allclose([low, high], 0.0, atol=1e-3)
    elif response == "global":
        assert np.all(low > 3.0) and np.all(high - low < 0.5)
    elif response == "negative":
        assert np.all(high < -0.9)
    elif response == "microvascular":
        assert np.all(high < 4.1) and np.all(low < high)
    else:
        assert np.all(low < 1.1) and np.all(high > 3.0)


def test_maps_have_the_errors_they_are_said_to_have():
    batch = pairs(6, varied=False, response="none")
    inside = batch.myocardium > 0.99
    scaled = ((batch.rest - batch.clean) / batch.errors[:, :1])[inside]
    assert 0.7 < float(scaled.std()) < 1.5 and abs(float(scaled.mean())) < 0.4


def test_landmarks_follow_the_scene():
    batch = pairs(6)
    for mask, points in zip(batch.heart[:, 0], batch.landmarks, strict=True):
        row, column = points[0].round().int().tolist()
        assert mask[row, column] > 0.5


def test_pairs_are_as_far_apart_as_the_thesis_says():
    """Dice 0.56 ± 0.22 before registration (chapter 3)."""
    batch = pairs(48, seed=3, varied=False)
    inside, moved = batch.myocardium > 0.5, batch.moved > 0.5
    dice = [overlap(a, b) for a, b in zip(inside, moved, strict=True)]
    assert np.mean(dice) == pytest.approx(0.56, abs=0.1) and np.std(dice) == pytest.approx(0.22, abs=0.06)


def test_the_way_back_is_the_inverse():
    batch = pairs(2, varied=False)
    back = invert(batch.displacement)
    inside = batch.moved > 0.5
    there = warp(batch.displacement, back) + back
    assert float(there.norm(dim=1, keepdim=True)[inside].max()) < 0.05
