"""Resampling and standardising batches in torch, the same in training and in use.

Positions are (row, column) in pixels. Batches are float32 tensors (image, channel, row, column). torch is imported by
whoever imports this module: import it inside functions.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from CMRLib.networks.sampling import sample

__all__ = ["centroids", "points_in_target", "sample", "standardised"]


def points_in_target(points: Tensor, matrix: Tensor, offset: Tensor, shift: Tensor | None = None) -> Tensor:
    """Where source ``points`` (image, landmark, 2) lie in the target of `CMRLib.networks.sampling.sample`."""
    place = torch.linalg.solve(matrix[:, None], (points - offset[:, None])[..., None])[..., 0]
    if shift is None:
        return place
    size = shift.shape[-1]
    target = place
    for _ in range(4):  # a contraction, since the displacement varies slowly
        grid = torch.nan_to_num(target.flip(2))[:, :, None] * 2.0 / (size - 1) - 1.0
        here = functional.grid_sample(shift, grid, mode="bilinear", padding_mode="border", align_corners=True)
        target = place - here[..., 0].transpose(1, 2)
    return target


def centroids(mask: Tensor) -> Tensor:
    """Centres of mass (image, 2) of masks (image, row, column), (row, column) in pixels; NaN where a mask is empty."""
    axes = [torch.arange(n, dtype=mask.dtype, device=mask.device) for n in mask.shape[1:]]
    rows, columns = (mask.sum(dim=2 - i) @ axes[i] for i in range(2))
    return torch.stack([rows, columns], dim=1) / mask.sum(dim=(1, 2))[:, None]


def standardised(image: Tensor) -> Tensor:
    """Subtract the mean and divide by the standard deviation of each image's non-zero pixels, which alone are changed.

    Args:
        image: (image, 1, row, column).

    Returns:
        The same shape, clipped to +-5.
    """
    inside = (image != 0).float()
    count = inside.sum(dim=(1, 2, 3), keepdim=True).clamp_min(1.0)
    mean = (image * inside).sum(dim=(1, 2, 3), keepdim=True) / count
    sd = (((image - mean) * inside).square().sum(dim=(1, 2, 3), keepdim=True) / count).sqrt()
    return (((image - mean) / sd.clamp_min(1e-6)).clamp(-5.0, 5.0)) * inside
