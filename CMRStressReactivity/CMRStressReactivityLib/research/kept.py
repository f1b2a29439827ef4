"""What was measured of a pair, kept on a disk, so that an evaluation that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from CMRLib.files.atomic import write_text
from CMRStressReactivityLib.research.evaluation import Method, PairErrors
from CMRStressReactivityLib.research.scenes import SceneBank
from CMRStressReactivityLib.research.summary import PairResult

LIBRARY = Path(__file__).resolve().parents[1]
# That the answers and the measures depend on.
SOURCES = (
    *("matching", "networks", "reactivity", "refinement", "registration"),
    *("research/evaluation", "research/methods", "research/pairs", "research/scenes"),
)


def evaluation_key(scenes: SceneBank, methods: Mapping[str, Method]) -> str:
    """What the errors of a pair depend on, beside its number: anatomies, methods with their settings, and this code."""
    digest = hashlib.sha256(scenes.labels.tobytes() + scenes.t1.tobytes())
    for name, method in methods.items():
        digest.update(f"{name}\n{method.settings}\n".encode())
    for source in SOURCES:
        digest.update((LIBRARY / f"{source}.py").read_bytes())
    return digest.hexdigest()


def kept_result(file: Path | None, key: str, measure: Callable[[], PairResult]) -> PairResult:
    """The result in a file, where it is of this key, else a new one, kept there; without a file nothing is kept.

    Raises:
        OutputError: the file cannot be written.
    """
    if file is None:
        return measure()
    if file.is_file():
        kept = json.loads(file.read_text(encoding="utf-8"))
        if kept["key"] == key:
            return _result(kept["result"])
    result = measure()
    write_text(file, json.dumps({"key": key, "result": asdict(result)}))
    return result


def _result(found: dict[str, Any]) -> PairResult:
    return PairResult(**{**found, "errors": {name: _errors(e) for name, e in found["errors"].items()}})


def _errors(found: dict[str, Any]) -> PairErrors:
    backwards = None if found["reversed"] is None else tuple(found["reversed"])
    segments = {int(number): tuple(both) for number, both in found["segments"].items()}
    return PairErrors(**{**found, "reversed": backwards, "segments": segments})
