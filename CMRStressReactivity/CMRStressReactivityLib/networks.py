"""Networks that register a stress T1 map to its rest map: a U-Net of shifted windows, and a convolutional one.

Both see the two maps stacked, as VoxelMorph does (Balakrishnan et al., IEEE Trans Med Imaging 2019;38:1788), and give a
stationary velocity on blocks of `PATCH` x `PATCH` pixels, whose integral is the displacement (Dalca et al., Med Image
Anal 2019;57:226). A velocity that is smooth over some blocks makes a displacement that does not fold.

`SwinRegistration` is the thesis's network (appendix A.2: patches of 4 x 4, windows of 7 with shift 3, four levels of
two blocks, mirrored decoder with skips; Swin U-Net, Cao et al. 2021, arXiv:2105.05537) made cheap enough for a CPU:
fewer channels and heads, half the width of the layers inside a block, relative positions in place of a table of
absolute ones (Liu et al. 2021, arXiv:2103.14030), convolutions in place of attention on the finest level, where
attention takes most of the time and what is near matters most, and no expansion to full resolution after it.

torch is imported by whoever imports this module: import it inside functions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from CMRLib.networks.warp import compose

PATCH = 4
WINDOW, SHIFT = 7, 3
INTEGRATION_STEPS = 5


@dataclass(frozen=True)
class SwinShape:
    """Layout of the network of shifted windows, from the finest level to the coarsest.

    Attributes:
        widths: channels.
        heads: of the attention; 0 for a level of convolutions.
        depth: blocks of a level, in the encoder and in the decoder.
        inner: channels inside a block's feedforward part, times its width.
        dropout: after each layer of that part.
        relative: whether attention depends on where tokens are to each other.
    """

    widths: tuple[int, ...] = (32, 64, 96, 128)
    heads: tuple[int, ...] = (0, 4, 4, 8)
    depth: int = 2
    inner: int = 2
    dropout: float = 0.0
    relative: bool = True


COMPACT = SwinShape()


def windows(x: Tensor, shift: int) -> Tensor:
    """Tokens (image, row, column, channel), sizes multiples of WINDOW, as (window, token, channel)."""
    if shift:
        x = x.roll((-shift, -shift), dims=(1, 2))
    n, rows, columns, channels = x.shape
    x = x.view(n, rows // WINDOW, WINDOW, columns // WINDOW, WINDOW, channels)
    return x.transpose(2, 3).reshape(-1, WINDOW * WINDOW, channels)


def unwindowed(x: Tensor, shape: tuple[int, int], shift: int) -> Tensor:
    """The inverse of `windows`, to these rows and columns."""
    rows, columns = shape
    channels = x.shape[-1]
    x = x.view(-1, rows // WINDOW, columns // WINDOW, WINDOW, WINDOW, channels)
    x = x.transpose(2, 3).reshape(-1, rows, columns, channels)
    return x.roll((shift, shift), dims=(1, 2)) if shift else x


def window_mask(shape: tuple[int, int], inside: tuple[int, int], shift: int) -> Tensor:
    """Which tokens of a window may see which, (window of an image, token, token), 0 or a large negative number.

    Args:
        shape: rows and columns of tokens with padding.
        inside: without it.
        shift: of the windows; those that wrap around hold tokens of opposite edges, which must not see each other.
    """
    wrapped, padded = torch.zeros(1, *shape, 1), torch.zeros(1, *shape, 1)
    if shift:
        # After the shift, the last rows and columns are those of the opposite edge.
        wrapped[:, -shift:] += 1.0
        wrapped[:, :, -shift:] += 2.0
    padded[:, inside[0] :] = 4.0
    padded[:, :, inside[1] :] = 4.0
    regions = (windows(wrapped, 0) + windows(padded, shift))[..., 0]
    return torch.where(regions[:, :, None] == regions[:, None], 0.0, -100.0)


class WindowBlock(nn.Module):
    """Attention within windows and a feedforward part, both after a layer norm and added to what comes in."""

    def __init__(self, width: int, heads: int, shift: int, shape: SwinShape) -> None:
        super().__init__()
        inner = shape.inner * width
        self.heads, self.shift = heads, shift
        self.before = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.between = nn.LayerNorm(width)
        drop = nn.Dropout(shape.dropout) if shape.dropout else nn.Identity()
        self.feedforward = nn.Sequential(nn.Linear(width, inner), nn.GELU(), drop, nn.Linear(inner, width), drop)
        self.bias = nn.Parameter(torch.zeros(heads, (2 * WINDOW - 1) ** 2), requires_grad=shape.relative)
        axis = torch.arange(WINDOW)
        place = torch.stack(torch.meshgrid(axis, axis, indexing="ij")).flatten(1)
        apart = place[:, :, None] - place[:, None] + WINDOW - 1
        self.register_buffer("apart", apart[0] * (2 * WINDOW - 1) + apart[1], persistent=False)
        self._masks: dict[tuple[int, ...], Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (image, row, column, channel) of any number."""
        n, rows, columns, width = x.shape
        padding = [-size % WINDOW for size in (columns, rows)]
        y = functional.pad(self.before(x), (0, 0, 0, padding[0], 0, padding[1]))
        shape = (y.shape[1], y.shape[2])
        shift = self.shift if min(shape) > WINDOW else 0
        parts = self.qkv(windows(y, shift)).view(-1, WINDOW**2, 3, self.heads, width // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        # Faster than scaled_dot_product_attention for windows and heads as small as these.
        seen = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
        seen = seen.unflatten(0, (n, -1)) + self._mask(shape, (rows, columns), shift).to(seen)
        y = self.out((seen.softmax(dim=-1).flatten(0, 1).to(v) @ v).transpose(1, 2).flatten(2))
        x = x + unwindowed(y, shape, shift)[:, :rows, :columns]
        return x + self.feedforward(self.between(x))

    def _mask(self, shape: tuple[int, int], inside: tuple[int, int], shift: int) -> Tensor:
        """Bias by relative position plus what may not be seen, (window, head, token, token)."""
        key = (*shape, *inside, shift)
        if key not in self._masks:
            self._masks[key] = window_mask(shape, inside, shift)
        bias = self.bias[:, self.apart]
        return bias[None] + self._masks[key].to(bias)[:, None]


class ConvolutionBlock(nn.Module):
    """What a level has in place of attention; tokens in and out as `WindowBlock`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_layer(width, width), nn.Conv2d(width, width, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def _layer(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1), nn.LeakyReLU(0.2, inplace=True))


def blocks(width: int, heads: int, shape: SwinShape) -> nn.Sequential:
    """The blocks of a level; every other one has its windows shifted."""
    if heads == 0:
        return nn.Sequential(ConvolutionBlock(width))
    return nn.Sequential(*(WindowBlock(width, heads, SHIFT * (i % 2), shape) for i in range(shape.depth)))


class Merging(nn.Module):
    """2 x 2 tokens to one."""

    def __init__(self, width: int, wider: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * width)
        self.reduce = nn.Linear(4 * width, wider, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(image, row, column, channel), rows and columns even."""
        n, rows, columns, width = x.shape
        x = x.view(n, rows // 2, 2, columns // 2, 2, width).transpose(2, 3).flatten(3)
        return self.reduce(self.norm(x))


class Expanding(nn.Module):
    """One token to 2 x 2, joined with those of the encoder."""

    def __init__(self, wider: int, width: int) -> None:
        super().__init__()
        self.expand = nn.Linear(wider, 4 * width, bias=False)
        self.norm = nn.LayerNorm(width)
        self.join = nn.Linear(2 * width, width)

    def forward(self, x: Tensor, skipped: Tensor) -> Tensor:
        """(image, row, column, channel) of the level below, and of the encoder's same level."""
        n, rows, columns, _ = x.shape
        x = self.expand(x).view(n, rows, columns, 2, 2, -1).transpose(2, 3).reshape(n, 2 * rows, 2 * columns, -1)
        return self.join(torch.cat([self.norm(x), skipped], dim=-1))


class SwinUnet(nn.Module):
    """Levels of blocks from fine to coarse and back, joined; tokens (image, row, column, channel) in and out."""

    def __init__(self, shape: SwinShape) -> None:
        super().__init__()
        widths, heads = shape.widths, shape.heads
        self.encoder = nn.ModuleList(blocks(w, h, shape) for w, h in zip(widths, heads, strict=True))
        self.merging = nn.ModuleList(Merging(a, b) for a, b in zip(widths, widths[1:], strict=False))
        self.expanding = nn.ModuleList(Expanding(b, a) for a, b in zip(widths, widths[1:], strict=False))
        self.decoder = nn.ModuleList(blocks(w, h, shape) for w, h in zip(widths[:-1], heads[:-1], strict=True))

    def forward(self, x: Tensor) -> Tensor:
        skipped = []
        for block, merge in zip(self.encoder, self.merging, strict=False):
            x = block(x)
            skipped.append(x)
            x = merge(x)
        x = self.encoder[-1](x)
        for level in reversed(range(len(self.decoder))):
            x = self.decoder[level](self.expanding[level](x, skipped[level]))
        return x


class SwinRegistration(nn.Module):
    """See the module's text.

    Input (pair, 2, row, column), rest and stress, sizes multiples of 32; output the velocity (pair, 2, row, column) on
    blocks of `PATCH` pixels, shift in rows and columns in blocks.
    """

    def __init__(self, shape: SwinShape = COMPACT) -> None:
        super().__init__()
        self.embed = nn.Conv2d(2 * PATCH * PATCH, shape.widths[0], 3, padding=1)
        self.levels = SwinUnet(shape)
        self.norm = nn.LayerNorm(shape.widths[0])
        self.head = small_head(shape.widths[0], 1e-3)

    def forward(self, maps: Tensor) -> Tensor:
        x = self.embed(functional.pixel_unshuffle(maps, PATCH)).permute(0, 2, 3, 1)
        return self.head(self.norm(self.levels(x)).permute(0, 3, 1, 2)).float()


def small_head(width: int, deviation: float) -> nn.Conv2d:
    """The last layer, which begins with next to no motion."""
    head = nn.Conv2d(width, 2, 3, padding=1)
    nn.init.normal_(head.weight, std=deviation)
    nn.init.zeros_(head.bias)
    return head


class UnetRegistration(nn.Module):
    """VoxelMorph's U-Net on blocks of `PATCH` pixels; input and output as those of `SwinRegistration`.

    The thesis compares with it; the blocks make it as cheap as the other.
    """

    def __init__(self, widths: tuple[int, ...] = (32, 64, 96, 128)) -> None:
        super().__init__()
        self.embed = _layer(2 * PATCH * PATCH, widths[0])
        self.encoder = nn.ModuleList(
            nn.Sequential(_layer(a, b, 2), _layer(b, b)) for a, b in zip(widths, widths[1:], strict=False)
        )
        self.decoder = nn.ModuleList(
            nn.Sequential(_layer(a + b, a), _layer(a, a)) for a, b in zip(widths, widths[1:], strict=False)
        )
        self.head = small_head(widths[0], 1e-3)

    def forward(self, maps: Tensor) -> Tensor:
        features = [self.embed(functional.pixel_unshuffle(maps, PATCH))]
        for block in self.encoder:
            features.append(block(features[-1]))
        x = features[-1]
        for level in reversed(range(len(self.decoder))):
            x = functional.interpolate(x, scale_factor=2, mode="nearest")
            x = self.decoder[level](torch.cat([x, features[level]], dim=1))
        return self.head(x).float()


NETWORKS = {"swin": SwinRegistration, "unet": UnetRegistration}


def integrated(velocity: Tensor) -> Tensor:
    """The displacement (pair, 2, row, column) that a stationary velocity makes in one unit of time.

    By scaling and squaring; in cells of the velocity's grid, as it is.
    """
    displacement = velocity / 2**INTEGRATION_STEPS
    for _ in range(INTEGRATION_STEPS):
        displacement = compose(displacement, displacement)
    return displacement


def in_pixels(displacement: Tensor) -> Tensor:
    """A displacement on blocks of `PATCH` pixels as one on pixels."""
    finer = functional.interpolate(displacement, scale_factor=PATCH, mode="bilinear", align_corners=False)
    return PATCH * finer
