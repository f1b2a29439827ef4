"""Where an image array lies in the patient."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from CMRLib.errors import InputError

THICKER = 1.5  # how much farther apart slices are than pixels, where spacing tells which axis counts slices
SQUARE = 1.4  # longest over shortest side of a pixel, within which an axis is taken for one in the image's plane
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Geometry:
    """Placement of an array with axes (slice, row, column) in the patient.

    The conventions are those of ITK and DICOM: voxel indices are (i, j, k) = (column, row, slice) and world
    coordinates are LPS millimetres (x to the patient's left, y to the back, z to the head).

    Attributes:
        origin: LPS position in mm of the centre of voxel (0, 0, 0).
        spacing: distance in mm between voxel centres along (column index i, row index j, slice index k).
        direction: 3 x 3 matrix, row by row, whose columns are the LPS unit vectors along which i, j and k grow.
    """

    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    direction: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)

    def __post_init__(self) -> None:
        numbers = np.array([*self.origin, *self.spacing, *self.direction], dtype=float)
        if numbers.size != 15 or not np.all(np.isfinite(numbers)):
            raise InputError(
                "The image's position, spacing or orientation is not a set of finite numbers; export the series again."
            )
        if min(self.spacing) < 0.05 or max(self.spacing[:2]) > 20.0 or self.spacing[2] > 200.0:
            raise InputError(
                f"The pixel spacing {tuple(round(s, 3) for s in self.spacing)} mm is not that of a cardiac image; "
                "correct the header or export the series again."
            )
        if abs(abs(np.linalg.det(self.matrix)) - 1.0) > 1e-2:
            raise InputError("The image's axes are not at right angles; resample it to a plain grid first.")

    @property
    def matrix(self) -> np.ndarray:
        """The direction as a 3 x 3 array; its columns are the unit vectors of i, j and k in LPS."""
        return np.asarray(self.direction, dtype=float).reshape(3, 3)

    def ijk_to_lps(self) -> np.ndarray:
        """4 x 4 matrix from voxel index (column, row, slice, 1) to LPS mm."""
        affine = np.eye(4)
        affine[:3, :3] = self.matrix * np.asarray(self.spacing)
        affine[:3, 3] = self.origin
        return affine

    def ijk_to_ras(self) -> np.ndarray:
        """4 x 4 matrix from voxel index (column, row, slice, 1) to RAS mm, as MRML nodes hold it."""
        return LPS_TO_RAS @ self.ijk_to_lps()

    @classmethod
    def from_ijk_to_ras(cls, affine: np.ndarray) -> Geometry:
        """The geometry of a 4 x 4 matrix from voxel index (column, row, slice, 1) to RAS mm."""
        lps = LPS_TO_RAS @ np.asarray(affine, dtype=float)
        spacing = np.linalg.norm(lps[:3, :3], axis=0)
        if np.any(spacing == 0):
            raise InputError("The image has a pixel spacing of zero; correct the header or export the series again.")
        return cls(
            origin=(float(lps[0, 3]), float(lps[1, 3]), float(lps[2, 3])),
            spacing=(float(spacing[0]), float(spacing[1]), float(spacing[2])),
            direction=tuple(float(v) for v in (lps[:3, :3] / spacing).ravel()),
        )

    def displacement_in_lps(self, displacement: np.ndarray) -> np.ndarray:
        """Displacements in the plane of the images as vectors in the patient.

        Args:
            displacement: (frame, 2, row, column), (row, column) shift in pixels.

        Returns:
            float32 (frame, row, column, 3), LPS mm.
        """
        along_row, along_column = self.matrix[:, 1] * self.spacing[1], self.matrix[:, 0] * self.spacing[0]
        vectors = displacement[:, 0, ..., None] * along_row + displacement[:, 1, ..., None] * along_column
        result: np.ndarray = vectors.astype(np.float32)
        return result

    def at_slice(self, index: int) -> Geometry:
        """The geometry of slice ``index`` alone, kept as an array of one slice."""
        origin = (self.ijk_to_lps() @ [0.0, 0.0, float(index), 1.0])[:3]
        return replace(self, origin=(float(origin[0]), float(origin[1]), float(origin[2])))

    def slice_axis(self, size: tuple[int, int, int]) -> int:
        """Which of the axes (i, j, k) of an image counts slices: 2 unless its sizes or spacings say otherwise.

        Tools that re-orient images bring the axes into the patient's order, so that slices may come first. Slices lie
        clearly farther apart than pixels, or there is only one.
        """
        flat = [axis for axis in range(3) if size[axis] == 1]
        if flat:
            return flat[0] if len(flat) == 1 else 2
        thick = int(np.argmax(self.spacing))
        others = [self.spacing[axis] for axis in range(3) if axis != thick]
        told = self.spacing[thick] >= THICKER * max(others) and max(others) <= SQUARE * min(others)
        return thick if told else 2

    def is_close(self, other: Geometry, tolerance_mm: float = 0.01) -> bool:
        """Whether both place a voxel (up to index 500 in plane) within ``tolerance_mm`` of each other."""
        corners = np.array([[0, 0, 0, 1], [500, 0, 0, 1], [0, 500, 0, 1], [0, 0, 1, 1]], dtype=float).T
        distance = (self.ijk_to_lps() @ corners) - (other.ijk_to_lps() @ corners)
        return bool(np.max(np.linalg.norm(distance[:3], axis=0)) <= tolerance_mm)
