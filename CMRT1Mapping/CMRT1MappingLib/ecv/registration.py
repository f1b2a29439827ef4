"""The displacement that brings a post-contrast T1 map onto the native map of its slice.

The two differ in contrast so much that muscle is darker than blood in one and brighter in the other, so likeness is
mutual information (Mattes et al., IEEE Trans Med Imaging 2003;22:120-128, as in SimpleITK), within the heart and what
lies around it: first a shift and a turn, from the best of several places to begin at, then a free form (Rueckert et
al., IEEE Trans Med Imaging 1999;18:712-721) on a coarse grid. Each step is kept only where it makes the maps clearly
more alike; otherwise the maps stay as they were.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk  # noqa: N813 (the name its users know)
from scipy import ndimage

from CMRLib.errors import InputError

AROUND_MM = 22.0  # of the left ventricle that is looked at: the wall, both cavities and what borders on them
MARGIN_MM = 12.0  # of the image that is needed beyond that
BINS = 32
STARTS_MM = (-10.0, -5.0, 0.0, 5.0, 10.0)  # shifts along each axis to begin at
GRID_MM = 24.0  # distance of the free form's control points
FINEST_MM = 1.9  # acquired pixels are about as wide; images interpolated to finer ones hold no more
AS_ACQUIRED, SHIFTED, DEFORMED = "as acquired", "shifted", "deformed"
# How much more alike, in bits of mutual information, a step must make the maps: interpolation and the fitting of noise
# gain up to 0.03 in simulated pairs that lie well already, a deformation that was really there 0.05 and more.
LEAST_GAIN = 0.04
# When an alignment is doubtful: hearts move by 1 to 2 cm from breath-hold to breath-hold.
FARTHEST_MM = 20.0
LEAST_DETERMINANT = 0.3
LEAST_LIKENESS = 0.25  # bits


@dataclass(frozen=True)
class Alignment:
    """How a post-contrast map lies on its native map.

    Attributes:
        displacement: float32 (2, row, column), (row, column) shift in pixels of the native map: the post-contrast map
            at x + displacement(x) shows what the native map shows at x.
        outcome: "as acquired", "shifted" (and turned) or "deformed".
        moved_mm: mean length of the displacement in the left ventricle.
        likeness_before, likeness: mutual information of the maps in and around the heart, bits.
        reasons: why the alignment is doubtful, a sentence each; empty where it is not.
    """

    displacement: np.ndarray
    outcome: str
    moved_mm: float
    likeness_before: float
    likeness: float
    reasons: tuple[str, ...] = ()

    @property
    def is_doubtful(self) -> bool:
        """Whether someone should look at it."""
        return bool(self.reasons)


@dataclass(frozen=True)
class _Maps:
    """What is registered: both maps as images in mm, cut out around the heart, and where likeness is measured."""

    native: sitk.Image
    post: sitk.Image
    mask: sitk.Image
    middle_mm: tuple[float, float]


def align(
    native: np.ndarray,
    post: np.ndarray,
    ventricle: np.ndarray,
    spacing_mm: tuple[float, float],
    progress: Callable[[float], None] = lambda fraction: None,
) -> Alignment:
    """Register a post-contrast T1 map to its native map.

    Args:
        native, post: T1 in ms, (row, column), on one grid (see `CMRT1MappingLib.ecv.placement`); 0 where there is none.
        ventricle: bool (row, column), the left ventricle with its wall and its cavity, in the native map.
        spacing_mm: distance of rows and of columns.
        progress: called with the fraction done; what it raises ends the registration.

    Raises:
        InputError: there is no ventricle, or one of the maps holds nothing there.
    """
    if not ventricle.any() or not all(np.any(image[ventricle] > 0) for image in (native, post)):
        raise InputError("The maps do not both show the left ventricle; check that they are of one slice.")
    maps = _prepared(native, post, ventricle, spacing_mm)
    outcome, transform = AS_ACQUIRED, sitk.Transform(2, sitk.sitkIdentity)
    likeness = before = _likeness(maps, transform)
    for name, step, done in ((SHIFTED, _shifted, 0.3), (DEFORMED, _deformed, 1.0)):
        tried = step(maps, transform)
        reached = _likeness(maps, tried)
        if reached > likeness + LEAST_GAIN:
            outcome, transform, likeness = name, tried, reached
        progress(done)
    displacement = _in_pixels(transform, native.shape, spacing_mm)
    length = np.hypot(displacement[0] * spacing_mm[0], displacement[1] * spacing_mm[1])
    moved = float(length[ventricle].mean())
    return Alignment(displacement, outcome, moved, before, likeness, _reasons(displacement, ventricle, moved, likeness))


def _reasons(displacement: np.ndarray, ventricle: np.ndarray, moved_mm: float, likeness: float) -> tuple[str, ...]:
    """Why an alignment is doubtful."""
    reasons = []
    if likeness < LEAST_LIKENESS:
        reasons.append("The maps are hardly alike even after registration; compare them by eye.")
    if moved_mm > FARTHEST_MM:
        reasons.append(f"The heart would have moved by {moved_mm:.0f} mm; check that both maps show the same slice.")
    (down_down, down_right), (right_down, right_right) = (np.gradient(part) for part in displacement)
    determinant = (1.0 + down_down) * (1.0 + right_right) - down_right * right_down
    if float(determinant[ventricle].min()) < LEAST_DETERMINANT:
        reasons.append("The registration squeezes a part of the heart together; do not trust ECV there.")
    return tuple(reasons)


def _prepared(native: np.ndarray, post: np.ndarray, ventricle: np.ndarray, spacing_mm: tuple[float, float]) -> _Maps:
    around = ndimage.distance_transform_edt(~ventricle, sampling=spacing_mm) <= AROUND_MM
    rows, columns = (np.flatnonzero(around.any(axis=axis)) for axis in (1, 0))
    margins = [int(np.ceil(MARGIN_MM / step)) for step in spacing_mm]
    part = tuple(
        slice(max(int(span[0]) - margin, 0), int(span[-1]) + margin + 1)
        for span, margin in zip((rows, columns), margins, strict=True)
    )
    origin = (part[1].start * spacing_mm[1], part[0].start * spacing_mm[0])
    row, column = ndimage.center_of_mass(ventricle)

    def image(values: np.ndarray) -> sitk.Image:
        made = sitk.GetImageFromArray(np.ascontiguousarray(values[part]))
        made.SetSpacing((spacing_mm[1], spacing_mm[0]))
        made.SetOrigin(origin)
        return made

    return _Maps(
        image(_evened(native, around)),
        image(_evened(post, around)),
        image(around.astype(np.uint8)),
        (column * spacing_mm[1], row * spacing_mm[0]),
    )


def _evened(t1: np.ndarray, around: np.ndarray) -> np.ndarray:
    """A map without single outliers, cut to the range that its tissue has around the heart."""
    calm = ndimage.median_filter(np.nan_to_num(t1.astype(np.float32)), size=3)
    inside = calm[around & (calm > 0)]
    low, high = np.percentile(inside, (2.0, 98.0)) if inside.size else (0.0, 1.0)
    return np.clip(calm, low, high)


def _method(maps: _Maps) -> sitk.ImageRegistrationMethod:
    method = sitk.ImageRegistrationMethod()
    # Sums in one order give the same answer every time; work units, not threads, are what the metric is cut into.
    method.SetNumberOfThreads(1)
    method.SetNumberOfWorkUnits(1)
    method.SetMetricAsMattesMutualInformation(BINS)
    method.SetMetricSamplingStrategy(method.NONE)
    method.SetMetricFixedMask(maps.mask)
    method.SetInterpolator(sitk.sitkLinear)
    return method


def _likeness(maps: _Maps, transform: sitk.Transform) -> float:
    """Mutual information in bits."""
    method = _method(maps)
    method.SetInitialTransform(transform)
    try:
        return -float(method.MetricEvaluate(maps.native, maps.post)) / np.log(2.0)
    except RuntimeError:  # moved out of the image
        return -np.inf


def _shifted(maps: _Maps, _start: sitk.Transform) -> sitk.Transform:
    """The best shift and turn."""
    starts = []
    for down in STARTS_MM:
        for right in STARTS_MM:
            start = sitk.Euler2DTransform(maps.middle_mm, 0.0, (right, down))
            starts.append((_likeness(maps, start), -abs(down) - abs(right), start))
    best = max(starts, key=lambda one: one[:2])[2]
    method = _method(maps)
    method.SetInitialTransform(best, inPlace=False)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=2.0, minStep=0.02, numberOfIterations=60, relaxationFactor=0.6
    )
    method.SetOptimizerScalesFromPhysicalShift()
    _set_levels(method, maps, to_pixels=True)
    return _executed(method, maps, best)


def _deformed(maps: _Maps, start: sitk.Transform) -> sitk.Transform:
    """The best free form after a shift and a turn."""
    extent = [n * step for n, step in zip(maps.native.GetSize(), maps.native.GetSpacing(), strict=True)]
    free = sitk.BSplineTransformInitializer(maps.native, [max(2, round(length / GRID_MM)) for length in extent], 3)
    method = _method(maps)
    method.SetMovingInitialTransform(start)
    method.SetInitialTransform(free, inPlace=True)
    method.SetOptimizerAsLBFGSB(gradientConvergenceTolerance=1e-5, numberOfIterations=40, maximumNumberOfCorrections=5)
    _set_levels(method, maps, to_pixels=False)
    _executed(method, maps, free)
    # The last one added is applied first.
    return sitk.CompositeTransform([start, free])


def _set_levels(method: sitk.ImageRegistrationMethod, maps: _Maps, *, to_pixels: bool) -> None:
    """From the coarsest pixels that hold what was acquired to those of the maps, or only the former."""
    coarse = max(1, round(FINEST_MM / min(maps.native.GetSpacing())))
    method.SetShrinkFactorsPerLevel([coarse, 1] if to_pixels else [coarse])
    method.SetSmoothingSigmasPerLevel([1.0, 0.5] if to_pixels else [0.5])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()


def _executed(method: sitk.ImageRegistrationMethod, maps: _Maps, start: sitk.Transform) -> sitk.Transform:
    try:
        return method.Execute(maps.native, maps.post)
    except RuntimeError:  # all samples left the image
        return start


def _in_pixels(transform: sitk.Transform, shape: tuple[int, int], spacing_mm: tuple[float, float]) -> np.ndarray:
    """A transform on the grid of the native map, as `Alignment.displacement`; the free form ends at its grid's edge."""
    field = sitk.TransformToDisplacementField(
        transform, sitk.sitkVectorFloat64, shape[::-1], (0.0, 0.0), spacing_mm[::-1]
    )
    right, down = np.moveaxis(sitk.GetArrayFromImage(field), -1, 0)
    return np.stack([down / spacing_mm[0], right / spacing_mm[1]]).astype(np.float32)
