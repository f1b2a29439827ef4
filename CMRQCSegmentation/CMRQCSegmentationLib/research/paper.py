"""The thesis's U-Nets, layer by layer (appendix A.3): whole images of 256 x 256 pixels, depth 1 to 6.

torch is needed, so import this module inside functions.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from CMRQCSegmentationLib.networks import CLASS_COUNT

SIZE = 256
# Training as printed: Adam with betas 0.9 and 0.999 and epsilon 1e-8, at most 300 epochs, early stopping after 20.
LEARNING_RATE, BATCH = 0.001, 16


def _filters(level: int) -> int:
    """Filters of level i: 2 ** (4 + i)."""
    return int(2 ** (4 + level))


def _dropout(level: int) -> float:
    """Dropout rate of level i."""
    return 0.2 * (1.0 + 0.25 * (level - 1))


def _block(inputs: int, level: int) -> nn.Sequential:
    """Two 3 x 3 convolutions with ReLU, then dropout."""
    filters = _filters(level)
    return nn.Sequential(
        nn.Conv2d(inputs, filters, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(filters, filters, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Dropout(_dropout(level)),
    )


class PaperUNet(nn.Module):
    """A U-Net with ``depth`` levels of encoder and decoder around a bottom level.

    What the appendix leaves open: the bottom is one more such block, of level depth + 1, without pooling.
    The input is (image, 1, 256, 256), 0 to 1; the output is (image, class, 256, 256), logits, of which the softmax is
    the printed output.
    """

    def __init__(self, depth: int) -> None:
        super().__init__()
        levels = range(1, depth + 1)
        self.encoder = nn.ModuleList(_block(1 if i == 1 else _filters(i - 1), i) for i in levels)
        self.pool = nn.MaxPool2d(2)
        self.bottom = _block(_filters(depth), depth + 1)
        self.upward = nn.ModuleList(nn.ConvTranspose2d(_filters(i + 1), _filters(i), 2, stride=2) for i in levels)
        self.decoder = nn.ModuleList(_block(2 * _filters(i), i) for i in levels)
        self.output = nn.Conv2d(_filters(1), CLASS_COUNT, 1)

    def forward(self, image: Tensor) -> Tensor:
        x, skipped = image, []
        for block in self.encoder:
            x = block(x)
            skipped.append(x)
            x = self.pool(x)
        x = self.bottom(x)
        for upward, block in zip(reversed(self.upward), reversed(self.decoder), strict=True):
            x = block(torch.cat([upward(x), skipped.pop()], dim=1))
        return self.output(x).float()


def paper_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Categorical cross-entropy over the pixels (A.3).

    Args:
        logits: (image, class, row, column).
        target: (image, class, row, column), share of each class in each pixel.
    """
    return -(target * logits.log_softmax(dim=1)).sum(dim=1).mean()
