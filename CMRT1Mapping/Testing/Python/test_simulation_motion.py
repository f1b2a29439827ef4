"""Simulated motion: severities, no folds, no net motion, inverses, repeatability."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from CMRLib.errors import InputError

torch = pytest.importorskip("torch")

from CMRLib.networks.warp import compose, folded_share, indices, jacobian_determinant  # noqa: E402
from CMRLib.simulation.motion import (  # noqa: E402
    LARGEST_MM,
    SEVERITIES,
    ControlGrid,
    breathing_course,
    inverse_of,
    random_control,
    random_motion,
)

SHAPE, SPACING = (90, 100), 1.8
CENTRE = (44.5, 49.5)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def motion(severity, seed=0, frames=7, **options):
    return random_motion(frames, SHAPE, SPACING, severity, generator(seed), **options)


def wall_lengths_mm(displacement, center=CENTRE):
    """Lengths of the displacement, (frame, pixel), where a wall of usual size would be."""
    at = indices(SHAPE, displacement) - torch.tensor(center)[:, None, None]
    distance = at[0].hypot(at[1]) * SPACING
    return displacement.norm(dim=1)[:, (distance > 22.0) & (distance < 34.0)] * SPACING


@given(severity=st.sampled_from(SEVERITIES), frames=st.integers(5, 11), seed=st.integers(0, 10_000))
@settings(max_examples=60)
def test_no_net_motion_and_no_folds(severity, frames, seed):
    field = motion(severity, seed, frames)
    assert field.shape == (frames, 2, *SHAPE)
    assert field.dtype == torch.float32
    assert field.mean(dim=0).abs().max() < 1e-5
    assert jacobian_determinant(field).min() > 0.1
    assert folded_share(field) == 0.0
    assert wall_lengths_mm(field).max() < LARGEST_MM + 1.0


def test_none_is_exactly_none():
    assert torch.count_nonzero(motion("none")) == 0


@pytest.mark.parametrize(
    ("severity", "least", "most"), [("mild", 0.1, 1.1), ("moderate", 1.3, 3.2), ("severe", 2.2, 7.3)]
)
def test_severity_is_the_mean_displacement_of_the_wall(severity, least, most):
    means = torch.tensor([float(wall_lengths_mm(motion(severity, seed)).mean()) for seed in range(60)])
    assert least < means.min()
    assert means.max() < most
    usual = {"mild": (0.4, 0.8), "moderate": (1.9, 2.6), "severe": (3.8, 5.6)}[severity]
    assert usual[0] < means.median() < usual[1]


def test_severe_motion_has_frames_far_off_and_some_sets_a_single_one():
    per_frame = torch.stack([wall_lengths_mm(motion("severe", seed)).mean(dim=1) for seed in range(80)])
    assert per_frame.max() > 11.0
    ordered = per_frame.sort(dim=1).values
    assert ((ordered[:, -1] > 2.5 * ordered[:, -3]).float().mean()) > 0.05


def test_the_same_seed_gives_the_same_motion():
    assert torch.equal(motion("severe", 3), motion("severe", 3))
    assert not torch.equal(motion("severe", 3), motion("severe", 4))


def test_the_heart_moves_mostly_along_the_rows_and_more_than_what_is_far():
    fields = torch.cat([motion("severe", seed) for seed in range(40)])
    squared = fields.square().mean(dim=0)
    center = squared[:, 40:50, 45:55].mean(dim=(1, 2))
    assert center[0] > 2.0 * center[1]
    assert center.sum() > 1.5 * squared[:, :6, :6].sum(dim=0).mean()


def test_tissue_that_moves_little_stays_behind():
    mobility = torch.ones(SHAPE)
    mobility[:, 70:] = 0.1
    mobility[:, 60:70] = torch.linspace(1.0, 0.1, 10)
    fields = torch.cat([motion("severe", seed, center=(44.5, 25.0), mobility=mobility) for seed in range(40)])
    lengths = fields.norm(dim=1).mean(dim=0)
    assert lengths[:, 10:40].mean() > 2.0 * lengths[:, 80:].mean()


def test_courses_of_all_kinds():
    courses = breathing_course(400, 7, generator())
    assert courses.shape == (400, 7)
    assert torch.isfinite(courses).all()
    spread = courses.amax(dim=1) - courses.amin(dim=1)
    assert 0.5 < spread.median() < 2.5


@pytest.mark.parametrize("severity", SEVERITIES)
def test_inverses_on_the_pixels(severity):
    grid = ControlGrid.over(SHAPE, SPACING)
    for seed in range(6):
        control = random_control([severity] * 4, 7, grid, generator(seed), torch.tensor([CENTRE] * 4) * SPACING)
        field = (grid.evaluate(control) / SPACING).flatten(0, 1)
        inverse = inverse_of(control.flatten(0, 1), field, grid)
        left = compose(inverse, field)[:, :, 12:-12, 12:-12].norm(dim=1)
        assert left.max() < 0.05


def test_splines_reproduce_shifts_and_turns():
    grid = ControlGrid.over((50, 70), 1.3)
    at = grid.positions_mm(torch.zeros(1))
    control = torch.stack([2.0 + 0.1 * at[1], -1.0 - 0.1 * at[0]])
    pixels = 1.3 * indices((50, 70), control)
    expected = torch.stack([2.0 + 0.1 * pixels[1], -1.0 - 0.1 * pixels[0]])
    assert grid.evaluate(control) == pytest.approx(expected, abs=1e-4)


def test_an_unknown_severity_is_refused():
    with pytest.raises(InputError, match="none, mild, moderate, severe"):
        motion("extreme")
