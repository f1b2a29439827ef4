"""The nodes of the batch's step ``t1``, as the panel would have left them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from CMRLib.batch.step import StepResult
from CMRLib.scene.acquisitions import addSeries, phaseOf
from CMRLib.scene.display import t1ColorsForField
from CMRT1MappingLib.scene.t1reconstruction import storeResults

WEAKER_FIELD_T = 1.5  # whose colors are taken where the files do not tell the field


def addNodes(results: Sequence[StepResult], volumes: dict[str, Any]) -> None:
    """Add the acquisitions of a study and their maps; see `CMRLib.scene.studies`."""
    for made in results:
        series, images = made.series, made.value.images
        source = addSeries(series.key, series, images)
        colors = t1ColorsForField(series.field_strength_t or WEAKER_FIELD_T)
        nodes = storeResults(source, made.value.result, images.geometry, phaseOf(source), colors=colors)
        volumes[made.key] = nodes["t1"]
