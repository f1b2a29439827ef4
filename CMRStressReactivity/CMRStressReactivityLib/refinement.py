"""Aligning a stress map with its rest map on the maps themselves, coarse to fine, from nothing or a network's answer.

What is made alike is not T1 but its pattern: around every pixel the rest map F is compared with a M + b, the registered
stress map M at the gain a and the height b that fit best in a window. So a true change of T1 neither pulls at the
displacement nor is taken away by it, and a window without a pattern counts nothing. What is left of a window's
variance is its noise, which says how much the window counts:

    1/2 sum over windows of (log of the mean of (F - a M - b)²) x pixels of a window / pixels that count as one

is made least (with a and b left out it is the logarithm of 1 - correlation²). The change of the displacement is a
Gaussian process, so that it is smooth: a sum of the strongest eigenvectors of its covariance, whose coefficients have
the variance 1. The Gauss-Newton method finds them in a few steps; its curvature is that of the residuals with a and b
fitted anew, under a displacement that is the same all over a window.

torch is imported inside the functions, so that this module loads without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

WINDOW = 9  # pixels, where the likeness of two maps is judged
NOISE = 0.01  # least variance of a pattern in the maps as the network sees them; some 50 ms
LEAST_NOISE = 0.003  # variance that a window's residuals have at least
# Neighbours' noise is not independent, and no window is wholly what is written above.
PIXELS_AS_ONE = 5.0
LEAST_EIGENVALUE = 1e-3  # relative to the largest one
LEAST_DETERMINANT = 0.15  # of the Jacobian, which is 0 at a fold


@dataclass(frozen=True)
class Level:
    """One stage of the alignment.

    Attributes:
        shrink: by how much the maps are shrunk: 1, 2 or 4.
        window: rows and columns of a window, pixels of the shrunk maps; odd.
        length: blocks of `CMRStressReactivityLib.networks.PATCH` pixels; the covariance of two places is that of
            Gaussians of this standard deviation that overlap.
        change: standard deviation of the change of the displacement, in blocks.
        steps: of the Gauss-Newton method.
        compared: first and last of the rows and columns in which the maps are compared; they hold the heart.
        pooled: rows and columns of pixels of the shrunk maps whose curvature is summed before it is used.
    """

    shrink: int
    window: int
    length: float
    change: float
    steps: int
    compared: tuple[int, int]
    pooled: int


# Chosen on 24 validation pairs that were 5.10 px apart (worst 14.2 px). From nothing, 0.60 px are left after the first
# level, 0.27 px after the second and 0.14 px (worst 0.42 px) after the third; a window of 7 or 9 in the last one leaves
# 0.01 and 0.02 px more, a length of 3 or 2 blocks as much, a fourth step changes nothing, and maps smoothed before,
# against noise and interpolation, leave 0.03 px more.
COARSE = Level(4, 9, 12.0, 2.0, 8, (24, 168), 1)
MIDDLE = Level(2, 9, 6.0, 1.0, 5, (24, 168), 2)
CLOSER = Level(2, 7, 4.0, 0.5, 3, (40, 152), 2)
FINE = Level(1, 5, 2.5, 0.25, 3, (40, 152), 4)
FROM_NOTHING, AFTER_NETWORK = (COARSE, MIDDLE, FINE), (CLOSER, FINE)
# The network's answer is wrong by what differs from block to block, too, which no smooth change can repair; on the same
# pairs one look leaves 0.65 px, and the levels after it 0.14 px with this blur, in blocks.
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

    with torch.inference_mode():
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
    seen_blocks = slice(*(n // PATCH for n in level.compared))
    blocks = [_eigenvectors(size, seen_blocks, level.length) * level.change**0.5 for size in displacement.shape[2:]]
    rows, columns = (_on_pixels(vectors, cells)[span] for vectors in blocks)
    start = cells * _finer(displacement, cells, "bilinear")[..., span, span] + float(span.start)
    fit = LocalFit(maps[:, :1, span, span], level.window)
    moving = torch.cat([maps[:, 1:], *torch.gradient(maps[:, 1:], dim=(2, 3))], dim=1)
    coefficients = torch.zeros(len(maps), 2, rows.shape[1], columns.shape[1])
    for _ in range(level.steps):
        seen = warp(moving, start + rows @ coefficients @ columns.T)
        pull, curvature = fit.forces(seen[:, :1], seen[:, 1:])
        descent = rows.T @ pull @ columns - coefficients
        matrix = _curvature_of_coefficients(curvature, rows, columns, level.pooled)
        factor = torch.linalg.cholesky(matrix + torch.eye(matrix.shape[1]))
        coefficients = coefficients + torch.cholesky_solve(descent.flatten(1)[..., None], factor).view_as(coefficients)
    return blocks[0] @ coefficients @ blocks[1].T


class LocalFit:
    """How a fixed map follows from another one, with a gain and a height of their own in every window."""

    def __init__(self, fixed: Tensor, window: int) -> None:
        """Of (pair, 1, row, column) and an odd number of rows and columns."""
        self._fixed, self._window = fixed, window
        self._mean = _averaged(fixed, window)
        self._variance = (_averaged(fixed.square(), window) - self._mean.square()).clamp_min(0)

    def forces(self, moving: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
        """Where the moving map's pixels are drawn, and how stiffly they are held.

        Args:
            moving: (pair, 1, row, column).
            slope: (pair, 2, row, column), how it changes with the displacement along rows and along columns.

        Returns:
            The negative derivative of the module's sum by the displacement of every pixel, (pair, 2, row, column), and
            its curvature, (pair, 3, row, column): rows, rows and columns, columns.
        """
        import torch

        by_row, by_column = slope[:, :1], slope[:, 1:]
        products = [moving, moving * moving, moving * self._fixed, slope, slope * moving]
        products += [by_row * by_row, by_row * by_column, by_column * by_column]
        sums = _averaged(torch.cat(products, dim=1), self._window)
        mean, square, product, slopes, together, slopes2 = sums.split([1, 1, 1, 2, 2, 3], dim=1)
        variance = (square - mean.square()).clamp_min(0)
        covariance = product - mean * self._mean
        gain = covariance / (variance + LEAST_NOISE)
        height = self._mean - gain * mean
        left = (self._variance - gain * (2.0 * covariance - gain * variance)).clamp_min(0)
        counts = 1.0 / (PIXELS_AS_ONE * (left + LEAST_NOISE))
        # A pixel belongs to all windows around it.
        weights = torch.cat([counts * gain, counts * gain.square(), counts * gain * height], dim=1)
        by_fixed, by_moving, constant = _averaged(weights, self._window).split(1, dim=1)
        pull = (by_fixed * self._fixed - by_moving * moving - constant) * slope
        # What height and gain can follow holds nothing.
        followed = together - slopes * mean
        own = slopes2 - _products(slopes) - _products(followed) / (variance + LEAST_NOISE)
        return pull, own * counts * gain.square()


def _products(pair: Tensor) -> Tensor:
    """Of two channels: the first one's square, their product, the second one's square."""
    import torch

    first, second = pair[:, :1], pair[:, 1:]
    return torch.cat([first.square(), first * second, second.square()], dim=1)


def _curvature_of_coefficients(curvature: Tensor, rows: Tensor, columns: Tensor, pooled: int) -> Tensor:
    """The matrix (pair, 2 k, 2 k) of a curvature (pair, 3, row, column) for k coefficients along rows and columns."""
    import torch
    from torch.nn import functional

    summed = functional.avg_pool2d(curvature, pooled) * pooled**2
    pairs = []
    for vectors in (rows, columns):
        means = functional.avg_pool1d(vectors.T[None], pooled)[0].T
        pairs.append((means[:, :, None] * means[:, None]).flatten(1))
    k, m = rows.shape[1], columns.shape[1]
    parts = (pairs[0].T @ summed @ pairs[1]).view(-1, 3, k, k, m, m).transpose(3, 4).reshape(-1, 3, k * m, k * m)
    above, across, below = parts.unbind(1)
    return torch.cat([torch.cat([above, across], dim=2), torch.cat([across, below], dim=2)], dim=1)


def local_correlation(fixed: Tensor, moving: Tensor) -> tuple[Tensor, Tensor]:
    """Squared correlation in the window around every pixel, and its weight, each (pair, 1, row, column).

    Args:
        fixed, moving: (pair, 1, row, column), after `CMRStressReactivityLib.registration.scaled_t1`.

    Returns:
        The correlation, and how much pattern the fixed map shows there, 0 to 1.
    """
    means = [_averaged(image, WINDOW) for image in (fixed, moving)]
    variances = [
        _averaged(image.square(), WINDOW) - mean.square() for image, mean in zip((fixed, moving), means, strict=True)
    ]
    covariance = _averaged(moving * fixed, WINDOW) - means[0] * means[1]
    squared = covariance.square() / ((variances[0] + NOISE) * (variances[1] + NOISE))
    return squared, variances[0] / (variances[0] + 4.0 * NOISE)


def smoothed(displacement: Tensor) -> Tensor:
    """A network's displacement as `refine` begins with it, see NETWORK_BLUR."""
    import torch

    matrices = []
    for size in displacement.shape[2:]:
        index = torch.arange(size, dtype=torch.float32)
        weights = torch.exp(-0.5 * ((index[:, None] - index) / NETWORK_BLUR) ** 2)
        matrices.append(weights / weights.sum(dim=1, keepdim=True))
    return matrices[0] @ displacement @ matrices[1].T


