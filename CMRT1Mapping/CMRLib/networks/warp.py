"""Displacement fields: warping images with them, composing, inverting and checking them.

A displacement is a float tensor (n, 2, row, column) of shifts in pixels along rows and columns, and is a pull warp:
``warped(x) = image(x + displacement(x))``. torch is imported inside the functions, so that this module loads without
it; every function works on any device and is differentiable.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def indices(shape: Sequence[int], like: Tensor) -> Tensor:
    """Row and column of every pixel, (2, row, column)."""
    import torch

    axes = [torch.arange(n, device=like.device, dtype=like.dtype) for n in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))


def warp(images: Tensor, displacement: Tensor, mode: str = "bilinear", padding: str = "border") -> Tensor:
    """Sample images at x + displacement(x).

    Where the displacement is exactly 0 the values are those of the images, bit for bit; gradients are those of the
    interpolation there too.

    Args:
        images: (n, channel, row, column).
        displacement: (n, 2, row, column) in pixels; its rows and columns are those of the result and may differ from
            the images'.
        mode: "bilinear" or "bicubic", which can overshoot the images' range.
        padding: what lies outside the images: "border" repeats their edge, "zeros" is 0.

    Returns:
        (n, channel, row, column) with the displacement's rows and columns.
    """
    import torch
    from torch.nn import functional

    # grid_sample counts from -1 at the centre of the first pixel to 1 at that of the last, columns first.
    axes = []
    for axis in (1, 0):
        half = max((images.shape[2 + axis] - 1) / 2, 0.5)
        index = torch.arange(displacement.shape[2 + axis], device=images.device, dtype=displacement.dtype)
        start = (index - (images.shape[2 + axis] - 1) / 2) / half
        axes.append(torch.add(start if axis else start[:, None], displacement[:, axis], alpha=1.0 / half))
    sampled = functional.grid_sample(
        images, torch.stack(axes, dim=-1), mode=mode, padding_mode=padding, align_corners=True
    )
    # Going to grid_sample's coordinates and back rounds, so pixels that stay would change in their last digits.
    still = (displacement[:, :1] == 0) & (displacement[:, 1:] == 0)
    if images.shape[2:] != displacement.shape[2:] or not bool(still.any()):
        return sampled
    exact = images.detach() + (sampled - sampled.detach())
    return torch.where(still, exact, sampled)


def compose(first: Tensor, second: Tensor) -> Tensor:
    """One displacement for two in a row: x + result(x) = y + second(y) with y = x + first(x).

    Warping with the result is warping with ``second`` and then with ``first``. Outside its grid ``second`` continues
    with its edge's values.
    """
    return first + warp(second, first)


def invert(displacement: Tensor, iterations: int = 8, points: Tensor | None = None) -> Tensor:
    """The displacement v with y + v(y) + displacement(y + v(y)) = y.

    Newton's method on that equation at every point, with the derivatives of the displacement; it converges where the
    field does not fold. Outside its grid the displacement continues with its edge's values.

    Args:
        displacement: (n, 2, row, column) in pixels.
        iterations: steps; 8 leave less than 0.01 pixels for smooth fields without folds.
        points: (2, row, column) in pixels, where to find v; by default at every pixel.

    Returns:
        (n, 2, row, column) in pixels, with the points' rows and columns.
    """
    import torch

    (rr, rc), (cr, cc) = _derivatives(displacement)
    known = torch.cat([displacement, torch.stack([rr, rc, cr, cc], 1)], 1)
    if points is None:
        points = indices(displacement.shape[2:], displacement)
    from_index = points - indices(points.shape[1:], points)
    inverse = -warp(displacement, from_index.expand(len(displacement), -1, -1, -1))
    for _ in range(iterations):
        here = warp(known, from_index + inverse)
        residual_row, residual_column = (inverse + here[:, :2]).unbind(1)
        a, b, c, d = 1 + here[:, 2], here[:, 3], here[:, 4], 1 + here[:, 5]
        determinant = (a * d - b * c).clamp_min(0.1)
        step = torch.stack([d * residual_row - b * residual_column, a * residual_column - c * residual_row], 1)
        # Where a field folds there is no inverse; the limit keeps the answer near the point then.
        inverse = inverse - (step / determinant[:, None]).clamp(-4.0, 4.0)
    return inverse


def _derivatives(displacement: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """d row/d row, d row/d column and d column/d row, d column/d column, each (n, row, column); central differences."""
    import torch

    by_row, by_column = torch.gradient(displacement, dim=(2, 3))
    return (by_row[:, 0], by_column[:, 0]), (by_row[:, 1], by_column[:, 1])


def jacobian_determinant(displacement: Tensor) -> Tensor:
    """Local change of area of x + displacement(x), (n, row, column): 1 unchanged, 0 or less folded.

    Central differences, one-sided at the edges.
    """
    (rr, rc), (cr, cc) = _derivatives(displacement)
    return (1 + rr) * (1 + cc) - rc * cr


def folded_share(displacement: Tensor, mask: Tensor | None = None) -> float:
    """Share of the pixels, 0 to 1, where the displacement folds (its Jacobian determinant is not positive).

    Args:
        displacement: (n, 2, row, column).
        mask: boolean (row, column) or (n, row, column), where to look; everywhere by default.
    """
    folded = jacobian_determinant(displacement) <= 0
    if mask is not None:
        folded = folded[mask.expand_as(folded)]
    return float(folded.double().mean()) if folded.numel() else 0.0


def resize_displacement(displacement: Tensor, shape: tuple[int, int]) -> Tensor:
    """A displacement on a grid of other rows and columns over the same field of view, its shifts scaled with the grid.

    Bilinear between pixel centres; towards the field of view's edge the outermost values are repeated, as in
    averaging and resampling images. The same shape returns the displacement as it is.
    """
    from torch.nn import functional

    rows, columns = displacement.shape[2:]
    if (rows, columns) == tuple(shape):
        return displacement
    scaled = displacement * displacement.new_tensor([shape[0] / rows, shape[1] / columns])[:, None, None]
    return functional.interpolate(scaled, size=tuple(shape), mode="bilinear", align_corners=False)
