"""What a study holds once its files are understood: series of images, and what could not be understood.

These are plain values: they are made from headers alone, and pixels are read only by `Series.load`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from CMRLib.errors import InputError
from CMRLib.geometry import Geometry
from CMRLib.study.magnitude import without_overshoot

ROLES = ("irw", "t1", "lge", "vne", "cine")
STATES = ("rest", "stress", "post")
ROLES_WITH_STATE = ("irw", "t1")
KINDS = ("magnitude", "psir")
STACK = "stack"

_LARGEST_PHASE = 2.0 * np.pi * 1.01


class PixelSource(Protocol):
    """Where the pixels of a series come from."""

    def read(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Images and phase (radians) or None, both (frame or slice, row, column)."""


@dataclass(frozen=True)
class SeriesImages:
    """The pixels of a series.

    Attributes:
        images: float32 with axes (frame, row, column) or (slice, row, column), in the units the file gives them.
        phase: float32 radians (modulo 2 pi) with the axes of ``images``, or None where there is no phase.
        geometry: where the images lie.
        notes: sentences about what was done to the values.
    """

    images: np.ndarray
    phase: np.ndarray | None
    geometry: Geometry
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Series:
    """One acquisition, map or stack of a study.

    Attributes:
        role: "irw" (inversion-recovery weighted images), "t1" (a T1 map), "lge", "vne" or "cine".
        state: "rest" (native), "stress" or "post" (after contrast) for irw and t1; "" otherwise.
        slice: "basal", "mid", "apical", a number counted from the base as text, or "stack" for several slices.
        kind: "magnitude" or "psir" for lge, "" where unknown or not applicable.
        scheme: one of `CMRLib.study.schemes.TITLES`, or "" where it cannot be told; "" for roles other than irw.
        inversion_times_ms: for irw the inversion time of each frame in frame order; None where the files do not tell
            and the user must be asked.
        description: the series description as the scanner gave it.
        files: the files of the images, in frame or slice order (one multi-frame file is named once).
        phase_files: the files of the phase images, empty where there are none.
        geometry: placement of the images; of the first slice's grid for a stack. The third axis of frames has the
            slice's thickness as spacing.
        shape: (frame or slice, row, column). The first axis counts frames for irw and for a cine that is no stack,
            and slices from base to apex otherwise.
        key: short name unique within the study, such as "irw_rest_mid", fit for file names.
        source: where the pixels are read from.
        field_strength_t: the scanner's field in tesla, or None where the files do not tell.
        notes: sentences about what was done to read the series, such as turning its axes.
        series_number: the number that the scanner gave the series (of its first image), or None.
    """

    role: str
    state: str
    slice: str
    kind: str
    scheme: str
    inversion_times_ms: tuple[float, ...] | None
    description: str
    files: tuple[Path, ...]
    phase_files: tuple[Path, ...]
    geometry: Geometry
    shape: tuple[int, int, int]
    key: str
    source: PixelSource = field(repr=False, compare=False)
    field_strength_t: float | None = None
    series_number: int | None = None
    notes: tuple[str, ...] = ()

    def load(self) -> SeriesImages:
        """Read the pixels.

        Raises:
            InputError: a file is missing, cut short or cannot be decoded, or the pixels are not finite or all zero.
        """
        images, phase = self.source.read()
        label = f"{self.key} ({self.description})" if self.description else self.key
        _check_pixels(images, self.shape, label, "image")
        if phase is not None:
            _check_pixels(phase, self.shape, label, "phase image")
            if float(np.max(np.abs(phase))) > _LARGEST_PHASE:
                raise InputError(
                    f"The phase of {label} exceeds two pi after scaling, so its header gives a wrong scale; "
                    "remove the phase images or export them again."
                )
        if self.role == "irw" and (empty := _empty_frames(images)):
            raise InputError(
                f"Image {empty[0] + 1} of {len(images)} of {label} is empty (every pixel is the same), which would "
                "bend every fit; export the series again."
            )
        notes: tuple[str, ...] = ()
        if self.role == "irw":
            images, notes = without_overshoot(images, f"The images of {label}")
        return SeriesImages(images, phase, self.geometry, notes)


def _empty_frames(pixels: np.ndarray) -> list[int]:
    return [index for index, frame in enumerate(pixels) if np.all(frame == frame.flat[0])]


def _check_pixels(pixels: np.ndarray, shape: tuple[int, int, int], label: str, noun: str) -> None:
    if pixels.shape != shape:
        raise InputError(
            f"The {noun}s of {label} have the shape {pixels.shape}, not {shape} as their headers say; "
            "export them again."
        )
    bad = int(np.count_nonzero(~np.isfinite(pixels)))
    if bad:
        raise InputError(
            f"{bad} pixel{'s' if bad > 1 else ''} in the {noun}s of {label} {'are' if bad > 1 else 'is'} not a finite "
            "number (NaN or infinity); export the series again, or set them to zero."
        )
    if len(_empty_frames(pixels)) == len(pixels):
        raise InputError(f"The {noun}s of {label} are empty (every pixel is the same); export the series again.")


@dataclass(frozen=True)
class Unrecognised:
    """Files that are left out, and why.

    Attributes:
        what: the files in words, such as "series 15 ShMOLLI_FITPARAMS (7 images)".
        reason: one sentence: why they are left out and what would change it.
        files: the files.
        lost_role: for images that were meant to be analysed but cannot be, the role of the series that they would have
            been, "phase" for phase images, or "unknown"; "" for files that are left out as they should be.
    """

    what: str
    reason: str
    files: tuple[Path, ...]
    lost_role: str = ""


@dataclass(frozen=True)
class Study:
    """The series of one examination.

    Attributes:
        id: name of the study for result folders; holds no patient name or number.
        series: the usable series, ordered by role, state and slice from base to apex.
        unrecognised: everything else that looked like an image, with the reason.
        path: the folder that was read.
        hematocrit: of the patient's blood, a fraction, as the study states it; None where it does not.
        secret: the key of pseudonyms of a study that is not to tell who the patient is, see
            `CMRLib.export.pseudonyms`; b"" otherwise.
    """

    id: str
    series: tuple[Series, ...]
    unrecognised: tuple[Unrecognised, ...]
    path: Path
    hematocrit: float | None = None
    secret: bytes = field(default=b"", repr=False, compare=False)


def with_unique_keys(series: Iterable[Series]) -> tuple[Series, ...]:
    """The series with ``key`` set from role, state, kind and slice; a repeat gets a number from 2 on."""
    seen: dict[str, int] = {}
    named = []
    for item in series:
        key = "_".join(part for part in (item.role, item.state, item.kind, item.slice) if part)
        seen[key] = seen.get(key, 0) + 1
        named.append(replace(item, key=key if seen[key] == 1 else f"{key}_{seen[key]}"))
    return tuple(named)
