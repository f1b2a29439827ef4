"""What a reader of a report must know first: what was lost, what is likely to be wrong, and warnings, in this order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from CMRLib.export.report.items import title_of

# Rank -> its word in the report, the gravest first.
RANKS = {"lost": "Lost", "look": "Look", "warning": "Warning", "note": "Note"}


@dataclass(frozen=True)
class Finding:
    """One sentence.

    Attributes:
        rank: a key of `RANKS`.
        text: the sentence.
    """

    rank: str
    text: str

    @property
    def word(self) -> str:
        """The rank as it is shown."""
        return RANKS[self.rank]


def is_flagged(entry: Mapping[str, Any]) -> bool:
    """Whether a result is likely to be wrong by its entry of ``results.json``."""
    return bool(entry.get("flagged"))


def findings(results: Mapping[str, Any], steps: Sequence[str]) -> tuple[Finding, ...]:
    """All that is to be known of a study's results, ranked.

    Args:
        results: as in ``results.json``.
        steps: names of the steps whose entries they hold.
    """
    flagged = [
        Finding("look", f"{step.capitalize()}, {title_of(entry)}: {entry.get('reason') or 'likely to be wrong'}")
        for step in steps
        for entry in results[step]
        if is_flagged(entry)
    ]
    lost, warned, noted = (
        [Finding(rank, sentence) for sentence in results[kind]]
        for rank, kind in (("lost", "errors"), ("warning", "warnings"), ("note", "notes"))
    )
    return (*lost, *flagged, *warned, *noted)
