"""The estimated motion of an acquisition made better on its own images.

Aligned images of one slice at different inversion times have few principal components (Huizinga et al., Med Image Anal
2016; 29:65-78). So each image can be predicted from the others, with its own contrast but without its own motion, and
be registered to that prediction, as Xue et al. (Magn Reson Med 2012; 67:1644-1655) do with images synthesised from the
fit; `CMRT1MappingLib.motion.targets` has both predictions.

The registration is that of Lucas and Kanade (IJCAI 1981), but for the whole surroundings of the heart at once: of all
changes of the displacement it takes the likeliest, if the network's errors are smooth random fields and the images have
noise (`CMRT1MappingLib.motion.smooth_change`). Where the phase is known the images are compared with their sign: next
to the null the magnitude has a kink that says more of the sign than of the motion.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from CMRT1MappingLib.motion.estimation import WORKING_SPACING_MM

if TYPE_CHECKING:
    from torch import Tensor

    # From aligned images (frame, row, column) and the weight of each pixel to a prediction of every image.
    Prediction = Callable[[Tensor, Tensor], Tensor]

ITERATIONS = 5
SEAM = 3  # working pixels around the heart that are compared too, since its border shows its motion best
EDGE = 12  # pixels around the heart over which the change fades out
# Noise of neighbouring pixels is not independent, and the prediction is not perfect: by how much more a difference from
# it is to be expected than its median says. Chosen on tuning sets, as what follows: 0.37 px of severe motion are left
# with 1.5 and 3, 0.41 px with 6; of none 0.24, 0.21 and 0.19 px.
NOISE_FACTOR = 3.0
OUTLIER = 3.0  # of those standard deviations; what does not fit at all is no motion
LEAST_DETERMINANT = 0.2  # of the Jacobian, which is 0 at a fold


def refine_motion(
    images: np.ndarray,
    displacement: np.ndarray,
    heart: np.ndarray,
    spacing_mm: tuple[float, float],
    phase: np.ndarray | None = None,
    *,
    reference: int = -1,
    iterations: int = ITERATIONS,
    prediction: Prediction | None = None,
) -> np.ndarray:
    """Refine a displacement in and around the heart.

    Args:
        images: magnitude (frame, row, column), any unit.
        displacement: float32 (frame, 2, row, column), (row, column) shift in pixels, zero mean over the frames, as of
            `CMRT1MappingLib.motion.estimation.MotionEstimate`.
        heart: bool (row, column), where the images are compared.
        spacing_mm: distance of rows and of columns.
        phase: radians, of the images' shape, or None.
        reference: with phase, the frame whose signal is positive everywhere, that of the longest inversion time.
        iterations: how often images are predicted and registered.
        prediction: see `CMRT1MappingLib.motion.targets`; by default from the components of the other images.

    Returns:
        Displacement as given; unchanged far from the heart and where there is none. It folds nowhere where the given
        one does not.
    """
    if not heart.any():
        return displacement
    import torch
    from torch.nn import functional

    from CMRLib.networks.warp import resize_displacement, warp
    from CMRT1MappingLib.motion.smooth_change import SmoothChange
    from CMRT1MappingLib.motion.targets import predicted_by_components

    predicted = prediction or predicted_by_components
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
        fade = _faded((inside > 0.5).float())
        stack = small(images)
        unit = stack.mean()
        if phase is not None:
            stack = torch.cat([small(images * np.cos(phase)), small(images * np.sin(phase))], dim=1)
        stack = stack / unit
        corner = torch.tensor([rows.start, columns.start])[:, None, None]
        here = given[:, :, rows, columns]
        change = torch.zeros_like(here)
        smooth = SmoothChange(len(images), (inside.shape[0], inside.shape[1]))
        for _ in range(iterations):
            aligned = warp(stack, here + change + corner)
            aligned = aligned[:, 0] if phase is None else _signed(aligned, reference)
            change = smooth.towards(*_products(aligned, predicted(aligned, inside), inside)) * fade
            change = change * _unfolded(here, change)
        return _with_change(displacement, change, (rows, columns), size)


def _signed(parts: Tensor, reference: int) -> Tensor:
    """Real and imaginary parts (frame, 2, row, column) along the phase of each pixel, (frame, row, column).

    All frames have a pixel's phase or its opposite, so it is that of the sum of their squares, up to its sign; the
    reference frame is positive.
    """
    import torch

    signal = torch.complex(parts[:, 0], parts[:, 1])
    angle = 0.5 * signal.square().sum(dim=0).angle()
    along = (signal * torch.polar(torch.ones_like(angle), -angle)).real
    return torch.where(along[reference] < 0, -along, along)


def _products(aligned: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """What the difference of images from their targets says of the displacement, for every pixel.

    Returns:
        (frame, 3, row, column), the information about (row, row), (row, column) and (column, column) in 1 / pixel²,
        and (frame, 2, row, column), that information times the displacement that would explain the difference.
    """
    import torch

    by_row, by_column = torch.gradient(0.5 * (aligned + target), dim=(1, 2))
    rest = target - aligned
    noise = NOISE_FACTOR * 1.4826 * rest[:, weight > 0.5].abs().median(dim=1).values.clamp_min(1e-6)[:, None, None]
    share = weight / (1.0 + (rest / (OUTLIER * noise)).square()) / noise.square()
    information = torch.stack([by_row * by_row, by_row * by_column, by_column * by_column], dim=1)
    pull = torch.stack([by_row * rest, by_column * rest], dim=1)
    return information * share[:, None], pull * share[:, None]


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


def _faded(inside: Tensor) -> Tensor:
    """A mask (row, column) blurred, so that it is nearly 0 `EDGE` pixels from it."""
    from CMRT1MappingLib.motion.smooth_change import gaussian

    rows, columns = (gaussian(size, EDGE / 4.0) for size in inside.shape)
    for blur in (rows, columns):
        blur[blur < gaussian(2 * EDGE, EDGE / 4.0)[0, EDGE - SEAM]] = 0.0
    return (rows / rows.sum(dim=1, keepdim=True)) @ inside @ (columns / columns.sum(dim=1, keepdim=True)).T


def _unfolded(displacement: Tensor, change: Tensor) -> float:
    """How much of a change all frames can take without coming near a fold."""
    from CMRLib.networks.warp import jacobian_determinant

    least = jacobian_determinant(displacement).amin(dim=(1, 2)).clamp_max(LEAST_DETERMINANT)
    for tried in (1.0, 0.5, 0.25):
        if bool((jacobian_determinant(displacement + tried * change).amin(dim=(1, 2)) >= least).all()):
            return tried
    return 0.0
