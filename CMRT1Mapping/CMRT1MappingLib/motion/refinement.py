"""The estimated motion of an acquisition made better on its own images.

Aligned images of one slice at different inversion times have few principal components (Huizinga et al., Med Image Anal
2016; 29:65-78). So each image can be predicted from the others, with its own contrast but without its own motion, and
be registered to that prediction, as Xue et al. (Magn Reson Med 2012; 67:1644-1655) do with images synthesised from the
fit. The registration is that of Lucas and Kanade (IJCAI 1981), in a window around each pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from CMRT1MappingLib.motion.estimation import WORKING_SPACING_MM

if TYPE_CHECKING:
    from torch import Tensor

ITERATIONS = 3
OVERSHOOT = 1.5  # of each step: what an image is compared with still holds part of the motion
COMPONENTS = 4
WINDOW = 3.0  # standard deviation, cells of twice the working spacing
SEAM = 3  # working pixels around the heart that are compared too, since its border shows its motion best
EDGE = 12  # pixels around the heart over which the change fades out
DAMPING = 2.0  # noise variances that the squared gradient is held against
LONGEST_STEP = 1.0  # pixels
LEAST_DETERMINANT = 0.2  # of the Jacobian, which is 0 at a fold


def refine_motion(
    images: np.ndarray,
    displacement: np.ndarray,
    heart: np.ndarray,
    spacing_mm: tuple[float, float],
    *,
    iterations: int = ITERATIONS,
) -> np.ndarray:
    """Refine a displacement in and around the heart.

    Args:
        images: magnitude (frame, row, column), any unit.
        displacement: float32 (frame, 2, row, column), (row, column) shift in pixels, zero mean over the frames, as of
            `CMRT1MappingLib.motion.estimation.MotionEstimate`.
        heart: bool (row, column), where the images are compared.
        spacing_mm: distance of rows and of columns.
        iterations: how often images are predicted and registered.

    Returns:
        Displacement as given; unchanged far from the heart and where there is none. It folds nowhere where the given
        one does not.
    """
    if not heart.any():
        return displacement
    import torch
    from torch.nn import functional

    from CMRLib.networks.warp import resize_displacement, warp

    shape = images.shape[1:]
    size = [max(16, round(n * step / WORKING_SPACING_MM)) for n, step in zip(shape, spacing_mm, strict=True)]

    def small(stack: np.ndarray) -> Tensor:
        tensor = torch.as_tensor(np.ascontiguousarray(stack, dtype=np.float32))
        return functional.interpolate(tensor[:, None], size=size, mode="bilinear", antialias=True, align_corners=False)

    with torch.inference_mode():
        given = resize_displacement(torch.as_tensor(displacement), (size[0], size[1]))
        inside = small(heart[None].astype(np.float32))
        for seam in ((SEAM, 0), (0, SEAM)):
            inside = functional.max_pool2d(inside, tuple(2 * n + 1 for n in seam), 1, seam)
        inside = inside[0, 0]
        rows, columns = (_around(inside.amax(dim=axis)) for axis in (1, 0))
        inside = inside[rows, columns]
        fade = _blurred((inside > 0.5).float()[None], EDGE / 4.0)[0]
        stack = small(images)
        stack = stack / stack.mean()
        corner = torch.tensor([rows.start, columns.start])[:, None, None]
        change = torch.zeros_like(given[:, :, rows, columns])
        for _ in range(iterations):
            here = given[:, :, rows, columns] + change
            aligned = warp(stack, here + corner)[:, 0]
            step = _step(aligned, _predicted(aligned, inside), inside) * fade
            step = step - step.mean(dim=0)
            change = change + step * _unfolded(here, step)
        return _with_change(displacement, change, (rows, columns), size)


def _with_change(
    displacement: np.ndarray, change: Tensor, part: tuple[slice, slice], size: Sequence[int]
) -> np.ndarray:
    """A displacement changed in a part of the image, the change given on a grid of ``size`` pixels.

    Args:
        displacement: (frame, 2, row, column).
        change: (frame, 2, row, column) in pixels of that grid, nearly 0 at the part's edges.
        part: rows and columns of that grid.
        size: its rows and columns.
    """
    import torch

    from CMRLib.networks.warp import indices, warp

    spans, places, factors = [], [], []
    for span, n, full in zip(part, size, displacement.shape[2:], strict=True):
        factor = full / n
        place = (torch.arange(full) + 0.5) / factor - 0.5 - span.start  # of the full pixels in the part
        inside = ((place > -0.5) & (place < span.stop - span.start - 0.5)).nonzero()
        spans.append(slice(int(inside[0]), int(inside[-1]) + 1))
        places.append(place[spans[-1]])
        factors.append(factor)
    grid = torch.stack(torch.meshgrid(*places, indexing="ij"))
    shift = (grid - indices(grid.shape[1:], grid)).expand(len(change), -1, -1, -1)
    refined = displacement.copy()
    refined[:, :, spans[0], spans[1]] += warp(change * torch.tensor(factors)[:, None, None], shift).numpy()
    return refined


def _around(profile: Tensor) -> slice:
    """The range in which a profile exceeds a half, an even number of pixels with `EDGE` on either side."""
    found = (profile > 0.5).nonzero()
    first, last = (int(found[0]), int(found[-1])) if len(found) else (0, len(profile) - 1)
    start, stop = max(0, first - EDGE), min(len(profile), last + 1 + EDGE)
    return slice(start, stop - (stop - start) % 2)


def _predicted(aligned: Tensor, weight: Tensor) -> Tensor:
    """Each image (frame, row, column) as a linear combination of the main components of the others."""
    import torch

    samples, weight = aligned.flatten(1), weight.flatten() / weight.sum()
    mean = samples @ weight
    centred = samples - mean[:, None]
    covariance = (weight * centred) @ centred.T
    mixtures = torch.zeros_like(covariance)
    for frame in range(len(aligned)):
        others = [other for other in range(len(aligned)) if other != frame]
        values, vectors = torch.linalg.eigh(covariance[others][:, others])
        main = vectors[:, -COMPONENTS:] / values[-COMPONENTS:].clamp_min(1e-12).sqrt()
        mixtures[frame, others] = main @ (main.T @ covariance[others, frame])
    return (mixtures @ centred + mean[:, None]).reshape(aligned.shape)


def _step(aligned: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Displacement (frame, 2, row, column) that brings each aligned image closer to its target."""
    import torch
    from torch.nn import functional

    by_row, by_column = torch.gradient(0.5 * (aligned + target), dim=(1, 2))
    rest = target - aligned
    noise = 1.4826 * rest[:, weight > 0.5].abs().median()
    weight = weight / (1.0 + (rest / (3.0 * noise)) ** 2)  # what does not fit at all is no motion
    products = [by_row * by_row, by_row * by_column, by_column * by_column, by_row * rest, by_column * rest]
    sums = functional.avg_pool2d(weight * torch.stack(products), 2)
    rr, rc, cc, r, c = _blurred(sums.flatten(0, 1), WINDOW).unflatten(0, (5, len(aligned)))
    rr, cc = rr + DAMPING * noise**2, cc + DAMPING * noise**2
    step = torch.stack([cc * r - rc * c, rr * c - rc * r], dim=1) / (rr * cc - rc * rc)[:, None]
    length = torch.hypot(step[:, :1], step[:, 1:])
    step = step * (OVERSHOOT * LONGEST_STEP / length.clamp_min(LONGEST_STEP))
    return functional.interpolate(step, scale_factor=2, mode="bilinear", align_corners=False)


