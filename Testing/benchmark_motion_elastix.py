"""Groupwise registration by elastix in the peers' environment: ``benchmark_motion_elastix.py THREADS``.

For each line ``INPUT.npz<TAB>OUTPUT.npz`` on its standard input it registers one set and answers with a line ``done``.
The input holds ``images``, axes (frame, row, column), and ``spacing_mm``; the output ``displacement``, float32
(frame, 2, row, column) in pixels from the mean space into each frame. It runs one set after the other because loading
elastix takes longer than using it.

The metric is that of Huizinga W, Poot DHJ, Guyader JM, et al. Med Image Anal 2016; 29:65-78, made for quantitative MR,
and the settings start from those its authors published for MOLLI (elastix model zoo, Par0039).
"""

import sys

import itk  # type: ignore[import-not-found]
import numpy as np
from scipy.ndimage import map_coordinates

STRIDE = 4  # pixels between those at which the transform is computed
COMMON = {
    "FixedInternalImagePixelType": ["float"],
    "MovingInternalImagePixelType": ["float"],
    "FixedImageDimension": ["3"],
    "MovingImageDimension": ["3"],
    "Registration": ["MultiResolutionRegistration"],
    "Interpolator": ["ReducedDimensionBSplineInterpolator"],
    "BSplineInterpolationOrder": ["1"],
    "ResampleInterpolator": ["FinalReducedDimensionBSplineInterpolator"],
    "Resampler": ["DefaultResampler"],
    "WriteResultImage": ["false"],
    "FixedImagePyramid": ["FixedSmoothingImagePyramid"],
    "MovingImagePyramid": ["MovingSmoothingImagePyramid"],
    "Optimizer": ["AdaptiveStochasticGradientDescent"],
    "AutomaticParameterEstimation": ["true"],
    "AutomaticScalesEstimation": ["true"],
    "AutomaticTransformInitialization": ["false"],
    "ASGDParameterEstimationMethod": ["Original"],
    "HowToCombineTransforms": ["Compose"],
    "MovingImageDerivativeScales": ["1", "1", "0"],
    "SubtractMean": ["true"],
    "ImageSampler": ["RandomCoordinate"],
    "NewSamplesEveryIteration": ["true"],
    "RequiredRatioOfValidSamples": ["0.05"],
    "RandomSeed": ["1"],
    "NumberOfSamplesForExactGradient": ["4096"],  # of the step size; the default of 100000 takes most of the time
}


def stage(
    transform: str, metric: str, iterations: int, samples: int, smoothing: tuple[int, ...], **own: float
) -> dict[str, list[str]]:
    """One elastix parameter map; ``smoothing`` is the pyramid's schedule, from coarse to fine."""
    return {
        **COMMON,
        "Transform": [transform],
        "Metric": [metric],
        "MaximumNumberOfIterations": [str(iterations)],
        "NumberOfSpatialSamples": [str(samples)],
        "NumberOfResolutions": [str(len(smoothing))],
        "ImagePyramidSchedule": [str(value) for level in smoothing for value in (level, level, 0)],
        **{name: [str(value)] for name, value in own.items()},
    }


# Chosen on 7 tuning sets of all severities by the displacement left: 0.82 px, against 0.84 px with a rigid stage
# (EulerStackTransform) before it, 0.81 px with a third resolution that takes half as long again, 0.86 px and 1.00 px
# with control points 48 and 96 mm apart, 0.83 px with twice the iterations and samples, 0.85 px with the resolutions of
# the model zoo, and 1.35 px or more with PCAMetric in place of PCAMetric2.
STAGES = (stage("BSplineStackTransform", "PCAMetric2", 200, 1024, (4, 2), FinalGridSpacingInPhysicalUnits=64),)


def register(images: np.ndarray, spacing_mm: float, threads: int) -> np.ndarray:
    """Displacement (frame, 2, row, column) in pixels from the mean space into each frame."""
    stack = itk.image_from_array(images.astype(np.float32))
    stack.SetSpacing([spacing_mm, spacing_mm, 1.0])
    parameters = itk.ParameterObject.New()
    for parameter_map in STAGES:
        parameters.AddParameterMap(parameter_map)
    registration = itk.ElastixRegistrationMethod.New(stack, stack)  # the fixed image is not used groupwise
    registration.SetParameterObject(parameters)
    registration.SetNumberOfThreads(threads)
    registration.SetLogToConsole(False)
    registration.UpdateLargestPossibleRegion()
    return displacement(stack, registration.GetTransformParameterObject())


def displacement(stack: "itk.Image", transform: "itk.ParameterObject") -> np.ndarray:
    """The transform as (frame, 2, row, column) in pixels; it is smooth, so every fourth pixel is computed."""
    columns, rows, frames = (int(n) for n in itk.size(stack))
    spacing_mm = float(itk.spacing(stack)[0])
    coarse = [-(-(n - 1) // STRIDE) + 1 for n in (columns, rows)]
    for number in range(transform.GetNumberOfParameterMaps()):
        changed = dict(transform.GetParameterMap(number))
        changed["Size"] = [str(n) for n in (*coarse, frames)]
        changed["Spacing"] = [str(step) for step in (STRIDE * spacing_mm, STRIDE * spacing_mm, 1)]
        transform.SetParameterMap(number, changed)
    field = itk.TransformixFilter.New(stack)
    field.SetTransformParameterObject(transform)
    field.SetComputeDeformationField(True)
    field.SetLogToConsole(False)
    field.UpdateLargestPossibleRegion()
    shift_mm = itk.array_from_image(field.GetOutputDeformationField())[..., 1::-1]  # x, y to row, column
    places = np.indices((rows, columns)) / STRIDE
    fine = [
        [map_coordinates(frame[..., axis], places, order=3, mode="nearest") for axis in (0, 1)] for frame in shift_mm
    ]
    return np.array(fine, np.float32) / np.float32(spacing_mm)


def main() -> None:
    """Register sets until the input ends."""
    threads = int(sys.argv[1])
    itk.MultiThreaderBase.SetGlobalMaximumNumberOfThreads(threads)
    itk.MultiThreaderBase.SetGlobalDefaultNumberOfThreads(threads)
    for line in sys.stdin:
        source, target = line.rstrip("\n").split("\t")
        with np.load(source) as data:
            answer = register(data["images"], float(data["spacing_mm"]), threads)
        np.savez(target, displacement=answer)
        print("done", flush=True)


if __name__ == "__main__":
    main()
