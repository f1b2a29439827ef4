"""Registering stress to rest: networks, alignment on the maps themselves, grids, and what becomes of a true change."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pairs_bank import small_bank  # noqa: E402

from CMRLib.errors import InputError  # noqa: E402
from CMRLib.networks.devices import resolve_device  # noqa: E402
from CMRLib.networks.warp import folded_share  # noqa: E402
from CMRStressReactivityLib.networks import (  # noqa: E402
    NETWORKS,
    SwinRegistration,
    integrated,
    unwindowed,
    window_mask,
    windows,
)
from CMRStressReactivityLib.reactivity import reactivity_map, region_reactivity  # noqa: E402
from CMRStressReactivityLib.registration import (  # noqa: E402
    SPACING_MM,
    NetworkGrid,
    RegistrationModel,
    estimate,
    load_registration_model,
    register,
    registered,
    sampled_at,
)
from CMRStressReactivityLib.research.pairs import random_pairs  # noqa: E402
from CMRStressReactivityLib.research.paper import PaperSwinRegistration  # noqa: E402
from CMRStressReactivityLib.research.training import as_seen  # noqa: E402

SPACING = (SPACING_MM, SPACING_MM)


def pair(response=None, seed=4):
    batch = random_pairs(small_bank(), 1, torch.Generator().manual_seed(seed), varied=False, response=response)
    return batch, batch.rest[0, 0].numpy(), batch.stress[0, 0].numpy()


def distance(found, batch):
    inside = batch.myocardium[0, 0].numpy() > 0.5
    return float(np.hypot(*(found - batch.displacement[0].numpy()))[inside].mean())


@pytest.mark.parametrize("shift", [0, 3])
def test_windows_go_and_come_back(shift):
    x = torch.arange(2 * 14 * 21 * 3.0).view(2, 14, 21, 3)
    assert torch.equal(unwindowed(windows(x, shift), (14, 21), shift), x)


def test_opposite_edges_and_padding_do_not_see_each_other():
    mask = window_mask((14, 14), (12, 12), 3)
    assert mask.shape == (4, 49, 49) and torch.equal(mask, mask.transpose(1, 2))
    assert (mask[0] == 0).all() and (mask[3] < 0).any()
    # The first token of the last window lies at (10, 10); the last one has wrapped around from (2, 2).
    assert mask[3, 0, 48] < 0


@pytest.mark.parametrize("name", NETWORKS)
def test_new_networks_see_next_to_no_motion_and_do_not_fold(name):
    torch.manual_seed(0)
    velocity = NETWORKS[name]()(torch.rand(2, 2, 192, 192))
    assert velocity.shape == (2, 2, 48, 48) and velocity.dtype == torch.float32
    displacement = integrated(velocity)
    assert float(displacement.detach().abs().max()) < 0.2 and folded_share(displacement) == 0.0


def test_smooth_velocities_make_displacements_that_do_not_fold():
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(4, 2, 6, 6, generator=generator)
    velocity = 6.0 * torch.nn.functional.interpolate(coarse, size=(48, 48), mode="bicubic", align_corners=True)
    assert folded_share(velocity) > 0.01 and folded_share(integrated(velocity)) < 0.001


def test_the_thesis_s_network_has_its_shapes():
    network = PaperSwinRegistration().eval()
    with torch.no_grad():
        assert network(torch.rand(1, 2, 192, 192)).shape == (1, 2, 192, 192)
    shapes = {name: tuple(value.shape) for name, value in network.named_parameters()}
    assert shapes["embed.weight"] == (128, 32) and shapes["position"] == (1, 48, 48, 128)
    assert shapes["levels.encoder.3.1.feedforward.0.weight"] == (4096, 1024)
    assert [len(level) for level in network.levels.encoder] == [2, 2, 2, 2]
    assert [level[0].heads for level in network.levels.encoder] == [4, 8, 8, 8]
    assert [block.shift for block in network.levels.encoder[0]] == [0, 3]
    assert shapes["head.weight"][0] == 2 and network.levels.encoder[0][0].feedforward[2].p == 0.1


def test_two_looks_are_composed():
    """A network that always says the same shift of a quarter block finds twice that."""

    class Constant(torch.nn.Module):
        def forward(self, maps):
            return torch.full((len(maps), 2, 48, 48), 0.25)

    maps = torch.rand(1, 2, 192, 192)
    device = resolve_device("cpu")
    once, twice = (estimate(maps, Constant(), device, passes) for passes in (1, 2))
    assert torch.allclose(once, torch.tensor(0.25)) and torch.allclose(twice, torch.tensor(0.5))


def test_maps_are_aligned_without_a_network():
    batch, rest, stress = pair()
    found = register(rest, stress, SPACING, model=None)
    before = distance(np.zeros_like(found.displacement), batch)
    assert found.displacement.shape == (2, 192, 192) and found.model is None
    assert before > 1.5 and distance(found.displacement, batch) < 0.4
    assert folded_share(torch.from_numpy(found.displacement)[None]) == 0.0


@pytest.mark.parametrize("response", ["global", "none", "negative"])
def test_a_true_change_survives(response):
    batch, rest, stress = pair(response, seed=6)
    found = register(rest, stress, SPACING, model=None)
    inside = batch.myocardium[0, 0].numpy() > 0.5
    clean, unmoved = batch.clean[0, 0].numpy(), batch.unmoved[0, 0].numpy()
    true = region_reactivity(reactivity_map(clean, unmoved), inside).percent
    seen = region_reactivity(reactivity_map(rest, registered(stress, found.displacement)), inside).percent
    assert abs(seen - true) < 1.2, "the rest is the noise of these maps"


def test_the_network_s_answer_is_where_it_starts():
    model = RegistrationModel(SwinRegistration().eval(), resolve_device("cpu"), None)
    batch, rest, stress = pair()
    raw = register(rest, stress, SPACING, model=model, refined=False).displacement
    assert np.abs(raw).max() < 2.0
    assert distance(register(rest, stress, SPACING, model=model).displacement, batch) < distance(raw, batch)


def test_the_shipped_network_aligns_and_refining_makes_it_better():
    model = load_registration_model(device="cpu")
    batch, rest, stress = pair(seed=8)
    raw = register(rest, stress, SPACING, model=model, refined=False).displacement
    found = register(rest, stress, SPACING, model=model)
    assert found.model.id == "stress" and found.device == "cpu"
    before = distance(np.zeros_like(raw), batch)
    assert distance(raw, batch) < 0.5 * before and distance(found.displacement, batch) < 0.4 < before
    assert folded_share(torch.from_numpy(found.displacement)[None]) == 0.0


def test_another_spacing_and_place_give_the_same_answer():
    """The maps enlarged twofold and moved in a larger field of view have the displacement enlarged twofold."""
    _, rest, stress = pair()
    plain = register(rest, stress, SPACING, model=None).displacement
    large = [np.pad(np.kron(image, np.ones((2, 2))), ((10, 30), (24, 0))) for image in (rest, stress)]
    center = (10 + 191.5, 24 + 191.5)
    found = register(*large, (SPACING_MM / 2, SPACING_MM / 2), center, model=None).displacement
    part = found[:, 10:394:2, 24:408:2]
    middle = (slice(None), slice(60, 132), slice(60, 132))
    assert np.abs(part[middle] / 2 - plain[middle]).mean() < 0.15


def test_the_grid_holds_the_map_where_it_should():
    grid = NetworkGrid.around((95.5, 95.5), SPACING)
    image = np.random.default_rng(0).uniform(500, 1700, (192, 192)).astype(np.float32)
    assert np.allclose(grid.sampled(image)[0].numpy(), (image - 1200) / 500, atol=1e-3)
    outside = NetworkGrid.around((0.0, 0.0), SPACING).sampled(image)[0]
    assert torch.all(outside[:90, :90] == -2.0)


def test_what_has_no_value_stays_without():
    image = np.full((40, 40), 1000.0)
    image[:, :10] = 0.0
    moved = registered(image, np.full((2, 40, 40), 0.5))
    assert set(np.unique(moved)) == {0.0, 1000.0}
    rows, columns = np.indices((40, 40), dtype=float)
    assert np.array_equal(sampled_at(image, [rows, columns]), image.astype(np.float32))


def test_what_cannot_be_registered_is_said():
    image = np.full((64, 64), 1000.0)
    with pytest.raises(InputError, match="bring the stress map to the rest map's grid"):
        register(image, image[:40], SPACING, model=None)
    with pytest.raises(InputError, match="is not that of a heart image"):
        register(image, image, (0.01, 1.0), model=None)
    with pytest.raises(InputError, match="choose a network or refine"):
        register(image, image, SPACING, model=None, refined=False)


def test_the_network_sees_both_maps_in_the_same_units():
    batch, rest, _ = pair()
    seen = as_seen(batch)
    assert seen.shape == (1, 2, 192, 192) and float(seen.abs().max()) <= 2.0
    assert torch.allclose(seen[0, 0], torch.from_numpy(np.clip((rest - 1200) / 500, -2, 2)), atol=1e-5)
