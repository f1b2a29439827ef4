"""Doing the steps of a study, one after the other."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from CMRLib.batch.plan import Plan
from CMRLib.batch.step import StepResult, StepTask
from CMRLib.study.series import Study


def tell_of_reading(study: Study, plan: Plan, warnings: Sequence[str], results: dict[str, Any]) -> None:
    """Rank what was left out or done while reading: lost results, lost images, and what is as it should be.

    Args:
        study, plan: what was read, and what is done with it.
        warnings: sentences about how it was read.
        results: as in ``results.json``; its ``errors``, ``warnings`` and ``notes`` are added to.
    """
    for item in study.unrecognised:
        kind = "errors" if item.lost_role in plan.roles else "warnings" if item.lost_role else "notes"
        results[kind].append(f"{item.what}: {item.reason}")
    results["warnings"] += warnings
    results["notes"] += [f"{series.key}: {note}" for series in study.series for note in series.notes]
    results["errors"] += plan.missed
    results["notes"] += plan.left_out


def run_steps(
    study: Study,
    plan: Plan,
    folder: Path,
    device: str,
    results: dict[str, Any],
    progress: Callable[[str, float], None] = lambda step, fraction: None,
) -> dict[str, list[StepResult]]:
    """Run the steps of a plan, and enter into ``results`` what they report.

    Args:
        study: the study.
        plan: its steps.
        folder: where their files go.
        device: see `CMRLib.networks.devices.resolve_device`.
        results: as in ``results.json``.
        progress: called with the name of a step and the fraction of it that is done; what it raises ends the work.

    Returns:
        The results by the step's name, in the order in which the steps ran.

    Raises:
        CMRError: nothing can be computed, or a file cannot be written.
    """
    made: dict[str, list[StepResult]] = {}
    for planned in plan.steps:
        name = planned.step.name
        progress(name, 0.0)
        task = StepTask(study, folder, made, device, planned.choices, functools.partial(progress, name))
        report = planned.step.run(task)
        made[name] = report.made
        results[name] = report.entries
        results["models"] |= report.models
        results["device"] = report.device or results["device"]
        for kind in ("errors", "warnings", "notes"):
            results[kind] += getattr(report, kind)
    return made
