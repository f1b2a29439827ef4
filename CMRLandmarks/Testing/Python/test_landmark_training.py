"""Augmentation that moves image and points together, losses, both networks, and a short training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from CMRLandmarksLib.networks import (  # noqa: E402
    STAGE1,
    STAGE1_SIZE,
    STAGE2,
    ZOOM_LINE_PX,
    ZOOM_SIZE,
    HeatmapNetwork,
    HeatmapOutput,
    doubt,
    landmark_loss,
    positions,
    tissue_loss,
)
from CMRLandmarksLib.research import paper  # noqa: E402
from CMRLandmarksLib.research.dataset import LandmarkBank, bank_of, simulated_slices  # noqa: E402
from CMRLandmarksLib.research.examples import Examples, shrunken  # noqa: E402
from CMRLandmarksLib.research.training import Stage1Task, Stage2Task  # noqa: E402
from CMRLandmarksLib.sampling import centroids, points_in_target, sample, standardised  # noqa: E402
from CMRLib.networks.inference import with_folded_norms  # noqa: E402
from CMRLib.training.augmentation import affine, elastic, masked_to_field, recurved, remapped  # noqa: E402
from CMRLib.training.trainer import TrainingOptions, train  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def bank():
    return bank_of(simulated_slices(range(2), per_seed=3))


def test_points_move_with_the_image():
    generator = torch.Generator().manual_seed(3)
    size, points = 96, torch.tensor([[[40.0, 55.0]], [[60.0, 30.0]]])
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    blobs = [torch.exp(-((y - p[0, 0]) ** 2 + (x - p[0, 1]) ** 2) / 18.0) for p in points]
    matrix = affine(
        torch.tensor([0.4, -2.0]), torch.tensor([1.2, 0.9]), torch.tensor([1.05, 0.97]), torch.tensor([False, True])
    )
    middle = torch.full((2,), (size - 1) / 2)
    offset = middle + torch.tensor([[3.0, -4.0], [0.0, 2.0]]) - torch.einsum("nij,j->ni", matrix, middle)
    shift = elastic(2, size, 2.0, generator)
    moved = sample(torch.stack(blobs)[:, None], matrix, offset, size, shift)
    where = points_in_target(points, matrix, offset, shift)
    for image, place in zip(moved[:, 0], where[:, 0], strict=True):
        weight = image.square() / image.square().sum()
        found = [float((weight * axis).sum()) for axis in (y, x)]
        assert found == pytest.approx(place.tolist(), abs=0.5)


def test_unknown_points_stay_unknown():
    points = torch.tensor([[[float("nan"), float("nan")], [5.0, 6.0]]])
    moved = points_in_target(points, torch.eye(2)[None], torch.zeros(1, 2), elastic(1, 32, 1.0, torch.Generator()))
    assert torch.isnan(moved[0, 0]).all() and torch.isfinite(moved[0, 1]).all()


def test_remapping_changes_tissues_and_leaves_the_rest():
    image = torch.rand(4, 1, 16, 16) * 0.1 + 0.4
    labels = torch.zeros(4, 3, 16, 16)
    labels[:, 1, 4:8] = 1.0
    changed = remapped(image, labels, 1.0, torch.Generator().manual_seed(0))
    assert torch.equal(changed[:, :, 10:], image[:, :, 10:])
    assert (changed - image)[:, :, 4:8].abs().mean() > 0.05


def test_curves_keep_zero_and_masks_keep_the_landmarks():
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(8, 1, 64, 64, generator=generator) + 0.1
    image[:, :, :5] = 0.0
    assert not recurved(image, 1.0, generator)[:, :, :5].any()
    points = torch.tensor([[[30.0, 20.0], [40.0, 33.0], [float("nan")] * 2]]).expand(8, -1, -1)
    masked = masked_to_field(image, points, 1.0, generator)
    assert (masked[:, 0, 30, 20] > 0).all() and (masked[:, 0, 40, 33] > 0).all()
    assert (masked == 0).float().mean() > (image == 0).float().mean()


def test_standardising_uses_non_zero_pixels():
    image = torch.zeros(1, 1, 10, 10)
    image[..., 2:8, 2:8] = torch.rand(6, 6) + 3.0
    result = standardised(image)
    inside = result[image != 0]
    assert inside.mean().abs() < 1e-5 and inside.std(unbiased=False) == pytest.approx(1.0, abs=1e-4)
    assert not result[image == 0].any()


@pytest.mark.parametrize("make", [Stage1Task, Stage2Task])
def test_batches_hold_landmarks_inside_the_image(bank, make):
    task = make(Examples(bank), bank)
    batch = task.batch(12, torch.Generator().manual_seed(5))
    assert batch.image.shape[0] == 12 and torch.isfinite(batch.image).all()
    inside = batch.points[batch.known > 0]
    assert (inside > -0.5).all() and (inside < batch.image.shape[-1] - 0.5).all()
    assert batch.known.mean() > 0.6
    again = task.batch(12, torch.Generator().manual_seed(5))
    assert torch.equal(batch.image, again.image)


def test_the_first_stage_also_sees_images_without_a_heart(bank):
    task, generator = Stage1Task(Examples(bank), bank), torch.Generator().manual_seed(0)
    batches = [task.batch(50, generator) for _ in range(8)]
    whole = [batch for batch in batches if batch.image.shape[-1] == STAGE1_SIZE]
    zooms = [batch for batch in batches if batch.image.shape[-1] == ZOOM_SIZE]
    assert whole and zooms and len(whole) + len(zooms) == len(batches)
    assert all(batch.present.all() for batch in zooms)
    empty = torch.cat([batch.present == 0 for batch in whole])
    assert 0 < empty.float().mean() < 0.15
    assert not torch.cat([batch.known for batch in whole])[empty].any()


def test_a_zoom_shows_the_heart_in_standard_size(bank):
    task, generator = Stage1Task(Examples(bank), bank), torch.Generator().manual_seed(0)
    batches = [task.batch(16, generator) for _ in range(8)]
    points = torch.cat([batch.points for batch in batches if batch.image.shape[-1] == ZOOM_SIZE])
    reach = (points[:, 1:] - points[:, :1]).norm(dim=2).mean(dim=1)
    assert reach[torch.isfinite(reach)].median() == pytest.approx(ZOOM_LINE_PX, rel=0.15)
    assert (points[:, 0] - (ZOOM_SIZE - 1) / 2).abs().max() < 25.0


def test_tissues_move_with_the_image(bank):
    """The centre of the LV cavity's pixels is the LV centre, in crops too."""
    batch = Stage2Task(Examples(bank), bank).batch(12, torch.Generator().manual_seed(2))
    assert (centroids(batch.tissue[:, 2]) - batch.points[:, 0]).norm(dim=1).max() < 1.5


