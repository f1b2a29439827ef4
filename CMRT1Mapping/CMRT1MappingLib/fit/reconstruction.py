"""From inversion-recovery images to T1, its standard error, and the maps that say how far to trust it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import IntFlag
from typing import TYPE_CHECKING

import numpy as np

from CMRLib.errors import InputError
from CMRLib.networks.devices import resolve_device
from CMRLib.study.magnitude import without_overshoot
from CMRT1MappingLib.fit.parallel import map_chunks
from CMRT1MappingLib.fit.polarity import noise_from_phase, samples_from_phase
from CMRT1MappingLib.fit.schemes import (
    SchemeFit,
    check_inversion_times,
    fit_all_samples,
    fit_shmolli,
    fit_shmolli_precise,
)
from CMRT1MappingLib.fit.signal_model import inversion_recovery_signal, t1_variance_per_noise_variance

if TYPE_CHECKING:
    import torch

FITS = ("scanner", "precise")
CHUNK_PIXELS = (8192, 65536)  # smaller groups waste time on calls, larger ones take too much memory
SIGNAL_FLOOR_RANGE = (0.01, 0.1)  # of the brightest pixels
AIR_MAXIMUM = 4.3  # noise standard deviations that 1 in 1000 air pixels exceeds in the largest of 7 frames
DARKEST_AIR = 0.66  # root mean square of the darkest hundredth of all pixels over that of air, for 10 to 100 % air
LONGEST_T1_ERROR_MS = 10000.0
UNRESOLVED_T1_ERROR = 0.2  # of T1
RIVAL_SIGNIFICANCE = 25.0  # noise variances by which the SSE of other signs must be worse: five standard deviations
RIVAL_DIFFERENCE = 0.02  # of T1; signs that change T1 by less are not worth a mark
CHANCE_EXCESS = 9.0  # noise variances of extra SSE that noise may cause: three standard deviations
NOISE_WEIGHT = 20.0  # degrees of freedom with which the image's noise enters a pixel's own


# Inversion efficiency that a scanner's MOLLI maps are corrected for: in-vivo maps, native and after contrast alike, are
# the plain three-parameter fit divided by it (measured on maps and images of one scan session each; compare Kellman and
# Hansen, J Cardiovasc Magn Reson 2014; 16:2, on such a correction).
MOLLI_EFFICIENCY = 0.965
MOLLI_CORRECTIONS = {"plain": "T1", "scanner": f"T1 / {MOLLI_EFFICIENCY}"}  # choice -> what a map holds


class PixelFlag(IntFlag):
    """Why a pixel's T1 is absent or not to be trusted; values add up."""

    NO_SIGNAL = 1
    POLARITY_UNCERTAIN = 2
    T1_UNRESOLVED = 4


@dataclass(frozen=True)
class FitOptions:
    """Choices of the reconstruction.

    Attributes:
        last_test: which residual ShMOLLI's last test compares with: ``scanner`` or ``paper``
            (see `CMRT1MappingLib.fit.schemes.fit_shmolli`).
        fit: ``scanner`` chooses ShMOLLI's samples as the scanner does, ``precise`` so that T1 spreads less where it is
            short (see `CMRT1MappingLib.fit.schemes.fit_shmolli_precise`); the other schemes have one fit.
        molli: ``plain`` or ``scanner``, which divides the T1 of MOLLI by `MOLLI_EFFICIENCY` as scanners do.
        noise_sd: standard deviation of the noise in image units; None estimates it from the fit of the whole image.
    """

    last_test: str = "scanner"
    fit: str = "scanner"
    molli: str = "plain"
    noise_sd: float | None = None

    def parameters(self, scheme: str) -> dict[str, str]:
        """What of it concerns a scheme, for the provenance of every result."""
        shmolli = scheme == "shmolli"
        return {
            "LastTest": self.last_test if shmolli and self.fit == "scanner" else "",
            "Fit": self.fit if shmolli else "",
            "Molli": MOLLI_CORRECTIONS[self.molli] if scheme == "molli" else "",
        }


