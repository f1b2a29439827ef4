"""Reading a study: a folder of DICOM files at any depth, or a folder with a ``study.json``.

Only headers are read here; `CMRLib.study.series.Series.load` reads the pixels of one series.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from CMRLib.errors import InputError
from CMRLib.study.dicom.files import find_files
from CMRLib.study.dicom.groups import grouped, lost_files
from CMRLib.study.dicom.headers import read_all_headers
from CMRLib.study.dicom.series import series_of_study
from CMRLib.study.rules import SeriesRules, load_rules
from CMRLib.study.schemes import SCHEMES, inversion_time_fault, scheme_from_times
from CMRLib.study.series import Series, SeriesImages, Study, Unrecognised, with_unique_keys
from CMRLib.study.study_json import STUDY_FILE, read_study_json

__all__ = ["Series", "SeriesImages", "Study", "Unrecognised", "read_study", "scan_files"]


def read_study(
    path: Path | str,
    rules: Path | str | None = None,
    inversion_times_ms: Sequence[float] | None = None,
    scheme: str = "",
) -> Study:
    """Read one study.

    Args:
        path: a folder with DICOM files at any depth, a folder with a ``study.json``, or that file itself.
        rules: a file of series rules (see ``Resources/series_rules.json``); by default the one named by the
            environment variable ``CMR_SERIES_RULES``, else the one shipped.
        inversion_times_ms: times for the inversion-recovery series whose files do not tell them, in the order in which
            the images were acquired. Series whose files tell them keep their own.
        scheme: one of `CMRLib.study.schemes.SCHEMES` for every inversion-recovery series, whatever it is called; "" for
            what names and times tell.

    Returns:
        The study. Its id is the one of the ``study.json``, or "study-" and eight digits of a hash of the DICOM study's
        UID, so that it names the same study each time and no patient.

    Raises:
        InputError: there is no such folder, nothing to read in it, more than one DICOM study, or a ``study.json``,
            rules, inversion times or a scheme that do not fit.
    """
    path = Path(path)
    if scheme not in ("", *SCHEMES):
        raise InputError(f'There is no scheme called "{scheme}"; it must be one of {", ".join(SCHEMES)}.')
    if path.name == STUDY_FILE and path.is_file():
        study = read_study_json(path)
    elif not path.is_dir():
        raise InputError(f"There is no folder {path}; give the folder of a study.")
    elif (path / STUDY_FILE).is_file():
        study = read_study_json(path / STUDY_FILE)
    else:
        chosen = load_rules(rules)
        study = _read_dicom_folder(path, chosen.with_scheme(scheme) if scheme else chosen)
    return replace(study, series=tuple(_as_stated(series, inversion_times_ms, scheme) for series in study.series))


def scan_files(
    files: Iterable[Path | str], rules: Path | str | None = None
) -> tuple[tuple[Series, ...], tuple[Unrecognised, ...]]:
    """Group DICOM files by their headers; files of several studies are kept apart.

    Args:
        files: the files, in any order.
        rules: as for `read_study`.

    Returns:
        The usable series, and what is left out with its reason.
    """
    headers, unreadable = read_all_headers(Path(file) for file in files)
    chosen = load_rules(rules)
    series: list[Series] = []
    unrecognised = list(lost_files(unreadable, headers))
    for study in sorted(grouped(headers, lambda header: header.study_uid), key=lambda study: study[0].study_uid):
        found, left_out = series_of_study(study, chosen)
        series += found
        unrecognised += left_out
    return with_unique_keys(series), tuple(unrecognised)


def _read_dicom_folder(folder: Path, rules: SeriesRules) -> Study:
    found = find_files(folder)
    headers, unreadable = read_all_headers(found.dicom)
    if not headers and not unreadable:
        lost = "".join(f" {item.what}: {item.reason}" for item in lost_files(found.lost, []))
        raise InputError(f"{folder} holds no DICOM file and no {STUDY_FILE}; give the folder of a study.{lost}")
    studies = {header.study_uid for header in headers if not header.fault}
    if len(studies) > 1:
        raise InputError(
            f"{folder} holds {len(studies)} DICOM studies; put each study into its own folder (rest and stress images "
            "of one patient that were stored as two studies can be joined in a study.json)."
        )
    series, left_out = series_of_study(headers, rules)
    # Without a study UID the folder's name stands in; it is hashed too, as it may be a patient's.
    uid = next((header.study_uid for header in headers if header.study_uid), folder.resolve().name)
    return Study(
        id=f"study-{hashlib.sha256(os.fsencode(uid)).hexdigest()[:8]}",
        series=series,
        unrecognised=(*lost_files([*found.lost, *unreadable], headers), *left_out),
        path=folder,
    )


def _as_stated(series: Series, inversion_times_ms: Sequence[float] | None, scheme: str) -> Series:
    """The series with what was stated for all of its role: times where it has none, and the scheme."""
    if series.role != "irw" or (inversion_times_ms is None and not scheme):
        return series
    times = series.inversion_times_ms
    if times is None and inversion_times_ms is not None:
        times = tuple(float(time) for time in inversion_times_ms)
    scheme = scheme or series.scheme or scheme_from_times(times or ())
    fault = "no time was given" if times == () else inversion_time_fault(times or (), series.shape[0], scheme)
    if fault:
        raise InputError(
            f"What was stated does not fit {series.key} ({series.description}): {fault}; state one inversion time "
            "in ms per image, in the order of acquisition, and the scheme that the images were acquired with."
        )
    return replace(series, inversion_times_ms=times, scheme=scheme)
