"""The evaluation of motion correction as numbers and Markdown tables."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from CMRLib.training.answers import kept_displacement
from CMRLib.training.tables import markdown_table
from CMRT1MappingLib.fit.reconstruction import T1Maps, reconstruct
from CMRT1MappingLib.motion.estimation import apply_motion
from CMRT1MappingLib.research.irw_evaluation import SPACING_MM, EvaluationSet, evaluation_set, severity_of_set
from CMRT1MappingLib.research.motion_evaluation import MotionErrors, measure_motion

HEADER = ("displacement (px)", "worst set (px)", "T1 error (ms)", "R²", "Dice", "HD95 (mm)", "folded")
UNCORRECTED = "uncorrected"
OWN = "MOCOnet"  # the method whose time the others' are compared with
GROUPS = ("severe", "moderate", "mild", "none")
TIMED_REPEATS = 3
QUIET_LOAD = 0.5  # load average above which other programs lengthen the times
NOTE = (
    "Methods bring the frames to different grids, so errors are measured without one: the displacement error is the "
    f"distance, in pixels of {SPACING_MM} mm, between the anatomy that a corrected frame shows in a pixel and the mean "
    "of these places over the frames, averaged over frames and the pixels whose mean place is myocardium, and T1 is "
    "compared there with the fit of the same images without motion and noise. T1 error is the mean absolute difference "
    "where the myocardium fills more than 90 % of the pixel, R² the mean over the same pixels, noise included in both: "
    "the last row shows what noise and interpolation leave when the true motion is taken out. Dice and HD95 compare "
    "the myocardium that each frame shows with that at the mean place. ± is the standard deviation over the sets; "
    "folded is the share of all pixels whose Jacobian determinant is not positive. One set in five is MOLLI, the rest "
    "are ShMOLLI; every other 16 are fitted without their phase. T1 mapping refines the network's answer and keeps it "
    "where R² in the heart improves by more than smoothing alone improves it."
)


@dataclass(frozen=True)
class Method:
    """One row of the table.

    Attributes:
        estimate: from a set to the displacement, float32 (frame, 2, row, column) in pixels from the method's own grid
            into each frame.
        settings: what else its answer depends on; a kept answer of other settings is not used.
        slow: whether its answers are worth keeping in a cache.
        timed: whether its time says anything.
    """

    estimate: Callable[[EvaluationSet], np.ndarray]
    settings: str = ""
    slow: bool = False
    timed: bool = True


@dataclass(frozen=True)
class SetResult:
    """Errors of all methods on one set."""

    number: int
    subject: str
    severity: str
    errors: dict[str, MotionErrors]


def with_phase(item: EvaluationSet) -> bool:
    """Whether a set is fitted with its phase; every other 16 sets are not, as where a scanner does not keep it."""
    return (item.number // 16) % 2 == 0


def fitted(item: EvaluationSet, displacement: np.ndarray) -> T1Maps:
    """T1 maps of a set's frames, brought together by a displacement."""
    images, phase = apply_motion(item.images, displacement, item.phase if with_phase(item) else None)
    return reconstruct(images, item.inversion_times_ms, phase, scheme=item.scheme, device="cpu")


def true_maps(item: EvaluationSet) -> T1Maps:
    """T1 maps of the images without motion and noise: they have the sequence's own bias, which is not motion's."""
    return reconstruct(item.still_images, item.inversion_times_ms, item.still_phase, scheme=item.scheme, device="cpu")


def measure_set(item: EvaluationSet, methods: Mapping[str, Method], cache: Path | None = None) -> SetResult:
    """The errors of every method on one set; answers of slow methods are kept in the folder ``cache``."""
    t1 = true_maps(item).t1
    spacing = (item.spacing_mm, item.spacing_mm)
    errors = {}
    for name, method in methods.items():
        displacement = _kept(item, name, method, cache)
        maps = fitted(item, displacement)
        errors[name] = measure_motion(displacement, maps, item.moved, item.myocardium, t1, spacing)
    return SetResult(item.number, item.subject, item.severity, errors)


def _kept(item: EvaluationSet, name: str, method: Method, cache: Path | None) -> np.ndarray:
    """A method's answer, from the cache where it holds one for these images and settings."""
    if cache is None or not method.slow:
        return method.estimate(item)
    file = cache / f"{name.replace(' ', '-').replace(',', '')}-{item.number:03d}.npz"
    return kept_displacement(file, item.images, method.settings, lambda: method.estimate(item))