@dataclass(frozen=True)
class T1Maps:
    """Result of the reconstruction; every map has axes (row, column) and is 0 where nothing was fitted.

    Attributes:
        t1: ms, float32.
        r2: squared correlation of fitted and measured magnitude over the samples used, 0 to 1, float32.
        samples: number of samples used, uint8.
        residual: root mean square of the fit's residuals, image units, float32.
        t1_error: standard error of T1 in ms, float32, at most 10000.
        a, b: parameters of S = A - B exp(-TI/T1*), image units, float32.
        t1_star: ms, float32.
        polarity: -1 or +1 for each sample, axes (frame, row, column) in the order of the input, int8.
        used: whether each sample entered the fit, axes as for polarity, bool.
        flags: sum of `PixelFlag`, uint8.
        noise_sd: standard deviation of the noise, image units.
        device: where it was computed.
    """

    t1: np.ndarray
    r2: np.ndarray
    samples: np.ndarray
    residual: np.ndarray
    t1_error: np.ndarray
    a: np.ndarray
    b: np.ndarray
    t1_star: np.ndarray
    polarity: np.ndarray
    used: np.ndarray
    flags: np.ndarray
    noise_sd: float
    device: str


def reconstruct(
    images: np.ndarray,
    inversion_times_ms: Sequence[float] | np.ndarray,
    phase: np.ndarray | None = None,
    *,
    scheme: str = "shmolli",
    options: FitOptions | None = None,
    device: str = "auto",
    progress: Callable[[float], None] | None = None,
) -> T1Maps:
    """Fit S(TI) = A - B exp(-TI/T1*) to every pixel; T1 = T1* (B/A - 1).

    Args:
        images: magnitude images, axes (frame, row, column), any unit.
        inversion_times_ms: one per frame, in the order of the frames, ms.
        phase: radians, of the same shape; without it the polarity is searched for.
        scheme: ``shmolli`` (conditional fit of 5, 6 or 7 samples), or ``molli``, ``look-locker`` or ``other`` (all
            samples).
        options: see `FitOptions`.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        progress: called with the fraction done, between groups of pixels; what it raises ends the reconstruction.

    Raises:
        InputError: images, phase or inversion times cannot be used.
        DeviceError: the device is not available.
        MissingDependencyError: PyTorch is not installed.
    """
    options = options or FitOptions()
    times = np.asarray(inversion_times_ms, dtype=np.float32)
    magnitude = _checked_images(images, times, scheme, options)
    if phase is not None:
        phase = _checked_phase(phase, magnitude.shape)
    return fit_stack(magnitude, times, phase, scheme, options, device, signal_floor(magnitude), progress)


def fit_stack(
    magnitude: np.ndarray,
    times: np.ndarray,
    phase: np.ndarray | None,
    scheme: str,
    options: FitOptions,
    device: str,
    floor: float,
    progress: Callable[[float], None] | None = None,
) -> T1Maps:
    """`reconstruct` for float32 arrays that are known to be good, of pixels that anywhere exceed ``floor``."""
    target = resolve_device(device)
    import torch

    order = np.argsort(times, kind="stable")
    scale = _bright(magnitude)
    fitted = magnitude.max(0) > floor
    sorted_times = torch.as_tensor(times[order], device=target)
    rows = torch.as_tensor(magnitude[order][:, fitted].T / np.float32(scale), device=target)
    phase_rows = None if phase is None else torch.as_tensor(phase[order][:, fitted].T, device=target)

    phase_noise = 0.0
    if phase_rows is not None:
        known_noise = None if options.noise_sd is None else options.noise_sd / scale
        phase_noise = known_noise or noise_from_phase(rows, phase_rows, sorted_times)

    def fit_chunk(chunk: slice) -> dict[str, np.ndarray]:
        samples, signs = rows[chunk], torch.zeros_like(rows[chunk])
        if phase_rows is not None:
            # The precise fit takes the component along the phase of every sample, so no sign is searched for.
            faint = math.inf if scheme == "shmolli" and options.fit == "precise" else phase_noise
            samples, signs = samples_from_phase(samples, phase_rows[chunk], sorted_times, faint)
        if scheme == "shmolli" and options.fit == "precise":
            fit = fit_shmolli_precise(samples, signs, sorted_times)
        elif scheme == "shmolli":
            fit = fit_shmolli(samples, signs, sorted_times, options.last_test)
        else:
            fit = fit_all_samples(samples, signs, sorted_times)
        return _pixel_results(rows[chunk], sorted_times, fit)

    workers = torch.get_num_threads() if target.type == "cpu" else 1
    size = int(np.clip(math.ceil(len(rows) / max(2, workers)), *CHUNK_PIXELS))  # two or more, for the sake of progress
    chunks = map_chunks(fit_chunk, len(rows), size, workers, progress)
    pixels = {name: np.concatenate([c[name] for c in chunks]) for name in chunks[0]}
    noise = options.noise_sd / scale if options.noise_sd is not None else _noise_sd(pixels)
    maps = _maps(pixels, fitted, np.argsort(order), scale, noise, str(target))
    if scheme == "molli" and options.molli == "scanner":
        efficiency = np.float32(MOLLI_EFFICIENCY)
        maps = replace(maps, t1=maps.t1 / efficiency, t1_error=maps.t1_error / efficiency)
    return maps


