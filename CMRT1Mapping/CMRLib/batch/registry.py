"""The steps of the batch: where each comes from, which are there, and in which order they run.

The modules are named here and imported when they are used, so that CMRLib depends on none of them.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable

from CMRLib.batch.step import Step
from CMRLib.errors import InputError

# In the order of the schema of results.json.
STEP_MODULES = {
    "t1": "CMRT1MappingLib.step",
    "stress": "CMRStressReactivityLib.step",
    "segmentation": "CMRQCSegmentationLib.step",
    "landmarks": "CMRLandmarksLib.step",
    "ecv": "CMRT1MappingLib.ecv.step",
}


def load_step(name: str) -> Step:
    """The step of that name.

    Raises:
        InputError: there is no such step, or its module is not part of this version.
    """
    if name not in STEP_MODULES:
        raise InputError(f'there is no step "{name}"; choose from {", ".join(available_steps())}')
    if not _is_there(STEP_MODULES[name]):
        raise InputError(f"the step {name} is not part of this version; choose from {', '.join(available_steps())}")
    step: Step = importlib.import_module(STEP_MODULES[name]).STEP
    return step


def available_steps() -> tuple[str, ...]:
    """The steps whose modules are there, in the order of the schema."""
    return tuple(name for name, module in STEP_MODULES.items() if _is_there(module))


def in_order(names: Iterable[str]) -> tuple[Step, ...]:
    """Steps in the order in which they run: after those whose results they need, else as in the schema.

    Raises:
        InputError: one of them is not there.
    """
    steps = {name: load_step(name) for name in names}
    waiting, ordered = [steps[name] for name in STEP_MODULES if name in steps], list[Step]()
    while waiting:
        step = next(step for step in waiting if not any(other.name in step.after for other in waiting))
        waiting.remove(step)
        ordered.append(step)
    return tuple(ordered)


def _is_there(module: str) -> bool:
    package = module.split(".")[0]
    return importlib.util.find_spec(package) is not None and importlib.util.find_spec(module) is not None
