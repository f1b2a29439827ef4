"""MOCOnet as the thesis prints it (appendix A.1), for seven frames of 384 x 384 pixels.

torch is needed, so import this module inside functions. Where the printed shapes contradict each other or leave a
choice open, this is the reading:

- The third max pooling, "4 x 4 with stride 4/3" from 64 to 48, is adaptive pooling to three quarters of the size.
- The second transposed convolution, "4 x 4 with stride 3" from 48 to 64, is one of stride 4 followed by averaging over
  3 x 3, which together make 4/3.
- The warping layers move the decoder's features, but there are seven displacements and 16 to 128 channels: channel c
  moves with frame c mod 7. The displacement is predicted from the features before they move.
- The concatenated map of the last decoder block is printed with 64 channels; 32 of the decoder and 16 of the encoder
  make 48. Its refined output, 14 channels, is what is added to the displacement last. The first block, printed without
  a concatenation, has one as the others do.
- Displacements add up from scale to scale ("refined"), in input pixels. The printed loss weights 0.08 to 0.005 belong
  to the scales from coarse to fine, as in FlowNet, from which such losses come. The four scales are the decoder's: 48,
  64, 192 and 384.
- As in the training data (thesis, 2.2.5), the mean over the frames is taken out.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from CMRLib.networks.warp import warp
from CMRT1MappingLib.motion.moconet import pooled, roughness, without_mean

FRAMES, SIZE = 7, 384
LOSS_WEIGHTS = (0.08, 0.02, 0.01, 0.005)  # coarse to fine
SMOOTHNESS = 0.1
SLOPE = 0.1


def _three_layers(inputs: int, outputs: int) -> nn.Sequential:
    """Three 3 x 3 convolutions, then batch normalisation and a leaky ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1),
        nn.Conv2d(outputs, outputs, 3, padding=1),
        nn.Conv2d(outputs, outputs, 3, padding=1),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(SLOPE, inplace=True),
    )


class DecoderBlock(nn.Module):
    """Upsampling, displacement, warped features beside the encoder's, refinement."""

    def __init__(self, inputs: int, outputs: int, skipped: int, up: nn.Module) -> None:
        super().__init__()
        self.up = up
        self.displacement = nn.Conv2d(inputs, 2 * FRAMES, 3, padding=1)
        self.refine = nn.Conv2d(inputs + skipped, outputs, 3, padding=1)

    def forward(self, features: Tensor, skipped: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """Refined features, and the displacement (set, frame, 2, row, column) in input pixels.

        Args:
            features: of the previous decoder block.
            skipped: of the encoder at this scale, before its pooling.
            before: displacement of the previous scale, input pixels.
        """
        features = self.up(features)
        rest = self.displacement(features).float().unflatten(1, (FRAMES, 2))
        coarse = functional.interpolate(
            before.flatten(0, 1), size=features.shape[-2:], mode="bilinear", align_corners=False
        )
        displacement = without_mean(coarse.unflatten(0, before.shape[:2]) + rest)
        cells = displacement * (features.shape[-1] / SIZE)
        moved = _moved(features, cells)
        return self.refine(torch.cat([moved, skipped], dim=1)), displacement


def _moved(features: Tensor, displacement: Tensor) -> Tensor:
    """Features (set, channel, row, column), channel c warped with frame c mod 7, displacement in their cells."""
    moved = torch.empty_like(features)
    for frame in range(FRAMES):
        channels = slice(frame, None, FRAMES)
        moved[:, channels] = warp(features[:, channels], displacement[:, frame]).to(features.dtype)
    return moved


class PaperMoconet(nn.Module):
    """Input (set, 7, 384, 384); output the displacement (set, 7, 2, 384, 384), pixels, and those of the four scales."""

    def __init__(self) -> None:
        super().__init__()
        widths = (FRAMES, 16, 32, 64, 128)
        self.encoder = nn.ModuleList(_three_layers(a, b) for a, b in zip(widths, widths[1:], strict=False))
        self.pools = nn.ModuleList([nn.MaxPool2d(2), nn.MaxPool2d(3), nn.AdaptiveMaxPool2d(SIZE // 8), nn.MaxPool2d(2)])
        self.bottleneck = _three_layers(128, 256)
        self.decoder = nn.ModuleList(
            [
                DecoderBlock(128, 128, 128, nn.ConvTranspose2d(256, 128, 2, stride=2)),
                DecoderBlock(128, 64, 64, nn.Sequential(nn.ConvTranspose2d(128, 128, 4, stride=4), nn.AvgPool2d(3))),
                DecoderBlock(64, 32, 32, nn.ConvTranspose2d(64, 64, 3, stride=3)),
                DecoderBlock(32, 2 * FRAMES, 16, nn.ConvTranspose2d(32, 32, 2, stride=2)),
            ]
        )

    def forward(self, images: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        x = images
        skipped = []
        for block, pool in zip(self.encoder, self.pools, strict=True):
            x = block(x)
            skipped.append(x)
            x = pool(x)
        x = self.bottleneck(x)
        displacement = images.new_zeros(len(images), FRAMES, 2, *x.shape[-2:], dtype=torch.float32)
        scales = []
        for block in self.decoder:
            x, displacement = block(x, skipped.pop(), displacement)
            scales.append(displacement)
        scales[-1] = displacement = without_mean(displacement + x.float().unflatten(1, (FRAMES, 2)))
        return displacement, tuple(scales)


def paper_loss(scales: tuple[Tensor, ...], displacement: Tensor) -> Tensor:
    """The printed loss: weighted mean squared error of four scales, and smoothness of the finest.

    Args:
        scales: displacements (set, frame, 2, row, column), coarse to fine, input pixels.
        displacement: truth at the input's size, input pixels.
    """
    loss = SMOOTHNESS * roughness(scales[-1])
    for weight, scale in zip(LOSS_WEIGHTS, scales, strict=True):
        if displacement.shape[-1] % scale.shape[-1]:
            raise ValueError("The truth's size must be a multiple of every scale's.")
        truth = pooled(displacement, displacement.shape[-1] // scale.shape[-1])
        loss = loss + weight * (scale - truth).square().sum(dim=2).mean()
    return loss
