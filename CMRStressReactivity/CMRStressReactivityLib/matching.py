"""Which stress slice belongs to which rest slice, and a stress map on its rest map's grid before registration.

Slices are matched by where they lie in the patient, whatever their order; where the images do not say, by their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from CMRLib.anatomy.axis import is_placed
from CMRLib.errors import InputError
from CMRLib.geometry import Geometry
from CMRLib.study.slice_order import Plane
from CMRStressReactivityLib.registration import sampled_at

# How far apart along their normal, and how much turned, planes may be: within the first they show the same slice
# (a quarter and three quarters of the usual 8 mm of thickness), within the second the match is doubtful.
SURE_MM, FARTHEST_MM = 4.0, 12.0
SURE_DEGREES, LARGEST_DEGREES = 8.0, 30.0


@dataclass(frozen=True)
class SliceMatch:
    """A rest slice and the stress slice that shows the same.

    Attributes:
        rest, stress: numbers in the lists that were matched.
        apart_mm: distance of the planes along the rest plane's normal at the rest image's middle; None where the images
            do not say.
        turned_degrees: angle between the planes; None likewise.
        doubt: why the two may not show the same, one sentence; empty where they do.
    """

    rest: int
    stress: int
    apart_mm: float | None
    turned_degrees: float | None
    doubt: str = ""


@dataclass(frozen=True)
class Matching:
    """Matched slices, and a sentence for each that has no partner."""

    matches: tuple[SliceMatch, ...]
    left_out: tuple[str, ...]


def match_slices(
    rest: Sequence[Geometry],
    stress: Sequence[Geometry],
    rest_shapes: Sequence[tuple[int, int]],
    stress_shapes: Sequence[tuple[int, int]],
    names: tuple[Sequence[str], Sequence[str]] | None = None,
) -> Matching:
    """Find the pairs with the smallest sum of distances; each slice is in one pair at most.

    Args:
        rest, stress: of the slices, each that of a single slice (see `CMRLib.geometry.Geometry.at_slice`).
        rest_shapes, stress_shapes: rows and columns of them.
        names: what messages call the rest and the stress slices; None for their numbers.

    Returns:
        The matches in the order of the rest slices.

    Raises:
        InputError: there is no rest or no stress slice, none match, or nothing says which belong together.
    """
    if not rest or not stress:
        missing = "rest" if not rest else "stress"
        raise InputError(f"There is no {missing} T1 map; choose one, dT1 needs both states.")
    placed = all(is_placed(geometry) for geometry in (*rest, *stress))
    if not placed:
        return _by_order(len(rest), len(stress))
    apart, turned = (np.empty((len(rest), len(stress))) for _ in range(2))
    for i, (fixed, fixed_shape) in enumerate(zip(rest, rest_shapes, strict=True)):
        for j, (moving, moving_shape) in enumerate(zip(stress, stress_shapes, strict=True)):
            apart[i, j], turned[i, j] = _distance(fixed, fixed_shape, moving, moving_shape)
    possible = (np.abs(apart) <= FARTHEST_MM) & (turned <= LARGEST_DEGREES)
    # Any impossible pair costs more than all possible ones, so that as many as possible are matched.
    costs = np.where(possible, np.abs(apart) + 0.1 * turned, 1e3 * (len(rest) + len(stress)))
    chosen = [(int(i), int(j)) for i, j in zip(*linear_sum_assignment(costs), strict=True) if possible[i, j]]
    matches = tuple(
        SliceMatch(i, j, float(apart[i, j]), float(turned[i, j]), _doubt(apart[i, j], turned[i, j])) for i, j in chosen
    )
    if names is None:
        names = [str(i) for i in range(len(rest))], [str(j) for j in range(len(stress))]
    left_out = [
        _alone("Rest", names[0][i], apart[i], turned[i], "stress")
        for i in range(len(rest))
        if i not in {m.rest for m in matches}
    ]
    left_out += [
        _alone("Stress", names[1][j], apart[:, j], turned[:, j], "rest")
        for j in range(len(stress))
        if j not in {m.stress for m in matches}
    ]
    if not matches:
        raise InputError(f"No rest slice has a stress slice at its place. {left_out[0]}")
    return Matching(matches, tuple(left_out))


def match_by_hand(
    rest: tuple[int, Geometry, tuple[int, int]], stress: tuple[int, Geometry, tuple[int, int]]
) -> SliceMatch:
    """The match of two slices that somebody chose, however far apart they are.

    Args:
        rest, stress: number, geometry, and rows and columns of each.
    """
    (i, fixed, fixed_shape), (j, moving, moving_shape) = rest, stress
    if not (is_placed(fixed) and is_placed(moving)):
        return SliceMatch(i, j, None, None)
    apart, turned = _distance(fixed, fixed_shape, moving, moving_shape)
    return SliceMatch(i, j, apart, turned, _doubt(apart, turned))


def _by_order(rest: int, stress: int) -> Matching:
    if rest != stress:
        raise InputError(
            f"The images do not say where their slices lie, and there are {rest} at rest and {stress} under stress; "
            "choose the pairs by hand."
        )
    doubt = "" if rest == 1 else "Matched by order, because the images do not say where their slices lie."
    return Matching(tuple(SliceMatch(i, i, None, None, doubt) for i in range(rest)), ())


def _distance(
    fixed: Geometry, fixed_shape: tuple[int, int], moving: Geometry, moving_shape: tuple[int, int]
) -> tuple[float, float]:
    """Distance in mm along the fixed plane's normal, towards the apex, and the angle between the planes in degrees."""
    planes = [
        Plane(_middle(geometry, shape), tuple(geometry.matrix.T[:2].ravel()))
        for geometry, shape in ((fixed, fixed_shape), (moving, moving_shape))
    ]
    normal, other = (plane.normal for plane in planes)
    cosine = min(abs(float(normal @ other)), 1.0)
    # From the middle of the fixed image straight to the other plane, which may be turned.
    offset = np.subtract(planes[1].position, planes[0].position) @ other / max(float(normal @ other), 1e-3)
    return float(offset), float(np.degrees(np.arccos(cosine)))


