"""The nodes of the batch's step ``stress``, as the panel would have left them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from CMRLib.batch.step import StepResult
from CMRLib.scene.volumes import addVolume
from CMRStressReactivityLib.scene.reactivitynodes import storeReactivity


def addNodes(results: Sequence[StepResult], volumes: dict[str, Any]) -> None:
    """Add dT1 and what belongs to it, and the rest maps where no other step did; see `CMRLib.scene.studies`."""
    for made in results:
        volume = volumes.get(made.key) or addVolume(made.key, made.images, made.geometry)
        volumes[made.key] = volume
        keys = {series.key for series in made.value.stress}
        stress = [node for key, node in volumes.items() if key in keys]
        storeReactivity(volume, made.images, made.value.volume, made.geometry, stress)
