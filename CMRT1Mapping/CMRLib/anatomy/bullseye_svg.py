"""The bull's-eye as an SVG document, for reports: it needs no graphics library."""

from __future__ import annotations

from xml.sax.saxutils import escape

import numpy as np

from CMRLib.anatomy.aha import SEGMENTS
from CMRLib.anatomy.bullseye import BORDER, BORDER_COLOR, WALL_NAMES, BullsEye, ColorScale, Sector


def bullseye_svg(bullseye: BullsEye, title: str = "", size: int = 640, gradient: str = "scale") -> str:
    """The whole picture, with numbers, values, the walls' names and the color bar, as an SVG document.

    Args:
        bullseye: what to draw.
        title: written above it.
        size: height in pixels; the width is a quarter more.
        gradient: id of the color bar's gradient; a page that holds several pictures needs a different one for each.
    """
    radius, x0, y0 = 0.40 * size, 0.49 * size, 0.53 * size
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{1.25 * size:.0f}" height="{size}" '
        f'viewBox="0 0 {1.25 * size:.0f} {size}" font-family="Helvetica, Arial, sans-serif" text-anchor="middle">',
        f'<rect width="{1.25 * size:.0f}" height="{size}" fill="#ffffff"/>',
    ]
    if title:
        parts.append(_text(x0, 0.06 * size, title, 0.036 * size, bold=True))
    for sector in bullseye.sectors:
        x, y = x0 + radius * sector.center[0], y0 - radius * sector.center[1]
        fill = _hex(sector.text_color)
        parts.append(
            f'<path d="{_sector_path(sector, x0, y0, radius)}" fill="{_hex(sector.color)}" '
            f'stroke="{_hex(BORDER_COLOR)}" stroke-width="{2 * BORDER * radius:.1f}">'
            f"<title>{escape(SEGMENTS[sector.segment - 1].name)}: {escape(sector.text)}</title></path>"
        )
        parts.append(_text(x, y - 0.012 * size, str(sector.segment), 0.020 * size, fill))
        parts.append(_text(x, y + 0.020 * size, sector.text, 0.029 * size, fill, bold=True))
    for name, (right, up) in WALL_NAMES.items():
        turn = f' transform="rotate({90 * right:.0f} {{x:.1f}} {{y:.1f}})"' if right else ""
        x, y = x0 + 1.05 * radius * right, y0 - 1.05 * radius * up + (0.02 * size if up < 0 else 0.0)
        parts.append(_text(x, y, name, 0.024 * size, "#444444", extra=turn.format(x=x, y=y)))
    parts += [*_svg_bar(bullseye.scale, size, gradient), "</svg>"]
    return "\n".join(parts) + "\n"


def _svg_bar(scale: ColorScale, size: int, gradient: str) -> list[str]:
    left, width, top, bottom = 1.03 * size, 0.04 * size, 0.16 * size, 0.90 * size
    low, high = scale.values[0], scale.values[-1]

    def height(value: float) -> float:
        return bottom - (bottom - top) * (value - low) / (high - low)

    stops = "".join(
        f'<stop offset="{(value - low) / (high - low):.5f}" stop-color="{_hex(color)}"/>'
        for value, color in zip(scale.values, scale.colors, strict=True)
    )
    parts = [
        f'<defs><linearGradient id="{gradient}" x1="0" y1="1" x2="0" y2="0">{stops}</linearGradient></defs>',
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{bottom - top:.1f}" fill="url(#{gradient})" '
        f'stroke="{_hex(BORDER_COLOR)}"/>',
        _text(left + width / 2, top - 0.03 * size, scale.title, 0.027 * size, bold=True),
    ]
    for value in scale.ticks():
        y, x = height(value), left + width
        parts.append(f'<path d="M{x:.1f} {y:.1f}h{0.01 * size:.1f}" stroke="{_hex(BORDER_COLOR)}"/>')
        text = scale.text_format.format(value)
        x += 0.018 * size
        parts.append(_text(x, y + 0.008 * size, text, 0.024 * size, extra=' text-anchor="start"'))
    return parts


def _sector_path(sector: Sector, x0: float, y0: float, radius: float) -> str:
    inner, outer = (radius * r for r in sector.radii)
    (x1, y1), (x2, y2) = ((np.cos(a), -np.sin(a)) for a in np.radians(sector.degrees))
    path = f"M{x0 + outer * x1:.2f} {y0 + outer * y1:.2f}A{outer:.2f} {outer:.2f} 0 0 0 "
    path += f"{x0 + outer * x2:.2f} {y0 + outer * y2:.2f}L{x0 + inner * x2:.2f} {y0 + inner * y2:.2f}"
    if inner:
        path += f"A{inner:.2f} {inner:.2f} 0 0 1 {x0 + inner * x1:.2f} {y0 + inner * y1:.2f}"
    return path + "Z"


def _text(
    x: float, y: float, text: str, size: float, fill: str = "#000000", bold: bool = False, extra: str = ""
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:.1f}" fill="{fill}"{weight}{extra}>{escape(text)}</text>'


def _hex(color: tuple[float, float, float]) -> str:
    return "#" + "".join(f"{round(255 * min(max(c, 0.0), 1.0)):02x}" for c in color)
