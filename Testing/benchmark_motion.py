"""Other ways to correct motion, which ``cmr-evaluate moco`` holds this repository's against."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813 (the name that its own examples give it)
from benchmark_peers import make_peers_environment

from CMRLib.errors import MissingDependencyError
from CMRT1MappingLib.research.motion_report import Method

WORKER = Path(__file__).with_name("benchmark_motion_elastix.py")
MDREG_WORKER = Path(__file__).with_name("benchmark_motion_mdreg.py")
# Chosen on 7 tuning sets of all severities by the displacement left: 0.81 px, against 0.87 px without the coarsest
# level, 1.03 px with control points 140 mm apart and 0.99 px with 64 mm.
HISTOGRAM_BINS = 32
SHRINK_FACTORS = (8, 4, 2)
SAMPLED = 0.2  # of the pixels of each level
RIGID_ITERATIONS = 40
SPLINE_ITERATIONS = 20
SPLINE_SPACING_MM = 100.0
LONGEST_MM = 15.0  # of a spline's coefficient; without a bound the first step can leave the image
SEED = 1


def pairwise_settings() -> str:
    """What the answer of `pairwise` depends on."""
    return f"{HISTOGRAM_BINS} {SHRINK_FACTORS} {SAMPLED} {RIGID_ITERATIONS} {SPLINE_ITERATIONS} {SPLINE_SPACING_MM}"


def pairwise(images: np.ndarray, spacing_mm: float, threads: int = 1) -> np.ndarray:
    """Register every frame with the first one: rigid, then cubic B-splines, both by mutual information in SimpleITK.

    Args:
        images: (frame, row, column).
        spacing_mm: of the square pixels.
        threads: of SimpleITK.

    Returns:
        float32 (frame, 2, row, column) in pixels, from the first frame's grid into each frame.
    """
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    frames = [sitk.GetImageFromArray(frame.astype(np.float32)) for frame in images]
    for frame in frames:
        frame.SetSpacing((spacing_mm, spacing_mm))
    displacement = np.zeros((len(images), 2, *images.shape[1:]), np.float32)
    for shift, moving in zip(displacement[1:], frames[1:], strict=True):
        transform = _register_pair(frames[0], moving)
        field = sitk.TransformToDisplacementField(
            transform, sitk.sitkVectorFloat64, frames[0].GetSize(), frames[0].GetOrigin(), frames[0].GetSpacing()
        )
        shift[:] = np.moveaxis(sitk.GetArrayFromImage(field)[..., ::-1], -1, 0) / spacing_mm
    return displacement


def _register_pair(fixed: sitk.Image, moving: sitk.Image) -> sitk.Transform:
    size_mm = [n * step for n, step in zip(fixed.GetSize(), fixed.GetSpacing(), strict=True)]
    rigid = sitk.Euler2DTransform()
    rigid.SetCenter([length / 2 for length in size_mm])
    method = _method(fixed.GetSpacing()[0])
    method.SetOptimizerAsRegularStepGradientDescent(learningRate=2.0, minStep=0.05, numberOfIterations=RIGID_ITERATIONS)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(rigid, inPlace=True)
    method.Execute(fixed, moving)

    mesh = [max(1, round(length / SPLINE_SPACING_MM)) for length in size_mm]
    splines = sitk.BSplineTransformInitializer(fixed, mesh, order=3)
    method = _method(fixed.GetSpacing()[0])
    method.SetOptimizerAsLBFGSB(
        gradientConvergenceTolerance=1e-5,
        numberOfIterations=SPLINE_ITERATIONS,
        maximumNumberOfFunctionEvaluations=3 * SPLINE_ITERATIONS,
        lowerBound=-LONGEST_MM,
        upperBound=LONGEST_MM,
    )
    method.SetMovingInitialTransform(rigid)
    method.SetInitialTransform(splines, inPlace=True)
    method.Execute(fixed, moving)
    both = sitk.CompositeTransform(2)
    both.AddTransform(rigid)
    both.AddTransform(splines)  # the last one added is applied first
    return both


def _method(spacing_mm: float) -> sitk.ImageRegistrationMethod:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(HISTOGRAM_BINS)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(SAMPLED, SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetShrinkFactorsPerLevel(SHRINK_FACTORS)
    method.SetSmoothingSigmasPerLevel([factor / 2 * spacing_mm for factor in SHRINK_FACTORS])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    return method


class Elastix:
    """Groupwise registration by elastix in a process of its own, to be used in a ``with`` statement.

    Args:
        python: of the environment that has itk-elastix.
        threads: of elastix.
        worker: the script that registers; mdreg's registers by elastix, too.
        arguments: of the script, after the threads.
    """

    def __init__(self, python: Path, threads: int = 1, worker: Path | None = None, *arguments: str) -> None:
        self._command = [str(python), str(worker or WORKER), str(threads), *arguments]
        # Paths of this process lead to packages of another Python and of other versions than the worker's own.
        kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
        self._variables = {**kept, "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": str(threads)}

    def __enter__(self) -> Elastix:
        self._folder = tempfile.TemporaryDirectory()
        self._process = subprocess.Popen(
            self._command,
            env=self._variables,
            cwd=self._folder.name,  # elastix writes files that nobody asked for
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._folder.cleanup()

    def settings(self) -> str:
        """What its answers depend on: the text of the worker."""
        return Path(self._command[1]).read_text(encoding="utf-8")

    def groupwise(self, images: np.ndarray, spacing_mm: float, inversion_times_ms: Sequence[float] = ()) -> np.ndarray:
        """Displacement, float32 (frame, 2, row, column) in pixels, from a mean space into each frame.

        Raises:
            MissingDependencyError: elastix ended without an answer; what it said is on standard error.
        """
        source, target = (Path(self._folder.name, name) for name in ("in.npz", "out.npz"))
        np.savez(source, images=images, spacing_mm=spacing_mm, inversion_times_ms=np.asarray(inversion_times_ms))
        print(source, target, sep="\t", file=self._process.stdin, flush=True)
        for line in self._process.stdout:
            if line.strip() == "done":
                with np.load(target) as answer:
                    return answer["displacement"]
        raise MissingDependencyError("elastix ended without an answer; see its message above.")


@contextmanager
def peer_methods(threads: int, *, with_mdreg: bool = True) -> Iterator[dict[str, Method]]:
    """The other software's rows of ``cmr-evaluate moco``; elastix runs as long as the ``with`` statement."""
    python = make_peers_environment()
    with Elastix(python, threads) as elastix, Elastix(python, threads, MDREG_WORKER) as mdreg:
        methods = {
            "SimpleITK, pairwise": Method(
                lambda item: pairwise(item.images, item.spacing_mm, threads), settings=pairwise_settings(), slow=True
            ),
            "elastix, groupwise": Method(
                lambda item: elastix.groupwise(item.images, item.spacing_mm), settings=elastix.settings(), slow=True
            ),
        }
        if with_mdreg:
            methods["mdreg 0.5.4, model-driven"] = Method(
                lambda item: mdreg.groupwise(item.images, item.spacing_mm, item.inversion_times_ms),
                settings=mdreg.settings(),
                slow=True,
                timed=False,
            )
        yield methods
