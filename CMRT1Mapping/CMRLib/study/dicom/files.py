"""Finding DICOM files in a folder, and the files that should be images but cannot be read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_DICOM_SUFFIXES = {".dcm", ".dicom", ".ima"}
_START = 132  # bytes: the preamble and DICOM's mark
_POINTERS = (b"version https://git-lfs", b"/annex/objects/", b"../.git/annex/", b".git/annex/")

BROKEN_LINK = (
    "A link to a file that is not there; fetch its content (for git-annex, datalad or git-lfs: with their get or pull "
    "command), or copy the file itself."
)
NOT_FETCHED = (
    "A placeholder whose content was not fetched; fetch it (git-annex, datalad, git-lfs, cloud storage) and read again."
)
EMPTY = "An empty file; copy it from the scanner again."
BLANK = "A file that holds nothing but zeros; copy it from the scanner again."
LOCKED = "A file that may not be read; check its permissions."
NO_DICOM = "A file that is named like an image but is no DICOM file; copy it from the scanner again."


@dataclass(frozen=True)
class FoundFiles:
    """What lies in a folder.

    Attributes:
        dicom: the DICOM files, in name order.
        lost: files that are named like images but cannot be read, with the reason.
    """

    dicom: tuple[Path, ...]
    lost: tuple[tuple[Path, str], ...]


def find_files(folder: Path) -> FoundFiles:
    """The DICOM files at any depth of a folder, and what should be one; links are followed, each file counts once.

    Files of other kinds and hidden ones are passed over.
    """
    files = list(dict.fromkeys(_once_each(_walk(folder))))
    starts = {file: _start(file) for file in files}
    dicom = tuple(file for file, start in starts.items() if isinstance(start, bytes) and _is_dicom(start))
    suffixes = _DICOM_SUFFIXES | {_suffix(file) for file in dicom}
    others = [(file, start) for file, start in starts.items() if file not in set(dicom)]
    lost = [(file, _why_lost(file, start, suffixes, not dicom)) for file, start in others]
    return FoundFiles(dicom, tuple((file, reason) for file, reason in lost if reason))


def is_dicom_file(path: Path) -> bool:
    """Whether a path is a file that begins as DICOM files do."""
    start = _start(path)
    return isinstance(start, bytes) and _is_dicom(start)


def find_dicom_files(folder: Path) -> list[Path]:
    """The DICOM files at any depth of a folder, in name order."""
    return list(find_files(folder).dicom)


def _walk(folder: Path) -> Iterator[Path]:
    """Every file below a folder in name order; a linked folder is entered unless it holds the link itself."""
    for root, folders, names in os.walk(folder, followlinks=True):
        here = os.path.realpath(root)
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and not _leads_back(os.path.join(root, name), here)
        )
        yield from (Path(root, name) for name in sorted(names) if not name.startswith(".") or _is_in_cloud(name))


def _leads_back(folder: str, here: str) -> bool:
    """Whether a folder is a link to the folder that it lies in, or to one around that."""
    if not os.path.islink(folder):
        return False
    target = os.path.realpath(folder)
    return here == target or here.startswith(os.path.join(target, ""))


def _once_each(files: Iterator[Path]) -> Iterator[Path]:
    """The files without those that are links to another one of them."""
    found = list(files)
    by_target: dict[str, Path] = {}
    for file in sorted(found, key=lambda file: file.is_symlink()):  # a file itself comes before a link to it
        by_target.setdefault(os.path.realpath(file), file)
    kept = set(by_target.values())
    yield from (file for file in found if file in kept)


def _is_in_cloud(name: str) -> bool:
    """Whether a hidden file stands for one that lies in iCloud."""
    return name.startswith(".") and name.endswith(".icloud")


def _start(file: Path) -> bytes | str:
    """The first bytes of a file, or why there are none."""
    try:
        with file.open("rb") as opened:
            return opened.read(_START)
    except FileNotFoundError:
        return BROKEN_LINK
    except OSError:
        return BROKEN_LINK if file.is_symlink() and not file.exists() else LOCKED


def _is_dicom(start: bytes) -> bool:
    """Whether a file has DICOM's mark after its preamble or, as old exports, starts with a group 0002 or 0008 tag."""
    return start[128:] == b"DICM" or (
        len(start) == _START and start[:2] in (b"\x08\x00", b"\x02\x00") and start[3] == 0
    )


def _suffix(file: Path) -> str:
    """The ending in lower case; "" where the part after the last dot is a number, as in names made of identifiers."""
    suffix = file.suffix.lower()
    return "" if suffix[1:].isdecimal() or len(suffix) > 6 else suffix


def _why_lost(file: Path, start: bytes | str, suffixes: set[str], none_found: bool) -> str:
    """Why a file that is no DICOM file should be one but cannot be read; "" for files of another kind."""
    if _is_in_cloud(file.name):
        return NOT_FETCHED if _suffix(Path(file.stem)) in suffixes or none_found else ""
    suffix = _suffix(file)
    if suffix not in suffixes and not (none_found and suffix == ""):
        return ""
    if isinstance(start, str):
        return start
    if not start:
        return EMPTY
    if any(mark in start for mark in _POINTERS):
        return NOT_FETCHED
    if not any(start):
        return BLANK
    # Without an ending that says so, text such as a README is no lost image.
    return NO_DICOM if suffix or b"\0" in start else ""
