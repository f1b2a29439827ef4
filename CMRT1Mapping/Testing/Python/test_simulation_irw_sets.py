"""Banks of anatomies and random sets of moving inversion recovery images: splits, shapes, truth, repeatability."""

import dataclasses

import numpy as np
import pytest
from test_simulation_labelled import synthetic_stack, write_pair

from CMRLib.errors import InputError, OutputError

torch = pytest.importorskip("torch")

from CMRLib.networks.warp import folded_share, warp  # noqa: E402
from CMRLib.training.splits import split_of, split_of_seed  # noqa: E402
from CMRT1MappingLib.research import irw_sets  # noqa: E402
from CMRT1MappingLib.research.irw_appearance import SetAppearance, random_appearance  # noqa: E402
from CMRT1MappingLib.research.irw_bank import KINDS, NAMES, SIZE, IrwBank, make_bank  # noqa: E402
from CMRT1MappingLib.research.irw_sets import random_sets  # noqa: E402


@pytest.fixture(scope="module")
def patients(tmp_path_factory):
    """A training, a validation and two test patients, all alike."""
    folder = tmp_path_factory.mktemp("patients")
    image, labels = synthetic_stack()
    for name in ("patient002", "patient001", "patient005", "patient010"):
        write_pair(folder, f"{name}_frame01", image, labels)
        write_pair(folder, f"{name}_frame12", image[::-1].copy(), labels[::-1].copy())
    return folder


@pytest.fixture(scope="module")
def bank(patients):
    return make_bank(range(4), patients, shapes=3)


def only(bank, kind):
    chosen = bank.kind == KINDS.index(kind)
    names = [field.name for field in dataclasses.fields(bank) if field.name not in ("subjects", "split")]
    subjects = tuple(np.array(bank.subjects)[chosen].tolist())
    return dataclasses.replace(bank, subjects=subjects, **{name: getattr(bank, name)[chosen] for name in names})


def sets(bank, seed=0, count=2, **options):
    return random_sets(bank, count, torch.Generator().manual_seed(seed), **{"size": 64, "spacing_mm": 2.6, **options})


def test_a_bank_holds_only_its_split(patients, bank):
    assert set(np.array(bank.subjects)[bank.kind == KINDS.index("labelled")]) == {"patient002"}
    validation = make_bank([800_000], patients, "validation", shapes=1)
    assert set(validation.subjects) == {"SIM800000", "patient001", "SHAPES800000"}
    for seed in (800_000, 900_000, 900_199):
        with pytest.raises(InputError, match="belongs to"):
            make_bank([0, seed])
    with pytest.raises(InputError, match="training or validation"):
        make_bank([900_000], split="test")
    with pytest.raises(InputError, match="nothing to put"):
        make_bank([])


def test_splits():
    assert [split_of_seed(s) for s in (0, 799_999, 800_000, 899_999, 900_000)] == [
        "training",
        "training",
        "validation",
        "validation",
        "test",
    ]
    assert [split_of(f"patient{n:03d}") for n in (2, 5, 11, 21, 100)] == [
        "training",
        "test",
        "validation",
        "validation",
        "test",
    ]


