"""Images to train on, random examples, a short training, and the weights file that comes of it."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - its usual name
import torch
from ring_model import drawn_ring, ring_model

from CMRLib.anatomy.insertions import LEFT_VENTRICLE, MYOCARDIUM, RIGHT_VENTRICLE
from CMRLib.errors import InputError, MissingDependencyError
from CMRLib.networks.models import load_weights
from CMRLib.training.splits import VALIDATION_SEED
from CMRLib.training.trainer import TrainingOptions
from CMRQCSegmentationLib.networks import CROP_RADIUS_PX, CROP_SIZE, DEPTHS, WHOLE_SIZE, CompactUNet, segmentation_loss
from CMRQCSegmentationLib.prediction import load_segmentation_model, segment_slices
from CMRQCSegmentationLib.research.bank import Bank, bank_of
from CMRQCSegmentationLib.research.damage import DAMAGES, damaged_copies
from CMRQCSegmentationLib.research.data import TrainingImages, training_banks
from CMRQCSegmentationLib.research.evaluation import detection, judge, summarise, truth_of
from CMRQCSegmentationLib.research.examples import Examples, crop_batch, fixed_crops, whole_batch
from CMRQCSegmentationLib.research.painted_scars import painted_scars
from CMRQCSegmentationLib.research.paper import PaperUNet, paper_loss
from CMRQCSegmentationLib.research.quality_run import add_quality
from CMRQCSegmentationLib.research.slices import LabelledSlice, read_data_set, simulated_slices
from CMRQCSegmentationLib.research.sources import report_sources
from CMRQCSegmentationLib.research.spoiling import SPOILINGS, spoil, spoiled_copies
from CMRQCSegmentationLib.research.training_run import assemble, shallower, train_part

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def slices():
    return list(simulated_slices(range(VALIDATION_SEED, VALIDATION_SEED + 3), ("lge_psir", "t1_rest"), per_seed=2))


@pytest.fixture(scope="module")
def bank(slices):
    return bank_of(slices)


@pytest.fixture
def tiny(monkeypatch):
    """Trainings on three simulated bodies."""
    import CMRQCSegmentationLib.research.data as data
    import CMRQCSegmentationLib.research.quality_run as quality_run

    monkeypatch.setattr(data, "VALIDATION_ANATOMIES", 2)
    monkeypatch.setattr(quality_run, "VALIDATION_ANATOMIES", 2)
    return TrainingImages(simulated=3, contrasts=("lge_psir",))


def write_case(folder, name, image, labels):
    folder.mkdir(exist_ok=True)
    for ending, array in (("", image), ("_gt", labels)):
        sitk.WriteImage(sitk.GetImageFromArray(array), str(folder / f"{name}{ending}.nii.gz"))


def test_labelled_folders_are_read_with_their_values_and_spacings(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (2, 32, 40)).astype(np.uint8)
    raw = np.zeros(image.shape, np.uint8)
    raw[0, 5:10, 5:10], raw[0, 10:15, 5:10], raw[0, 15:20, 5:10] = 1, 2, 3
    write_case(tmp_path / "a", "patient003_frame01", image, raw)
    (tmp_path / "a" / "spacing.csv").write_text("image,row_mm,column_mm\npatient003_frame01,1.5,1.25\n")
    first, second = read_data_set(tmp_path / "a", "acdc")
    assert first.spacing == (1.5, 1.25) and first.subject == "patient003" and not first.scarred
    assert [first.labels[r, 7] for r in (7, 12, 17)] == [RIGHT_VENTRICLE, MYOCARDIUM, LEFT_VENTRICLE]
    assert not second.labels.any()
    write_case(tmp_path / "e", "Case_P003", image, raw)
    first, second = read_data_set(tmp_path / "e", "emidec")
    assert [first.labels[r, 7] for r in (7, 12, 17)] == [LEFT_VENTRICLE, MYOCARDIUM, MYOCARDIUM]
    assert first.scarred and not second.scarred and first.spacing == (1.0, 1.0)


def test_a_spacing_file_without_its_columns_is_told(tmp_path):
    image = np.zeros((1, 8, 8), np.uint8)
    write_case(tmp_path / "a", "patient003_frame01", image, image)
    (tmp_path / "a" / "spacing.csv").write_text("image,mm\npatient003_frame01,1.5\n")
    with pytest.raises(InputError, match="row_mm"):
        list(read_data_set(tmp_path / "a", "acdc"))


def test_nothing_to_train_on_is_told():
    with pytest.raises(InputError, match="nothing to train on"):
        TrainingImages(simulated=0)


def test_a_bank_knows_where_the_heart_is_and_survives_its_file(bank, tmp_path):
    for labels, center, radii in zip(bank.labels[bank.label_of], bank.centers, bank.radii, strict=True):
        heart = (labels == MYOCARDIUM) | (labels == LEFT_VENTRICLE)
        assert heart[tuple(np.rint(center).astype(int))]
        assert np.pi * radii.prod() == pytest.approx(heart.sum(), rel=0.01)
    bank.save(tmp_path / "bank.npz")
    again = Bank.load(tmp_path / "bank.npz")
    np.testing.assert_array_equal(again.images, bank.images)
    assert again.contrasts == bank.contrasts and again.subjects == bank.subjects


def test_a_slice_without_heart_takes_its_neighbour_s_place():
    image, labels = drawn_ring()
    ours = np.where(labels == 1, MYOCARDIUM, np.where(labels == 2, LEFT_VENTRICLE, 0)).astype(np.uint8)
    shown = LabelledSlice(image, ours, (1.0, 1.0), "a1", "acdc", "a1")
    empty = LabelledSlice(image, np.zeros_like(ours), (1.0, 1.0), "a1", "acdc", "a1")
    alone = LabelledSlice(image, np.zeros_like(ours), (1.0, 1.0), "b2", "acdc", "b2")
    bank = bank_of([shown, empty, alone])
    np.testing.assert_array_equal(bank.centers[0], bank.centers[1])
    np.testing.assert_allclose(bank.centers[2], 127.5)


@pytest.mark.parametrize(("make", "size"), [(crop_batch, CROP_SIZE), (whole_batch, WHOLE_SIZE)])
def test_examples_are_normalised_and_their_targets_add_up(bank, make, size):
    generator = torch.Generator().manual_seed(0)
    examples = Examples({"simulated": bank}, {"simulated": 1.0})
    batch = make(examples.draw(12, generator), generator)
    assert batch.image.shape == (12, 1, size, size) and batch.target.shape == (12, 3, size, size)
    assert float(batch.image.min()) >= 0.0 and float(batch.image.max()) <= 1.0
    assert torch.isfinite(batch.image).all()
    torch.testing.assert_close(batch.target.sum(dim=1), torch.ones(12, size, size))
    assert float(batch.target.min()) > -1e-5
    shown = batch.target[:, 1:].sum(dim=(1, 2, 3)) > 50
    assert 6 <= int(shown.sum()) <= 12


def test_crops_show_the_heart_in_its_size(bank):
    examples = Examples({"simulated": bank}, {"simulated": 1.0})
    batch = fixed_crops(examples.take(torch.arange(len(bank))), seed=0)
    radius = (batch.target[:, 1:].sum(dim=(1, 2, 3)) / np.pi).sqrt()
    assert float((radius / CROP_RADIUS_PX).min()) > 0.75 and float((radius / CROP_RADIUS_PX).max()) < 1.2


def test_painted_scars_change_the_wall_alone():
    image, labels = drawn_ring((96, 96), (48, 48))
    heart = torch.from_numpy(np.stack([labels == 1, labels == 2])).float()[None].repeat(16, 1, 1, 1)
    images = torch.from_numpy(image)[None, None].repeat(16, 1, 1, 1)
    painted = painted_scars(images, heart, torch.Generator().manual_seed(1))
    change = (painted - images).abs()
    assert float((change * (1 - heart[:, :1])).max()) == 0.0
    assert int((change.amax(dim=(1, 2, 3)) > 0.05).sum()) >= 10
    empty = painted_scars(images, heart * 0, torch.Generator().manual_seed(1))
    torch.testing.assert_close(empty, images)


@pytest.mark.parametrize("kind", SPOILINGS)
def test_spoiled_copies_tell_what_they_still_show(kind):
    image, labels = drawn_ring((160, 160), (70.0, 80.0))
    ours = np.where(labels == 1, MYOCARDIUM, np.where(labels == 2, LEFT_VENTRICLE, 0)).astype(np.uint8)
    stack = [LabelledSlice(image, ours, (1.0, 1.0), "a1", "acdc", "a1") for _ in range(len(SPOILINGS))]
    found = {item.contrast: item for item in spoiled_copies(stack, seed=1)}
    item = found[kind]
    assert item.image.shape == item.labels.shape and np.isfinite(item.image).all()
    assert bool(item.labels.any()) == (kind not in ("wrong slice", "no heart"))
    if item.image.shape == image.shape:
        assert np.abs(item.image - image).mean() > 0.003


def test_a_heart_that_moved_shows_where_its_labels_are():
    image, labels = drawn_ring((160, 160), (70.0, 80.0))
    away = []
    for seed in range(15):
        moved, kept = spoil(image, labels_as_experts(labels), "motion", np.random.default_rng(seed))
        bright = np.argwhere(moved > 0.7).mean(axis=0)
        away.append(np.hypot(*(bright - np.argwhere(kept == LEFT_VENTRICLE).mean(axis=0))))
    assert np.median(away) < 2.0, "ghosts may lie elsewhere, but the heart itself does not"


def test_damaged_copies_of_every_kind_keep_their_labels_or_show_no_heart():
    image, labels = drawn_ring((120, 140), (60.0, 70.0))
    ours = labels_as_experts(labels)
    stack = [LabelledSlice(image, ours, (1.0, 1.0), "a1", "acdc", "a1") for _ in range(6)]
    found = {item.contrast: item for item in damaged_copies(stack, seed=2)}
    assert set(found) == {*DAMAGES, "elsewhere", "across"}
    for kind, item in found.items():
        assert item.image.shape == item.labels.shape and np.isfinite(item.image).all()
        assert bool(item.labels.any()) == (kind in DAMAGES)
        if kind in DAMAGES:
            assert np.abs(item.image - image).max() > 0.05, kind
    assert len({item.stack for item in damaged_copies(stack, seed=2)}) == 12


def test_contrasts_are_drawn_as_often_as_they_weigh(bank):
    examples = Examples({"simulated": bank}, {"simulated": 1.0}, {"lge_psir": 3.0})
    share = dict.fromkeys(bank.contrasts, 0.0)
    for contrast, value in zip(bank.contrasts, examples.share.tolist(), strict=True):
        share[contrast] = value
    assert share["lge_psir"] == pytest.approx(3.0 * share["t1_rest"])


def labels_as_experts(labels):
    return np.where(labels == 1, MYOCARDIUM, np.where(labels == 2, LEFT_VENTRICLE, 0)).astype(np.uint8)


def test_sources_are_reported_with_and_without_themselves():
    image, labels = drawn_ring()
    item = LabelledSlice(image, labels_as_experts(labels), (1.0, 1.0), "a5", "acdc", "a5")
    result = report_sources({"ACDC": [item], "EMIDEC": [item]}, ring_model(), {"ACDC": ring_model((14, 14, 14))})
    assert set(result["summary"]) == {"ACDC: yes", "ACDC: no", "EMIDEC: yes"}
    assert result["summary"]["ACDC: yes"]["myocardium"] > 0.93 > result["summary"]["ACDC: no"]["myocardium"]
    rows = result["tables"]["segmentation-sources"].splitlines()
    assert len(rows) == 5 and rows[3].startswith("| ACDC | no |")


@pytest.mark.parametrize("depth", DEPTHS)
def test_networks_of_every_depth(depth):
    network = CompactUNet(depth).eval()
    with torch.no_grad():
        assert network(torch.rand(2, 1, CROP_SIZE, CROP_SIZE)).shape == (2, 3, CROP_SIZE, CROP_SIZE)


def test_a_shallower_network_starts_from_a_deeper_one():
    deep = CompactUNet(6)
    for depth in DEPTHS:
        network = CompactUNet(depth)
        network.load_state_dict(shallower(deep.state_dict(), 6, depth))
    torch.testing.assert_close(network.up[-1][0].weight, deep.up[-1][0].weight)


def test_loss_falls_from_a_wrong_answer_to_the_right_one():
    target = torch.zeros(2, 3, 8, 8)
    target[:, 0], target[:, 0, 2:6, 2:6], target[:, 1, 2:6, 2:6] = 1.0, 0.0, 1.0
    right, wrong = 12.0 * target, 12.0 * target.roll(1, dims=1)
    assert float(segmentation_loss(right, target)) < 0.6 < 2.0 < float(segmentation_loss(wrong, target))
    assert float(paper_loss(right, target)) < 0.01 < float(paper_loss(wrong, target))


def test_the_thesis_s_networks_are_as_printed():
    network = PaperUNet(2)
    layers = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    assert [m.out_channels for m in layers] == [32, 32, 64, 64, 128, 128, 32, 32, 64, 64, 3]
    rates = sorted({round(m.p, 4) for m in network.modules() if isinstance(m, torch.nn.Dropout)})
    assert rates == [0.2, 0.25, 0.3]
    with torch.no_grad():
        assert PaperUNet(6)(torch.rand(1, 1, 256, 256)).shape == (1, 3, 256, 256)


def test_judging_knows_good_answers_from_bad_ones():
    image, labels = drawn_ring()
    ours = np.where(labels == 1, MYOCARDIUM, np.where(labels == 2, LEFT_VENTRICLE, 0)).astype(np.uint8)
    item = LabelledSlice(image, ours, (1.0, 1.0), "a1", "acdc", "a1")
    np.testing.assert_array_equal(truth_of(item), labels)
    good = summarise(judge([item, item], ring_model()))
    assert good.myocardium > 0.93 and good.accuracy == 1.0 and good.error < 0.1 and good.myocardium_3d > 0.93
    unsure = judge([item], ring_model((-14, 0, 14)))
    assert detection(unsure) | {"bad_flagged": 0.0} == {"bad": 0, "good": 1, "bad_flagged": 0.0, "good_flagged": 1.0}
    wrong = judge([item], ring_model((14, 14, 14)))
    assert detection(wrong)["bad_flagged"] == 0.0 and summarise(wrong).accuracy == 0.0


def test_a_short_training_goes_on_where_it_stopped_and_gives_a_model(tiny, tmp_path):
    lines = []

    def limits(steps):
        return TrainingOptions(minutes=5, steps=steps, batch=2, report_every_s=0.0)

    for steps in (2, 4):
        train_part(tiny, tmp_path, limits(steps), part="unets", depths=(1, 2), report=lines.append)
    assert any(line.startswith("step=3") for line in lines)
    with pytest.raises(InputError, match="train this stage first"):
        assemble(tmp_path, "tiny", tiny, report=lines.append)
    train_part(tiny, tmp_path, limits(2), part="finder", report=lines.append)
    entry = assemble(tmp_path, "tiny", tiny, report=lines.append)
    assert entry.licence == "Apache-2.0" and entry.input["depths"] == [1, 2]
    image, _ = drawn_ring()
    path = tmp_path / entry.file
    with pytest.raises(MissingDependencyError, match="segmentation-quality"):
        segment_slices(np.stack([image] * 2), model=path, device="cpu")
    fitted = add_quality(path, tiny, slices=_rings(), report=lines.append)
    assert len(fitted.input["quality"]["bias"]) == 4
    assert load_weights(path, "segmentation").entry == fitted
    assert add_quality(path, tiny, slices=_rings(), report=lines.append).input == fitted.input, "fitted anew"
    results = segment_slices(np.stack([image] * 2), model=load_segmentation_model(path, "cpu"))
    assert [r.slice for r in results] == [0, 1]


def _rings():
    """Drawn hearts at several places, for fitting the quality of networks that have learnt nothing yet."""
    items = []
    for i in range(6):
        image, labels = drawn_ring(center=(50.0 + 3 * i, 70.0))
        ours = np.where(labels == 1, MYOCARDIUM, np.where(labels == 2, LEFT_VENTRICLE, 0)).astype(np.uint8)
        items.append(LabelledSlice(image, ours, (1.0, 1.0), f"a{i}", "acdc", f"a{i}"))
    return items


def test_initial_weights_must_be_deep_enough(tiny, tmp_path):
    limits = TrainingOptions(minutes=5, steps=1, batch=2)
    train_part(tiny, tmp_path / "deep", limits, part="unets", depths=(2,), report=lambda line: None)
    start = tmp_path / "deep" / "unets-2"
    train_part(tiny, tmp_path / "a", limits, part="unets", depths=(1,), initial=start, report=lambda line: None)
    with pytest.raises(InputError, match="deep enough"):
        train_part(tiny, tmp_path / "b", limits, part="unets", depths=(3,), initial=start, report=lambda line: None)


def test_simulated_banks_are_kept(tiny, tmp_path):
    first = training_banks(tiny, tmp_path)["simulated"]
    assert len(list(tmp_path.glob("*.npz"))) == 1
    again = training_banks(tiny, tmp_path)["simulated"]
    np.testing.assert_array_equal(first.images, again.images)


@pytest.fixture
def train_main():
    path = Path(__file__).resolve().parents[3] / "Resources" / "Scripts" / "cmr_train.py"
    spec = importlib.util.spec_from_file_location("cmr_train", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def test_the_command_tells_what_is_missing(train_main, tmp_path, capsys):
    assert train_main(["segmentation", "--output", str(tmp_path), "--simulated", "0"]) == 2
    assert "nothing to train on" in capsys.readouterr().err
    assert train_main(["segmentation-quality", str(tmp_path / "none.safetensors")]) == 3
    assert "no weights file" in capsys.readouterr().err
