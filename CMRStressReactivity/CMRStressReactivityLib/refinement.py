"""The network's displacement made better on the two maps themselves.

What is made alike is not T1 but its pattern: the squared correlation of the two maps in a window around every pixel
(local cross-correlation, as ANTs and VoxelMorph use it), which does not change when T1 or its contrast rises there. So
a true change of T1 neither pulls at the displacement nor is taken away by it; a window without a pattern counts nothing.

torch is imported inside the functions, so that this module loads without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

STEPS = 25
RATE = 0.04  # blocks a step
WINDOW = 9  # pixels
NOISE = 0.01  # variance of noise in the maps as the network sees them; some 50 ms
SMOOTHNESS = 0.6
COMPARED = (40, 152)  # rows and columns in which the maps are compared; they hold the heart
LEAST_DETERMINANT = 0.15  # of the Jacobian, which is 0 at a fold


def refine(maps: Tensor, displacement: Tensor, steps: int = STEPS) -> Tensor:
    """Refine the displacements of a batch of pairs.

    Args:
        maps: (pair, 2, row, column), rest and stress after `CMRStressReactivityLib.registration.scaled_t1`.
        displacement: see `CMRStressReactivityLib.registration.estimate`.
        steps: of Adam.

    Returns:
        Displacements as given, which fold nowhere where the given ones do not.
    """
    import torch

    from CMRLib.networks.warp import warp
    from CMRStressReactivityLib.networks import in_pixels

    span = slice(*COMPARED)
    with torch.inference_mode(False), torch.enable_grad():
        given, maps = displacement.clone(), maps.clone()
        stress = maps[:, 1:]
        similarity = LocalCorrelation(maps[:, :1, span, span])
        corner = given.new_full((2, 1, 1), float(span.start))
        change = torch.zeros_like(given).requires_grad_()
        optimiser = torch.optim.Adam([change], lr=RATE, betas=(0.8, 0.95))
        for step in range(steps):
            for group in optimiser.param_groups:
                group["lr"] = RATE * (1.0 - step / steps)
            shift = in_pixels(given + change)[..., span, span] + corner
            rough = sum(change.diff(dim=axis).square().sum() for axis in (2, 3))
            loss = SMOOTHNESS * rough - similarity.of(warp(stress, shift))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return given + _unfolded(given, change.detach())


class LocalCorrelation:
    """Squared correlation of images with a fixed one in windows, weighted by how much pattern the fixed one shows."""

    def __init__(self, fixed: Tensor) -> None:
        """Of (pair, 1, row, column)."""
        self._fixed = fixed
        self._mean = _averaged(fixed)
        self._variance = _averaged(fixed.square()) - self._mean.square()
        self._weight = (self._variance / (self._variance + 4.0 * NOISE)) / WINDOW

    def of(self, moving: Tensor) -> Tensor:
        """Its sum over all windows and pairs."""
        mean = _averaged(moving)
        variance = _averaged(moving.square()) - mean.square()
        covariance = _averaged(moving * self._fixed) - mean * self._mean
        squared = covariance.square() / ((variance + NOISE) * (self._variance + NOISE))
        return (squared * self._weight).sum()


def _averaged(image: Tensor) -> Tensor:
    from torch.nn import functional

    return functional.avg_pool2d(image, WINDOW, 1, WINDOW // 2, count_include_pad=False)


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
