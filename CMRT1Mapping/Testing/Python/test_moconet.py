"""The compact MOCOnet and the one that the thesis prints."""

import pytest

torch = pytest.importorskip("torch")

from CMRLib.networks.inference import with_folded_norms  # noqa: E402
from CMRT1MappingLib.motion.heart_region import around_heart, fade, likely_heart  # noqa: E402
from CMRT1MappingLib.motion.moconet import (  # noqa: E402
    COMPACT,
    Moconet,
    cost_volume,
    doubled,
    motion_loss,
)
from CMRT1MappingLib.research.moconet_paper import FRAMES, SIZE, PaperMoconet, paper_loss  # noqa: E402


@pytest.fixture(scope="module")
def network():
    """A network with random heads, since a new one predicts no motion at all."""
    torch.manual_seed(3)
    made = Moconet()
    for estimator in made.estimators:
        torch.nn.init.normal_(estimator.head.weight, std=0.02)
    with torch.no_grad():
        for _ in range(3):  # running statistics of the normalisation
            made.train()(torch.rand(2, 7, 64, 64))
    return made.eval()


def smooth_images(frames, size, seed=0):
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, frames, size // 8, size // 8, generator=generator)
    return torch.nn.functional.interpolate(coarse, scale_factor=8, mode="bilinear", align_corners=False)


@pytest.mark.parametrize("frames", [5, 7, 8, 11])
def test_any_number_of_frames(network, frames):
    with torch.inference_mode():
        output = network(smooth_images(frames, 64))
    assert output.displacement.shape == (1, frames, 2, 64, 64)
    assert output.displacement.abs().max() > 0.01
    assert output.displacement.mean(dim=1).abs().max() < 1e-4
    assert output.heart.shape == (1, 16, 16)


def test_frames_in_another_order_give_the_same_displacements(network):
    images = smooth_images(7, 64)
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    with torch.inference_mode():
        plain, shuffled = network(images), network(images[:, order])
    assert torch.allclose(shuffled.displacement, plain.displacement[:, order], atol=1e-4)
    assert torch.allclose(shuffled.heart, plain.heart, atol=1e-4)


def test_translated_images_give_translated_displacements(network):
    step = COMPACT.multiple
    canvas = torch.zeros(1, 7, 320, 320)
    canvas[..., 128:192, 128:192] = smooth_images(7, 64)
    with torch.inference_mode():
        plain = network(canvas).displacement
        moved = network(canvas.roll((step, -step), dims=(2, 3))).displacement
    expected = plain.roll((step, -step), dims=(3, 4))
    inside = (..., slice(128, 192), slice(128, 192))
    assert plain[inside].abs().max() > 0.01
    assert torch.allclose(moved[inside], expected[inside], atol=1e-3)


def test_finest_scale_near_the_heart_alone_gives_the_same_there(network):
    images = smooth_images(7, 256)
    logits = torch.full((1, 64, 64), -5.0)
    logits[0, 28:36, 24:34] = 5.0
    with torch.inference_mode(), pytest.MonkeyPatch.context() as patched:
        patched.setattr(network.heart, "forward", lambda means: logits)
        everywhere, near = (network(images, near_heart=only).displacement for only in (False, True))
    heart = (..., slice(4 * 28, 4 * 36), slice(4 * 24, 4 * 34))
    change = (everywhere - near).abs()
    assert change.amax() > 0.01  # what is far was left out
    assert change[heart].mean() < 0.1 * change.mean()


def test_places_that_are_less_likely_than_others_are_no_heart():
    logits = torch.full((1, 40, 50), -5.0)
    logits[0, 20:26, 30:38] = 3.0
    heart = logits.clone()
    logits[0, 2:5, 2:5] = 3.0
    found = likely_heart(logits)
    assert torch.equal(found > 0.0, heart > 0.0)
    logits[0, 2:8, 2:6] = 3.0  # half as large: it may be the heart
    assert torch.equal(likely_heart(logits), logits)


