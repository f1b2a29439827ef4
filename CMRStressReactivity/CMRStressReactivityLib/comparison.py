"""A stress slice brought onto its rest slice and compared with it: what the panel and the batch do with every pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from CMRLib.anatomy.aha import label_slice
from CMRLib.anatomy.landmarks import SliceLandmarks
from CMRLib.errors import InputError
from CMRLib.geometry import Geometry
from CMRStressReactivityLib.judgement import Judgement, judge
from CMRStressReactivityLib.matching import Matching, SliceMatch, match_by_hand, match_slices, on_rest_grid
from CMRStressReactivityLib.reactivity import (
    LayerReactivity,
    ReactivityMap,
    RegionReactivity,
    layer_reactivity,
    reactivity_map,
    region_reactivity,
    segment_reactivity,
    wall_depth,
)
from CMRStressReactivityLib.registration import Registration, RegistrationModel, register, registered
from CMRStressReactivityLib.t1_input import t1_in_ms

# What borders on the left ventricle and tells where it lies, and how far it reaches where no contour says.
BORDER_MM, REACH_MM = 10.0, 45.0
NO_CENTER = "The left ventricle was not found, so the maps were aligned around the image's middle; check the alignment."
NO_MYOCARDIUM = "There is no myocardium in the rest slice, so nothing is measured there; segment it."


@dataclass(frozen=True)
class T1Slice:
    """One slice of a T1 map, and what is known of it; see `t1_slice`.

    Attributes:
        name: what messages call it, as "mid".
        t1: float32 (row, column) in ms, 0 where there is none.
        geometry: of this slice alone.
        error: its standard error in ms, float32 (row, column), or None.
        myocardium: bool (row, column), or None.
        landmarks: of the slice, or None.
        level: "basal", "mid" or "apical"; "" where it is not known, so that the slice has no segments.
    """

    name: str
    t1: np.ndarray
    geometry: Geometry
    error: np.ndarray | None = None
    myocardium: np.ndarray | None = None
    landmarks: SliceLandmarks | None = None
    level: str = ""

    @property
    def spacing_mm(self) -> tuple[float, float]:
        """Distance of rows and of columns."""
        return self.geometry.spacing[1], self.geometry.spacing[0]

    @property
    def has_myocardium(self) -> bool:
        """Whether there is something to be measured."""
        return self.myocardium is not None and bool(self.myocardium.any())

    def center(self) -> tuple[float, float] | None:
        """(row, column) of the left ventricle, by its landmark or else its contour; None where neither is known."""
        if self.landmarks is not None:
            return self.landmarks.lv_center
        if self.myocardium is None or not self.has_myocardium:
            return None
        row, column = np.argwhere(ndimage.binary_fill_holes(self.myocardium)).mean(axis=0).tolist()
        return row, column

    def around(self) -> np.ndarray:
        """The left ventricle and what borders on it, bool (row, column)."""
        if self.myocardium is not None and self.has_myocardium:
            heart = ndimage.binary_fill_holes(self.myocardium)
            near: np.ndarray = ndimage.distance_transform_edt(~heart, sampling=self.spacing_mm) <= BORDER_MM
            return near
        row, column = self.center() or tuple((n - 1) / 2.0 for n in self.t1.shape)
        rows, columns = np.indices(self.t1.shape)
        distance = np.hypot((rows - row) * self.spacing_mm[0], (columns - column) * self.spacing_mm[1])
        inside: np.ndarray = distance <= REACH_MM
        return inside


@dataclass(frozen=True)
class SliceReactivity:
    """A rest slice and the stress slice that was brought onto it.

    Attributes:
        match: of the two, by their numbers.
        stress: float32 (row, column), the registered stress map on the rest map's grid; 0 where there is no T1.
        unregistered: the same before registration.
        registration: see `CMRStressReactivityLib.registration.Registration`.
        reactivity: dT1 and its standard error.
        judgement: of the alignment, and of what it was made with.
        whole: of the myocardium; None without one.
        depth: see `CMRStressReactivityLib.reactivity.wall_depth`; None without a closed myocardium.
        segments: uint8 (row, column), see `CMRLib.anatomy.aha.label_slice`; None where it cannot be divided.
        problems: a sentence for whatever cannot be measured.
    """

    match: SliceMatch
    stress: np.ndarray
    unregistered: np.ndarray
    registration: Registration
    reactivity: ReactivityMap
    judgement: Judgement
    whole: RegionReactivity | None = None
    depth: np.ndarray | None = None
    segments: np.ndarray | None = None
    problems: tuple[str, ...] = ()

    @property
    def layers(self) -> LayerReactivity | None:
        """Inner and outer half of the wall."""
        return None if self.depth is None else layer_reactivity(self.reactivity, self.depth)

    @property
    def divided(self) -> Divided | None:
        """For `reactivity_of_segments`."""
        return None if self.segments is None else Divided(self.reactivity, self.segments, self.depth)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why someone should look at it: doubts about the alignment, and what could not be measured."""
        return (*self.judgement.reasons, *self.problems)


@dataclass(frozen=True)
class Divided:
    """The change in a slice that is divided into segments.

    Attributes:
        reactivity: dT1 and its standard error.
        segments: uint8 (row, column), numbers as `CMRLib.anatomy.aha.label_slice` gives them.
        depth: see `CMRStressReactivityLib.reactivity.wall_depth`, or None.
    """

    reactivity: ReactivityMap
    segments: np.ndarray
    depth: np.ndarray | None


@dataclass(frozen=True)
class SegmentReactivity:
    """The change in one of the 16 segments over all slices that show it.

    Attributes:
        whole: of all its pixels; None for a segment without a change.
        layers: of its inner and its outer half.
    """

    whole: RegionReactivity | None
    layers: LayerReactivity


