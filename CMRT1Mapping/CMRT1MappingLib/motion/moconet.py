"""The compact MOCOnet that ships: groupwise registration of inversion-recovery images, coarse to fine.

As in MOCOnet (Gonzales et al., Front Cardiovasc Med 2021;8:768245) an encoder gives features at four scales, and at
each scale, coarse to fine, the features are warped by the displacement found so far and what remains is predicted
from them. Two things differ, and make the number and the order of the frames free. The frames share one encoder instead
of being channels of one image, and what a frame is aligned with is the mean of all other frames' warped features; the
match between the two is looked for in a small neighbourhood (a cost volume, as in PWC-Net, Sun et al., CVPR 2018).

torch is imported by whoever imports this module: import it inside functions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from CMRLib.networks.warp import warp
from CMRT1MappingLib.motion.heart_region import around_heart, fade, likely_heart

STEM = 2  # pixels per cell of the finest scale
MARGIN = 8  # cells of the finest scale around the heart


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
        scales: at every scale, coarse to fine, (set, frame, 2, row, column), shift in rows and columns in cells of that
            scale, zero mean over the frames; frame i at x + displacement_i(x) shows what the aligned images show at x.
        heart: (set, row, column) logits of the heart being there, in the aligned images, a quarter of the input's size.
    """

    scales: tuple[Tensor, ...]
    heart: Tensor

    @property
    def displacement(self) -> Tensor:
        """That of the finest scale in input pixels, (set, frame, 2, row, column)."""
        return doubled(self.scales[-1])


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

    def forward(self, features: Tensor, displacement: Tensor, start: tuple[int, int] = (0, 0)) -> tuple[Tensor, Tensor]:
        """What remains, (set, frame, 2, row, column), and the mean of the warped features (set, channel, row, column).

        Args:
            features: (set, frame, channel, row, column).
            displacement: (set, frame, 2, row, column) found so far, cells of this scale; of all cells, or of a part.
            start: row and column of that part's first cell among the features.
        """
        sets, frames = features.shape[:2]
        shift = displacement.flatten(0, 1)
        corner = shift.new_tensor(start)[:, None, None]
        moved = warp(features.flatten(0, 1).float(), shift + corner)
        moved = moved.to(features.dtype, memory_format=torch.channels_last)
        total = moved.unflatten(0, (sets, frames)).sum(dim=1)
        matches = self._matches(moved, total, frames)
        rest = self.head(self.body[1](self._first_layer(matches, moved, total, shift.to(moved.dtype), frames)))
        return rest.float().unflatten(0, (sets, frames)), total / frames

    def _matches(self, moved: Tensor, total: Tensor, frames: int) -> Tensor:
        """Cost volume between each frame's features and the mean of the others'."""
        own = self.match(moved).unflatten(0, (-1, frames))
        everything = functional.conv2d(total, self.match.weight, frames * self.match.bias)
        others = (everything[:, None] - own) / (frames - 1)
        own, template = (_normalised(x.flatten(0, 1).contiguous()) for x in (own, others))
        return cost_volume(template, own, self.radius)

    def _first_layer(self, matches: Tensor, moved: Tensor, total: Tensor, shift: Tensor, frames: int) -> Tensor:
        """The first layer of the body, whose inputs are the matches, a frame's features, the others' mean, the shift.

        The others' mean is the total less the frame itself, and convolution is linear, so the total's share is computed
        once a set.
        """
        convolution, *rest = self.body[0]
        parts = [matches.shape[1], moved.shape[1], moved.shape[1], 2]
        by_match, by_own, by_others, by_shift = convolution.weight.split(parts, dim=1)
        by_others = by_others / (frames - 1)
        weight = torch.cat([by_match, by_own - by_others, by_shift], dim=1)
        inputs = torch.cat([matches, moved, shift], dim=1)
        x = functional.conv2d(inputs, weight, convolution.bias, padding=1).unflatten(0, (-1, frames))
        x = (x + functional.conv2d(total, by_others, padding=1)[:, None]).flatten(0, 1)
        for layer in rest:
            x = layer(x)
        return x


