"""Which samples of an acquisition enter the fit: the conditional choice of ShMOLLI, or all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from CMRLib.errors import InputError
from CMRLib.study.schemes import SCHEMES, TITLES, inversion_time_fault
from CMRT1MappingLib.fit.polarity import SignedFit, fit_with_polarity
from CMRT1MappingLib.fit.varpro import ExponentialFit

if TYPE_CHECKING:
    import torch

SHMOLLI_SUBSETS = ((0, 3, 4, 5, 6), (0, 1, 3, 4, 5, 6), (0, 1, 2, 3, 4, 5, 6))
# See `fit_shmolli_precise`. Myocardium is below the second after contrast and above it without.
PRECISE_T1, PRECISE_T1_MS = 1.25, 700.0  # RR intervals, and ms
SHORT_T1 = 0.4  # of the RR interval: below it, all three inversions have recovered enough to be used


@dataclass
class SchemeFit:
    """The fit of P pixels with the samples that the scheme chose.

    Attributes:
        signed: curves and signs; ``signed.signs`` covers all n samples, used or not.
        used: which samples entered, bool, shape (P, n).
        widest, widest_used: the fit of the most samples that the rule would have allowed, and which those are; the same
            as ``signed.fit`` and ``used`` where nothing was left out.
        noise_sse, noise_freedom: sum of squared residuals and degrees of freedom of a fit that was not chosen for being
            good, from which the noise can be told without bias; shape (P,) and a number.
    """

    signed: SignedFit
    used: torch.Tensor
    widest: ExponentialFit
    widest_used: torch.Tensor
    noise_sse: torch.Tensor
    noise_freedom: int


def check_inversion_times(inversion_times_ms: np.ndarray, scheme: str) -> None:
    """Raise InputError with the remedy where the inversion times (ms, any order) cannot be those of the scheme."""
    times = np.asarray(inversion_times_ms, dtype=float).ravel()
    if scheme not in SCHEMES:
        raise InputError(f'There is no scheme called "{scheme}"; it must be one of {", ".join(SCHEMES)}.')
    if fault := inversion_time_fault(times.tolist(), times.size, scheme):
        raise InputError(
            f"The acquisition cannot be fitted as {TITLES[scheme]}: {fault}; correct its inversion times, give all "
            "its images, or state another scheme."
        )


def shmolli_rr_ms(sorted_times: torch.Tensor) -> float:
    """Mean RR interval in ms, from the five images of the first inversion (of 7 ascending inversion times)."""
    return float(sorted_times[6] - sorted_times[0]) / 4.0


def fit_all_samples(magnitude: torch.Tensor, known_signs: torch.Tensor, times: torch.Tensor) -> SchemeFit:
    """Three-parameter fit of every sample (all schemes but ShMOLLI).

    Arguments as for `CMRT1MappingLib.fit.polarity.fit_with_polarity`.
    """
    import torch

    signed = fit_with_polarity(magnitude, known_signs, times)
    used = torch.ones_like(magnitude, dtype=torch.bool)
    return SchemeFit(signed, used, signed.fit, used, signed.fit.sse, len(times) - 3)


def fit_shmolli(
    magnitude: torch.Tensor, known_signs: torch.Tensor, times: torch.Tensor, last_test: str = "scanner"
) -> SchemeFit:
    """ShMOLLI's conditional fit of 5, 6 or 7 samples.

    The second and third inversions act on magnetisation that has not fully recovered. Their samples (numbers 1 and 2 in
    the order of inversion time) are used only where T1 is short enough for that not to matter and where they improve
    the fit (Piechnik et al., J Cardiovasc Magn Reson 2010; 12:69; the rule as the scanner applies it: tomato, Werys et
    al., SoftwareX 2020; 11:100369). With the fit of k samples giving T1_k and chi_k = sqrt(SSE_k / (k - 1)):

    - 6 samples replace 5 where T1_5 <= RR or T1_6 <= 0.4 RR, and chi_6 T1_6 < chi_5 RR;
    - 7 samples replace those where T1 < RR so far and chi_7 T1_7 < chi_6 0.4 RR.

    Args:
        magnitude, known_signs, times: as for `CMRT1MappingLib.fit.polarity.fit_with_polarity`, 7 samples in the order
            of inversion time.
        last_test: ``scanner`` compares chi_7 with chi_6; ``paper`` compares it with chi_5.
    """
    import torch

    rr = shmolli_rr_ms(times)
    fits: list[SignedFit] = []
    for subset in SHMOLLI_SUBSETS:
        columns = list(subset)
        fits.append(
            fit_with_polarity(
                magnitude[:, columns], known_signs[:, columns], times[columns], first_is_negative=len(columns) == 5
            )
        )
    five, six, seven = fits
    chi5, chi6, chi7 = (torch.sqrt(f.fit.sse / (len(s) - 1)) for f, s in zip(fits, SHMOLLI_SUBSETS, strict=True))
    t5, t6, t7 = (f.fit.t1 for f in fits)
    may6 = (t5 <= rr) | (t6 <= SHORT_T1 * rr)
    take6 = may6 & (chi6 * t6 < chi5 * rr)
    may7 = torch.where(take6, t6, t5) < rr
    chi_before = chi6 if last_test == "scanner" else chi5
    take7 = may7 & (chi7 * t7 < chi_before * SHORT_T1 * rr)

    # Signs of samples left out are those of the fit of all seven.
    noise_sse = five.fit.sse.clone()
    chosen = SignedFit(five.fit.copy(), seven.signs.clone(), five.rival_sse, five.rival_t1)
    widest = five.fit.copy()
    used = _samples_of(SHMOLLI_SUBSETS[0], magnitude)
    widest_used = used.clone()
    columns5 = list(SHMOLLI_SUBSETS[0])
    chosen.signs[:, columns5] = five.signs
    for signed, subset, taken, allowed in (
        (six, SHMOLLI_SUBSETS[1], take6, may6),
        (seven, SHMOLLI_SUBSETS[2], take7, may7),
    ):
        samples = _samples_of(subset, magnitude)
        widest.put(allowed, signed.fit.at(allowed))
        widest_used[allowed] = samples[allowed]
        chosen.fit.put(taken, signed.fit.at(taken))
        chosen.rival_sse[taken] = signed.rival_sse[taken]
        chosen.rival_t1[taken] = signed.rival_t1[taken]
        used[taken] = samples[taken]
        rows = taken.nonzero()
        chosen.signs[rows, torch.tensor(subset, device=rows.device)] = signed.signs[taken]
    return SchemeFit(chosen, used, widest, widest_used, noise_sse, len(SHMOLLI_SUBSETS[0]) - 3)


def fit_shmolli_precise(magnitude: torch.Tensor, known_signs: torch.Tensor, times: torch.Tensor) -> SchemeFit:
    """ShMOLLI's 7 samples where T1 is short, 5 where it is not; arguments as for `fit_shmolli`.

    The conditional rule lets noise take part in the choice: among the fits of 5, 6 and 7 samples it prefers those with
    small residuals, so the choice itself spreads T1. Here it depends on T1 alone, of the fit of all samples, whose
    spread is the smallest: 7 samples where that is at most `PRECISE_T1` RR intervals and
    `PRECISE_T1_MS`, so that magnetisation has mostly recovered when it is inverted again, else 5. Where the rule
    would have left out samples of magnetisation that had not quite recovered, T1 differs from the scanner's
    (``cmr-evaluate t1`` writes down by how much).
    """
    import torch

    columns = list(SHMOLLI_SUBSETS[0])
    five = fit_with_polarity(magnitude[:, columns], known_signs[:, columns], times[columns], first_is_negative=True)
    seven = fit_with_polarity(magnitude, known_signs, times)
    take = seven.fit.t1 <= min(PRECISE_T1 * shmolli_rr_ms(times), PRECISE_T1_MS)
    chosen = SignedFit(five.fit.copy(), seven.signs.clone(), five.rival_sse.clone(), five.rival_t1.clone())
    chosen.fit.put(take, seven.fit.at(take))
    for name in ("rival_sse", "rival_t1"):
        getattr(chosen, name)[take] = getattr(seven, name)[take]
    rows = (~take).nonzero()
    chosen.signs[rows, torch.tensor(columns, device=rows.device)] = five.signs[~take]
    used = _samples_of(SHMOLLI_SUBSETS[0], magnitude)
    used[take] = True
    return SchemeFit(chosen, used, chosen.fit, used, five.fit.sse, len(columns) - 3)


def _samples_of(subset: tuple[int, ...], magnitude: torch.Tensor) -> torch.Tensor:
    import torch

    mask = torch.zeros_like(magnitude, dtype=torch.bool)
    mask[:, list(subset)] = True
    return mask
