"""What the panel says of the options that the steps of a whole study bring."""

from __future__ import annotations

from typing import Any


def choicesOf(parameters: Any) -> dict[str, Any]:
    """Name of an option -> its value; options that the panel does not have keep their defaults.

    Raises:
        InputError: the haematocrit that was entered is none.
    """
    # These read files, for which Slicer's start should not wait.
    from CMRT1MappingLib.ecv.step import HEMATOCRIT, SYNTHETIC_HEMATOCRIT
    from CMRT1MappingLib.scene.ecvmapping import readHematocrit
    from CMRT1MappingLib.step import MOTION_CORRECTION

    isStated = bool(parameters.hematocrit.strip()) and not parameters.syntheticHematocrit
    return {
        MOTION_CORRECTION.name: parameters.correctMotion,
        HEMATOCRIT.name: readHematocrit(parameters.hematocrit) if isStated else None,
        SYNTHETIC_HEMATOCRIT.name: parameters.syntheticHematocrit,
    }
