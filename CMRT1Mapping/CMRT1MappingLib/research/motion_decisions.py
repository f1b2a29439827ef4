"""How often still images of many kinds are taken for moved ones, and moved ones are left as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from CMRLib.training.tables import markdown_table
from CMRT1MappingLib.fit.reconstruction import reconstruct
from CMRT1MappingLib.motion.correction import correct_and_reconstruct
from CMRT1MappingLib.motion.estimation import MotionModel
from CMRT1MappingLib.research.irw_kinds import COURSES, KINDS, Case, case
from CMRT1MappingLib.research.motion_evaluation import measure_motion
from CMRT1MappingLib.research.motion_phantom import phantom_variants

STILL_CASES, MOVED_CASES = 24, 6  # of each kind; of each kind and course
PHANTOM = "phantom scan"
NOTE = (
    "Still acquisitions have no motion at all: flat tissue, nested discs, tubes and textures of 5 to 11 frames, MOLLI, "
    "ShMOLLI and Look-Locker, with and without phase and with signal-to-noise ratios from 10 to 1500; the hearts "
    "(parametric and patients') of the test part; hearts whose frames differ by flow and ghosts; and the phantom's "
    "scan turned, binned, cut, and with noise added. Touched means that aligned images were kept; the change of the T1 "
    "error is that of the pixels whose T1 is known. Moved are the same kinds with mild, moderate and severe motion, "
    "and with one or two frames off by 2 to 8 mm and the others still."
)


@dataclass(frozen=True)
class Decision:
    """What became of one acquisition.

    Attributes:
        kind, number, course: which; course "still" or how the frames moved.
        kept: whether aligned images were kept.
        gain: share of 1 - R² that alignment takes away beyond smoothing.
        motion_px: that was estimated.
        t1_before_ms, t1_after_ms: mean absolute error of T1 as acquired and as used.
        px_before, px_after: displacement left as acquired and as used.
    """

    kind: str
    number: int
    course: str
    kept: bool
    gain: float
    motion_px: float
    t1_before_ms: float
    t1_after_ms: float
    px_before: float
    px_after: float


def decide(acquisition: Case, model: MotionModel) -> Decision:
    """Correct one acquisition as T1 mapping does, and hold the result against the truth."""
    item = acquisition.item
    spacing = (item.spacing_mm, item.spacing_mm)
    phase = item.phase if acquisition.with_phase else None
    found = correct_and_reconstruct(
        item.images, item.inversion_times_ms, phase, spacing, scheme=item.scheme, model=model, device=str(model.device)
    )
    still_phase = item.still_phase if acquisition.with_phase else None
    t1 = reconstruct(item.still_images, item.inversion_times_ms, still_phase, scheme=item.scheme, device="cpu").t1
    nothing = np.zeros_like(found.displacement)
    used = found.displacement if found.kept else nothing
    before, after = (
        measure_motion(shift, maps, item.moved, item.myocardium, t1, spacing)
        for shift, maps in ((nothing, found.original), (used, found.maps))
    )
    left = 1.0 - found.r2_smoothed
    return Decision(
        kind=acquisition.kind,
        number=item.number,
        course=acquisition.course,
        kept=found.kept,
        gain=1.0 - (1.0 - found.r2_after) / left if left > 0.0 else 0.0,
        motion_px=found.motion_px,
        t1_before_ms=before.t1_error_ms,
        t1_after_ms=after.t1_error_ms,
        px_before=before.displacement_px,
        px_after=after.displacement_px,
    )


def cases(
    acdc: Path | None,
    phantom: Path | None,
    split: str = "test",
    counts: tuple[int, int] = (STILL_CASES, MOVED_CASES),
    courses: Sequence[str] = COURSES,
) -> Iterator[Case]:
    """All acquisitions; without their folders the patients and the phantom are left out.

    Args:
        acdc: folder of labelled patients.
        phantom: folder of the phantom's scan.
        split: "validation" to choose with, "test" to report.
        counts: still ones of each kind, and moved ones of each kind and course.
        courses: which.
    """
    for course in courses:
        count = counts[0] if course == "still" else counts[1]
        for kind in KINDS:
            if kind != "patient" or acdc is not None:
                yield from (case(kind, number, course, acdc=acdc, split=split) for number in range(count))
        if phantom is not None:
            for item, with_phase in phantom_variants(phantom, count, course, split):
                yield Case(PHANTOM, item, with_phase, course)


def report_decisions(decisions: Sequence[Decision]) -> dict[str, Any]:
    """The table of still and moved acquisitions by kind, and the numbers behind it."""
    kinds = [kind for kind in (*KINDS, PHANTOM) if any(decision.kind == kind for decision in decisions)]
    groups: Mapping[str, Sequence[Decision]] = {
        **{kind: [decision for decision in decisions if decision.kind == kind] for kind in kinds},
        "all": decisions,
    }
    rows = []
    for name, group in groups.items():
        still = [decision for decision in group if decision.course == "still"]
        moved = [decision for decision in group if decision.course != "still"]
        rows.append([name, *_still_cells(still), *_moved_cells(moved)])
    header = ["kind", "still", "touched", "T1 error grows by at most (ms)", "moved", "corrected", "T1 error (ms)", "px"]
    return {
        "decisions": [
            {key: round(value, 5) if isinstance(value, float) else value for key, value in asdict(decision).items()}
            for decision in decisions
        ],
        "tables": {"moco-still": markdown_table(header, rows) + "\n\n" + NOTE},
    }


def _still_cells(still: Sequence[Decision]) -> list[str]:
    if not still:
        return ["0", "-", "-"]
    touched = sum(decision.kept for decision in still)
    worst = max(decision.t1_after_ms - decision.t1_before_ms for decision in still)
    return [str(len(still)), f"{touched} ({touched / len(still):.1%})", f"{worst:+.1f}"]


def _moved_cells(moved: Sequence[Decision]) -> list[str]:
    if not moved:
        return ["0", "-", "-", "-"]

    def mean(name: str) -> float:
        return float(np.mean([getattr(decision, name) for decision in moved]))

    return [
        str(len(moved)),
        f"{np.mean([decision.kept for decision in moved]):.0%}",
        f"{mean('t1_before_ms'):.1f} to {mean('t1_after_ms'):.1f}",
        f"{mean('px_before'):.2f} to {mean('px_after'):.2f}",
    ]


def measure_decisions(
    found: Iterator[Case], model: MotionModel, told: Callable[[str], None] = lambda line: None
) -> list[Decision]:
    """Decide on acquisitions one after the other; ``told`` is called with a line about each."""
    decisions = []
    for acquisition in found:
        decisions.append(decide(acquisition, model))
        last = decisions[-1]
        told(
            f"{last.kind} {last.number} ({last.course}): {'corrected' if last.kept else 'left'}, gain {last.gain:.3f}, "
            f"T1 error {last.t1_before_ms:.1f} to {last.t1_after_ms:.1f} ms"
        )
    return decisions