def seconds_per_set(
    numbers: Sequence[int], acdc: Path | None, methods: Mapping[str, Method], count: int
) -> dict[str, float]:
    """From images to aligned images, without the fit, on the first moderate sets: best of some runs, median over sets.

    Args:
        numbers, acdc, methods: see `measure_sets`.
        count: how many sets; none are timed with 0.
    """
    best: dict[str, list[float]] = {name: [] for name, method in methods.items() if method.timed}
    for number in [number for number in numbers if severity_of_set(number) == "moderate"][:count]:
        item = evaluation_set(number, acdc)
        phase = item.phase if with_phase(item) else None
        for name, times in best.items():
            runs = []
            for _ in range(TIMED_REPEATS):
                start = time.perf_counter()
                apply_motion(item.images, methods[name].estimate(item), phase)
                runs.append(time.perf_counter() - start)
            times.append(min(runs))
    return {name: statistics.median(times) for name, times in best.items() if times}


def measure_sets(
    numbers: Sequence[int],
    acdc: Path | None,
    methods: Mapping[str, Method],
    cache: Path | None = None,
    told: Callable[[str], None] = lambda line: None,
) -> list[SetResult]:
    """Make and measure sets one after the other.

    Args:
        numbers: of `CMRT1MappingLib.research.irw_evaluation.evaluation_set`.
        acdc: folder of the patients, which odd numbers need.
        methods: by name.
        cache: folder for the answers of slow methods; None keeps nothing.
        told: called with a line about each set.
    """
    results: list[SetResult] = []
    for number in numbers:
        results.append(measure_set(evaluation_set(number, acdc), methods, cache))
        left = ", ".join(f"{name} {errors.displacement_px:.2f}" for name, errors in results[-1].errors.items())
        told(f"set {number} ({results[-1].severity}), displacement left in px: {left}")
    return results


def read_results(report: Mapping[str, Any]) -> list[SetResult]:
    """The results that an earlier report holds (see `report_sets`)."""
    return [
        SetResult(
            item["number"],
            item["subject"],
            item["severity"],
            {name: MotionErrors(**errors) for name, errors in item["errors"].items()},
        )
        for item in report["sets"]
    ]


def with_earlier(results: Sequence[SetResult], earlier: Sequence[SetResult], order: Sequence[str]) -> list[SetResult]:
    """Results completed by what an earlier report measured of other methods on the same sets.

    Args:
        results: of this run.
        earlier: of an earlier one.
        order: of the methods.
    """
    before = {result.number: result.errors for result in earlier}
    completed = []
    for result in results:
        errors = {**before.get(result.number, {}), **result.errors}
        completed.append(replace(result, errors={name: errors[name] for name in order if name in errors}))
    return completed


def timing_note(sets: int, threads: int, load: float) -> str:
    """How the times were measured, as a sentence; ``load`` is the machine's load average before it began."""
    busy = f" The machine was not idle (load average {load:.1f}), so they are too long." if load > QUIET_LOAD else ""
    return (
        f"Seconds are from images to aligned images, without the fit, on {threads} threads: best of {TIMED_REPEATS} "
        f"runs, median of {sets} moderate sets.{busy}"
    )


def summarise(errors: Sequence[MotionErrors]) -> dict[str, float]:
    """Means over sets, the standard deviation and the largest of the displacement errors, and the largest pixel's."""
    columns = {name: np.array([getattr(error, name) for error in errors]) for name in asdict(errors[0])}
    return {
        "sets": len(errors),
        **{name: float(values.mean()) for name, values in columns.items()},
        "displacement_sd_px": float(columns["displacement_px"].std(ddof=1)) if len(errors) > 1 else 0.0,
        "displacement_worst_set_px": float(columns["displacement_px"].max()),
        "displacement_max_px": float(columns["displacement_max_px"].max()),
        "t1_error_sd_ms": float(columns["t1_error_ms"].std(ddof=1)) if len(errors) > 1 else 0.0,
        "t1_error_worst_set_ms": float(columns["t1_error_ms"].max()),
    }


