"""Whether aligning the images of an acquisition made their curves fit better, or only smoothed them.

Interpolation smooths, and smoothing alone raises R², whether anything moved or not. So the aligned images are held
against the images as acquired, smoothed as much, pixel by pixel, but not moved. What is left of the difference is
alignment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from CMRT1MappingLib.fit.reconstruction import FitOptions, T1Maps, fit_stack

# A few pixels with a wrong polarity have an R² near 0 and would rule the mean, whichever way they happen to turn.
WORST_SHARE = 0.1
# Share of what the curves leave unexplained (1 - R²) that must go beyond what smoothing takes away: by the refined
# motion, and by the network's own, which was not fitted to the images' noise. Chosen on validation cases of eight
# kinds: of 192 still ones the network's own took away up to 4 % (a phantom without noise apart), and the refined one up
# to 23 %; of motion that could be seen at all the network's own mostly took away 8 % or more. Any pair from 6 to 12 %
# and from 4 to 8 % touches none of the still ones and corrects the same moved ones but one.
LEAST_GAIN = 0.1
LEAST_GAIN_UNREFINED = 0.07
REACH = 2  # pixels to either side that a smoothed pixel depends on


@dataclass(frozen=True)
class Judgement:
    """R² in a region, of the same images in three states; see `summary_r2`.

    Attributes:
        smoothed: as acquired, smoothed as much as aligning smooths.
        aligned: aligned.
    """

    smoothed: float
    aligned: float

    @property
    def gain(self) -> float:
        """Share of 1 - R² that alignment takes away and smoothing does not; negative where it adds to it."""
        left = 1.0 - self.smoothed
        return 1.0 - (1.0 - self.aligned) / left if left > 0.0 else 0.0


def judge(
    images: np.ndarray,
    phase: np.ndarray | None,
    aligned: np.ndarray,
    aligned_phase: np.ndarray | None,
    displacement: np.ndarray,
    region: np.ndarray,
    inversion_times_ms: Sequence[float] | np.ndarray,
    *,
    scheme: str,
    options: FitOptions | None = None,
    device: str = "cpu",
) -> Judgement:
    """Hold aligned images against equally smoothed ones.

    Args:
        images, phase: as acquired, (frame, row, column); phase in radians or None.
        aligned, aligned_phase: what `CMRT1MappingLib.motion.estimation.apply_motion` made of them.
        displacement: the motion that it took out, (frame, 2, row, column) in pixels.
        region: where to look, bool (row, column), with a pixel or more.
        inversion_times_ms, scheme, options, device: see `CMRT1MappingLib.fit.reconstruction.reconstruct`.
    """
    window = _around(region)
    inside = region[window]
    cut = (slice(None), *window)
    smooth = smoothed_alike(images[cut], displacement[(slice(None), *cut)], None if phase is None else phase[cut])
    times = np.asarray(inversion_times_ms, dtype=np.float32)
    everywhere = np.ones((1, np.count_nonzero(inside)), dtype=bool)

    def r2(magnitude: np.ndarray, angle: np.ndarray | None) -> float:
        pixels, angles = (None if a is None else a[:, None, inside] for a in (magnitude, angle))
        assert pixels is not None
        maps = fit_stack(pixels, times, angles, scheme, options or FitOptions(), device, floor=0.0)
        return summary_r2(maps, everywhere)

    return Judgement(r2(*smooth), r2(aligned[cut], None if aligned_phase is None else aligned_phase[cut]))


def summary_r2(maps: T1Maps, where: np.ndarray) -> float:
    """Mean R² of the pixels of a mask (row, column) but the worst tenth of them; 0 where there are none."""
    r2 = np.sort(maps.r2[where])[int(WORST_SHARE * np.count_nonzero(where)) :]
    return float(r2.mean(dtype=np.float64)) if r2.size else 0.0


def smoothed_alike(
    images: np.ndarray, displacement: np.ndarray, phase: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Images smoothed as much as linear interpolation at x + displacement(x) smooths them, and left where they are.

    Interpolating at a fraction f between two pixels widens what is seen by a variance of v = f (1 - f) pixels² and lets
    the share 1 - 2 v of the variance of white noise through. The symmetric kernel of five pixels with the same two
    numbers does the same without moving anything; along rows, then along columns, as bilinear interpolation does.

    Args:
        images: magnitude (frame, row, column).
        displacement: (frame, 2, row, column) in pixels.
        phase: radians, of the images' shape, or None; with it the images are smoothed as complex numbers.

    Returns:
        float32 magnitude, and phase in radians or None. Frames that do not move come back as they are.
    """
    signal = np.asarray(images, np.float32) if phase is None else images * np.exp(1j * phase).astype(np.complex64)
    for axis in (1, 2):
        kernel = _kernel(displacement[:, axis - 1])
        margins = [(REACH, REACH) if number == axis else (0, 0) for number in range(3)]
        padded = np.pad(signal, margins, mode="edge")
        size = signal.shape[axis]
        signal = sum(
            kernel[abs(offset - REACH)] * np.take(padded, range(offset, offset + size), axis=axis)
            for offset in range(2 * REACH + 1)
        )
    still = (displacement == 0).all(axis=1)
    magnitude = np.where(still, images, np.abs(signal)).astype(np.float32)
    return magnitude, None if phase is None else np.where(still, phase, np.angle(signal)).astype(np.float32)


def _kernel(shift: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights of the middle pixel, its neighbours and theirs, for a shift in pixels; see `smoothed_alike`.

    The weights a, b and c add up to a + 2 b + 2 c = 1, have the variance 2 b + 8 c = v, and the sum of squares
    a² + 2 b² + 2 c² = 1 - 2 v, which leaves 70 c² + (12 - 20 v) c + 1.5 v² = 0.
    """
    fraction = shift - np.floor(shift)
    variance = fraction * (1.0 - fraction)
    linear = 12.0 - 20.0 * variance
    far = (np.sqrt(linear**2 - 420.0 * variance**2) - linear) / 140.0
    return 1.0 - variance + 6.0 * far, variance / 2.0 - 4.0 * far, far


def _around(region: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns that a region (row, column) reaches, and what its smoothed pixels depend on."""
    spans = []
    for axis, size in zip((1, 0), region.shape, strict=True):
        found = np.nonzero(region.any(axis=axis))[0]
        spans.append(slice(max(0, int(found[0]) - REACH), min(size, int(found[-1]) + 1 + REACH)))
    return spans[0], spans[1]
