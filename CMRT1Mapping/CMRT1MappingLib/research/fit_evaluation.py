"""How well the reconstruction does: against a scanner's own maps, and against the Cramér-Rao bound."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from CMRT1MappingLib.fit.reconstruction import FitOptions, PixelFlag, T1Maps, reconstruct
from CMRT1MappingLib.fit.signal_model import t1_variance_per_noise_variance

T1_STAR_OVER_T1 = 0.88  # readout effect of a ShMOLLI shot at 35 degrees, near what the phantom shows
PRECISION_PIXELS = 4096


@dataclass(frozen=True)
class ScannerMaps:
    """What the scanner computed from the same images, axes (row, column).

    Attributes:
        t1: ms, truncated to whole numbers.
        r2: 0 to 1.
        samples: 5, 6 or 7 samples used; 0 where the scanner did not fit.
    """

    t1: np.ndarray
    r2: np.ndarray
    samples: np.ndarray


@dataclass(frozen=True)
class ScannerAgreement:
    """Fractions of pixels that agree with the scanner.

    Attributes:
        pixels: pixels with scanner T1 from 600 to 2000 ms and scanner R² above 0.99.
        within_1_ms: of those, the fraction with T1 within 1 ms.
        bias_ms: of those, the mean difference (the scanner truncates, which gives +0.5 ms).
        same_samples: of all pixels that the scanner fitted, the fraction with the same number of samples.
        r2_within_0_001: of ``pixels``, the fraction with R² within 0.001.
        short_pixels: pixels with scanner T1 from 50 to 600 ms and R² above 0.99.
        short_wrong: of those, how many are more than 5 % and 10 ms off.
        short_wrong_unmarked: of the wrong ones, how many carry no flag.
        short_marked: fraction of ``short_pixels`` that carry a flag.
    """

    pixels: int
    within_1_ms: float
    bias_ms: float
    same_samples: float
    r2_within_0_001: float
    short_pixels: int
    short_wrong: int
    short_wrong_unmarked: int
    short_marked: float


def compare_with_scanner(maps: T1Maps, scanner: ScannerMaps) -> ScannerAgreement:
    """Hold a reconstruction against the scanner's maps of the same size."""
    good_fit = scanner.r2 > 0.99
    difference = maps.t1 - scanner.t1
    trusted = good_fit & (scanner.t1 >= 600) & (scanner.t1 <= 2000)
    short = good_fit & (scanner.t1 >= 50) & (scanner.t1 < 600)
    wrong = short & (np.abs(difference) > np.maximum(10.0, 0.05 * scanner.t1))
    marked = (maps.flags & (PixelFlag.POLARITY_UNCERTAIN | PixelFlag.T1_UNRESOLVED)) > 0
    foreground = scanner.samples > 0
    return ScannerAgreement(
        pixels=int(trusted.sum()),
        within_1_ms=float(np.mean(np.abs(difference[trusted]) <= 1.0)),
        bias_ms=float(np.mean(difference[trusted])),
        same_samples=float(np.mean(maps.samples[foreground] == scanner.samples[foreground])),
        r2_within_0_001=float(np.mean(np.abs(maps.r2[trusted] - scanner.r2[trusted]) <= 0.001)),
        short_pixels=int(short.sum()),
        short_wrong=int(wrong.sum()),
        short_wrong_unmarked=int((wrong & ~marked).sum()),
        short_marked=float(np.mean(marked[short])),
    )


@dataclass(frozen=True)
class Precision:
    """Error of T1 over many noisy repetitions of one pixel.

    Attributes:
        t1_ms, rr_ms, snr: the condition; SNR is A over the standard deviation of the noise of one component.
        bias_ms, spread_ms: mean and standard deviation of the error.
        spread_over_bound: standard deviation of the error divided by the Cramér-Rao bound of the samples that the pixel
            used; 1 is the best that an unbiased estimate can do.
        error_over_reported: standard deviation of the error over root mean square of the reported standard error.
        marked: fraction of pixels that carry a flag.
    """

    t1_ms: float
    rr_ms: float
    snr: float
    bias_ms: float
    spread_ms: float
    spread_over_bound: float
    error_over_reported: float
    marked: float


def shmolli_precision(
    t1_ms: float, rr_ms: float, snr: float, *, with_phase: bool = True, seed: int = 0, fit: str = "scanner"
) -> Precision:
    """Fit noisy repetitions of the three-parameter signal at ShMOLLI's inversion times, complex Gaussian noise."""
    import torch

    rng = np.random.default_rng(seed)
    times = np.array([100.0, 100 + rr_ms, 100 + 2 * rr_ms, 100 + 3 * rr_ms, 100 + 4 * rr_ms, 180.0, 260.0])
    t1_star, ratio = T1_STAR_OVER_T1 * t1_ms, 1.0 + 1.0 / T1_STAR_OVER_T1
    side = int(np.sqrt(PRECISION_PIXELS))
    noise = rng.standard_normal((2, 7, side, side)) / snr
    signal = (1.0 - ratio * np.exp(-times / t1_star))[:, None, None] + noise[0] + 1j * noise[1]
    maps = reconstruct(
        np.abs(signal).astype(np.float32),
        times,
        np.angle(signal).astype(np.float32) if with_phase else None,
        options=FitOptions(fit=fit),
        device="cpu",
    )
    order = np.argsort(times)
    pixels = side * side
    variance = t1_variance_per_noise_variance(
        torch.as_tensor(times[order], dtype=torch.float32),
        torch.ones(pixels),
        torch.full((pixels,), ratio),
        torch.full((pixels,), t1_star),
        torch.as_tensor(maps.used[order].reshape(7, pixels).T.copy()),
    )
    bound = np.sqrt(variance.numpy()).reshape(side, side) / snr
    error = maps.t1.astype(float) - t1_ms
    trusted = maps.flags == 0
    reported = np.sqrt(np.mean(np.square(maps.t1_error[trusted], dtype=float))) if trusted.any() else np.nan
    return Precision(
        t1_ms=t1_ms,
        rr_ms=rr_ms,
        snr=snr,
        bias_ms=float(error.mean()),
        spread_ms=float(error.std()),
        spread_over_bound=float(np.std(error / bound)),
        error_over_reported=float(error[trusted].std() / reported) if trusted.sum() > 1 else float("nan"),
        marked=float(1.0 - trusted.mean()),
    )


def bias_of_precise_fit(t1_ms: float, rr_ms: float, t2_ms: float = 50.0) -> float:
    """T1 of the precise fit less that of the scanner's rule, ms, for a simulated ShMOLLI scan without noise.

    The signals are those of the whole sequence, with magnetisation that has not recovered between its inversions.
    """
    from CMRLib.simulation.schedule import schedule
    from CMRLib.simulation.signal import inversion_recovery_signals

    plan = schedule("shmolli", rr_ms)
    signal = np.asarray(inversion_recovery_signals(t1_ms, t2_ms, plan), dtype=float).reshape(7, 1, 1)
    angle = np.where(signal < 0.0, np.pi, 0.0).astype(np.float32)
    magnitude = np.abs(signal).astype(np.float32)
    scanner, precise = (
        reconstruct(magnitude, plan.inversion_times_ms, angle, options=FitOptions(fit=fit), device="cpu").t1[0, 0]
        for fit in ("scanner", "precise")
    )
    return float(precise) - float(scanner)
