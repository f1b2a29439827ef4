"""One look of a landmark network: a view of each image, and what the network says of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from CMRLandmarksLib.grid import Placement, zoom_placement
from CMRLandmarksLib.model import LandmarkModel
from CMRLandmarksLib.stack import polar, wrapped
from CMRLib.anatomy.insertions import MYOCARDIUM, landmarks_of_labels

if TYPE_CHECKING:
    from CMRLandmarksLib.networks import HeatmapNetwork

Progress = Callable[[float], None]


@dataclass(frozen=True)
class Look:
    """What a network says of one view of each image.

    Attributes:
        points: float64 (image, landmark, 2), (row, column) in grid pixels.
        doubts: float64 (image, landmark, 2), see `CMRLandmarksLib.networks.doubt`.
        heat: float32 (image, landmark, cell row, cell column), share of each cell.
        heart: float64 (image,) logit of a heart being there.
        tissue: uint8 (image, cell row, cell column), label of each cell.
        views: placement of each image's view.
        cell: pixels of the view per cell.
    """

    points: np.ndarray
    doubts: np.ndarray
    heat: np.ndarray
    heart: np.ndarray
    tissue: np.ndarray
    views: Sequence[Placement]
    cell: int

    def tissue_points(self) -> np.ndarray:
        """Where the tissues put the landmarks, as ``points``; NaN where they do not show them."""
        return np.stack(
            [
                view.to_source(landmarks_of_labels(labels) * self.cell + (self.cell - 1) / 2.0)
                for view, labels in zip(self.views, self.tissue, strict=True)
            ]
        )

    def angular_width(self, points: np.ndarray) -> np.ndarray:
        """How wide the heat maps of the insertion points are, seen from the LV centre.

        Args:
            points: (image, landmark, 2), (row, column) in grid pixels.

        Returns:
            float64 (image, insertion), root mean square of the cells' directions about those of ``points``, in radians.
        """
        cells = np.moveaxis(np.indices(self.heat.shape[2:]), 0, -1) * self.cell + (self.cell - 1) / 2.0
        own, _ = polar(points, points[:, :1])
        result = np.empty(own.shape)
        for i, view in enumerate(self.views):
            arms = view.to_source(cells) - points[i, 0]
            turn = wrapped(np.arctan2(arms[..., 0], arms[..., 1]) - own[i, :, None, None])
            result[i] = np.sqrt((self.heat[i, 1:] * turn**2).sum(axis=(1, 2)))
        return result

    def radius(self) -> np.ndarray:
        """Radius (image,) in grid pixels of the epicardium as the tissues show it; NaN where they do not."""
        count = (self.tissue >= MYOCARDIUM).sum(axis=(1, 2))
        scale = np.array([abs(np.linalg.det(view.matrix)) for view in self.views])
        area = np.where(count > 0, count, np.nan) * self.cell**2 * scale
        return np.sqrt(area / np.pi)


def look(
    network: HeatmapNetwork,
    grids: np.ndarray,
    views: Sequence[Placement],
    model: LandmarkModel,
    batch: int,
    progress: Callable[[float], None] | None,
) -> Look:
    """Apply a network to one view of each image."""
    import torch

    from CMRLandmarksLib.networks import doubt, positions
    from CMRLandmarksLib.sampling import sample, standardised

    points: list[np.ndarray] = []
    doubts, heats, hearts, tissues = [], [], [], []
    cell = network.shape.cell
    with torch.inference_mode():
        for start in range(0, len(grids), batch):
            part = views[start : start + batch]
            matrix = torch.tensor(np.stack([view.matrix for view in part]), dtype=torch.float32, device=model.device)
            offset = torch.tensor(np.stack([view.offset for view in part]), dtype=torch.float32, device=model.device)
            images = torch.from_numpy(grids[start : start + batch])[:, None].to(model.device)
            output = network(standardised(sample(images, matrix, offset, part[0].size)))
            places = positions(output, cell, window=2).double().cpu().numpy()
            points.extend(view.to_source(place) for view, place in zip(part, places, strict=True))
            tissues.append(output.tissue.argmax(dim=1).to(torch.uint8).cpu())
            doubts.append(doubt(output).double().cpu())
            heats.append(output.heat.flatten(2).softmax(dim=2).view_as(output.heat).float().cpu())
            hearts.append(output.heart.double().cpu())
            if progress is not None:
                progress(min(start + batch, len(grids)) / len(grids))
    doubt_array, heat, heart, tissue = (torch.cat(parts).numpy() for parts in (doubts, heats, hearts, tissues))
    return Look(np.stack(points), doubt_array, heat, heart, tissue, views, cell)


def first_looks(
    grids: np.ndarray,
    model: LandmarkModel,
    batch: int = 8,
    progress: Callable[[int], Progress | None] = lambda step: None,
) -> tuple[Look, Look]:
    """Both looks of stage 1: at the whole standard grid, and at the heart where the first one saw it.

    Args:
        grids: float32 (image, row, column) on the standard grid.
        model: see `CMRLandmarksLib.model.load_landmark_model`.
        batch: images at a time.
        progress: gives the callback of look 0 and of look 1.
    """
    from CMRLandmarksLib.networks import STAGE1_FACTOR, STAGE1_SIZE, ZOOM_LINE_PX, ZOOM_SIZE

    half = (STAGE1_FACTOR - 1) / 2.0
    whole = Placement(np.eye(2) * STAGE1_FACTOR, np.full(2, half), STAGE1_SIZE)
    first = look(model.stage1, grids, [whole] * len(grids), model, batch, progress(0))
    zooms = [zoom_placement(points, ZOOM_SIZE, ZOOM_LINE_PX) for points in first.points]
    return first, look(model.stage1, grids, zooms, model, batch, progress(1))
