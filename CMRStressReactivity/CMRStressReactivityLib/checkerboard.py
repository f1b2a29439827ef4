"""Two images in one, in squares in turn, to see whether they lie on each other."""

from __future__ import annotations

import numpy as np

SQUARE_MM = 12.0


def checkerboard(
    one: np.ndarray, other: np.ndarray, spacing_mm: tuple[float, float], square_mm: float = SQUARE_MM
) -> np.ndarray:
    """Squares of both images in turn.

    Args:
        one, other: (..., row, column).
        spacing_mm: distance of rows and of columns.
        square_mm: side of a square.

    Returns:
        Of their shape.
    """
    rows, columns = np.indices(one.shape[-2:])
    squares = [np.floor((grid + 0.5) * mm / square_mm) for grid, mm in zip((rows, columns), spacing_mm, strict=True)]
    mixed: np.ndarray = np.where(sum(squares) % 2 == 0, one, other)
    return mixed
