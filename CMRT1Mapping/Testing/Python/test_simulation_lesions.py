"""Scars in the simulator: where each kind lies, and how it looks in LGE."""

import numpy as np
import pytest

from CMRLib.errors import InputError
from CMRLib.simulation.anatomy import ParametricAnatomy
from CMRLib.simulation.contrasts import render_contrast
from CMRLib.simulation.lesions import PATTERNS, _along_wall, _depth, random_lesion

SPACING = 1.2


@pytest.fixture(scope="module")
def body():
    anatomy = ParametricAnatomy.random(4)
    return anatomy.slice("mid", anatomy.field_of_view(SPACING), SPACING)


def lesions(body, pattern, count=12):
    return [random_lesion(body, SPACING, np.random.default_rng(seed), pattern) for seed in range(count)]


def share_by_depth(body, lesion):
    """Mean scar share in the inner, middle and outer third of the wall."""
    depth, wall = _depth(body), body.fractions[body.tissues.index("myocardium")] > 0.9
    thirds = [wall & (depth >= low) & (depth < low + 1 / 3) for low in (0.0, 1 / 3, 2 / 3)]
    return np.array([lesion.scar[third].mean() for third in thirds])


@pytest.mark.parametrize("pattern", PATTERNS)
def test_scars_lie_in_the_wall(body, pattern):
    wall = body.fractions[body.tissues.index("myocardium")]
    for lesion in lesions(body, pattern):
        assert lesion.pattern == pattern and lesion.scar.dtype == np.float32
        assert (lesion.scar <= wall + 1e-5).all() and (lesion.no_reflow <= lesion.scar + 1e-5).all()
    assert max(lesion.scar.sum() for lesion in lesions(body, pattern)) * SPACING**2 > 30.0


def test_patterns_differ_in_depth(body):
    inner, middle, outer = np.mean([share_by_depth(body, item) for item in lesions(body, "subendocardial")], axis=0)
    assert inner > 2 * outer
    inner, middle, outer = np.mean([share_by_depth(body, item) for item in lesions(body, "mid-wall")], axis=0)
    assert middle > 2 * inner and middle > 2 * outer
    inner, middle, outer = np.mean([share_by_depth(body, item) for item in lesions(body, "transmural")], axis=0)
    assert outer > 0.5 * inner


def test_only_transmural_scars_have_a_core_without_reflow(body):
    assert any(lesion.no_reflow.sum() > 5 for lesion in lesions(body, "transmural"))
    for pattern in set(PATTERNS) - {"transmural"}:
        assert not any(lesion.no_reflow.any() for lesion in lesions(body, pattern))


def test_insertion_scars_lie_at_the_insertions(body):
    along, (anterior, inferior) = _along_wall(body)
    for lesion in lesions(body, "insertion"):
        where = along[lesion.scar > 0.4]
        assert where.size
        away = [np.abs((where - point + 180.0) % 360.0 - 180.0) for point in (anterior, inferior)]
        assert np.all(np.minimum(*away) < 45.0)


def test_the_septum_is_measured_along_the_right_ventricle(body):
    along, (anterior, inferior) = _along_wall(body)
    rows, columns = np.argwhere(body.fractions[body.tissues.index("right blood")] > 0.9).T
    angle = along[rows, columns]
    assert anterior == 0.0 and 60.0 < inferior < 180.0
    assert np.mean((angle > 0) & (angle < inferior)) > 0.8


def test_a_scar_is_bright_in_lge_and_its_core_is_not(body):
    lesion = next(item for item in lesions(body, "transmural", 40) if item.no_reflow.sum() * SPACING**2 > 60)
    healthy = type(lesion)("transmural", 0 * lesion.scar, 0 * lesion.no_reflow)
    core = lesion.no_reflow > 0.8
    rim = (lesion.scar > 0.8) & (lesion.no_reflow < 0.1)
    images = [render_contrast(body, "lge_psir", SPACING, np.random.default_rng(1), item) for item in (lesion, healthy)]
    assert images[0][rim].mean() > images[1][rim].mean() + 3 * images[1][rim].std()
    assert images[0][core].mean() < images[0][rim].mean() - 3 * images[1][rim].std()


def test_an_unknown_pattern_is_told(body):
    with pytest.raises(InputError, match="subendocardial"):
        random_lesion(body, SPACING, np.random.default_rng(0), "burn")


def test_without_a_cavity_there_is_no_scar(body):
    from dataclasses import replace

    fractions = body.fractions.copy()
    fractions[[body.tissues.index(n) for n in ("left blood", "papillary muscle")]] = 0.0
    assert not random_lesion(replace(body, fractions=fractions), SPACING, np.random.default_rng(0)).scar.any()
