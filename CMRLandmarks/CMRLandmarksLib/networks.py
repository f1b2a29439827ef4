"""The compact networks that ship: one for the upright image, one for a crop along the entry line.

Both are small U-Nets behind a space-to-depth stem. For every landmark they give a heat map over coarse cells and, in
each cell, the offset from the cell's centre; the position is the heat-weighted mean of cell + offset. They also say
which tissue each cell shows, which teaches them what the landmarks follow from and tells where they contradict
themselves, and whether there is a heart at all. torch is imported by whoever imports this module: import it inside
functions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

LANDMARK_COUNT = 3
TISSUE_COUNT = 4  # surroundings, RV cavity, LV myocardium, LV cavity
SPREAD_CELLS = 1.2  # standard deviation of the Gaussians that the heat maps learn
WINDOW = 2  # cells on either side of the peak that share in the position at inference


@dataclass(frozen=True)
class NetworkShape:
    """Layout of a `HeatmapNetwork`.

    Attributes:
        stem: factor of the space-to-depth step.
        strided: whether the first convolution halves the size once more.
        widths: channels per level, finest first.
    """

    stem: int
    strided: bool
    widths: tuple[int, ...]

    @property
    def cell(self) -> int:
        """Input pixels per heat-map cell."""
        return self.stem * (2 if self.strided else 1)


# Stage 1 looks twice: at the whole standard grid, and at the heart, with the entry line this long in pixels.
STAGE1_FACTOR = 2  # standard-grid pixels per pixel of the first look
STAGE1_SIZE = 192
ZOOM_SIZE = 128
ZOOM_LINE_PX = 24.0
# The crop of stage 2: rows and columns, and the length of the entry line in its pixels.
CROP_SIZE = 128
LINE_PX = 36.0

STAGE1 = NetworkShape(stem=2, strided=True, widths=(48, 96, 128, 192))
STAGE2 = NetworkShape(stem=2, strided=False, widths=(32, 64, 128, 192))


def _layer(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


@dataclass(frozen=True)
class HeatmapOutput:
    """What a network says of a batch.

    Attributes:
        heat: (image, landmark, cell row, cell column) logits.
        offsets: (image, landmark, 2, cell row, cell column), (row, column) in cells from the cell's centre.
        tissue: (image, tissue, cell row, cell column) logits, in the order of the labels: surroundings, RV cavity,
            LV myocardium, LV cavity.
        heart: (image,) logit of a heart being there.
    """

    heat: Tensor
    offsets: Tensor
    tissue: Tensor
    heart: Tensor


class HeatmapNetwork(nn.Module):
    """See the module's text; the input is (image, 1, row, column), standardised."""

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.shape = shape
        widths = shape.widths
        first = nn.Sequential(
            *_layer(shape.stem**2, widths[0], 2 if shape.strided else 1), *_layer(widths[0], widths[0])
        )
        steps = list(zip(widths, widths[1:], strict=False))
        self.down = nn.ModuleList([first, *(nn.Sequential(*_layer(a, b), *_layer(b, b)) for a, b in steps)])
        # What was skipped is added rather than appended, which halves the time of training.
        self.narrow = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in reversed(steps))
        self.up = nn.ModuleList(nn.Sequential(*_layer(a, a)) for a, _ in reversed(steps))
        self.head = nn.Conv2d(widths[0], 3 * LANDMARK_COUNT + TISSUE_COUNT, 1)
        self.heart = nn.Linear(2 * widths[-1], 1)

    def forward(self, image: Tensor) -> HeatmapOutput:
        x = functional.pixel_unshuffle(image, self.shape.stem)
        skipped = []
        for level, block in enumerate(self.down):
            x = block(functional.max_pool2d(x, 2) if level else x)
            skipped.append(x)
        skipped.pop()
        heart = self.heart(torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1))[:, 0]
        for narrow, block in zip(self.narrow, self.up, strict=True):
            x = block(functional.interpolate(narrow(x), scale_factor=2, mode="nearest") + skipped.pop())
        maps = self.head(x).float()
        heat, offsets, tissue = maps.split((LANDMARK_COUNT, 2 * LANDMARK_COUNT, TISSUE_COUNT), dim=1)
        return HeatmapOutput(heat, offsets.unflatten(1, (LANDMARK_COUNT, 2)), tissue, heart.float())


def _cells(heat: Tensor) -> Tensor:
    """Positions of the cells, (2, cell row, cell column)."""
    rows, columns = heat.shape[-2:]
    grid = torch.meshgrid(
        torch.arange(rows, device=heat.device, dtype=heat.dtype),
        torch.arange(columns, device=heat.device, dtype=heat.dtype),
        indexing="ij",
    )
    return torch.stack(grid)


