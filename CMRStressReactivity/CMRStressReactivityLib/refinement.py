"""Aligning a stress map with its rest map on the maps themselves, coarse to fine, from nothing or a network's answer.

What is made alike is not T1 but its pattern: the squared correlation of the two maps in a window around every pixel
(local cross-correlation, as ANTs and VoxelMorph use it), which does not change when T1 or its contrast rises there. So
a true change of T1 neither pulls at the displacement nor is taken away by it, and a window without a pattern counts
nothing. The change of the displacement is sought as white noise blurred by a Gaussian, so that it is smooth.

torch is imported inside the functions, so that this module loads without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

PRIOR = 0.5
WINDOW = 9  # pixels of a level
NOISE = 0.01  # variance of noise in the maps as the network sees them; some 50 ms
LEAST_DETERMINANT = 0.15  # of the Jacobian, which is 0 at a fold


@dataclass(frozen=True)
class Level:
    """One stage of the alignment.

    Attributes:
        shrink: by how much the maps are shrunk: 1, 2 or 4.
        length: blocks of `CMRStressReactivityLib.networks.PATCH` pixels, of the Gaussian that makes the change smooth.
        steps: of Adam.
        rate: of the first step, where 1 is a standard deviation of the noise in one block.
        compared: first and last of the rows and columns in which the maps are compared; they hold the heart.
    """

    shrink: int
    length: float
    steps: int
    rate: float
    compared: tuple[int, int]


# Chosen on 24 validation pairs that were 5.10 px apart (worst 14.2 px): 0.52 px are left after the first level, 0.36 px
# after the second and 0.21 px (worst 0.40 px) after the third. Shorter lengths at the first level lose some pairs.
COARSE = Level(4, 12.0, 40, 0.05, (24, 168))
MIDDLE = Level(2, 6.0, 25, 0.04, (24, 168))
FINE = Level(1, 3.0, 25, 0.03, (40, 152))
FROM_NOTHING, AFTER_NETWORK = (COARSE, MIDDLE, FINE), (FINE,)
# The network's answer is wrong by what differs from block to block, too: on the same pairs it leaves 0.52 px, and the
# third level after it 0.20 px with this blur, in blocks, against 0.25 px without.
NETWORK_BLUR = 1.5


def refine(maps: Tensor, displacement: Tensor, levels: Sequence[Level] = AFTER_NETWORK) -> Tensor:
    """Refine the displacements of a batch of pairs.

    Args:
        maps: (pair, 2, row, column), rest and stress after `CMRStressReactivityLib.registration.scaled_t1`.
        displacement: see `CMRStressReactivityLib.registration.estimate`; zeros where nothing is known.
        levels: of the alignment, coarse to fine.

    Returns:
        Displacements as given, which fold nowhere where the given ones do not.
    """
    import torch

    with torch.inference_mode(False), torch.enable_grad():
        displacement, maps = displacement.clone(), maps.clone()
        for level in levels:
            displacement = displacement + _unfolded(displacement, _change(maps, displacement, level))
    return displacement


def _change(maps: Tensor, displacement: Tensor, level: Level) -> Tensor:
    """By what the displacement changes at a level."""
    import torch
    from torch.nn import functional

    from CMRLib.networks.warp import warp
    from CMRStressReactivityLib.networks import PATCH

    maps = functional.avg_pool2d(maps, level.shrink) if level.shrink > 1 else maps
    span = slice(*(n // level.shrink for n in level.compared))
    cells = PATCH // level.shrink  # pixels of this level in a block
    similarity = LocalCorrelation(maps[:, :1, span, span])
    rows, columns = (_blur(size, level.length) for size in displacement.shape[2:])
    corner = displacement.new_full((2, 1, 1), float(span.start))
    noise = torch.zeros_like(displacement).requires_grad_()
    optimiser = torch.optim.Adam([noise], lr=level.rate, betas=(0.8, 0.95))
    for step in range(level.steps):
        for group in optimiser.param_groups:
            group["lr"] = level.rate * (1.0 - step / level.steps)
        total = displacement + rows @ noise @ columns.T
        if cells > 1:
            total = cells * functional.interpolate(total, scale_factor=cells, mode="bilinear", align_corners=False)
        likeness = similarity.of(warp(maps[:, 1:], total[..., span, span] + corner))
        loss = PRIOR / level.shrink**2 * noise.square().sum() - likeness
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return (rows @ noise @ columns.T).detach()


def smoothed(displacement: Tensor) -> Tensor:
    """A network's displacement as `refine` begins with it, see NETWORK_BLUR."""
    rows, columns = (_blur(size, NETWORK_BLUR) for size in displacement.shape[2:])
    return (rows / rows.sum(dim=1, keepdim=True)) @ displacement @ (columns / columns.sum(dim=1, keepdim=True)).T


class LocalCorrelation:
    """Squared correlation of images with a fixed one in windows, weighted by how much pattern the fixed one shows."""

    def __init__(self, fixed: Tensor) -> None:
        """Of (pair, 1, row, column)."""
        self._fixed = fixed
        self._mean = _averaged(fixed)
        self._variance = _averaged(fixed.square()) - self._mean.square()
        self.weight = (self._variance / (self._variance + 4.0 * NOISE)) / WINDOW

    def of(self, moving: Tensor) -> Tensor:
        """Its weighted sum over all windows and pairs."""
        return (self.squared(moving) * self.weight).sum()

    def squared(self, moving: Tensor) -> Tensor:
        """The squared correlation in every window, (pair, 1, row, column)."""
        mean = _averaged(moving)
        variance = _averaged(moving.square()) - mean.square()
        covariance = _averaged(moving * self._fixed) - mean * self._mean
        return covariance.square() / ((variance + NOISE) * (self._variance + NOISE))


def local_correlation(fixed: Tensor, moving: Tensor) -> tuple[Tensor, Tensor]:
    """Squared correlation in the window around every pixel, and its weight, each (pair, 1, row, column).

    Args:
        fixed, moving: (pair, 1, row, column), after `CMRStressReactivityLib.registration.scaled_t1`.
    """
    similarity = LocalCorrelation(fixed)
    return similarity.squared(moving), similarity.weight


def _averaged(image: Tensor) -> Tensor:
    from torch.nn import functional

    return functional.avg_pool2d(image, WINDOW, 1, WINDOW // 2, count_include_pad=False)


def _blur(size: int, length: float) -> Tensor:
    """A matrix (cell, cell) whose rows are Gaussians of this standard deviation and of length 1."""
    import torch

    index = torch.arange(size, dtype=torch.float32)
    rows = torch.exp(-0.5 * ((index[:, None] - index) / length) ** 2)
    return rows / rows.norm(dim=1, keepdim=True)


def _unfolded(displacement: Tensor, change: Tensor) -> Tensor:
    """As much of each pair's change as it can take without coming near a fold."""
    import torch

    from CMRLib.networks.warp import jacobian_determinant

    least = jacobian_determinant(displacement).amin(dim=(1, 2)).clamp_max(LEAST_DETERMINANT)
    kept = torch.zeros_like(change)
    for share in (0.25, 0.5, 1.0):
        fits = jacobian_determinant(displacement + share * change).amin(dim=(1, 2)) >= least
        kept = torch.where(fits[:, None, None, None], share * change, kept)
    return kept
