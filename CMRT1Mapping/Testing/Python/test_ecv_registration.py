"""Registration of a post-contrast T1 map to its native map."""

import numpy as np
import pytest
from ecv_phantom import SIZE, SPACING_MM, rings
from scipy import ndimage

from CMRLib.errors import InputError
from CMRT1MappingLib.ecv.placement import Placement, sampled
from CMRT1MappingLib.ecv.registration import AS_ACQUIRED, DEFORMED, SHIFTED, align

SPACING = (SPACING_MM, SPACING_MM)


def test_a_shift_is_found_across_the_change_of_contrast() -> None:
    heart = rings(noise=0.02, shift=(5.0, -6.0))
    found = align(heart.native, heart.post, heart.wall | heart.pool, SPACING)
    inside = heart.wall
    assert found.outcome == SHIFTED
    np.testing.assert_allclose(found.displacement[0][inside], 5.0, atol=0.3)
    np.testing.assert_allclose(found.displacement[1][inside], -6.0, atol=0.3)
    assert found.moved_mm == pytest.approx(np.hypot(5, 6) * SPACING_MM, abs=0.5)
    assert found.likeness > found.likeness_before + 0.1 and not found.is_doubtful


def test_maps_that_lie_well_stay_as_they_are() -> None:
    heart = rings(noise=0.02)
    found = align(heart.native, heart.post, heart.wall | heart.pool, SPACING)
    assert found.outcome == AS_ACQUIRED
    assert not found.displacement.any()


def test_a_deformed_heart_is_followed() -> None:
    heart = rings(noise=0.01)
    row, column = np.indices((SIZE, SIZE), dtype=float) - (SIZE - 1) / 2.0
    squeezed = 1.0 + 0.16 * np.exp(-(row**2 + column**2) / (2 * 18.0**2))
    places = np.stack([row * squeezed, column * squeezed]) + (SIZE - 1) / 2.0
    post = ndimage.map_coordinates(heart.post, places, order=1, mode="nearest")
    found = align(heart.native, post, heart.wall | heart.pool, SPACING)
    assert found.outcome == DEFORMED
    brought = sampled(post, Placement(np.eye(2), np.zeros(2)).places((SIZE, SIZE), found.displacement))
    wrong = [np.mean(np.abs(image - heart.post)[heart.wall]) for image in (post, brought)]
    assert wrong[1] < 0.5 * wrong[0]


def test_the_same_maps_give_the_same_displacement() -> None:
    heart = rings(noise=0.02, shift=(2.0, 3.0))
    answers = [align(heart.native, heart.post, heart.wall | heart.pool, SPACING).displacement for _ in range(5)]
    assert all(np.array_equal(answer, answers[0]) for answer in answers)


def test_maps_of_different_things_are_doubtful() -> None:
    heart = rings()
    noise = np.random.default_rng(5).uniform(300.0, 700.0, heart.post.shape).astype(np.float32)
    found = align(heart.native, noise, heart.wall | heart.pool, SPACING)
    assert any("hardly alike" in reason for reason in found.reasons)


def test_a_map_without_the_heart_is_refused() -> None:
    heart = rings()
    with pytest.raises(InputError, match="do not both show the left ventricle"):
        align(heart.native, np.zeros_like(heart.post), heart.wall | heart.pool, SPACING)


def test_registration_can_be_cancelled() -> None:
    heart = rings()

    def stop(fraction: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        align(heart.native, heart.post, heart.wall | heart.pool, SPACING, stop)
