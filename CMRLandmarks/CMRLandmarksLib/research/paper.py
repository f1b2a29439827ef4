"""The network as the thesis prints it (appendix A.4): ResNet50V2 that regresses four coordinates.

torch is needed, so import this module inside functions. Where the print leaves a choice open:

- Blocks are pre-activated (batch normalisation and ReLU before each convolution), which is what the V2 in its name
  means (He et al., ECCV 2016); the stride of a stack is in its last block, as in Keras's ResNet50V2, which the thesis
  names.
- Four outputs are two landmarks, LV centre and anterior insertion, as (x, y) from 0 to 1 of the input's side.
- The pre-trained ImageNet weights are not shipped, so that training starts from random ones.

It was trained with Adam (learning rate 1e-4, moments 0.9 and 0.999, epsilon 1e-8) on batches of 8 for 1000 epochs, with
inputs of 384 pixels in the first stage and 128 in the second.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# (channels of the bottleneck, blocks) of the four residual stacks.
STACKS = ((64, 3), (128, 4), (256, 6), (512, 3))
DROPOUT = 0.35


class Bottleneck(nn.Module):
    """Pre-activated residual block: 1 x 1, 3 x 3 (with the stride) and 1 x 1 convolution to four times the channels."""

    def __init__(self, inputs: int, channels: int, stride: int, project: bool) -> None:
        super().__init__()
        outputs = 4 * channels
        self.before = nn.BatchNorm2d(inputs)
        self.project = nn.Conv2d(inputs, outputs, 1, stride=stride) if project else None
        self.stride = stride
        self.body = nn.Sequential(
            nn.Conv2d(inputs, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, outputs, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        active = functional.relu(self.before(x))
        if self.project is not None:
            shortcut = self.project(active)
        else:
            shortcut = functional.max_pool2d(x, 1, self.stride) if self.stride > 1 else x
        return shortcut + self.body(active)


class PaperNetwork(nn.Module):
    """Input (image, 1, row, column), standardised; output (image, 4): x and y of the LV centre and of the insertion."""

    def __init__(self) -> None:
        super().__init__()
        self.to_color = nn.Conv2d(1, 3, 3, padding=1)
        self.stem = nn.Sequential(
            nn.Conv2d(3, 64, 7, stride=2, padding=3),
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        blocks: list[nn.Module] = []
        width = 64
        for number, (channels, count) in enumerate(STACKS):
            for i in range(count):
                last = i == count - 1 and number < len(STACKS) - 1
                blocks.append(Bottleneck(width, channels, 2 if last else 1, project=i == 0))
                width = 4 * channels
        self.stacks = nn.Sequential(*blocks, nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        self.head = nn.Sequential(
            nn.Linear(width, 1000), nn.ReLU(inplace=True), nn.Dropout(DROPOUT), nn.Linear(1000, 4), nn.Sigmoid()
        )

    def forward(self, image: Tensor) -> Tensor:
        features = self.stacks(self.stem(functional.relu(self.to_color(image))))
        return self.head(features.mean(dim=(2, 3)))


def normalised(points: Tensor, size: int) -> Tensor:
    """Targets, (image, 4), of LV centre and anterior insertion (image, 2, 2), (row, column) in pixels."""
    return (points.flip(2) / size).flatten(1)


def positions(output: Tensor, size: int) -> Tensor:
    """(image, 2, 2), (row, column) in pixels, of the network's output; the inverse of `normalised`."""
    return output.unflatten(1, (2, 2)).flip(2) * size


def paper_loss(output: Tensor, points: Tensor, known: Tensor, size: int) -> Tensor:
    """Mean squared error of the four normalised coordinates; unknown landmarks (image, 2) do not count.

    With both landmarks known in every image this is the printed formula.
    """
    target = normalised(torch.nan_to_num(points), size)
    weight = known.repeat_interleave(2, dim=1)
    return ((output - target).square() * weight).sum() / weight.sum().clamp_min(1.0)
