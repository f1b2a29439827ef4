"""Estimating motion with a weights file, and taking it out of the images."""

import copy
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from CMRLib.errors import Cancelled, DeviceError, InputError, MissingDependencyError  # noqa: E402
from CMRLib.networks.models import write_weights  # noqa: E402
from CMRT1MappingLib.motion.estimation import (  # noqa: E402
    TASK,
    WORKING_SPACING_MM,
    apply_motion,
    estimate_motion,
    load_motion_model,
)
from CMRT1MappingLib.motion.moconet import Moconet  # noqa: E402
from CMRT1MappingLib.research.irw_evaluation import evaluation_set  # noqa: E402
from CMRT1MappingLib.research.motion_evaluation import anatomy_seen  # noqa: E402

SPACING = (WORKING_SPACING_MM, WORKING_SPACING_MM)


def blobs(frames=7, shape=(96, 112), seed=0):
    """Smooth positive images, one contrast a frame, (frame, row, column)."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 1, 12, 14, generator=generator)
    image = torch.nn.functional.interpolate(coarse, size=shape, mode="bicubic", align_corners=False)[0, 0].numpy()
    return np.stack([100.0 * np.clip(image, 0, None) ** (0.5 + 0.2 * i) for i in range(frames)]).astype(np.float32)


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory):
    """A network with random heads, which sees motion everywhere."""
    torch.manual_seed(3)
    network = Moconet()
    for estimator in network.estimators:
        torch.nn.init.normal_(estimator.head.weight, std=0.5)
    with torch.no_grad():
        for _ in range(3):
            network.train()(torch.rand(2, 7, 64, 64))
    path = tmp_path_factory.mktemp("models") / "random.safetensors"
    write_weights(
        path,
        network.state_dict(),
        half_precision=False,
        id="random",
        task=TASK,
        architecture="moconet-compact",
        input={"spacing_mm": WORKING_SPACING_MM},
        training_data=["nothing"],
        licence="Apache-2.0",
        date="2026-01-01",
    )
    return path


@pytest.fixture(scope="module")
def model(weights_file):
    """In full precision, so that what should be equal is nearly so."""
    return load_motion_model(weights_file, "cpu", full_precision=True)


@pytest.mark.parametrize("frames", [5, 7, 8, 11])
@pytest.mark.parametrize("shape", [(96, 112), (75, 131), (40, 33)])
def test_displacement_has_the_images_own_grid(model, frames, shape):
    found = estimate_motion(blobs(frames, shape), SPACING, model=model)
    assert found.displacement.shape == (frames, 2, *shape)
    assert found.displacement.dtype == np.float32
    assert found.heart.shape == shape
    assert found.heart.min() >= 0 and found.heart.max() <= 1
    assert np.abs(found.displacement).max() > 0.01
    assert np.abs(found.displacement.mean(axis=0)).max() < 1e-3


def test_equal_frames_do_not_move(model):
    images = np.repeat(blobs(1), 7, axis=0)
    assert np.abs(estimate_motion(images, SPACING, model=model).displacement).max() < 1e-3


def test_frames_in_another_order(model):
    images = blobs(seed=4)
    order = [3, 0, 6, 1, 5, 2, 4]
    plain = estimate_motion(images, SPACING, model=model).displacement
    shuffled = estimate_motion(images[order], SPACING, model=model).displacement
    assert np.allclose(shuffled, plain[order], atol=1e-3)


def test_the_unit_of_the_images_does_not_matter(model):
    images = blobs()
    plain = estimate_motion(images, SPACING, model=model).displacement
    assert np.allclose(estimate_motion(images * 37.0, SPACING, model=model).displacement, plain, atol=1e-2)


def test_finer_pixels_give_larger_shifts_in_pixels(model):
    images = blobs()
    fine = np.repeat(np.repeat(images, 2, axis=1), 2, axis=2)
    plain = estimate_motion(images, SPACING, model=model).displacement
    doubled = estimate_motion(fine, (SPACING[0] / 2, SPACING[1] / 2), model=model).displacement
    difference = doubled[:, :, ::2, ::2] - 2.0 * plain
    assert np.median(np.abs(difference)) < 0.35 * np.median(np.abs(2.0 * plain))


def test_second_pass_and_progress(model):
    seen = []
    once = estimate_motion(blobs(), SPACING, model=model)
    twice = estimate_motion(blobs(), SPACING, model=model, passes=2, progress=seen.append)
    assert seen == [0.5, 1.0]
    assert not np.allclose(once.displacement, twice.displacement)


def test_cancel_between_passes(model):
    def stop(fraction):
        raise Cancelled("stop")

    with pytest.raises(Cancelled):
        estimate_motion(blobs(), SPACING, model=model, passes=2, progress=stop)


@pytest.mark.parametrize("frames", [1, 4, 12])
def test_other_numbers_of_frames_are_refused(model, frames):
    with pytest.raises(InputError, match="5 to 11 images"):
        estimate_motion(blobs(frames), SPACING, model=model)


@pytest.mark.parametrize("spacing", [(0.0, 1.0), (1.0, 40.0), (np.nan, 1.0), (-1.0, 1.0)])
def test_absurd_spacing_is_refused(model, spacing):
    with pytest.raises(InputError, match="pixel spacing"):
        estimate_motion(blobs(), spacing, model=model)


def test_tiny_images_are_refused(model):
    with pytest.raises(InputError, match="16 x 16"):
        estimate_motion(blobs(7, (12, 40)), SPACING, model=model)


def test_missing_weights(tmp_path):
    with pytest.raises(MissingDependencyError, match="no weights file"):
        load_motion_model(tmp_path / "none.safetensors")


def test_damaged_weights(weights_file, tmp_path):
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(weights_file.read_bytes()[:-1000])
    with pytest.raises(MissingDependencyError, match="damaged"):
        load_motion_model(damaged)


def test_weights_of_another_network(tmp_path):
    path = tmp_path / "other.safetensors"
    described = {"id": "other", "task": TASK, "architecture": "x", "input": {"spacing_mm": 1.4}, "training_data": []}
    write_weights(path, {"a": torch.zeros(3)}, **described, licence="Apache-2.0", date="2026-01-01")
    with pytest.raises(MissingDependencyError, match="do not fit"):
        load_motion_model(path)


def test_device_that_is_not_there(weights_file):
    with pytest.raises(DeviceError):
        load_motion_model(weights_file, "cuda:99")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_cpu_and_gpu_agree(weights_file, model):
    images = blobs()
    there = estimate_motion(images, SPACING, model=load_motion_model(weights_file, "cuda")).displacement
    assert np.allclose(there, estimate_motion(images, SPACING, model=model).displacement, atol=0.05)


@pytest.mark.parametrize("number", [0, 2, 8])
def test_shipped_network_recovers_most_of_a_known_motion(number):
    moved = evaluation_set(number, None)
    model = load_motion_model(device="cpu")
    found = estimate_motion(moved.images, (moved.spacing_mm, moved.spacing_mm), model=model).displacement
    heart = moved.myocardium > 0.5
    before = np.linalg.norm(moved.displacement, axis=1)[:, heart].mean()
    # What is common to all frames moves the aligned grid, which is no error.
    left = anatomy_seen(found, moved.moved)
    after = np.linalg.norm(left - left.mean(axis=0), axis=1)[:, heart].mean()
    assert before > 1.5
    assert after < 0.35 * before


def test_the_processors_fast_precision_changes_little():
    images = blobs()
    images[3] = np.roll(images[3], 3, axis=0)
    full = load_motion_model(device="cpu", full_precision=True)
    found = [
        estimate_motion(images, SPACING, model=replace(full, network=network)).displacement
        for network in (full.network, copy.deepcopy(full.network).bfloat16())
    ]
    assert np.abs(found[0]).max() > 0.5
    assert np.abs(found[0] - found[1]).max() < 0.1
    assert np.abs(found[0] - found[1]).mean() < 0.02


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("with_phase", [False, True])
def test_frames_that_do_not_move_come_back_bit_for_bit(mode, with_phase):
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 300, (7, 30, 40)).astype(np.float32)
    phase = rng.uniform(-np.pi, np.pi, images.shape).astype(np.float32) if with_phase else None
    displacement = np.zeros((7, 2, 30, 40), np.float32)
    displacement[2] = 1.5
    aligned, turned = apply_motion(images, displacement, phase, mode)
    still = [0, 1, 3, 4, 5, 6]
    assert np.array_equal(aligned[still], images[still])
    assert not np.array_equal(aligned[2], images[2])
    if with_phase:
        assert np.array_equal(turned[still], phase[still])


def test_whole_pixel_shift_is_undone():
    images = blobs()
    displacement = np.zeros((7, 2, *images.shape[1:]), np.float32)
    displacement[3, 0], displacement[3, 1] = 4.0, -2.0
    moved = images.copy()
    moved[3] = np.roll(images[3], (4, -2), axis=(0, 1))
    aligned, _ = apply_motion(moved, displacement)
    inside = (slice(None), slice(8, -8), slice(8, -8))
    assert np.allclose(aligned[inside], images[inside], atol=1e-3)


def test_phase_moves_with_the_magnitude_across_a_change_of_sign():
    signed = np.tile(np.linspace(-97.5, 102.5, 41, dtype=np.float32), (7, 20, 1))  # the null lies between two pixels
    displacement = np.zeros((7, 2, 20, 41), np.float32)
    displacement[0, 1] = 0.5
    phase = np.where(signed < 0, np.float32(np.pi), np.float32(0.0))
    aligned, turned = apply_motion(np.abs(signed), displacement, phase, "bilinear")
    expected = signed[0, :, 2:-3] + 2.5
    found = (aligned * np.cos(turned))[0, :, 2:-3]
    assert np.allclose(found, expected, atol=1e-3)
    alone, _ = apply_motion(np.abs(signed), displacement, None, "bilinear")
    assert np.abs(alone[0, :, 2:-3] - np.abs(expected)).max() > 1.0


def test_magnitude_is_never_negative():
    images = np.zeros((5, 20, 20), np.float32)
    images[:, :, 10:] = 100.0  # an edge, where cubic interpolation overshoots
    displacement = np.full((5, 2, 20, 20), 0.4, np.float32)
    aligned, _ = apply_motion(images, displacement, None, "bicubic")
    assert aligned.min() >= 0
