"""Where the left ventricle is and how large, in one slice and through a stack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from CMRQCSegmentationLib.candidates import HEART_MAP
from CMRQCSegmentationLib.views import View

FEWEST_PX = 8  # of the heart in a view
# The apex is small; a crop never shows less than this share of the stack's median size as the heart's.
SMALLEST_SHARE = 0.6
FARTHEST = 1.6  # median half axes from the stack's middle, beyond which a place is not believed
WIDEST = 2.2  # ratio of the half axes


@dataclass(frozen=True)
class Place:
    """A left ventricle with its wall, as an ellipse along rows and columns.

    Images that were resized to a square show it as one; a crop makes it round again.

    Attributes:
        center_mm: float64 (2,), (row, column) in source pixels times their spacing.
        radii_mm: float64 (2,), half axes along rows and columns.
    """

    center_mm: np.ndarray
    radii_mm: np.ndarray

    @property
    def size_mm(self) -> float:
        """Radius of a disk of the same area."""
        return float(np.sqrt(self.radii_mm.prod()))


def extent_of(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Centre and half axes along rows and columns, (2,) each, of a mask in pixels; None where it is nearly empty.

    The half axes of a filled ellipse are twice the standard deviations of its pixels; the area fixes their size, and a
    ratio beyond `WIDEST` is cut there.
    """
    pixels = np.argwhere(mask)
    if len(pixels) < FEWEST_PX:
        return None
    spread = np.maximum(pixels.std(axis=0), 0.3)
    ratio = np.sqrt(np.clip(spread[0] / spread[1], 1.0 / WIDEST, WIDEST))
    return pixels.mean(axis=0), np.sqrt(len(pixels) / np.pi) * np.array([ratio, 1.0 / ratio])


def place_in(maps: np.ndarray, view: View, spacing: tuple[float, float]) -> Place | None:
    """The place of the heart in a view, or None without one.

    Args:
        maps: float32 (2, row, column), see `CMRQCSegmentationLib.candidates`.
        view: of the maps.
        spacing: (row, column) of the source in mm.
    """
    belief = maps[HEART_MAP]
    regions, count = ndimage.label(belief > 0.5)
    if not count:
        return None
    mass = ndimage.sum_labels(belief, regions, np.arange(1, count + 1))
    extent = extent_of(regions == 1 + int(np.argmax(mass)))
    if extent is None:
        return None
    center, radii = extent
    return Place(view.to_source(center) * np.array(spacing), radii * view.scale * np.array(spacing))


def places_of_stack(places: Sequence[Place | None]) -> list[Place | None]:
    """The places of a stack's slices, made to agree: a heart that jumps is where its neighbours are.

    Slices without a place take that of the nearest slice that has one, so that the ensemble is asked there too. All
    slices are as distorted as each other, so the ratio of the half axes is the median one. Of fewer than three places
    none is doubted.
    """
    known = [i for i, place in enumerate(places) if place is not None]
    if not known:
        return list(places)
    found = [place for place in places if place is not None]
    centers = np.array([place.center_mm for place in found])
    sizes = np.array([place.size_mm for place in found])
    median = float(np.median(sizes))
    ratio = float(np.exp(np.median([np.log(place.radii_mm[0] / place.radii_mm[1]) for place in found])))
    shape = np.array([np.sqrt(ratio), 1.0 / np.sqrt(ratio)])
    believed = dict(zip(known, zip(centers, sizes, strict=True), strict=True))
    if len(known) >= 3:
        away = np.linalg.norm(centers - np.median(centers, axis=0), axis=1)
        far = away > max(4.0 * float(np.median(away)), FARTHEST * median)
        believed = {i: believed[i] for i, jumps in zip(known, far, strict=True) if not jumps}
    result: list[Place | None] = []
    for i in range(len(places)):
        center, size = believed[min(believed, key=lambda j: abs(j - i))]
        result.append(Place(center, max(float(size), SMALLEST_SHARE * median) * shape))
    return result