def signal_floor(magnitude: np.ndarray) -> float:
    """The magnitude that air does not reach in any frame of a stack (frame, row, column), in image units.

    In air every sample is an independent draw from a Rayleigh distribution, so the mean square over n frames follows a
    gamma distribution of mean 2 sigma². The darkest hundredth of all pixels is taken for air, whatever else there is.
    """
    bright = _bright(magnitude)
    darkest = float(np.percentile(np.mean(np.square(magnitude), axis=0), 1.0))
    noise = np.sqrt(darkest / 2.0) / DARKEST_AIR
    lowest, highest = SIGNAL_FLOOR_RANGE
    return float(np.clip(AIR_MAXIMUM * noise, lowest * bright, highest * bright))


def _bright(magnitude: np.ndarray) -> float:
    return float(np.percentile(magnitude.max(0), 99.9)) or float(magnitude.max())


def _checked_images(images: np.ndarray, times: np.ndarray, scheme: str, options: FitOptions) -> np.ndarray:
    check_inversion_times(times, scheme)
    if options.last_test not in ("scanner", "paper"):
        raise InputError(f'The last test is "scanner" or "paper", not "{options.last_test}"; choose one of them.')
    if options.fit not in FITS:
        raise InputError(f'There is no fit "{options.fit}"; choose {" or ".join(FITS)}.')
    if options.molli not in MOLLI_CORRECTIONS:
        raise InputError(f'MOLLI is fitted "plain" or as a "scanner" does, not "{options.molli}"; choose one of them.')
    images = np.asarray(images)
    if images.ndim != 3 or 0 in images.shape:
        raise InputError(f"The images must be a stack (frame, row, column), not of shape {images.shape}.")
    if len(images) != len(times):
        raise InputError(
            f"There are {len(images)} images but {len(times)} inversion times; give one time per image of the whole "
            "acquisition."
        )
    images = np.asarray(images, dtype=np.float32)
    if not np.all(np.isfinite(images)):
        count = int(np.count_nonzero(~np.isfinite(images)))
        raise InputError(f"{count} pixel values are not finite numbers; export the images again.")
    images, _notes = without_overshoot(images, "The images")
    empty = [str(i + 1) for i in range(len(images)) if not images[i].any()]
    if empty:
        raise InputError(f"Image {', '.join(empty)} of {len(images)} is zero everywhere; export the series again.")
    return images


