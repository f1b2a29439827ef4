"""The inversion-recovery signal S(TI) = A - B exp(-TI/T1*) and how precisely its T1 can be known."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def inversion_recovery_signal(
    times: torch.Tensor, a: torch.Tensor, b: torch.Tensor, t1_star: torch.Tensor
) -> torch.Tensor:
    """Signed signal of shape (P, n) at inversion times of shape (n,) or (P, n), in ms, for P pixels."""
    import torch

    return a[:, None] - b[:, None] * torch.exp(-times / t1_star[:, None])


def t1_variance_per_noise_variance(
    times: torch.Tensor, a: torch.Tensor, b: torch.Tensor, t1_star: torch.Tensor, used: torch.Tensor
) -> torch.Tensor:
    """Smallest possible variance of T1 for samples with noise of unit variance, in ms² per (signal unit)².

    This is the Cramér-Rao bound of T1 = T1* (B/A - 1) for independent Gaussian noise: g' (J'J)^-1 g with J the
    derivatives of the samples by (A, B, T1*) and g those of T1 (Kay, Fundamentals of Statistical Signal Processing,
    1993, section 3.8). With fitted parameters and an estimated noise variance it is the squared standard error.

    Args:
        times: inversion times in ms, shape (n,).
        a, b, t1_star: parameters of P pixels, shape (P,).
        used: which samples of each pixel enter the fit, bool, shape (P, n).

    Returns:
        Shape (P,); infinite where the samples do not determine T1.
    """
    import torch

    x = times[None, :] / t1_star[:, None]
    decay = torch.exp(-x) * used
    # The third parameter is scaled by T1*/B, so that the matrix is well conditioned in single precision.
    jacobian = torch.stack([used.to(decay.dtype), -decay, -decay * x], dim=2)
    gradient = torch.stack([-t1_star * b / a**2, t1_star / a, (b / a - 1.0) * t1_star / b], dim=1)
    information = jacobian.transpose(1, 2) @ jacobian
    solution, status = torch.linalg.solve_ex(information, gradient)
    variance = (gradient * solution).sum(1)
    known = (status == 0) & torch.isfinite(variance) & (variance >= 0)
    return torch.where(known, variance, torch.full_like(variance, float("inf")))
