"""Predicting landmarks: exact way back to the source, hard images, faults, and the accuracy of the shipped model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from CMRLandmarksLib.confidence import (  # noqa: E402
    FEATURES,
    NOMINAL_CHANGE,
    NOMINAL_SHIFT_MM,
    USUAL_HEADING,
    USUAL_OPENING,
    ConfidenceModel,
    area_under_curve,
    fit_confidence,
    implausibility,
    threshold_of,
)
from CMRLandmarksLib.networks import STAGE1, STAGE2, HeatmapNetwork  # noqa: E402
from CMRLandmarksLib.prediction import BLANK, load_landmark_model, predict_landmarks  # noqa: E402
from CMRLandmarksLib.research.dataset import simulated_slices  # noqa: E402
from CMRLandmarksLib.research.evaluation import errors_of, generalisation_error_rate, points_of, summarise  # noqa: E402
from CMRLib.anatomy.landmarks import LANDMARK_NAMES  # noqa: E402
from CMRLib.errors import Cancelled, DeviceError, InputError, MissingDependencyError  # noqa: E402
from CMRLib.geometry import Geometry  # noqa: E402
from CMRLib.networks.models import write_weights  # noqa: E402
from CMRLib.simulation.study import short_axis_geometry  # noqa: E402
from CMRLib.training.splits import TEST_SEED  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory):
    """A model that was never trained: its answers mean nothing, but they depend on the image as a trained one's do."""
    torch.manual_seed(1)
    tensors = {}
    for name, shape in (("stage1", STAGE1), ("stage2", STAGE2)):
        network = HeatmapNetwork(shape)
        with torch.no_grad():
            network.head.weight.mul_(30.0)
        tensors.update({f"{name}.{key}": value for key, value in network.state_dict().items()})
    confidence = ConfidenceModel(
        np.zeros(len(FEATURES)), np.ones(len(FEATURES)), np.full((3, len(FEATURES) + 1), 0.01), 0.5
    )
    path = tmp_path_factory.mktemp("weights") / "untrained.safetensors"
    write_weights(
        path,
        tensors,
        id="untrained",
        task="landmarks",
        architecture="compact",
        input={"crop_size": 128, "line_px": 36.0, "passes": 2, "confidence": confidence.to_dict()},
        training_data=["none"],
        licence="Apache-2.0",
        date="2024-01-01",
    )
    return path


@pytest.fixture(scope="module")
def untrained(weights_file):
    return load_landmark_model(weights_file, "cpu")


@pytest.fixture(scope="module")
def shipped():
    return load_landmark_model(device="cpu")


@pytest.fixture(scope="module")
def simulated():
    return list(simulated_slices(range(TEST_SEED, TEST_SEED + 6), per_seed=3))


def as_patient(points: np.ndarray, geometry: Geometry) -> np.ndarray:
    """LPS positions of (row, column) points."""
    ijk = np.column_stack([points[:, 1], points[:, 0], np.zeros(len(points)), np.ones(len(points))])
    return (geometry.ijk_to_lps() @ ijk.T)[:3].T


