"""Random appearance of simulated inversion recovery images: signals, shading, resolution, noise and artefacts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from CMRLib.errors import InputError
from CMRLib.simulation.motion import normal, uniform
from CMRLib.simulation.schedule import Schedule, irregular_rr, schedule
from CMRLib.simulation.signal import inversion_recovery_signals
from CMRLib.simulation.tissue import BLOOD, FIELD_STRENGTHS, TissueValues, tissue_values
from CMRT1MappingLib.research.irw_bank import NAMES

if TYPE_CHECKING:
    from torch import Generator, Tensor

# Schemes by their number of images; ShMOLLI and MOLLI 5(3)3 are the ones in use most.
SCHEMES = {
    5: ("5", "3(3)2", "4(1)1"),
    6: ("6", "5(1)1", "3(3)3"),
    7: ("shmolli", "shmolli", "shmolli", "5(3)2", "7", "4(2)3"),
    8: ("5(3)3", "5(3)3", "8", "5(3s)3"),
    9: ("4(1)3(1)2", "5(3)4", "9"),
    10: ("5(3)5", "4(1)3(1)3", "10"),
    11: ("3(3)3(3)5", "11", "5(3)3(3)3"),
}
STATE_SHARES = {"rest": 0.6, "stress": 0.15, "post": 0.25}
T1_RATIO = 1.03


@dataclass(frozen=True)
class SetAppearance:
    """What one set of frames looks like.

    Attributes:
        signals: float64 (frame, tissue), signed, with the proton density.
        slopes: float64 (frame, tissue), change of the signal per relative change of T1.
        order: int (frame,), the frames' numbers in time.
        noise_sd: standard deviation of the noise in each channel, in the units of the signals.
        fat_shift_px: chemical shift of fat in pixels of the bank.
    """

    signals: np.ndarray
    slopes: np.ndarray
    order: np.ndarray
    noise_sd: float
    fat_shift_px: int


def _random_values(kind: str, rng: np.random.Generator) -> TissueValues:
    """T1, T2 and proton density of every tissue; without any relation to the tissue's name for random shapes."""
    n = len(NAMES)
    if kind == "shapes":
        density = np.where(np.arange(n) == NAMES.index("air"), 0.0, rng.uniform(0.15, 1.0, n))
        t1, t2 = np.exp(rng.uniform(np.log(250.0), np.log(2500.0), n)), rng.uniform(30.0, 250.0, n)
        return TissueValues(t1, t2, density, np.zeros(n, dtype=bool), np.zeros(n))
    state = str(rng.choice(list(STATE_SHARES), p=list(STATE_SHARES.values())))
    values = tissue_values(NAMES, float(rng.choice(FIELD_STRENGTHS)), state, rng)
    spread = np.exp(rng.normal(0.0, (0.08, 0.15, 0.15), (n, 3)).T)
    shared = np.exp(rng.normal(0.0, 0.08))
    sign = np.where(values.fat, rng.choice([-1.0, 1.0]), 1.0)
    return TissueValues(
        values.t1_ms * spread[0] * shared,
        values.t2_ms * spread[1],
        values.proton_density * spread[2] * sign,
        values.fat,
        np.clip(values.replaced * rng.uniform(0.3, 1.3), 0.0, 1.0),
    )


def _random_plan(frames: int, rng: np.random.Generator) -> Schedule:
    rr = float(np.clip(rng.normal(900.0, 200.0), 520.0, 1500.0))
    return schedule(
        str(rng.choice(SCHEMES[frames])),
        irregular_rr(rr, float(rng.choice([0.0, 0.04, 0.12])), rng),
        float(rng.uniform(80.0, 180.0)),
        float(rng.uniform(50.0, 100.0)),
    )


def random_appearance(kind: str, frames: int, rng: np.random.Generator) -> SetAppearance:
    """Draw the scheme, the tissues and the noise of one set.

    Two thirds of the sets follow the magnetisation through a scheme; the others have S = A - B exp(-TI / T1) at any
    inversion times, one of them near the null of muscle, blood or liver, so that such images are frequent.

    Args:
        kind: of the slice: "parametric", "labelled" or "shapes".
        frames: images of the set, 5 to 11.
        rng: random generator.

    Raises:
        InputError: another number of frames.
    """
    if frames not in SCHEMES:
        raise InputError(f"Sets of {frames} images cannot be simulated; use 5 to 11.")
    values = _random_values(kind, rng)
    if rng.random() < 0.67:
        plan = _random_plan(frames, rng)
        times = np.array(plan.inversion_times_ms)
        efficiency = float(rng.uniform(0.85, 1.0))

        def signals_of(t1: np.ndarray) -> np.ndarray:
            return inversion_recovery_signals(
                t1, values.t2_ms, plan, replaced=values.replaced, inversion_efficiency=efficiency
            )
    else:
        times = np.exp(rng.uniform(np.log(80.0), np.log(4500.0), frames))
        inversion = float(rng.uniform(1.6, 2.0))
        nulled = NAMES.index(str(rng.choice(["myocardium", "left blood", "liver"])))
        times[int(rng.integers(frames))] = values.t1_ms[nulled] * np.log(inversion) * np.exp(rng.normal(0.0, 0.08))

        def signals_of(t1: np.ndarray) -> np.ndarray:
            return 1.0 - inversion * np.exp(-times[:, None] / t1)

    signals = signals_of(values.t1_ms) * values.proton_density
    slopes = (signals_of(values.t1_ms * T1_RATIO) * values.proton_density - signals) / (T1_RATIO - 1.0)
    noise_sd = float(np.median(np.abs(signals).max(axis=0)[values.proton_density != 0])) / float(
        np.exp(rng.uniform(np.log(8.0), np.log(60.0)))
    )
    # Inflow and the cardiac phase change the blood's signal, and the receiver's gain drifts a little.
    blood = np.isin(NAMES, BLOOD) & (kind != "shapes")
    gain = 1.0 + rng.normal(0.0, 0.015, (frames, 1)) + rng.normal(0.0, 0.06, (frames, 1)) * blood
    order = np.argsort(times) if rng.random() < 0.2 else np.arange(frames)
    return SetAppearance(
        signals=(signals * gain)[order],
        slopes=(slopes * gain)[order],
        order=order,
        noise_sd=noise_sd,
        fat_shift_px=int(rng.integers(1, 3)) * int(rng.choice([-1, 1])) if rng.random() < 0.25 else 0,
    )