def test_region_around_the_heart():
    logits = torch.full((2, 40, 50), -5.0)
    assert around_heart(logits, 2, 8) == (slice(0, 80), slice(0, 100))
    logits[0, 20:26, 30:38] = logits[1, 22:27, 45:49] = 3.0
    assert around_heart(logits, 2, 8) == (slice(40 - 8, 54 + 8), slice(60 - 8, 100))


def test_nothing_fades_at_the_edge_of_the_image():
    weight = fade((40, 40), (slice(0, 30), slice(5, 40)), 8)
    assert weight.shape == (30, 35)
    assert weight[0, -1] == 1.0 and weight[10, 20] == 1.0
    assert weight[-1, 20] == weight[10, 0] == 1.0 / 8


def test_equal_frames_do_not_move(network):
    with torch.inference_mode():
        output = network(smooth_images(1, 64).expand(1, 7, 64, 64))
    assert output.displacement.abs().max() < 1e-4


def test_gradients_reach_every_scale():
    torch.manual_seed(0)
    network = Moconet()
    for estimator in network.estimators:
        torch.nn.init.normal_(estimator.head.weight, std=0.02)
    heart = torch.ones(1, 64, 64)
    loss, terms = motion_loss(network(smooth_images(7, 64)), torch.randn(1, 7, 2, 64, 64), heart, heart)
    loss.backward()
    silent = [name for name, value in network.named_parameters() if value.grad is None or not value.grad.any()]
    assert silent == []
    assert terms["heart_px"] > 0.5


def test_cost_volume_finds_a_shift():
    generator = torch.Generator().manual_seed(1)
    template = torch.nn.functional.normalize(torch.randn(1, 16, 12, 12, generator=generator), dim=1)
    features = template.roll((2, -1), dims=(2, 3))  # what the template shows at x lies at x + (2, -1)
    best = cost_volume(template, features, radius=2)[:, :, 4:8, 4:8].argmax(dim=1)
    assert torch.all(best == (2 + 2) * 5 + (-1 + 2))


def test_doubled_displacement_points_to_the_same_place():
    coarse = torch.full((1, 2, 2, 4, 4), 1.5)
    assert torch.allclose(doubled(coarse), torch.full((1, 2, 2, 8, 8), 3.0))


def test_loss_is_lowest_at_the_truth():
    truth = torch.randn(1, 7, 2, 8, 8).repeat_interleave(8, 3).repeat_interleave(8, 4)
    heart = torch.ones(1, 64, 64)
    output = Moconet()(smooth_images(7, 64))

    def loss_of(displacement):
        scales = tuple(
            torch.nn.functional.avg_pool2d(displacement.flatten(0, 1), f).unflatten(0, (1, 7)) / f
            for f in (16, 8, 4, 2)
        )
        return float(motion_loss(type(output)(scales, output.heart), truth, heart, heart)[0].detach())

    assert loss_of(truth) < loss_of(0.9 * truth) < loss_of(0.0 * truth)


def test_folded_normalisation_changes_nothing(network):
    images = smooth_images(7, 64)
    with torch.inference_mode():
        plain = network(images).displacement
        folded = with_folded_norms(network)(images).displacement
    assert torch.allclose(plain, folded, atol=1e-3)
    assert any(isinstance(m, torch.nn.BatchNorm2d) for m in network.modules())


def test_paper_network_has_the_printed_shapes_and_learns():
    torch.manual_seed(0)
    network = PaperMoconet()
    shapes = []
    for block in [*network.encoder, network.bottleneck]:
        block.register_forward_hook(lambda module, given, made: shapes.append(tuple(made.shape[1:])))
    displacement, scales = network(torch.rand(1, FRAMES, SIZE, SIZE))
    assert shapes == [(16, 384, 384), (32, 192, 192), (64, 64, 64), (128, 48, 48), (256, 24, 24)]
    assert displacement.shape == (1, 7, 2, 384, 384)
    assert [scale.shape[-1] for scale in scales] == [48, 64, 192, 384]
    assert displacement.mean(dim=1).abs().max() < 1e-4
    loss = paper_loss(scales, torch.randn(1, 7, 2, SIZE, SIZE))
    loss.backward()
    silent = [name for name, value in network.named_parameters() if value.grad is None or not value.grad.any()]
    assert silent == []
