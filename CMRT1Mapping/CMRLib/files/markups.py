"""Points as a markups file that 3D Slicer loads (``.mrk.json``), written without Slicer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from CMRLib.files.atomic import write_text

LANDMARKS_ENDING = "_landmarks.mrk.json"  # of the files of landmarks, after the key of their images
SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)


@dataclass(frozen=True)
class MarkupPoint:
    """One control point.

    Attributes:
        label: shown beside the point.
        description: shown in lists.
        position: RAS mm, or None for a point that has not been placed.
    """

    label: str
    description: str
    position: tuple[float, float, float] | None


def write_markups(path: Path | str, points: Sequence[MarkupPoint]) -> Path:
    """Write a list of points, whose number is fixed, as a fiducial markups file.

    The file is written beside its place and renamed, so a reader never sees half of it.

    Raises:
        OutputError: the file cannot be written.
    """
    path = Path(path)
    controls = [
        {
            "id": str(number),
            "label": point.label,
            "description": point.description,
            "associatedNodeID": "",
            "position": list(point.position or (0.0, 0.0, 0.0)),
            "orientation": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
            "selected": True,
            "locked": False,
            "visibility": True,
            "positionStatus": "undefined" if point.position is None else "defined",
        }
        for number, point in enumerate(points, start=1)
    ]
    markup = {
        "type": "Fiducial",
        "coordinateSystem": "RAS",
        "coordinateUnits": "mm",
        "locked": False,
        "fixedNumberOfControlPoints": True,
        "labelFormat": "%N-%d",
        "lastUsedControlPointNumber": len(points),
        "controlPoints": controls,
        "measurements": [],
    }
    return write_text(path, json.dumps({"@schema": SCHEMA, "markups": [markup]}, indent=1))
