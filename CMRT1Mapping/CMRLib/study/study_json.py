"""Reading ``study.json`` (schema cmr-study/1): series given as image files that SimpleITK reads."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import SimpleITK as sitk  # noqa: N813 (the name its users know)

from CMRLib.anatomy.axis import LEVELS
from CMRLib.errors import InputError
from CMRLib.files.images import read_image
from CMRLib.geometry import Geometry
from CMRLib.study.schemes import SCHEMES, inversion_time_fault, scheme_from_times
from CMRLib.study.series import KINDS, ROLES, ROLES_WITH_STATE, STACK, STATES, Series, Study, with_unique_keys

STUDY_FILE = "study.json"
_SCHEMA = "cmr-study/1"
_SERIES_KEYS = {"role", "state", "slice", "kind", "file", "phase_file", "inversion_times_ms", "scheme"}
# Keys that mean nothing for other roles, with the roles that have them.
_ONLY_FOR = {
    "state": ROLES_WITH_STATE,
    "kind": ("lge",),
    "phase_file": ("irw",),
    "inversion_times_ms": ("irw",),
    "scheme": ("irw",),
}
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_TWELVE_BIT_TURN = 4096.0


@dataclass(frozen=True)
class FileSource:
    """The pixels of a series in image files that SimpleITK reads."""

    file: Path
    phase_file: Path | None = None

    def read(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Images and phase in radians or None, float32 with axes (frame or slice, row, column)."""
        images, _ = read_image(self.file)
        return images, None if self.phase_file is None else _phase_in_radians(self.phase_file)


def is_study_id(value: Any) -> TypeGuard[str]:
    """Whether ``value`` can be the id of a study: text that can name a folder on every system."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def read_study_json(path: Path) -> Study:
    """Read the study that a ``study.json`` describes; of the image files only the headers are read.

    A state that is not given is "rest" for irw and t1; a slice that is not given is "stack" for several slices and
    "mid" for one; a scheme that is not given is told from the inversion times, where they show one. Phase files hold
    radians, or 12 bit whole numbers (0 to 4095, or -4096 to 4095) for a full turn.

    Raises:
        InputError: the file is not valid, an image is missing, or images and inversion times do not fit.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read; check its permissions.") from error
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON: {error}.") from error
    try:
        return _parse(content, path.parent)
    except _StudyError as error:
        raise InputError(f"{path} cannot be used: {error}.") from error


class _StudyError(ValueError):
    """What is wrong with a study file, as a clause."""


def _parse(content: Any, folder: Path) -> Study:
    if not isinstance(content, dict) or content.get("schema") != _SCHEMA:
        raise _StudyError(f'its "schema" must be "{_SCHEMA}"')
    _no_others(content, {"schema", "id", "series"}, "the file")
    study_id = content.get("id")
    if not is_study_id(study_id):
        raise _StudyError('its "id" must be a name of letters, digits, ".", "_" and "-" (it names the result folder)')
    entries = content.get("series")
    if not isinstance(entries, list) or not entries:
        raise _StudyError('its "series" must be a list with at least one series')
    series = [_series(entry, folder, f"series {number}") for number, entry in enumerate(entries, start=1)]
    return Study(id=study_id, series=with_unique_keys(series), unrecognised=(), path=folder)


def _series(entry: Any, folder: Path, where: str) -> Series:
    if not isinstance(entry, dict):
        raise _StudyError(f"{where} must be an object")
    _no_others(entry, _SERIES_KEYS, where)
    role = _one_of(entry, "role", ROLES, where)
    for key, roles in _ONLY_FOR.items():
        if key in entry and role not in roles:
            raise _StudyError(f'"{key}" of {where} has no meaning for the role "{role}" (only for {", ".join(roles)})')
    file = _file(entry, "file", folder, where)
    geometry, shape = _header(file, where)
    phase_file = _file(entry, "phase_file", folder, where) if "phase_file" in entry else None
    if phase_file is not None and (phase_shape := _header(phase_file, where)[1]) != shape:
        raise _StudyError(
            f"the phase of {where} has the shape {phase_shape} (frame, row, column) and its images have {shape}"
        )
    times = _times(entry, where)
    scheme = _one_of(entry, "scheme", SCHEMES, where) if "scheme" in entry else scheme_from_times(times or ())
    if role == "irw" and (fault := inversion_time_fault(times or (), shape[0], scheme)):
        raise _StudyError(f"{where} ({file.name}) does not fit together: {fault}")
    slice_name = _slice_name(entry, role, shape[0], where)
    usual_state = STATES[0] if role in ROLES_WITH_STATE else ""
    return Series(
        role=role,
        state=_one_of(entry, "state", STATES, where) if "state" in entry else usual_state,
        slice=slice_name,
        kind=_one_of(entry, "kind", KINDS, where) if "kind" in entry else "",
        scheme=scheme if role == "irw" else "",
        inversion_times_ms=times,
        description="",
        files=(file,),
        phase_files=() if phase_file is None else (phase_file,),
        geometry=geometry,
        shape=shape,
        key="",
        source=FileSource(file, phase_file),
    )


