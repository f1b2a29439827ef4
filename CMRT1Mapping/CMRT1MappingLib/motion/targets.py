"""What each of some aligned images should look like, as the others say.

torch is imported by whoever imports this module: import it inside functions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from CMRT1MappingLib.fit.reconstruction import FitOptions, fit_stack

COMPONENTS = 4


def predicted_by_components(aligned: Tensor, weight: Tensor) -> Tensor:
    """Each image as a linear combination of the main components of the others.

    Args:
        aligned: (frame, row, column).
        weight: of each pixel, (row, column).

    Returns:
        As ``aligned``.
    """
    samples, weight = aligned.flatten(1), weight.flatten() / weight.sum()
    mean = samples @ weight
    centred = samples - mean[:, None]
    centred = centred.double()  # the smallest components are a millionth of the largest
    covariance = (weight * centred) @ centred.T
    mixtures = torch.zeros_like(covariance)
    for frame in range(len(aligned)):
        others = [other for other in range(len(aligned)) if other != frame]
        values, vectors = torch.linalg.eigh(covariance[others][:, others])
        main = vectors[:, -COMPONENTS:] / values[-COMPONENTS:].clamp_min(1e-12).sqrt()
        mixtures[frame, others] = main @ (main.T @ covariance[others, frame])
    return (mixtures @ centred + mean[:, None]).float().reshape(aligned.shape)


def predicted_by_model(inversion_times_ms: Sequence[float], scheme: str) -> Callable[[Tensor, Tensor], Tensor]:
    """A prediction from the fit of the signal model to the aligned images.

    The fitted curve of a pixel holds for the samples that the scheme lets enter; those after an inversion on
    magnetisation that had not recovered follow another. So what is predicted is the best combination, over the region,
    of a constant, A, and B exp(-TI/T1*), with the magnitude's sign where the images have none.

    Args:
        inversion_times_ms: of the images.
        scheme: see `CMRT1MappingLib.fit.reconstruction.reconstruct`.

    Returns:
        A function like `predicted_by_components`, of magnitudes or of images with their sign.
    """
    times = np.asarray(inversion_times_ms, dtype=np.float32)

    def predicted(aligned: Tensor, weight: Tensor) -> Tensor:
        signed = bool((aligned < 0).any())
        pixels = aligned.flatten(1)[:, None]
        angle = None if not signed else torch.where(pixels < 0, torch.pi, 0.0).numpy()
        maps = fit_stack(pixels.abs().numpy(), times, angle, scheme, FitOptions(), "cpu", floor=0.0)
        a, b, t1_star = (torch.as_tensor(part[0]) for part in (maps.a, maps.b, maps.t1_star))
        polarity = torch.ones_like(aligned) if signed else torch.as_tensor(maps.polarity[:, 0]).reshape(aligned.shape)
        share = weight.flatten().sqrt()
        targets = []
        for frame, time in enumerate(times):
            terms = torch.stack([torch.ones_like(a), a, b * torch.exp(-float(time) / t1_star.clamp_min(1.0))], dim=1)
            wanted = (aligned[frame] * polarity[frame]).flatten()
            weights = torch.linalg.lstsq(terms * share[:, None], (wanted * share)[:, None]).solution
            targets.append((terms @ weights).reshape(weight.shape) * polarity[frame])
        return torch.stack(targets)

    return predicted
