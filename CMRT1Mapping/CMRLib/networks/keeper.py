"""A model that a process loads once, however many studies it works on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from CMRLib.networks.models import MANIFEST, model_entry
from CMRLib.resources import resource_path

Model = TypeVar("Model")


class ModelKeeper(Generic[Model]):
    """Keeps the model that was loaded last; another device, or another weights file, has it loaded and checked anew."""

    def __init__(self) -> None:
        self._key: tuple[object, ...] = ()
        self._model: Model | None = None

    def model(self, load: Callable[..., Model], name: str, device: str) -> Model:
        """The model, loaded by ``load(device=device)`` where it is not the one that is kept.

        Args:
            load: loads and checks it; what it raises is not kept.
            name: its id in the manifest.
            device: see `CMRLib.networks.devices.resolve_device`.
        """
        key = (load, name, device, *_stamp(name))
        if self._model is None or key != self._key:
            self._model, self._key = None, ()
            self._model, self._key = load(device=device), key
        return self._model


def _stamp(name: str) -> tuple[object, ...]:
    """Tells a weights file from others, and from what it was before it was changed; without reading it."""
    path = resource_path(MANIFEST).parent / model_entry(name).file
    try:
        stat = path.stat()
    except OSError:  # which loading tells of
        return (path,)
    return path, stat.st_size, stat.st_mtime_ns, stat.st_ino
