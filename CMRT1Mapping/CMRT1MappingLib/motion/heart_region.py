"""Where motion is worth its finest scale: the part of the images around the heart that the network finds.

torch is imported by whoever imports this module: import it inside functions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

LEAST_SHARE = 0.5  # of the likeliest place's probability, for another place to count
NEVER = -20.0  # logit


def likely_heart(logits: Tensor) -> Tensor:
    """Logits (set, row, column) of the heart being there, without the places that are less likely than others.

    A place is a connected region with positive logits; it counts if its probabilities add up to at least half of the
    likeliest place's.
    """
    found = logits.clone()
    for image_logits in found:
        places, count = ndimage.label((image_logits > 0.0).cpu().numpy())
        if count > 1:
            weights = ndimage.sum_labels(image_logits.sigmoid().cpu().numpy(), places, range(1, count + 1))
            unlikely = np.isin(places, 1 + np.flatnonzero(weights < LEAST_SHARE * weights.max()))
            image_logits[torch.from_numpy(unlikely).to(image_logits.device)] = NEVER
    return found


def around_heart(logits: Tensor, factor: int, margin: int) -> tuple[slice, slice]:
    """Rows and columns around positive logits (set, row, column), on a grid that is ``factor`` times as fine.

    Args:
        logits: of the heart being there.
        factor: cells of the finer grid per cell.
        margin: cells of the finer grid to add on every side.

    Returns:
        Ranges of the finer grid; all of it where no logit is positive.
    """
    shown = (logits > 0.0).any(dim=0).cpu().numpy()
    spans = ndimage.find_objects(shown.astype(np.uint8))
    rows, columns = spans[0] if spans else (slice(0, size) for size in shown.shape)
    size = [factor * n for n in shown.shape]
    return _widened(rows, factor, margin, size[0]), _widened(columns, factor, margin, size[1])


def _widened(span: slice, factor: int, margin: int, size: int) -> slice:
    return slice(max(0, factor * span.start - margin), min(size, factor * span.stop + margin))


def fade(shape: Sequence[int], part: tuple[slice, slice], margin: int) -> Tensor:
    """Weights (row, column) of a part of an image: nearly 0 at its edges, 1 from ``margin`` pixels on inwards.

    Edges that are also the image's own do not fade.
    """
    ramps = []
    for size, span in zip(shape, part, strict=True):
        index = torch.arange(span.start, span.stop)
        after = index - span.start + 1 if span.start > 0 else torch.full_like(index, margin)
        before = span.stop - index if span.stop < size else torch.full_like(index, margin)
        ramps.append(torch.minimum(after, before).clamp_max(margin) / margin)
    return ramps[0][:, None] * ramps[1]
