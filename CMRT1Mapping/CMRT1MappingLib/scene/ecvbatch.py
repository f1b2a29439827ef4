"""The nodes of the batch's step ``ecv``, as the panel would have left them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from CMRLib.batch.step import StepResult
from CMRLib.scene.parameters import setModuleNodes
from CMRLib.scene.regions import findSegmentation
from CMRLib.scene.volumes import addVolume
from CMRT1MappingLib.scene.ecvmaps import storeEcv


def addNodes(results: Sequence[StepResult], volumes: dict[str, Any]) -> None:
    """Add the ECV of native maps, and those maps where no other step did; see `CMRLib.scene.studies`."""
    for made in results:
        native = volumes.get(made.key) or addVolume(made.key, made.images, made.geometry)
        volumes[made.key] = native
        storeEcv(native, made.value, _postMap(made, volumes), made.series.field_strength_t)


def openModule(results: Sequence[StepResult], volumes: dict[str, Any]) -> None:
    """Set the module's section of the extracellular volume to the first result."""
    if results:
        native = volumes[results[0].key]
        nodes = {"ecvNativeMap": native, "ecvPostMap": _postMap(results[0], volumes)}
        setModuleNodes("CMRT1Mapping", nodes | {"ecvSegmentation": findSegmentation(native)})


def _postMap(made: StepResult, volumes: dict[str, Any]) -> Any:
    """The post-contrast map of a result; None where its slices have several."""
    posts = {one.post for one in made.value.slices}
    return volumes.get(posts.pop()) if len(posts) == 1 else None
