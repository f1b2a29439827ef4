"""Run one T1 mapping tool in a process of its own: ``benchmark_tools.py TOOL CORES REPEATS INPUT.npz OUTPUT.npz``.

The process holds nothing but the tool, so its peak memory is the tool's, and its first run is a cold one. The input
holds ``magnitude`` and ``phase`` (radians), axes (frame, row, column), and ``inversion_times_ms``; the output holds
``t1`` in ms, axes (row, column), ``fitted`` (number of pixels), ``seconds`` of each repeat, ``cold_seconds`` of the
first run with all imports, and ``peak_mb``. CMRMapping runs in the repository's environment, its peers in their own.
"""

import time

STARTED = time.perf_counter()

import contextlib  # noqa: E402 (the clock starts before any import)
import sys  # noqa: E402
import tempfile  # noqa: E402
import types  # noqa: E402
from collections.abc import Callable  # noqa: E402
from importlib.util import find_spec  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402

Fit = Callable[[], tuple[np.ndarray, int]]


def cmr_mapping(magnitude: np.ndarray, phase: np.ndarray, times_ms: np.ndarray, cores: int) -> Fit:
    """This repository's reconstruction of the whole image."""
    import torch

    from CMRT1MappingLib.fit.reconstruction import reconstruct

    torch.set_num_threads(cores)

    def fit() -> tuple[np.ndarray, int]:
        maps = reconstruct(magnitude, times_ms, phase, device="cpu")
        return maps.t1, int(np.count_nonzero(maps.samples))

    return fit


def ukat(magnitude: np.ndarray, phase: np.ndarray, times_ms: np.ndarray, cores: int) -> Fit:
    """Three-parameter fit with the MOLLI correction, signs restored from the phase by ukat's own function.

    The initialisers of the packages ``ukat`` and ``ukat.mapping`` import every part of ukat, a kidney segmentation on
    TensorFlow among them; they are passed over, and the modules of the T1 fit are used as they are.
    """
    spec = find_spec("ukat")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("ukat is not installed")
    root = Path(spec.origin).parent
    for name, folder in (("ukat", root), ("ukat.mapping", root / "mapping")):
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = [str(folder)]
    from ukat.mapping.t1 import T1, magnitude_correct  # type: ignore[import-not-found]

    signal = magnitude_correct(np.moveaxis(magnitude * np.exp(1j * phase), 0, -1))

    def fit() -> tuple[np.ndarray, int]:
        maps = T1(signal, times_ms, np.eye(4), tss_axis=None, parameters=3, molli=True, multithread=cores > 1)
        return maps.t1_map, signal[..., 0].size

    return fit


def t1est(magnitude: np.ndarray, phase: np.ndarray, times_ms: np.ndarray, cores: int) -> Fit:
    """Levenberg-Marquardt with the MOLLI correction on magnitudes; always on all cores.

    Its initial guess of 1 for every parameter asks for signals near 1 and, as in its examples, seconds.
    """
    from t1est import t1est as estimate  # type: ignore[import-not-found]

    signal = np.moveaxis(magnitude / magnitude.max(), 0, -1).astype(float)

    def fit() -> tuple[np.ndarray, int]:
        t1_seconds = estimate(signal, times_ms / 1000.0, method="lm", molli=True, mag=True)
        return t1_seconds * 1000.0, signal[..., 0].size

    return fit


def _sh_molli(magnitude: np.ndarray, times_ms: np.ndarray, method: str) -> Fit:
    """The whole command of sh_molli, from a folder of DICOM images, which have to be square.

    It leaves out pixels whose samples span less than 100, so the images get the full range of 12 bits.
    """
    import pydicom
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid
    from sh_molli.sh_molli import process_folder  # type: ignore[import-not-found]

    folder = tempfile.TemporaryDirectory()
    for number, (image, time_ms) in enumerate(zip(magnitude, times_ms, strict=True)):
        file = Dataset()
        file.file_meta = FileMetaDataset()
        file.file_meta.MediaStorageSOPClassUID = pydicom.uid.MRImageStorage
        file.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        file.is_little_endian, file.is_implicit_VR = True, False
        file.InversionTime = float(time_ms)
        file.Rows, file.Columns = image.shape
        file.SamplesPerPixel, file.PhotometricInterpretation, file.PixelRepresentation = 1, "MONOCHROME2", 0
        file.BitsAllocated, file.BitsStored, file.HighBit = 16, 16, 15
        file.PixelData = np.rint(image * (4095.0 / magnitude.max())).astype("<u2").tobytes()
        file.save_as(Path(folder.name) / f"{number}.dcm", write_like_original=False)

    def fit() -> tuple[np.ndarray, int]:
        return process_folder(folder.name, method=method, disable_TQDM=True), magnitude[0].size

    return fit


def sh_molli_fast(magnitude: np.ndarray, phase: np.ndarray, times_ms: np.ndarray, cores: int) -> Fit:
    """Its integral method, the default, for each of four sign patterns."""
    return _sh_molli(magnitude, times_ms, "fast")


def sh_molli_slow(magnitude: np.ndarray, phase: np.ndarray, times_ms: np.ndarray, cores: int) -> Fit:
    """Its nonlinear least squares, for each of four sign patterns."""
    return _sh_molli(magnitude, times_ms, "slow")


TOOLS = {f.__name__: f for f in (cmr_mapping, ukat, t1est, sh_molli_fast, sh_molli_slow)}


def peak_memory_mb() -> float:
    """Largest resident memory of this process so far, in MB (10^6 bytes).

    Linux carries the peak of the parent over to ``ru_maxrss`` of a new program, so its own count is read where it is.
    """
    with contextlib.suppress(OSError), open("/proc/self/status", encoding="ascii") as status:
        (line,) = (line for line in status if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 1e6
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def main() -> None:
    """Prepare the tool, run it once cold and then as often as asked, and write what it gave and took."""
    tool, cores, repeats, source, target = sys.argv[1:]
    with np.load(source) as data:
        images = data["magnitude"], data["phase"], data["inversion_times_ms"]
    fit = TOOLS[tool](*images, int(cores))
    t1, fitted = fit()
    cold_seconds = time.perf_counter() - STARTED
    seconds = []
    for _ in range(int(repeats)):
        start = time.perf_counter()
        fit()
        seconds.append(time.perf_counter() - start)
    np.savez(target, t1=t1, fitted=fitted, seconds=seconds, cold_seconds=cold_seconds, peak_mb=peak_memory_mb())


if __name__ == "__main__":
    main()
