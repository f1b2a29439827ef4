"""Folders of results that are whole or not there: written as ``.partial-<id>``, renamed to ``<id>`` when complete.

Several runs may write into one output folder: whoever works on a study holds its lock.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from CMRLib.batch.results import read_results
from CMRLib.errors import OutputError
from CMRLib.files.locks import locked
from CMRLib.study.study_json import STUDY_FILE, is_study_id


def check_writable(output: Path) -> None:
    """Make the folder for all results and raise OutputError when nothing can be written there."""
    try:
        str(output).encode()
    except UnicodeEncodeError as error:  # SimpleITK takes names in UTF-8 alone
        raise OutputError("The name of the output folder is not UTF-8; choose another output folder.") from error
    try:
        output.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=output, prefix=".partial-probe-").close()
    except OSError as error:
        raise OutputError(f"Nothing can be written to {output}; choose another output folder.") from error


def name_of_unreadable(folder: Path, secret: bytes = b"") -> str:
    """Stands for the id of a study that cannot be read: the one its ``study.json`` states, else an anonymous one.

    Where there is a secret (see `CMRLib.export.pseudonyms`), it is an anonymous one that only the secret leads to.
    """
    if secret:
        return _anonymous(folder, secret)
    try:
        stated = json.loads((folder / STUDY_FILE).read_bytes())["id"]
    except (OSError, ValueError, KeyError, TypeError):
        return _anonymous(folder)
    return stated if is_study_id(stated) else _anonymous(folder)


def remove_unreadable(output: Path, folder: Path, secret: bytes = b"") -> None:
    """Remove what was written down of an input while it could not be read, now that it can."""
    shutil.rmtree(output / _anonymous(folder, secret), ignore_errors=True)


def _anonymous(folder: Path, secret: bytes = b"") -> str:
    """The same for a folder each time, without its name, which may be a patient's."""
    digest = hmac.new(secret, os.fsencode(folder), hashlib.sha256) if secret else hashlib.sha256(os.fsencode(folder))
    return f"unreadable-{digest.hexdigest()[:8]}"


def check_same_kind(output: Path, deidentified: bool) -> None:
    """Raise OutputError where a folder holds results of the other kind: of named patients, or with pseudonyms.

    Beside each other they would tell which pseudonym is whose.
    """
    for folder in sorted(path for path in output.iterdir() if path.is_dir() and not path.name.startswith(".")):
        results = read_results(folder)
        if results is not None:
            if bool(results.get("deidentified")) != deidentified:
                kind = "with pseudonyms" if results.get("deidentified") else "without pseudonyms"
                raise OutputError(f"{output} holds results {kind}; choose another output folder.")
            return  # every run has checked, so the others are of the same kind


def check_replaceable(final: Path) -> None:
    """Raise OutputError when a folder is in the way that is not this program's to replace."""
    if final.exists() and read_results(final) is None:
        raise OutputError(f"{final} exists and holds no results of this program; choose another output folder.")


@contextlib.contextmanager
def study_lock(output: Path, study_id: str) -> Iterator[bool]:
    """Hold the lock of a study's results; yields False where another run works on them.

    Raises:
        OutputError: nothing can be written.
    """
    path = output / f".lock-{study_id}"
    with contextlib.ExitStack() as stack:
        try:
            held = stack.enter_context(locked(path))
        except OSError as error:
            raise OutputError(f"{path} cannot be made; check the folder's permissions and free space.") from error
        yield held


def partial_folder(output: Path, study_id: str) -> Path:
    """Where the results of a study lie until they are complete."""
    return output / f".partial-{study_id}"


def start_partial(output: Path, study_id: str) -> Path:
    """Make the empty folder for a study's results, and clear up after a run that was killed.

    Raises:
        OutputError: it cannot be made, or something else lies where the results will go.
    """
    final, partial, replaced = output / study_id, partial_folder(output, study_id), _replaced(output, study_id)
    try:
        if replaced.exists() and not final.exists():  # killed between the two renames of put_in_place
            os.rename(replaced, final)
        shutil.rmtree(replaced, ignore_errors=True)
        check_replaceable(final)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
    except OSError as error:
        raise OutputError(f"{partial} cannot be made; check the folder's permissions.") from error
    return partial


def put_in_place(output: Path, study_id: str) -> None:
    """Rename the complete folder to its place; the results of an earlier run leave only then.

    Raises:
        OutputError: it cannot be renamed.
    """
    final, replaced = output / study_id, _replaced(output, study_id)
    try:
        if final.exists():
            os.rename(final, replaced)
        os.rename(partial_folder(output, study_id), final)
    except OSError as error:
        raise OutputError(f"{final} cannot be put in place; check the folder's permissions.") from error
    shutil.rmtree(replaced, ignore_errors=True)


def remove_partial(output: Path, study_id: str) -> None:
    """Remove what is not complete of a study, if anything; the lock must be held."""
    shutil.rmtree(partial_folder(output, study_id), ignore_errors=True)


def clear_up(output: Path, study_id: str) -> None:
    """Remove what a process that was ended left of a study, unless another run works on it."""
    with contextlib.suppress(OutputError), study_lock(output, study_id) as held:
        if held:
            remove_partial(output, study_id)


def _replaced(output: Path, study_id: str) -> Path:
    return output / f".replaced-{study_id}"
