"""The report of one study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from CMRLib.errors import CMRError
from CMRLib.export.report.findings import findings, is_flagged
from CMRLib.export.report.items import Measure, Section, series_of, title_of
from CMRLib.export.report.pages import page
from CMRLib.export.report.reviews import Reviewed
from CMRLib.networks.models import model_entry

TEMPLATE = "study.html"
STATUS_WORDS = {"ok": "Complete", "partial": "Partly lost", "failed": "Failed"}


@dataclass(frozen=True)
class ShownStep:
    """A step that was done.

    Attributes:
        name: of the step.
        entries: of ``results.json``.
        measures: columns of the table of its results.
        section: its pictures.
        problem: why there are none, "" where there are.
    """

    name: str
    entries: Sequence[Mapping[str, Any]]
    measures: Sequence[Measure]
    section: Section
    problem: str = ""

    @property
    def has_flags(self) -> bool:
        """Whether the step judges its results."""
        return any("flagged" in entry for entry in self.entries)


@dataclass(frozen=True)
class Model:
    """Weights that were used.

    Attributes:
        task, id, sha256: as the results name them.
        known: of their entry in the manifest: architecture, date, licence and training data; empty for other weights.
    """

    task: str
    id: str
    sha256: str
    known: Mapping[str, Any]


def study_page(
    results: Mapping[str, Any],
    steps: Sequence[ShownStep],
    made_from: str,
    reviews: Sequence[Reviewed] | None = None,
    problem: str = "",
) -> str:
    """The page.

    Args:
        results: as in ``results.json``.
        steps: in the order in which they are shown.
        made_from: a fingerprint of what the report is made from, which it carries.
        reviews: what analysts made of the results; None where that is not known.
        problem: why it cannot be told, "" where it can.

    Raises:
        MissingDependencyError: jinja2 or a template is not installed.
    """
    settings = results.get("made_from", {}).get("steps", {})
    return page(
        TEMPLATE,
        {
            "kind": "report of a study",
            "title": results["id"],
            "made_from": made_from,
            "results": results,
            "status": STATUS_WORDS[results["status"]],
            "steps": steps,
            "findings": findings(results, [step.name for step in steps]),
            "flagged": sum(is_flagged(entry) for step in steps for entry in step.entries),
            "reviews": reviews,
            "problem": problem,
            "models": models(results),
            "choices": [
                (name, option, value)
                for name, setting in settings.items()
                for option, value in setting.get("choices", {}).items()
            ],
            "title_of": title_of,
            "series_of": series_of,
            "is_flagged": is_flagged,
        },
    )


def models(results: Mapping[str, Any]) -> list[Model]:
    """The weights that made the results, with what the manifest knows of them."""
    found = []
    for task, model in results.get("models", {}).items():
        try:
            entry = model_entry(model["id"])
        except CMRError:  # weights of a site, which the manifest does not list
            entry = None
        known = {} if entry is None or entry.sha256 != model["sha256"] else vars(entry)
        found.append(Model(task, model["id"], model["sha256"], known))
    return found
