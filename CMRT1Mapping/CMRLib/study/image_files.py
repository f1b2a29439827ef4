"""The images of a series in files that SimpleITK reads, whatever the order of their axes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813 (the name its users know)

from CMRLib.errors import InputError
from CMRLib.files.images import readable_path
from CMRLib.geometry import Geometry

_FRAME_ROLES = ("irw", "cine")  # whose third axis counts frames of one slice
_TURNED = (
    "The axes of its file were turned, so that the slices come last as in the original images; rows, columns and "
    "slices are counted in the turned image."
)


@dataclass(frozen=True)
class Turn:
    """How the axes of a file become those of images.

    Attributes:
        axes: the file's axes (0 to 2) that become column, row and slice.
        flipped: whether columns and rows run against the file's axes.
    """

    axes: tuple[int, int, int] = (0, 1, 2)
    flipped: tuple[bool, bool] = (False, False)

    def array(self, values: np.ndarray) -> np.ndarray:
        """The values of a file, axes in reverse order of its own as SimpleITK gives them, as (slice, row, column)."""
        turned = np.transpose(values, [2 - axis for axis in reversed(self.axes)])
        columns, rows = (slice(None, None, -1 if flip else 1) for flip in self.flipped)
        return turned[:, rows, columns]

    def geometry(self, geometry: Geometry, size: tuple[int, int, int]) -> Geometry:
        """The geometry of the turned images; ``size`` is the file's, in the order of its axes."""
        spacing = np.asarray(geometry.spacing)[list(self.axes)]
        matrix = geometry.matrix[:, list(self.axes)].copy()
        origin = np.asarray(geometry.origin, dtype=float)
        for axis, flip in enumerate(self.flipped):
            if flip:
                origin = origin + matrix[:, axis] * spacing[axis] * (size[self.axes[axis]] - 1)
                matrix[:, axis] *= -1.0
        return Geometry(
            origin=(float(origin[0]), float(origin[1]), float(origin[2])),
            spacing=(float(spacing[0]), float(spacing[1]), float(spacing[2])),
            direction=tuple(float(v) for v in matrix.ravel()),
        )


