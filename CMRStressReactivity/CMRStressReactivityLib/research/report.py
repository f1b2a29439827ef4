"""The evaluation of the registration of stress to rest as numbers and Markdown tables (thesis, tables 3.2 and 3.3)."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from CMRLib.training.tables import markdown_table
from CMRStressReactivityLib.registration import SPACING_MM
from CMRStressReactivityLib.research.evaluation import (
    REVERSED_EVERY,
    EvaluationPair,
    Method,
    PairErrors,
    evaluation_pair,
    measure_pair,
)
from CMRStressReactivityLib.research.groups import defect_table, group_table, groups
from CMRStressReactivityLib.research.kept import evaluation_key, kept_result
from CMRStressReactivityLib.research.scenes import SceneBank
from CMRStressReactivityLib.research.summary import DEFECT_BELOW, PairResult, summarised

TIMED_REPEATS = 3
HEADER = ("Dice", "displacement (px)", "median pair (px)", "worst pair (px)", "folded", "ms per pair", "of processor")
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
    "distance from the true displacement in the myocardium, which says little where a real heart's stress slice holds "
    "other tissue than its rest slice (two in five of those); folded is the share of all pixels whose Jacobian "
    "determinant is not positive."
)
CHANGE_NOTE = (
    "Errors of mean dT1 in percentage points, mean ± SD, against maps without errors and motion; ICC is that of "
    "absolute agreement. Reversed: the rest map is registered to the stress map, of one pair in "
    f"{REVERSED_EVERY}. No response: median over the pairs with identical T1 of the slice's |dT1|. Defect AUC: of the "
    "segments of slices with a territorial defect, those "
    f"with a true dT1 below {DEFECT_BELOW:g} % against the others. The last row is what noise and interpolation leave."
)


def measure_pairs(
    numbers: Iterable[int],
    scenes: SceneBank,
    methods: Mapping[str, Method],
    true_row: str,
    cache: Path | None = None,
    tell: Callable[[str], None] | None = None,
    slow_pairs: int | None = None,
) -> list[PairResult]:
    """Measure all methods, and the true displacement as a last row called ``true_row``, on the numbered pairs.

    Slow methods are measured on pairs with numbers below ``slow_pairs`` only, where that is given. What was measured of
    a pair, and the answers of slow methods, are kept in the folder ``cache``.
    """
    results: list[PairResult] = []
    for number in numbers:
        slow = slow_pairs is None or number < slow_pairs
        rows = {name: method for name, method in methods.items() if slow or not method.slow}
        file = cache / f"measured-{number:03d}.json" if cache is not None else None
        key = evaluation_key(scenes, rows)
        results.append(kept_result(file, key, lambda n=number, r=rows: _measured(n, scenes, r, true_row, cache)))  # type: ignore[misc]
        if tell is not None and len(results) % 20 == 0:
            found = "; ".join(f"{name} {e.displacement_px:.2f} px" for name, e in results[-1].errors.items())
            tell(f"pair {number} ({results[-1].response}): {found}")
    return results


def _measured(
    number: int, scenes: SceneBank, methods: Mapping[str, Method], true_row: str, cache: Path | None
) -> PairResult:
    pair = evaluation_pair(scenes, number)
    answers = {pair.rest.tobytes(): pair.displacement, pair.stress.tobytes(): pair.back}
    true = Method(lambda fixed, moving: answers[fixed.tobytes()], timed=False)
    errors = measure_pair(pair, {**methods, true_row: true}, cache)
    return PairResult(number, pair.subject, pair.response, pair.level, pair.field, pair.real, errors)


def seconds_per_pair(
    pairs: Sequence[EvaluationPair], methods: Mapping[str, Method]
) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds of one registration by the clock and of the processor: best of some runs, median over the pairs."""
    clock: dict[str, float] = {}
    processor: dict[str, float] = {}
    for name, method in methods.items():
        if not method.timed or not pairs:
            continue
        best = []
        for pair in pairs:
            runs = []
            for _ in range(TIMED_REPEATS):
                start, used = time.perf_counter(), _processor_seconds()
                method.register(pair.rest, pair.stress)
                runs.append((time.perf_counter() - start, _processor_seconds() - used))
            best.append([min(column) for column in zip(*runs, strict=True)])
        clock[name], processor[name] = (statistics.median(column) for column in zip(*best, strict=True))
    return clock, processor


