"""What a study is read from: what the user states of it, and how results remember it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from CMRLib.files.segmentations import LABELS_ENDING, SEGMENTATION_ENDING
from CMRLib.networks.models import file_sha256
from CMRLib.study.reading import read_study
from CMRLib.study.series import Series, Study
from CMRLib.study.study_json import STUDY_FILE

# Files of headers alone; SimpleITK finds the pixels in another file of the folder.
_DETACHED_HEADERS = {".nhdr", ".mhd", ".hdr", ".img"}
_NO_PIXELS = {".json", ".csv"}


def read_stated(folder: Path, inversion_times_ms: Sequence[float] | None, scheme: str) -> tuple[Study, tuple[str, ...]]:
    """A study with what the user states of its inversion-recovery series.

    Args:
        folder: as for `CMRLib.study.reading.read_study`.
        inversion_times_ms: times in ms for series whose files do not tell theirs, in the order of acquisition.
        scheme: of all inversion-recovery series; "" leaves it to the files.

    Returns:
        The study, and a sentence for each series that keeps other times than those stated.

    Raises:
        InputError: the study cannot be read, or what is stated does not fit.
    """
    study = read_study(folder, inversion_times_ms=inversion_times_ms, scheme=scheme)
    stated = None if inversion_times_ms is None else tuple(inversion_times_ms)
    kept = tuple(
        f"{series.key}: its files tell its inversion times, so those stated were not used; to correct them, describe "
        "the series in a study.json."
        for series in study.series
        if series.role == "irw" and stated is not None and series.inversion_times_ms != stated
    )
    return study, kept


def inputs_of(study: Study) -> dict[str, Any]:
    """What the results of a study remember of its files: digests alone, as names may be a patient's.

    ``place`` stands for the folder, ``state`` for its files' names, sizes and times of change, ``content`` for their
    names and content; the last two stand for what was understood of them too. ``files`` is their number.
    """
    return {
        "files": len(_files(study)),
        "place": _place(study),
        "state": _state(study),
        "content": _content(study),
    }


def are_same(recorded: Mapping[str, Any], study: Study) -> bool:
    """Whether what is recorded of earlier input (as by `inputs_of`) holds for a study.

    Content is read only where it is needed: files that were copied have other times, but are the same.
    """
    if not recorded or recorded.get("files") != len(_files(study)):
        return False
    untouched = recorded.get("place") == _place(study) and recorded.get("state") == _state(study)
    return untouched or recorded.get("content") == _content(study)


def is_same_place(recorded: Mapping[str, Any], study: Study) -> bool:
    """Whether earlier input lay in the same folder, so that it can be taken for the same study."""
    return recorded.get("place") == _place(study)


def _files(study: Study) -> list[Path]:
    """Every file that the study was read from, that was left out of it, or that may correct a result."""
    series = [file for one in study.series for file in (*one.files, *one.phase_files)]
    files = {*series, *(file for item in study.unrecognised for file in item.files), study.path / STUDY_FILE}
    for ending in (SEGMENTATION_ENDING, LABELS_ENDING):  # which someone may have corrected
        files |= set(study.path.glob(f"*{ending}"))
    for file in series:
        if file.suffix.lower() in _DETACHED_HEADERS:
            files |= {other for other in file.parent.iterdir() if other.suffix.lower() not in _NO_PIXELS}
    return sorted((file for file in files if file.is_file()), key=os.fsencode)


def _place(study: Study) -> str:
    return hashlib.sha256(os.fsencode(study.path.resolve())).hexdigest()


def _state(study: Study) -> str:
    stats = [(file, file.stat()) for file in _files(study)]
    parts = (f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino}" for _, stat in stats)
    return _digest(study, parts)


def _content(study: Study) -> str:
    return _digest(study, (file_sha256(file) for file in _files(study)))


def _digest(study: Study, parts: Iterable[str]) -> str:
    digest = hashlib.sha256(repr([_understood(series) for series in study.series]).encode())
    for file, part in zip(_files(study), parts, strict=True):
        digest.update(os.fsencode(os.path.relpath(file, study.path)) + b"\0" + part.encode() + b"\0")
    return digest.hexdigest()


def _understood(series: Series) -> tuple[Any, ...]:
    """What a series is taken for, which rules of a site may change."""
    kind = (series.key, series.role, series.state, series.slice, series.kind, series.shape)
    return (*kind, series.scheme, series.inversion_times_ms)
