"""Images as pixels to be seen, and as PNG within a page."""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813 (the name its users know)
from scipy import ndimage

from CMRLib.anatomy.bullseye import ColorScale
from CMRLib.anatomy.landmarks import Point
from CMRLib.files.color_tables import T1_COLOR_TABLES, read_color_table, t1_colors_for_field

_GREY_PERCENTILES = (1.0, 99.5)  # shown from black to white


def colored(values: np.ndarray, scale: ColorScale) -> np.ndarray:
    """The colours of a map.

    Args:
        values: (row, column); what is not finite is black.
        scale: the colours.

    Returns:
        uint8 (row, column, RGB).
    """
    known = np.where(np.isfinite(values), values, scale.values[0])
    channels = [np.interp(known, scale.values, channel) for channel in zip(*scale.colors, strict=True)]
    pixels = np.where(np.isfinite(values)[..., None], np.stack(channels, axis=-1), 0.0)
    return np.round(255 * pixels).astype(np.uint8)


def grey(values: np.ndarray, window: tuple[float, float] | None = None) -> np.ndarray:
    """An image in grey.

    Args:
        values: (row, column).
        window: values shown black and white; None takes those that nearly all pixels lie between.

    Returns:
        uint8 (row, column, RGB).
    """
    finite = values[np.isfinite(values)]
    low, high = window or (np.percentile(finite, _GREY_PERCENTILES) if finite.size else (0.0, 1.0))
    share = np.clip((np.nan_to_num(values, nan=low) - low) / max(high - low, 1e-12), 0.0, 1.0)
    return np.repeat(np.round(255 * share).astype(np.uint8)[..., None], 3, axis=-1)


def t1_pixels(t1: np.ndarray, field_t: float | None) -> np.ndarray:
    """A T1 map (row, column) in the colours of a field strength in tesla, None where it is not known."""
    return colored(t1, read_color_table(T1_COLOR_TABLES[t1_colors_for_field(field_t)]))


def outlined(pixels: np.ndarray, region: np.ndarray, color: tuple[float, float, float]) -> np.ndarray:
    """A picture with the pixels along the inside of a region's edge in a colour.

    Args:
        pixels: uint8 (row, column, RGB).
        region: bool (row, column).
        color: RGB from 0 to 1.
    """
    drawn = pixels.copy()
    drawn[region & ~ndimage.binary_erosion(region)] = np.round(255 * np.asarray(color)).astype(np.uint8)
    return drawn


def around(pixels: np.ndarray, center: Point, spacing: tuple[float, float], side_mm: float) -> tuple[np.ndarray, Point]:
    """The part of a picture around a point, and the (row, column) where it begins.

    Args:
        pixels: (row, column, RGB).
        center: (row, column).
        spacing: height and width of a pixel in mm.
        side_mm: of the square that is shown, as far as the picture goes.
    """
    bounds = []
    for place, mm, size in zip(center, spacing, pixels.shape[:2], strict=True):
        first = min(max(0, round(place - side_mm / 2 / mm)), size - 1)
        bounds.append((first, max(first + 1, min(size, round(place + side_mm / 2 / mm)))))
    (top, bottom), (left, right) = bounds
    return pixels[top:bottom, left:right], (float(top), float(left))


def png_uri(pixels: np.ndarray) -> str:
    """The PNG of uint8 (row, column, RGB) as a data URI, which holds nothing but the pixels."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(pixels), isVector=True)
    with tempfile.TemporaryDirectory(prefix="cmr-report-") as folder:
        path = Path(folder) / "picture.png"
        sitk.WriteImage(image, str(path), useCompression=True, compressionLevel=9)
        content = path.read_bytes()
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")
