"""A study of simulated rest and stress T1 maps with known contours, landmarks, motion and response."""

import json
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from pairs_bank import small_bank
from scipy import ndimage

from CMRLandmarksLib.prediction import LandmarkPrediction
from CMRLandmarksLib.step import LandmarksOfImages
from CMRLib.anatomy.axis import APEX, DISPLAY_COLUMN, DISPLAY_ROW, LEVELS
from CMRLib.anatomy.landmarks import LANDMARK_NAMES, SliceLandmarks
from CMRLib.batch.step import images_of
from CMRLib.files.images import write_image
from CMRLib.geometry import Geometry
from CMRQCSegmentationLib.prediction import SliceSegmentation
from CMRQCSegmentationLib.step import SegmentationOfImages

SPACING_MM = 1.2
RESPONSE = 6.0  # percent, of the myocardium
SHIFT = (4.0, -3.0)  # rows and columns by which the heart has moved under stress
MYOCARDIUM, CAVITY = 2, 3  # in the bank's labels


@dataclass(frozen=True)
class Slice:
    """One level: T1 at rest and under stress in ms, labels as the segmentation has them, and landmarks at rest."""

    level: str
    rest: np.ndarray
    stress: np.ndarray
    rest_labels: np.ndarray
    stress_labels: np.ndarray
    landmarks: SliceLandmarks


@cache
def slices():
    """Basal, mid and apical, each (192, 192)."""
    bank = small_bank()
    made = []
    for number in range(len(bank)):
        labels = np.where(bank.labels[number] == MYOCARDIUM, 1, np.where(bank.labels[number] == CAVITY, 2, 0))
        rest = bank.t1[number].astype(np.float32)
        stress = np.where(labels == 1, rest * (1 + RESPONSE / 100), rest)
        points = [tuple(point) for point in bank.landmarks[number].tolist()]
        made.append(
            Slice(
                LEVELS[bank.level[number]],
                rest,
                ndimage.shift(stress, SHIFT, order=1).astype(np.float32),
                labels.astype(np.uint8),
                ndimage.shift(labels, SHIFT, order=0).astype(np.uint8),
                SliceLandmarks(*points),
            )
        )
    return sorted(made, key=lambda one: LEVELS.index(one.level))


def place(number, moved_mm=0.0):
    """Where a slice lies: along the usual long axis, 16 mm from the one before."""
    matrix = np.stack([DISPLAY_COLUMN, DISPLAY_ROW, np.cross(DISPLAY_COLUMN, DISPLAY_ROW)], axis=1)
    corner = -95.5 * SPACING_MM * (DISPLAY_COLUMN + DISPLAY_ROW) + (16.0 * number + moved_mm) * APEX
    return Geometry(tuple(corner.tolist()), (SPACING_MM, SPACING_MM, 8.0), tuple(matrix.ravel().tolist()))


def write_study(folder, levels=LEVELS, stress_levels=None, study_id="P001", factor=1.0):
    """T1 maps, a file for each slice and state; the stress maps' values are multiplied by ``factor``."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for number, one in enumerate(slices()):
        for state, image in (("rest", one.rest), ("stress", factor * one.stress)):
            if one.level in (levels if state == "rest" else stress_levels or levels):
                name = f"{state}_{one.level}.nrrd"
                write_image(folder / name, image[None], place(number))
                entries.append({"role": "t1", "state": state, "slice": one.level, "file": name})
    content = {"schema": "cmr-study/1", "id": study_id, "series": entries}
    (folder / "study.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def found(study):
    """What the steps segmentation and landmarks would have found in the maps of a study, were they right."""
    by_level = {one.level: one for one in slices()}
    made = {"segmentation": [], "landmarks": []}
    for series in study.series:
        one, images = by_level[series.slice], images_of(series)
        labels = one.rest_labels if series.state == "rest" else one.stress_labels
        moved = (0.0, 0.0) if series.state == "rest" else SHIFT
        points = [tuple(np.add(point, moved).tolist()) for point in one.landmarks.points()]
        answer = SliceSegmentation(0, labels, 0.9, 0.8, False, "", "ccs-3", None, ())
        placed = LandmarkPrediction(0, *points, dict.fromkeys(LANDMARK_NAMES, 0.99), 0.99, False, "")
        made["segmentation"].append(replace(images, value=SegmentationOfImages((answer,), "cpu", "model", "0")))
        made["landmarks"].append(replace(images, value=LandmarksOfImages(False, (placed,), "cpu", "model", "0")))
    return made
