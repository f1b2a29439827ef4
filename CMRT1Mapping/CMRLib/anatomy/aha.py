"""The 16 segments of the left ventricle, from landmarks and a myocardium.

The model is that of the American Heart Association (Cerqueira et al., Circulation 2002;105:539-542,
doi:10.1161/hc0402.102975) without the apical cap, which short-axis slices do not show:

- Basal and mid slices have six segments of 60 degrees. The attachment of the right ventricle's wall bounds the septum:
  the anterior insertion separates segment 1 (7), anterior, from segment 2 (8), anteroseptal.
- Apical slices have four segments of 90 degrees, placed as in the published bull's-eye: the middle of each wall keeps
  its direction from base to apex. The anterior segment (13) is centred on the middle of segments 1 and 7, 30 degrees
  from the insertion on the free wall's side, so segment 14, septal, begins 15 degrees beyond the insertion.
- Segments are counted from the anterior insertion over the septum to the inferior wall: counter-clockwise for whoever
  looks from the apex to the base, as short-axis images are shown.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from CMRLib.anatomy.axis import LEVELS, along_axis, check_level
from CMRLib.anatomy.landmarks import SliceLandmarks
from CMRLib.anatomy.statistics import RoiStatistics, roi_statistics
from CMRLib.errors import InputError
from CMRLib.geometry import Geometry

RULES = ("equal", "insertions")

_SEPTUM_DEGREES = (30.0, 200.0)  # between the insertions; expert contours of patients give 39 to 146
_ANGLE_DECIMALS = 6  # a pixel on a border belongs to the same segment however the image is turned


@dataclass(frozen=True)
class Segment:
    """One of the 16 segments.

    Attributes:
        number: 1 to 16.
        level: "basal", "mid" or "apical".
        wall: "anterior", "anteroseptal", "inferoseptal", "inferior", "inferolateral" or "anterolateral"; at the apex
            "anterior", "septal", "inferior" or "lateral".
        code: SNOMED CT code (coding scheme SCT) of DICOM context group 12305.
    """

    number: int
    level: str
    wall: str
    code: str

    @property
    def name(self) -> str:
        """Level and wall, as "Basal anteroseptal"."""
        return f"{self.level.capitalize()} {self.wall}"

    @property
    def meaning(self) -> str:
        """The meaning of the code in DICOM."""
        return f"left ventricle {self.level} {self.wall} segment"


_WALLS = ("anterior", "anteroseptal", "inferoseptal", "inferior", "inferolateral", "anterolateral")
_APICAL_WALLS = ("anterior", "septal", "inferior", "lateral")
_CODES = (
    *("264850008", "396482007", "396646008", "264846001", "396652009", "396654005"),
    *("264848000", "396647004", "396649001", "264847005", "396655006", "396656007"),
    *("264844003", "264845002", "264849008", "264853005"),
)
_PLACES = [
    (level, wall) for level, walls in zip(LEVELS, (_WALLS, _WALLS, _APICAL_WALLS), strict=True) for wall in walls
]
SEGMENTS = tuple(
    Segment(number, level, wall, code)
    for number, ((level, wall), code) in enumerate(zip(_PLACES, _CODES, strict=True), start=1)
)


def counting_direction(geometry: Geometry | None) -> int:
    """+1 when segments are counted from the columns' axis towards the rows' axis (clockwise on the screen), else -1.

    The patient decides: the plane is taken to lie within 75 degrees of that across the usual long axis (to the left,
    front and feet), so mirrored images get their segments counted the other way. Without geometry, or with one exactly
    along the body's axes, which only a placeholder is, the image is taken as it is shown to a reader: seen from the
    apex with the rows downwards, hence -1.

    Raises:
        InputError: by its orientation the image is no short-axis image.
    """
    return 1 if along_axis(geometry)[0] > 0 else -1


def septal_angle(points: np.ndarray, landmarks: SliceLandmarks, geometry: Geometry | None = None) -> np.ndarray:
    """Angle of points around the LV centre, from the anterior insertion over the septum.

    Args:
        points: (row, column) in pixels, shape (..., 2).
        landmarks: of the slice.
        geometry: of the image; None takes square pixels and the direction of `counting_direction`.

    Returns:
        Degrees from 0 to 360, of shape (...), measured in mm; 0 for a point at the centre itself.

    Raises:
        InputError: a landmark is not finite, or the insertion lies on the centre.
    """
    center, insertion = (np.asarray(p, dtype=float) for p in (landmarks.lv_center, landmarks.rv_insertion))
    if not (np.all(np.isfinite(center)) and np.all(np.isfinite(insertion))):
        raise InputError("A landmark has no position; place the LV centre and the anterior RV insertion.")
    if np.allclose(center, insertion, rtol=0, atol=1e-3):
        raise InputError("The anterior RV insertion lies on the LV centre; move it to where the RV wall begins.")
    column_mm, row_mm = (1.0, 1.0) if geometry is None else geometry.spacing[:2]
    offset = (np.asarray(points, dtype=float) - center) * (row_mm, column_mm)
    entry = (insertion - center) * (row_mm, column_mm)
    angle = np.arctan2(offset[..., 0], offset[..., 1]) - np.arctan2(entry[0], entry[1])
    degrees = np.round(counting_direction(geometry) * np.degrees(angle), _ANGLE_DECIMALS) % 360.0
    return np.where(np.any(offset != 0, axis=-1), degrees, 0.0)


def segment_borders(
    landmarks: SliceLandmarks, level: str, geometry: Geometry | None = None, rule: str = "equal"
) -> dict[int, tuple[float, float]]:
    """Where each segment of a slice begins and ends.

    Args:
        landmarks: of the slice.
        level: "basal", "mid" or "apical".
        geometry: of the image; see `counting_direction`.
        rule: "equal" needs the anterior insertion alone: all segments of a slice are equally wide. "insertions" takes
            the septum from one insertion to the other: at the base and mid, it holds two equal segments and the free
            wall four; at the apex, segments stay equal and the septal one is centred on the septum.

    Returns:
        Segment number -> (begin, end) in degrees as `septal_angle` counts them; begin in [0, 360), end above it.

    Raises:
        InputError: the level or the rule is unknown, or the inferior insertion is missing or on the wrong side.
    """
    check_level(level)
    if rule not in RULES:
        raise InputError(f"{rule!r} is no rule for the segments; choose equal or insertions.")
    septum = 120.0 if rule == "equal" else _septum_width(landmarks, geometry)
    if level == "apical":
        first = septum / 2 - 45.0  # where the septal segment, 14, begins
        return {13 + (n + 1) % 4: ((first + 90.0 * n) % 360.0, (first + 90.0 * n) % 360.0 + 90.0) for n in range(4)}
    first_number = 1 if level == "basal" else 7
    free = (360.0 - septum) / 4
    edges = [0.0, septum / 2, septum, septum + free, septum + 2 * free, septum + 3 * free, 360.0]
    return {first_number + (n + 1) % 6: (edges[n], edges[n + 1]) for n in range(6)}


def _septum_width(landmarks: SliceLandmarks, geometry: Geometry | None) -> float:
    """Degrees from the anterior over the septum to the inferior insertion."""
    if landmarks.inferior_rv_insertion is None:
        raise InputError("The inferior RV insertion is missing; place it, or choose equal segments.")
    width = float(septal_angle(np.asarray(landmarks.inferior_rv_insertion), landmarks, geometry))
    if not _SEPTUM_DEGREES[0] <= width <= _SEPTUM_DEGREES[1]:
        raise InputError(
            f"The septum between the RV insertions would span {width:.0f} degrees; check that the anterior and the "
            "inferior insertion are not exchanged, or choose equal segments."
        )
    return width


def label_slice(
    myocardium: np.ndarray,
    landmarks: SliceLandmarks,
    level: str,
    geometry: Geometry | None = None,
    rule: str = "equal",
) -> np.ndarray:
    """Divide the myocardium of a slice into its segments.

    Args:
        myocardium: true in the myocardium, axes (row, column).
        landmarks, level, geometry, rule: as `segment_borders` takes them.

    Returns:
        uint8 (row, column): the segment's number in the myocardium, 0 outside. A segment may have no pixel.

    Raises:
        InputError: as `segment_borders`; or there is no myocardium; or it does not surround the LV centre.
    """
    inside = np.asarray(myocardium, dtype=bool)
    if inside.ndim != 2:
        raise InputError(f"The myocardium of a slice has axes (row, column), not the shape {inside.shape}.")
    pixels = np.argwhere(inside)
    if len(pixels) == 0:
        raise InputError("There is no myocardium in the slice; draw it first.")
    borders = segment_borders(landmarks, level, geometry, rule)
    angle = septal_angle(pixels, landmarks, geometry)
    order = np.sort(angle)
    if np.max(np.diff(np.append(order, order[0] + 360.0))) > 180.0:
        raise InputError("The LV centre does not lie within the myocardium; move it into the cavity.")
    begins = {number: begin for number, (begin, _) in borders.items()}
    numbers = np.array(sorted(begins, key=lambda number: begins[number]), dtype=np.uint8)
    edges = np.array([begins[number] for number in numbers])
    labels = np.zeros(inside.shape, dtype=np.uint8)
    # Below the first edge lies the rest of the segment that begins last: index -1.
    labels[inside] = numbers[np.searchsorted(edges, angle, side="right") - 1]
    return labels


def segment_statistics(
    values: np.ndarray, labels: np.ndarray, fitted: np.ndarray | None = None
) -> dict[int, RoiStatistics | None]:
    """Statistics of a map in each segment.

    Args:
        values: a map of the shape of ``labels``.
        labels: segment numbers, as `label_slice` gives them, of one slice or several.
        fitted: where the map holds a value, of the same shape; None takes every finite pixel.

    Returns:
        Segment number, 1 to 16 -> statistics, or None for a segment without a pixel that holds a value.

    Raises:
        InputError: shapes differ.
    """
    if np.shape(values) != np.shape(labels):
        raise InputError(
            f"The segments {np.shape(labels)} do not match the map {np.shape(values)}; divide the map's own slices."
        )
    inside = np.asarray(labels) > 0
    numbers, pixels = np.asarray(labels)[inside], np.asarray(values, dtype=float)[inside]
    valid = np.isfinite(pixels) if fitted is None else np.isfinite(pixels) & np.asarray(fitted, dtype=bool)[inside]
    statistics: dict[int, RoiStatistics | None] = {}
    for segment in SEGMENTS:
        own = numbers == segment.number
        statistics[segment.number] = roi_statistics(pixels, own, valid) if np.any(own & valid) else None
    return statistics
