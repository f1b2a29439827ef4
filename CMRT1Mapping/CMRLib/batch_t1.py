"""The step ``t1`` of a batch: T1 maps of every inversion-recovery acquisition of a study."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from CMRLib.errors import InputError
from CMRLib.series import Series, SeriesImages, Study
from CMRLib.writers import write_t1
from CMRT1MappingLib.reconstruction import FitOptions, T1Maps, reconstruct


@dataclass(frozen=True)
class T1Result:
    """One acquisition of a study, its maps, and what was chosen for them as the provenance of every result says it."""

    series: Series
    images: SeriesImages
    maps: T1Maps
    parameters: dict[str, Any]


def map_t1(study: Study, folder: Path, device: str, results: dict[str, Any]) -> list[T1Result]:
    """Map T1 and write the files into ``folder``.

    Args:
        study: the study.
        folder: where the files go.
        device: see :func:`CMRLib.devices.resolve_device`.
        results: gets the entries ``t1`` and ``device``, and in ``errors`` a sentence per acquisition that failed.

    Raises:
        OutputError: a file cannot be written.
        DeviceError, MissingDependencyError: nothing can be computed.
    """
    acquisitions = [series for series in study.series if series.role == "irw"]
    if not acquisitions and not results["errors"]:
        results["errors"].append(
            "No inversion-recovery series was found; check the folder, or describe its files in a study.json."
        )
    options = FitOptions()
    made = []
    for series in acquisitions:
        start = time.perf_counter()
        try:
            if series.inversion_times_ms is None:
                raise InputError("its inversion times cannot be read; state them in a study.json.")
            images = series.load()
            maps = reconstruct(
                images.images,
                series.inversion_times_ms,
                images.phase,
                scheme=series.scheme,
                options=options,
                device=device,
            )
        except InputError as error:
            results["errors"].append(f"{series.key}: {error}")
            continue
        parameters = {
            "Scheme": series.scheme,
            "InversionTimes": series.inversion_times_ms,
            "LastTest": options.last_test if series.scheme == "shmolli" else "",
        }
        results["t1"].append(write_t1(folder, series, maps, parameters, time.perf_counter() - start))
        results["device"] = maps.device
        made.append(T1Result(series, images, maps, parameters))
    return made
