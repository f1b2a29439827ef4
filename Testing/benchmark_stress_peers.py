"""Pairwise registration in the peers' environment: ``benchmark_stress_peers.py THREADS elastix|greedy``.

It speaks as benchmark_motion_elastix.py does: ``images`` are the fixed and the moving map, (2, row, column), and the
answer is ``displacement``, float32 (2, row, column) in pixels from the fixed map's grid into the moving map.
"""

import sys
from collections.abc import Callable

import numpy as np

# Chosen on 12 validation pairs by the displacement left. greedy: a median of 0.25 px, against 0.27 px with a smoothing
# of 2.0vox, 0.23 px with 4.0vox 1.5vox, 0.26 px with NCC 6x6; where its first, rigid step loses a pair that lies 9 px
# apart, 7 px stay with this search, 13 px without one, 31 px with NCC or SSD in place of NMI. elastix: 0.21 px on the
# first four pairs with 120 iterations; other distances of control points were not tried.
ELASTIX_GRID_MM = 24.0
ELASTIX_ITERATIONS = 100
GREEDY_METRIC = "NCC 4x4"
GREEDY_SMOOTHING = "3.0vox 1.0vox"
GREEDY_SEARCH = "200 3 12"  # random starts, degrees and mm


def by_elastix(fixed: np.ndarray, moving: np.ndarray, spacing_mm: float, threads: int) -> np.ndarray:
    """Translation, then cubic B-splines, both by mutual information (itk-elastix)."""
    import itk  # type: ignore[import-not-found]

    images = [itk.image_from_array(np.ascontiguousarray(image, np.float32)) for image in (fixed, moving)]
    for image in images:
        image.SetSpacing([spacing_mm, spacing_mm])
    parameters = itk.ParameterObject.New()
    translation = parameters.GetDefaultParameterMap("translation", 2)
    splines = parameters.GetDefaultParameterMap("bspline", 3, ELASTIX_GRID_MM)
    for stage in (translation, splines):
        stage["MaximumNumberOfIterations"] = [str(ELASTIX_ITERATIONS)]
        stage["AutomaticTransformInitialization"] = ["false"]
        stage["RequiredRatioOfValidSamples"] = ["0.05"]
        stage["RandomSeed"] = ["1"]
        parameters.AddParameterMap(stage)
    registration = itk.ElastixRegistrationMethod.New(*images)
    registration.SetParameterObject(parameters)
    registration.SetNumberOfThreads(threads)
    registration.SetLogToConsole(False)
    registration.UpdateLargestPossibleRegion()
    field = itk.TransformixFilter.New(images[1])
    field.SetTransformParameterObject(registration.GetTransformParameterObject())
    field.SetComputeDeformationField(True)
    field.SetLogToConsole(False)
    field.UpdateLargestPossibleRegion()
    return in_pixels(itk.array_from_image(field.GetOutputDeformationField()), spacing_mm)


def by_greedy(fixed: np.ndarray, moving: np.ndarray, spacing_mm: float, threads: int) -> np.ndarray:
    """Translation by mutual information, then greedy diffeomorphic registration by local correlation (picsl-greedy)."""
    import SimpleITK as sitk  # noqa: N813 (the name that its own examples give it)
    from picsl_greedy import Greedy2D  # type: ignore[import-not-found]

    images = [sitk.GetImageFromArray(np.ascontiguousarray(image, np.float32)) for image in (fixed, moving)]
    for image in images:
        image.SetSpacing((spacing_mm, spacing_mm))
    greedy = Greedy2D()
    common = f"-i fixed moving -threads {threads} -V 0"
    known = {"fixed": images[0], "moving": images[1]}
    greedy.execute(
        f"{common} -a -dof 6 -m NMI -n 100x60x20 -ia-identity -search {GREEDY_SEARCH} -o affine.mat", **known
    )
    command = f"{common} -m {GREEDY_METRIC} -n 100x60x30 -s {GREEDY_SMOOTHING} -it affine.mat -o warp"
    greedy.execute(command, **known, warp=None)
    greedy.execute("-rf fixed -r warp affine.mat -rc both -V 0", both=None)
    return in_pixels(sitk.GetArrayFromImage(greedy["both"]), spacing_mm)


def in_pixels(shift_mm: np.ndarray, spacing_mm: float) -> np.ndarray:
    """Shifts (row, column, (x, y)) in mm as float32 (2, row, column), rows first, in pixels."""
    return np.moveaxis(np.asarray(shift_mm)[..., 1::-1], -1, 0).astype(np.float32) / np.float32(spacing_mm)


METHODS: dict[str, Callable[..., np.ndarray]] = {"elastix": by_elastix, "greedy": by_greedy}


def main() -> None:
    """Register pairs until the input ends."""
    threads, register = int(sys.argv[1]), METHODS[sys.argv[2]]
    for line in sys.stdin:
        source, target = line.rstrip("\n").split("\t")
        with np.load(source) as data:
            fixed, moving = data["images"]
            answer = register(fixed, moving, float(data["spacing_mm"]), threads)
        np.savez(target, displacement=answer)
        print("done", flush=True)


if __name__ == "__main__":
    main()
