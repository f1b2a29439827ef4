"""All steps on one study: what is loaded, or what is in a folder, and the scene of what they find."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slicer

from CMRLib.batch.inputs import read_stated
from CMRLib.batch.plan import Plan, plan_study
from CMRLib.batch.registry import available_steps, load_step
from CMRLib.batch.results import new_results
from CMRLib.batch.running import run_steps, tell_of_reading
from CMRLib.batch.step import StepResult
from CMRLib.errors import Cancelled, InputError
from CMRLib.scene.loaded import loadedStudy
from CMRLib.scene.studies import addStudy, t1MapsOf
from CMRLib.study.series import Study

# Called with the name of a step, its number from 1, how many there are, and the fraction of all of them that is done.
Progress = Callable[[str, int, int, float], None]


@dataclass(frozen=True)
class ProcessedStudy:
    """What became of a study.

    Attributes:
        results: as in ``results.json``.
        volumes: key of a result -> the volume in which it is seen, see `CMRLib.scene.studies.addStudy`.
        maps: its T1 maps.
    """

    results: dict[str, Any]
    volumes: dict[str, Any]
    maps: tuple[Any, ...]

    def counts(self) -> dict[str, int]:
        """What was found, in the words of the steps -> how often."""
        counted = {
            words: sum(entry.get(key) is not None for entry in self.results[name])
            for name in available_steps()
            for words, key in load_step(name).counts.items()
        }
        return {words: count for words, count in counted.items() if count}

    def flagged(self) -> int:
        """How many slices or maps are to be looked at."""
        return sum(bool(entry.get("flagged")) for name in available_steps() for entry in self.results[name])


def processStudy(
    folder: Path | None,
    choices: Mapping[str, Any] | None = None,
    device: str = "auto",
    progress: Progress = lambda name, number, count, fraction: None,
) -> ProcessedStudy:
    """Do every step that a study allows, and put what was found into the scene.

    All is computed before a node is changed: a run that ends early, for whatever reason, leaves the scene as it was.

    Args:
        folder: of the study, as for `CMRLib.study.reading.read_study`; None takes the images that are loaded, and gives
            them their results.
        choices: values of the options that the steps bring.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        progress: called often; what it raises ends the run.

    Raises:
        CMRError: a sentence for the user; no node was changed.
    """
    with tempfile.TemporaryDirectory(prefix="CMRMapping-") as place:
        temporary = Path(place)
        nodes: dict[str, Any] = {}
        warnings: tuple[str, ...] = ()
        if folder is None:
            study, nodes = loadedStudy(temporary)
        else:
            study, warnings = read_stated(folder, None, "")
        plan = plan_study(study, None, choices or {}, None)
        if not plan.steps:
            raise InputError(_nothing(study, plan))
        for planned in plan.steps:
            planned.step.check(planned.choices, device)
        results = new_results(study.id)
        tell_of_reading(study, plan, warnings, results)
        made = run_steps(study, plan, temporary, device, results, functools.partial(_report, plan, progress))
    if not any(made.values()):
        raise InputError(" ".join(results["errors"]) or "Nothing was found in the study.")
    _checkStillThere([*nodes.values()])
    volumes = dict(nodes)
    addStudy(made, volumes, "" if folder is None else study.id)
    results["status"] = "partial" if results["errors"] else "ok"
    return ProcessedStudy(results, volumes, tuple(_mapsToShow(made, volumes)))


def _report(plan: Plan, progress: Progress, name: str, fraction: float) -> None:
    names = [planned.step.name for planned in plan.steps]
    done, count = names.index(name), len(names)
    progress(name, done + 1, count, (done + fraction) / count)


def _nothing(study: Study, plan: Plan) -> str:
    """Why there is nothing to do, in a sentence or a few."""
    lost = [f"{item.what}: {item.reason}" for item in study.unrecognised if item.lost_role]
    return " ".join([*plan.missed, *lost]) or "There is nothing in the study that can be analysed."


def _checkStillThere(nodes: Sequence[Any]) -> None:
    if any(slicer.mrmlScene.GetNodeByID(node.GetID() or "") is not node for node in nodes):
        raise Cancelled("The scene was closed or a volume was removed; the results were discarded.")


def _mapsToShow(made: Mapping[str, Sequence[StepResult]], volumes: Mapping[str, Any]) -> list[Any]:
    """The T1 maps of the state that comes first, else the first images with a result."""
    everything = [one for results in made.values() for one in results]
    maps = t1MapsOf(made, volumes)
    first = next((one for one in everything if volumes[one.key] in maps), everything[0])
    alike = [volumes[one.key] for one in everything if one.series.state == first.series.state]
    return [volume for volume in dict.fromkeys(alike) if volume in maps] or [volumes[first.key]]
