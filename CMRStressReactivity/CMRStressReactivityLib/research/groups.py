"""Tables of subgroups (as the thesis's 3.2) and of defects, segment by segment."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from CMRLib.training.tables import markdown_table
from CMRStressReactivityLib.research.summary import PairResult, defect_auc, segments_with_defects, summarised

GROUP_NOTE = (
    "Errors of mean dT1 in percentage points, mean ± SD. ICC says little where all pairs of a group respond alike, and "
    "nothing without a response."
)
DEFECT_NOTE = (
    "Area under the curve by which the dT1 found tells segments with a true dT1 below 1.5 % from the others, in slices "
    "with a territorial defect; - where all segments are of one kind."
)


def groups(results: Sequence[PairResult]) -> dict[str, list[PairResult]]:
    """The pairs by response, field strength, slice and kind of heart; groups without pairs are left out."""
    kinds: list[tuple[str, Callable[[PairResult], str], list[str]]] = [
        ("response", lambda r: r.response, ["global", "territorial", "microvascular", "none", "negative"]),
        ("field", lambda r: f"{r.field:g} T", ["1.5 T", "3 T"]),
        ("slice", lambda r: r.level, ["basal", "mid", "apical"]),
        ("heart", lambda r: "real" if r.real else "simulated", ["real", "simulated"]),
    ]
    found = {
        f"{kind}: {value}": [result for result in results if key(result) == value]
        for kind, key, values in kinds
        for value in values
    }
    return {title: part for title, part in found.items() if part}


def group_table(results: Sequence[PairResult], ours: str) -> str:
    """One method's errors overall, reversed, by segment and in every group."""
    whole = summarised(results, ours)
    backwards = sum(result.errors[ours].reversed is not None for result in results)
    rows = [
        [f"overall: {title}", _subjects(results), count, _error(whole, kind), _icc(whole, kind), "-", "-"]
        for title, kind, count in (
            ("slices", "slice", len(results)),
            ("slices, reversed", "reversed", backwards),
            ("segments", "segment", int(whole["segments"])),
        )
    ]
    for title, part in groups(results).items():
        s = summarised(part, ours)
        rows.append(
            [
                *(title, _subjects(part), len(part), _error(s, "slice"), _icc(s, "slice")),
                *(_error(s, "segment"), _icc(s, "segment")),
            ]
        )
    header = [ours, "anatomies", "maps", "error", "ICC", "segments: error", "ICC"]
    return f"{markdown_table(header, rows)}\n\n{GROUP_NOTE}"


def defect_table(results: Sequence[PairResult], names: Sequence[str]) -> str:
    """How well each method's dT1 tells defects, segment by segment."""
    cases = segments_with_defects(results, names[0])
    numbers: list[int | None] = [*sorted({number for number, *_ in cases}), None]
    rows = []
    for number in numbers:
        bad = [case[2] for case in cases if number in (None, case[0])]
        areas = [defect_auc(results, name, number) for name in names]
        rows.append([number or "all", len(bad), sum(bad), *("-" if area != area else f"{area:.3f}" for area in areas)])
    return f"{markdown_table(['segment', 'seen', 'defects', *names], rows)}\n\n{DEFECT_NOTE}"


def _subjects(results: Sequence[PairResult]) -> int:
    return len({result.subject for result in results})


def _error(s: dict[str, float], kind: str) -> str:
    return f"{s[f'{kind}_error']:+.2f} ± {s[f'{kind}_error_sd']:.2f}"


def _icc(s: dict[str, float], kind: str) -> str:
    return f"{s[f'{kind}_icc']:.3f}"
