"""Reading and writing image files with SimpleITK; arrays are (slice, row, column)."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813 (the name its users know)

from CMRLib.errors import InputError
from CMRLib.files.atomic import write_atomically
from CMRLib.geometry import Geometry


def read_image(path: Path | str) -> tuple[np.ndarray, Geometry]:
    """Read any 2D or 3D scalar image that SimpleITK reads.

    Returns:
        The pixels as float32 with axes (slice, row, column), and their geometry. A 2D image is one slice, 1 mm thick.

    Raises:
        InputError: the file is missing, is not an image, or is not 2D or 3D with one value a pixel.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no image file {path}; check the path.")
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise InputError(f"{path.name} cannot be read as an image; it may be damaged, so export it again.") from error
    if image.GetNumberOfComponentsPerPixel() != 1 or image.GetDimension() not in (2, 3):
        raise InputError(f"{path.name} is not a 2D or 3D image with one value a pixel; export it as a plain volume.")
    if image.GetDimension() == 2:
        image = sitk.JoinSeries(image)
    geometry = Geometry(image.GetOrigin(), image.GetSpacing(), image.GetDirection())
    return sitk.GetArrayFromImage(image).astype(np.float32), geometry


def write_image(
    path: Path | str,
    array: np.ndarray,
    geometry: Geometry,
    metadata: Mapping[str, str] | None = None,
    *,
    compressed: bool = True,
) -> Path:
    """Write an array to ``path``; the ending names the format.

    The file is written beside its place and renamed, so a reader never sees half of it.

    Args:
        path: where to.
        array: axes (slice, row, column) or (row, column), or (slice, row, column, component) for vectors.
        geometry: its placement.
        metadata: key -> text for the header.
        compressed: False for images whose every pixel has noise in its last digits: they become a tenth smaller at
            most, and that takes longer than many a computation.

    Raises:
        OutputError: the file cannot be written.
    """
    path = Path(path)
    array = np.asarray(array)
    image = sitk.GetImageFromArray(array if array.ndim > 2 else array[None], isVector=array.ndim == 4)
    image.SetOrigin(geometry.origin)
    image.SetSpacing(geometry.spacing)
    image.SetDirection(geometry.direction)
    for key, value in (metadata or {}).items():
        image.SetMetaData(key, value)
    return write_atomically(path, lambda partial: sitk.WriteImage(image, str(partial), useCompression=compressed))


@contextlib.contextmanager
def readable_path(path: Path) -> Iterator[str]:
    """A path that SimpleITK can open: its own, or a link to it where its name is no valid text.

    SimpleITK ends the program where a path holds bytes that are not UTF-8.
    """
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        with tempfile.TemporaryDirectory() as folder:
            # The folder is linked whole, as some formats have their pixels in a second file.
            linked = Path(folder, "images")
            os.symlink(os.path.abspath(path.parent), linked)
            name = path.name.encode("utf-8", "replace").decode()
            if name != path.name:
                os.symlink(os.path.abspath(path), Path(folder, name))
                linked = Path(folder)
            yield str(linked / name)
    else:
        yield str(path)
