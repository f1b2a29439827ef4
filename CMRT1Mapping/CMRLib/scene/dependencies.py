"""Installing PyTorch, and what reads the weights of networks, from within Slicer, never without asking."""

from __future__ import annotations

import importlib
from importlib.util import find_spec

import slicer

TORCH_REQUIREMENT = ">=2.4"
SAFETENSORS = "safetensors"
SAFETENSORS_REQUIREMENT = ">=0.4"


def isTorchInstalled() -> bool:
    """Whether there is a package torch; it is not imported, which would take seconds."""
    return find_spec("torch") is not None


def isSafetensorsInstalled() -> bool:
    """Whether there is the package that reads the weights of networks."""
    return find_spec(SAFETENSORS) is not None


def ensureTorch(requester: str, networks: bool = True) -> bool:
    """Offer to install PyTorch where it is missing; return whether it is there now.

    The PyTorch extension picks the build that fits the computer's graphics card, so it comes first. Without it the
    package is installed as it is, which works too.

    Args:
        requester: name of the module that needs it, for the question.
        networks: whether a network is going to be loaded; the package that reads its weights is offered then, too.
            Loading the network tells what is missing if that was refused.
    """
    if slicer.app.testingEnabled():
        return isTorchInstalled()  # questions count as answered with yes there, and a test run installs nothing
    if not isTorchInstalled() and not _offerTorch(requester):
        return False
    if networks and not isSafetensorsInstalled():
        _offerSafetensors(requester)
    return True


def _offerTorch(requester: str) -> bool:
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
    _install(question, f"torch{TORCH_REQUIREMENT}", requester)


def _offerSafetensors(requester: str) -> None:
    question = (
        f"{requester} reads the weights of its network with the package {SAFETENSORS}, which is not installed.\n\n"
        "Install it now? It is a download of less than 1 MB."
    )
    _install(question, f"{SAFETENSORS}{SAFETENSORS_REQUIREMENT}", requester)
    importlib.invalidate_caches()


def _install(question: str, requirement: str, requester: str) -> None:
    if not slicer.util.confirmOkCancelDisplay(question, windowTitle=requester):
        return
    try:
        packaging = importlib.import_module("slicer.packaging")  # Slicer 5.12 and later: shows progress
    except ImportError:
        slicer.util.pip_install(requirement)
    else:
        packaging.pip_install(requirement, requester=requester)
