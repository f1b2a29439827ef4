"""The Swin U-Net as the thesis prints it (appendix A.2), for two maps of 192 x 192 pixels.

torch is needed, so import this module inside functions. Where the print leaves a choice open, this is the reading:

- The two maps are stacked, so that a patch of 4 x 4 has 32 values; the print speaks of a single channel and 16.
- Four levels of two blocks: 128, 256, 512 and 1024 channels, and a decoder that mirrors the first three.
- Windows of 7 do not fit 48, 24, 12 and 6 patches; tokens are padded to a multiple of 7 and padding is not seen.
- Positional embeddings are learnt, one for each patch, and there are no relative positions besides.
- After the last level, patches expand by 4 to full resolution, and the 3 x 3 convolution gives the displacement, in
  pixels, without an integration.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from CMRStressReactivityLib.networks import PATCH, SwinShape, SwinUnet, small_head
from CMRStressReactivityLib.registration import SIZE

PAPER = SwinShape(widths=(128, 256, 512, 1024), heads=(4, 8, 8, 8), inner=4, dropout=0.1, relative=False)


class PaperSwinRegistration(nn.Module):
    """Input (pair, 2, 192, 192), rest and stress; output the displacement (pair, 2, 192, 192) in pixels."""

    def __init__(self, shape: SwinShape = PAPER) -> None:
        super().__init__()
        width = shape.widths[0]
        self.embed = nn.Linear(2 * PATCH * PATCH, width)
        self.position = nn.Parameter(torch.zeros(1, SIZE // PATCH, SIZE // PATCH, width))
        nn.init.trunc_normal_(self.position, std=0.02)
        self.levels = SwinUnet(shape)
        self.expand = nn.Linear(width, PATCH * PATCH * width // 4, bias=False)
        self.head = small_head(width // 4, 1e-5)

    def forward(self, maps: Tensor) -> Tensor:
        tokens = functional.pixel_unshuffle(maps, PATCH).permute(0, 2, 3, 1)
        x = self.expand(self.levels(self.embed(tokens) + self.position))
        return self.head(functional.pixel_shuffle(x.permute(0, 3, 1, 2), PATCH)).float()
