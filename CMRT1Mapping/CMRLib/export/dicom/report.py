"""Findings as DICOM: a structured report after TID 1500, with coded terms, units and sites."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from CMRLib import __version__
from CMRLib.export.dicom.items import Exported, Findings, Measurement
from CMRLib.export.dicom.objects import MANUFACTURER, MODEL_NAME, NewObject, coded, finish, load_highdicom
from CMRLib.export.dicom.uids import derived_uid
from CMRLib.terms import OWN_SCHEME, Term

PROCEDURE = Term("241620005", "SCT", "Cardiac MRI")
DEVICE = Term("121007", "DCM", "Device")
QUALITY = Term("111050", "DCM", "Quality Assessment")
FLAGGED = Term("flagged", OWN_SCHEME, "Flagged for review")
NOT_FLAGGED = Term("not-flagged", OWN_SCHEME, "Not flagged")


def report(new: NewObject, results: Sequence[Exported], places: dict[str, str], evidence: Sequence[Dataset]) -> Dataset:
    """The findings of results as an object of the class Comprehensive 3D SR Storage.

    Landmarks are points in the patient (mm, in the frame of reference of their images), each a group of its own;
    numbers are groups of measurements by site.

    Args:
        new: what is to be made.
        results: whose findings there are.
        places: key of a result -> frame of reference of its images.
        evidence: headers of the images and objects that the findings are about; at least one.

    Raises:
        MissingDependencyError: highdicom is missing.
    """
    sr = load_highdicom().sr
    uid = derived_uid(new.secret, "software", MODEL_NAME, __version__)
    observer = sr.ObserverContext(
        observer_type=coded(DEVICE),
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=uid, name=MODEL_NAME, manufacturer_name=MANUFACTURER, model_name=f"{MODEL_NAME} {__version__}"
        ),
    )
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer),
        procedure_reported=coded(PROCEDURE),
        imaging_measurements=[
            group
            for result in results
            for findings in result.offers.findings
            for group in _groups(sr, new, result, findings, places[result.key])
        ],
    )
    made: Dataset = sr.Comprehensive3DSR(
        evidence=list(evidence), content=content[0], is_complete=True, is_final=True, **new.arguments()
    )
    finish(made, new.source)
    for keyword in ("FrameOfReferenceUID", "PositionReferenceIndicator"):  # every point names its own
        delattr(made, keyword)
    return made


def _groups(sr: Any, new: NewObject, result: Exported, findings: Findings, place: str) -> Iterator[Any]:
    """The groups of one slice: one for each landmark, one for the numbers of each site."""
    name = f"{result.key} {findings.title}, slice {findings.index}"
    common = {
        "algorithm_id": _algorithm(sr, findings),
        "qualitative_evaluations": _quality(sr, findings),
    }
    for point in findings.points:
        position = result.geometry.ijk_to_lps() @ [point.column, point.row, float(_depth(result, findings)), 1.0]
        yield sr.PlanarROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=_tracking(sr, new, f"{name}: {point.name}"),
            referenced_region=sr.ImageRegion3D("POINT", position[None, :3], place),
            finding_type=coded(point.term),
            finding_sites=[sr.FindingSite(coded(point.site))],
            **common,
        )
    for site, measurements in _by_site(findings.measurements).items():
        yield sr.MeasurementsAndQualitativeEvaluations(
            tracking_identifier=_tracking(sr, new, f"{name}: {site.meaning if site else 'all'}"),
            finding_sites=[sr.FindingSite(coded(site))] if site else None,
            measurements=[_measurement(sr, measurement) for measurement in measurements],
            **common,
        )


def _depth(result: Exported, findings: Findings) -> int:
    """The slice's place along the geometry's third axis; frames all lie in the first."""
    return 0 if result.offers.are_frames else findings.index


def _tracking(sr: Any, new: NewObject, text: str) -> Any:
    return sr.TrackingIdentifier(uid=derived_uid(new.secret, new.instance_uid, text), identifier=text)


def _algorithm(sr: Any, findings: Findings) -> Any:
    if not findings.model:
        return sr.AlgorithmIdentification(name=MODEL_NAME, version=__version__)
    return sr.AlgorithmIdentification(
        name=findings.model, version=__version__, parameters=[f"sha256={findings.model_sha256}"]
    )


def _quality(sr: Any, findings: Findings) -> list[Any]:
    if findings.flagged is None:
        return []
    return [sr.QualitativeEvaluation(coded(QUALITY), coded(FLAGGED if findings.flagged else NOT_FLAGGED))]


def _by_site(measurements: Sequence[Measurement]) -> dict[Term | None, list[Measurement]]:
    groups: dict[Term | None, list[Measurement]] = {}
    for measurement in measurements:
        groups.setdefault(measurement.site, []).append(measurement)
    return groups


def _measurement(sr: Any, measurement: Measurement) -> Any:
    return sr.Measurement(
        name=coded(measurement.term),
        value=float(np.round(measurement.value, 6)),
        unit=coded(measurement.unit),
        derivation=coded(measurement.derivation) if measurement.derivation else None,
    )
