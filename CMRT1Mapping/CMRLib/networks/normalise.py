"""Bringing the intensities of images to one scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

QUANTILES, LIMIT = (0.01, 0.98), 2.0
SAMPLES = 6_000


def quantile_normalise(images: Tensor, quantiles: tuple[float, float] = QUANTILES, limit: float = LIMIT) -> Tensor:
    """Each magnitude image between two of its own quantiles: the low one becomes 0, the high one 1, linearly.

    This is the quantile (percentile) normalisation of MOCOnet's images; which quantiles were used is not reported, and
    these are nominal. Zeros are padding: they are left out of the quantiles and stay 0. What lies below the low
    quantile becomes 0, and what lies above ``limit`` becomes that, so that a few bright pixels do no harm. An
    image's units do not matter. The quantiles of images with more than some 12 000 pixels are those of a regular
    selection of rows and columns.

    Args:
        images: (n, row, column), not negative, any floating-point type; on any device.
        quantiles: the low and the high one.
        limit: the largest value of the result.

    Returns:
        (n, row, column), 0 to ``limit``, of the images' type; an image of one value or of zeros becomes 0.
    """
    import torch

    step = max(1, int((images[0].numel() / SAMPLES) ** 0.5)) if len(images) else 1
    chosen = images[:, ::step, ::step].flatten(1).contiguous()
    padding = (chosen == 0).sum(1).tolist()
    count = chosen.shape[1]
    bounds = []
    for values, zeros in zip(chosen, padding, strict=True):
        # Magnitudes in rising order begin with the padding.
        ranks = [min(zeros + 1 + int(q * (count - zeros - 1)), count) if zeros < count else 1 for q in quantiles]
        bounds.append([values.kthvalue(rank).values for rank in ranks])
    if not bounds:
        return images.clone()
    lower, upper = (torch.stack(values)[:, None, None] for values in zip(*bounds, strict=True))
    span = upper - lower
    scaled = ((images - lower) / torch.where(span > 0, span, torch.ones_like(span))).clamp(0, limit)
    return torch.where((images == 0) | (span <= 0), torch.zeros_like(scaled), scaled)


def part_equalised(images: Tensor, share: float) -> Tensor:
    """Images with a part of their histogram's equalisation mixed in, so that what is alike in brightness stands apart.

    A few very bright regions, such as the noise of a T1 map's lungs, otherwise leave tissues nearly one grey.

    Args:
        images: (n, row, column), 0 to 1; zeros are padding, which stays 0 and does not count.
        share: of the equalised image in the result, 0 to 1.

    Returns:
        (n, row, column), 0 to 1.
    """
    import torch

    flat = images.flatten(1).contiguous()
    padding = (flat == 0).sum(1, keepdim=True)
    below = torch.searchsorted(flat.sort(dim=1).values, flat) - padding
    rank = below / (flat.shape[1] - padding).clamp_min(1)
    mixed = (share * rank + (1.0 - share) * flat).view_as(images)
    return torch.where(images == 0, torch.zeros_like(images), mixed)


def rescaled(image: np.ndarray) -> np.ndarray:
    """Bring an image's non-zero pixels to 1/255 to 1, cut at their percentiles 0.5 and 99.9; 0 stays 0.

    A few hot pixels, as T1 maps have, would otherwise rule the standardisation that follows.

    Args:
        image: (row, column).

    Returns:
        float32 (row, column); all 0 where the image is uniform.
    """
    inside = image != 0
    result = np.zeros(image.shape, dtype=np.float32)
    if inside.any():
        low, high = np.percentile(image[inside], [0.5, 99.9])
        if high > low:
            result[inside] = np.clip(1.0 + 254.0 * (image[inside] - low) / (high - low), 1.0, 255.0) / 255.0
    return result