def _random_shading(count: int, size: int, generator: Generator) -> Tensor:
    """Smooth receive sensitivities, (set, 1, row, column), about 1."""
    import torch

    strength = uniform(0.0, 0.5, count, 1, 1, 1, generator=generator)
    coarse = strength * normal(count, 1, 4, 4, generator=generator)
    return torch.nn.functional.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=True).exp()


def _random_windows(count: int, size: int, spacing_mm: float, generator: Generator) -> Tensor:
    """How much of each spatial frequency is measured, (set, frequency), 0 to 1.

    The acquired resolution is 1.5 to 2.6 mm; the cut is more or less soft.
    """
    import torch

    frequency = torch.fft.fftfreq(size, d=spacing_mm, device=generator.device).abs()
    cut = 0.5 / uniform(1.5, 2.6, count, 1, generator=generator)
    softness = uniform(0.01, 0.06, count, 1, generator=generator)
    return torch.sigmoid((cut - frequency) / softness)


def _with_ghosts(signed: Tensor, generator: Generator) -> Tensor:
    """In some sets a faint copy of each frame, shifted along the rows or the columns."""
    import torch

    count, frames, size = signed.shape[:3]
    signed = signed.clone()
    for number in torch.nonzero(uniform(0.0, 1.0, count, generator=generator) < 0.15)[:, 0].tolist():
        strength = 0.12 * normal(frames, 1, 1, generator=generator)
        shift = int(torch.randint(size // 6, size // 2 + 1, (1,), generator=generator, device=generator.device))
        axis = 1 + int(torch.randint(2, (1,), generator=generator, device=generator.device))
        signed[number] += strength * signed[number].roll(shift, dims=axis)
    return signed


def _field_of_view(count: int, size: int, generator: Generator) -> Tensor:
    """1 inside and 0 outside the field of view, which in some sets ends inside the image; (set, row, column)."""
    import torch

    at = torch.arange(size, device=generator.device)
    chosen = uniform(0.0, 1.0, count, 4, generator=generator) < 0.5
    chosen &= uniform(0.0, 1.0, count, 1, generator=generator) < 0.25
    cut = (uniform(0.0, 0.22, count, 4, generator=generator) * chosen * size).unbind(1)
    rows = (at >= cut[0][:, None]) & (at <= size - 1 - cut[1][:, None])
    columns = (at >= cut[2][:, None]) & (at <= size - 1 - cut[3][:, None])
    return (rows[:, :, None] & columns[:, None]).float()


def degraded(
    signed: Tensor, looks: Sequence[SetAppearance], spacing_mm: float, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Magnitude images as a scanner would give them of signed ones: shading, ghosts, resolution, noise, field of view.

    Args:
        signed: (set, frame, row, column), square.
        looks: of each set.
        spacing_mm: of the pixels.
        generator: of torch.

    Returns:
        (set, frame, row, column), not negative, and (set, row, column), 1 inside the field of view.
    """
    import torch

    count, _, size, _ = signed.shape
    received = _with_ghosts(signed, generator) * _random_shading(count, size, generator)
    windows = [_random_windows(count, size, spacing_mm, generator) for _ in range(2)]
    kept = windows[0].square().mean(1) * windows[1].square().mean(1)
    noise_sd = received.new_tensor([look.noise_sd for look in looks]) / kept.sqrt()
    noise = normal(2, *signed.shape, generator=generator) * noise_sd[:, None, None, None]
    spectrum = torch.fft.fft2(torch.complex(received + noise[0], noise[1]))
    spectrum *= (windows[0][:, :, None] * windows[1][:, None])[:, None]
    seen = _field_of_view(count, size, generator)
    complex_images = torch.fft.ifft2(spectrum)
    return torch.hypot(complex_images.real, complex_images.imag) * seen[:, None], seen
