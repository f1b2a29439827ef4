"""The bull's-eye: the 16 segments of the left ventricle in one picture, as plain geometry and pixels.

The arrangement is the published one (Cerqueira et al., Circulation 2002;105:539-542): seen from the apex, with the
base as the outer ring; the anterior wall on top, the septum on the left. The apical cap is left out, so the four apical
segments meet in the middle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from CMRLib.anatomy.aha import SEGMENTS
from CMRLib.anatomy.axis import LEVELS
from CMRLib.errors import InputError

# Inner and outer radius of each level's ring.
RINGS = {"basal": (0.70, 1.0), "mid": (0.39, 0.70), "apical": (0.0, 0.39)}
WALL_NAMES = {"Anterior": (0.0, 1.0), "Septal": (-1.0, 0.0), "Inferior": (0.0, -1.0), "Lateral": (1.0, 0.0)}
EMPTY_COLOR = (0.85, 0.85, 0.85)
BORDER_COLOR = (0.15, 0.15, 0.15)
BORDER = 0.008  # half the width of the lines between segments, in radii
_SUPERSAMPLING = 3


@dataclass(frozen=True)
class ColorScale:
    """Colors of values.

    Attributes:
        values: in ascending order, at least two; where a value comes twice, the color jumps there.
        colors: RGB from 0 to 1 at those values; between them, colors change evenly; beyond them, they stay.
        title: of the color bar, with the unit, as "T1 [ms]".
        shown: (lowest, highest) value that is shown in color; others are grey, as pixels outside a map's thresholds
            are not drawn. None shows every value.
        text_format: of a value, as "{:.0f}".
    """

    values: tuple[float, ...]
    colors: tuple[tuple[float, float, float], ...]
    title: str = ""
    shown: tuple[float, float] | None = None
    text_format: str = "{:.0f}"

    def __post_init__(self) -> None:
        values = np.asarray(self.values, dtype=float)
        if len(values) < 2 or len(values) != len(self.colors) or not np.all(np.isfinite(values)):
            raise InputError("A color scale needs two or more values, with one color each.")
        if np.any(np.diff(values) < 0) or values[0] == values[-1]:
            raise InputError("The values of a color scale must ascend; check the lower and the upper limit.")

    def color(self, value: float) -> tuple[float, float, float]:
        """RGB from 0 to 1 of a value; grey where it is not finite or not shown."""
        if not np.isfinite(value) or (self.shown and not self.shown[0] <= value <= self.shown[1]):
            return EMPTY_COLOR
        above = int(np.searchsorted(self.values, value, side="right"))
        if above in (0, len(self.values)):
            return self.colors[0 if above == 0 else -1]
        low, high = self.values[above - 1], self.values[above]
        share = (value - low) / (high - low)
        red, green, blue = (
            (1 - share) * a + share * b for a, b in zip(*self.colors[above - 1 : above + 1], strict=True)
        )
        return red, green, blue

    def ticks(self) -> tuple[float, ...]:
        """Values to be written at the color bar: those where the color jumps, else four to eleven round ones."""
        jumps = [low for low, high in zip(self.values, self.values[1:], strict=False) if low == high]
        if jumps:
            return tuple(jumps)
        span = self.values[-1] - self.values[0]
        step = 10.0 ** np.floor(np.log10(span))
        step = next(step * factor for factor in (1.0, 0.5, 0.2, 0.1) if span / (step * factor) >= 3.999)
        first = np.ceil(self.values[0] / step - 1e-9)
        count = int(np.floor(self.values[-1] / step + 1e-9) - first) + 1
        return tuple(float(round((first + n) * step, 12)) for n in range(count))


@dataclass(frozen=True)
class Sector:
    """One segment in the picture; positions are (right, up) in radii of the whole, from its middle.

    Attributes:
        segment: its number, 1 to 16.
        value: what is shown, or None for a segment without a value.
        text: the value as it is written; a dash for None.
        color, text_color: RGB from 0 to 1.
        radii: inner and outer radius.
        degrees: where it begins and ends, counter-clockwise from the right.
        center: where its number and value are written.
    """

    segment: int
    value: float | None
    text: str
    color: tuple[float, float, float]
    text_color: tuple[float, float, float]
    radii: tuple[float, float]
    degrees: tuple[float, float]
    center: tuple[float, float]


@dataclass(frozen=True)
class BullsEye:
    """The picture before it is drawn.

    Attributes:
        sectors: the 16 segments in their order.
        scale: the colors, for the color bar.
    """

    sectors: tuple[Sector, ...]
    scale: ColorScale


def make_bullseye(values: Mapping[int, float | None], scale: ColorScale) -> BullsEye:
    """The bull's-eye of a value per segment.

    Args:
        values: segment number, 1 to 16 -> value; a segment that is missing, None or not finite is drawn grey.
        scale: the colors.

    Raises:
        InputError: a number is not that of a segment.
    """
    unknown = set(values) - {segment.number for segment in SEGMENTS}
    if unknown:
        raise InputError(f"There is no segment {min(unknown)}; segments are numbered from 1 to 16.")
    sectors = []
    for segment in SEGMENTS:
        value = values.get(segment.number)
        value = float(value) if value is not None and np.isfinite(value) else None
        color = EMPTY_COLOR if value is None else scale.color(value)
        degrees = sector_degrees(segment.number)
        inner, outer = RINGS[segment.level]
        middle = np.radians(sum(degrees) / 2)
        radius = (inner + outer) / 2 if inner else 0.6 * outer
        sectors.append(
            Sector(
                segment=segment.number,
                value=value,
                text="–" if value is None else scale.text_format.format(value),
                color=color,
                text_color=_readable_on(color),
                radii=(inner, outer),
                degrees=degrees,
                center=(radius * float(np.cos(middle)), radius * float(np.sin(middle))),
            )
        )
    return BullsEye(tuple(sectors), scale)


def sector_degrees(number: int) -> tuple[float, float]:
    """Where a segment begins and ends in the picture, counter-clockwise from the right; the begin is below 360."""
    if number > 12:
        begin = (45.0 + 90.0 * (number - 13)) % 360.0
        return begin, begin + 90.0
    begin = (60.0 + 60.0 * ((number - 1) % 6)) % 360.0
    return begin, begin + 60.0


def _readable_on(color: tuple[float, float, float]) -> tuple[float, float, float]:
    """Black or white, whichever stands out: by the relative luminance of ITU-R BT.709, at equal contrast ratios."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return (0.0, 0.0, 0.0) if luminance > 0.179 else (1.0, 1.0, 1.0)


