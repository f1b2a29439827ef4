"""Which registrations are doubted, and for what reason."""

import numpy as np
import pytest

pytest.importorskip("torch")

from CMRStressReactivityLib.judgement import dice, judge, likeness
from CMRStressReactivityLib.registration import Registration

SPACING = (1.2, 1.2)
ROWS, COLUMNS = np.indices((96, 96)) - 47.5


def heart(down=0.0):
    """A bright cavity in a darker wall within something else, and its wall."""
    radius = np.hypot(ROWS - down, COLUMNS)
    noise = np.random.default_rng(0).standard_normal((96, 96))
    return np.select([radius < 14, radius < 22], [1700.0, 1000.0], 600.0) + 20 * noise, (radius >= 14) & (radius < 22)


def shifted(by):
    return Registration(np.stack([np.full((96, 96), by), np.zeros((96, 96))]).astype(np.float32), None, "cpu")


AROUND = np.hypot(ROWS, COLUMNS) < 27


def test_the_right_answer_is_not_doubted():
    (rest, wall), (stress, moved) = heart(), heart(4.0)
    found = judge(rest, 1.06 * stress, shifted(4.0), AROUND, SPACING, contours=(wall, moved))
    assert not found.is_doubtful and found.likeness > found.likeness_before and found.folded == 0.0
    assert found.dice > 0.95 > found.dice_before and found.moved_mm == pytest.approx(4.8, rel=1e-3)


@pytest.mark.parametrize(("by", "reason"), [(-4.0, "no more alike"), (20.0, "would have moved by 24 mm")])
def test_wrong_answers_are_doubted(by, reason):
    (rest, wall), (stress, moved) = heart(), heart(4.0)
    found = judge(rest, stress, shifted(by), AROUND, SPACING, contours=(wall, moved))
    assert any(reason in sentence for sentence in found.reasons)
    assert any("overlap little" in sentence for sentence in found.reasons)


def test_folds_and_slices_that_do_not_match_are_doubted():
    rest, _ = heart()
    folding = shifted(0.0)
    folding.displacement[0] = (-2.0 * ROWS).astype(np.float32) * (np.abs(ROWS) < 10)
    found = judge(rest, rest, folding, AROUND, SPACING, doubt="The stress slice lies 9 mm from the rest slice.")
    assert found.reasons[0].startswith("The stress slice lies") and any("folds" in r for r in found.reasons)
    assert found.dice is None and found.dice_before is None


def test_likeness_does_not_ask_how_high_t1_is():
    rest, _ = heart()
    assert likeness(rest, 0.9 * rest + 120.0, AROUND) == pytest.approx(likeness(rest, rest, AROUND), abs=0.02)
    assert likeness(rest, heart(6.0)[0], AROUND) < 0.7 * likeness(rest, rest, AROUND)


def test_dice_of_nothing_is_zero():
    nothing = np.zeros((3, 3), bool)
    assert dice(nothing, nothing) == 0.0 and dice(~nothing, ~nothing) == 1.0
