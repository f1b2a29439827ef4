"""The sign that a magnitude image has lost: from the phase where there is one, by search otherwise.

The longitudinal magnetisation after an inversion is negative, then positive. Samples before the zero crossing therefore
differ in phase by about pi from the sample with the longest inversion time, which has long recovered.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from CMRT1MappingLib.fit.varpro import ExponentialFit, fit_exponential

if TYPE_CHECKING:
    import torch

# Phases within 0.3 quarter turns of the crossover do not tell the sign, and samples later than 0.67 of the longest T1*
# (4000 ms) are positive: both as in the ShMOLLI reconstruction (Werys et al., SoftwareX 2020; 11:100369).
UNCERTAIN_PHASE = 0.3 * math.pi / 2
ALWAYS_POSITIVE_AFTER_MS = 0.67 * 4000.0
FAINT = 3.0  # noise standard deviations


@dataclass
class SignedFit:
    """The best fit of P pixels over the signs that their samples may have.

    Attributes:
        fit: the fitted curves.
        signs: the polarity it chose, -1 or +1, shape (P, n).
        rival_sse, rival_t1: the best fit with other signs; infinite SSE where the signs were not in question.
    """

    fit: ExponentialFit
    signs: torch.Tensor
    rival_sse: torch.Tensor
    rival_t1: torch.Tensor


def noise_from_phase(magnitude: torch.Tensor, phase: torch.Tensor, times: torch.Tensor) -> float:
    """Standard deviation of the noise from the component at right angles to the signal, which holds nothing else.

    The two samples with the longest inversion times have the same phase but for noise, which each adds to its own
    component; arguments as for `samples_from_phase`.
    """
    import torch

    last, before = times.argsort()[-1], times.argsort()[-2]
    quadrature = magnitude[:, before] * torch.sin(phase[:, before] - phase[:, last]) / math.sqrt(2.0)
    return float(quadrature.abs().median()) / 0.6745


def samples_from_phase(
    magnitude: torch.Tensor, phase: torch.Tensor, times: torch.Tensor, noise_sd: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Magnitudes to fit and their signs, -1, +1 or 0 where the phase does not tell; both of shape (P, n).

    Close to the zero crossing, where noise lifts every magnitude, the component along the phase of the recovered signal
    is taken instead: its noise has zero mean.

    Args:
        magnitude: shape (P, n).
        phase: radians, shape (P, n).
        times: inversion times in ms, shape (n,).
        noise_sd: in the unit of the magnitude.
    """
    import torch

    cosine = torch.cos(phase - phase[:, times.argmax(), None])
    signs = torch.where(cosine < 0, -1.0, 1.0).to(magnitude.dtype)
    unclear = cosine.abs() < math.sin(UNCERTAIN_PHASE)
    faint = magnitude < FAINT * noise_sd
    signs[unclear & ~faint] = 0.0
    return torch.where(faint, magnitude * cosine.abs(), magnitude), signs


def fit_with_polarity(
    magnitude: torch.Tensor, known_signs: torch.Tensor, times: torch.Tensor, *, first_is_negative: bool = False
) -> SignedFit:
    """Fit P pixels whose samples have the given signs, trying both choices for those that are 0.

    The magnitude falls to zero and rises again, so the change of sign lies on one side or the other of the smallest
    sample, or before the first one: three hypotheses cover all unknown signs.

    Args:
        magnitude: shape (P, n), samples in the order of inversion time.
        known_signs: -1, +1 or 0 for unknown, shape (P, n).
        times: inversion times in ms, ascending, shape (n,).
        first_is_negative: take the first sample as negative whatever its phase.
    """
    import torch

    known = known_signs.clone()
    known[:, times > ALWAYS_POSITIVE_AFTER_MS] = 1.0
    if first_is_negative:
        known[:, 0] = -1.0
    order = torch.arange(len(times), device=magnitude.device)
    # Samples of one time have one sign, so they all lie on one side of the change.
    smallest = times[magnitude.argmin(1)]
    before, after = torch.searchsorted(times, smallest), torch.searchsorted(times, smallest, right=True)

    def signs_before(position: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        run = torch.where(order[None, :] < position[:, None], -1.0, 1.0).to(magnitude.dtype)
        return torch.where(known == 0, run, known)

    signs = signs_before(before, known)
    fit = fit_exponential(magnitude * signs, times)
    rival_sse = torch.full_like(fit.sse, float("inf"))
    rival_t1 = torch.zeros_like(fit.sse)
    tried = [signs.clone()]
    for position in (after, torch.zeros_like(after)):
        candidate = signs_before(position, known)
        new = torch.stack([(candidate != earlier).any(1) for earlier in tried]).all(0)
        tried.append(candidate)
        rows = new.nonzero()[:, 0]
        other = fit_exponential(magnitude[rows] * candidate[rows], times)
        better = other.sse < fit.sse[rows]
        loser_sse = torch.where(better, fit.sse[rows], other.sse)
        loser_t1 = torch.where(better, fit.t1[rows], other.t1)
        closer = loser_sse < rival_sse[rows]
        rival_sse[rows[closer]] = loser_sse[closer]
        rival_t1[rows[closer]] = loser_t1[closer]
        fit.put(rows[better], other.at(better))
        signs[rows[better]] = candidate[rows[better]]
    return SignedFit(fit, signs, rival_sse, rival_t1)