def _middle(geometry: Geometry, shape: tuple[int, int]) -> tuple[float, ...]:
    """LPS mm of an image's middle."""
    index = [(shape[1] - 1) / 2.0, (shape[0] - 1) / 2.0, 0.0, 1.0]
    return tuple((geometry.ijk_to_lps() @ index)[:3].tolist())


def _doubt(apart_mm: float, turned_degrees: float) -> str:
    if abs(apart_mm) > SURE_MM:
        return f"The stress slice lies {abs(apart_mm):.0f} mm from the rest slice; check that both show the same level."
    if turned_degrees > SURE_DEGREES:
        return f"The stress slice is turned by {turned_degrees:.0f} degrees; check that both show the same level."
    return ""


def _alone(state: str, name: str, apart: np.ndarray, turned: np.ndarray, other: str) -> str:
    nearest = int(np.argmin(np.abs(apart)))
    if turned[nearest] > LARGEST_DEGREES:
        return f"{state} slice {name} has no {other} partner: the planes are turned by {turned[nearest]:.0f} degrees."
    return f"{state} slice {name} has no {other} partner: the nearest free one is {abs(apart[nearest]):.0f} mm away."


def on_rest_grid(
    stress: np.ndarray, stress_geometry: Geometry, shape: tuple[int, int], rest_geometry: Geometry
) -> np.ndarray:
    """A stress map sampled where its rest map's pixels lie, projected along the rest plane's normal.

    Where the images do not say where they lie, their middles are laid upon each other.

    Args:
        stress: (row, column), of any size; 0 where there is no value.
        stress_geometry, rest_geometry: of single slices.
        shape: rows and columns of the rest map.

    Returns:
        float32 of that shape; see `CMRStressReactivityLib.registration.sampled_at`.
    """
    rows, columns = np.indices(shape, dtype=float)
    if is_placed(stress_geometry) and is_placed(rest_geometry):
        index = np.stack([columns, rows, np.zeros(shape), np.ones(shape)])
        world = np.tensordot(rest_geometry.ijk_to_lps(), index, axes=1)
        local = np.tensordot(np.linalg.inv(stress_geometry.ijk_to_lps()), world, axes=1)
        place = [local[1], local[0]]
    else:
        place = [
            (grid - (n - 1) / 2.0) * fixed / moving + (m - 1) / 2.0
            for grid, n, m, fixed, moving in zip(
                (rows, columns),
                shape,
                stress.shape,
                rest_geometry.spacing[1::-1],
                stress_geometry.spacing[1::-1],
                strict=True,
            )
        ]
    # Going to the patient and back rounds; a pixel that stays keeps its value.
    return sampled_at(stress, [np.where(np.abs(p - np.rint(p)) < 1e-4, np.rint(p), p) for p in place])
