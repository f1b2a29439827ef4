"""DICOM module plugin: offers an inversion-recovery acquisition as one sequence with its inversion times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import slicer
from DICOMLib import DICOMLoadable, DICOMPlugin
from slicer.i18n import tr as _

from CMRLib.errors import CMRError, InputError
from CMRLib.scene import acquisitions, display

if TYPE_CHECKING:
    from CMRLib.study.series import Series

# Slicer imports this module when it starts. Reading DICOM imports pydicom and SimpleITK, which waits until files are
# looked at.

# Scalar volumes offer 0.5, multi-volumes up to 1.0 and image sequences (cine) up to 1.05; each of them would load the
# images without their inversion times and phase.
CONFIDENCE = 1.1


class CMRT1MappingDICOMPluginClass(DICOMPlugin):
    """Finds the acquisitions among the selected files and loads them."""

    def __init__(self) -> None:
        super().__init__()
        self.loadType = _("Inversion-recovery images")
        self.tags["sopClassUID"] = "0008,0016"

    def examineForImport(self, fileList: Sequence[Sequence[str]]) -> list[Any]:
        """What can be loaded of the selected series, looked at together, as phase may be a series of its own."""
        return self.examineFiles([file for files in fileList for file in files])

    def examineFiles(self, files: Sequence[str]) -> list[Any]:
        """What can be loaded of the files of one or more series: one loadable for each acquisition of one slice."""
        from CMRLib.study.reading import scan_files

        loadables = self.getCachedLoadables(files)
        if loadables is None:
            found, _leftOut = scan_files(file for file in files if self._mayBeMR(file))
            loadables = [self._loadable(series) for series in found if series.role == "irw"]
            self.cacheLoadables(files, loadables)
        return loadables

    def load(self, loadable: Any) -> bool:
        """Load an acquisition into the scene and show it; False, after saying why, when it cannot be read."""
        try:
            series = getattr(loadable, "series", None) or _readAgain(loadable.files)
            node = acquisitions.addSeries(loadable.name, series, series.load())
        except CMRError as error:
            slicer.util.errorDisplay(str(error))
            return False
        volume = acquisitions.shownVolume(node)
        self.addSeriesInSubjectHierarchy(loadable, volume)
        display.showInSliceViews(volume)
        browser = acquisitions.browserOf(node)
        if browser is not None:
            slicer.modules.sequences.showSequenceBrowser(browser)
        return True

    def _mayBeMR(self, file: str) -> bool:
        from CMRLib.study.dicom.headers import MR_IMAGE_CLASSES

        sopClass = slicer.dicomDatabase.fileValue(file, self.tags["sopClassUID"])
        return not sopClass or sopClass in MR_IMAGE_CLASSES

    def _loadable(self, series: Series) -> Any:
        loadable = DICOMLoadable()
        # With forward slashes, as the database has them on every system, so that it finds these files again.
        loadable.files = [file.as_posix() for file in (*series.files, *series.phase_files)]
        number = slicer.dicomDatabase.fileValue(loadable.files[0], self.tags["seriesNumber"])
        name = f"{series.description or series.scheme or 'IRW'} {series.state} {series.slice}"
        loadable.name = f"{number}: {name}" if number else name
        images = _("magnitude and phase") if series.phase_files else _("magnitude")
        if series.inversion_times_ms is None:
            loadable.tooltip = _("{count} inversion-recovery images, {images}").format(
                count=series.shape[0], images=images
            )
            loadable.warning = _(
                "The inversion times cannot be read from the files; enter them in the module CMR T1 Mapping."
            )
        else:
            times = ", ".join(f"{time:g}" for time in series.inversion_times_ms)
            loadable.tooltip = _("Inversion-recovery images, {images}, inversion times {times} ms").format(
                images=images, times=times
            )
        loadable.selected = True
        loadable.confidence = CONFIDENCE
        loadable.series = series
        return loadable


def _readAgain(files: Sequence[str]) -> Series:
    """The acquisition in the files of a loadable that was made elsewhere."""
    from CMRLib.study.reading import scan_files

    found = [series for series in scan_files(files)[0] if series.role == "irw"]
    if len(found) != 1:
        raise InputError("The files are not those of one acquisition; select the series in the DICOM module again.")
    return found[0]


class CMRT1MappingDICOMPlugin:
    """What Slicer finds as a module; it only registers the plugin."""

    def __init__(self, parent: Any) -> None:
        parent.title = "CMR T1 Mapping DICOM Plugin"
        parent.categories = ["Developer Tools.DICOM Plugins"]
        parent.contributors = ["CMRMapping contributors"]
        parent.helpText = "Loads inversion-recovery images with their inversion times; used by the DICOM module."
        parent.acknowledgementText = ""
        parent.hidden = True  # it has no panel
        # This module may be found before the DICOM module has made the list.
        if not hasattr(slicer.modules, "dicomPlugins"):
            slicer.modules.dicomPlugins = {}
        slicer.modules.dicomPlugins["CMRT1MappingDICOMPlugin"] = CMRT1MappingDICOMPluginClass