def rearranged(image: np.ndarray, geometry: Geometry, flip_rows: bool, flip_columns: bool, transpose: bool):
    """The same pixels in the same places of the patient, stored in another order."""
    affine = geometry.ijk_to_lps()
    rows, columns = image.shape
    step = np.eye(4)
    if flip_columns:
        image = image[:, ::-1]
        step = step @ np.array([[-1, 0, 0, columns - 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    if flip_rows:
        image = image[::-1]
        step = step @ np.array([[1, 0, 0, 0], [0, -1, 0, rows - 1], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    if transpose:
        image = image.T
        step = step @ np.array([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    affine = affine @ step
    direction = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    spacing = geometry.spacing[1::-1] if transpose else geometry.spacing[:2]
    return image, Geometry(tuple(affine[:3, 3]), (*spacing, geometry.spacing[2]), tuple(direction.ravel()))


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("flip_columns", [False, True])
@pytest.mark.parametrize("flip_rows", [False, True])
def test_landmarks_lie_at_the_same_place_of_the_patient_in_any_order(
    untrained, simulated, flip_rows, flip_columns, transpose
):
    item = simulated[0]
    spacing = item.geometry.spacing[0]
    geometry = short_axis_geometry(3, item.image.shape, spacing)
    (straight,) = predict_landmarks(item.image[None], geometry, model=untrained)
    image, other = rearranged(item.image, geometry, flip_rows, flip_columns, transpose)
    (turned,) = predict_landmarks(np.ascontiguousarray(image)[None], other, model=untrained)
    expected, found = as_patient(points_of(straight), geometry), as_patient(points_of(turned), other)
    assert np.linalg.norm(found - expected, axis=1).max() < 0.05


def test_batches_and_single_slices_agree(untrained, simulated):
    images = np.stack([item.image[:200, :220] for item in simulated[:3]])
    together = predict_landmarks(images, Geometry(), model=untrained, batch=2)
    again = predict_landmarks(images, Geometry(), model=untrained, batch=8)
    for a, b in zip(together, again, strict=True):
        assert points_of(a) == pytest.approx(points_of(b), abs=5e-2)
    assert [result.slice for result in together] == [0, 1, 2]


def test_a_blank_slice_is_said_to_be_blank(untrained, simulated):
    images = np.stack([np.zeros((60, 50), np.float32), simulated[0].image[:60, :50], np.full((60, 50), 3.0)])
    first, second, third = predict_landmarks(images, Geometry(), model=untrained)
    for result in (first, third):
        assert result.lv_center is None and result.flagged and result.reason == BLANK and result.heart == 0.0
        assert set(result.confidence) == set(LANDMARK_NAMES)
    assert second.lv_center is not None


def test_a_single_row_of_pixels_is_too_little_to_see(untrained):
    image = np.random.default_rng(0).random((1, 1, 400)).astype(np.float32)
    (result,) = predict_landmarks(image, Geometry(spacing=(0.7, 1.9, 5.0)), model=untrained)
    assert result.reason == BLANK


@pytest.mark.parametrize("shape", [(1, 3, 3), (1, 900, 40), (1, 700, 1200)])
def test_tiny_huge_and_long_images_give_finite_points(untrained, shape):
    image = np.random.default_rng(0).random(shape).astype(np.float32)
    (result,) = predict_landmarks(image, Geometry(spacing=(0.7, 1.9, 5.0)), model=untrained)
    assert np.isfinite(points_of(result)).all()


def test_missing_pixels_do_not_spoil_a_slice(untrained, simulated):
    image = simulated[0].image.copy()
    image[:4, :4], image[5, 5] = np.nan, np.inf
    (result,) = predict_landmarks(image[None], Geometry(), model=untrained)
    assert np.isfinite(points_of(result)).all()


def test_what_is_no_image_is_refused(untrained):
    for bad in (np.zeros((4, 4)), np.zeros((0, 4, 4)), np.zeros((2, 0, 4))):
        with pytest.raises(InputError, match="slices"):
            predict_landmarks(bad, Geometry(), model=untrained)
    with pytest.raises(InputError, match="1 or more"):
        predict_landmarks(np.ones((1, 4, 4)), Geometry(), model=untrained, batch=0)


def test_it_can_be_cancelled(untrained, simulated):
    def progress(fraction: float) -> None:
        raise Cancelled("Cancelled.")

    with pytest.raises(Cancelled):
        predict_landmarks(simulated[0].image[None], Geometry(), model=untrained, progress=progress)


def test_progress_rises_to_one(untrained, simulated):
    seen: list[float] = []
    predict_landmarks(simulated[0].image[None], Geometry(), model=untrained, progress=seen.append)
    assert seen == sorted(seen) and seen[-1] == 1.0


def test_devices_and_weights_that_are_not_there_are_one_sentence(weights_file, tmp_path):
    with pytest.raises(DeviceError, match="cuda:99"):
        load_landmark_model(weights_file, "cuda:99")
    with pytest.raises(InputError, match="no model 'nobody'"):
        load_landmark_model("nobody", "cpu")
    (tmp_path / "cut.safetensors").write_bytes(weights_file.read_bytes()[:-1000])
    with pytest.raises(MissingDependencyError, match="damaged"):
        load_landmark_model(tmp_path / "cut.safetensors", "cpu")


def test_weights_of_another_layout_are_refused(tmp_path):
    described = {"architecture": "other", "input": {}, "training_data": [], "licence": "x", "date": "2024-01-01"}
    tensors = {"stage1.something": torch.zeros(3)}
    write_weights(tmp_path / "other.safetensors", tensors, id="other", task="landmarks", **described)
    with pytest.raises(MissingDependencyError, match="do not fit this version"):
        load_landmark_model(tmp_path / "other.safetensors", "cpu")


def test_confidence_learns_which_errors_are_large():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(400, 3, len(FEATURES)))
    error = np.where(features[..., 2] + 0.3 * rng.normal(size=(400, 3)) > 1.0, 30.0, 2.0)
    error[:50, 2] = np.nan
    fitted = fit_confidence(features, error)
    fitted = replace(fitted, threshold=threshold_of(fitted.confidence(features), error, missed=0.1))
    model = ConfidenceModel.from_dict(fitted.to_dict())
    sure = model.confidence(features)
    known = np.isfinite(error)
    assert area_under_curve(sure[known], error[known] > 10.0) > 0.95
    flagged = sure[:, :2] < model.threshold
    assert flagged[error[:, :2] > 10.0].mean() == pytest.approx(0.9, abs=0.03)
    with pytest.raises(MissingDependencyError, match="do not fit"):
        ConfidenceModel.from_dict({"features": ["other"]})


def test_the_threshold_disturbs_few_right_images_of_any_contrast():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(600, 3, len(FEATURES)))
    features[200:400] += 0.7  # a contrast on which all is more doubtful
    error = np.where(features[..., 2] + 0.5 * rng.normal(size=(600, 3)) > 1.5, 30.0, 2.0)
    usual = np.repeat(["cine", "lge", ""], 200)
    sure = fit_confidence(features, error).confidence(features)
    flagged = sure[:, :2].min(axis=1) < threshold_of(sure, error, usual, disturbed=0.2)
    right = (error[:, :2] < 10.0).all(axis=1)
    shares = [flagged[right & (usual == name)].mean() for name in ("cine", "lge")]
    assert max(shares) == pytest.approx(0.2, abs=0.01) and min(shares) < 0.15


def test_images_count_by_their_weight():
    """Half of the images say the contrary, and count for nothing."""
    rng = np.random.default_rng(2)
    features = rng.normal(size=(400, 3, len(FEATURES)))
    error = np.where(features[..., 1] > 0.0, 30.0, 2.0)
    error[200:] = 32.0 - error[200:]
    model = fit_confidence(features, error, np.repeat([1.0, 0.0], 200))
    assert area_under_curve(model.confidence(features)[:200].ravel(), (error[:200] > 10.0).ravel()) > 0.95


def stack_of_hearts(count: int = 5) -> np.ndarray:
    """Landmarks of an upright stack, a centre that moves a little, radius 30 mm."""
    heading = USUAL_HEADING - np.array([0.0, USUAL_OPENING])
    arms = 30.0 * np.stack([np.sin(heading), np.cos(heading)], axis=1)
    points = np.concatenate([np.zeros((1, 2)), arms])
    return points + np.arange(count)[:, None, None] * [2.0, 1.0] + 150.0


def test_a_usual_heart_is_plausible_and_a_slice_that_differs_is_not():
    points, radius = stack_of_hearts(), np.full(5, 30.0)
    values = implausibility(points, radius)
    assert values[1:4] == pytest.approx(0.0, abs=1e-6)
    assert implausibility(points, radius - [0, 0, 0, 0, 15])[:, 0, 5] == pytest.approx([0, 0, 0, 0, np.log(0.5)])
    wrong = points.copy()
    wrong[2, 1] = wrong[2, 2]
    changed = implausibility(wrong, radius)
    assert changed[2, 1, 0] > 1.0 and changed[2, 1, 1] > 1.0
    assert changed[1] == pytest.approx(values[1], abs=1e-6)
    far = points.copy()
    far[2, 1] += 0.5 * (far[2, 1] - far[2, 0])
    assert implausibility(far, radius)[2, 1, 3] == pytest.approx(np.log(1.5)) and not values[2, 1, 3]
    unknown = implausibility(points, np.full(5, np.nan))
    assert np.isfinite(unknown).all() and (unknown[..., 2] > 0.1).all()


def test_a_single_slice_has_no_neighbours_to_contradict():
    values = implausibility(stack_of_hearts(1), np.array([30.0]))
    usual = [NOMINAL_CHANGE, np.log1p(NOMINAL_SHIFT_MM), 0.0]
    assert values[..., 3:] == pytest.approx(np.broadcast_to(usual, (1, 3, 3)))


def test_the_area_under_the_curve_counts_ties_half():
    failed = np.array([True, True, False, False])
    assert area_under_curve(np.array([0.1, 0.2, 0.8, 0.9]), failed) == 1.0
    assert area_under_curve(np.array([0.5, 0.5, 0.5, 0.5]), failed) == 0.5
    assert area_under_curve(np.array([0.9, 0.2, 0.1, 0.95]), failed) == 0.5
    assert np.isnan(area_under_curve(np.ones(4), np.zeros(4, bool)))


def test_the_shipped_model_finds_landmarks_it_never_saw(shipped, simulated):
    """Six anatomies and 18 images; the pooled median of `cmr-evaluate landmarks` leaves a wide margin to this."""
    summary = summarise(errors_of(simulated, shipped))
    assert summary.images == 18
    assert summary.pooled[1] < 2.0 and summary.angle_deg[1] < 5.0 and summary.within_10 > 0.9
    assert generalisation_error_rate(errors_of(simulated, shipped))[1] < 2.0


def test_the_shipped_model_takes_anisotropic_pixels(shipped, simulated):
    """Merging every two columns and saying so moves the landmarks by less than a merged pixel."""
    item = simulated[0]
    spacing = item.geometry.spacing[0]
    image = item.image[:, : item.image.shape[1] // 2 * 2]
    merged = image.reshape(image.shape[0], -1, 2).mean(axis=2)
    (full,) = predict_landmarks(image[None], Geometry(spacing=(spacing, spacing, 8.0)), model=shipped)
    (half,) = predict_landmarks(merged[None], Geometry(spacing=(2 * spacing, spacing, 8.0)), model=shipped)
    back = points_of(half) * [1.0, 2.0] + [0.0, 0.5]
    assert np.abs(back - points_of(full))[:2].max() < 2.5


def test_the_shipped_model_flags_images_without_a_heart(shipped, simulated):
    item = simulated[0]
    row = int(item.points[0, 0])
    noise = np.random.default_rng(0).random((3, 200, 200)).astype(np.float32)
    legs = np.where(np.arange(item.image.shape[0])[:, None] < row + 60, 0.0, item.image)[None]
    for image in (noise, legs):
        assert all(result.flagged for result in predict_landmarks(image, item.geometry, model=shipped))


def test_the_shipped_model_states_its_licence_and_fits_its_limit(shipped):
    assert shipped.entry.licence == "CC-BY-NC-SA-4.0"
    assert shipped.entry.bytes < 16 * 2**20
