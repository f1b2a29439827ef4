"""What is to be done with a study: the steps in their order, and whether earlier results are complete without it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from CMRLib.batch.registry import STEP_MODULES, available_steps, in_order, load_step
from CMRLib.batch.step import Step
from CMRLib.study.series import Study


@dataclass(frozen=True)
class PlannedStep:
    """A step with its choices."""

    step: Step
    choices: Mapping[str, Any]


@dataclass(frozen=True)
class Plan:
    """The steps of a study.

    Attributes:
        steps: in the order in which they run.
        missed: a sentence for each step that cannot be done although it was asked for by name, or for all of them
            where none can be done at all.
        left_out: a sentence for each step that nobody asked for by name and that the study does not allow.
        roles: of the series that the steps asked for work on, also those that cannot be done.
    """

    steps: tuple[PlannedStep, ...]
    missed: tuple[str, ...]
    left_out: tuple[str, ...]
    roles: frozenset[str]

    def settings(self) -> dict[str, dict[str, Any]]:
        """Name of each step -> what decides its results, see `CMRLib.batch.step.Step.settings`."""
        return {planned.step.name: planned.step.settings(planned.choices) for planned in self.steps}


def plan_study(
    study: Study, asked: tuple[str, ...] | None, choices: Mapping[str, Any], earlier: Mapping[str, Any] | None
) -> Plan:
    """The steps for a study.

    A folder of results is replaced as a whole, so what an earlier run did is done again rather than lost.

    Args:
        study: the study.
        asked: names of the steps to do, with those that they need; None for all that the study allows.
        choices: values of the options that the steps bring.
        earlier: the study's results so far.
    """
    wanted = available_steps() if asked is None else _with_needed(asked, study)
    kept = {name: done for name, done in _done(earlier).items() if name in available_steps() and name not in wanted}
    roles = frozenset(role for name in wanted for role in load_step(name).roles)
    steps: list[PlannedStep] = []
    obstacles: list[str] = []
    for step in in_order([*wanted, *kept]):
        chosen = kept[step.name].get("choices", {}) if step.name in kept else choices
        others = [planned.step.name for planned in steps]
        obstacle = step.obstacle(study, others) or step.missing_choice(study, chosen)
        if not obstacle:
            steps.append(PlannedStep(step, chosen))
        elif step.name in (asked or wanted) and not any(item.lost_role in step.roles for item in study.unrecognised):
            obstacles.append(obstacle)
    if asked is None and steps:
        return Plan(tuple(steps), (), tuple(obstacles), roles)
    return Plan(tuple(steps), tuple(obstacles), (), roles)


def _with_needed(asked: tuple[str, ...], study: Study) -> tuple[str, ...]:
    """The steps that were asked for, and those that they need and that are there."""
    needed = (name for step in asked for name in load_step(step).needs(study))
    return tuple(dict.fromkeys([*asked, *(name for name in needed if name in available_steps())]))


def _done(results: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """The steps that made these results, with their settings."""
    if results is None:
        return {}
    recorded: dict[str, dict[str, Any]] = results.get("made_from", {}).get("steps", {})
    return recorded or {name: {} for name in STEP_MODULES if results.get(name)}


def is_complete(results: Mapping[str, Any] | None, folder: Path, plan: Plan) -> bool:
    """Whether the results in a folder are what the plan would give of the input that they were made from.

    "Nothing found" is such a result too.
    """
    if results is None or results["status"] != "ok" or plan.missed:
        return False
    recorded = results.get("made_from", {}).get("steps", {})
    same = all(recorded.get(name) == settings for name, settings in plan.settings().items())
    entries = [entry for name in STEP_MODULES for entry in results[name]]
    files = [file for entry in entries for key, file in entry.items() if key.endswith("_file") and file]
    return same and all((folder / file).is_file() for file in files)
