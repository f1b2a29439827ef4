"""Puts the Python modules of Slicer that the wheel of its classes lacks where ``import`` finds them."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import slicer

from . import dicom_module, i18n, packaging_module, parameter_nodes, scripted_module, validators

_PARAMETER_NAMES = ("parameterNodeWrapper", "isParameterNodeWrapper", "SlicerParameterNamePropertyName")
_VALIDATOR_NAMES = ("Default", "Validator", "WithinRange", "Choice")
_SCRIPTED_NAMES = [name for name in vars(scripted_module) if name.startswith("ScriptedLoadableModule")]
_installed: list[str] = []
_util_pip_install = slicer.util.pip_install


def install(version: str) -> None:
    """Make the modules of that version of Slicer importable."""
    contents = {
        "slicer.ScriptedLoadableModule": _pick(scripted_module, _SCRIPTED_NAMES),
        "slicer.i18n": _pick(i18n, ("tr", "translate", "getContext")),
        "slicer.parameterNodeWrapper": {
            **_pick(parameter_nodes, _PARAMETER_NAMES),
            **_pick(validators, _VALIDATOR_NAMES),
        },
        "DICOMLib": _pick(dicom_module, ("DICOMLoadable", "DICOMPlugin")),
    }
    if version != "5.10":
        contents["slicer.packaging"] = _pick(
            packaging_module, ("load_requirements", "pip_check", "pip_ensure", "pip_install")
        )
    for name, members in contents.items():
        module = ModuleType(name)
        vars(module).update(members)
        sys.modules[name] = module
        if name.startswith("slicer."):
            setattr(slicer, name.split(".")[1], module)
        _installed.append(name)
    slicer.dicomDatabase = dicom_module.Database()
    slicer.util.pip_install = packaging_module.util_pip_install
    packaging_module.installed.clear()


def uninstall() -> None:
    """Undo `install`."""
    while _installed:
        name = _installed.pop()
        sys.modules.pop(name, None)
        if name.startswith("slicer."):
            delattr(slicer, name.split(".")[1])
    slicer.util.pip_install = _util_pip_install
    del slicer.dicomDatabase


def _pick(module: Any, wanted: Any) -> dict[str, Any]:
    return {name: getattr(module, name) for name in wanted}
