"""The displacement that brings a stress T1 map onto its rest map.

A network looks at both maps on a grid of its own around the left ventricle, and may look again at what it has aligned
itself; then its answer is made better on the maps themselves. Without a network the maps are aligned from coarse to
fine. That the true change of T1 survives is seen to in three ways: the network learns displacements that are known,
with responses of every sign and kind, so that it gains nothing from making the maps equal; what is compared afterwards
(`CMRStressReactivityLib.refinement`) is blind to how high T1 is and how strong its contrast; and the displacement is
smooth and does not fold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from CMRLib.errors import InputError
from CMRLib.networks.devices import has_fast_bfloat16, resolve_device
from CMRLib.networks.models import ModelEntry, load_weights

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

TASK = "stress-registration"
DEFAULT_MODEL = "stress"
SIZE, SPACING_MM = 192, 1.2  # of the network's grid
PASSES = 1  # a second look leaves 0.54 px in place of 0.65 px, but the same 0.14 px after the refinement
# T1 in ms that becomes 0, and by how many ms 1 is more; fluid and air are cut off.
T1_MIDDLE, T1_STEP, LIMIT = 1200.0, 500.0, 2.0
SPACING_RANGE_MM = (0.3, 4.0)


@dataclass(frozen=True)
class RegistrationModel:
    """A loaded network.

    Attributes:
        network: in evaluation mode, on the device, in the precision that it computes in.
        device: where it computes.
        entry: what it is.
    """

    network: nn.Module
    device: torch.device
    entry: ModelEntry


@dataclass(frozen=True)
class Registration:
    """A stress map's way to its rest map.

    Attributes:
        displacement: float32 (2, row, column), (row, column) shift in pixels of the rest map: the stress map at
            x + displacement(x) shows what the rest map shows at x.
        model: the network that it began with, None without one.
        device: where that computed.
    """

    displacement: np.ndarray
    model: ModelEntry | None
    device: str


def load_registration_model(model: str | Path = DEFAULT_MODEL, device: str = "auto") -> RegistrationModel:
    """Load a model by its id in the manifest or by the path of its weights file.

    Raises:
        MissingDependencyError: torch, safetensors or the weights are missing, or the weights are damaged.
        DeviceError: the device is not available.
        InputError: there is no such model.
    """
    chosen = resolve_device(device)
    weights = load_weights(model, TASK)
    from CMRLib.networks.inference import with_weights
    from CMRStressReactivityLib.networks import NETWORKS

    build = NETWORKS[weights.entry.input["network"]]
    return RegistrationModel(with_weights(build(), weights.tensors, weights.entry, chosen), chosen, weights.entry)


def register(
    rest: np.ndarray,
    stress: np.ndarray,
    spacing_mm: tuple[float, float],
    center: tuple[float, float] | None = None,
    *,
    model: RegistrationModel | None,
    passes: int = PASSES,
    refined: bool = True,
) -> Registration:
    """Find where the stress map shows what the rest map shows.

    Args:
        rest, stress: T1 in ms, (row, column), on one grid (see `CMRStressReactivityLib.matching.on_rest_grid`); 0 where
            there is none.
        spacing_mm: distance of rows and of columns.
        center: (row, column) of the left ventricle in the rest map, within some 2 cm; by default the image's middle.
        model: see `load_registration_model`; None aligns the maps from coarse to fine.
        passes: how often the network looks.
        refined: whether its answer is made better on the maps themselves; needed without one.

    Raises:
        InputError: the maps differ in size, the spacing is not that of a heart image, or there is nothing to do.
    """
    check_maps(rest, stress, spacing_mm)
    import torch

    from CMRStressReactivityLib.networks import PATCH, in_pixels
    from CMRStressReactivityLib.refinement import AFTER_NETWORK, FROM_NOTHING, refine, smoothed

    if model is None and not refined:
        raise InputError("Without a network the maps can only be aligned on themselves; choose a network or refine.")
    grid = NetworkGrid.around(center or tuple((n - 1) / 2.0 for n in rest.shape), spacing_mm)
    with torch.inference_mode():
        maps = torch.stack([grid.sampled(image) for image in (rest, stress)], dim=1)
        if model is not None:
            displacement = estimate(maps, model.network, model.device, passes)
        else:
            displacement = torch.zeros(1, 2, SIZE // PATCH, SIZE // PATCH)
    if refined:
        if model is not None:
            displacement = refine(maps, smoothed(displacement), AFTER_NETWORK)
        else:
            displacement = refine(maps, displacement, FROM_NOTHING)
    with torch.inference_mode():
        found = grid.on_image(in_pixels(displacement), rest.shape)
    if model is None:
        return Registration(found, None, "cpu")
    return Registration(found, model.entry, str(model.device))


def check_maps(rest: np.ndarray, stress: np.ndarray, spacing_mm: tuple[float, float]) -> None:
    """Refuse what cannot be registered.

    Raises:
        InputError: see `register`.
    """
    if rest.ndim != 2 or rest.shape != stress.shape or min(rest.shape) < 32:
        raise InputError(
            f"Rest and stress map must be slices of one size of at least 32 x 32 pixels, not {rest.shape} and "
            f"{stress.shape}; bring the stress map to the rest map's grid first."
        )
    low, high = SPACING_RANGE_MM
    if not all(math.isfinite(step) and low <= step <= high for step in spacing_mm):
        raise InputError(
            f"The pixel spacing {spacing_mm[0]:g} x {spacing_mm[1]:g} mm is not that of a heart image "
            f"({low} to {high} mm); correct it."
        )


@dataclass(frozen=True)
class NetworkGrid:
    """The network's grid in a rest map.

    Attributes:
        center: (row, column) of its middle, pixels of the map.
        step: (row, column), pixels of the map per pixel of the grid.
    """

    center: tuple[float, float]
    step: tuple[float, float]

    @classmethod
    def around(cls, center: tuple[float, ...], spacing_mm: tuple[float, float]) -> NetworkGrid:
        """The grid around a place of a map with this distance of rows and of columns."""
        return cls((center[0], center[1]), (SPACING_MM / spacing_mm[0], SPACING_MM / spacing_mm[1]))

    def sampled(self, image: np.ndarray) -> Tensor:
        """A T1 map on the grid as the network sees it, float32 (1, SIZE, SIZE); 0 ms outside the image."""
        import torch

        from CMRLib.networks.sampling import sample

        # Finer images are averaged over the grid's pixels first.
        widths = [0.4 * max(step - 1.0, 0.0) for step in self.step]
        smooth = ndimage.gaussian_filter(image.astype(np.float32), widths) if any(widths) else image
        tensor = torch.as_tensor(np.ascontiguousarray(smooth, dtype=np.float32))[None, None]
        matrix = torch.diag(torch.tensor(self.step, dtype=torch.float32))
        offset = torch.tensor(self.center, dtype=torch.float32) - matrix.diagonal() * (SIZE - 1) / 2.0
        return scaled_t1(sample(tensor, matrix[None], offset[None], SIZE)[0])

    def on_image(self, displacement: Tensor, shape: tuple[int, int]) -> np.ndarray:
        """A displacement (1, 2, SIZE, SIZE) in the grid's pixels as float32 (2, row, column) in pixels of the map.

        Beyond the grid it is what it is at the grid's edge.
        """
        import torch

        from CMRLib.networks.warp import indices, warp

        pixels = indices(shape, displacement)
        step = torch.tensor(self.step, dtype=displacement.dtype)[:, None, None]
        center = torch.tensor(self.center, dtype=displacement.dtype)[:, None, None]
        place = (pixels - center) / step + (SIZE - 1) / 2.0
        found: np.ndarray = (warp(displacement, (place - pixels)[None])[0] * step).numpy()
        return found


def scaled_t1(t1: Tensor) -> Tensor:
    """T1 in ms as the network sees it, from -LIMIT to LIMIT."""
    return ((t1 - T1_MIDDLE) / T1_STEP).clamp(-LIMIT, LIMIT)


def estimate(maps: Tensor, network: nn.Module, device: torch.device, passes: int) -> Tensor:
    """The network's displacement of a batch of pairs.

    Args:
        maps: (pair, 2, row, column), rest and stress after `scaled_t1`.
        network: in evaluation mode.
        device: where it computes.
        passes: how often it looks.

    Returns:
        (pair, 2, row, column) on blocks of `CMRStressReactivityLib.networks.PATCH` pixels and in blocks, on the CPU.
    """
    import torch

    from CMRLib.networks.warp import compose, warp
    from CMRStressReactivityLib.networks import in_pixels, integrated

    displacement: Tensor | None = None
    for _ in range(passes):
        seen = maps
        if displacement is not None:
            seen = torch.cat([maps[:, :1], warp(maps[:, 1:], in_pixels(displacement))], dim=1)
        with torch.autocast(device.type, torch.bfloat16, enabled=has_fast_bfloat16(device)):
            velocity = network(seen.to(device))
        rest = integrated(velocity.float().cpu())
        displacement = rest if displacement is None else compose(rest, displacement)
    assert displacement is not None
    return displacement


def registered(image: np.ndarray, displacement: np.ndarray) -> np.ndarray:
    """An image with its motion taken out, float32 (row, column); bilinear.

    Args:
        image: (row, column), T1 or its standard error; 0 where there is no value.
        displacement: see `Registration`.

    Returns:
        The image at x + displacement(x), see `sampled_at`.
    """
    rows, columns = np.indices(image.shape, dtype=np.float64)
    return sampled_at(image, [rows + displacement[0], columns + displacement[1]])


def sampled_at(image: np.ndarray, place: Sequence[np.ndarray]) -> np.ndarray:
    """An image at places between its pixels, bilinear.

    Args:
        image: (row, column); 0, negative or not finite where there is no value.
        place: row and column of each pixel of the result, in pixels of the image.

    Returns:
        float32, of the places' shape; 0 outside the image and where a value would be mixed with none.
    """
    known = np.isfinite(image) & (np.nan_to_num(image) > 0)
    values = ndimage.map_coordinates(np.where(known, image, 0.0).astype(np.float64), place, order=1, cval=0.0)
    share = ndimage.map_coordinates(known.astype(np.float64), place, order=1, cval=0.0)
    return np.where(share > 0.999, values, 0.0).astype(np.float32)
