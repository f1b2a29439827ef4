"""How well motion was corrected, where the true motion is known.

Methods differ in the grid they bring the frames to: pairwise methods choose the first frame, groupwise ones a mean. So
nothing is compared with one displacement. The anatomy that the corrected frame i shows in pixel x is

    a_i(x) = y + moved_i(y),    y = x + displacement_i(x),

and a perfect correction, in whatever grid, shows the same anatomy in every frame: a_i(x) = m(x), the mean of a_i(x)
over the frames. Errors are distances from that mean, and the truth in pixel x is that of the anatomy at m(x).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from CMRT1MappingLib.fit.reconstruction import T1Maps

if TYPE_CHECKING:
    from torch import Tensor

INSIDE = 0.5  # share of a pixel above which it is myocardium
WELL_INSIDE = 0.9  # share above which its T1 is that of the myocardium alone
CONTOUR_STEP = 0.25  # pixels between the points at which contours are drawn
CONTOUR_MARGIN = 3  # pixels around the myocardium


@dataclass(frozen=True)
class MotionErrors:
    """What is left after the correction of one set of images.

    Attributes:
        displacement_px, displacement_p95_px, displacement_max_px: distance of the anatomy from its mean over the
            frames, over frames and myocardial pixels: mean, 95th percentile and maximum.
        t1_error_ms: mean absolute difference from the true T1, pixels well inside the myocardium.
        t1_bias_ms: mean difference there.
        r2: mean R² there.
        dice, hd95_mm: of the myocardium that each frame shows and of that at the mean position, mean over the frames.
        folded: share of all pixels, frames together, where the displacement folds.
    """

    displacement_px: float
    displacement_p95_px: float
    displacement_max_px: float
    t1_error_ms: float
    t1_bias_ms: float
    r2: float
    dice: float
    hd95_mm: float
    folded: float


def measure_motion(
    displacement: np.ndarray,
    maps: T1Maps,
    moved: np.ndarray,
    myocardium: np.ndarray,
    t1: np.ndarray,
    spacing_mm: Sequence[float],
) -> MotionErrors:
    """Measure a correction.

    Args:
        displacement: (frame, 2, row, column) pixels, from the method's grid into each frame.
        maps: T1 maps of the corrected frames.
        moved: (frame, 2, row, column) pixels, from each frame to the anatomy it shows.
        myocardium: (row, column) share of each pixel, on the anatomy's grid.
        t1: (row, column) ms, true T1 on the anatomy's grid.
        spacing_mm: of rows and of columns.
    """
    import torch

    from CMRLib.networks.warp import folded_share

    seen = anatomy_seen(displacement, moved)
    mean = seen.mean(axis=0)
    distance = distances(seen, sample(myocardium, mean) > INSIDE)
    heart = (sample(myocardium, mean) > WELL_INSIDE) & (maps.samples > 0)
    error = maps.t1[heart].astype(float) - sample(t1, mean)[heart]
    dice, hd95 = contour_agreement(seen, myocardium, spacing_mm)
    return MotionErrors(
        displacement_px=float(distance.mean()),
        displacement_p95_px=float(np.percentile(distance, 95.0)),
        displacement_max_px=float(distance.max()),
        t1_error_ms=float(np.abs(error).mean()),
        t1_bias_ms=float(error.mean()),
        r2=float(maps.r2[heart].mean(dtype=float)),
        dice=dice,
        hd95_mm=hd95,
        folded=folded_share(torch.as_tensor(displacement)),
    )


def anatomy_seen(displacement: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Where the anatomy is that each corrected frame shows: a_i(x) - x, (frame, 2, row, column) pixels."""
    import torch

    from CMRLib.networks.warp import compose

    return compose(torch.as_tensor(displacement), torch.as_tensor(moved)).numpy()


def distances(seen: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """|a_i(x) - m(x)| in pixels, (frame, pixel), of the pixels x of a mask (row, column)."""
    away = (seen - seen.mean(axis=0))[:, :, mask]
    return np.hypot(away[:, 0], away[:, 1])


def sample(image: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """An image (row, column) at x + offset(x), offset (2, row, column) in pixels; linear, edges repeated."""
    import torch

    from CMRLib.networks.warp import warp

    tensor = torch.as_tensor(np.asarray(image, dtype=np.float32))
    return warp(tensor[None, None], torch.as_tensor(offset)[None])[0, 0].numpy()


def contour_agreement(seen: np.ndarray, myocardium: np.ndarray, spacing_mm: Sequence[float]) -> tuple[float, float]:
    """Dice and 95th percentile of the Hausdorff distance (mm) of the myocardium at a_i and at m, mean over the frames.

    The contours are those of the share 0.5, drawn on a grid four times finer than the images. The Hausdorff distance is
    the larger of the two directions' 95th percentiles.
    """
    import torch

    from CMRLib.networks.warp import warp

    offsets = torch.as_tensor(np.concatenate([seen, seen.mean(axis=0, keepdims=True)]))
    share = torch.as_tensor(np.asarray(myocardium, dtype=np.float32))[None, None]
    to_fine = _fine_grid(sample(myocardium, offsets[-1].numpy()) > 0)
    count = len(offsets)
    shift = warp(offsets, to_fine.expand(count, -1, -1, -1))
    masks = (warp(share.expand(count, -1, -1, -1), to_fine + shift)[:, 0] > INSIDE).numpy()
    step = CONTOUR_STEP * np.asarray(spacing_mm, dtype=float)
    consensus = masks[-1]
    scores = [(_dice(mask, consensus), _hd95(mask, consensus, step)) for mask in masks[:-1]]
    dice, hd95 = np.mean(scores, axis=0)
    return float(dice), float(hd95)


def _fine_grid(region: np.ndarray) -> Tensor:
    """Displacement (1, 2, row, column) that samples the surroundings of a region at CONTOUR_STEP."""
    import torch

    ranges = []
    for axis in (1, 0):
        found = np.nonzero(region.any(axis=axis))[0]
        low, high = max(0, found[0] - CONTOUR_MARGIN), min(region.shape[1 - axis] - 1, found[-1] + CONTOUR_MARGIN)
        ranges.append(torch.arange(float(low), float(high), CONTOUR_STEP))
    positions = torch.stack(torch.meshgrid(*ranges, indexing="ij"))
    counted = torch.stack(torch.meshgrid(*(torch.arange(float(len(r))) for r in ranges), indexing="ij"))
    return (positions - counted)[None]


def _dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2.0 * (a & b).sum() / (a.sum() + b.sum()))


def _hd95(a: np.ndarray, b: np.ndarray, step_mm: np.ndarray) -> float:
    from scipy.spatial import KDTree

    points = [_edge(mask) * step_mm for mask in (a, b)]
    there, back = (KDTree(q).query(p)[0] for p, q in (points, points[::-1]))
    return float(max(np.percentile(there, 95.0), np.percentile(back, 95.0)))


def _edge(mask: np.ndarray) -> np.ndarray:
    """(row, column) of the points of a mask that have a neighbour outside it."""
    from scipy.ndimage import binary_erosion

    return np.argwhere(mask & ~binary_erosion(mask))
