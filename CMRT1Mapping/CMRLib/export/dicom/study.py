"""All DICOM objects of a study: what its steps offer, written into one folder."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from CMRLib.errors import CMRError, InputError
from CMRLib.export.dicom.items import Exported
from CMRLib.export.dicom.maps import image_series, parametric_map
from CMRLib.export.dicom.objects import NewObject, quiet, write
from CMRLib.export.dicom.report import report
from CMRLib.export.dicom.segmentation import segmentation
from CMRLib.export.dicom.segments import segment_means
from CMRLib.export.dicom.source import Source, source_of
from CMRLib.study.series import Study

FOLDER = "dicom"
# Series of results are numbered from a hundredfold of their source's number on, those of other files from here on.
_FIRST_NUMBER, _NUMBERS = 9000, 100
_LONGEST = 64  # characters of a series description


@dataclass
class Written:
    """What was written of a study.

    Attributes:
        entries: for ``results.json``, one a file: "kind", "of" (key of the result, "" for the report), "name", the
            identifiers of class, instance and series, and "file" relative to the study's folder.
        errors: a sentence for each result of which nothing could be written.
        notes: sentences about what was invented.
    """

    entries: list[dict[str, Any]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def write_study(study: Study, results: Sequence[Exported], folder: Path) -> Written:
    """Write everything that the results of a study offer as DICOM, into ``dicom`` below a folder.

    Raises:
        MissingDependencyError: highdicom is missing.
        OutputError: a file cannot be written.
    """
    with quiet():
        return _written(study, results, folder)


def _written(study: Study, results: Sequence[Exported], folder: Path) -> Written:
    written, numbers = Written(), _Numbers()
    sources: list[tuple[Exported, Source]] = []
    for result in [*results, *segment_means(results)]:
        offers = result.offers
        if not (offers.maps or offers.labels or offers.findings):
            continue
        try:
            sources.append((result, _source(result, study)))
        except InputError as error:
            if (sentence := f"{result.key}: {error}") not in written.errors:
                written.errors.append(sentence)
    written.notes += dict.fromkeys(note for _, source in sources for note in source.notes)
    for result, source in sources:
        with _told(written, result.key):
            for kind, name, file, dataset in _objects(result, source, study, numbers):
                written.entries.append(_entry(kind, result.key, name, dataset, write(dataset, folder / FOLDER / file)))
    with _told(written, "report"):
        for file, dataset in _reports(sources, written, study, numbers):
            written.entries.append(_entry("report", "", "report", dataset, write(dataset, folder / FOLDER / file)))
    return written


@contextlib.contextmanager
def _told(written: Written, key: str) -> Iterator[None]:
    """What cannot be made is told, and costs no other result."""
    try:
        yield
    except CMRError:
        raise
    except Exception as error:  # highdicom refuses odd headers in many ways, and quotes them
        written.errors.append(f"{key}: its DICOM results cannot be made ({type(error).__name__}); please report it.")


def _entry(kind: str, key: str, name: str, dataset: Dataset, path: Path) -> dict[str, Any]:
    return {
        "kind": kind,
        "of": key,
        "name": name,
        "sop_class_uid": str(dataset.SOPClassUID),
        "sop_instance_uid": str(dataset.SOPInstanceUID),
        "series_instance_uid": str(dataset.SeriesInstanceUID),
        "file": f"{FOLDER}/{path.name}",
    }


@dataclass
class _Numbers:
    """Gives every new series of a study its number."""

    given: dict[int, int] = field(default_factory=dict)

    def next(self, source: Source) -> int:
        first = _FIRST_NUMBER if source.series_number is None else max(source.series_number, 1) * _NUMBERS
        self.given[first] = self.given.get(first, 0) + 1
        return first + self.given[first]


def _source(result: Exported, study: Study) -> Source:
    """The source of a result, with the images of the other series that it was made from."""
    source = source_of(result.series, study)
    for other in (source_of(series, study) for series in result.offers.also):
        everything = tuple(reference for references in other.images for reference in references)
        source = replace(
            source,
            images=tuple((*references, *everything) for references in source.images),
            identity=f"{source.identity} {other.identity}",
        )
    return source


def _objects(
    result: Exported, source: Source, study: Study, numbers: _Numbers
) -> Iterator[tuple[str, str, str, Dataset]]:
    """Kind, name, file and object of every map and label map that a result offers."""

    def new(kind: str, name: str, title: str, *made_by: str) -> NewObject:
        identity = (kind, result.key, name, result.settings, *made_by)
        return NewObject(source, study.secret, identity, f"{title} {result.key}"[:_LONGEST], numbers.next(source))

    for exported in result.offers.maps:
        kind, file = "parametric map", f"{result.key}_{exported.name}"
        # Files without identifiers of their own are told apart by what was made of them.
        content = () if source.images else (_digest(exported.values),)
        made = parametric_map(new(kind, exported.name, exported.title, *content), exported, result.geometry)
        yield kind, exported.name, f"{file}_map.dcm", made
        images = image_series(new("image", exported.name, exported.title, *content), exported, result.geometry)
        yield from (("image", exported.name, _numbered(f"{file}_image", image, images), image) for image in images)
    for labels in result.offers.labels:
        if not labels.labels.any():
            continue  # there is no segmentation without a segment
        one = new("segmentation", labels.name, labels.name, labels.model_sha256, _digest(labels.labels))
        shown = [int(index) for index in np.flatnonzero(labels.labels.any((1, 2)))]
        frames: list[int | None] = [*shown] if result.offers.are_frames else [None]
        objects = [
            segmentation(replace(one, instance_number=(index or 0) + 1), labels, result.geometry, index)
            for index in frames
        ]
        for made in objects:
            yield "segmentation", labels.name, _numbered(f"{result.key}_{labels.name}", made, objects), made


def _digest(values: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


def _numbered(name: str, dataset: Dataset, among: Sequence[Dataset]) -> str:
    return f"{name}.dcm" if len(among) == 1 else f"{name}_{int(dataset.InstanceNumber):04d}.dcm"


def _reports(
    results: Sequence[tuple[Exported, Source]], written: Written, study: Study, numbers: _Numbers
) -> Iterator[tuple[str, Dataset]]:
    """File and object of a report for each DICOM study among the sources: rest and stress may be two."""
    studies: dict[str, list[tuple[Exported, Source]]] = {}
    for result, source in results:
        if result.offers.findings:
            studies.setdefault(str(source.header.StudyInstanceUID), []).append((result, source))
    for number, (uid, members) in enumerate(studies.items(), start=1):
        first = members[0][1]
        # What was found is part of the identity: a person may have moved a landmark.
        found = hashlib.sha256(repr([result.offers.findings for result, _ in members]).encode()).hexdigest()
        settings = [result.settings for result, _ in members]
        new = NewObject(first, study.secret, ("report", uid, found, *settings), "CMR report", numbers.next(first))
        places = {result.key: str(source.header.FrameOfReferenceUID) for result, source in members}
        made = report(new, [result for result, _ in members], places, _evidence(uid, members, written))
        yield ("report.dcm" if len(studies) == 1 else f"report_{number}.dcm"), made


def _evidence(uid: str, members: Sequence[tuple[Exported, Source]], written: Written) -> list[Dataset]:
    """Headers of the source images of findings, and of the objects written of the same results."""
    keys = {result.key for result, _ in members}
    named = {
        reference.instance_uid: (reference.class_uid, reference.instance_uid, reference.series_uid)
        for _, source in members
        for references in source.images
        for reference in references
    }
    for entry in written.entries:
        if entry["of"] in keys:
            instance = entry["sop_instance_uid"]
            named[instance] = (entry["sop_class_uid"], instance, entry["series_instance_uid"])
    headers = []
    for class_uid, instance_uid, series_uid in named.values():
        header = Dataset()
        header.update(members[0][1].header)
        header.SOPClassUID, header.SOPInstanceUID, header.SeriesInstanceUID = class_uid, instance_uid, series_uid
        header.StudyInstanceUID = uid
        headers.append(header)
    return headers
