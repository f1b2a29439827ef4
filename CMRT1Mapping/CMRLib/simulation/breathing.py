"""How far each tissue follows the breathing."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from CMRLib.simulation.anatomy import SliceAnatomy

WALL = ("skeletal muscle", "fat", "bone", "marrow", "spinal cord", "cerebrospinal fluid")


def mobility_of(anatomy: SliceAnatomy, spacing_mm: float) -> np.ndarray:
    """How far the tissue in each pixel follows the breathing, float32 (row, column) from 0 to 1, smooth.

    The chest wall and the spine move a third as far as the heart and the organs below the diaphragm.
    """
    wall = anatomy.fractions[[name in WALL for name in anatomy.tissues]].sum(axis=0)
    air = anatomy.fractions[[name == "air" for name in anatomy.tissues]].sum(axis=0)
    near_wall = ndimage.gaussian_filter(np.maximum(wall, air), 12.0 / spacing_mm, mode="nearest")
    return (1.0 - 0.7 * np.clip(1.4 * near_wall, 0.0, 1.0)).astype(np.float32)