def report_sets(results: Sequence[SetResult], seconds: Mapping[str, float], timing: str) -> dict[str, Any]:
    """Tables over all sets and by severity, and the numbers behind them.

    Args:
        results: of the sets.
        seconds: of each method that was timed.
        timing: how the times were measured, a sentence.
    """
    plain = [_plain(result) for result in results]
    results = read_results({"sets": plain})  # the tables are those of the numbers written, also when these are kept
    methods = list(results[0].errors)
    groups = {name: found for name in GROUPS if (found := [r for r in results if r.severity == name])}
    summary = {name: _summary(found) for name, found in {"all": results, **groups}.items()}
    own = seconds.get(OWN)
    rows = [
        [name, *_cells(summary["all"][name]), _seconds(seconds.get(name)), _ratio(seconds.get(name), own)]
        for name in methods
    ]
    by_group = [
        [f"{group} ({len(found)}): {name}", *_cells(summary[group][name])]
        for group, found in groups.items()
        for name in methods
    ]
    patients = sum(not result.subject.startswith("SIM") for result in results)
    sentences = [f"{patients} of the sets show patients, the others parametric anatomies.", NOTE]
    if "none" in groups and UNCORRECTED in methods:
        changes = t1_changes(groups["none"])
        sentences.append(
            "Where nothing moved, the T1 error changes by "
            + ", ".join(f"{change:+.1f} ms ({name})" for name, change in changes.items())
            + "."
        )
    if seconds:
        sentences.append(timing)
    return {
        "summary": summary,
        "seconds": dict(seconds),
        "sets": plain,
        "tables": {
            "moco": markdown_table([f"{len(results)} simulated sets", *HEADER, "seconds", f"times {OWN}"], rows)
            + "\n\n"
            + " ".join(sentences),
            "moco-groups": markdown_table(["severity (sets): method", *HEADER], by_group),
        },
    }


def t1_changes(results: Sequence[SetResult]) -> dict[str, float]:
    """Mean difference of each method's T1 error from that of the uncorrected images, ms."""
    means = {
        name: float(np.mean([result.errors[name].t1_error_ms for result in results])) for name in results[0].errors
    }
    return {name: mean - means[UNCORRECTED] for name, mean in means.items() if name != UNCORRECTED}


def report_phantom(results: Sequence[SetResult]) -> dict[str, Any]:
    """The table of a phantom's scan and its moved copies, and the numbers behind it."""
    groups = {name: found for name in reversed(GROUPS) if (found := [r for r in results if r.severity == name])}
    summary = {name: _summary(found) for name, found in groups.items()}
    labels = {"none": "as acquired"}
    rows = [
        [
            labels.get(group, f"{group} motion added ({len(found)})") + f": {name}",
            f"{part['displacement_px']:.2f}",
            f"{part['displacement_worst_set_px']:.2f}",
            f"{part['t1_error_ms']:.2f}",
            f"{part['t1_error_worst_set_ms']:.2f}",
            f"{part['r2']:.4f}",
        ]
        for group, found in groups.items()
        for name, part in summary[group].items()
    ]
    header = ["ShMOLLI phantom", "displacement (px)", "worst (px)", "change of T1 (ms)", "worst (ms)", "R²"]
    return {
        "summary": summary,
        "sets": [_plain(result) for result in results],
        "tables": {"moco-phantom": markdown_table(header, rows)},
    }


def pictured_sets(results: Sequence[SetResult], method: str, acdc: Path | None) -> dict[str, int]:
    """Numbers of the sets worth a picture: the best, median and worst that a method left of large motion.

    There is one more, ``MotionCorrection``, for readers who want to see what is corrected: of the severe sets without
    contrast agent the one nearest to their median.
    """
    large = [result for result in results if result.severity in GROUPS[:2]]
    ordered = sorted(large, key=lambda result: result.errors[method].displacement_px)
    numbers = [result.number for result in ordered]
    if not numbers:
        return {}
    severe = [result.number for result in ordered if result.severity == "severe"] or numbers
    middle = len(severe) // 2
    from_middle = sorted(range(len(severe)), key=lambda place: abs(place - middle))
    native = (severe[place] for place in from_middle if evaluation_set(severe[place], acdc).state == "rest")
    return {
        "moco-best": numbers[0],
        "moco-median": numbers[len(numbers) // 2],
        "moco-worst": numbers[-1],
        "MotionCorrection": next(native, severe[middle]),
    }


def _summary(results: Sequence[SetResult]) -> dict[str, dict[str, float]]:
    return {name: summarise([result.errors[name] for result in results]) for name in results[0].errors}


def _plain(result: SetResult) -> dict[str, Any]:
    errors = {name: {k: round(v, 5) for k, v in asdict(error).items()} for name, error in result.errors.items()}
    return {"number": result.number, "subject": result.subject, "severity": result.severity, "errors": errors}


def _cells(summary: Mapping[str, float]) -> list[str]:
    return [
        f"{summary['displacement_px']:.2f} ± {summary['displacement_sd_px']:.2f}",
        f"{summary['displacement_worst_set_px']:.2f}",
        f"{summary['t1_error_ms']:.1f} ± {summary['t1_error_sd_ms']:.1f}",
        f"{summary['r2']:.4f}",
        f"{summary['dice']:.3f}",
        f"{summary['hd95_mm']:.2f}",
        f"{summary['folded']:.3%}",
    ]


def _ratio(value: float | None, own: float | None) -> str:
    return "-" if value is None or own is None else f"{value / own:.1f}"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}" if value < 1 else f"{value:.1f}"
