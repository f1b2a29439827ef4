"""The section of a panel for AHA segments: which map and myocardium, and the segments, table and bull's-eye of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import qt
import slicer
import vtk
from slicer.i18n import tr as _

from CMRLib.anatomy.bullseye import BullsEye
from CMRLib.errors import CMRError, InputError
from CMRLib.scene import aha, bullseye, regions, segmentmeasurement
from CMRLib.scene.part import Part
from CMRLib.scene.volumes import numberOfSlices

RULES = {"Standard": "equal", "Between insertions": "insertions"}
STATISTICS = {"Mean": "mean", "Median": "median", "SD": "sd", "Minimum": "minimum", "Maximum": "maximum"}


class SegmentsSection(Part):
    """Measures the segments of a map.

    The panel's parameter node has the parameters ``mapVolume``, ``segmentationNode``, ``myocardium``, ``rule`` (a key
    of `RULES`), ``statistic`` (a key of `STATISTICS`), ``combineSlices`` and ``showSegments``.
    """

    def __init__(self, panel: Any, place: Any, landmarksNode: Callable[[], Any], changed: Callable[[], None]) -> None:
        """Build the section.

        Args:
            panel, place: see `CMRLib.scene.part.Part`.
            landmarksNode: gives the landmarks that divide the map, or None.
            changed: called after the segments were measured, or could not be.
        """
        self._landmarksNode, self._changed = landmarksNode, changed
        self._kept: tuple[Any, ...] = ()
        self._picture: BullsEye | None = None
        self.levels: dict[int, str] = {}
        Part.__init__(self, panel, "SegmentsSection.ui", place)
        self.ui.myocardiumComboBox.connect("currentIndexChanged(int)", self.onMyocardiumChosen)
        self.ui.layoutButton.connect("clicked(bool)", self.onLayoutButton)
        self.ui.savePictureButton.connect("clicked(bool)", self.onSavePictureButton)

    def forgetShown(self) -> None:
        """What was measured belonged to the parameters before."""
        self._picture = None
        self._kept = ()

    def watched(self) -> list[tuple[Any, Any, Callable[..., None]]]:
        """Colors of the map and outlines of the segmentation."""
        parameters, wanted = self.panel.parameterNode, []
        if parameters.mapVolume is not None and parameters.mapVolume.GetDisplayNode() is not None:
            wanted.append((parameters.mapVolume.GetDisplayNode(), vtk.vtkCommand.ModifiedEvent, self.onColorsModified))
        if parameters.segmentationNode is not None:
            segmentation = parameters.segmentationNode.GetSegmentation()
            wanted += [
                (segmentation, event, self.onSegmentationModified)
                for event in (
                    segmentation.SourceRepresentationModified,
                    segmentation.SegmentAdded,
                    segmentation.SegmentRemoved,
                    segmentation.SegmentModified,
                )
            ]
        return wanted

    def settings(self) -> tuple[Any, ...]:
        """What the section is set to; another answer asks for `update`."""
        parameters = self.panel.parameterNode
        return (
            *(parameters.mapVolume, parameters.segmentationNode, parameters.myocardium),
            *(parameters.rule, parameters.statistic, parameters.combineSlices, parameters.showSegments),
        )

    def fillMyocardium(self) -> None:
        """Offer the regions of the segmentation; the one that is called myocardium, if there is one, is chosen."""
        parameters, box = self.panel.parameterNode, self.ui.myocardiumComboBox
        names = regionNames(parameters.segmentationNode)
        chosen = myocardiumAmong(names, parameters.myocardium)
        wasBlocked = box.blockSignals(True)
        if [box.itemText(index) for index in range(box.count)] != names:
            box.clear()
            box.addItems(names)
        if names:
            box.currentIndex = names.index(chosen)
        box.blockSignals(wasBlocked)
        if chosen != parameters.myocardium:
            parameters.myocardium = chosen

    def myocardium(self, volumeNode: Any) -> np.ndarray:
        """The chosen region on the pixels of a volume, (slice, row, column); kept until the segmentation changes.

        Raises:
            InputError: there is no such region.
        """
        parameters = self.panel.parameterNode
        key = (parameters.segmentationNode, parameters.myocardium, volumeNode)
        if self._kept[:3] != key:
            masks = regions.regionMasks(parameters.segmentationNode, volumeNode)
            if parameters.myocardium not in masks:
                raise InputError(
                    f"{parameters.segmentationNode.GetName()} has no segment {parameters.myocardium!r}; "
                    "choose the myocardium."
                )
            self._kept = (*key, masks[parameters.myocardium])
        mask: np.ndarray = self._kept[3]
        return mask

    def update(self) -> None:
        """Measure the segments, and show them, the table and the bull's-eye."""
        if self.panel.parameterNode is None:
            return
        node = self._landmarksNode()
        self._picture = None
        self.levels = {} if node is None else _levelsOf(node)
        text = whyNotMeasure(self.panel.parameterNode, node)
        if not text:
            try:
                text = self._measure(node)
            except CMRError as error:
                text = str(error)
        self.ui.segmentsLabel.text = text
        self.ui.savePictureButton.enabled = self.ui.layoutButton.enabled = self._picture is not None
        self._changed()

    def _measure(self, landmarksNode: Any) -> str:
        """Measure and show; what is to be said of it."""
        parameters = self.panel.parameterNode
        volume = parameters.mapVolume
        measurement = segmentmeasurement.measureSegments(
            landmarksNode, volume, self.myocardium(volume), RULES[parameters.rule], parameters.combineSlices
        )
        self.levels = measurement.levels
        self.complete(volume, measurement)
        self._picture = self.pictureOf(volume, measurement, STATISTICS[parameters.statistic])
        aha.showSegments(measurement.labels, volume, parameters.showSegments)
        bullseye.showBullsEye(volume, self._picture, volume.GetName())
        segmentmeasurement.showTable(measurement.table)
        return describe(measurement)

    def complete(self, mapNode: Any, measurement: segmentmeasurement.Measurement) -> None:
        """Called after the segments were measured and before anything is shown; a module may add to the table."""

    def pictureOf(self, mapNode: Any, measurement: segmentmeasurement.Measurement, statistic: str) -> BullsEye:
        """The bull's-eye of a statistic, in the colors of the map unless a module has its own."""
        return segmentmeasurement.bullsEyeOf(mapNode, measurement.statistics, statistic)

    def onMyocardiumChosen(self, index: int) -> None:
        """Measure another region."""
        if self.panel.parameterNode is not None:
            self.panel.parameterNode.myocardium = self.ui.myocardiumComboBox.itemText(index)

    def onSegmentationModified(self, caller: Any, event: Any) -> None:
        """The myocardium was drawn anew."""
        self._kept = ()
        if self.panel.parameterNode is None:
            return
        self.fillMyocardium()
        self.update()

    def onColorsModified(self, caller: Any, event: Any) -> None:
        """The map is shown in other colors."""
        self.update()

    def onLayoutButton(self) -> None:
        """Arrange the views: image, bull's-eye, table."""
        bullseye.showLayout()
        self.update()

    def onSavePictureButton(self) -> None:
        """Save the bull's-eye as a picture."""
        path = self._askForFile() if self._picture is not None else ""
        if path and self._picture is not None:  # the scene may have been closed meanwhile
            with slicer.util.tryWithErrorDisplay(_("The picture could not be saved."), waitCursor=True):
                bullseye.saveBullsEye(self._picture, self.panel.parameterNode.mapVolume.GetName(), path)
                self.panel.say(_("Saved {path}.").format(path=path))

    def _askForFile(self) -> str:
        return str(
            qt.QFileDialog.getSaveFileName(
                slicer.util.mainWindow(), _("Save bull's-eye"), "bullseye.png", "PNG (*.png);;SVG (*.svg)"
            )
        )