@dataclass(frozen=True)
class ImageFile:
    """A file whose header was read.

    Attributes:
        path: the file.
        size: of the three axes in space, in the file's order.
        frames: how many images of these axes it holds, in a fourth axis or as values of each pixel.
        turn: how its axes become those of images.
        geometry: where the images lie once they are turned.
        shape: of the images, (frame or slice, row, column).
    """

    path: Path
    size: tuple[int, int, int]
    frames: int
    turn: Turn
    geometry: Geometry
    shape: tuple[int, int, int]

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done to read it, as sentences."""
        return () if self.turn == Turn() else (_TURNED,)

    def read(self) -> np.ndarray:
        """The images as float32 with axes (frame or slice, row, column).

        Raises:
            InputError: the file cannot be read any more.
        """
        try:
            with readable_path(self.path) as path:
                image = sitk.ReadImage(path)
        except RuntimeError as error:
            raise InputError("An image file cannot be read; it may be damaged, so save it again.") from error
        values = sitk.GetArrayViewFromImage(image).astype(np.float32)
        if image.GetNumberOfComponentsPerPixel() > 1:
            values = np.moveaxis(values, -1, 0)
        images = [self.turn.array(one) for one in values.reshape(self.frames, *self.size[::-1])]
        return np.ascontiguousarray(np.concatenate(images))


def look_at(path: Path, role: str, images: int | None = None) -> ImageFile:
    """Read the header of an image file.

    Args:
        path: the file: 2D, 3D, or 4D with one slice as dcm2niix writes it (column, row, slice, frame).
        role: what it holds, see `CMRLib.study.series.ROLES`.
        images: how many images an inversion-recovery file should hold, where that is known.

    Raises:
        InputError: a clause (without capital and full stop) that says what is wrong.
    """
    reader = sitk.ImageFileReader()
    try:
        with readable_path(path) as readable:
            reader.SetFileName(readable)
            reader.ReadImageInformation()
    except RuntimeError as error:
        raise InputError("cannot be read as an image; it may be damaged, so save it again") from error
    size = [*reader.GetSize(), 1][: max(3, reader.GetDimension())]
    more = [n for n in (*size[3:], reader.GetNumberOfComponents()) if n > 1]
    if len(more) > 1 or (more and role not in _FRAME_ROLES and reader.GetNumberOfComponents() > 1):
        raise InputError("is not a 2D or 3D image with one value a pixel; save it as a plain volume")
    frames = more[0] if more else 1
    if frames > 1 and np.count_nonzero(np.array(size[:3]) > 1) > 2:
        raise InputError(
            f"holds {frames} images of {' x '.join(map(str, size[:3]))} pixels, which are several slices; save the "
            "images of each slice as a file of its own"
        )
    if frames > 1 and role not in _FRAME_ROLES:
        raise InputError(f"holds {frames} images of one slice where one is needed; save the one to use")
    in_space = (size[0], size[1], size[2])
    geometry = _geometry(reader)
    turn = _turn(in_space, geometry, role, frames, images)
    columns, rows, slices = (in_space[axis] for axis in turn.axes)
    return ImageFile(
        path, in_space, frames, turn, turn.geometry(geometry, in_space), (max(frames, slices), rows, columns)
    )


def _geometry(reader: sitk.ImageFileReader) -> Geometry:
    """The placement of the first three axes; a 2D image is one slice, 1 mm thick."""
    dimension = reader.GetDimension()
    matrix = np.eye(3)
    direction = np.reshape(reader.GetDirection(), (dimension, dimension))[:3, :3]
    matrix[: len(direction), : len(direction)] = direction
    origin = (*reader.GetOrigin(), 0.0)
    spacing = (*reader.GetSpacing(), 1.0)
    try:
        return Geometry(origin[:3], spacing[:3], tuple(float(v) for v in matrix.ravel()))
    except InputError as error:
        text = str(error).removesuffix(".")
        raise InputError(f"does not lie in space: {text[0].lower()}{text[1:]}") from error


def _turn(size: tuple[int, int, int], geometry: Geometry, role: str, frames: int, images: int | None) -> Turn:
    """How the axes have to be turned so that the third counts slices, or the frames of one slice."""
    third = _third_axis(size, geometry, role, frames, images)
    if third == 2:
        return Turn()
    # As images are usually stored: rows run to the feet, columns to the left or, where they do not, to the back.
    plane = [axis for axis in range(3) if axis != third]
    row = max(plane, key=lambda axis: abs(geometry.matrix[2, axis]))
    column = next(axis for axis in plane if axis != row)
    left, back, _head = geometry.matrix[:, column]
    return Turn(
        (column, row, third),
        (bool((left if abs(left) > abs(back) else back) < 0), bool(geometry.matrix[2, row] > 0)),
    )


def _third_axis(size: tuple[int, int, int], geometry: Geometry, role: str, frames: int, images: int | None) -> int:
    """The axis that counts slices, or the frames of one slice."""
    if role not in _FRAME_ROLES or frames > 1:
        return geometry.slice_axis(size)
    # The axis counts frames, so its spacing says nothing.
    fitting = [axis for axis in range(3) if size[axis] == images]
    return fitting[0] if len(fitting) == 1 else 2


@dataclass(frozen=True)
class FileSource:
    """The pixels of a series in image files."""

    file: ImageFile
    phase_file: ImageFile | None = None

    def read(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Images and phase in radians or None, float32 with axes (frame or slice, row, column)."""
        return self.file.read(), None if self.phase_file is None else _in_radians(self.phase_file.read())


_TWELVE_BIT_TURN = 4096.0


def _in_radians(phase: np.ndarray) -> np.ndarray:
    """A phase file's values as float32 radians."""
    low, high = float(np.nanmin(phase)), float(np.nanmax(phase))
    if max(-low, high) <= 2.0 * np.pi + 1e-3:
        return phase
    if not np.any(phase != np.round(phase)):
        if low >= 0 and high < _TWELVE_BIT_TURN:
            return phase * np.float32(2.0 * np.pi / _TWELVE_BIT_TURN)
        if low >= -_TWELVE_BIT_TURN and high < _TWELVE_BIT_TURN:
            return phase * np.float32(np.pi / _TWELVE_BIT_TURN)
    raise InputError(
        f"The phase in the phase file runs from {low:g} to {high:g}, which is neither radians nor 12 bit; "
        "save it in radians."
    )
