"""The likeliest smooth change of a displacement, given what noisy images say of it pixel by pixel.

torch is imported by whoever imports this module: import it inside functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

# Standard deviation and correlation length of what a network's displacements are wrong by, pixels of the working grid:
# a part that is common to the heart and a part that is not. Chosen on tuning sets; lengths of 4 to 9 alone leave more.
SCALES = ((1.0, 30.0), (0.3, 8.0))
CELL = 2  # pixels, of the coarser grid that is solved on
STEPS = 10  # of conjugate gradients, which then change the displacement by less than a hundredth of a pixel


class SmoothChange:
    """The change of a displacement on a part of the image.

    It is sought as the sum of white noise on control points blurred by Gaussians, one for each of `SCALES`. The
    change that maximises the posterior probability minimises |noise|² + the squared differences of the images, which is
    a linear problem in each step of Gauss and Newton, well conditioned in the noise.
    """

    def __init__(self, frames: int, shape: tuple[int, int]) -> None:
        """A change of nothing.

        Args:
            frames: number of images.
            shape: rows and columns, both even.
        """
        # In double precision: conjugate gradients in single precision differ by hundredths of a pixel with the unit.
        self._blurs = []
        for deviation, length in SCALES:
            rows, columns = (_from_control_points(n // CELL, length / CELL).double() for n in shape)
            self._blurs.append((deviation * rows, columns))
        self._frames = frames
        self._noise = self._spread(torch.zeros(frames, 2, *(n // CELL for n in shape), dtype=torch.float64))

    def towards(self, information: Tensor, pull: Tensor) -> Tensor:
        """One more step of Gauss and Newton.

        Args:
            information: (frame, 3, row, column), see `CMRT1MappingLib.motion.refinement`, of the images as the present
                change aligns them.
            pull: (frame, 2, row, column), that times the displacement that is left.

        Returns:
            The change so far, (frame, 2, row, column) in pixels, zero mean over the frames.
        """
        area = CELL * CELL
        rr, rc, cc = (area * functional.avg_pool2d(information.double(), CELL)).unbind(dim=1)
        wanted = self._spread(area * functional.avg_pool2d(pull.double(), CELL)) - self._noise

        def apply(noise: Tensor) -> Tensor:
            row, column = self._blurred(noise).unbind(dim=1)
            return noise + self._spread(torch.stack([rr * row + rc * column, rc * row + cc * column], dim=1))

        self._noise = self._noise + _solved(apply, wanted)
        change = self._blurred(self._noise)
        change = (change - change.mean(dim=0)).float()
        return functional.interpolate(change, scale_factor=CELL, mode="bilinear", align_corners=False)

    def _blurred(self, noise: Tensor) -> Tensor:
        """The field (frame, 2, row, column) of noise (frame, number) on the control points of all scales."""
        shapes = [(2, rows.shape[1], columns.shape[1]) for rows, columns in self._blurs]
        parts = noise.split([math.prod(shape) for shape in shapes], dim=1)
        return torch.stack(
            [
                rows @ part.reshape(self._frames, *shape) @ columns.T
                for part, shape, (rows, columns) in zip(parts, shapes, self._blurs, strict=True)
            ]
        ).sum(dim=0)

    def _spread(self, field: Tensor) -> Tensor:
        """The transpose of `_blurred`."""
        return torch.cat([(rows.T @ field @ columns).flatten(1) for rows, columns in self._blurs], dim=1)


def _solved(apply: Callable[[Tensor], Tensor], wanted: Tensor) -> Tensor:
    """Conjugate gradients for each frame, (frame, number)."""
    x, rest, direction = torch.zeros_like(wanted), wanted, wanted
    length = rest.square().sum(dim=1, keepdim=True)
    for _ in range(STEPS):
        applied = apply(direction)
        step = length / (direction * applied).sum(dim=1, keepdim=True).clamp_min(1e-20)
        x = x + step * direction
        rest = rest - step * applied
        before, length = length, rest.square().sum(dim=1, keepdim=True)
        direction = rest + (length / before.clamp_min(1e-20)) * direction
    return x


def gaussian(size: int, sigma: float) -> Tensor:
    """A Gaussian as a matrix (pixel, pixel), 1 on its diagonal."""
    index = torch.arange(size, dtype=torch.float32)
    return torch.exp(-0.5 * ((index[:, None] - index) / sigma) ** 2)


def _from_control_points(size: int, length: float) -> Tensor:
    """The matrix (pixel, control point) that turns white noise into a field of variance 1 and this correlation length.

    Its rows are Gaussians narrower than the correlation by the square root of 2, whose products are it; control points
    lie half of their standard deviation apart or closer.
    """
    step = max(1, int(length / (2.0 * math.sqrt(2.0))))
    points = torch.arange(-2 * step, size + 2 * step, step, dtype=torch.float32)
    root = torch.exp(-(((torch.arange(size)[:, None] - points) / length) ** 2))
    return root / root.norm(dim=1, keepdim=True)