def _processor_seconds() -> float:
    """Of this process and of those that it runs other software in."""
    import psutil

    this = psutil.Process()
    return sum(sum(process.cpu_times()[:2]) for process in (this, *this.children(recursive=True)))


def timing_note(count: int, threads: int) -> str:
    """How the times of ``count`` pairs were measured."""
    if not count:
        return "Times were not measured."
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return (
        f"Times are by the clock and of the processor with {threads} threads, best of {TIMED_REPEATS} runs, median "
        f"over {count} pairs. The load average was {load:.1f} then: on a busy machine only the processor says how "
        "fast a method is."
    )


def report(
    results: Sequence[PairResult],
    seconds: tuple[Mapping[str, float], Mapping[str, float]],
    ours: str,
    timing: str,
) -> dict[str, Any]:
    """Numbers and tables of an evaluation.

    Args:
        results: see `measure_pairs`.
        seconds: see `seconds_per_pair`.
        ours: the method whose subgroups are shown and whose errors on every pair are kept.
        timing: how the times were measured, one sentence.
    """
    names = list(results[0].errors)
    # Slow methods may have been measured on the first pairs only; rows are compared on the same pairs.
    common = [result for result in results if set(names) <= set(result.errors)]
    summary = {name: summarised(common, name) for name in names}
    everywhere = [name for name in names if all(name in result.errors for result in results)]
    every = {name: summarised(results, name) for name in everywhere}
    return {
        "summary": summary,
        "summary_of_all_pairs": every,
        "seconds": dict(seconds[0]),
        "processor_seconds": dict(seconds[1]),
        "groups": {title: summarised(part, ours) for title, part in groups(results).items()},
        "pairs": [{**_about(result), "errors": _rounded({ours: result.errors[ours]})} for result in results],
        "tables": {
            "stress": f"{_alignment_table(summary, seconds)}\n\n{_counted(common)} {NOTE} {timing}",
            "stress-change": f"{_change_table(summary)}\n\n{CHANGE_NOTE}",
            "stress-all": f"{_alignment_table(every, seconds)}\n\n{_change_table(every)}\n\n{_counted(results)}",
            "stress-groups": group_table(results, ours),
            "stress-defects": defect_table(results, everywhere),
        },
    }


def _about(result: PairResult) -> dict[str, Any]:
    return {name: value for name, value in asdict(result).items() if name != "errors"}


def _counted(results: Sequence[PairResult]) -> str:
    real = [result for result in results if result.real]
    subjects = [len({result.subject for result in part}) for part in (results, real)]
    return (
        f"{len(results)} simulated pairs of {subjects[0]} anatomies that nothing was trained or tuned on, "
        f"{len(real)} of them of {subjects[1]} real hearts."
    )


def _alignment_table(
    summary: Mapping[str, Mapping[str, float]], seconds: tuple[Mapping[str, float], Mapping[str, float]]
) -> str:
    rows = [
        [
            name,
            f"{s['dice']:.3f} ± {s['dice_sd']:.3f}",
            f"{s['displacement_px']:.2f} ± {s['displacement_sd_px']:.2f}",
            f"{s['displacement_median_px']:.2f}",
            f"{s['displacement_worst_px']:.2f}",
            f"{100 * s['folded']:.3f}%",
            *(f"{1000 * kind[name]:.0f}" if name in kind else "-" for kind in seconds),
        ]
        for name, s in summary.items()
    ]
    return markdown_table(["method", *HEADER], rows)


def _change_table(summary: Mapping[str, Mapping[str, float]]) -> str:
    return markdown_table(["method", *CHANGE_HEADER], [[name, *_change_cells(s)] for name, s in summary.items()])


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
