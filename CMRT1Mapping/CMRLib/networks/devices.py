"""Choosing the device that PyTorch computes on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from CMRLib.errors import DeviceError, MissingDependencyError

if TYPE_CHECKING:
    import torch

TORCH_REMEDY = "install it with the PyTorch extension of 3D Slicer (module PyTorch Utils), or with pip install torch"


def resolve_device(name: str = "auto") -> torch.device:
    """The device called ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``; ``auto`` takes the fastest there is.

    Raises:
        MissingDependencyError: PyTorch cannot be imported.
        DeviceError: the name is unknown or that device is not available here; nothing else is taken instead.
    """
    try:
        import torch
    except Exception as error:  # a half-installed torch raises OSError or worse on import
        raise MissingDependencyError(f"PyTorch cannot be loaded ({error}); {TORCH_REMEDY}.") from error
    has_mps = torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if has_mps else "cpu")
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (index and not (kind == "cuda" and index.isdigit())):
        raise DeviceError(f'There is no device called "{name}"; choose auto, cpu, cuda, cuda:N or mps.')
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise DeviceError(f"The GPU {name} is not available on this computer; choose auto or cpu.")
    if kind == "mps" and not has_mps:
        raise DeviceError("The Apple GPU (mps) is not available on this computer; choose auto or cpu.")
    return torch.device(name)


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is faster than float32 there: on GPUs that have it, and on CPUs with AVX512-BF16 or AMX."""
    import torch

    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    if device.type != "cpu":
        return False
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