def _averaged(image: Tensor, window: int) -> Tensor:
    """Means over windows around every pixel, cut off at the edges."""
    from torch.nn import functional

    half = window // 2
    along = functional.avg_pool2d(image, (window, 1), 1, (half, 0), count_include_pad=False)
    return functional.avg_pool2d(along, (1, window), 1, (0, half), count_include_pad=False)


def _eigenvectors(size: int, seen: slice, length: float) -> Tensor:
    """Strongest eigenvectors of the covariance of a Gaussian process of variance 1, (cell, vector), times its root.

    They are those of the cells that are seen; elsewhere the process is what is to be expected of it then.
    """
    import torch

    index = torch.arange(size, dtype=torch.float64)
    covariance = torch.exp(-0.25 * ((index[:, None] - index) / length) ** 2)
    values, vectors = torch.linalg.eigh(covariance[seen, seen])
    strong = values > LEAST_EIGENVALUE * values[-1]
    return (covariance[:, seen] @ vectors[:, strong] / values[strong].sqrt()).float()


def _on_pixels(vectors: Tensor, cells: int) -> Tensor:
    """(block, vector) as (pixel, vector), so that products along rows and columns are displacements in pixels."""
    return cells**0.5 * _finer(vectors.T[None], cells, "linear")[0].T


def _finer(values: Tensor, factor: int, mode: str) -> Tensor:
    from torch.nn import functional

    if factor == 1:
        return values
    return functional.interpolate(values, scale_factor=factor, mode=mode, align_corners=False)


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
