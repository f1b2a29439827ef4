"""The networks of a landmark model, loaded on a device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from CMRLandmarksLib.confidence import ConfidenceModel
from CMRLib.networks.devices import resolve_device
from CMRLib.networks.models import ModelEntry, load_weights

if TYPE_CHECKING:
    import torch

    from CMRLandmarksLib.networks import HeatmapNetwork

TASK = "landmarks"
DEFAULT_MODEL = "landmarks-generalist"


@dataclass(frozen=True)
class LandmarkModel:
    """Both networks, ready on a device; see `load_landmark_model`.

    Attributes:
        stage1, stage2: networks in evaluation mode.
        confidence: calibration of the confidence.
        crop_size, line_px, passes: of stage 2: pixels of the crop and of the entry line in it, and how often it runs.
        device: where they are.
        entry: what the weights are.
    """

    stage1: HeatmapNetwork
    stage2: HeatmapNetwork
    confidence: ConfidenceModel
    crop_size: int
    line_px: float
    passes: int
    device: torch.device
    entry: ModelEntry


def load_landmark_model(model: str | Path = DEFAULT_MODEL, device: str = "auto") -> LandmarkModel:
    """Load a model by its id in the manifest or by the path of its weights file.

    Raises:
        MissingDependencyError: torch, safetensors or the weights are missing, or the weights are damaged.
        DeviceError: the device is not available.
        InputError: there is no such model.
    """
    chosen = resolve_device(device)
    weights = load_weights(model, TASK)
    from CMRLandmarksLib.networks import STAGE1, STAGE2, HeatmapNetwork
    from CMRLib.networks.inference import with_weights

    networks = [
        with_weights(HeatmapNetwork(shape), weights.part(name), weights.entry, chosen)
        for name, shape in (("stage1", STAGE1), ("stage2", STAGE2))
    ]
    contract = weights.entry.input
    return LandmarkModel(
        stage1=networks[0],
        stage2=networks[1],
        confidence=ConfidenceModel.from_dict(contract.get("confidence", {})),
        crop_size=int(contract["crop_size"]),
        line_px=float(contract["line_px"]),
        passes=int(contract["passes"]),
        device=chosen,
        entry=weights.entry,
    )
