"""Signals of an inversion recovery scheme: longitudinal magnetisation tracked through inversions and readouts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from CMRLib.errors import InputError
from CMRLib.simulation.schedule import Schedule, schedule

INVERSION_EFFICIENCY = 0.96


@dataclass(frozen=True)
class Readout:
    """Single-shot balanced steady-state free precession (bSSFP) readout.

    Flip angle, echo time and duration are those in the headers of the ShMOLLI scan in MRKonrad/tomato: 35 degrees, TE
    1.07 ms (so TR 2.14 ms) and 167.5 ms (so 78 pulses). That the k-space centre comes after a third of the pulses
    follows from its 6/8 partial Fourier, and is nominal.
    """

    flip_angle_deg: float = 35.0
    tr_ms: float = 2.14
    pulses: int = 78
    center_pulse: int = 26


SHMOLLI_READOUT = Readout()


def _during_readout(mz: np.ndarray, t1: np.ndarray, t2: np.ndarray, readout: Readout) -> tuple[np.ndarray, np.ndarray]:
    """Signal at the k-space centre and longitudinal magnetisation after the readout, both relative to M0.

    Schmitt et al., Magn Reson Med 2004;51:661: under on-resonant bSSFP after a half-angle pulse, for TR << T2, the
    magnetisation lies at half the flip angle from z and relaxes towards its steady state with
    1/T1* = cos^2(a/2)/T1 + sin^2(a/2)/T2; its steady-state length is cos(a/2) T1*/T1. The signal is given without the
    factor sin(a/2) that all tissues share. What is transverse after the last pulse is taken as lost.
    """
    half = np.deg2rad(readout.flip_angle_deg) / 2.0
    rate = np.cos(half) ** 2 / t1 + np.sin(half) ** 2 / t2
    steady = np.cos(half) / (t1 * rate)
    center = steady + (mz - steady) * np.exp(-rate * readout.center_pulse * readout.tr_ms)
    end = steady + (mz - steady) * np.exp(-rate * readout.pulses * readout.tr_ms)
    return center, end * np.cos(half)


def inversion_recovery_signals(
    t1_ms: np.ndarray | float,
    t2_ms: np.ndarray | float,
    plan: Schedule,
    *,
    replaced: np.ndarray | float = 0.0,
    readout: Readout = SHMOLLI_READOUT,
    inversion_efficiency: float = INVERSION_EFFICIENCY,
) -> np.ndarray:
    """Signed signals of every image of a scheme, relative to M0, starting from full relaxation.

    The longitudinal magnetisation recovers freely as M0 + (M - M0) exp(-t/T1), an inversion turns M into
    -efficiency * M (0.96 is nominal; Chow et al., ISMRM 2012 #395, measured 0.91 in vivo), and each readout drives it
    as Schmitt et al. describe (see `_during_readout`). Incomplete recovery between inversions follows.

    Args:
        t1_ms: T1, any shape.
        t2_ms: T2, broadcast against it.
        plan: times of inversions and images.
        replaced: share of the spins that, between images, spins from outside the slice replace (flowing blood); they
            saw the inversions, which are not slice-selective, but no readout. Broadcast against T1.
        readout: the imaging train.
        inversion_efficiency: see above.

    Returns:
        float64 array (frame, ...) with the common shape of T1, T2 and the share replaced after the first axis.

    Raises:
        InputError: T1 or T2 not positive, efficiency not between 0 and 1, or readouts that overlap.
    """
    t1, t2, fresh = np.broadcast_arrays(*(np.asarray(v, dtype=float) for v in (t1_ms, t2_ms, replaced)))
    if not (np.all(t1 > 0) and np.all(t2 > 0)):
        raise InputError("T1 and T2 of a simulated tissue must be positive, in ms.")
    if not 0.0 < inversion_efficiency <= 1.0:
        raise InputError("The inversion efficiency must lie between 0 and 1.")
    before_center = readout.center_pulse * readout.tr_ms
    length = readout.pulses * readout.tr_ms
    events = [(float(at), -1) for at in plan.inversion_at_ms]
    events += [(float(at) - before_center, frame) for frame, at in enumerate(plan.image_at_ms)]
    signals = np.empty((plan.image_at_ms.size, *t1.shape))
    mz = np.ones(t1.shape)
    outside = mz.copy()
    now = 0.0
    for at, frame in sorted(events):
        if at < now - 1e-9:
            raise InputError("The readouts overlap: the RR interval is too short or an inversion time too small.")
        recovery = np.exp(-(at - now) / t1)
        mz = 1.0 + (mz - 1.0) * recovery
        outside = 1.0 + (outside - 1.0) * recovery
        now = at
        if frame < 0:
            mz = -inversion_efficiency * mz
            outside = -inversion_efficiency * outside
        else:
            signals[frame], mz = _during_readout(mz, t1, t2, readout)
            outside = 1.0 + (outside - 1.0) * np.exp(-length / t1)
            mz = mz + fresh * (outside - mz)
            now = at + length
    return signals


def relaxed_signal(
    t1_ms: np.ndarray | float, t2_ms: np.ndarray | float, readout: Readout = SHMOLLI_READOUT
) -> np.ndarray:
    """The signal, relative to M0, that a readout gives of fully relaxed magnetisation; the reference for the SNR."""
    t1, t2 = np.broadcast_arrays(np.asarray(t1_ms, dtype=float), np.asarray(t2_ms, dtype=float))
    return _during_readout(np.ones(t1.shape), t1, t2, readout)[0]


def ideal_signals(t1_ms: np.ndarray | float, inversion_times_ms: Sequence[float]) -> np.ndarray:
    """S = A - B exp(-TI/T1*) with A = 1, B = 2, T1* = T1: perfect inversion, full recovery, no effect of the readout.

    Returns:
        float64 array (frame, ...) with T1's shape after the first axis.
    """
    t1 = np.asarray(t1_ms, dtype=float)
    times = np.asarray(inversion_times_ms, dtype=float).reshape((-1,) + (1,) * t1.ndim)
    return 1.0 - 2.0 * np.exp(-times / t1)


@dataclass(frozen=True)
class PixelSignals:
    """Signals of single tissues, repeated with independent noise.

    Attributes:
        signals: complex128 (frame, tissue, repetition), with noise; phase 0 where the noise-free signal is positive.
        noise_free: float64 (frame, tissue), signed.
        inversion_times_ms: in frame order.
        noise_sd: (tissue,) standard deviation of the noise in the real part, and in the imaginary part.
    """

    signals: np.ndarray
    noise_free: np.ndarray
    inversion_times_ms: tuple[float, ...]
    noise_sd: np.ndarray


def simulate_pixels(
    t1_ms: Sequence[float] | np.ndarray | float,
    t2_ms: Sequence[float] | np.ndarray | float = 50.0,
    *,
    rr_ms: float | Sequence[float] = 900.0,
    scheme: str = "shmolli",
    snr: float = 25.0,
    n: int = 1000,
    rng: np.random.Generator | int = 0,
    ideal: bool = False,
    readout: Readout = SHMOLLI_READOUT,
    inversion_efficiency: float = INVERSION_EFFICIENCY,
) -> PixelSignals:
    """Repeated noisy measurements of single tissues, for studies of bias and precision.

    Args:
        t1_ms, t2_ms: (tissue,) or scalars, broadcast.
        rr_ms, scheme: see `CMRLib.simulation.schedule.schedule`.
        snr: signal of the fully relaxed tissue over the noise's standard deviation in one channel.
        n: repetitions.
        rng: a generator, or the seed of one.
        ideal: use S = A - B exp(-TI/T1*) exactly (see `ideal_signals`) instead of tracking the magnetisation.

    Raises:
        InputError: see `CMRLib.simulation.schedule.schedule` and `inversion_recovery_signals`; SNR not positive.
    """
    if not snr > 0:
        raise InputError("The signal-to-noise ratio must be positive.")
    generator = np.random.default_rng(rng)
    plan = schedule(scheme, rr_ms)
    t1, t2 = np.broadcast_arrays(*np.atleast_1d(np.asarray(t1_ms, dtype=float), np.asarray(t2_ms, dtype=float)))
    if ideal:
        noise_free = ideal_signals(t1, plan.inversion_times_ms)
        reference = np.ones(t1.shape)
    else:
        noise_free = inversion_recovery_signals(
            t1, t2, plan, readout=readout, inversion_efficiency=inversion_efficiency
        )
        reference = relaxed_signal(t1, t2, readout)
    noise_sd = reference / snr
    noise = generator.standard_normal((2, *noise_free.shape, n)) * noise_sd[:, None]
    return PixelSignals(
        signals=noise_free[..., None] + noise[0] + 1j * noise[1],
        noise_free=noise_free,
        inversion_times_ms=plan.inversion_times_ms,
        noise_sd=noise_sd,
    )