class HeartFinder(nn.Module):
    """Where the heart is, from the means of the warped features of all scales but the finest, coarse to fine."""

    def __init__(self, widths: tuple[int, ...], hidden: int = 24) -> None:
        super().__init__()
        first, *finer = reversed(widths)
        # The coarsest scale looks far around, because what the heart is shows in what surrounds it.
        self.coarsest = nn.Sequential(_layer(first, 2 * hidden), _layer(2 * hidden, hidden))
        self.finer = nn.ModuleList(_layer(hidden + width, hidden) for width in finer)
        self.head = nn.Conv2d(hidden, 1, 3, padding=1)

    def forward(self, means: Sequence[Tensor]) -> Tensor:
        """Logits (set, row, column) at the finest of the scales, of features (set, channel, row, column)."""
        x = self.coarsest(means[0])
        for layer, mean in zip(self.finer, means[1:], strict=True):
            x = layer(torch.cat([functional.interpolate(x, scale_factor=2, mode="nearest"), mean], dim=1))
        return self.head(x)[:, 0].float()


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
        self.heart = HeartFinder(widths[1:])

    def forward(self, images: Tensor, near_heart: bool = False) -> MotionOutput:
        """See `MotionOutput`; ``near_heart`` leaves the finest scale out far from the likeliest place of the heart."""
        finest, second, scales, heart = self.coarse(images)
        displacement = doubled(scales[-1])
        size = displacement.shape[-2:]
        rows, columns = slice(0, size[0]), slice(0, size[1])
        if near_heart:
            heart = likely_heart(heart)
            rows, columns = around_heart(heart, 2, MARGIN)
        part = displacement[..., rows, columns]
        reach = 2 * math.ceil((1.0 + float(part.detach().abs().amax())) / 2.0)
        top, left = max(0, rows.start - reach), max(0, columns.start - reach)
        read = (..., slice(top, rows.stop + reach), slice(left, columns.stop + reach))
        read_second = (..., *(slice(span.start // 2, span.stop // 2) for span in read[1:]))
        seen = self._informed(0, finest[read], second[read_second]).unflatten(0, displacement.shape[:2])
        rest, _ = self.estimators[0](seen, part, (rows.start - top, columns.start - left))
        rest = rest * fade(size, (rows, columns), MARGIN).to(rest)
        margins = (columns.start, size[1] - columns.stop, rows.start, size[0] - rows.stop)
        displacement = without_mean(displacement + functional.pad(rest, margins))
        return MotionOutput((*scales, displacement), heart)

    def coarse(self, images: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...], Tensor]:
        """What is found without the finest scale.

        Returns:
            Features (image, channel, row, column) of the finest scale, which have not learnt from the next one yet, and
            of that next one; ``scales`` up to it and ``heart`` as in `MotionOutput`.
        """
        sets, frames = images.shape[:2]
        x = functional.pixel_unshuffle(images.flatten(0, 1)[:, None], STEM).to(self.heart.head.weight.dtype)
        features = []
        for block in self.encoder:
            x = block(x)
            features.append(x)
        for level in reversed(range(1, len(self.context))):
            features[level] = self._informed(level, features[level], features[level + 1])
        displacement = images.new_zeros(sets, frames, 2, *features[-1].shape[-2:], dtype=torch.float32)
        scales: list[Tensor] = []
        means: list[Tensor] = []
        for level in reversed(range(1, len(self.estimators))):
            displacement = doubled(displacement) if scales else displacement
            rest, mean = self.estimators[level](features[level].unflatten(0, (sets, frames)), displacement)
            displacement = without_mean(displacement + rest)
            scales.append(displacement)
            means.append(mean)
        return features[0], features[1], tuple(scales), self.heart(means)

    def _informed(self, level: int, features: Tensor, coarse: Tensor) -> Tensor:
        """Features with what they are part of, as those of the next scale know."""
        return features + functional.interpolate(self.context[level](coarse), scale_factor=2, mode="nearest")


def _normalised(features: Tensor) -> Tensor:
    """Features (image, channel, row, column) of length 1."""
    return features * features.square().sum(dim=1, keepdim=True).clamp_min(1e-12).rsqrt()


def without_mean(displacement: Tensor) -> Tensor:
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
    finest = output.displacement
    for number, scale in enumerate((*output.scales, finest)):
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
    smooth = roughness(finest - displacement)
    mask = heart_loss(output.heart, heart)
    terms |= {"smooth": float(smooth.detach()), "mask": float(mask.detach())}
    return loss + 0.5 * smooth + 0.2 * mask, terms


def heart_loss(logits: Tensor, heart: Tensor) -> Tensor:
    """Cross-entropy of `MotionOutput.heart` with the heart (set, row, column) in input pixels."""
    return functional.binary_cross_entropy_with_logits(logits, heart_share(heart, logits))


def heart_share(heart: Tensor, logits: Tensor) -> Tensor:
    """Share of the heart (set, row, column), in input pixels, in each cell of `MotionOutput.heart`."""
    return functional.avg_pool2d(heart[:, None], heart.shape[-1] // logits.shape[-1])[:, 0]


def pooled(displacement: Tensor, factor: int) -> Tensor:
    """A displacement's means over blocks of ``factor`` pixels, still in input pixels."""
    if factor == 1:
        return displacement
    return functional.avg_pool2d(displacement.flatten(0, 1), factor).unflatten(0, displacement.shape[:2])


def roughness(displacement: Tensor) -> Tensor:
    """Mean squared difference of a displacement (..., row, column) between neighbours, rows plus columns."""
    return displacement.diff(dim=-1).square().mean() + displacement.diff(dim=-2).square().mean()
