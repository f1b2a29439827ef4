"""Resampling batches of images in torch, the same in training and in use.

Positions are (row, column) in pixels. torch is imported by whoever imports this module: import it inside functions.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def sample(image: Tensor, matrix: Tensor, offset: Tensor, size: int, shift: Tensor | None = None) -> Tensor:
    """Bilinear samples at source = matrix @ (target + shift) + offset; 0 outside.

    Args:
        image: (image, channel, row, column).
        matrix: (image, 2, 2) on (row, column).
        offset: (image, 2).
        size: rows and columns of the result.
        shift: (image, 2, size, size) displacement in target pixels, or None.
    """
    axis = torch.arange(size, dtype=image.dtype, device=image.device)
    target = torch.stack(torch.meshgrid(axis, axis, indexing="ij"))[None]
    if shift is not None:
        target = target + shift
    source = torch.einsum("nij,njrc->nirc", matrix, target.expand(len(image), -1, -1, -1)) + offset[:, :, None, None]
    rows, columns = image.shape[2:]
    grid = torch.stack([source[:, 1] * 2.0 / (columns - 1) - 1.0, source[:, 0] * 2.0 / (rows - 1) - 1.0], dim=3)
    return functional.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=True)
