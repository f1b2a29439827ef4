"""DICOM module plugin: offers an inversion-recovery acquisition as one sequence with its inversion times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import slicer
from DICOMLib import DICOMLoadable, DICOMPlugin
from slicer.i18n import tr as _

from CMRLib.errors import CMRError, InputError
from CMRLib.scene import acquisitions, display
from CMRLib.study.schemes import TITLES

if TYPE_CHECKING:
    from CMRLib.study.series import Series, Unrecognised

# Slicer imports this module when it starts. Reading DICOM imports pydicom and SimpleITK, which waits until files are
# looked at.

# Scalar volumes offer 0.5, multi-volumes up to 1.0 and image sequences (cine) up to 1.05; each of them would load the
# images without their inversion times and phase.
CONFIDENCE = 1.1
# What cannot be loaded is listed with its reason, after everything that other plugins offer for the same files.
LOST_CONFIDENCE = 0.01
LOST_ROLES = ("irw", "phase", "unknown")


class CMRT1MappingDICOMPluginClass(DICOMPlugin):
    """Finds the acquisitions among the selected files and loads them."""

    def __init__(self) -> None:
        super().__init__()
        self.loadType = _("Inversion-recovery images")
        self.tags["sopClassUID"] = "0008,0016"
        self.tags["seriesInstanceUID"] = "0020,000E"

    def examineForImport(self, fileList: Sequence[Sequence[str]]) -> list[Any]:
        """What can be loaded of the selected series, looked at together, as phase may be a series of its own."""
        return self.examineFiles([file for files in fileList for file in files])

    def examineFiles(self, files: Sequence[str]) -> list[Any]:
        """What can be loaded of the files of one or more series: one loadable for each acquisition of one slice.

        Images that were meant for T1 mapping but cannot be used are named in the warning of the acquisition of their
        series, or are an item of their own that is not selected and says why.
        """
        from CMRLib.study.reading import scan_files

        loadables = self.getCachedLoadables(files)
        if loadables is None:
            found, leftOut = scan_files(file for file in files if self._mayBeMR(file))
            loadables = [self._loadable(series) for series in found if series.role == "irw"]
            _tellApart(loadables)
            loadables += self._lost(loadables, [item for item in leftOut if item.lost_role in LOST_ROLES])
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
        from CMRLib.study.dicom.faults import MR_IMAGE_CLASSES

        sopClass = slicer.dicomDatabase.fileValue(file, self.tags["sopClassUID"])
        return not sopClass or sopClass in MR_IMAGE_CLASSES

    def _loadable(self, series: Series) -> Any:
        loadable = DICOMLoadable()
        # With forward slashes, as the database has them on every system, so that it finds these files again.
        loadable.files = [file.as_posix() for file in (*series.files, *series.phase_files)]
        name = f"{series.description or TITLES.get(series.scheme, 'IRW')} {series.state} {series.slice}"
        loadable.name = name if series.series_number is None else f"{series.series_number}: {name}"
        images = _("magnitude and phase") if series.phase_files else _("magnitude")
        loadable.tooltip = _("{count} inversion-recovery images, {images}, scheme {scheme}").format(
            count=series.shape[0], images=images, scheme=TITLES.get(series.scheme, _("not known"))
        )
        if series.inversion_times_ms is None:
            loadable.warning = _(
                "The inversion times cannot be read from the files; enter them in the module CMR T1 Mapping."
            )
        else:
            times = ", ".join(f"{time:g}" for time in series.inversion_times_ms)
            loadable.tooltip += _(", inversion times {times} ms").format(times=times)
        loadable.selected = True
        loadable.confidence = CONFIDENCE
        loadable.series = series
        return loadable

    def _lost(self, loadables: Sequence[Any], leftOut: Sequence[Unrecognised]) -> list[Any]:
        """Add to each acquisition's warning what was left out of its series, and make items of the rest."""
        items = []
        for lost in leftOut:
            files = [file.as_posix() for file in lost.files]
            reason = _forPanel(lost)
            text = f"{lost.what}: {reason}"
            related = [loadable for loadable in loadables if self._seriesOf(loadable.files) & self._seriesOf(files)]
            if not related and lost.lost_role == "phase":
                related = [loadable for loadable in loadables if not loadable.series.phase_files]
            for loadable in related:
                loadable.warning = f"{loadable.warning} {text}".strip()
            if not related:
                item = DICOMLoadable()
                item.files = files
                item.name = _("{images}, not usable for T1 mapping").format(images=lost.what)
                item.tooltip = item.warning = reason
                item.selected = False
                item.confidence = LOST_CONFIDENCE
                items.append(item)
        return items

    def _seriesOf(self, files: Sequence[str]) -> set[str]:
        """The series that files belong to, as far as the database knows."""
        found = {slicer.dicomDatabase.fileValue(file, self.tags["seriesInstanceUID"]) for file in files}
        return found - {""}


def _tellApart(loadables: Sequence[Any]) -> None:
    """Number the items that have the same name, in their order."""
    names = [loadable.name for loadable in loadables]
    for index, loadable in enumerate(loadables):
        if names.count(loadable.name) > 1:
            loadable.name = _("{name} ({number})").format(
                name=loadable.name, number=names[: index + 1].count(names[index])
            )


def _forPanel(lost: Unrecognised) -> str:
    """Why images were left out, with a remedy that there is in Slicer."""
    if "study.json" not in lost.reason:
        return lost.reason
    remedy = _("load the images as a volume and enter their inversion times in the module CMR T1 Mapping")
    return (
        f"{lost.reason.partition(';')[0]}; {remedy}."
        if lost.lost_role == "irw"
        else lost.reason.partition(";")[0] + "."
    )


def _readAgain(files: Sequence[str]) -> Series:
    """The acquisition in the files of a loadable that was made elsewhere."""
    from CMRLib.study.reading import scan_files

    scanned, leftOut = scan_files(files)
    found = [series for series in scanned if series.role == "irw"]
    if not found and leftOut:
        raise InputError(_forPanel(leftOut[0]))
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
