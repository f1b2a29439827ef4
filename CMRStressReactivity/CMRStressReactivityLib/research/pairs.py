"""Random pairs of rest and stress T1 maps with known motion and known response, in batches.

The stress map shows the rest map's anatomy where the displacement takes it, with its own T1 and its own errors. Both
are sampled from a scene (see `CMRStressReactivityLib.research.scenes`) once, so that neither is smoother.

torch is imported by whoever imports this module: import it inside functions.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from CMRLib.anatomy.insertions import LEFT_VENTRICLE, MYOCARDIUM, RIGHT_VENTRICLE
from CMRLib.networks.sampling import sample
from CMRLib.networks.warp import indices
from CMRLib.simulation.motion import ControlGrid, inverse_of, normal, random_control, uniform
from CMRLib.training.augmentation import affine, chance
from CMRStressReactivityLib.registration import SIZE, SPACING_MM
from CMRStressReactivityLib.research.scenes import DEPTH_STEP, SPLEEN, SceneBank

# How often each response is drawn, and each severity of the motion.
RESPONSES = {"global": 0.3, "territorial": 0.25, "microvascular": 0.15, "none": 0.15, "negative": 0.15}
SEVERITIES = {"none": 0.06, "mild": 0.14, "moderate": 0.35, "severe": 0.45}
# The patient lies elsewhere: a shift of the whole image, standard deviation along each axis in mm. With the motion
# above, the myocardium of a pair overlaps as in the thesis (chapter 3): Dice 0.56 ± 0.22.
SHIFT_MM = 4.2
TERRITORY_DEGREES = (60.0, 140.0)
BETWEEN_SLICES = 0.35  # largest share of the next slice in a stress slice that lies a little nearer to the apex
SLICES_APART = 0.4  # how often
NOISE_NORM = math.sqrt((1 + 3.5 / 9) ** 2 + 8 * (3.5 / 9) ** 2)
ERRORS = (0.008, 0.025)  # standard error of T1 where the signal is that of water, relative; some 10 to 40 ms in muscle
T1_SPREAD = 0.04  # of a subject's T1 of everything, relative


class PairBatch(NamedTuple):
    """Pairs on one grid, rest centred on the left ventricle.

    Attributes:
        rest, stress: float32 (pair, 1, row, column), T1 in ms with errors, 0 where there is none.
        displacement: float32 (pair, 2, row, column) in pixels: stress at x + displacement(x) shows what rest shows
            at x.
        unmoved: float32 (pair, 1, row, column), the stress map without motion and errors, on the rest map's grid.
        clean: the rest map without errors.
        myocardium: float32 (pair, 1, row, column), its share of the rest map's pixels.
        moved: the same in the stress map.
        heart: float32 (pair, 1, row, column), 1 in the ventricles and the wall, 0 elsewhere, rest map's grid.
        errors: float32 (pair, 2, row, column), standard errors of T1 in ms in the rest map and in the unmoved stress
            map.
        response: int (pair,), index into RESPONSES.
        scene: int (pair,), number in the bank.
        landmarks: float32 (pair, 3, 2), (row, column) in the rest map; NaN where they are not known.
    """

    rest: Tensor
    stress: Tensor
    displacement: Tensor
    unmoved: Tensor
    clean: Tensor
    myocardium: Tensor
    moved: Tensor
    heart: Tensor
    errors: Tensor
    response: Tensor
    scene: Tensor
    landmarks: Tensor


def random_pairs(
    bank: SceneBank,
    count: int,
    generator: torch.Generator,
    *,
    scenes: list[int] | None = None,
    varied: bool = True,
    response: str | None = None,
    size: int = SIZE,
) -> PairBatch:
    """Random pairs of the scenes of a bank.

    Args:
        bank: of scenes.
        count: pairs.
        generator: of torch, on the CPU; everything random comes from it.
        scenes: their numbers; by default drawn, simulated bodies and real hearts equally often.
        varied: whether scenes are turned, mirrored, scaled and shifted at random, and responses beyond what a heart
            can show are drawn, as pairs of different people under stress would (the thesis's permuted pairs).
        response: a key of RESPONSES for all pairs; by default drawn.
        size: rows and columns.
    """
    if scenes is None:
        scenes = _drawn_scenes(bank, count, generator)
    kind = torch.multinomial(torch.tensor(list(RESPONSES.values())), count, True, generator=generator)
    if response is not None:
        kind = torch.full_like(kind, list(RESPONSES).index(response))
    landmarks = torch.from_numpy(bank.landmarks[scenes])
    matrix, offset, center = _placement(landmarks[:, 0], size, generator, varied=varied)
    displacement, inverse = _motion(count, size, center, generator)

    # Without a response there is nothing but motion.
    matching = kind == list(RESPONSES).index("none")
    rest_channels, stress_channels = _channels(bank, scenes, matching, generator)
    seen = sample(rest_channels, matrix, offset, size)
    seen_moved = sample(stress_channels, matrix, offset, size, inverse)
    unmoved_t1 = sample(stress_channels[:, :1], matrix, offset, size)
    look = _Response(kind, generator, varied=varied)
    pixels = indices((size, size), displacement).expand(count, -1, -1, -1)
    away = pixels - center[:, :, None, None]
    clean = seen[:, :1] * look.gain
    unmoved = unmoved_t1 * look.gain * look.factor(seen, away)
    stress = seen_moved[:, :1] * look.gain * look.factor(seen_moved, away + inverse)
    relative = uniform(*ERRORS, count, 1, 1, 1, generator=generator)
    errors = torch.cat([t1 * relative / seen[:, 1:2].clamp_min(0.05) for t1 in (clean, unmoved)], dim=1)
    moved_errors = stress * relative / seen_moved[:, 1:2].clamp_min(0.05)
    placed = torch.linalg.solve(matrix, (landmarks - offset[:, None]).transpose(1, 2)).transpose(1, 2)
    return PairBatch(
        _with_errors(clean, errors[:, :1], seen[:, 1:2], generator),
        _with_errors(stress, moved_errors, seen_moved[:, 1:2], generator),
        displacement,
        unmoved,
        clean,
        seen[:, 2:3],
        seen_moved[:, 2:3],
        (seen[:, 2:3] + seen[:, 3:4]).clamp(0, 1),
        errors,
        kind,
        torch.tensor(scenes),
        placed,
    )


def _drawn_scenes(bank: SceneBank, count: int, generator: torch.Generator) -> list[int]:
    real = torch.from_numpy(bank.real)
    share = real.double().mean().clamp(1e-6, 1 - 1e-6)
    weights = torch.where(real, 0.5 / share, 0.5 / (1 - share))
    return torch.multinomial(weights, count, True, generator=generator).tolist()


def _placement(
    lv_center: Tensor, size: int, generator: torch.Generator, *, varied: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Matrix and offset of `CMRLib.networks.sampling.sample`, and the LV's centre (pair, 2) in the rest map."""
    count = len(lv_center)
    center = torch.full((count, 2), (size - 1) / 2.0)
    if varied:
        any_angle = uniform(-math.pi, math.pi, count, generator=generator)
        usual = 0.35 * normal(count, generator=generator)
        angle = torch.where(chance(0.2, count, generator), any_angle, usual)
        scale = uniform(math.log(0.8), math.log(1.25), count, generator=generator).exp()
        stretch = uniform(0.93, 1.07, count, generator=generator)
        matrix = affine(angle, scale, stretch, chance(0.5, count, generator))
        center = center + (6.0 * normal(count, 2, generator=generator)).clamp(-20, 20)
    else:
        matrix = torch.eye(2).expand(count, 2, 2)
        center = center + (2.0 * normal(count, 2, generator=generator)).clamp(-5, 5)
    return matrix, lv_center - torch.einsum("nij,nj->ni", matrix, center), center


def _motion(count: int, size: int, center: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Displacement (pair, 2, row, column) in pixels, and its inverse."""
    names = list(SEVERITIES)
    drawn = torch.multinomial(torch.tensor(list(SEVERITIES.values())), count, True, generator=generator)
    grid = ControlGrid.over((size, size), SPACING_MM)
    # Of two frames with no mean displacement, the second one.
    control = random_control([names[i] for i in drawn.tolist()], 2, grid, generator, center * SPACING_MM)[:, 1]
    shift = SHIFT_MM * normal(count, 2, generator=generator).clamp(-2.5, 2.5)
    still = (drawn == 0)[:, None]
    control = control + torch.where(still, 0.0, shift)[:, :, None, None]
    displacement = grid.evaluate(control) / SPACING_MM
    return displacement, inverse_of(control, displacement, grid)


def _channels(
    bank: SceneBank, scenes: list[int], matching: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """T1, density, myocardium, cavities, spleen and depth, (pair, 6, row, column), of the rest and the stress slice.

    Where it is not ``matching``, bool (pair,), the stress slice may lie a little nearer to the apex: then its slab
    holds a part of the next slice's tissue.
    """
    labels = torch.from_numpy(bank.labels[scenes])[:, None]
    depth = torch.from_numpy(bank.depth[scenes])[:, None].float() * DEPTH_STEP
    masks = [labels == MYOCARDIUM, (labels == LEFT_VENTRICLE) | (labels == RIGHT_VENTRICLE), labels == SPLEEN]
    t1 = torch.from_numpy(bank.t1[scenes].astype(np.float32))[:, None]
    density = torch.from_numpy(bank.density[scenes])[:, None].float() / 255.0
    others = [mask.float() for mask in masks] + [depth.clamp_max(1.0)]
    rest = torch.cat([t1, density, *others], dim=1)
    share = uniform(0.0, BETWEEN_SLICES, len(scenes), generator=generator)
    share = share * (chance(SLICES_APART, len(scenes), generator) & ~matching)
    stress = rest.clone()
    for i, scene in enumerate(scenes):
        following = int(bank.neighbour[scene])
        if following >= 0 and share[i] > 0.02:
            next_t1 = torch.from_numpy(bank.t1[following].astype(np.float32))
            next_density = torch.from_numpy(bank.density[following]).float() / 255.0
            mixed = (1 - share[i]) * density[i, 0] + share[i] * next_density
            signal = (1 - share[i]) * density[i, 0] * t1[i, 0] + share[i] * next_density * next_t1
            stress[i, 0], stress[i, 1] = signal / mixed.clamp_min(1e-3), mixed
    return rest, stress


class _Response:
    """By what factor T1 changes where, under one drawn response for each pair."""

    def __init__(self, kind: Tensor, generator: torch.Generator, *, varied: bool) -> None:
        count = len(kind)
        names = list(RESPONSES)

        def between(low: float, high: float) -> Tensor:
            return uniform(low, high, count, 1, 1, 1, generator=generator)

        def is_kind(name: str) -> Tensor:
            return (kind == names.index(name))[:, None, None, None]

        usual = between(3.5, 9.0)
        whole = torch.where(is_kind("microvascular"), between(1.5, 4.0), usual)
        whole = torch.where(is_kind("none"), torch.zeros(()), whole)
        whole = torch.where(is_kind("negative"), -between(1.0, 9.0), whole)
        if varied:
            beyond = chance(0.2, count, generator)[:, None, None, None] & ~is_kind("none")
            whole = torch.where(beyond, between(-15.0, 20.0), whole)
        self.whole = whole
        # The inner layer of a microvascular response responds less.
        self.inner = torch.where(is_kind("microvascular"), between(0.2, 0.8), torch.ones(()))
        self.defect = torch.where(is_kind("territorial"), between(-1.0, 1.0), whole)
        self.direction = between(-math.pi, math.pi)
        self.half_width = between(*(math.radians(d) / 2.0 for d in TERRITORY_DEGREES))
        self.blood = torch.where(is_kind("none"), torch.zeros(()), between(-3.0, 4.0))
        self.spleen = torch.where(is_kind("none"), torch.zeros(()), between(-6.0, 1.0))
        self.gain = 1.0 + T1_SPREAD * normal(count, 1, 1, 1, generator=generator).clamp(-2.5, 2.5) * float(varied)

    def factor(self, channels: Tensor, away: Tensor) -> Tensor:
        """Factors (pair, 1, row, column).

        Args:
            channels: see `_channels`, sampled.
            away: (pair, 2, row, column), from the LV's centre, pixels of the rest map.
        """
        angle = torch.atan2(away[:, :1], away[:, 1:])
        apart = (angle - self.direction + math.pi) % (2.0 * math.pi) - math.pi
        percent = torch.where(apart.abs() < self.half_width, self.defect, self.whole)
        percent = percent * torch.where(channels[:, 5:6] < 0.5, self.inner, torch.ones(()))
        change = channels[:, 2:3] * percent + channels[:, 3:4] * self.blood + channels[:, 4:5] * self.spleen
        return 1.0 + change / 100.0


def _with_errors(t1: Tensor, errors: Tensor, density: Tensor, generator: torch.Generator) -> Tensor:
    """T1 maps with noise, pixels without signal, ghosts and blur; see `PairBatch.rest`."""
    count = len(t1)

    def often(probability: float) -> Tensor:
        return chance(probability, count, generator)[:, None, None, None]

    noise = torch.randn(t1.shape, generator=generator)
    # Images are interpolated, so that the noise of neighbours is not independent; its deviation stays 1.
    noise = (noise + 3.5 * functional.avg_pool2d(noise, 3, 1, 1)) / NOISE_NORM
    image = t1 + errors * noise
    ghost = uniform(0.005, 0.03, count, 1, 1, 1, generator=generator) * often(0.15)
    step = int(torch.randint(20, 70, (1,), generator=generator))
    image = image + ghost * (image.roll(step, dims=2) - image.mean(dim=(2, 3), keepdim=True))
    # Motion between the images of a map, where nobody took it out, blurs borders.
    blurred = 0.5 * image + 0.25 * (image.roll(1, dims=2) + image.roll(-1, dims=2))
    image = torch.where(often(0.1), blurred, image)
    lost = density < 0.08
    top = uniform(1500.0, 4000.0, count, 1, 1, 1, generator=generator)
    anything = torch.rand(t1.shape, generator=generator) * top
    image = torch.where(lost, torch.where(often(0.5), torch.zeros(()), anything), image)
    return image.clamp(0.0, 5000.0)