@lru_cache(maxsize=4)
def _raster(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What each pixel shows: 0 nothing, 1 to 16 a segment, 17 a border.

    Returns:
        The label of each pixel, (row, column); where several meet in a pixel, as a mask; and there, the labels of its
        parts, (pixel, part).
    """
    fine = size * _SUPERSAMPLING
    axis = ((np.arange(fine) + 0.5) / fine * 2.0 - 1.0) * (1 + BORDER)
    right, up = np.meshgrid(axis, -axis)
    radius, degrees = np.hypot(right, up), np.degrees(np.arctan2(up, right))
    shown = np.zeros((fine, fine), dtype=np.uint8)
    for level in LEVELS:
        inner, outer = RINGS[level]
        numbers = [segment.number for segment in SEGMENTS if segment.level == level]
        width = 360.0 / len(numbers)
        place = (degrees - sector_degrees(numbers[0])[0]) % 360.0
        ring = (radius >= inner) & (radius < outer)
        shown[ring] = (numbers[0] + np.floor(place[ring] / width)).clip(numbers[0], numbers[-1])
        nearest = np.abs((place + width / 2) % width - width / 2)
        shown[ring & (radius * np.sin(np.radians(nearest)) < BORDER)] = 17
        shown[np.abs(radius - outer) < BORDER] = 17
    parts = shown.reshape(size, _SUPERSAMPLING, size, _SUPERSAMPLING).swapaxes(1, 2).reshape(size, size, -1)
    mixed = np.any(parts != parts[..., :1], axis=2)
    raster = parts[..., 0].copy(), mixed, parts[mixed]
    for array in raster:
        array.setflags(write=False)
    return raster


def draw_sectors(bullseye: BullsEye, size: int) -> np.ndarray:
    """The sectors as pixels, without any text.

    Args:
        bullseye: what to draw.
        size: width and height in pixels.

    Returns:
        uint8 (row, column, 4), RGBA, row 0 on top; transparent around the circle, with smooth edges.
    """
    labels, mixed, parts = _raster(size)
    palette = np.zeros((18, 4))  # the colors weighted with their opacity, so that they can be averaged
    for sector in bullseye.sectors:
        palette[sector.segment] = (*sector.color, 1.0)
    palette[17] = (*BORDER_COLOR, 1.0)
    pixels = np.round(255 * palette).astype(np.uint8)[labels]
    edge = palette[parts].mean(axis=1)
    edge[:, :3] /= np.maximum(edge[:, 3:], 1e-6)
    pixels[mixed] = np.round(255 * edge)
    return pixels
