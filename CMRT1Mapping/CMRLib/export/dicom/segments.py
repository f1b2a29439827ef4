"""Means of the maps in the 16 segments, where a study has the maps, the myocardium and the landmarks of a slice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from CMRLib.anatomy.aha import SEGMENTS, label_slice, segment_statistics
from CMRLib.anatomy.axis import LEVELS, levels_along_stack
from CMRLib.anatomy.landmarks import SliceLandmarks
from CMRLib.errors import InputError
from CMRLib.export.dicom.items import Exported, ExportedLabels, ExportedMap, Exports, Findings, Measurement
from CMRLib.geometry import Geometry
from CMRLib.study.series import STACK, Series
from CMRLib.terms import MEAN, Term

MYOCARDIUM = "74281007"  # SNOMED CT
_SITES = {segment.number: Term(segment.code, "SCT", segment.meaning) for segment in SEGMENTS}


def segment_findings(exported: ExportedMap, means: Mapping[int, float], index: int = 0) -> Findings:
    """Means of a map in segments, 1 to 16, of one slice."""
    return Findings(
        title=f"segment means of {exported.name}",
        index=index,
        measurements=tuple(
            Measurement(exported.quantity, mean, exported.unit, _SITES[number], MEAN)
            for number, mean in sorted(means.items())
        ),
    )


def segment_means(results: Sequence[Exported]) -> list[Exported]:
    """The means of every map in the segments, for results that share a key with a label map and landmarks.

    A slice whose level is not known, or that cannot be divided, has none.
    """
    found = []
    for result in results:
        others = [other for other in results if other.key == result.key]
        labels = next((labels for other in others for labels in other.offers.labels), None)
        points = [findings for other in others for findings in other.offers.findings if findings.points]
        if labels is None or not points or not result.offers.maps:
            continue
        means = [findings for one in result.offers.maps for findings in _means_of_map(one, labels, points, result)]
        found.append(replace(result, offers=Exports(findings=tuple(means))))
    return found


def _means_of_map(
    exported: ExportedMap, labels: ExportedLabels, points: Sequence[Findings], result: Exported
) -> list[Findings]:
    muscle = [segment.label for segment in labels.segments if segment.kind.value == MYOCARDIUM]
    myocardium = np.isin(labels.labels, muscle)
    if not muscle or result.offers.are_frames or myocardium.shape != exported.values.shape:
        return []
    levels = levels_of_slices(myocardium, result.series, result.geometry)
    found = []
    for index, level in levels.items():
        landmarks = landmarks_of(next((one for one in points if one.index == index), None))
        if landmarks is None or not myocardium[index].any():
            continue
        try:
            divided = label_slice(myocardium[index], landmarks, level, result.geometry)
        except InputError:
            continue
        statistics = segment_statistics(
            exported.values[index], divided, None if exported.fitted is None else exported.fitted[index]
        )
        means = {number: one.mean for number, one in statistics.items() if one is not None}
        if means:
            found.append(segment_findings(exported, means, index))
    return found


def levels_of_slices(myocardium: np.ndarray, series: Series, geometry: Geometry) -> dict[int, str]:
    """The level of each slice of a map, as far as it is known.

    Args:
        myocardium: bool (slice, row, column).
        series: what the map was made from.
        geometry: of the map.
    """
    if series.slice in LEVELS:
        return {0: series.slice}
    if series.slice != STACK:
        return {}
    try:
        return levels_along_stack([int(index) for index in np.flatnonzero(myocardium.any((1, 2)))], geometry)
    except InputError:
        return {}


def landmarks_of(findings: Findings | None) -> SliceLandmarks | None:
    """The landmarks of a slice among what was found in it; None without centre and anterior insertion."""
    places = {} if findings is None else {point.name: (point.row, point.column) for point in findings.points}
    if "lv_center" not in places or "rv_insertion" not in places:
        return None
    return SliceLandmarks(places["lv_center"], places["rv_insertion"], places.get("inferior_rv_insertion"))
