"""Reading ``study.json`` (schema cmr-study/1): series given as image files that SimpleITK reads, or as DICOM series."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeGuard

from CMRLib.anatomy.axis import LEVELS
from CMRLib.errors import InputError
from CMRLib.study.dicom.described import described_series
from CMRLib.study.dicom.files import find_dicom_files, is_dicom_file
from CMRLib.study.hematocrit import hematocrit_fault
from CMRLib.study.image_files import FileSource, ImageFile, look_at
from CMRLib.study.schemes import SCHEMES, inversion_time_fault, scheme_from_times
from CMRLib.study.series import KINDS, ROLES, ROLES_WITH_STATE, STACK, STATES, Series, Study, with_unique_keys

STUDY_FILE = "study.json"
_SCHEMA = "cmr-study/1"
_SERIES_KEYS = {
    *("role", "state", "slice", "kind", "file", "phase_file", "series_number", "inversion_times_ms", "scheme"),
}
# Keys that mean nothing for other roles, with the roles that have them.
_ONLY_FOR = {
    "state": ROLES_WITH_STATE,
    "kind": ("lge",),
    "phase_file": ("irw",),
    "inversion_times_ms": ("irw",),
    "scheme": ("irw",),
}
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def is_study_id(value: Any) -> TypeGuard[str]:
    """Whether ``value`` can be the id of a study: text that can name a folder on every system."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def read_study_json(path: Path) -> Study:
    """Read the study that a ``study.json`` describes; of the images only the headers are read.

    ``file`` names an image file, or a folder of DICOM files (or, for irw, one DICOM file) that holds one series of the
    role; where it holds more, ``series_number`` says which. Phase images in that folder are found. Inversion times and
    scheme that are not stated are those of the headers. ``hematocrit``, which ECV needs, is a fraction.

    A state that is not given is "rest" for irw and t1; a slice that is not given is "stack" for several slices and
    "mid" for one; a scheme that is not given is told from the inversion times, where they show one. Phase files hold
    radians, or 12 bit whole numbers (0 to 4095, or -4096 to 4095) for a full turn.

    Raises:
        InputError: the file is not valid, an image is missing, or images and inversion times do not fit.
    """
    try:
        content = json.loads(path.read_bytes())  # finds out about UTF-8, UTF-16 and a byte order mark
    except OSError as error:
        raise InputError(f"{path} cannot be read; check its permissions.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text in UTF-8; save it with this encoding.") from error
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
    _no_others(content, {"schema", "id", "series", "hematocrit"}, "the file")
    study_id = content.get("id")
    if not is_study_id(study_id):
        raise _StudyError('its "id" must be a name of letters, digits, ".", "_" and "-" (it names the result folder)')
    entries = content.get("series")
    if not isinstance(entries, list) or not entries:
        raise _StudyError('its "series" must be a list with at least one series')
    series = [_series(entry, folder, f"series {number}") for number, entry in enumerate(entries, start=1)]
    return Study(
        id=study_id,
        series=with_unique_keys(series),
        unrecognised=(),
        path=folder,
        hematocrit=_hematocrit(content),
    )


def _hematocrit(content: dict[str, Any]) -> float | None:
    value = content.get("hematocrit")
    if value is None:
        return None
    if not _is_number(value):
        raise _StudyError('its "hematocrit" must be a number from 0 to 1')
    if fault := hematocrit_fault(float(value)):
        raise _StudyError(f'its "hematocrit" is wrong: {fault}')
    return float(value)


