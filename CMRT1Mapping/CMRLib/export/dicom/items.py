"""What a step of the batch offers to other systems: maps, label maps and findings, with coded terms.

These are plain values, so that a step can offer them without any of the packages that write them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from CMRLib.files.segmentations import Segment
from CMRLib.geometry import Geometry
from CMRLib.study.series import Series
from CMRLib.terms import Term


@dataclass(frozen=True)
class ExportedMap:
    """A quantity in every pixel.

    Attributes:
        name: as in ``results.json``, as "t1"; names the files.
        title: for people, in ASCII, as "T1".
        values: float32 (slice, row, column); NaN where there is no value.
        unit: a term of UCUM.
        quantity: what the values are.
        window: (lowest, highest) value that a viewer shows at first.
        step: the difference between neighbouring values where they are stored as whole numbers.
        fitted: where the values mean something, bool of the same shape, for statistics; None takes every finite one.
    """

    name: str
    title: str
    values: np.ndarray
    unit: Term
    quantity: Term
    window: tuple[float, float]
    step: float
    fitted: np.ndarray | None = None


@dataclass(frozen=True)
class ExportedLabels:
    """A label map.

    Attributes:
        name: names the files, as "segmentation".
        labels: uint8 (slice or frame, row, column), 0 where no segment is.
        segments: what the other values mean.
        model, model_sha256: the weights that made it; "" where a person did.
    """

    name: str
    labels: np.ndarray
    segments: Sequence[Segment]
    model: str = ""
    model_sha256: str = ""


@dataclass(frozen=True)
class ExportedPoint:
    """A landmark in one slice or frame: (row, column) in pixels."""

    name: str
    term: Term
    site: Term
    row: float
    column: float


@dataclass(frozen=True)
class Measurement:
    """One number.

    Attributes:
        term: what is measured.
        value: in the unit.
        unit: a term of UCUM.
        site: where in the body, if not everywhere.
        derivation: how the pixels of a region became one number, as the mean; None for other numbers.
    """

    term: Term
    value: float
    unit: Term
    site: Term | None = None
    derivation: Term | None = None


@dataclass(frozen=True)
class Findings:
    """What was found in one slice or frame.

    Attributes:
        title: for people, in ASCII, as "landmarks".
        index: of the slice or frame, from 0.
        points: landmarks.
        measurements: numbers.
        flagged: whether a person should look at it; None where nothing says.
        model, model_sha256: the weights that found it, or "".
    """

    title: str
    index: int
    points: tuple[ExportedPoint, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    flagged: bool | None = None
    model: str = ""
    model_sha256: str = ""


@dataclass(frozen=True)
class Exports:
    """What one result of a step offers; `CMRLib.batch.step.StepResult` says where it lies and what it is of.

    Attributes:
        maps, labels, findings: what there is.
        also: series that it was made from besides the result's own.
        are_frames: whether the first axis of the images counts frames of one slice, which lie in one place.
    """

    maps: tuple[ExportedMap, ...] = ()
    labels: tuple[ExportedLabels, ...] = ()
    findings: tuple[Findings, ...] = ()
    also: tuple[Series, ...] = ()
    are_frames: bool = False


@dataclass(frozen=True)
class Exported:
    """What one result offers, and where it comes from.

    Attributes:
        key: of the result; names its files.
        series: what it was made from.
        geometry: where maps and label maps lie.
        settings: what decided the result, as text: other settings make another DICOM object.
        offers: what there is.
    """

    key: str
    series: Series
    geometry: Geometry
    settings: str
    offers: Exports
