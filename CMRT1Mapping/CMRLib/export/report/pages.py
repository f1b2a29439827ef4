"""From what there is to show to the text of a page, by the templates in ``Resources/Report``."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from itertools import count
from typing import TYPE_CHECKING, Any

from CMRLib import __version__
from CMRLib.anatomy.aha import SEGMENTS
from CMRLib.anatomy.bullseye_svg import bullseye_svg
from CMRLib.errors import MissingDependencyError
from CMRLib.export.report.items import Picture, SegmentsPicture
from CMRLib.export.report.pixels import png_uri
from CMRLib.resources import resource_path

if TYPE_CHECKING:
    import jinja2

PAGE = "Report/page.html"
STYLE, SCRIPT = "Report/report.css", "Report/sort.js"
HEIGHT = 300.0  # of a picture, in units of its drawing
NO_JINJA = (
    "The Python package jinja2 is not installed, without which there are no reports; run pip install jinja2 (in 3D "
    "Slicer, install PyTorch, which brings it), or leave out --report."
)


def environment() -> jinja2.Environment:
    """The templates, which escape everything that they are given.

    Raises:
        MissingDependencyError: jinja2 or a template is not installed.
    """
    try:
        import jinja2
    except ModuleNotFoundError as error:
        raise MissingDependencyError(NO_JINJA) from error
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(resource_path(PAGE).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["hex"] = _hex
    return made


def page(template: str, content: Mapping[str, Any]) -> str:
    """The text of a page that needs nothing but itself: a browser loads and runs nothing else with it.

    Args:
        template: name of the file.
        content: what it shows.

    Raises:
        MissingDependencyError: jinja2 or a template is not installed.
    """
    templates = environment()
    style, script = (resource_path(name).read_text(encoding="utf-8") for name in (STYLE, SCRIPT))
    numbers = count(1)
    from markupsafe import Markup  # which jinja2 requires

    text: str = templates.get_template(template).render(
        **content,
        version=__version__,
        style=Markup(style),
        script=Markup(script),
        style_hash=_hash(style),
        script_hash=_hash(script),
        number=lambda: next(numbers),
        drawn=drawn,
        png=png_uri,
        bullseye=lambda item: Markup(bullseye_svg(item.bullseye, gradient=f"scale-{next(numbers)}")),
        is_picture=lambda item: isinstance(item, Picture),
        values=values,
    )
    # Names in another encoding come as characters that no file takes.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def drawn(picture: Picture) -> dict[str, Any]:
    """Where everything of a picture lies in its drawing: sizes of the image, and the marks with (x, y) points."""
    rows, columns = picture.pixels.shape[:2]
    scale = HEIGHT / (rows * picture.spacing[0])

    def place(point: tuple[float, float]) -> tuple[float, float]:
        y, x = ((value + 0.5) * mm * scale for value, mm in zip(point, picture.spacing, strict=True))
        return round(x, 1), round(y, 1)

    marks = [{"kind": mark.kind, "label": mark.label, "at": [place(p) for p in mark.points]} for mark in picture.marks]
    return {"width": round(columns * picture.spacing[1] * scale, 1), "height": HEIGHT, "marks": marks}


def values(item: SegmentsPicture) -> list[tuple[str, str]]:
    """Number and name, and value of each segment, as they are written."""
    names = {segment.number: f"{segment.number} {segment.name}" for segment in SEGMENTS}
    return [(names[sector.segment], sector.text) for sector in item.bullseye.sectors]


def _hash(text: str) -> str:
    """As a content security policy names an inline script or style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _hex(color: tuple[float, float, float]) -> str:
    return "#" + "".join(f"{round(255 * min(max(channel, 0.0), 1.0)):02x}" for channel in color)
