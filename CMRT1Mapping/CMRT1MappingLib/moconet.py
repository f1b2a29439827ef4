"""The compact MOCOnet that ships: groupwise registration of inversion-recovery images, coarse to fine.

As in MOCOnet (Gonzales et al., Front Cardiovasc Med 2021;8:768245) an encoder gives features at four scales, and at
each scale, coarse to fine, the features are warped by the displacement found so far and what remains is predicted
from them. Two things differ, and make the number and the order of the frames free. The frames share one encoder instead
of being channels of one image, and what a frame is aligned with is the mean of all other frames' warped features; the
match between the two is looked for in a small neighbourhood (a cost volume, as in PWC-Net, Sun et al., CVPR 2018).

torch is imported by whoever imports this module: import it inside functions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from CMRLib.warp import warp

STEM = 2  # pixels per cell of the finest scale


@dataclass(frozen=True)
class MoconetShape:
    """Layout of a `Moconet`; every tuple goes from the finest scale to the coarsest.

    Attributes:
        widths: channels of the encoder.
        hidden: channels of the estimator of what remains to be moved.
        radii: cells to either side in which a match is looked for.
        matching: channels that are compared.
    """

    widths: tuple[int, ...] = (24, 32, 48, 64)
    hidden: tuple[int, ...] = (32, 48, 64, 64)
    radii: tuple[int, ...] = (1, 2, 2, 2)
    matching: int = 16

    @property
    def multiple(self) -> int:
        """Rows and columns must be multiples of this."""
        return STEM * 2 ** (len(self.widths) - 1)


COMPACT = MoconetShape()


@dataclass(frozen=True)
class MotionOutput:
    """What the network says of sets of images.

    Attributes:
        displacement: (set, frame, 2, row, column), (row, column) in input pixels, zero mean over the frames;
            frame i at x + displacement_i(x) shows what the aligned images show at x.
        scales: the same at every scale, coarse to fine, in cells of that scale.
        heart: (set, row, column) logits of the heart being there, in the aligned images, a quarter of the input's size.
    """

    displacement: Tensor
    scales: tuple[Tensor, ...]
    heart: Tensor


def _layer(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(0.1, inplace=True),
    )


class Estimator(nn.Module):
    """What remains to be moved at one scale, in its cells."""

    def __init__(self, width: int, hidden: int, radius: int, matching: int) -> None:
        super().__init__()
        self.radius = radius
        self.match = nn.Conv2d(width, matching, 1)
        inputs = 2 * width + (2 * radius + 1) ** 2 + 2
        self.body = nn.Sequential(_layer(inputs, hidden), _layer(hidden, hidden))
        self.head = nn.Conv2d(hidden, 2, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, features: Tensor, displacement: Tensor) -> tuple[Tensor, Tensor]:
        """The next displacement (set, frame, 2, row, column) and the mean of the warped features (set, channel, ...).

        Args:
            features: (set, frame, channel, row, column).
            displacement: (set, frame, 2, row, column) found so far, cells of this scale.
        """
        sets, frames = features.shape[:2]
        moved = warp(features.flatten(0, 1), displacement.flatten(0, 1))
        group = moved.unflatten(0, (sets, frames))
        total = group.sum(dim=1, keepdim=True)
        others = ((total - group) / (frames - 1)).flatten(0, 1)
        own, template = (_normalised(self.match(x)) for x in (moved, others))
        inputs = torch.cat([cost_volume(template, own, self.radius), moved, others, displacement.flatten(0, 1)], dim=1)
        rest = self.head(self.body(inputs)).float().unflatten(0, (sets, frames))
        return centred(displacement + rest), total[:, 0] / frames


class Moconet(nn.Module):
    """See the module's text; the input is (set, frame, row, column), from 0 to 1."""

    def __init__(self, shape: MoconetShape = COMPACT) -> None:
        super().__init__()
        self.shape = shape
        widths = shape.widths
        self.encoder = nn.ModuleList(
            nn.Sequential(_layer(a, b, 2 if level else 1), _layer(b, b))
            for level, (a, b) in enumerate(zip((STEM**2, *widths), widths, strict=False))
        )
        self.context = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in zip(widths, widths[1:], strict=False))
        self.estimators = nn.ModuleList(
            Estimator(width, hidden, radius, shape.matching)
            for width, hidden, radius in zip(widths, shape.hidden, shape.radii, strict=True)
        )
        self.heart = nn.Sequential(_layer(widths[1], widths[1]), nn.Conv2d(widths[1], 1, 3, padding=1))

    def forward(self, images: Tensor) -> MotionOutput:
        sets, frames = images.shape[:2]
        x = functional.pixel_unshuffle(images.flatten(0, 1)[:, None], STEM)
        features = []
        for block in self.encoder:
            x = block(x)
            features.append(x)
        # Fine features learn from coarse ones what they are part of.
        for level in reversed(range(len(self.context))):
            coarse = functional.interpolate(self.context[level](features[level + 1]), scale_factor=2, mode="nearest")
            features[level] = features[level] + coarse
        displacement = images.new_zeros(sets, frames, 2, *features[-1].shape[-2:], dtype=torch.float32)
        scales: list[Tensor] = []
        heart = images.new_zeros(0)
        for level in reversed(range(len(self.estimators))):
            if scales:
                displacement = doubled(displacement)
            displacement, mean = self.estimators[level](features[level].unflatten(0, (sets, frames)), displacement)
            scales.append(displacement)
            if level == 1:
                heart = self.heart(mean)[:, 0].float()
        return MotionOutput(doubled(displacement), tuple(scales), heart)