def _slice_name(entry: dict[str, Any], role: str, count: int, where: str) -> str:
    """The slice as text; "stack" and a file of several slices go together."""
    given = entry.get("slice")
    if given is None:
        return STACK if count > 1 and role != "irw" else "mid"
    is_number = (isinstance(given, int) and not isinstance(given, bool) and given >= 0) or (
        isinstance(given, str) and given.isdecimal()
    )
    if not is_number and given not in (*LEVELS, STACK):
        allowed = ", ".join((*LEVELS, STACK))
        raise _StudyError(f'"slice" of {where} is {json.dumps(given)} and must be one of {allowed}, or a number from 0')
    if role == "irw" and given == STACK:
        raise _StudyError(f"{where} holds frames of one slice, so its slice cannot be a stack; give each slice a file")
    if role not in ("irw", "cine") and given != STACK and count > 1:
        raise _StudyError(f'{where} has {count} slices in its file, so its "slice" must be "stack"')
    return str(int(given)) if is_number else str(given)


def _times(entry: dict[str, Any], where: str) -> tuple[float, ...] | None:
    given = entry.get("inversion_times_ms")
    if given is None:
        return None
    if not isinstance(given, list) or not given or not all(_is_number(time) for time in given):
        raise _StudyError(f'"inversion_times_ms" of {where} must be a list of numbers, one per image')
    return tuple(float(time) for time in given)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _file(entry: dict[str, Any], key: str, folder: Path, where: str) -> Path:
    name = entry.get(key)
    if not isinstance(name, str) or not name:
        raise _StudyError(f'"{key}" of {where} must name an image file')
    path = folder / name
    if not path.is_file():
        raise _StudyError(f'there is no image file "{name}" ("{key}" of {where}) beside it')
    return path


def _header(path: Path, where: str) -> tuple[Geometry, tuple[int, int, int]]:
    """Geometry and shape (frame or slice, row, column) of an image file, without its pixels."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _StudyError(f"{path.name} ({where}) cannot be read as an image; it may be damaged") from error
    size, dimension = reader.GetSize(), reader.GetDimension()
    if dimension not in (2, 3) or reader.GetNumberOfComponents() != 1:
        raise _StudyError(f"{path.name} ({where}) is not a 2D or 3D image with one value a pixel")
    grid = reader if dimension == 3 else sitk.JoinSeries(_flat_image(reader))
    try:
        geometry = Geometry(grid.GetOrigin(), grid.GetSpacing(), grid.GetDirection())
    except InputError as error:
        raise InputError(f"{path.name} ({where}): {error}") from error
    return geometry, (size[2] if dimension == 3 else 1, size[1], size[0])


def _flat_image(reader: sitk.ImageFileReader) -> sitk.Image:
    """A one-pixel 2D image with the geometry that the reader found."""
    image = sitk.Image(1, 1, sitk.sitkUInt8)
    image.SetOrigin(reader.GetOrigin())
    image.SetSpacing(reader.GetSpacing())
    image.SetDirection(reader.GetDirection())
    return image


def _phase_in_radians(path: Path) -> np.ndarray:
    """A phase file's values as float32 radians."""
    phase, _ = read_image(path)
    low, high = float(np.nanmin(phase)), float(np.nanmax(phase))
    if max(-low, high) <= 2.0 * np.pi + 1e-3:
        return phase
    if not np.any(phase != np.round(phase)):
        if low >= 0 and high < _TWELVE_BIT_TURN:
            return phase * np.float32(2.0 * np.pi / _TWELVE_BIT_TURN)
        if low >= -_TWELVE_BIT_TURN and high < _TWELVE_BIT_TURN:
            return phase * np.float32(np.pi / _TWELVE_BIT_TURN)
    raise InputError(
        f"The phase in {path.name} runs from {low:g} to {high:g}, which is neither radians nor 12 bit; "
        "save it in radians."
    )


def _no_others(entry: dict[str, Any], allowed: set[str], where: str) -> None:
    if others := sorted(set(entry) - allowed):
        raise _StudyError(f'{where} has the unknown key "{others[0]}" (known: {", ".join(sorted(allowed))})')


def _one_of(entry: dict[str, Any], key: str, allowed: tuple[str, ...], where: str) -> str:
    value = entry.get(key)
    if value not in allowed:
        raise _StudyError(f'"{key}" of {where} is {json.dumps(value)} and must be one of {", ".join(allowed)}')
    return str(value)
