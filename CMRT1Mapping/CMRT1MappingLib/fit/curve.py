"""The samples and the fitted curve of one pixel, for a plot under the cursor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from CMRLib.errors import InputError
from CMRT1MappingLib.fit.reconstruction import FitOptions, PixelFlag, fit_stack
from CMRT1MappingLib.fit.schemes import check_inversion_times

CURVE_POINTS = 200


@dataclass(frozen=True)
class PixelCurve:
    """One pixel's samples, in the order of inversion time, and its curve.

    Attributes:
        inversion_times_ms, signal, used: time in ms, signed signal in image units and whether it entered the fit, (n,).
        curve_times_ms, curve_signal: the fitted S(TI) = A - B exp(-TI/T1*) from 0 to a little past the last sample.
        t1, t1_star, t1_error: ms.
        r2: 0 to 1.
        samples: number of samples used; 0 where there is no signal to fit.
        flags: see `CMRT1MappingLib.fit.reconstruction.PixelFlag`.
    """

    inversion_times_ms: np.ndarray
    signal: np.ndarray
    used: np.ndarray
    curve_times_ms: np.ndarray
    curve_signal: np.ndarray
    t1: float
    t1_star: float
    t1_error: float
    r2: float
    samples: int
    flags: PixelFlag


def curve_at(
    images: np.ndarray,
    inversion_times_ms: Sequence[float] | np.ndarray,
    phase: np.ndarray | None,
    row: int,
    column: int,
    *,
    scheme: str = "shmolli",
    options: FitOptions | None = None,
) -> PixelCurve:
    """Fit one pixel of a stack with axes (frame, row, column).

    Arguments as for `CMRT1MappingLib.fit.reconstruction.reconstruct`.

    Give ``options.noise_sd`` (of the T1Maps of the whole image) to get the same standard error as in the map: one pixel
    alone does not know the noise.

    Raises:
        InputError: the pixel lies outside the image, or the values cannot be used.
    """
    _, rows, columns = np.shape(images)
    if not (0 <= row < rows and 0 <= column < columns):
        raise InputError(f"The pixel (row {row}, column {column}) lies outside the image of {rows} x {columns}.")
    pixel = np.s_[:, row : row + 1, column : column + 1]
    magnitude = np.asarray(images[pixel], dtype=np.float32)
    frame_times = np.asarray(inversion_times_ms, dtype=np.float32)
    check_inversion_times(frame_times, scheme)
    order = np.argsort(frame_times, kind="stable")
    times = frame_times[order]
    curve_times = np.linspace(0.0, 1.05 * times[-1], CURVE_POINTS)
    if not magnitude.any() or not np.isfinite(magnitude).all():
        nothing = np.zeros(len(times))
        flat = np.zeros_like(curve_times)
        flags = PixelFlag.NO_SIGNAL
        return PixelCurve(times, nothing, nothing > 0, curve_times, flat, 0.0, 0.0, 0.0, 0.0, 0, flags)
    pixel_phase = None if phase is None else np.asarray(phase[pixel], dtype=np.float32)
    maps = fit_stack(magnitude, frame_times, pixel_phase, scheme, options or FitOptions(), "cpu", floor=0.0)
    a, b, t1_star = (float(m[0, 0]) for m in (maps.a, maps.b, maps.t1_star))
    return PixelCurve(
        inversion_times_ms=times,
        signal=magnitude[order, 0, 0] * maps.polarity[order, 0, 0],
        used=maps.used[order, 0, 0],
        curve_times_ms=curve_times,
        curve_signal=a - b * np.exp(-curve_times / t1_star),
        t1=float(maps.t1[0, 0]),
        t1_star=t1_star,
        t1_error=float(maps.t1_error[0, 0]),
        r2=float(maps.r2[0, 0]),
        samples=int(maps.samples[0, 0]),
        flags=PixelFlag(int(maps.flags[0, 0])),
    )
