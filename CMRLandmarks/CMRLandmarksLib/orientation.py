"""Which way up a stack of short-axis images lies whose header does not say so.

Files without orientation (many converted NIfTI images) may be stored turned, mirrored or transposed. The networks know
which way up a heart lies from all that surrounds it: of the eight ways to turn and mirror a stack, they are surest in
the right one, and find the RV where it lies in a usual view.
"""

from __future__ import annotations

import numpy as np

from CMRLandmarksLib.confidence import USUAL_HEADING
from CMRLandmarksLib.grid import Placement
from CMRLandmarksLib.looks import first_looks
from CMRLandmarksLib.model import LandmarkModel

# Signed permutations: the step in the stored array for one row down and for one column to the right in the turned one.
TURNS = tuple(
    straight * np.array([down, right])
    for straight in (np.eye(2), np.eye(2)[::-1])
    for down in (1.0, -1.0)
    for right in (1.0, -1.0)
)
SLICES = 4  # of the middle of a stack, enough to tell
# Weights of what the landmarks of one turn say of that turn, and of what those of all say, beside the entropies (nat).
OWN_WEIGHT, COMMON_WEIGHT = 0.3, 0.3


def turn_placement(axes: np.ndarray, size: int) -> Placement:
    """The placement that turns a square image of ``size`` about its centre by one of `TURNS`."""
    center = np.full(2, (size - 1) / 2.0)
    return Placement(axes, center - axes @ center, size)


def upright_turn(grids: np.ndarray, model: LandmarkModel, batch: int = 8) -> np.ndarray:
    """The one of `TURNS` that makes a stack upright.

    Args:
        grids: float32 (image, row, column) on the standard grid, the slices of one stack in order.
        model: see `CMRLandmarksLib.model.load_landmark_model`.
        batch: images at a time.
    """
    chosen = np.unique(np.rint(np.linspace(0.2, 0.8, SLICES) * (len(grids) - 1)).astype(int))
    turns = [turn_placement(axes, grids.shape[-1]) for axes in TURNS]
    points, entropies = [], []
    for turn in turns:
        first, second = first_looks(np.stack([turn.sample(grids[i], order=0) for i in chosen]), model, batch)
        entropies.append(float((first.doubts[..., 0] + second.doubts[..., 0]).mean()))
        points.append(turn.to_source(second.points))
    scores = []
    for turn, own, entropy in zip(turns, points, entropies, strict=True):
        common = float(np.mean([unusual(turn.to_target(found)) for found in points]))
        scores.append(entropy + OWN_WEIGHT * unusual(turn.to_target(own)) + COMMON_WEIGHT * common)
    return TURNS[int(np.argmin(scores))]


def unusual(points: np.ndarray) -> float:
    """How far landmarks (image, landmark, 2) are from those of an upright view.

    It is the mean turn of the entry line in units of 45 degrees, plus the share of mirrored images.
    """
    line = points[:, 1] - points[:, 0]
    turn = (np.arctan2(line[:, 0], line[:, 1]) - USUAL_HEADING + np.pi) % (2.0 * np.pi) - np.pi
    return float(np.mean(np.abs(turn)) / (np.pi / 4.0) + np.mean(is_mirrored(points)))


def is_mirrored(points: np.ndarray) -> np.ndarray:
    """Whether the landmarks (image, landmark, 2) run as in a mirror image of a usual view, bool (image,)."""
    across, down = points[:, 0] - points[:, 1], points[:, 2] - points[:, 0]
    return across[:, 1] * down[:, 0] < across[:, 0] * down[:, 1]
