"""Least-squares fit of S(TI) = A - B exp(-TI/T1*) by variable projection, for many pixels at once.

For a given T1* the best A and B follow from linear least squares, so only T1* has to be searched (Golub and Pereyra,
SIAM J Numer Anal 1973; 10:413-432; for inversion recovery Barral et al., Magn Reson Med 2010; 64:1057-1067). A grid
over log T1* finds the right valley and Newton steps on the projected problem find its bottom.

A curve of inversion recovery has A <= B <= 4 A: below, T1 would be negative; above, no inversion could have prepared
it. Where the free fit leaves that range, the best curve on its border is returned and marked.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

T1_STAR_RANGE_MS = (10.0, 6000.0)
B_OVER_A_RANGE = (1.0, 4.0)
GRID_SIZE = 64
NEWTON_STEPS = 3
TINY = 1e-20


@dataclass
class ExponentialFit:
    """Fitted curves of P pixels; every tensor has shape (P,).

    Attributes:
        a, b: in the units of the signal.
        t1_star: ms.
        sse: sum of squared residuals.
        interior: whether the curve lies inside 0 < A < B < 4 A, away from the borders of the allowed range.
    """

    a: torch.Tensor
    b: torch.Tensor
    t1_star: torch.Tensor
    sse: torch.Tensor
    interior: torch.Tensor

    @property
    def t1(self) -> torch.Tensor:
        """T1 = T1* (B/A - 1) in ms (Deichmann and Haase, J Magn Reson 1992; 96:608-612); 0 where A is not positive."""
        import torch

        positive = self.a > 0
        ratio = self.b / torch.where(positive, self.a, torch.ones_like(self.a))
        return torch.where(positive, self.t1_star * (ratio - 1.0), torch.zeros_like(self.a))

    def put(self, where: torch.Tensor, other: ExponentialFit) -> None:
        """Take over the fits of ``other`` (of as many pixels as ``where`` marks) at the marked pixels, in place."""
        for name in ("a", "b", "t1_star", "sse", "interior"):
            getattr(self, name)[where] = getattr(other, name)

    def copy(self) -> ExponentialFit:
        """An independent copy."""
        return ExponentialFit(*(getattr(self, name).clone() for name in ("a", "b", "t1_star", "sse", "interior")))

    def at(self, where: torch.Tensor) -> ExponentialFit:
        """The fits of the marked pixels."""
        return ExponentialFit(self.a[where], self.b[where], self.t1_star[where], self.sse[where], self.interior[where])


def fit_exponential(signal: torch.Tensor, inversion_times: torch.Tensor) -> ExponentialFit:
    """Fit the curve of every pixel.

    Args:
        signal: signed samples, shape (P, n), n at least 4 for a residual to exist.
        inversion_times: ms, shape (n,).
    """
    samples = signal.T.contiguous()  # sums over the few samples are fastest along the first axis
    fit = _fit_free(samples, inversion_times)
    lower, upper = B_OVER_A_RANGE
    below = ~(fit.b > lower * fit.a) | ~(fit.a > 0) & (fit.b < 0)
    above = ~below & ~(fit.b < upper * fit.a)
    for where, ratio in ((below, lower), (above, upper)):
        if bool(where.any()):
            fit.put(where, _fit_on_border(samples[:, where], inversion_times, ratio))
    return fit


def _fit_free(samples: torch.Tensor, times: torch.Tensor) -> ExponentialFit:
    """The best curve of each column of ``samples``, shape (n, P)."""
    import torch

    mean = samples.mean(0)
    centred = samples - mean

    def basis(log_t1_star: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        e0, e1, e2 = _decay(log_t1_star, times)
        return e0 - e0.mean(0), e1 - e1.mean(0), e2 - e2.mean(0)

    t1_star = torch.exp(_search(centred, basis))
    decay = torch.exp(-times[:, None] / t1_star)
    decay_mean = decay.mean(0)
    decay -= decay_mean
    slope = (decay * centred).sum(0) / (decay * decay).sum(0).clamp_min(TINY)
    sse = ((centred - slope * decay) ** 2).sum(0)
    return ExponentialFit(mean - slope * decay_mean, -slope, t1_star, sse, torch.ones_like(sse, dtype=torch.bool))


def _fit_on_border(samples: torch.Tensor, times: torch.Tensor, ratio: float) -> ExponentialFit:
    """The best curve A (1 - ratio exp(-TI/T1*)), that is with B/A held at ``ratio``, of each column of ``samples``."""
    import torch

    def basis(log_t1_star: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        e0, e1, e2 = _decay(log_t1_star, times)
        return 1.0 - ratio * e0, -ratio * e1, -ratio * e2

    t1_star = torch.exp(_search(samples, basis))
    shape = 1.0 - ratio * torch.exp(-times[:, None] / t1_star)
    a = (shape * samples).sum(0) / (shape * shape).sum(0).clamp_min(TINY)
    sse = ((samples - a * shape) ** 2).sum(0)
    return ExponentialFit(a, ratio * a, t1_star, sse, torch.zeros_like(a, dtype=torch.bool))


def _decay(log_t1_star: torch.Tensor, times: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """exp(-TI/T1*) and its first two derivatives by log T1*, each of shape (n, P)."""
    import torch

    x = times[:, None] * torch.exp(-log_t1_star)
    e0 = torch.exp(-x)
    e1 = e0 * x
    return e0, e1, e1 * (x - 1.0)


def _search(
    samples: torch.Tensor, basis: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor, torch.Tensor]]
) -> torch.Tensor:
    """The log T1* whose curve shape explains most of each column y of ``samples``: the largest (v . y)^2 / (v . v).

    ``basis`` gives the shapes v of P values of log T1* and their first two derivatives by it, each of shape (n, P).
    """
    import torch

    low, high = (math.log(limit) for limit in T1_STAR_RANGE_MS)
    grid = torch.linspace(low, high, GRID_SIZE, dtype=samples.dtype, device=samples.device)
    shapes = basis(grid)[0]
    shapes = shapes / shapes.norm(dim=0).clamp_min(TINY)
    log_t1_star = grid[(samples.T @ shapes).abs_().argmax(1)]
    longest_step = (high - low) / (GRID_SIZE - 1)
    for _ in range(NEWTON_STEPS):
        v0, v1, v2 = basis(log_t1_star)
        n0, n1, n2 = (v0 * samples).sum(0), (v1 * samples).sum(0), (v2 * samples).sum(0)
        n0 = torch.where(n0.abs() < TINY, torch.full_like(n0, TINY), n0)
        d0 = (v0 * v0).sum(0).clamp_min(TINY)
        d1 = (v0 * v1).sum(0) * 2.0
        d2 = ((v1 * v1).sum(0) + (v0 * v2).sum(0)) * 2.0
        gradient = 2.0 * n1 / n0 - d1 / d0
        curvature = 2.0 * (n2 / n0 - (n1 / n0) ** 2) - d2 / d0 + (d1 / d0) ** 2
        newton = -gradient / curvature.clamp_max(-1e-12)
        step = torch.where(curvature < 0, newton, gradient.sign() * longest_step)
        log_t1_star = (log_t1_star + step.clamp(-longest_step, longest_step)).clamp(low, high)
    return log_t1_star
