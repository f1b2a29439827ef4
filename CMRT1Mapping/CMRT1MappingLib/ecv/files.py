"""The files of the ECV of one native T1 map, and its entries of ``results.json``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from CMRLib.batch.results import series_entry
from CMRLib.batch.step import StepResult
from CMRLib.files.images import write_image
from CMRLib.provenance import result_attributes
from CMRT1MappingLib.ecv.calculation import EcvFlag
from CMRT1MappingLib.ecv.mapping import REGISTRATION_OFF, EcvResult

# Role -> its unit, "" where it has none.
ECV_MAPS = {"ecv": "%", "ecv_error": "%", "ecv_flags": "", "post_t1": "ms"}


@dataclass(frozen=True)
class SliceEcv:
    """The ECV of one slice of a native map.

    Attributes:
        index: of the slice in the map.
        post: key of the post-contrast map.
        result: the ECV.
        inner: bool (row, column), the wall without its border.
        segments: uint8 (row, column), AHA segments; None where they are not known.
        reasons: why it is doubtful, a sentence each.
        seconds: what it took.
    """

    index: int
    post: str
    result: EcvResult
    inner: np.ndarray
    segments: np.ndarray | None
    reasons: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class EcvOfMap:
    """The ECV of the slices of one native map that have a partner; each slice once."""

    slices: tuple[SliceEcv, ...]

    def stack(self, role: str, shape: tuple[int, ...]) -> np.ndarray | None:
        """A map of `ECV_MAPS` or "displacement" of every slice, 0 where there is none; None where no slice has it.

        Args:
            role: which one.
            shape: of the native map, (slice, row, column).

        Returns:
            (slice, row, column), or (slice, 2, row, column) for the displacement.
        """
        planes = {one.index: _plane(role, one.result) for one in self.slices}
        if any(plane is None for plane in planes.values()):
            return None
        empty = EcvFlag.NO_POST_T1 if role == "ecv_flags" else 0
        plane_shape = (2, *shape[1:]) if role == "displacement" else shape[1:]
        dtype = np.uint8 if role == "ecv_flags" else np.float32
        stack = np.full((shape[0], *plane_shape), empty, dtype)
        for index, plane in planes.items():
            stack[index] = plane
        return stack


def _plane(role: str, result: EcvResult) -> np.ndarray | None:
    if role == "ecv":
        return np.nan_to_num(result.ecv.percent)
    if role == "ecv_error":
        return None if result.ecv.error is None else np.nan_to_num(result.ecv.error)
    if role == "displacement":
        return None if result.alignment is None else result.alignment.displacement
    return result.ecv.flags if role == "ecv_flags" else result.post


def write_ecv(folder: Path, made: StepResult) -> list[dict[str, Any]]:
    """Write the maps of one native map as NRRD with its geometry, and return the entries of its slices.

    ECV and its standard error are in percent, 0 where there is none: ``*_ecv_flags.nrrd`` says why (see
    `CMRT1MappingLib.ecv.calculation.EcvFlag`). ``*_post_t1.nrrd`` is T1 after contrast on the native map's grid,
    registered, and ``*_ecv_displacement.nrrd`` how that was done, vectors in LPS mm: the post-contrast map resampled
    through it lies on the native one.

    Raises:
        OutputError: a file cannot be written.
    """
    value: EcvOfMap = made.value
    first = value.slices[0].result
    files: dict[str, str | None] = {}
    for role, unit in ECV_MAPS.items():
        stack = value.stack(role, made.images.shape)
        name = None
        if stack is not None:
            header = result_attributes(role, source=made.key, parameters=first.parameters())
            header |= {"CMR.Unit": unit} if unit else {}
            name = write_image(folder / f"{made.key}_{role}.nrrd", stack, made.geometry, header).name
        files[f"{role}_file"] = name
    displacement = value.stack("displacement", made.images.shape)
    files["displacement_file"] = None
    if displacement is not None:
        header = result_attributes("ecv_displacement", source=made.key) | {"CMR.Unit": "mm"}
        vectors = made.geometry.displacement_in_lps(displacement)
        path = folder / f"{made.key}_ecv_displacement.nrrd"
        files["displacement_file"] = write_image(path, vectors, made.geometry, header).name
    return [_entry(made, one, files) for one in value.slices]


def _entry(made: StepResult, one: SliceEcv, files: dict[str, str | None]) -> dict[str, Any]:
    result, alignment = one.result, one.result.alignment
    segments = {} if one.segments is None else result.segments(one.segments)
    there = {str(number): region for number, region in segments.items() if region is not None}
    errors = {number: _rounded(region.error) for number, region in there.items()}
    return {
        "role": "t1",
        **series_entry(made.series, one.index),
        "post": one.post,
        **files,
        "hematocrit": round(result.hematocrit.value, 4),
        "hematocrit_source": result.hematocrit.source,
        "blood_native_ms": round(result.blood.native_ms, 1),
        "blood_post_ms": round(result.blood.post_ms, 1),
        "blood_pixels": result.blood.pixels,
        "mean_percent": round(result.mean.percent, 3),
        "mean_error": _rounded(result.mean.error),
        "segments_percent": {number: round(region.percent, 3) for number, region in there.items()},
        "segments_error": errors,
        "registration": REGISTRATION_OFF if alignment is None else alignment.outcome,
        "moved_mm": None if alignment is None else round(alignment.moved_mm, 3),
        "flagged": bool(one.reasons),
        "reason": " ".join(one.reasons),
        "seconds": round(one.seconds, 3),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
