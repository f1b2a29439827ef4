"""What the steps of grouping DICOM images share: acquisitions, their order in time, and what is left out."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from CMRLib.geometry import Geometry
from CMRLib.study.dicom.headers import FrameHeader
from CMRLib.study.dicom.phase import radians_per_value
from CMRLib.study.dicom.pixels import read_frames
from CMRLib.study.rules import RoleRule
from CMRLib.study.series import Unrecognised
from CMRLib.study.slice_order import Plane

_SAME_POSITION_MM = 0.5
_SAME_DIRECTION = 1e-3


@dataclass(frozen=True)
class Acquisition:
    """Images that become one series, and where its pixels are read from.

    Attributes:
        rule: the rule that recognised them.
        frames: the images in frame order (irw, cine) or from base to apex (stacks).
        phase: the phase images in the order of ``frames``, or empty.
        scheme: one of `CMRLib.study.schemes.SCHEMES`, or "".
        inversion_times_ms: one time per frame, or None where they are not known.
        is_stack: whether the frames are slices at different positions.
        factor: what the values are multiplied by to be in the unit the series is documented to have.
        state: "rest", "stress", "post", or "" for roles without states and before it is told.
    """

    rule: RoleRule
    frames: tuple[FrameHeader, ...]
    phase: tuple[FrameHeader, ...] = ()
    scheme: str = ""
    inversion_times_ms: tuple[float, ...] | None = None
    is_stack: bool = False
    factor: float = 1.0
    state: str = ""

    @property
    def first(self) -> FrameHeader:
        """The image that stands for all: what it says of the series holds for every one."""
        return self.frames[0]

    @property
    def images(self) -> tuple[FrameHeader, ...]:
        """All images, of the phase too."""
        return (*self.frames, *self.phase)

    @property
    def start(self) -> float | None:
        """When the first image was acquired, in seconds, or None where no image says."""
        return min((frame.time for frame in self.frames if frame.time is not None), default=None)

    @property
    def plane(self) -> Plane:
        """Where the first image lies."""
        return Plane(self.first.position, self.first.orientation, self.state)

    def read(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Images and phase (radians) or None, float32 with axes (frame or slice, row, column).

        Raises:
            InputError: a file is missing, cut short or cannot be decoded.
        """
        images = read_frames(self.frames, [self.factor] * len(self.frames))
        if not self.phase:
            return images, None
        return images, read_frames(self.phase, [radians_per_value(frame) or 0.0 for frame in self.phase])


@dataclass
class LeftOut:
    """Collects the images that are not used, with the reasons."""

    entries: dict[tuple[str, str, str], list[FrameHeader]] = field(default_factory=dict)

    def add(self, frames: Iterable[FrameHeader], reason: str, lost_role: str = "") -> None:
        """Leave images out for a reason (one sentence); see `CMRLib.study.series.Unrecognised` for ``lost_role``."""
        for frame in frames:
            self.entries.setdefault((frame.series_uid, reason, lost_role), []).append(frame)

    def unrecognised(self) -> tuple[Unrecognised, ...]:
        """One entry per series and reason, in the order of the series numbers."""

        def place(item: tuple[tuple[str, str, str], list[FrameHeader]]) -> tuple[int, str, int, str]:
            (series_uid, reason, _), frames = item
            return frames[0].series_number or 0, series_uid, frames[0].instance_number or 0, reason

        ordered = sorted(self.entries.items(), key=place)
        return tuple(
            Unrecognised(what=describe(frames), reason=reason, files=files_of(frames), lost_role=lost_role)
            for (_, reason, lost_role), frames in ordered
        )


