"""Where the pixels of a native T1 map lie in a post-contrast one, and values of a map between its pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from CMRLib.anatomy.axis import is_placed
from CMRLib.errors import InputError
from CMRLib.geometry import Geometry

# How far apart along their normal, and how much turned, planes may be, as for rest and stress maps.
SURE_MM, FARTHEST_MM = 4.0, 12.0
LARGEST_DEGREES = 30.0
_LEAST_SHARE = 0.999  # of a value that comes from pixels that have one


@dataclass(frozen=True)
class Placement:
    """Where native pixels lie in the post-contrast map: (row, column) there = matrix @ (row, column) + offset.

    Attributes:
        matrix: (2, 2).
        offset: (2,).
        apart_mm: distance of the planes along the native plane's normal; 0 where the images do not say.
        doubt: why the two may not show the same slice, one sentence; "" where they do.
    """

    matrix: np.ndarray
    offset: np.ndarray
    apart_mm: float = 0.0
    doubt: str = ""

    def places(self, shape: tuple[int, int], displacement: np.ndarray | None = None) -> np.ndarray:
        """Where every native pixel, displaced, lies in the post-contrast map, (2, row, column).

        Args:
            shape: rows and columns of the native map.
            displacement: (2, row, column), (row, column) shift in native pixels.
        """
        pixels = np.indices(shape, dtype=np.float64)
        if displacement is not None:
            pixels = pixels + displacement
        places: np.ndarray = np.tensordot(self.matrix, pixels, axes=1) + self.offset[:, None, None]
        # Going to the patient and back rounds; a pixel that stays keeps its value.
        whole = np.rint(places)
        return np.where(np.abs(places - whole) < 1e-4, whole, places)


def place_slices(
    native: Geometry, native_shape: tuple[int, int], post: Geometry, post_shape: tuple[int, int]
) -> Placement:
    """Lay a post-contrast slice on a native one, projected along its normal.

    Where the images do not say where they lie, their middles are laid upon each other.

    Args:
        native, post: of single slices.
        native_shape, post_shape: rows and columns.

    Raises:
        InputError: the planes are too far apart or turned against each other to show the same.
    """
    if not (is_placed(native) and is_placed(post)):
        matrix = np.diag(np.divide(native.spacing[1::-1], post.spacing[1::-1]))
        middles = [(np.asarray(shape, dtype=float) - 1.0) / 2.0 for shape in (native_shape, post_shape)]
        return Placement(matrix, middles[1] - matrix @ middles[0])
    cosine = abs(float(native.matrix[:, 2] @ post.matrix[:, 2]))
    turned = float(np.degrees(np.arccos(min(cosine, 1.0))))
    to_post = np.linalg.inv(post.ijk_to_lps()) @ native.ijk_to_lps()
    middle = [(native_shape[1] - 1) / 2.0, (native_shape[0] - 1) / 2.0, 0.0, 1.0]
    apart = abs(float((to_post @ middle)[2])) * post.spacing[2]
    if apart > FARTHEST_MM or turned > LARGEST_DEGREES:
        raise InputError(
            f"The post-contrast slice lies {apart:.0f} mm from the native one and is turned by {turned:.0f} degrees, "
            "so they do not show the same; choose the maps of one slice."
        )
    doubt = ""
    if apart > SURE_MM:
        doubt = f"The post-contrast slice lies {apart:.0f} mm from the native one; check that both show the same level."
    # Indices of images are (column, row, slice), places here (row, column).
    return Placement(to_post[1::-1, 1::-1], to_post[1::-1, 3], apart, doubt)


def sampled(image: np.ndarray, places: np.ndarray) -> np.ndarray:
    """A map at places between its pixels, bilinear.

    Args:
        image: (row, column); 0, negative or not finite where there is no value.
        places: (2, row, column), in pixels of the image.

    Returns:
        float32 (row, column); 0 outside the image and where a value would be mixed with none.
    """
    known = np.isfinite(image) & (np.nan_to_num(image) > 0)
    values = ndimage.map_coordinates(np.where(known, image, 0.0).astype(np.float64), places, order=1, cval=0.0)
    share = ndimage.map_coordinates(known.astype(np.float64), places, order=1, cval=0.0)
    return np.where(share > _LEAST_SHARE, values, 0.0).astype(np.float32)
