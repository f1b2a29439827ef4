"""The nodes of the batch's step ``stress``, as the panel would have left them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from CMRLib.batch.step import StepResult
from CMRLib.errors import CMRError
from CMRLib.scene.parameters import setModuleNodes
from CMRLib.scene.regions import findSegmentation
from CMRLib.scene.volumes import addVolume
from CMRStressReactivityLib.scene.reactivitymeasurement import measureMap
from CMRStressReactivityLib.scene.reactivitynodes import DT1, STRESS_VOLUMES, findNodes, storeReactivity
from CMRStressReactivityLib.scene.t1volumes import nameOf


def addNodes(results: Sequence[StepResult], volumes: dict[str, Any]) -> None:
    """Add dT1 and what belongs to it, and the T1 maps where no other step did; see `CMRLib.scene.studies`."""
    for made in results:
        for one in (made, *made.value.stress):
            if one.key not in volumes:
                volumes[one.key] = addVolume(one.key, one.images, one.geometry)
        volume, found = volumes[made.key], made.value
        stress = {index: (volumes[key], number) for index, (key, number) in found.partners.items()}
        names = {index: nameOf(node, number) for index, (node, number) in stress.items()}
        nodes = list(dict.fromkeys(node for node, _number in stress.values()))
        storeReactivity(volume, made.images, found.volume, made.geometry, nodes, names)


def openModule(results: Sequence[StepResult], volumes: dict[str, Any]) -> None:
    """Divide every dT1 map, and set the module to the first one with a slice to be looked at."""
    for made in results:
        with contextlib.suppress(CMRError):  # the panel tells why it cannot be divided
            measureMap(findNodes(volumes[made.key])[DT1])
    if results:
        doubtful = (made for made in results if any(one.reasons for one in made.value.volume.slices.values()))
        rest = volumes[next(doubtful, results[0]).key]
        shown = findNodes(rest)[DT1]
        nodes = {"restVolume": rest, "adoptedVolume": rest, "mapVolume": shown}
        stress = shown.GetNthNodeReference(STRESS_VOLUMES, 0)
        setModuleNodes(
            "CMRStressReactivity", {**nodes, "stressVolume": stress, "segmentationNode": findSegmentation(rest)}
        )
