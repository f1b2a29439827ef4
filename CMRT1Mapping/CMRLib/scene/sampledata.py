"""Simulated studies in Slicer's module Sample Data, which downloads them and checks them against their checksums."""

from __future__ import annotations

import functools
import importlib
import importlib.util
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from CMRLib.errors import CMRError, InputError
from CMRLib.files.samples import Sample, read_samples
from CMRLib.resources import resource_path
from CMRLib.scene.acquisitions import addSeries, shownVolume
from CMRLib.scene.display import showInSliceViews

CATEGORY = "CMRMapping"


def registerSampleData() -> None:
    """Offer the samples, in a Slicer that has the module; called once Slicer has started."""
    if importlib.util.find_spec("SampleData") is None:
        return
    logic = importlib.import_module("SampleData").SampleDataLogic
    for sample in read_samples():
        logic.registerCustomSampleDataSource(
            category=CATEGORY,
            sampleName=sample.name,
            thumbnailFileName=str(resource_path(sample.thumbnail)),
            uris=sample.url,
            fileNames=sample.file,
            checksums=f"SHA256:{sample.sha256}",
            loadFileType="ZipFile",
            customDownloader=functools.partial(downloadSample, sample),
        )


def downloadSample(sample: Sample, source: Any) -> list[Any]:
    """Download a sample, unless it is in Slicer's cache, and load its acquisitions; says what went wrong.

    Args:
        sample: which one.
        source: as the module Sample Data has it.

    Returns:
        The acquisitions; none where it could not be downloaded or read.
    """
    try:
        paths = importlib.import_module("SampleData").SampleDataLogic().downloadFromSource(source)
        folder = Path(paths[0]) if paths else None
        if folder is None or not folder.is_dir():
            raise InputError(_("{name} could not be downloaded; check the network.").format(name=sample.name))
        return loadStudy(folder)
    except CMRError as error:
        slicer.util.errorDisplay(str(error), windowTitle=_("Sample data"))
        return []


def loadStudy(folder: Path) -> list[Any]:
    """Load all inversion-recovery acquisitions of a study's folder, as the DICOM module would, and show the first.

    Raises:
        InputError: the folder or a series cannot be read.
    """
    from CMRLib.study.reading import read_study  # reads DICOM, for which Slicer's start should not wait

    loaded = [
        addSeries(f"{series.state} {series.slice}".capitalize(), series, series.load())
        for series in read_study(folder).series
        if series.role == "irw"
    ]
    if loaded:
        showInSliceViews(shownVolume(loaded[0]))
    return loaded
