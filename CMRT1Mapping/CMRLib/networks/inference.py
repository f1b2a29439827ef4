"""Making a trained network ready for use. torch is needed, so import this module inside functions."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from CMRLib.errors import MissingDependencyError
from CMRLib.networks.models import ModelEntry

Network = TypeVar("Network", bound=nn.Module)


def with_weights(network: Network, tensors: dict[str, Tensor], entry: ModelEntry, device: torch.device) -> Network:
    """The network with these weights, in evaluation mode on the device, its batch norms folded.

    Args:
        network: a new one, which is what is returned.
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
    _fold_norms(network.eval())
    return network.to(device, memory_format=torch.channels_last)


def with_folded_norms(network: Network) -> Network:
    """A trained network with its batch norms folded into the convolutions before them: the same answers, sooner."""
    network = copy.deepcopy(network).eval()
    _fold_norms(network)
    return network


def _fold_norms(network: nn.Module) -> None:
    """In place, because copying a network layer by layer takes longer than reading its weights."""
    for block in network.modules():
        if not isinstance(block, nn.Sequential):
            continue
        for i, (layer, norm) in enumerate(zip(block, block[1:], strict=False)):
            if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                assert norm.running_mean is not None and norm.running_var is not None
                layer.weight, layer.bias = fuse_conv_bn_weights(
                    layer.weight, layer.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
                )
                block[i + 1] = nn.Identity()
