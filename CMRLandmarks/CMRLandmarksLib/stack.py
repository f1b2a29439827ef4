"""The insertion points of the slices of a stack, reconciled with each other.

From the LV centre, the direction to an insertion point turns slowly and nearly evenly from slice to slice: by 7
degrees a slice for the anterior one, with 4 to 6 degrees about a line (ACDC's labels and the points marked on
EMIDEC's training patients). Where the networks' looks agree on a slice, its points stay as they are; where they
contradict each other, the points move to the middle of what the looks say and then towards the line of their stack,
the further the less sure they are. Slices that do not follow the line count little for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# What looks that are right still differ by, and how wide their heat maps are; the excess over it is doubt.
USUAL_DISAGREEMENT, USUAL_WIDTH = np.deg2rad(4.0), np.deg2rad(5.0)
# Excess of disagreement at which the middle of all looks replaces the last look.
FULL_DISAGREEMENT = np.deg2rad(6.0)
WIDTH_WEIGHT = 0.7  # of the excess width of a heat map, against the excess of disagreement
LEAST_DOUBT = np.deg2rad(2.0)
# Standard deviations of the directions about the line of a stack, and of the line's turn from slice to slice.
ABOUT_LINE, TURN = np.deg2rad(8.0), np.deg2rad(9.0)
OUTLIERS = 0.1  # share of slices that do not follow the line
SHORTEST_STACK = 3
TRIED_TURNS = np.deg2rad(np.arange(-24.0, 24.5, 2.0))
TRIED_MIDDLES = np.deg2rad(np.arange(-60.0, 61.0, 2.0))


@dataclass(frozen=True)
class Reconciled:
    """The landmarks of a stack after all looks and slices were heard.

    Attributes:
        points: float64 (image, landmark, 2), (row, column) in mm.
        disagreement: float64 (image, insertion), root mean square of the directions of the looks about that of the
            last one, in radians.
        off_line: float64 (image, insertion), how far the direction was from the line of its stack, in radians; NaN
            where there is no line.
    """

    points: np.ndarray
    disagreement: np.ndarray
    off_line: np.ndarray


def reconciled(points: np.ndarray, others: Sequence[np.ndarray], width: np.ndarray) -> Reconciled:
    """Insertion points on which the looks and the slices of a stack agree; LV centres stay.

    Args:
        points: (image, landmark, 2), (row, column) in mm, of the last look, in the order of the slices.
        others: the same of other looks; NaN where one says nothing.
        width: (image, insertion), angular width of the last look's heat maps, see
            `CMRLandmarksLib.looks.Look.angular_width`.
    """
    center = points[:, :1]
    last, _ = polar(points, center)
    every = np.stack([last, *(polar(other, center)[0] for other in others)])
    disagreement = np.sqrt(np.nanmean(wrapped(every - last) ** 2, axis=0))
    share = np.clip((disagreement - USUAL_DISAGREEMENT) / FULL_DISAGREEMENT, 0.0, 1.0)[..., None]
    # The last look counts twice: it sees most.
    middle = np.nanmedian(np.stack([points, points, *others]), axis=0)[:, 1:]
    direction, reach = polar(np.concatenate([center, (1.0 - share) * points[:, 1:] + share * middle], axis=1), center)
    doubt = np.hypot(
        WIDTH_WEIGHT * np.maximum(width - USUAL_WIDTH, 0.0), np.maximum(disagreement - USUAL_DISAGREEMENT, 0.0)
    )
    doubt = np.maximum(doubt, LEAST_DOUBT)
    if len(points) < SHORTEST_STACK:
        settled, off_line = direction, np.full_like(direction, np.nan)
    else:
        line = stack_line(direction, doubt)
        off_line = wrapped(direction - line)
        settled = line + off_line * ABOUT_LINE**2 / (ABOUT_LINE**2 + doubt**2)
    arms = reach[..., None] * np.stack([np.sin(settled), np.cos(settled)], axis=2)
    return Reconciled(np.concatenate([center, center + arms], axis=1), disagreement, np.abs(off_line))


def polar(points: np.ndarray, center: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Direction, atan2(row, column), and distance (image, insertion) of the insertion points from a centre."""
    arms = points[:, 1:] - center
    return np.arctan2(arms[..., 0], arms[..., 1]), np.linalg.norm(arms, axis=2)


def wrapped(angle: np.ndarray) -> np.ndarray:
    """The same angle between -pi and pi."""
    return (angle + np.pi) % (2.0 * np.pi) - np.pi


def stack_line(direction: np.ndarray, doubt: np.ndarray) -> np.ndarray:
    """The line that most of a stack's directions follow, (image, insertion) in radians.

    It is the most likely one under a mixture: a slice follows the line with `ABOUT_LINE` and its own doubt as standard
    deviations, or, with the probability `OUTLIERS`, has any direction.

    Args:
        direction, doubt: (image, insertion) in radians, in the order of the slices.
    """
    place = np.arange(len(direction)) - (len(direction) - 1) / 2.0
    lines = []
    for own, variance in zip(direction.T, (doubt**2 + ABOUT_LINE**2).T, strict=True):
        middle = np.angle(np.exp(1j * own).sum())
        turn, offset = _tried(wrapped(own - middle), place, variance)
        lines.append(middle + _improved(wrapped(own - middle), place, variance, turn, offset))
    return np.stack(lines, axis=1)


def _density(residual: np.ndarray, variance: np.ndarray) -> np.ndarray:
    return (1.0 - OUTLIERS) * np.exp(-0.5 * residual**2 / variance) / np.sqrt(2.0 * np.pi * variance)


def _tried(own: np.ndarray, place: np.ndarray, variance: np.ndarray) -> tuple[float, float]:
    line = TRIED_MIDDLES[None, :, None] + TRIED_TURNS[:, None, None] * place
    density = _density(wrapped(own - line), variance) + OUTLIERS / (2.0 * np.pi)
    score = np.log(density).sum(axis=2) - 0.5 * (TRIED_TURNS[:, None] / TURN) ** 2
    turn, middle = np.unravel_index(int(score.argmax()), score.shape)
    return float(TRIED_TURNS[turn]), float(TRIED_MIDDLES[middle])


def _improved(own: np.ndarray, place: np.ndarray, variance: np.ndarray, turn: float, offset: float) -> np.ndarray:
    """A few steps of weighted least squares from the best line tried."""
    design = np.column_stack([place, np.ones_like(place)])
    line = np.array([turn, offset])
    penalty = np.diag([1.0 / TURN**2, 1e-6])
    for _ in range(6):
        residual = wrapped(own - design @ line)
        density = _density(residual, variance)
        weight = density / (density + OUTLIERS / (2.0 * np.pi)) / variance
        line = line + np.linalg.solve(
            design.T @ (weight[:, None] * design) + penalty, design.T @ (weight * residual) - penalty @ line
        )
    return design @ line
