"""The step ``t1`` of a batch: motion-corrected T1 maps of every inversion-recovery acquisition of a study."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from CMRLib.errors import InputError
from CMRLib.series import Series, SeriesImages, Study
from CMRLib.writers import write_t1
from CMRT1MappingLib.motion_correction import CorrectedMaps, Correction, correct_and_reconstruct
from CMRT1MappingLib.motion_estimation import TASK
from CMRT1MappingLib.reconstruction import FitOptions, T1Maps, reconstruct

if TYPE_CHECKING:
    from CMRT1MappingLib.motion_estimation import MotionModel


@dataclass(frozen=True)
class T1Result:
    """One acquisition of a study and its maps.

    Attributes:
        series: the acquisition.
        images: as acquired.
        maps: those kept.
        parameters: what was chosen for the maps and became of the correction, as the provenance of every result has it.
        corrected: how the maps came about; None where no correction was asked for.
    """

    series: Series
    images: SeriesImages
    maps: T1Maps
    parameters: dict[str, Any]
    corrected: CorrectedMaps | None = None


def map_t1(
    study: Study,
    folder: Path,
    device: str,
    results: dict[str, Any],
    model: MotionModel | None = None,
    options: FitOptions | None = None,
) -> list[T1Result]:
    """Map T1 and write the files into ``folder``.

    Args:
        study: the study.
        folder: where the files go.
        device: see :func:`CMRLib.devices.resolve_device`.
        results: gets the entries ``t1``, ``models`` and ``device``, a sentence in ``errors`` per acquisition that
            failed, and one in ``warnings`` per acquisition whose motion could not be corrected.
        model: what corrects motion; None fits the images as acquired.
        options: of the fit; what they were is in the header of every file and in ``fit`` and ``molli`` of the results.

    Raises:
        OutputError: a file cannot be written.
        DeviceError, MissingDependencyError: nothing can be computed.
    """
    acquisitions = [series for series in study.series if series.role == "irw"]
    if not acquisitions and not results["errors"]:
        results["errors"].append(
            "No inversion-recovery series was found; check the folder, or describe its files in a study.json."
        )
    if acquisitions and model is not None:
        results["models"][TASK] = {"id": model.entry.id, "sha256": model.entry.sha256}
    made = []
    for series in acquisitions:
        start = time.perf_counter()
        try:
            result = _mapped(series, device, model, options or FitOptions())
        except InputError as error:
            results["errors"].append(f"{series.key}: {error}")
            continue
        corrected = result.corrected
        if corrected is not None and corrected.outcome in (Correction.NO_BETTER, Correction.NOT_POSSIBLE):
            results["warnings"].append(f"{series.key}: {corrected.explanation}")
        seconds = time.perf_counter() - start
        results["t1"].append(write_t1(folder, series, result.maps, result.parameters, seconds, corrected))
        results["device"] = result.maps.device
        made.append(result)
    return made


def _mapped(series: Series, device: str, model: MotionModel | None, options: FitOptions) -> T1Result:
    times, scheme = series.inversion_times_ms, series.scheme
    if times is None:
        raise InputError("its inversion times cannot be read; state them in a study.json.")
    images = series.load()
    parameters: dict[str, Any] = {
        "Scheme": scheme,
        "InversionTimes": times,
        **options.parameters(scheme),
    }
    if model is None:
        maps = reconstruct(images.images, times, images.phase, scheme=scheme, options=options, device=device)
        return T1Result(series, images, maps, parameters | {"MotionCorrection": "off"})
    column_mm, row_mm, _thickness = images.geometry.spacing
    corrected = correct_and_reconstruct(
        images.images,
        times,
        images.phase,
        (row_mm, column_mm),
        scheme=scheme,
        options=options,
        model=model,
        device=device,
    )
    return T1Result(series, images, corrected.maps, parameters | corrected.parameters(), corrected)
