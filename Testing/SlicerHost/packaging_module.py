"""``slicer.packaging`` as in Slicer 5.12, except that nothing is ever installed: what would be is recorded."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
from packaging.requirements import Requirement

installed: list[str] = []
"""What would have been installed since the host was started."""


def load_requirements(path: str | Path) -> list[Requirement]:
    """The requirements in a file as pip reads it; comments and options are left out."""
    lines = [line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines()]
    return [Requirement(line) for line in lines if line and line[0] not in "#-"]


def pip_check(req: Any, _seen: Any = None) -> bool:
    """Whether all the requirements are met by what is installed."""
    return all(_is_met(r) for r in _to_requirements(req))


def pip_ensure(
    requirements: Any,
    constraints: str | Path | None = None,
    skip_packages: list[str] | None = None,
    prompt_install: bool = True,
    prompt_restart: bool = True,
    requester: str | None = None,
    skip_in_testing: bool = True,
    show_progress: bool = True,
) -> list[str] | None:
    """Install what is missing, after asking; nothing is done in testing mode.

    Raises:
        RuntimeError: the user declines.
    """
    missing = [str(r) for r in _to_requirements(requirements) if not _is_met(r)]
    if not missing or (skip_in_testing and slicer.app.testingEnabled()):
        return None
    text = f"{requester or 'This module'} needs these Python packages: {', '.join(missing)}. Install them now?"
    if prompt_install and not slicer.util.confirmOkCancelDisplay(text):
        raise RuntimeError("User declined the installation of Python packages")
    return pip_install(missing, constraints=constraints, skip_packages=skip_packages, requester=requester)


def pip_install(
    requirements: str | list[str],
    constraints: str | Path | None = None,
    no_deps_requirements: str | list[str] | None = None,
    skip_packages: list[str] | None = None,
    blocking: bool = True,
    show_progress: bool = True,
    requester: str | None = None,
    parent: Any = None,
    logCallback: Callable[[str], None] | None = None,
    completedCallback: Callable[[int], None] | None = None,
) -> list[str] | None:
    """Record what would be installed."""
    installed.extend(requirements.split() if isinstance(requirements, str) else requirements)
    if completedCallback:
        completedCallback(0)
    return None


def util_pip_install(requirements: str | list[str], **kwargs: Any) -> None:
    """``slicer.util.pip_install``, which hands over to this module."""
    pip_install(requirements, **kwargs)


def _to_requirements(requirements: Any) -> list[Requirement]:
    if isinstance(requirements, Requirement):
        return [requirements]
    if isinstance(requirements, str):
        return [Requirement(r) for r in requirements.split()]
    return [r if isinstance(r, Requirement) else Requirement(r) for r in requirements]


def _is_met(requirement: Requirement) -> bool:
    if requirement.marker is not None and not requirement.marker.evaluate():
        return True
    try:
        return requirement.specifier.contains(importlib.metadata.version(requirement.name), prereleases=True)
    except importlib.metadata.PackageNotFoundError:
        return False
