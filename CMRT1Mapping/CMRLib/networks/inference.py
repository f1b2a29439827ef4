"""Making a trained network ready for use. torch is needed, so import this module inside functions."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from CMRLib.errors import MissingDependencyError
from CMRLib.networks.models import ModelEntry

Network = TypeVar("Network", bound=nn.Module)


def with_weights(network: Network, tensors: dict[str, Tensor], entry: ModelEntry, device: torch.device) -> Network:
    """The network with these weights, in evaluation mode on the device, its batch norms folded.

    Args:
        network: with any weights.
        tensors: by name.
        entry: of the weights file that they come from.
        device: see `CMRLib.networks.devices.resolve_device`.

    Raises:
        MissingDependencyError: the weights are those of another network.
    """
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise MissingDependencyError(
            f"The weights of '{entry.id}' do not fit this version of CMRMapping; install its own model."
        ) from error
    return with_folded_norms(network).to(device, memory_format=torch.channels_last)


def with_folded_norms(network: Network) -> Network:
    """A trained network with its batch norms folded into the convolutions before them: the same answers, sooner."""
    network = copy.deepcopy(network).eval()
    for block in network.modules():
        if not isinstance(block, nn.Sequential):
            continue
        for i, (layer, following) in enumerate(zip(block, block[1:], strict=False)):
            if isinstance(layer, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
                block[i], block[i + 1] = fuse_conv_bn_eval(layer, following), nn.Identity()
    return network
