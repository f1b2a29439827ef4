"""Square views of a slice: the whole of it, and a crop around the heart; their intensities; the way back.

Positions are (row, column) in pixels, pixel centres at whole numbers. Pixels need not be square: a view's are, in
millimetres, where the spacing is known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from CMRLib.errors import InputError
from CMRLib.networks import normalise


@dataclass(frozen=True)
class View:
    """A square target image: source = scale * target + offset, for rows and columns each.

    Attributes:
        scale: float64 (2,), source pixels per target pixel.
        offset: float64 (2,), source pixels.
        size: rows and columns of the target.
    """

    scale: np.ndarray
    offset: np.ndarray
    size: int

    @classmethod
    def around(cls, center: np.ndarray, scale: np.ndarray, size: int) -> View:
        """A view whose middle is the source's ``center``."""
        return cls(np.asarray(scale, dtype=float), center - np.asarray(scale) * (size - 1) / 2.0, size)

    @classmethod
    def whole(cls, shape: tuple[int, int], spacing: tuple[float, float], size: int) -> View:
        """The whole source: its longer side, in mm, fills the view; ``spacing`` is (row, column)."""
        pixel = max(shape[0] * spacing[0], shape[1] * spacing[1]) / size
        return cls.around((np.array(shape) - 1.0) / 2.0, pixel / np.array(spacing), size)

    def to_source(self, points: np.ndarray) -> np.ndarray:
        """Source positions of target positions, (..., 2) each."""
        return np.asarray(points) * self.scale + self.offset

    def sample(self, image: np.ndarray, order: int = 1) -> np.ndarray:
        """The source (row, column) on the view's pixels, float32 (size, size), 0 outside.

        Bilinear, and smoothed first where the source is finer, so that it does not alias; order 0 is nearest.
        """
        image = np.asarray(image, dtype=np.float32)
        sigma = 0.4 * np.sqrt(np.maximum(self.scale**2 - 1.0, 0.0))
        if order and np.any(sigma > 0.3):
            image = ndimage.gaussian_filter(image, sigma)
        return ndimage.affine_transform(
            image, self.scale, self.offset, output_shape=(self.size, self.size), order=order, cval=0.0
        )

    def back(self, values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """Values of the view (row, column) on the source's pixels, float32, bilinear; 0 outside the view."""
        return ndimage.affine_transform(
            np.asarray(values, dtype=np.float32),
            1.0 / self.scale,
            -self.offset / self.scale,
            output_shape=shape,
            order=1,
            cval=0.0,
        )


def rescaled(image: np.ndarray) -> np.ndarray:
    """A slice with its non-zero pixels brought to 1/255 to 1, cut at their percentiles 0.5 and 99.9; 0 stays 0.

    Pixels that are NaN or infinite count as 0, which is what the scanner's padding is.

    Args:
        image: (row, column).

    Returns:
        float32 (row, column); all 0 where the image is uniform.

    Raises:
        InputError: the image is not 2D.
    """
    if image.ndim != 2 or min(image.shape) < 2:
        raise InputError("A slice must be a 2D image of at least two by two pixels.")
    return normalise.rescaled(np.nan_to_num(np.asarray(image, dtype=np.float32), nan=0.0, posinf=0.0, neginf=0.0))
