"""The compact networks that ship: U-Nets of depth 1 to 6 for a crop around the heart, and one that finds the heart.

They stand behind a space-to-depth stem: four pixels of the image become channels of one cell, and the answer's channels
become four pixels again. What was skipped is added rather than appended. torch is imported by whoever imports this
module: import it inside functions.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

CLASS_COUNT = 3  # background, myocardium, blood pool
DEPTHS = (1, 2, 3, 4, 5, 6)
STEM = 2  # pixels of a cell's side
WIDTHS = (32, 64, 96, 96, 96, 96, 96)  # channels per level, finest first
FINDER_DEPTH = 5
# Share of histogram equalisation in what the finder sees: post-contrast T1 maps with noisy lungs need it.
FINDER_EQUALISED = 0.5
# Rows and columns of the view of the whole image in which the heart is found, and of the crop around it.
WHOLE_SIZE = 96
CROP_SIZE = 96
# Half axes, in pixels of the crop, of the left ventricle with its wall, which the crop makes as high as wide.
CROP_RADIUS_PX = 21.0


def _layer(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


class CompactUNet(nn.Module):
    """A U-Net with ``depth`` poolings; see the module's text.

    The input is (image, 1, row, column), 0 to 1, with even sides; the output is (image, class, row, column), logits.
    """

    def __init__(self, depth: int, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        widths = widths[: depth + 1]
        steps = list(zip(widths, widths[1:], strict=False))
        first = nn.Sequential(*_layer(STEM**2, widths[0]), *_layer(widths[0], widths[0]))
        self.down = nn.ModuleList([first, *(nn.Sequential(*_layer(a, b), *_layer(b, b)) for a, b in steps)])
        self.narrow = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in reversed(steps))
        self.up = nn.ModuleList(nn.Sequential(*_layer(a, a)) for a, _ in reversed(steps))
        self.head = nn.Conv2d(widths[0], CLASS_COUNT * STEM**2, 1)

    def forward(self, image: Tensor) -> Tensor:
        x = functional.pixel_unshuffle(image, STEM)
        skipped = []
        for level, block in enumerate(self.down):
            x = block(functional.max_pool2d(x, 2, ceil_mode=True) if level else x)
            skipped.append(x)
        skipped.pop()
        for narrow, block in zip(self.narrow, self.up, strict=True):
            finer = skipped.pop()
            x = block(functional.interpolate(narrow(x), size=finer.shape[2:], mode="nearest") + finer)
        return functional.pixel_shuffle(self.head(x).float(), STEM)


def compact_ensemble(depths: tuple[int, ...] = DEPTHS) -> nn.ModuleList:
    """The U-Nets of the ensemble, shallowest first."""
    return nn.ModuleList(CompactUNet(depth) for depth in depths)


def finder() -> CompactUNet:
    """The network that finds the heart in the whole image."""
    return CompactUNet(FINDER_DEPTH)


def segmentation_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy plus one minus the mean Dice of myocardium and blood pool.

    Args:
        logits: (image, class, row, column).
        target: (image, class, row, column), share of each class in each pixel.

    Returns:
        Mean over the batch; the Dice is that of the whole batch's pixels, so that images without a heart count.
    """
    entropy = -(target * logits.log_softmax(dim=1)).sum(dim=1).mean()
    share, truth = logits.softmax(dim=1)[:, 1:], target[:, 1:]
    overlap = (share * truth).sum(dim=(0, 2, 3))
    dice = 2.0 * overlap / (share.square().sum(dim=(0, 2, 3)) + truth.square().sum(dim=(0, 2, 3))).clamp_min(1e-6)
    return entropy + 1.0 - dice.mean()