def _unfolded(displacement: Tensor, step: Tensor) -> Tensor:
    """How much of a step each frame can take without coming near a fold, (frame, 1, 1, 1)."""
    import torch

    from CMRLib.networks.warp import jacobian_determinant

    share = torch.zeros(len(step), 1, 1, 1)
    least = jacobian_determinant(displacement).amin(dim=(1, 2)).clamp_max(LEAST_DETERMINANT)
    for tried in (0.25, 0.5, 1.0):
        good = jacobian_determinant(displacement + tried * step).amin(dim=(1, 2)) >= least
        share[good] = tried
    return share


def _blurred(images: Tensor, sigma: float) -> Tensor:
    """Images (image, row, column) blurred by a Gaussian; what lies outside repeats the edge."""
    rows, columns = (_blur(size, sigma) for size in images.shape[1:])
    return rows @ images @ columns.T


def _blur(size: int, sigma: float) -> Tensor:
    """The Gaussian as a matrix (pixel after, pixel before), which is faster than a convolution of so small images."""
    import torch

    radius = int(np.ceil(3.0 * sigma))
    offset = torch.arange(-radius, radius + 1)
    kernel = torch.exp(-0.5 * (offset / sigma) ** 2)
    source = (torch.arange(size)[:, None] + offset).clamp(0, size - 1)
    return torch.zeros(size, size).scatter_add_(1, source, (kernel / kernel.sum()).expand(size, -1))