def test_slices_of_a_bank_have_the_heart_in_the_middle(bank):
    for kind, here in zip(bank.kind, bank.heart, strict=True):
        if KINDS[kind] == "shapes":
            assert not here.any()
        else:
            assert here[SIZE // 2 - 10 : SIZE // 2 + 10, SIZE // 2 - 10 : SIZE // 2 + 10].min() == 255
            assert 0.01 < (here > 127).mean() < 0.25
    blood = bank.tissue[:, 0, SIZE // 2, SIZE // 2][bank.kind != KINDS.index("shapes")]
    assert {NAMES[i] for i in blood} <= {"left blood", "papillary muscle"}


def test_a_bank_is_the_same_after_saving(bank, tmp_path):
    path = tmp_path / "bank.npz"
    bank.save(path)
    again = IrwBank.load(path)
    assert again.split == "training"
    assert all(np.array_equal(getattr(again, f.name), getattr(bank, f.name)) for f in dataclasses.fields(bank))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match="delete it"):
        IrwBank.load(path)
    with pytest.raises(OutputError, match="permissions"):
        bank.save(path / "bank.npz")


@pytest.mark.parametrize("frames", range(5, 12))
def test_sets_of_every_length(bank, frames):
    batch = sets(bank, frames=frames)
    assert batch.images.shape == (2, frames, 64, 64)
    assert batch.displacement.shape == (2, frames, 2, 64, 64)
    assert batch.heart.shape == batch.body.shape == (2, 64, 64)
    assert all(torch.isfinite(part).all() and part.dtype == torch.float32 for part in batch)
    assert batch.images.min() >= 0
    assert batch.images.flatten(2).amax(2).min() > 0
    assert 0 <= batch.heart.min() <= batch.heart.max() <= 1
    assert 0 <= batch.body.min() <= batch.body.max() <= 1 + 1e-5
    assert batch.displacement.mean(dim=1).abs().max() < 1e-5
    assert folded_share(batch.displacement.flatten(0, 1)) == 0.0


def test_other_lengths_and_severities_are_refused(bank):
    with pytest.raises(InputError, match="5 to 11"):
        sets(bank, frames=4)
    with pytest.raises(InputError, match="severity"):
        sets(bank, severities=["none", "huge"])


def test_everything_comes_from_the_generator(bank):
    first, again, other = sets(bank, 5), sets(bank, 5), sets(bank, 6)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert first.images.shape != other.images.shape or not torch.equal(first.images, other.images)


def test_severities_are_as_asked(bank):
    batch = sets(bank, count=3, severities=["none", "mild", "severe"], frames=7)
    lengths = batch.displacement.norm(dim=2).flatten(1).mean(1)
    assert lengths[0] == 0.0
    assert 0.0 < lengths[1] < lengths[2]


def test_about_a_seventh_of_the_sets_is_without_motion(bank):
    moving = torch.cat([sets(bank, s, 20, size=16, spacing_mm=10.0).displacement.flatten(1).any(1) for s in range(8)])
    assert 0.06 < 1.0 - float(moving.float().mean()) < 0.25


def test_random_shapes_have_no_heart_and_anatomies_do(bank):
    assert sets(only(bank, "shapes")).heart.max() == 0
    for kind in ("parametric", "labelled"):
        hearts = sets(only(bank, kind), count=4).heart
        assert hearts.flatten(1).amax(1).min() > 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_the_displacement_aligns_the_frames(bank, kind, monkeypatch):
    """With one contrast and nothing degraded, the frames differ by their motion alone."""

    def one_contrast(kind, frames, rng):
        signals = np.repeat(np.linspace(-0.3, 1.0, len(NAMES))[None], frames, axis=0)
        return SetAppearance(signals, np.zeros_like(signals), np.arange(frames)[::-1].copy(), 1e-9, 0)

    def undegraded(signed, looks, spacing_mm, generator):
        return signed, torch.ones_like(signed[:, 0])

    monkeypatch.setattr(irw_sets, "random_appearance", one_contrast)
    monkeypatch.setattr(irw_sets, "degraded", undegraded)
    batch = sets(only(bank, kind), 1, 3, frames=7, severities=["severe"] * 3, size=128, spacing_mm=1.4)
    aligned = warp(batch.images.flatten(0, 1)[:, None], batch.displacement.flatten(0, 1)).view_as(batch.images)
    inner = (slice(None), slice(None), slice(24, -24), slice(24, -24))
    before, after = (images[inner].std(dim=1).square().mean().sqrt() for images in (batch.images, aligned))
    assert before > 0.05
    assert after < 0.35 * before


def test_the_heart_mask_is_that_of_the_aligned_anatomy(bank):
    batch = sets(only(bank, "parametric"), 2, 4, frames=7, severities=["none"] * 4, size=128, spacing_mm=1.4)
    body = batch.body > 0.5
    heart = batch.heart > 0.5
    assert (body & heart).sum() > 0.75 * heart.sum()
    brightness = batch.images.mean(dim=1)
    assert brightness[body].mean() > 2.0 * brightness[~body & (brightness > 0)].mean()


def test_frames_near_the_null_of_blood_or_muscle_are_frequent():
    rng = np.random.default_rng(0)
    muscle, blood = NAMES.index("myocardium"), NAMES.index("left blood")
    near = []
    for _ in range(200):
        signals = np.abs(random_appearance("parametric", 7, rng).signals)[:, [muscle, blood]]
        near.append((signals / signals.max(axis=0)).min(axis=0) < 0.15)
    assert np.all(np.mean(near, axis=0) > 0.3)


def test_appearances_keep_noise_and_order_in_bounds():
    rng = np.random.default_rng(1)
    for kind in KINDS:
        for frames in (5, 7, 11):
            look = random_appearance(kind, frames, rng)
            assert look.signals.shape == look.slopes.shape == (frames, len(NAMES))
            assert sorted(look.order) == list(range(frames))
            assert np.all(look.signals[:, NAMES.index("air")] == 0)
            assert 0 < look.noise_sd < np.abs(look.signals).max()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_sets_are_made_on_the_generators_device(bank):
    batch = random_sets(bank, 4, torch.Generator("cuda").manual_seed(0), frames=7)
    assert all(part.device.type == "cuda" and torch.isfinite(part).all() for part in batch)
    assert batch.displacement.mean(dim=1).abs().max() < 1e-5