def test_an_unlabelled_right_ventricle_may_be_anywhere_around():
    tissue = torch.zeros(1, 3, 8, 8)
    tissue[:, 1, :4] = 1.0
    logits = torch.zeros(1, 4, 4, 4)
    logits[:, 2, :2], logits[:, 1, 2:] = 9.0, 9.0  # myocardium where it is, the RV where nothing is labelled
    output = HeatmapOutput(torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 2, 4, 4), logits, torch.zeros(1))
    assert float(tissue_loss(output, tissue, torch.zeros(1), 2)) < 0.01
    assert float(tissue_loss(output, tissue, torch.ones(1), 2)) > 1.0


def test_an_rv_labelled_in_one_slice_is_known_in_all_of_the_subject(bank):
    hidden = replace(bank, labels=np.where(bank.labels == 1, 0, bank.labels), subjects=("EMI1",) * len(bank))
    assert not Examples(hidden).rv_known.any() and Examples(bank).rv_known.all()
    assert Examples(LandmarkBank.joined([bank, replace(hidden, subjects=bank.subjects)])).rv_known.all()


def test_shares_of_contrasts_are_kept(bank):
    wanted = bank.contrasts[0]
    examples = Examples(bank, {wanted: 0.9})
    member = np.array([name == wanted for name in bank.contrasts])
    assert 0 < member.sum() < len(member)
    assert float(examples.share[torch.from_numpy(member)].sum()) == pytest.approx(0.9)


def test_pooling_moves_points_to_the_coarser_pixels(bank):
    small = shrunken(bank, 2)
    assert small.images.shape[1:] == (192, 192)
    assert small.points[0, 0] * 2 + 0.5 == pytest.approx(bank.points[0, 0], abs=1e-4)


def peaked(rows, columns, cell_row, cell_column):
    heat = torch.zeros(1, 3, rows, columns)
    heat[:, :, cell_row, cell_column] = 30.0
    return heat


def test_positions_are_the_peak_and_its_offset():
    offsets = torch.full((1, 3, 2, 8, 8), 0.25)
    output = HeatmapOutput(peaked(8, 8, 3, 5), offsets, torch.zeros(1, 4, 8, 8), torch.zeros(1))
    # Cell 3 of 4 pixels covers pixels 12 to 15; a quarter of a cell more is one pixel.
    assert positions(output, 4)[0, 0].tolist() == pytest.approx([14.5, 22.5], abs=1e-3)
    assert positions(output, 4, window=2)[0, 2].tolist() == pytest.approx([14.5, 22.5], abs=1e-3)


def test_doubt_is_low_for_one_peak_and_high_for_two():
    first, second = peaked(16, 16, 3, 3), peaked(16, 16, 3, 3)
    second[:, :, 12, 12] = 30.0
    rest = torch.zeros(1, 3, 2, 16, 16), torch.zeros(1, 4, 16, 16), torch.zeros(1)
    sure, unsure = (doubt(HeatmapOutput(heat, *rest))[0, 0] for heat in (first, second))
    assert sure.tolist() == pytest.approx([0.0, 0.0], abs=1e-6)
    assert unsure.tolist() == pytest.approx([np.log(2.0), 0.5], abs=1e-3)


