"""From tissue fractions and signals to the complex images a scanner would reconstruct."""

from __future__ import annotations

import numpy as np
import scipy.fft

from CMRLib.simulation.anatomy import SliceAnatomy
from CMRLib.simulation.schedule import Schedule
from CMRLib.simulation.signal import Readout, inversion_recovery_signals
from CMRLib.simulation.tissue import FAT_SHIFT_HZ_PER_TESLA, TissueValues


def fat_sign(field_strength: float, readout: Readout) -> float:
    """Sign of fat's signal relative to water's: -1 where bSSFP has them in opposed phase, else 1.

    With the echo at half TR, bSSFP's signal changes sign from one band of 1/TR in frequency to the next.
    """
    bands = round(FAT_SHIFT_HZ_PER_TESLA * field_strength * readout.tr_ms / 1000.0)
    return -1.0 if bands % 2 else 1.0


def magnetisation_images(
    anatomy: SliceAnatomy,
    values: TissueValues,
    plan: Schedule,
    field_strength: float,
    readout: Readout,
    inversion_efficiency: float,
) -> np.ndarray:
    """Signed noise-free images with uniform sensitivity: each pixel is the sum of its tissues' signals.

    Returns:
        float32 (frame, row, column), relative to the equilibrium magnetisation of water.
    """
    tissue, row, column = np.nonzero(anatomy.fractions * (values.proton_density > 0)[:, None, None])
    t1 = values.t1_ms[tissue] * anatomy.t1_factor[row, column]
    signals = inversion_recovery_signals(
        t1,
        values.t2_ms[tissue],
        plan,
        replaced=values.replaced[tissue],
        readout=readout,
        inversion_efficiency=inversion_efficiency,
    )
    weight = values.proton_density[tissue] * anatomy.fractions[tissue, row, column] * anatomy.density[row, column]
    weight = weight * np.where(values.fat[tissue], fat_sign(field_strength, readout), 1.0)
    shape = anatomy.density.shape
    pixel = np.ravel_multi_index((row, column), shape)
    images = [np.bincount(pixel, weight * signal, minlength=shape[0] * shape[1]) for signal in signals]
    return np.stack(images).reshape(-1, *shape).astype(np.float32)


def moved(images: np.ndarray, displacement: np.ndarray) -> np.ndarray:
    """Images as they look when what they show at a pixel has moved by the displacement there.

    Args:
        images: float32 (frame, row, column).
        displacement: float32 (frame, 2, row, column), (row, column) shift in pixels.

    Returns:
        float32 (frame, row, column): frame i shows at x + displacement_i(x) what ``images[i]`` has at x.
    """
    import torch

    from CMRLib.networks.warp import invert, warp

    back = invert(torch.from_numpy(displacement))
    result: np.ndarray = warp(torch.from_numpy(images)[:, None], back, mode="bicubic")[:, 0].numpy()
    return result


def coil_sensitivity(
    shape: tuple[int, int], spacing_mm: float, rng: np.random.Generator, shading: float = 1.0
) -> np.ndarray:
    """A smooth complex sensitivity: surface coils in front of the chest and behind the back, and a smooth phase.

    Args:
        shape: rows and columns.
        spacing_mm: pixel spacing.
        rng: random generator.
        shading: strength of the shading in magnitude; 0 is uniform. The phase is always there.

    Returns:
        complex64 (row, column); its magnitude has the mean 1 over the field of view.
    """
    y = ((np.arange(shape[0]) - (shape[0] - 1) / 2.0) * spacing_mm)[:, None]
    x = ((np.arange(shape[1]) - (shape[1] - 1) / 2.0) * spacing_mm)[None, :]
    power = np.zeros(shape)
    for x0, y0, strength in (
        (-70.0, -150.0, 1.0),
        (60.0, -150.0, 1.0),
        (-80.0, 170.0, 0.7),
        (60.0, 170.0, 0.7),
    ):
        x0, y0 = x0 + rng.normal(0.0, 20.0), y0 + rng.normal(0.0, 12.0)
        distance = (x - x0) ** 2 + (y - y0) ** 2
        power += (strength * rng.uniform(0.7, 1.3) / (1.0 + distance / 110.0**2)) ** 2
    magnitude = np.sqrt(power) ** shading
    # A linear and a quadratic term, up to about half a turn over the field of view, and a constant.
    a, b, c, d, e = rng.normal(0.0, 1.0, 5)
    u, v = x / 180.0, y / 180.0
    phase = rng.uniform(-np.pi, np.pi) + 0.9 * (a * u + b * v) + 0.6 * (c * u * v + d * u**2 + e * v**2)
    return (magnitude / magnitude.mean() * np.exp(1j * phase)).astype(np.complex64)


def acquire(
    images: np.ndarray, acquired_shape: tuple[int, int], noise_sd: float, rng: np.random.Generator
) -> np.ndarray:
    """Sample images at the acquired resolution, add noise and interpolate back, as a reconstruction does.

    The images' spectrum is cut to the acquired matrix, complex white Gaussian noise is added there, and zero filling
    restores the size; the noise's standard deviation per channel stays ``noise_sd`` in every pixel.

    Args:
        images: complex (frame, row, column).
        acquired_shape: rows and columns measured; not more than the images have.
        noise_sd: standard deviation of the noise in the real part, and in the imaginary part.
        rng: random generator.

    Returns:
        complex64 (frame, row, column).
    """
    frames, rows, columns = images.shape
    r, c = acquired_shape
    top, left = rows // 2 - r // 2, columns // 2 - c // 2
    center = (slice(None), slice(top, top + r), slice(left, left + c))
    axes = (1, 2)
    spectrum = scipy.fft.fftshift(scipy.fft.fft2(images.astype(np.complex64), norm="ortho"), axes=axes)
    noise = rng.standard_normal((2, frames, r, c), dtype=np.float32)
    # White noise is white in either domain; the factor keeps its power per pixel through the zero filling.
    scale = np.float32(noise_sd * np.sqrt(rows * columns / (r * c)))
    filled = np.zeros_like(spectrum)
    filled[center] = spectrum[center] + scale * (noise[0] + 1j * noise[1])
    return scipy.fft.ifft2(scipy.fft.ifftshift(filled, axes=axes), norm="ortho").astype(np.complex64)
