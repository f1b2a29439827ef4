"""Results that do not tell who a patient is: pseudonyms made with a secret key that the user keeps.

A pseudonym is a keyed digest (HMAC-SHA-256) of the patient's identifier: the same patient gets the same one in every
run with the same key, and without the key nobody can find the patient, or test a guess, from it.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset

from CMRLib.errors import InputError, OutputError
from CMRLib.files.atomic import write_text
from CMRLib.files.locks import locked
from CMRLib.study.dicom.files import is_dicom_file
from CMRLib.study.dicom.values import without_messages
from CMRLib.study.series import Study, Unrecognised

REMOVED_METHOD = "CMRMapping: no names, identifiers or dates; keyed pseudonyms"
REMOVED = "[removed]"
KEY_BYTES = 32
_PATIENCE_S = 10.0
_SHORTEST = 3  # characters of a value below which it cannot tell a patient from a word
_TELLING = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "OtherPatientIDs", "OtherPatientNames"),
    *("PatientAddress", "PatientTelephoneNumbers", "PatientMotherBirthName", "PatientBirthName"),
    *("AccessionNumber", "StudyID", "StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate", "StudyDescription"),
    *(
        "ReferringPhysicianName",
        "PerformingPhysicianName",
        "OperatorsName",
        "PhysiciansOfRecord",
        "RequestingPhysician",
    ),
    *("InstitutionName", "InstitutionAddress", "StationName", "DeviceSerialNumber", "SeriesDescription"),
    *("ProtocolName", "PatientComments", "ImageComments", "StudyInstanceUID", "SeriesInstanceUID"),
    *("FrameOfReferenceUID", "RequestedProcedureDescription", "PerformedProcedureStepDescription"),
)


def default_key_file() -> Path:
    """Where the key lies if the user names no place: among the user's settings."""
    home = os.environ.get("APPDATA") if os.name == "nt" else os.environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "cmr-mapping" / "pseudonym.key"


def read_key(path: Path, output: Path) -> tuple[bytes, bool]:
    """The secret key in a file, which is made with a random key where it is missing.

    Args:
        path: the file.
        output: folder of the results, which may be given away and so must not hold the key.

    Returns:
        The key, and whether it was made.

    Raises:
        InputError: the file holds no key, or lies among the results.
        OutputError: it cannot be made.
    """
    if path.resolve().is_relative_to(output.resolve()):
        raise InputError("The key of the pseudonyms must not lie among the results; keep it in another folder.")
    made = False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.with_name(f".lock-{path.name}"), _PATIENCE_S):
            if not path.exists():
                write_text(path, secrets.token_hex(KEY_BYTES) + "\n")
                path.chmod(0o600)
                made = True
            text = path.read_text(encoding="ascii").strip()
    except (OSError, OutputError) as error:
        raise OutputError(
            f"The key of the pseudonyms {path} cannot be read or made; name another file with --pseudonym-key."
        ) from error
    except ValueError as error:
        raise InputError(_no_key(path)) from error
    if not re.fullmatch(rf"[0-9a-f]{{{2 * KEY_BYTES}}}", text):
        raise InputError(_no_key(path))
    return bytes.fromhex(text), made


def _no_key(path: Path) -> str:
    return f"{path} holds no key of pseudonyms (64 hexadecimal digits); name another file with --pseudonym-key."


def patient_pseudonym(secret: bytes, header: Dataset) -> str:
    """The pseudonym of the patient that a DICOM header names; of the study's where it names none."""
    patient = str(header.get("PatientID", "") or "").strip()
    issuer = str(header.get("IssuerOfPatientID", "") or "").strip()
    study = str(header.get("StudyInstanceUID", "") or "")
    return _pseudonym(secret, f"patient {issuer}\\{patient}" if patient else f"study {study}")


def deidentified(study: Study, secret: bytes) -> Study:
    """The study with a pseudonym for its id, and without what its files say in words.

    The id is the patient's pseudonym, a dash, and a few characters that tell the patient's studies apart.
    """
    header = next((header for series in study.series for header in _headers(series.files[:1])), None)
    if header is None:
        patient, exam = _pseudonym(secret, f"id {study.id}"), study.id
    else:
        patient, exam = patient_pseudonym(secret, header), f"{header.get('StudyInstanceUID', '')} {study.id}"
    return replace(
        study,
        id=f"{patient}-{_digest(secret, f'exam {exam}').hex()[:8]}",
        series=tuple(replace(series, description="") for series in study.series),
        unrecognised=tuple(_without_name(item) for item in study.unrecognised),
        secret=secret,
    )


def _without_name(item: Unrecognised) -> Unrecognised:
    """Without the series's description between its number and the number of its images."""
    return replace(item, what=re.sub(r"(series(?: \d{1,6})?) .*(\(\d+ images?\))$", r"\1 \2", item.what))


def _pseudonym(secret: bytes, text: str) -> str:
    return "P" + base64.b32encode(_digest(secret, text)).decode("ascii")[:12]


def _digest(secret: bytes, text: str) -> bytes:
    return hmac.new(secret, text.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()


@dataclass(frozen=True)
class Scrubber:
    """Takes out of sentences what a study's files say about the patient; for sentences that quote them after all."""

    telling: tuple[str, ...]

    @classmethod
    def of(cls, study: Study) -> Scrubber:
        """For the sentences about a study."""
        series = [one.files[:1] for one in study.series] + [item.files[:1] for item in study.unrecognised]
        values = {_telling_name(study.path), *(file.name for files in series for file in files)}
        for header in (header for files in series for header in _headers(files)):
            for keyword in _TELLING:
                value = str(header.get(keyword, "") or "")
                values |= {value, *re.split(r"[\^\\=, ]+", value)} if "Name" in keyword else {value}
        return cls(tuple(sorted((v for v in values if len(v) >= _SHORTEST), key=lambda v: (-len(v), v))))

    def scrub(self, results: Mapping[str, Any]) -> dict[str, Any]:
        """The results of a study with clean sentences."""
        return {**results, **{kind: self.sentences(results[kind]) for kind in ("errors", "warnings", "notes")}}

    def sentences(self, told: Iterable[str]) -> list[str]:
        """The sentences, without what tells of a patient."""
        cleaned = []
        for sentence in told:
            for value in self.telling:
                sentence = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", REMOVED, sentence)
            cleaned.append(sentence)
        return cleaned


def without_quotes(sentence: str, folder: Path) -> str:
    """A sentence about a folder that cannot be read, without what it quotes and without the folder's name."""
    quoted = re.sub(r'"[^"]*"', REMOVED, sentence)
    name = _telling_name(folder)
    return re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", REMOVED, quoted) if name else quoted


def _telling_name(folder: Path) -> str:
    """The name of a folder if it can be a patient's, and no plain word that sentences use."""
    return "" if re.fullmatch(r"[a-z]*", folder.name) else folder.name


def _headers(files: Iterable[Path]) -> list[Dataset]:
    """The headers of the DICOM files among files, as far as they can be read."""
    headers: list[Dataset] = []
    with without_messages():
        for file in (file for file in files if is_dicom_file(file)):
            with contextlib.suppress(Exception):  # pydicom raises many kinds for a damaged file
                header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(_TELLING), force=True)
                header.decode()
                headers.append(header)
    return headers