def _series(entry: Any, folder: Path, where: str) -> Series:
    if not isinstance(entry, dict):
        raise _StudyError(f"{where} must be an object")
    _no_others(entry, _SERIES_KEYS, where)
    role = _one_of(entry, "role", ROLES, where)
    for key, roles in _ONLY_FOR.items():
        if key in entry and role not in roles:
            raise _StudyError(f'"{key}" of {where} has no meaning for the role "{role}" (only for {", ".join(roles)})')
    stated_kind = _one_of(entry, "kind", KINDS, where) if "kind" in entry else ""
    stated_scheme = _one_of(entry, "scheme", SCHEMES, where) if "scheme" in entry else ""
    times = _times(entry, where)
    paths = [_path(entry, key, folder, where) for key in ("file", "phase_file") if key in entry or key == "file"]
    if _is_dicom_series(paths[0], role):
        number = _series_number(entry, where)
        files = [file for path in paths for file in (find_dicom_files(path) if path.is_dir() else [path])]
        try:
            series = described_series(files, role, stated_kind, stated_scheme, times, number)
        except InputError as error:
            raise _StudyError(f'"file" of {where} {error}') from error
    elif "series_number" in entry:
        raise _StudyError(f'"series_number" of {where} has no meaning, as its "file" is no folder of DICOM files')
    else:
        series = _series_in_files(paths, role, stated_kind, stated_scheme, times, where)
    usual_state = STATES[0] if role in ROLES_WITH_STATE else ""
    return replace(
        series,
        state=_one_of(entry, "state", STATES, where) if "state" in entry else usual_state,
        slice=_slice_name(entry, role, series.shape[0], where),
    )


def _series_in_files(
    paths: Sequence[Path], role: str, kind: str, scheme: str, times: tuple[float, ...] | None, where: str
) -> Series:
    """The series in one image file, and its phase in a second one."""
    images, *phase = (
        _look_at(path, role, times, f'"{key}" of {where}')
        for key, path in zip(("file", "phase_file"), paths, strict=False)
    )
    if phase and phase[0].shape != images.shape:
        raise _StudyError(
            f"the phase of {where} has the shape {phase[0].shape} (frame, row, column) and its images have "
            f"{images.shape}"
        )
    if role == "irw" and (fault := inversion_time_fault(times or (), images.shape[0], scheme)):
        raise _StudyError(f"{where} does not fit together: {fault}")
    return Series(
        role=role,
        state="",
        slice="",
        kind=kind,
        scheme=(scheme or scheme_from_times(times or ())) if role == "irw" else "",
        inversion_times_ms=times,
        description="",
        files=(images.path,),
        phase_files=tuple(file.path for file in phase),
        geometry=images.geometry,
        shape=images.shape,
        key="",
        source=FileSource(images, *phase),
        notes=images.notes,
    )


def _is_dicom_series(path: Path, role: str) -> bool:
    """Whether a path is read by DICOM's own rules: a folder, or a file whose frames need their order and times."""
    return path.is_dir() or (role == "irw" and is_dicom_file(path))


def _look_at(path: Path, role: str, times: tuple[float, ...] | None, where: str) -> ImageFile:
    try:
        return look_at(path, role, len(times) if times else None)
    except InputError as error:
        raise _StudyError(f"{where} {error}") from error


def _series_number(entry: dict[str, Any], where: str) -> int | None:
    number = entry.get("series_number")
    if number is not None and (isinstance(number, bool) or not isinstance(number, int)):
        raise _StudyError(f'"series_number" of {where} must be a whole number')
    return number


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


def _path(entry: dict[str, Any], key: str, folder: Path, where: str) -> Path:
    """What a key points at; files are often named after patients, so messages name them by their place."""
    name = entry.get(key)
    if not isinstance(name, str) or not name:
        raise _StudyError(f'"{key}" of {where} must name an image file or a folder of DICOM files')
    path = folder / name
    if not path.exists():
        raise _StudyError(f'there is no image file or folder where "{key}" of {where} points')
    return path


def _no_others(entry: dict[str, Any], allowed: set[str], where: str) -> None:
    if others := sorted(set(entry) - allowed):
        raise _StudyError(f'{where} has the unknown key "{others[0]}" (known: {", ".join(sorted(allowed))})')


def _one_of(entry: dict[str, Any], key: str, allowed: tuple[str, ...], where: str) -> str:
    value = entry.get(key)
    if value not in allowed:
        raise _StudyError(f'"{key}" of {where} is {json.dumps(value)} and must be one of {", ".join(allowed)}')
    return str(value)