def _checked_phase(phase: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    phase = np.asarray(phase, dtype=np.float32)
    if phase.shape != shape:
        raise InputError(
            f"The phase images {phase.shape} do not match the magnitude images {shape}; give the phase of "
            "the same acquisition, or none."
        )
    if not np.all(np.isfinite(phase)):
        raise InputError("The phase images hold values that are not finite numbers; export them again or give none.")
    if np.ptp(phase) > 4 * np.pi + 0.1:
        raise InputError("The phase images are not in radians; load them as phase or scale them to -pi to pi.")
    return phase


def _pixel_results(magnitude: torch.Tensor, times: torch.Tensor, scheme_fit: SchemeFit) -> dict[str, np.ndarray]:
    """What the maps need of P pixels, in units of the scaled signal; 1D arrays of length P, signs (P, n)."""
    import torch

    signed, used = scheme_fit.signed, scheme_fit.used
    fit = signed.fit
    n = used.sum(1)
    curve = inversion_recovery_signal(times[None, :], fit.a, fit.b, fit.t1_star)
    widest = scheme_fit.widest
    variance = t1_variance_per_noise_variance(times, fit.a, fit.b, fit.t1_star, used)
    widest_variance = variance.clone()
    wider = (scheme_fit.widest_used != used).any(1)  # elsewhere it is the same fit
    if bool(wider.any()):
        other = widest.at(wider)
        widest_variance[wider] = t1_variance_per_noise_variance(
            times, other.a, other.b, other.t1_star, scheme_fit.widest_used[wider]
        )
    tensors = {
        "a": fit.a,
        "b": fit.b,
        "t1_star": fit.t1_star,
        "t1": fit.t1,
        "sse": fit.sse,
        "noise_sse": scheme_fit.noise_sse,
        "noise_freedom": torch.full_like(fit.sse, scheme_fit.noise_freedom),
        "interior": fit.interior,
        "samples": n.to(torch.uint8),
        "r2": _squared_correlation(curve.abs(), magnitude, used),
        "variance": variance,
        "widest_variance": widest_variance,
        "widest_t1": widest.t1,
        "widest_excess": widest.sse - fit.sse,
        "rival_sse": signed.rival_sse,
        "rival_t1": signed.rival_t1,
        "signs": signed.signs.to(torch.int8),
        "used": used,
    }
    return {name: tensor.cpu().numpy() for name, tensor in tensors.items()}


def _squared_correlation(x: torch.Tensor, y: torch.Tensor, used: torch.Tensor) -> torch.Tensor:
    """Squared Pearson correlation over the used samples: the scanner's R² (tomato; it is not 1 - SSres/SStot)."""
    weight = used.to(x.dtype)
    n = weight.sum(1, keepdim=True)
    xc = (x - (x * weight).sum(1, keepdim=True) / n) * weight
    yc = (y - (y * weight).sum(1, keepdim=True) / n) * weight
    power = (xc * xc).sum(1) * (yc * yc).sum(1)
    return ((xc * yc).sum(1) ** 2 / power.clamp_min(1e-30)).clamp(0.0, 1.0)


def _noise_sd(pixels: dict[str, np.ndarray]) -> float:
    """Noise of the scaled signal from the residuals of all good fits, by their median so that misfits do not count."""
    good = pixels["interior"] & (pixels["r2"] > 0.9)
    if not good.any():
        good = np.ones_like(good)
    freedom = pixels["noise_freedom"][good]
    # Median of the chi-squared distribution (Wilson and Hilferty, PNAS 1931; 17:684-688).
    median = freedom * (1.0 - 2.0 / (9.0 * freedom)) ** 3
    return float(np.sqrt(np.median(pixels["noise_sse"][good] / median)))


def _maps(
    pixels: dict[str, np.ndarray], fitted: np.ndarray, frame_order: np.ndarray, scale: float, noise: float, device: str
) -> T1Maps:
    freedom = pixels["noise_freedom"]
    # A pixel's own residuals say little (2 to 4 degrees of freedom), so they are weighed with those of the image.
    noise_variance = (NOISE_WEIGHT * noise**2 + pixels["noise_sse"]) / (NOISE_WEIGHT + freedom)
    t1 = pixels["t1"]
    with np.errstate(over="ignore", invalid="ignore"):
        variance = pixels["variance"] * noise_variance
        # Where noise alone may have decided against using more samples, the answer they give is part of the doubt.
        by_chance = pixels["widest_excess"] < CHANCE_EXCESS * noise_variance
        doubt = pixels["widest_variance"] * noise_variance + (pixels["widest_t1"] - t1) ** 2
        t1_error = np.sqrt(np.where(by_chance, doubt, variance))
    t1_error = np.minimum(np.nan_to_num(t1_error, nan=np.inf, posinf=np.inf), LONGEST_T1_ERROR_MS)
    uncertain = (pixels["rival_sse"] - pixels["sse"] < RIVAL_SIGNIFICANCE * noise_variance) & (
        np.abs(pixels["rival_t1"] - t1) > RIVAL_DIFFERENCE * t1
    )
    unresolved = ~pixels["interior"] | (t1_error > UNRESOLVED_T1_ERROR * t1)
    flags = np.where(fitted, 0, PixelFlag.NO_SIGNAL).astype(np.uint8)
    flags[fitted] = PixelFlag.POLARITY_UNCERTAIN * uncertain + PixelFlag.T1_UNRESOLVED * unresolved

    def image(values: np.ndarray, dtype: type = np.float32) -> np.ndarray:
        out: np.ndarray = np.zeros(fitted.shape, dtype)
        out[fitted] = values
        return out

    def stack(values: np.ndarray, empty: int, dtype: type) -> np.ndarray:
        out: np.ndarray = np.full((len(frame_order), *fitted.shape), empty, dtype)
        out[:, fitted] = values.T[frame_order]
        return out

    return T1Maps(
        t1=image(t1),
        r2=image(pixels["r2"]),
        samples=image(pixels["samples"], np.uint8),
        residual=image(np.sqrt(pixels["sse"] / pixels["samples"]) * scale),
        t1_error=image(t1_error),
        a=image(pixels["a"] * scale),
        b=image(pixels["b"] * scale),
        t1_star=image(pixels["t1_star"]),
        polarity=stack(pixels["signs"], 1, np.int8),
        used=stack(pixels["used"], 0, np.bool_),
        flags=flags,
        noise_sd=noise * scale,
        device=device,
    )
