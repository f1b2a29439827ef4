"""The report of a cohort: a row for each study, distributions, outliers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from CMRLib.export.report.distributions import FENCE, FEWEST, Distribution, distribution, histogram
from CMRLib.export.report.findings import is_flagged
from CMRLib.export.report.items import Measure
from CMRLib.export.report.pages import page
from CMRLib.export.report.study import STATUS_WORDS

TEMPLATE = "cohort.html"


@dataclass(frozen=True)
class StepMeasure:
    """A measure of which each study has one value: the lowest or highest of its results.

    Attributes:
        step: name of its step.
        measure: see `CMRLib.export.report.items.Measure`.
    """

    step: str
    measure: Measure

    @property
    def title(self) -> str:
        """Step, measure, and which of the results counts, as "T1: Motion, highest [px]"."""
        return f"{self.step.capitalize()}: {self.column}"

    @property
    def column(self) -> str:
        """The title without the step."""
        unit = f" [{self.measure.unit}]" if self.measure.unit else ""
        return f"{self.measure.title}, {self.measure.worst}est{unit}"

    def of(self, entries: Sequence[Mapping[str, Any]]) -> float | None:
        """The value of a study with these entries of the step; None where it has none."""
        values = [value for entry in entries if isinstance(value := self.measure.value(entry), (int, float))]
        return None if not values else float(min(values) if self.measure.worst == "low" else max(values))

    def text(self, value: float | None) -> str:
        """A value as it is written."""
        return "–" if value is None else self.measure.text_format.format(value)


@dataclass(frozen=True)
class CohortStudy:
    """What the report needs of the results of a study.

    Attributes:
        id, status: as in ``results.json``.
        report: address of its report, relative to that of the cohort; "" where there is none.
        results, flagged, warnings: how many.
        errors: sentences.
        values: of each measure, in their order.
        made_with: (what, which) of the software, the weights and the options.
    """

    id: str
    status: str
    report: str
    results: int
    flagged: int
    warnings: int
    errors: tuple[str, ...]
    values: tuple[float | None, ...]
    made_with: tuple[tuple[str, str], ...]

    @property
    def word(self) -> str:
        """The status as it is shown."""
        return STATUS_WORDS[self.status]


def cohort_study(
    results: Mapping[str, Any], report: str, steps: Sequence[str], measures: Sequence[StepMeasure]
) -> CohortStudy:
    """What the report needs of a study's results.

    Args:
        results: as in ``results.json``.
        report: address of its report, "" where there is none.
        steps: names of the steps whose entries count.
        measures: of all studies.
    """
    entries = [entry for step in steps for entry in results[step]]
    made_with = [("CMRMapping", results["software"].get("CMRMapping", "–"))]
    made_with += [(f"Weights: {task}", f"{m['id']} {m['sha256'][:12]}") for task, m in results["models"].items()]
    for step, settings in results.get("made_from", {}).get("steps", {}).items():
        made_with += [
            (f"Option of {step}: {name.replace('_', ' ')}", {True: "yes", False: "no"}.get(value, str(value)))
            for name, value in settings.get("choices", {}).items()
        ]
    return CohortStudy(
        id=results["id"],
        status=results["status"],
        report=report,
        results=len(entries),
        flagged=sum(is_flagged(entry) for entry in entries),
        warnings=len(results["warnings"]),
        errors=tuple(results["errors"]),
        values=tuple(measure.of(results[measure.step]) for measure in measures),
        made_with=tuple(made_with) if entries else (),
    )


def cohort_page(studies: Sequence[CohortStudy], measures: Sequence[StepMeasure]) -> str:
    """The page.

    Args:
        studies: in the order of the table as long as nobody sorts it.
        measures: those of the studies' values.

    Raises:
        MissingDependencyError: jinja2 or a template is not installed.
    """
    shown: list[tuple[int, StepMeasure, Distribution]] = []
    for column, measure in enumerate(measures):
        values = {study.id: value for study in studies if (value := study.values[column]) is not None}
        if values:
            shown.append((column, measure, distribution(values)))
    outlying = Counter(study for _, _, found in shown for study in found.outliers)
    made_with = Counter(item for study in studies for item in study.made_with)
    return page(
        TEMPLATE,
        {
            "kind": "report of a cohort",
            "title": f"{len(studies)} {'study' if len(studies) == 1 else 'studies'}",
            "made_from": "",
            "studies": studies,
            "reports": {study.id: study.report for study in studies},
            "counts": Counter(study.status for study in studies),
            "measures": shown,
            "groups": list(Counter(measure.step for _, measure, _ in shown).items()),
            "outlying": outlying,
            "made_with": sorted(made_with.items()),
            "mixed": len({kind for kind, _ in made_with}) < len(made_with),
            "histogram": histogram,
            "fewest": FEWEST,
            "fence": FENCE,
        },
    )
