"""The nodes of one T1 reconstruction."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import slicer

from CMRLib import provenance
from CMRLib.files.color_tables import T1_COLOR_TABLES, t1_colors_for_field
from CMRLib.geometry import Geometry
from CMRLib.scene.acquisitions import FIELD_STRENGTH, PHASE, inversionTimes
from CMRLib.scene.display import (
    COLOR_TABLE,
    MapDisplay,
    labelColorNode,
    setMapDisplay,
)
from CMRLib.scene.outputs import checkOutputs, checkOverwriting
from CMRLib.scene.results import findResult, markResult
from CMRLib.scene.volumes import setVolumeArray
from CMRLib.terms import ARBITRARY_UNIT, MILLISECOND, NO_UNITS, R2, T1
from CMRT1MappingLib.fit.reconstruction import PixelFlag

if TYPE_CHECKING:
    from CMRT1MappingLib.fit.reconstruction import T1Maps

FITTED_IMAGES = "CMR.FittedImages"  # the images that were fitted, where they are not those of the source

WARNING = "Warning"  # parameter of a map that means nothing in most of the heart: why, as a sentence

# Result -> ending of the node's name.
MAP_NAMES = {
    "t1": "T1 map",
    "r2": "R2 map",
    "samples": "samples used",
    "residual": "fit residual",
    "t1_error": "T1 standard error",
    "flags": "flags",
}

R2_DISPLAY = MapDisplay("R²", NO_UNITS, R2, "CMR_R2", labelFormat="%.2f")
_DISPLAYS = {
    "r2": R2_DISPLAY,
    "samples": MapDisplay("Samples used", NO_UNITS, window=(0, 12)),
    "residual": MapDisplay("Residual", ARBITRARY_UNIT),
    "t1_error": MapDisplay("T1 standard error [ms]", MILLISECOND, window=(0, 50)),
}

# Flags of no consequence are not drawn; where several are set, the gravest gives the color.
_FLAG_COLORS = {
    PixelFlag.NO_SIGNAL: (0.0, 0.0, 0.0, 0.0),
    PixelFlag.POLARITY_UNCERTAIN: (1.0, 0.0, 1.0, 1.0),
    PixelFlag.T1_UNRESOLVED: (1.0, 0.55, 0.0, 1.0),
}


def mapClass(role: str) -> str:
    """The class of the node that holds a result: flags are a label map, so that they can lie over another map."""
    return "vtkMRMLLabelMapVolumeNode" if role == "flags" else "vtkMRMLScalarVolumeNode"


def findT1Maps(source: Any) -> dict[str, Any]:
    """The nodes that hold the results of ``source`` so far, by role; roles without a node are left out."""
    found = {role: findResult(source, role, mapClass(role)) for role in MAP_NAMES}
    return {role: node for role, node in found.items() if node is not None}


def storeT1Maps(
    source: Any,
    maps: T1Maps,
    geometry: Geometry,
    parameters: Mapping[str, Any],
    phaseNode: Any = None,
    outputs: Mapping[str, Any] | None = None,
    colors: str = "1.5 T",
    fittedImages: Any = None,
    mayOverwrite: Collection[Any] = (),
) -> dict[str, Any]:
    """Put the results into nodes: those given, else those of an earlier run on ``source``, else new ones.

    Args:
        source: the acquisition node that the maps were made from.
        maps: the results.
        geometry: of the images.
        parameters: what was chosen for the reconstruction, kept with every node (``CMR.<name>``) beside the inversion
            times (those of the source if none are among them) and the noise.
        phaseNode: the phase that the polarity was taken from, or None.
        outputs: role -> node, or None to find or create one.
        colors: key of `CMRLib.files.color_tables.T1_COLOR_TABLES`, for a new T1 map.
        fittedImages: the corrected images that the maps were fitted to; None for those of the source.
        mayOverwrite: those of the nodes given that may lose data of another role or another source.

    Returns:
        role -> node, for every role of `MAP_NAMES`.

    Raises:
        InputError: a node given cannot hold its result, or holds other data.
    """
    parameters = {"InversionTimes": inversionTimes(source), "NoiseSD": maps.noise_sd, **parameters}
    earlier = findT1Maps(source)
    nodes = {role: (outputs or {}).get(role) or earlier.get(role) for role in MAP_NAMES}
    checkOutputs(source, nodes, MAP_NAMES, mapClass)
    checkOverwriting(source, nodes, MAP_NAMES, mayOverwrite)
    for role, ending in MAP_NAMES.items():
        node = nodes[role]
        if node is None:
            name = slicer.mrmlScene.GenerateUniqueName(f"{source.GetName()} {ending}")
            node = nodes[role] = slicer.mrmlScene.AddNewNodeByClass(mapClass(role), name)
        isNew = node.GetAttribute(provenance.ROLE) != role
        setVolumeArray(node, getattr(maps, role), geometry)
        attributes = provenance.result_attributes(
            role, source=source.GetID(), device=maps.device, parameters=parameters
        )
        markResult(node, source, attributes)
        for reference, referred in ((PHASE, phaseNode), (FITTED_IMAGES, fittedImages)):
            node.SetNodeReferenceID(reference, None if referred is None else referred.GetID())
        if isNew:
            _show(node, role, colors)
    return nodes


def setT1Colors(volumeNode: Any, colors: str) -> None:
    """Show a T1 map in the colors of a field strength (key of `CMRLib.files.color_tables.T1_COLOR_TABLES`)."""
    setMapDisplay(volumeNode, MapDisplay("T1 [ms]", MILLISECOND, T1, T1_COLOR_TABLES[colors]))


def t1ColorsOf(volumeNode: Any) -> str:
    """The field strength in whose colors a T1 map is shown (key as for `setT1Colors`), or an empty text."""
    colors = None if volumeNode.GetDisplayNode() is None else volumeNode.GetDisplayNode().GetColorNode()
    table = None if colors is None else colors.GetAttribute(COLOR_TABLE)
    return next((key for key, name in T1_COLOR_TABLES.items() if name == table), "")


def colorsOf(source: Any, t1Map: Any) -> str:
    """The field strength whose colors fit an acquisition: those of its map, else of its own field; empty if unknown."""
    field = source.GetAttribute(FIELD_STRENGTH)
    if t1Map is not None:
        return t1ColorsOf(t1Map)
    return t1_colors_for_field(float(field)) if field else ""


def flagWords(flags: int) -> str:
    """The flags of a pixel in words."""
    words = [str(flag.name).replace("_", " ").lower() for flag in _FLAG_COLORS if flag & flags]
    return ", ".join(words).replace("t1", "T1")


def _show(node: Any, role: str, colors: str) -> None:
    if role == "t1":
        setT1Colors(node, colors)
    elif role == "flags":
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().SetAndObserveColorNodeID(_flagColors().GetID())
    else:
        setMapDisplay(node, _DISPLAYS[role])


def _flagColors() -> Any:
    """The color table in which the names of a pixel's flags can be read under the cursor."""
    colors = [("fitted", (0.0, 0.0, 0.0, 0.0))]
    for value in range(1, 1 << len(PixelFlag)):
        gravest = [flag for flag in _FLAG_COLORS if flag & value][-1]
        colors.append((flagWords(value), _FLAG_COLORS[gravest]))
    return labelColorNode("CMR T1 flags", colors)