def t1_slice(
    name: str,
    values: np.ndarray,
    geometry: Geometry,
    error: np.ndarray | None = None,
    myocardium: np.ndarray | None = None,
    landmarks: SliceLandmarks | None = None,
    level: str = "",
) -> T1Slice:
    """A slice from T1 as it came; values, error and what is raised as in `CMRStressReactivityLib.t1_input.t1_in_ms`."""
    t1, known_error = t1_in_ms(values, error, name)
    return T1Slice(name, t1, geometry, known_error, myocardium, landmarks, level)


def match_maps(rest: Sequence[T1Slice], stress: Sequence[T1Slice]) -> Matching:
    """The pairs of slices, see `CMRStressReactivityLib.matching.match_slices`."""
    (fixed, fixed_shapes), (moving, moving_shapes) = (
        ([one.geometry for one in slices], [(one.t1.shape[0], one.t1.shape[1]) for one in slices])
        for slices in (rest, stress)
    )
    names = [one.name for one in rest], [one.name for one in stress]
    return match_slices(fixed, moving, fixed_shapes, moving_shapes, names)


def match_chosen(rest: Sequence[T1Slice], stress: Sequence[T1Slice], pairs: Sequence[tuple[int, int]]) -> Matching:
    """The pairs of slices that somebody chose, by their numbers; the other slices are left out.

    Raises:
        InputError: no pair was chosen.
    """
    if not pairs:
        raise InputError("No rest slice has a stress slice; choose one for at least one of them.")

    def numbered(slices: Sequence[T1Slice], number: int) -> tuple[int, Geometry, tuple[int, int]]:
        t1 = slices[number].t1
        return number, slices[number].geometry, (t1.shape[0], t1.shape[1])

    matches = tuple(match_by_hand(numbered(rest, i), numbered(stress, j)) for i, j in pairs)
    return Matching(matches, ())


def compare(rest: T1Slice, stress: T1Slice, match: SliceMatch, model: RegistrationModel | None) -> SliceReactivity:
    """Bring a stress slice onto its rest slice, and measure the change.

    Args:
        rest, stress: the slices.
        match: of the two.
        model: see `CMRStressReactivityLib.registration.register`.

    Raises:
        InputError: the maps cannot be registered, as where they show no common part of the patient.
    """
    shape = (rest.t1.shape[0], rest.t1.shape[1])

    def laid(values: np.ndarray) -> np.ndarray:
        return on_rest_grid(values, stress.geometry, shape, rest.geometry)

    before, center, around = laid(stress.t1), rest.center(), rest.around()
    if not np.any((before > 0) & around):
        raise InputError(
            f"The stress slice {stress.name} holds no T1 where the rest slice {rest.name} shows the heart; "
            "check that both are of the same patient and position."
        )
    found = register(rest.t1, before, rest.spacing_mm, center, model=model)
    after = registered(before, found.displacement)
    errors: tuple[np.ndarray, ...] = ()
    if rest.error is not None and stress.error is not None:
        errors = (rest.error, registered(laid(stress.error), found.displacement))
    reactivity = reactivity_map(rest.t1, after, *errors)
    contours = None
    if rest.myocardium is not None and rest.has_myocardium and stress.myocardium is not None and stress.has_myocardium:
        contours = (rest.myocardium, laid(stress.myocardium + 1.0) > 1.5)
    doubts = " ".join(text for text in (match.doubt, "" if center is not None else NO_CENTER) if text)
    judgement = judge(rest.t1, before, found, around, rest.spacing_mm, contours=contours, doubt=doubts)
    compared = SliceReactivity(match, after, before, found, reactivity, judgement)
    return _measured(compared, rest)


def _measured(compared: SliceReactivity, rest: T1Slice) -> SliceReactivity:
    """The comparison with what the myocardium and its landmarks allow to be measured."""
    if rest.myocardium is None or not rest.has_myocardium:
        return replace(compared, problems=(NO_MYOCARDIUM,))
    problems: list[str] = []
    whole = depth = segments = None
    try:
        whole = region_reactivity(compared.reactivity, rest.myocardium)
        depth = wall_depth(rest.myocardium, rest.spacing_mm)
    except InputError as error:
        problems.append(str(error))
    if rest.landmarks is not None and rest.landmarks.rv_insertion is not None and rest.level:
        try:
            segments = label_slice(rest.myocardium, rest.landmarks, rest.level, rest.geometry)
        except InputError as error:
            problems.append(str(error))
    return replace(compared, whole=whole, depth=depth, segments=segments, problems=tuple(problems))


def reactivity_of_segments(slices: Sequence[Divided | None]) -> dict[int, SegmentReactivity]:
    """The change in the 16 segments, over the pixels of all slices; empty where no slice is divided."""
    divided = [one for one in slices if one is not None]
    if not divided:
        return {}

    def pixels(arrays: Sequence[np.ndarray]) -> np.ndarray:
        """Those in the segments of all slices, as a map of one row."""
        inside = [array[one.segments > 0] for array, one in zip(arrays, divided, strict=True)]
        return np.concatenate(inside)[None]

    errors = [one.reactivity.error for one in divided if one.reactivity.error is not None]
    together = ReactivityMap(
        pixels([one.reactivity.percent for one in divided]),
        pixels(errors) if len(errors) == len(divided) else None,
    )
    labels = pixels([one.segments for one in divided])
    depth = pixels([np.full(one.segments.shape, np.nan) if one.depth is None else one.depth for one in divided])
    return {
        number: SegmentReactivity(whole, layer_reactivity(together, depth, labels == number))
        for number, whole in segment_reactivity(together, labels).items()
    }