def test_unknown_landmarks_do_not_train():
    heat = torch.randn(1, 3, 8, 8, requires_grad=True)
    output = HeatmapOutput(heat, torch.zeros(1, 3, 2, 8, 8), torch.zeros(1, 4, 8, 8), torch.zeros(1))
    points = torch.tensor([[[5.0, 5.0], [float("nan")] * 2, [float("nan")] * 2]])
    loss, _ = landmark_loss(output, points, torch.tensor([[1.0, 0.0, 0.0]]), torch.ones(1), 2)
    loss.backward()
    assert heat.grad[0, 0].abs().sum() > 0 and not heat.grad[0, 1:].any()


@pytest.mark.parametrize("shape, size", [(STAGE1, 192), (STAGE1, 128), (STAGE2, 128), (STAGE2, 192)])
def test_gradients_reach_every_layer(shape, size):
    network = HeatmapNetwork(shape)
    output = network(torch.randn(2, 1, size, size))
    assert output.heat.shape == (2, 3, size // shape.cell, size // shape.cell)
    points = torch.full((2, 3, 2), size / 2.0)
    loss, _ = landmark_loss(output, points, torch.ones(2, 3), torch.ones(2), shape.cell)
    tissue = torch.full((2, 3, size, size), 0.25)
    (loss + tissue_loss(output, tissue, torch.ones(2), shape.cell)).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


@pytest.mark.parametrize("shape", [STAGE1, STAGE2])
def test_folding_the_batch_norms_changes_no_answer(shape):
    torch.manual_seed(0)
    network = HeatmapNetwork(shape)
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(4, 1, 64, 64))  # gives the batch norms statistics of their own
        image = torch.randn(2, 1, 64, 64)
        before, after = network.eval()(image), with_folded_norms(network)(image)
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in with_folded_norms(network).modules())
    assert torch.allclose(before.heat, after.heat, atol=1e-4) and torch.allclose(before.tissue, after.tissue, atol=1e-4)


@pytest.mark.slow
def test_a_short_training_lowers_the_error(bank, tmp_path):
    """Sixty steps on six images: from the middle of the crop to within a few pixels of the landmarks."""
    task = Stage2Task(Examples(bank), bank, augment=False)
    torch.manual_seed(0)
    with torch.no_grad():
        before = task.validate(task.network().eval())["score"]
    result = train(
        task, tmp_path, TrainingOptions(steps=60, batch=6, ema=0.9, device="cpu", learning_rate=3e-3), lambda line: None
    )
    assert result.metrics["score"] < 0.6 * before


def test_the_paper_network_is_as_printed():
    network = paper.PaperNetwork().eval()
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    # The input layer, the stem, three convolutions in each of 16 blocks and four projections.
    assert len(convolutions) == 2 + 3 * 16 + 4
    # ResNet50V2 without its top has 23,564,800 parameters in Keras, counting the batch norms' running statistics.
    backbone = [*network.stem.parameters(), *network.stacks.parameters()]
    statistics = [
        b for part in (network.stem, network.stacks) for n, b in part.named_buffers() if n.endswith(("mean", "var"))
    ]
    keras_stem_norm = 4 * 64  # Keras normalises before the first block; here that is the block's own first step
    assert sum(t.numel() for t in (*backbone, *statistics)) - keras_stem_norm == 23_564_800
    with torch.inference_mode():
        output = network(torch.randn(1, 1, 128, 128))
    assert output.shape == (1, 4) and ((output > 0) & (output < 1)).all()


def test_the_paper_loss_is_the_printed_formula():
    points = torch.tensor([[[38.4, 76.8], [192.0, 96.0]]])
    target = torch.tensor([[0.2, 0.1, 0.25, 0.5]])
    assert torch.allclose(paper.normalised(points, 384), target)
    assert torch.allclose(paper.positions(target, 384), points)
    output = target + torch.tensor([[0.1, 0.0, -0.2, 0.0]])
    loss = paper.paper_loss(output, points, torch.ones(1, 2), 384)
    assert float(loss) == pytest.approx((0.01 + 0.04) / 4, rel=1e-5)


@pytest.mark.parametrize("make, size", [(Stage1Task, 384), (Stage2Task, 128)])
def test_the_paper_network_trains_on_the_same_examples(bank, make, size):
    task = make(Examples(bank), bank.select(lambda subject, contrast: subject == "SIM0"), architecture="paper")
    batch = task.batch(1, torch.Generator().manual_seed(0))
    assert batch.image.shape == (1, 1, size, size)
    network = task.network()
    loss, _ = task.loss(network, batch)
    loss.backward()
    with torch.no_grad():
        measured = task.validate(network.eval())
    assert 0 < measured["score"] <= 10.0 and "inferior" not in measured


def test_the_paper_network_trains_a_step():
    network = paper.PaperNetwork()
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-4)
    points = torch.tensor([[[38.0, 76.0], [90.0, 60.0]]]).expand(2, -1, -1)
    images = torch.randn(2, 1, 64, 64)
    losses = []
    for _ in range(4):
        loss = paper.paper_loss(network(images), points, torch.ones(2, 2), 128)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    assert all(p.grad is not None for p in network.parameters())
