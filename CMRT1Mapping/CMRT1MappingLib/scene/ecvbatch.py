"""The nodes of the batch's step ``ecv``, as the panel would have left them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from CMRLib.batch.step import StepResult
from CMRLib.scene.volumes import addVolume
from CMRT1MappingLib.scene.ecvmaps import storeEcv


def addNodes(results: Sequence[StepResult], volumes: dict[str, Any]) -> None:
    """Add the ECV of native maps, and those maps where no other step did; see `CMRLib.scene.studies`."""
    for made in results:
        native = volumes.get(made.key) or addVolume(made.key, made.images, made.geometry)
        volumes[made.key] = native
        posts = {one.post for one in made.value.slices}
        post = volumes.get(posts.pop()) if len(posts) == 1 else None
        storeEcv(native, made.value, post, made.series.field_strength_t)