def whyNotMeasure(parameters: Any, landmarksNode: Any) -> str:
    """What is missing for the segments to be measured, in a sentence; empty when nothing is."""
    if landmarksNode is None:
        return _("Find the landmarks first: select images and click Apply.")
    if parameters.mapVolume is None or numberOfSlices(parameters.mapVolume) == 0:
        return _("Select the map to be measured.")
    if parameters.segmentationNode is None or not parameters.myocardium:
        return _("Select a segmentation of the myocardium to see its segments.")
    return ""


def regionNames(segmentationNode: Any) -> list[str]:
    """The names of a segmentation's segments; none for None."""
    if segmentationNode is None:
        return []
    segmentation = segmentationNode.GetSegmentation()
    return [segmentation.GetSegment(segmentId).GetName() for segmentId in segmentation.GetSegmentIDs()]


def myocardiumAmong(names: list[str], chosen: str) -> str:
    """The region to be measured: the chosen one, else one whose name says myocardium, else the first."""
    if chosen in names:
        return chosen
    return next((name for name in names if "myo" in name.lower()), names[0] if names else "")


def describe(measurement: segmentmeasurement.Measurement) -> str:
    """What is to be known about a measurement, in a sentence or two; may be empty."""
    texts = list(measurement.problems)
    if measurement.others:
        names = ", ".join(sorted(node.GetName() for node in measurement.others))
        texts.append(_("Measured together with {names}.").format(names=names))
    return " ".join(texts)


def _levelsOf(landmarksNode: Any) -> dict[int, str]:
    """The level of each slice with landmarks; none where the volume is no short-axis stack."""
    try:
        return aha.levelsOf(landmarksNode)
    except InputError:
        return {}
