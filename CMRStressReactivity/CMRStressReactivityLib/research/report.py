"""The evaluation of the registration of stress to rest as numbers and Markdown tables (thesis, tables 3.2 and 3.3)."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from CMRLib.training.tables import markdown_table
from CMRStressReactivityLib.registration import SPACING_MM
from CMRStressReactivityLib.research.agreement import area_under_curve, icc
from CMRStressReactivityLib.research.evaluation import (
    REVERSED_EVERY,
    EvaluationPair,
    Method,
    PairErrors,
    evaluation_pair,
    measure_pair,
)
from CMRStressReactivityLib.research.scenes import SceneBank

# A segment has a defect where its true response is below the first and the slice's best segment above the second, %.
DEFECT_BELOW, NORMAL_ABOVE = 1.5, 3.0
TIMED_REPEATS = 3
HEADER = ("Dice", "displacement (px)", "worst pair (px)", "folded", "ms per pair")
CHANGE_HEADER = (
    "slice: error",
    "ICC",
    "reversed: error",
    "ICC",
    "segments: error",
    "ICC",
    "mean abs.",
    "no response",
    "defect AUC",
)
NOTE = (
    f"Pixels of {SPACING_MM} mm. ± is the standard deviation over the pairs; the displacement error is the mean "
    "distance from the true displacement in the myocardium; folded is the share of all pixels whose Jacobian "
    "determinant is not positive."
)
CHANGE_NOTE = (
    "Errors of mean dT1 in percentage points, mean ± SD, against maps without errors and motion; ICC is that of "
    "absolute agreement. Reversed: the rest map is registered to the stress map, of one pair in "
    f"{REVERSED_EVERY}. No response: median over the pairs with identical T1 of the slice's |dT1|. Defect AUC: of the "
    "segments of slices with a territorial defect, those "
    f"with a true dT1 below {DEFECT_BELOW:g} % against the others. The last row is what noise and interpolation leave."
)


@dataclass(frozen=True)
class PairResult:
    """One pair and the errors of all methods on it."""

    number: int
    subject: str
    response: str
    level: str
    field: float
    real: bool
    errors: dict[str, PairErrors]


def measure_pairs(
    numbers: Iterable[int],
    scenes: SceneBank,
    methods: Mapping[str, Method],
    true_row: str,
    cache: Path | None = None,
    tell: Callable[[str], None] | None = None,
) -> list[PairResult]:
    """Measure all methods, and the true displacement as a last row called ``true_row``, on the numbered pairs."""
    results = []
    for number in numbers:
        pair = evaluation_pair(scenes, number)
        answers = {pair.rest.tobytes(): pair.displacement, pair.stress.tobytes(): pair.back}
        bound = Method(lambda fixed, moving, known=answers: known[fixed.tobytes()], timed=False)  # type: ignore[misc]
        errors = measure_pair(pair, {**methods, true_row: bound}, cache)
        results.append(PairResult(number, pair.subject, pair.response, pair.level, pair.field, pair.real, errors))
        if tell is not None and len(results) % 20 == 0:
            found = "; ".join(f"{name} {e.displacement_px:.2f} px" for name, e in errors.items())
            tell(f"pair {number} ({pair.response}): {found}")
    return results


def seconds_per_pair(pairs: Sequence[EvaluationPair], methods: Mapping[str, Method]) -> dict[str, float]:
    """Seconds of one registration: best of some runs, median over the pairs."""
    seconds = {}
    for name, method in methods.items():
        if not method.timed:
            continue
        best = []
        for pair in pairs:
            runs = []
            for _ in range(TIMED_REPEATS):
                start = time.perf_counter()
                method.register(pair.rest, pair.stress)
                runs.append(time.perf_counter() - start)
            best.append(min(runs))
        seconds[name] = statistics.median(best)
    return seconds


def timing_note(count: int, threads: int) -> str:
    """How the times of ``count`` pairs were measured."""
    if not count:
        return "Times were not measured."
    return (
        f"Times are wall-clock with {threads} threads, best of {TIMED_REPEATS} runs, median over {count} pairs; the "
        f"load average was {os.getloadavg()[0] if hasattr(os, 'getloadavg') else 0.0:.1f} then."
    )


def summarised(results: Sequence[PairResult], name: str) -> dict[str, float]:
    """What the tables say of one method."""
    errors = [result.errors[name] for result in results]
    dice, px = ([getattr(e, field) for e in errors] for field in ("dice", "displacement_px"))
    slices = np.array([(e.found, e.true) for e in errors])
    reverse = np.array([e.reversed for e in errors if e.reversed is not None]).reshape(-1, 2)
    segments = np.array([pair for e in errors for pair in e.segments.values()]).reshape(-1, 2)
    still = [abs(r.errors[name].found) for r in results if r.response == "none"]
    summary = {
        "pairs": len(errors),
        "dice": float(np.mean(dice)),
        "dice_sd": _sd(dice),
        "displacement_px": float(np.mean(px)),
        "displacement_sd_px": _sd(px),
        "displacement_worst_px": float(np.max(px)),
        "folded": float(np.mean([e.folded for e in errors])),
        "no_response_percent": float(np.median(still)) if still else float("nan"),
        "defect_auc": _defect_auc(results, name),
        "segments": len(segments),
        "segment_abs_error": float(np.abs(segments[:, 0] - segments[:, 1]).mean()) if len(segments) else float("nan"),
    }
    for label, both in (("slice", slices), ("reversed", reverse), ("segment", segments)):
        difference = both[:, 0] - both[:, 1]
        summary[f"{label}_error"] = float(difference.mean()) if len(both) else float("nan")
        summary[f"{label}_error_sd"] = _sd(difference)
        summary[f"{label}_icc"] = icc(both[:, 0], both[:, 1])
    return summary


def _sd(values: Sequence[float] | np.ndarray) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def _defect_auc(results: Sequence[PairResult], name: str) -> float:
    scores, defects = [], []
    for result in results:
        parts = list(result.errors[name].segments.values())
        if result.response != "territorial" or not parts or max(true for _, true in parts) < NORMAL_ABOVE:
            continue
        scores += [-found for found, _ in parts]
        defects += [true < DEFECT_BELOW for _, true in parts]
    return area_under_curve(np.array(scores), np.array(defects, dtype=bool))


def report(results: Sequence[PairResult], seconds: Mapping[str, float], ours: str, timing: str) -> dict[str, Any]:
    """Numbers and tables of an evaluation.

    Args:
        results: see `measure_pairs`.
        seconds: see `seconds_per_pair`.
        ours: the method whose subgroups are shown.
        timing: how the times were measured, one sentence.
    """
    names = list(results[0].errors)
    summary = {name: summarised(results, name) for name in names}
    real = sum(result.real for result in results)
    counted = (
        f"{len(results)} simulated pairs on anatomies that nothing was trained or tuned on, {real} on real hearts."
    )
    rows = [
        [
            name,
            f"{s['dice']:.3f} ± {s['dice_sd']:.3f}",
            f"{s['displacement_px']:.2f} ± {s['displacement_sd_px']:.2f}",
            f"{s['displacement_worst_px']:.2f}",
            f"{100 * s['folded']:.3f}%",
            f"{1000 * seconds[name]:.0f}" if name in seconds else "-",
        ]
        for name, s in summary.items()
    ]
    changes = [[name, *_change_cells(s)] for name, s in summary.items()]
    return {
        "summary": summary,
        "seconds": dict(seconds),
        "groups": {title: summarised(part, ours) for title, part in _groups(results).items()},
        "pairs": [
            {**{k: v for k, v in asdict(result).items() if k != "errors"}, "errors": _rounded(result.errors)}
            for result in results
        ],
        "tables": {
            "stress": f"{markdown_table(['method', *HEADER], rows)}\n\n{counted} {NOTE} {timing}",
            "stress-change": f"{markdown_table(['method', *CHANGE_HEADER], changes)}\n\n{CHANGE_NOTE}",
            "stress-groups": _group_table(results, ours),
        },
    }


def _change_cells(s: Mapping[str, float]) -> list[str]:
    cells = []
    for label in ("slice", "reversed", "segment"):
        cells += [f"{s[f'{label}_error']:+.2f} ± {s[f'{label}_error_sd']:.2f}", f"{s[f'{label}_icc']:.3f}"]
    return [*cells, f"{s['segment_abs_error']:.2f}", f"{s['no_response_percent']:.2f}", f"{s['defect_auc']:.3f}"]


def _rounded(errors: Mapping[str, PairErrors]) -> dict[str, Any]:
    def short(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: short(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [short(v) for v in value]
        return None if value is None else round(value, 5)

    return {name: short(asdict(error)) for name, error in errors.items()}


def _groups(results: Sequence[PairResult]) -> dict[str, list[PairResult]]:
    """The pairs by response, field strength, slice and kind of heart; groups without pairs are left out."""
    kinds: list[tuple[str, Callable[[PairResult], str]]] = [
        ("response", lambda r: r.response),
        ("field", lambda r: f"{r.field:g} T"),
        ("slice", lambda r: r.level),
        ("heart", lambda r: "real" if r.real else "simulated"),
    ]
    groups: dict[str, list[PairResult]] = {}
    for kind, key in kinds:
        for result in results:
            groups.setdefault(f"{kind}: {key(result)}", []).append(result)
    return groups


def _group_table(results: Sequence[PairResult], ours: str) -> str:
    rows = []
    for title, part in {"all": list(results), **_groups(results)}.items():
        s = summarised(part, ours)
        rows.append(
            [
                title,
                len(part),
                f"{s['dice']:.3f} ± {s['dice_sd']:.3f}",
                f"{s['slice_error']:+.2f} ± {s['slice_error_sd']:.2f}",
                f"{s['slice_icc']:.3f}",
                f"{s['segment_error']:+.2f} ± {s['segment_error_sd']:.2f}",
                f"{s['segment_icc']:.3f}",
            ]
        )
    header = [ours, "pairs", "Dice", "slice: error", "ICC", "segments: error", "ICC"]
    return f"{markdown_table(header, rows)}\n\nICC says little where all pairs of a group respond alike."
