"""Installing PyTorch from within Slicer, never without asking."""

from __future__ import annotations

import importlib
from importlib.util import find_spec

import slicer

TORCH_REQUIREMENT = ">=2.4"


def isTorchInstalled() -> bool:
    """Whether there is a package torch; it is not imported, which would take seconds."""
    return find_spec("torch") is not None


def ensureTorch(requester: str) -> bool:
    """Offer to install PyTorch where it is missing; return whether it is there now.

    The PyTorch extension picks the build that fits the computer's graphics card, so it comes first. Without it the
    package is installed as it is, which works too.

    Args:
        requester: name of the module that needs it, for the question.
    """
    if isTorchInstalled():
        return True
    if slicer.app.testingEnabled():
        return False  # questions count as answered with yes there, and a test run installs nothing
    try:
        torchUtils = importlib.import_module("PyTorchUtils")
    except ImportError:
        _installPlainTorch(requester)
    else:
        torchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=True, torchVersionRequirement=TORCH_REQUIREMENT)
    importlib.invalidate_caches()
    return isTorchInstalled()


def _installPlainTorch(requester: str) -> None:
    question = (
        f"{requester} computes with PyTorch, which is not installed.\n\n"
        "The extension PyTorch (Extensions Manager) installs the build that fits your graphics card. "
        "Without it, the standard build can be installed now: a download of up to 3 GB that may take some minutes.\n\n"
        "Install the standard build now?"
    )
    if not slicer.util.confirmOkCancelDisplay(question, windowTitle=requester):
        return
    requirement = f"torch{TORCH_REQUIREMENT}"
    try:
        packaging = importlib.import_module("slicer.packaging")  # Slicer 5.12 and later: shows progress
    except ImportError:
        slicer.util.pip_install(requirement)
    else:
        packaging.pip_install(requirement, requester=requester)
