"""Scars of the myocardium as contrast agent shows them: where they lie and which part of them it does not reach."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from CMRLib.errors import InputError
from CMRLib.simulation.anatomy import SliceAnatomy
from CMRLib.simulation.canvas import smooth_field

PATTERNS = ("subendocardial", "transmural", "mid-wall", "diffuse", "insertion")
# Middle of each coronary territory in degrees from the anterior insertion along the septum, after the 17-segment model
# (Cerqueira et al., Circulation 2002;105:539), as the mean of its segments at mid level; all are some 120 degrees wide.
TERRITORIES = {"LAD": 0.0, "RCA": 120.0, "LCX": 240.0}
# Directions of the insertions where a slice does not show them: nominal, anterior up on the left and inferior below it.
NOMINAL_ANTERIOR, NOMINAL_INFERIOR = np.deg2rad(-133.0), np.deg2rad(107.0)


@dataclass(frozen=True)
class Lesion:
    """A scar in a slice.

    Attributes:
        pattern: one of `PATTERNS`.
        scar: float32 (row, column), share of each pixel that is scar, the core without reflow included.
        no_reflow: float32 (row, column), share of each pixel where the vessels are shut, so that no agent arrives.
    """

    pattern: str
    scar: np.ndarray
    no_reflow: np.ndarray


def random_lesion(
    anatomy: SliceAnatomy, spacing_mm: float, rng: np.random.Generator, pattern: str | None = None
) -> Lesion:
    """Draw a scar in the left ventricle's wall.

    Subendocardial and transmural scars lie in a coronary territory or a part of it and reach from the cavity outwards,
    transmural ones through the wall and in half of the cases with a core without reflow. Mid-wall scars spare both
    borders, diffuse ones are clouds anywhere, and those at the insertion points are small.

    Args:
        anatomy: the slice.
        spacing_mm: of its square pixels.
        rng: random generator.
        pattern: one of `PATTERNS`; None draws one.

    Returns:
        A lesion, empty where the slice shows no wall or no cavity.

    Raises:
        InputError: unknown pattern.
    """
    if pattern is not None and pattern not in PATTERNS:
        raise InputError(f"There is no scar '{pattern}'; use one of {', '.join(PATTERNS)}.")
    pattern = pattern or str(rng.choice(PATTERNS, p=(0.35, 0.25, 0.18, 0.12, 0.10)))
    wall = anatomy.fractions[anatomy.tissues.index("myocardium")]
    nothing = np.zeros(wall.shape, dtype=np.float32)
    depth = _depth(anatomy)
    if depth is None:
        return Lesion(pattern, nothing, nothing)
    along, insertions = _along_wall(anatomy)
    inside, core = _shape(pattern, depth, along, insertions, spacing_mm, rng)

    def share(mask: np.ndarray) -> np.ndarray:
        soft = ndimage.gaussian_filter(mask.astype(np.float32), rng.uniform(0.5, 1.0) / spacing_mm)
        return (wall * soft).astype(np.float32)

    return Lesion(pattern, share(inside), share(core & inside))


def _depth(anatomy: SliceAnatomy) -> np.ndarray | None:
    """How deep in the wall a pixel lies, 0 at the cavity and 1 at the outer border."""
    names = anatomy.tissues
    cavity = anatomy.fractions[[names.index(n) for n in ("left blood", "papillary muscle")]].sum(axis=0) > 0.5
    wall = anatomy.fractions[names.index("myocardium")] > 0.5
    if not cavity.any() or not wall.any():
        return None
    inner = ndimage.distance_transform_edt(~cavity)
    outer = ndimage.distance_transform_edt(cavity | wall)
    return inner / np.maximum(inner + outer, 1e-6)


def _along_wall(anatomy: SliceAnatomy) -> tuple[np.ndarray, tuple[float, float]]:
    """Degrees of every pixel from the anterior insertion towards the septum, 0 to 360; and those of both insertions."""
    height, width = anatomy.density.shape
    rows, columns = np.indices((height, width))
    landmarks = anatomy.landmarks
    center = ((height - 1) / 2.0, (width - 1) / 2.0) if landmarks is None else landmarks.lv_center

    def heading(point: tuple[float, float] | None, nominal: float) -> float:
        if point is None:
            return nominal
        return float(np.arctan2(point[0] - center[0], point[1] - center[1]))

    anterior = heading(landmarks.rv_insertion if landmarks else None, NOMINAL_ANTERIOR)
    inferior = heading(landmarks.inferior_rv_insertion if landmarks else None, anterior - np.deg2rad(120.0))
    septum = float(np.rad2deg((anterior - inferior) % (2.0 * np.pi)))
    sense = 1.0
    if septum > 180.0:  # a mirrored view
        septum, sense = 360.0 - septum, -1.0
    angle = np.arctan2(rows - center[0], columns - center[1])
    return np.rad2deg(sense * (anterior - angle)) % 360.0, (0.0, septum)


def _shape(
    pattern: str,
    depth: np.ndarray,
    along: np.ndarray,
    insertions: tuple[float, float],
    spacing_mm: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """The scar and its core without reflow, as masks that still reach beyond the wall."""
    rough = smooth_field(rng, depth.shape, float(rng.uniform(2.0, 6.0)) / spacing_mm)
    none = np.zeros(depth.shape, dtype=bool)

    def within(middle: float, half: float) -> np.ndarray:
        away: np.ndarray = np.abs((along - middle + 180.0) % 360.0 - 180.0)
        return away + 8.0 * rough < half

    if pattern in ("subendocardial", "transmural"):
        middle = TERRITORIES[str(rng.choice(list(TERRITORIES)))] + rng.normal(0.0, 20.0)
        half = rng.uniform(15.0, 65.0)
        reach = rng.uniform(0.2, 0.6) if pattern == "subendocardial" else rng.uniform(0.8, 1.3)
        scar = within(middle, half) & (depth + 0.12 * rough < reach)
        if pattern == "subendocardial" or rng.random() < 0.5:
            return scar, none
        inner, outer = sorted(rng.uniform(0.05, 0.8, 2))
        return scar, within(middle, half * rng.uniform(0.4, 0.8)) & (depth > inner) & (depth < outer + 0.1)
    if pattern == "mid-wall":
        middle = rng.choice([60.0, rng.uniform(0.0, 360.0)])  # most often septal
        band = rng.uniform(0.12, 0.28)
        return within(middle, rng.uniform(15.0, 70.0)) & (np.abs(depth - rng.uniform(0.4, 0.65)) < band), none
    if pattern == "diffuse":
        cloud = smooth_field(rng, depth.shape, float(rng.uniform(3.0, 8.0)) / spacing_mm)
        return cloud > rng.uniform(0.2, 1.2), none
    both = rng.random() < 0.6
    chosen = insertions if both else (insertions[int(rng.integers(2))],)
    spots = [within(middle, rng.uniform(6.0, 16.0)) & (depth > rng.uniform(0.2, 0.5)) for middle in chosen]
    return np.any(spots, axis=0), none
