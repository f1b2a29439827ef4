"""What a report shows of the results of a step: plain values, which the templates draw."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from CMRLib.anatomy.bullseye import BullsEye, ColorScale
from CMRLib.anatomy.landmarks import Point
from CMRLib.errors import InputError
from CMRLib.files.images import read_image
from CMRLib.geometry import Geometry
from CMRLib.study.series import Study


@dataclass(frozen=True)
class Measure:
    """What a table says of every result of a step.

    Attributes:
        title: of the column.
        value: gives it from a result's entry of ``results.json``: a number, a text, or None where there is none.
        unit: "" where it has none.
        text_format: of a number, as "{:.2f}".
        worst: "low" or "high" where the report of a cohort shows the distribution over its studies, each of which
            counts with its lowest or highest value; "" where it does not.
    """

    title: str
    value: Callable[[Mapping[str, Any]], float | str | None]
    unit: str = ""
    text_format: str = "{:.2f}"
    worst: str = ""

    @property
    def heading(self) -> str:
        """The title with the unit."""
        return f"{self.title} [{self.unit}]" if self.unit else self.title

    def text(self, entry: Mapping[str, Any]) -> str:
        """The value as it is written; a dash for None."""
        value = self.value(entry)
        return "–" if value is None else value if isinstance(value, str) else self.text_format.format(value)


@dataclass(frozen=True)
class Mark:
    """Something drawn over a picture.

    Attributes:
        kind: "spot", with the label beside it; "line" through all points; "text", the label alone.
        points: (row, column) in pixels of the picture; one for a spot or a text.
        label: "" for none.
    """

    kind: str
    points: tuple[Point, ...]
    label: str = ""


@dataclass(frozen=True)
class Picture:
    """An image with what is drawn over it.

    Attributes:
        title: written below it.
        description: what there is to be seen, for those who cannot see it.
        pixels: uint8 (row, column, RGB).
        spacing: height and width of a pixel in mm.
        marks: drawn over it.
        scale: of the colours, for the colour bar beside it; None for no bar.
    """

    title: str
    description: str
    pixels: np.ndarray
    spacing: tuple[float, float]
    marks: tuple[Mark, ...] = ()
    scale: ColorScale | None = None


@dataclass(frozen=True)
class SegmentsPicture:
    """A bull's-eye, with its values as a table beside it.

    Attributes:
        title: written below it, with the unit.
        bullseye: see `CMRLib.anatomy.bullseye.make_bullseye`.
    """

    title: str
    bullseye: BullsEye


@dataclass(frozen=True)
class Group:
    """Pictures that belong together, as the maps of a slice.

    Attributes:
        title: what they are of.
        pictures: in their order.
        text: a sentence about them, "" for none.
    """

    title: str
    pictures: tuple[Picture | SegmentsPicture, ...]
    text: str = ""


@dataclass(frozen=True)
class Section:
    """What the report shows of a step.

    Attributes:
        title: of the section, as "T1 maps".
        text: how to read what it shows, "" for nothing.
        groups: its pictures.
    """

    title: str
    text: str = ""
    groups: tuple[Group, ...] = ()


@dataclass(frozen=True)
class ReportSource:
    """Where a step finds what it shows.

    Attributes:
        folder: of the study's results.
        study: that the results were made from.
    """

    folder: Path
    study: Study

    def field_strength_t(self, key: str) -> float | None:
        """Of the scanner, for a result of that key, in tesla; None where it is not known."""
        return next((series.field_strength_t for series in self.study.series if series.key == key), None)

    def images(self, key: str, role: str) -> tuple[np.ndarray, Geometry]:
        """The images of a result's file ``<key>_<role>.nrrd``, or where there is none, of the series of that key.

        Returns:
            float32 (slice or frame, row, column), and their geometry.

        Raises:
            InputError: there is neither, or it cannot be read.
        """
        path = self.folder / f"{key}_{role}.nrrd"
        if path.is_file():
            return read_image(path)
        series = next((series for series in self.study.series if series.key == key), None)
        if series is None:
            raise InputError(f"The images of {key} are not there any more, so they are not shown.")
        loaded = series.load()
        return loaded.images, loaded.geometry


def title_of(entry: Mapping[str, Any]) -> str:
    """What a result was made from in words, by its entry: "T1 rest mid", "LGE slice 3, frame 2"."""
    place = entry.get("slice", "")
    place = f"slice {place}" if isinstance(place, int) else str(place)
    words = (str(entry.get("role", "")).upper().replace("CINE", "Cine"), entry.get("state", ""), place)
    frame = f", frame {entry['frame']}" if "frame" in entry else ""
    return " ".join(word for word in words if word) + frame


def series_of(entry: Mapping[str, Any]) -> str:
    """Number and description of the series that a result was made from, by its entry; a dash where none is known."""
    number = entry.get("series_number")
    return f"{'' if number is None else number} {entry.get('series_description') or ''}".strip() or "–"
