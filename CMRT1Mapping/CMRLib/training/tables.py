"""Results as files, and their tables in Markdown documents between ``<!-- table NAME -->`` and ``<!-- end -->``."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from CMRLib import __version__
from CMRLib.errors import InputError
from CMRLib.files.atomic import write_text

_BLOCK = re.compile(r"<!-- table ([\w-]+) -->\n(.*?)<!-- end -->", flags=re.DOTALL)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; the first column is left-aligned, the others right."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def write_results(folder: Path, name: str, results: Mapping[str, Any]) -> Path:
    """Write one evaluation's numbers and, as ``tables``, its Markdown tables by name as ``folder/name.json``.

    Raises:
        OutputError: the file cannot be written.
    """
    record = {
        "version": __version__,
        "date": date.today().isoformat(),
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        **results,
    }
    return write_text(folder / f"{name}.json", json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def read_results(file: Path) -> dict[str, Any]:
    """What `write_results` wrote.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{file} cannot be read; run its evaluation again.") from error


def read_results_folder(folder: Path) -> dict[str, dict[str, Any]]:
    """All results in a folder, by name.

    Raises:
        InputError: a file cannot be read.
    """
    return {file.stem: read_results(file) for file in sorted(folder.glob("*.json"))}


def tables_of(results: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The tables of results, as `read_results_folder` gives them, by name."""
    return {name: table for result in results.values() for name, table in result.get("tables", {}).items()}


def tables_in(document: str) -> dict[str, str]:
    """The tables that a document shows, by name."""
    return {name: table.rstrip("\n") for name, table in _BLOCK.findall(document)}


def with_tables(document: str, tables: Mapping[str, str]) -> str:
    """The document with these tables in their places; places of other tables stay as they are."""

    def block(match: re.Match[str]) -> str:
        name = match.group(1)
        return f"<!-- table {name} -->\n{tables[name]}\n<!-- end -->" if name in tables else match.group(0)

    return _BLOCK.sub(block, document)