def _normalised(features: Tensor) -> Tensor:
    """Features (image, channel, row, column) of length 1, in the precision that they came in."""
    return functional.normalize(features, dim=1).to(features.dtype)


def centred(displacement: Tensor) -> Tensor:
    """A displacement (set, frame, ...) without its mean over the frames."""
    return displacement - displacement.mean(dim=1, keepdim=True)


def doubled(displacement: Tensor) -> Tensor:
    """A displacement (set, frame, 2, row, column) on twice as many rows and columns, in their pixels."""
    sets = len(displacement)
    finer = functional.interpolate(displacement.flatten(0, 1), scale_factor=2, mode="bilinear", align_corners=False)
    return 2.0 * finer.unflatten(0, (sets, -1))


def cost_volume(template: Tensor, features: Tensor, radius: int) -> Tensor:
    """How well ``features`` at x + d match the template at x, for all whole d up to ``radius`` in rows and columns.

    Args:
        template, features: (image, channel, row, column).

    Returns:
        (image, (2 radius + 1)², row, column), sums over the channels of the products.
    """
    rows, columns = features.shape[-2:]
    padded = functional.pad(features, (radius,) * 4)
    span = range(2 * radius + 1)
    matches = [(template * padded[..., r : r + rows, c : c + columns]).sum(dim=1) for r in span for c in span]
    return torch.stack(matches, dim=1)


def motion_loss(
    output: MotionOutput, displacement: Tensor, heart: Tensor, body: Tensor
) -> tuple[Tensor, dict[str, float]]:
    """Distance of the displacements at every scale, weighted towards the heart, their smoothness, and the heart's mask.

    The thesis's squared error (appendix A.1) is replaced by the distance itself, which a few far-off frames do not
    rule; the scales' weights rise towards the finest, in input pixels.

    Args:
        output: of the network.
        displacement: truth (set, frame, 2, row, column), input pixels.
        heart, body: (set, row, column) from 0 to 1; the heart counts most, air hardly.

    Returns:
        The loss and its terms; ``heart_px`` is the mean distance in the heart, input pixels.
    """
    weight = 0.03 + 0.5 * body + 2.0 * heart
    loss = displacement.new_zeros(())
    terms = {}
    for number, scale in enumerate((*output.scales, output.displacement)):
        factor = displacement.shape[-1] // scale.shape[-1]
        truth = pooled(displacement, factor)
        importance = functional.avg_pool2d(weight[:, None], factor) if factor > 1 else weight[:, None]
        distance = ((factor * scale - truth).square().sum(dim=2) + 1e-3).sqrt()
        term = (distance * importance).sum() / (importance.sum() * distance.shape[1])
        loss = loss + term * 0.5 ** (len(output.scales) - number)
        if factor == 1:
            inside = heart[:, None] > 0.5
            terms["heart_px"] = float(
                (distance.detach() * inside).sum() / (inside.sum() * distance.shape[1]).clamp_min(1)
            )
    smooth = roughness(output.displacement - displacement)
    seen = functional.avg_pool2d(heart[:, None], 4)[:, 0]
    mask = functional.binary_cross_entropy_with_logits(output.heart, seen)
    terms |= {"smooth": float(smooth.detach()), "mask": float(mask.detach())}
    return loss + 0.5 * smooth + 0.2 * mask, terms


def pooled(displacement: Tensor, factor: int) -> Tensor:
    """A displacement's means over blocks of ``factor`` pixels, still in input pixels."""
    if factor == 1:
        return displacement
    return functional.avg_pool2d(displacement.flatten(0, 1), factor).unflatten(0, displacement.shape[:2])


def roughness(displacement: Tensor) -> Tensor:
    """Mean squared difference of a displacement (..., row, column) between neighbours, rows plus columns."""
    return displacement.diff(dim=-1).square().mean() + displacement.diff(dim=-2).square().mean()
