"""The nodes of the batch's step ``segmentation``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from CMRLib.batch.step import StepResult
from CMRLib.provenance import result_attributes
from CMRLib.scene.parameters import setModuleNodes
from CMRLib.scene.volumes import addVolume
from CMRQCSegmentationLib.scene.segmentations import storeSegmentation, touchedSlices
from CMRQCSegmentationLib.segments import ROLE


def addNodes(results: Sequence[StepResult], volumes: dict[str, Any]) -> None:
    """Add segmentations, and the images that they are of where no other step did; see `CMRLib.scene.studies`.

    Slices that the analyst has dealt with stay as they are.
    """
    for made in results:
        volume = volumes.get(made.key) or addVolume(made.key, made.images, made.geometry)
        volumes[made.key] = volume
        found = made.value
        attributes = result_attributes(
            ROLE, source=volume.GetID(), device=found.device, model=found.model, model_sha256=found.model_sha256
        )
        storeSegmentation(volume, found.slices, attributes, keep=touchedSlices(volume))


def openModule(results: Sequence[StepResult], volumes: dict[str, Any]) -> None:
    """Set the module to the first images with a slice to be looked at."""
    if results:
        doubtful = (made for made in results if any(answer.flagged for answer in made.value.slices))
        setModuleNodes("CMRQCSegmentation", {"inputVolume": volumes[next(doubtful, results[0]).key]})
