"""The standard grid of the landmark networks and the exact way back to the source image.

Positions are (row, column) in pixels, pixel centres at whole numbers. A `Placement` maps positions in a square target
image to positions in its source; every crop and every standard grid is one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from CMRLib.anatomy.axis import APEX, DISPLAY_COLUMN, DISPLAY_ROW
from CMRLib.errors import InputError
from CMRLib.geometry import Geometry

GRID_SIZE = 384  # thesis, 5.2.2
GRID_SPACING_MM = 1.0

SHORT_AXIS_COSINE = np.cos(np.deg2rad(45.0))


@dataclass(frozen=True)
class Placement:
    """Affine map from positions in a target image to positions in its source: source = matrix @ target + offset.

    Attributes:
        matrix: float64 (2, 2) on (row, column).
        offset: float64 (2,), source pixels.
        size: rows and columns of the square target.
    """

    matrix: np.ndarray
    offset: np.ndarray
    size: int

    def to_source(self, points: np.ndarray) -> np.ndarray:
        """Source positions of target positions, (..., 2) each."""
        return np.asarray(points, dtype=float) @ self.matrix.T + self.offset

    def to_target(self, points: np.ndarray) -> np.ndarray:
        """Target positions of source positions, (..., 2) each."""
        return (np.asarray(points, dtype=float) - self.offset) @ np.linalg.inv(self.matrix).T

    def sample(self, image: np.ndarray, order: int = 1) -> np.ndarray:
        """The source image (row, column) on the target's pixels, float32 (size, size), 0 outside.

        ``order`` is 1 for bilinear, 0 for nearest (labels).
        """
        return ndimage.affine_transform(
            np.asarray(image, dtype=np.float32),
            self.matrix,
            self.offset,
            output_shape=(self.size, self.size),
            order=order,
            mode="constant",
            cval=0.0,
        )


def is_short_axis(geometry: Geometry) -> bool:
    """Whether the header's plane lies within 45 degrees of a usual short axis; a placeholder's does not."""
    return bool(abs(np.cross(geometry.matrix[:, 0], geometry.matrix[:, 1]) @ APEX) >= SHORT_AXIS_COSINE)


def display_axes(geometry: Geometry) -> np.ndarray:
    """How the array must be turned and mirrored, by whole quarter turns, to look like a usual short-axis view.

    Only a plane within 45 degrees of a nominal short axis is turned: the header of any other (a placeholder, an axial
    plane) says nothing about the heart, and its array is left as it is.

    Returns:
        float64 (2, 2) signed permutation: its first column is the step in the array (row, column) for one row down on
        display, its second that for one column to the right.
    """
    if not is_short_axis(geometry):
        return np.eye(2)
    column, row = geometry.matrix[:, 0], geometry.matrix[:, 1]
    best, best_match = np.eye(2), -np.inf
    for straight in (np.eye(2), np.eye(2)[::-1]):
        for down in (1.0, -1.0):
            for right in (1.0, -1.0):
                axes = straight * [down, right]
                steps = np.column_stack([row, column]) @ axes
                match = steps[:, 0] @ DISPLAY_ROW + steps[:, 1] @ DISPLAY_COLUMN
                if match > best_match:
                    best, best_match = axes, match
    return best


def standard_placement(shape: tuple[int, int], geometry: Geometry, size: int = GRID_SIZE) -> Placement:
    """The standard grid, 1 mm and centred on the image, of an array of ``shape`` (rows, columns)."""
    spacing = np.array([geometry.spacing[1], geometry.spacing[0]])
    matrix = display_axes(geometry) * (GRID_SPACING_MM / spacing)[:, None]
    center = (np.array(shape, dtype=float) - 1.0) / 2.0
    return Placement(matrix, center - matrix @ np.full(2, (size - 1) / 2.0), size)


def standard_image(image: np.ndarray, geometry: Geometry, size: int = GRID_SIZE) -> tuple[np.ndarray, Placement]:
    """One slice (row, column) on the standard grid, its intensities as they are, and its placement.

    A source finer than the grid is smoothed first, so that it does not alias. NaN and infinite pixels count as 0.

    Raises:
        InputError: the image is not 2D.
    """
    if image.ndim != 2 or min(image.shape) < 1:
        raise InputError("A slice must be a 2D image with at least one pixel.")
    image = np.nan_to_num(np.asarray(image, dtype=np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    placement = standard_placement(image.shape, geometry, size)
    pixels_per_mm = GRID_SPACING_MM / np.array([geometry.spacing[1], geometry.spacing[0]])
    sigma = 0.4 * np.sqrt(np.maximum(pixels_per_mm**2 - 1.0, 0.0))
    if np.any(sigma > 0.3):
        image = ndimage.gaussian_filter(image, sigma)
    return placement.sample(image), placement


def zoom_placement(points: np.ndarray, size: int, line_px: float) -> Placement:
    """The upright view of the heart for the second look of stage 1: LV centre in the middle, of standard size.

    Args:
        points: (landmark, 2) positions in the source: LV centre, then insertion points.
        size: rows and columns of the view.
        line_px: mean distance of the insertion points from the centre, in pixels of the view.
    """
    reach = float(np.mean(np.linalg.norm(points[1:] - points[0], axis=1)))
    matrix = np.eye(2) * (np.clip(reach, 8.0, 90.0) / line_px)
    return Placement(matrix, points[0] - matrix @ np.full(2, (size - 1) / 2.0), size)


def entry_line_placement(
    center: np.ndarray, anterior: np.ndarray, mirrored: bool, size: int, line_px: float
) -> Placement:
    """The crop for the second stage: entry line horizontal, insertion left, LV centre right, line centred.

    The crop is scaled so that the entry line is ``line_px`` long. In a usual view the RV then lies below the line; a
    mirrored image is mirrored back, so that it does there too.

    Args:
        center, anterior: (2,) positions in the source.
        mirrored: whether the source is a mirror image of a usual view.
        size: rows and columns of the crop.
        line_px: length of the entry line in crop pixels.
    """
    line = np.asarray(center, dtype=float) - anterior
    length = float(np.hypot(*line))
    # Points that coincide give no direction; a nominal 30 px line to the right keeps the crop sensible.
    right = line / line_px if length > 3.0 else np.array([0.0, 30.0 / line_px])
    down = np.array([right[1], -right[0]])  # a quarter turn clockwise on display
    matrix = np.column_stack([-down if mirrored else down, right])
    middle = (np.asarray(center, dtype=float) + anterior) / 2.0
    return Placement(matrix, middle - matrix @ np.full(2, (size - 1) / 2.0), size)
