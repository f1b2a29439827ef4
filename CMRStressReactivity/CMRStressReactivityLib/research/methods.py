"""The registrations that an evaluation compares: this library's, and demons, which need no environment of their own."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import SimpleITK as sitk  # noqa: N813 (the name that its own examples give it)

from CMRStressReactivityLib.registration import PASSES, SPACING_MM, RegistrationModel, register
from CMRStressReactivityLib.research.evaluation import Method, uncorrected

UNCORRECTED, OURS, BASELINE = "uncorrected", "Swin U-Net, refined", "U-Net VoxelMorph"
ALIGNED = "aligned coarse to fine, no network"
TRUE = "true motion taken out"
SPACING = (SPACING_MM, SPACING_MM)
# Chosen on 12 validation pairs by the displacement left: 0.30 px, against 0.31 px with a smoothing of 3 or 5, 0.42 px
# with 2, 0.69 px with 1.2, and 0.39 px from a fourth, coarser level on.
DEMONS_LEVELS = ((4, 60), (2, 60), (1, 30))  # by how much the maps are shrunk, and iterations
DEMONS_SMOOTHING_PX = 4.0
CLIPPED_MS = (0.0, 2400.0)


def own_methods(
    model: RegistrationModel | None = None, baseline: RegistrationModel | None = None
) -> Mapping[str, Method]:
    """Alignment without a network; the network once, twice and, as it ships, refined; and the comparison, once."""

    def registered_by(chosen: RegistrationModel | None, passes: int, *, refined: bool) -> Method:
        return Method(
            lambda fixed, moving: (
                register(fixed, moving, SPACING, model=chosen, passes=passes, refined=refined).displacement
            ),
            settings=chosen.entry.sha256 if chosen is not None else "",
        )

    methods = {}
    if baseline is not None:
        methods[BASELINE] = registered_by(baseline, 1, refined=False)
    if model is not None:
        methods["Swin U-Net, one look"] = registered_by(model, 1, refined=False)
        methods["Swin U-Net, two looks"] = registered_by(model, 2, refined=False)
    methods[ALIGNED] = registered_by(None, 0, refined=True)
    if model is not None:
        methods[OURS] = registered_by(model, PASSES, refined=True)
    return methods


def classical_methods(threads: int = 1) -> Mapping[str, Method]:
    """No registration, and demons."""
    settings = f"{DEMONS_LEVELS} {DEMONS_SMOOTHING_PX} {CLIPPED_MS}"
    return {
        UNCORRECTED: Method(uncorrected, timed=False),
        "demons, diffeomorphic": Method(lambda fixed, moving: demons(fixed, moving, threads), settings, slow=True),
    }


def demons(fixed: np.ndarray, moving: np.ndarray, threads: int = 1) -> np.ndarray:
    """Diffeomorphic demons over three resolutions (SimpleITK), float32 (2, row, column) in pixels.

    T1 in lung and air is any number, so that it is cut off.
    """
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    images = [sitk.GetImageFromArray(np.clip(image, *CLIPPED_MS).astype(np.float32)) for image in (fixed, moving)]
    field: sitk.Image | None = None
    for shrink, iterations in DEMONS_LEVELS:
        small = [
            sitk.Shrink(sitk.SmoothingRecursiveGaussian(image, max(0.5 * shrink, 0.5)), [shrink] * 2)
            for image in images
        ]
        method = sitk.DiffeomorphicDemonsRegistrationFilter()
        method.SetNumberOfIterations(iterations)
        method.SetStandardDeviations(DEMONS_SMOOTHING_PX)
        method.SetSmoothDisplacementField(True)
        if field is not None:
            start = sitk.Resample(field, small[0], sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkVectorFloat64)
            field = method.Execute(small[0], small[1], start)
        else:
            field = method.Execute(small[0], small[1])
    assert field is not None
    shift = sitk.GetArrayFromImage(
        sitk.Resample(field, images[0], sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkVectorFloat64)
    )
    return np.moveaxis(shift[..., ::-1], -1, 0).astype(np.float32)
