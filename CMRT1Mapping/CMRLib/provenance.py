"""Where a result came from: attributes for nodes and files, and the versions of the software that made it."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from CMRLib import __version__

ROLE = "CMR.Role"
SOURCE = "CMR.Source"
DEVICE = "CMR.Device"
VERSION = "CMR.Version"
MODEL = "CMR.Model"
MODEL_SHA256 = "CMR.ModelSHA256"

PACKAGES = ("numpy", "scipy", "torch", "SimpleITK", "pydicom")


def result_attributes(
    role: str,
    *,
    source: str = "",
    device: str = "",
    model: str = "",
    model_sha256: str = "",
    parameters: Mapping[str, Any] | None = None,
) -> dict[str, str]:
    """The attributes that every result carries, as text; empty ones are left out.

    Args:
        role: what the result is, as ``t1`` or ``r2``.
        source: id of the node, or key of the series, that the result was made from.
        device: where it was computed, as ``cpu`` or ``cuda:0``.
        model: name of the network's weights, for a result of a network.
        model_sha256: checksum of the weights.
        parameters: what was chosen for the computation; each becomes an attribute ``CMR.<name>``, sequences as their
            items with spaces between.
    """
    attributes = {
        ROLE: role,
        SOURCE: source,
        DEVICE: device,
        VERSION: __version__,
        MODEL: model,
        MODEL_SHA256: model_sha256,
    }
    attributes |= {f"CMR.{name}": _as_text(value) for name, value in (parameters or {}).items()}
    return {name: value for name, value in attributes.items() if value}


def software_versions() -> dict[str, str]:
    """Versions of this software, of Python, of the packages it computes with and, inside Slicer, of Slicer.

    Nothing is imported for it, so it is quick and works without torch.
    """
    versions = {"CMRMapping": __version__, "Python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    application = getattr(sys.modules.get("slicer"), "app", None)
    slicer_version = getattr(application, "applicationVersion", None)
    if slicer_version is not None:
        versions["Slicer"] = str(slicer_version)
    return versions


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (list, tuple)):
        return " ".join(_as_text(item) for item in value)
    return str(value)
