"""The nodes of the batch's step ``t1``, as the panel would have left them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from CMRLib.batch.step import StepResult
from CMRLib.files.color_tables import t1_colors_for_field
from CMRLib.scene.acquisitions import addSeries, phaseOf
from CMRLib.scene.parameters import setModuleNodes
from CMRLib.scene.results import SOURCE_REFERENCE
from CMRT1MappingLib.scene.t1reconstruction import storeResults


def addNodes(results: Sequence[StepResult], volumes: dict[str, Any]) -> None:
    """Add the acquisitions of a study where they are not there yet, and their maps; see `CMRLib.scene.studies`."""
    for made in results:
        series, images = made.series, made.value.images
        source = volumes.get(made.key) or addSeries(series.key, series, images)
        colors = t1_colors_for_field(series.field_strength_t)
        nodes = storeResults(source, made.value.result, images.geometry, phaseOf(source), colors=colors)
        volumes[made.key] = nodes["t1"]


def openModule(results: Sequence[StepResult], volumes: dict[str, Any]) -> None:
    """Set the module to the first acquisition; it takes over what belongs to it when it is opened."""
    if results:
        source = volumes[results[0].key].GetNodeReference(SOURCE_REFERENCE)
        setModuleNodes("CMRT1Mapping", {"inputNode": source, "adoptedNode": None})
