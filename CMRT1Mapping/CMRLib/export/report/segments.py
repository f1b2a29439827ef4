"""The bull's-eye of a T1 map whose slices have a myocardium and landmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from CMRLib.anatomy.aha import label_slice, segment_statistics
from CMRLib.anatomy.bullseye import ColorScale, make_bullseye
from CMRLib.anatomy.landmarks import SliceLandmarks
from CMRLib.errors import InputError
from CMRLib.export.report.items import SegmentsPicture
from CMRLib.geometry import Geometry


@dataclass
class SegmentValues:
    """Values and segments of the pixels of a myocardium, gathered slice by slice."""

    values: list[np.ndarray] = field(default_factory=list)
    labels: list[np.ndarray] = field(default_factory=list)

    def add(
        self,
        maps: np.ndarray,
        myocardium: np.ndarray,
        landmarks: Sequence[SliceLandmarks | None],
        levels: Mapping[int, str],
        geometry: Geometry,
    ) -> None:
        """Gather the slices of a map that can be divided.

        Args:
            maps: (slice, row, column).
            myocardium: bool of that shape.
            landmarks: of every slice, None where there are none.
            levels: of the slices whose level is known, by index.
            geometry: of the map.
        """
        for index, level in levels.items():
            points = landmarks[index]
            if points is None or points.rv_insertion is None or not myocardium[index].any():
                continue
            try:
                divided = label_slice(myocardium[index], points, level, geometry)
            except InputError:  # the centre lies outside the myocardium, or it is no short-axis image
                continue
            inside = divided > 0
            self.values.append(maps[index][inside])
            self.labels.append(divided[inside])

    def picture(self, title: str, scale: ColorScale) -> SegmentsPicture | None:
        """The bull's-eye of the segments' means; None where no slice could be divided."""
        if not self.values:
            return None
        values, labels = np.concatenate(self.values), np.concatenate(self.labels)
        statistics = segment_statistics(values, labels, values > 0)  # T1 of 0 is no fit
        means = {number: None if found is None else found.mean for number, found in statistics.items()}
        return SegmentsPicture(title, make_bullseye(means, scale))