def positions(output: HeatmapOutput, cell: int, window: int | None = None) -> Tensor:
    """Landmarks of a batch, (image, landmark, 2): (row, column) in input pixels.

    Args:
        output: of the network.
        cell: input pixels per cell.
        window: cells on either side of the peak that count; None takes the whole map, which is what training needs.
    """
    heat = output.heat
    share = heat.flatten(2).softmax(dim=2).unflatten(2, heat.shape[2:])
    cells = _cells(heat)
    if window is not None:
        peak = heat.flatten(2).argmax(dim=2)
        row, column = peak // heat.shape[3], peak % heat.shape[3]
        near = ((cells[0] - row[..., None, None]).abs() <= window) & (
            (cells[1] - column[..., None, None]).abs() <= window
        )
        share = share * near
        share = share / share.sum(dim=(2, 3), keepdim=True).clamp_min(1e-12)
    place = (share[:, :, None] * (cells + output.offsets)).sum(dim=(3, 4))
    return place * cell + (cell - 1) / 2.0


def doubt(output: HeatmapOutput) -> Tensor:
    """How uncertain each heat map is, (image, landmark, 2): its entropy (nat), and its share away from the peak."""
    heat = output.heat
    logs = heat.flatten(2).log_softmax(dim=2)
    share = logs.exp()
    cells = _cells(heat).flatten(1)
    peak = share.argmax(dim=2)
    away = (cells[:, None, None] - cells[:, peak][..., None]).abs().amax(dim=0) > WINDOW
    return torch.stack([-(share * logs).sum(dim=2), (share * away).sum(dim=2)], dim=2)


def tissue_loss(output: HeatmapOutput, tissue: Tensor, rv_known: Tensor, cell: int) -> Tensor:
    """Cross-entropy of the tissues, over the root of the heart's share so that a small heart counts.

    Args:
        output: of the network.
        tissue: (image, 3, row, column) of the input's size: share of RV cavity, myocardium and LV cavity in each pixel.
        rv_known: (image,), 0 where nobody labelled the RV, which then may be among the surroundings.
        cell: input pixels per cell.
    """
    share = functional.avg_pool2d(tissue, cell)
    logs = output.tissue.log_softmax(dim=1)
    either = torch.logsumexp(logs[:, :2], dim=1)
    around = torch.where(rv_known[:, None, None] > 0, logs[:, 0], either)
    outside = 1.0 - share.sum(dim=1)
    entropy = -(outside * around + (share * logs[:, 1:]).sum(dim=1)).mean()
    return entropy / share.sum(dim=1).mean().clamp_min(0.01).sqrt()


def landmark_loss(
    output: HeatmapOutput, points: Tensor, known: Tensor, present: Tensor, cell: int
) -> tuple[Tensor, dict[str, float]]:
    """Cross-entropy of the heat maps to Gaussians, distance of the positions, cross-entropy of the heart's presence.

    Args:
        output: of the network.
        points: (image, landmark, 2), (row, column) in input pixels.
        known: (image, landmark), 1 where the landmark is known and inside the image.
        present: (image,), 1 where there is a heart.
        cell: input pixels per cell.

    Returns:
        The loss and its terms; the distance is in input pixels.
    """
    heat = output.heat
    center = torch.nan_to_num((points - (cell - 1) / 2.0) / cell)
    squared = (_cells(heat) - center[..., None, None]).square().sum(dim=2)
    target = (-squared / (2.0 * SPREAD_CELLS**2)).flatten(2).softmax(dim=2)
    entropy = -(target * heat.flatten(2).log_softmax(dim=2)).sum(dim=2)
    error = positions(output, cell) - torch.nan_to_num(points)
    distance = (error.square().sum(dim=2) + 0.01).sqrt()
    count = known.sum().clamp_min(1.0)
    heat_term = (entropy * known).sum() / count
    # Beyond a few cells the heat map's own term leads; a landmark on the wrong side must not dominate.
    distance_term = (distance.clamp_max(6.0 * cell) * known).sum() / count
    heart_term = functional.binary_cross_entropy_with_logits(output.heart, present)
    loss = heat_term + 0.5 * distance_term / cell + 0.2 * heart_term
    terms = {"heat": heat_term, "distance_px": distance_term, "heart": heart_term}
    return loss, {name: float(term.detach()) for name, term in terms.items()}