def lost_files(files: Iterable[tuple[Path, str]], headers: Sequence[FrameHeader]) -> tuple[Unrecognised, ...]:
    """Files that cannot be read, by reason and by the series of the images beside them.

    Args:
        files: each with why it cannot be read.
        headers: of all images that can.
    """
    beside: dict[Path, dict[str, list[FrameHeader]]] = {}
    for header in headers:
        beside.setdefault(header.path.parent, {}).setdefault(header.series_uid, []).append(header)
    lost: dict[tuple[str, str], list[Path]] = {}
    for file, reason in files:
        neighbours = list(beside.get(file.parent, {}).values())
        where = f" beside {describe(neighbours[0])}" if len(neighbours) == 1 else ""
        lost.setdefault((where, reason), []).append(file)
    found = []
    for (where, reason), paths in lost.items():
        count = f"{len(paths)} file{'s' if len(paths) > 1 else ''}"
        found.append(Unrecognised(what=f"{count}{where}", reason=reason, files=tuple(paths), lost_role="unknown"))
    return tuple(found)


def describe(frames: Sequence[FrameHeader]) -> str:
    """Images of one series in words, such as "series 5 MOLLI_sax (8 images)"."""
    first = frames[0]
    number = "series" if first.series_number is None else f"series {first.series_number}"
    name = first.description or first.protocol
    images = f"({len(frames)} image{'s' if len(frames) != 1 else ''})"
    return " ".join(part for part in (number, name, images) if part)


def files_of(frames: Iterable[FrameHeader]) -> tuple[Path, ...]:
    """The files of the images in their order, each once."""
    return tuple(dict.fromkeys(frame.path for frame in frames))


def grouped(frames: Iterable[FrameHeader], key: Callable[[FrameHeader], Hashable]) -> list[list[FrameHeader]]:
    """The images by the value of ``key``, groups in the order of their first image."""
    groups: dict[Hashable, list[FrameHeader]] = {}
    for frame in frames:
        groups.setdefault(key(frame), []).append(frame)
    return list(groups.values())


def is_same_place(header: FrameHeader, other: FrameHeader) -> bool:
    """Whether two images show the same slice on the same grid."""
    return bool(
        np.max(np.abs(np.subtract(header.orientation, other.orientation))) < _SAME_DIRECTION
        and np.linalg.norm(np.subtract(header.position, other.position)) < _SAME_POSITION_MM
        and (header.rows, header.columns) == (other.rows, other.columns)
    )


def by_place(frames: Iterable[FrameHeader]) -> list[list[FrameHeader]]:
    """The images by slice position, groups in the order of their first image."""
    places: list[list[FrameHeader]] = []
    for frame in frames:
        for place in places:
            if is_same_place(frame, place[0]):
                place.append(frame)
                break
        else:
            places.append([frame])
    return places


def in_acquisition_order(frames: Iterable[FrameHeader]) -> tuple[list[FrameHeader], bool]:
    """The images as they were acquired, and whether the headers tell that order.

    The acquisition time decides where it differs between the images; the instance number and the place in a
    multi-frame file decide otherwise. Where nothing does, the order is that of the instance identifiers, so that it
    does not depend on how the files are called.
    """
    frames = list(frames)
    times = [frame.time for frame in frames]
    timed = None not in times and len(set(times)) > 1

    def key(frame: FrameHeader) -> tuple[float, float, int]:
        number = frame.instance_number if frame.instance_number is not None else -1
        return (frame.time or 0.0) if timed else 0.0, float(number), frame.index

    told = len({key(frame) for frame in frames}) == len(frames)
    return sorted(frames, key=lambda frame: (*key(frame), frame.sop_uid)), told


def place_geometry(frame: FrameHeader, spacing: float | None = None, normal: np.ndarray | None = None) -> Geometry:
    """The grid of an image as an array of one slice.

    Args:
        frame: the image.
        spacing: distance to the next slice in mm; the slice's thickness, or 1 mm where it is not known, if None.
        normal: LPS unit vector to the next slice; right-handed to the image's axes if None.

    Raises:
        InputError: the header's numbers make no grid.
    """
    along_row, along_column = np.array(frame.orientation[:3]), np.array(frame.orientation[3:])
    third = np.cross(along_row, along_column) if normal is None else normal
    return Geometry(
        origin=(frame.position[0], frame.position[1], frame.position[2]),
        spacing=(frame.pixel_spacing[1], frame.pixel_spacing[0], spacing or frame.thickness or 1.0),
        direction=tuple(float(v) for v in np.column_stack([along_row, along_column, third]).ravel()),
    )
