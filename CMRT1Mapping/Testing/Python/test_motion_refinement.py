"""Refinement of an estimated motion on the images themselves."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

torch = pytest.importorskip("torch")

from CMRLib.networks.warp import folded_share, jacobian_determinant  # noqa: E402
from CMRLib.simulation import simulate_study  # noqa: E402
from CMRT1MappingLib.motion import correction as motion_correction  # noqa: E402
from CMRT1MappingLib.motion.correction import correct_and_reconstruct  # noqa: E402
from CMRT1MappingLib.motion.estimation import MotionEstimate  # noqa: E402
from CMRT1MappingLib.motion.refinement import refine_motion  # noqa: E402

SPACING = (1.4, 1.4)


@pytest.fixture(scope="module", params=["shmolli", "5(3s)3"])
def moving(request):
    """A simulated acquisition with motion between its frames, and where its heart is."""
    study = simulate_study(
        7, slices=("mid",), scheme=request.param, snr=60.0, shape=(144, 160), spacing_mm=1.4, motion={"mid": "moderate"}
    )
    acquisition = study.acquisitions[0]
    return acquisition, gaussian_filter((acquisition.truth.labels > 0).astype(float), 3.0) > 0.2


def smooth_error(shape, length, seed=0):
    """A random displacement (frame, 2, row, column) of a mean length in pixels, zero mean over the frames."""
    field = gaussian_filter(np.random.default_rng(seed).normal(size=(shape[0], 2, *shape[1:])), (0, 0, 12, 12))
    field -= field.mean(axis=0)
    return (field * length / np.hypot(field[:, 0], field[:, 1]).mean()).astype(np.float32)


def error_in(displacement, acquisition):
    away = displacement - acquisition.truth.displacement
    away = away - away.mean(axis=0)
    return np.hypot(away[:, 0], away[:, 1])[:, acquisition.truth.labels == 1].mean()


def test_an_error_becomes_smaller_and_the_truth_stays(moving):
    acquisition, heart = moving
    truth = acquisition.truth.displacement
    wrong = truth + smooth_error(acquisition.images.shape, 0.8)
    refined = refine_motion(acquisition.images, wrong, heart, SPACING)
    assert error_in(refined, acquisition) < 0.75 * error_in(wrong, acquisition)
    assert error_in(refine_motion(acquisition.images, truth, heart, SPACING), acquisition) < 0.2
    np.testing.assert_allclose(refined.mean(axis=0), wrong.mean(axis=0), atol=1e-4)
    assert folded_share(torch.from_numpy(refined)) == 0.0


def test_only_the_surroundings_of_the_heart_change(moving):
    acquisition, heart = moving
    wrong = smooth_error(acquisition.images.shape, 0.8)
    refined = refine_motion(acquisition.images, wrong, heart, SPACING)
    rows, columns = np.nonzero(heart.any(axis=1))[0], np.nonzero(heart.any(axis=0))[0]
    outside = np.ones(heart.shape, bool)
    outside[max(rows[0] - 14, 0) : rows[-1] + 15, max(columns[0] - 14, 0) : columns[-1] + 15] = False
    assert outside.any() and np.array_equal(refined[:, :, outside], wrong[:, :, outside])
    assert np.abs(refined - wrong)[:, :, heart].mean() > 0.05
    nowhere = np.zeros_like(heart)
    assert refine_motion(acquisition.images, wrong, nowhere, SPACING) is wrong


def test_frames_in_another_order_and_unit_give_the_same(moving):
    acquisition, heart = moving
    wrong = smooth_error(acquisition.images.shape, 0.8)
    order = np.random.default_rng(1).permutation(len(wrong))
    first = refine_motion(acquisition.images, wrong, heart, SPACING)
    second = refine_motion(300.0 * acquisition.images[order], wrong[order], heart, SPACING)
    np.testing.assert_allclose(second, first[order], atol=2e-3)


def test_nothing_folds_even_where_the_images_do_not_belong_together():
    rng = np.random.default_rng(3)
    images = gaussian_filter(rng.normal(size=(7, 96, 96)), (0, 2, 2)).clip(0) * 1000.0
    refined = refine_motion(
        images.astype(np.float32), smooth_error(images.shape, 2.0), np.ones((96, 96), bool), SPACING, iterations=8
    )
    assert np.isfinite(refined).all()
    assert float(jacobian_determinant(torch.from_numpy(refined)).min()) > 0.0


def test_correction_takes_the_refined_motion_when_asked(moving, monkeypatch):
    acquisition, heart = moving
    wrong = acquisition.truth.displacement + smooth_error(acquisition.images.shape, 0.5)

    class Model:
        entry = None

    def estimate(images, spacing_mm, *, model, mirrored, progress):
        return MotionEstimate(wrong, heart.astype(np.float32), Model.entry, "cpu")

    monkeypatch.setattr(motion_correction, "estimate_motion", estimate)
    given = (acquisition.images, acquisition.inversion_times_ms, acquisition.phase, SPACING)
    plain, refined = (
        correct_and_reconstruct(*given, scheme=acquisition.scheme, model=Model, device="cpu", refine=refine)
        for refine in (False, True)
    )
    assert np.array_equal(plain.displacement, wrong)
    assert error_in(refined.displacement, acquisition) < error_in(wrong, acquisition)
    assert refined.kept and refined.r2_after > max(plain.r2_before, plain.r2_after)
