"""The nodes of the batch's step ``landmarks``, as the panel would have left them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from CMRLib.batch.step import StepResult
from CMRLib.provenance import result_attributes
from CMRLib.scene.landmarks import ROLE, storeLandmarks, updateEntryLines
from CMRLib.scene.parameters import setModuleNodes
from CMRLib.scene.regions import findSegmentation
from CMRLib.scene.volumes import addVolume


def addNodes(results: Sequence[StepResult], volumes: dict[str, Any]) -> None:
    """Add landmarks, and the images in which they were found where no other step did; see `CMRLib.scene.studies`."""
    for made in results:
        volume = volumes.get(made.key) or addVolume(made.key, made.images, made.geometry)
        volumes[made.key] = volume
        found = made.value
        attributes = result_attributes(
            ROLE, source=volume.GetID(), device=found.device, model=found.model, model_sha256=found.model_sha256
        )
        updateEntryLines(storeLandmarks(volume, found.predictions, attributes))


def openModule(results: Sequence[StepResult], volumes: dict[str, Any]) -> None:
    """Set the module to the first images with a slice to be looked at, and to their segmentation."""
    if results:
        doubtful = (made for made in results if any(answer.flagged for answer in made.value.predictions))
        volume = volumes[next(doubtful, results[0]).key]
        nodes = {"inputVolume": volume, "adoptedVolume": volume, "mapVolume": volume}
        setModuleNodes("CMRLandmarks", {**nodes, "segmentationNode": findSegmentation(volume)})
