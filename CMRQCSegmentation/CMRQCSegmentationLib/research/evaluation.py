"""True Dice of answers and how well it was predicted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from CMRLib.anatomy.insertions import LEFT_VENTRICLE
from CMRLib.anatomy.insertions import MYOCARDIUM as WALL_LABEL
from CMRQCSegmentationLib.candidates import BLOOD_POOL, MYOCARDIUM, candidate_names, dice
from CMRQCSegmentationLib.prediction import Candidates, SegmentationModel, find_candidates, segment_slices
from CMRQCSegmentationLib.quality import THRESHOLD
from CMRQCSegmentationLib.research.quality_fit import QualityExamples
from CMRQCSegmentationLib.research.slices import LabelledSlice


@dataclass(frozen=True)
class Judged:
    """Answers for many slices, held against their labels.

    Attributes:
        myocardium, blood: (image,), Dice; 1 where neither answer nor labels show it.
        deepest: (image,), Dice of the myocardium of the deepest network's own candidate.
        agreement: (image,), mean agreement of the chosen candidate with the others, the simplest prediction.
        predicted, lower_bound: (image,), NaN where no network was asked.
        flagged: (image,).
        there: (image,), whether the labels show a heart.
        answered: (image,), whether the answer does.
        overlaps: (image, 2, 2), for myocardium and blood pool: pixels in both, and the sum of the two sizes.
        contrasts, subjects, stacks: of each image.
        scarred: (image,).
    """

    myocardium: np.ndarray
    blood: np.ndarray
    deepest: np.ndarray
    agreement: np.ndarray
    predicted: np.ndarray
    lower_bound: np.ndarray
    flagged: np.ndarray
    there: np.ndarray
    answered: np.ndarray
    overlaps: np.ndarray
    contrasts: tuple[str, ...]
    subjects: tuple[str, ...]
    stacks: tuple[str, ...]
    scarred: np.ndarray

    def of(self, keep: Sequence[bool] | np.ndarray) -> Judged:
        """Some of the images."""
        chosen = np.flatnonzero(keep)
        values: dict[str, Any] = {}
        for name, value in vars(self).items():
            values[name] = value[chosen] if isinstance(value, np.ndarray) else tuple(value[i] for i in chosen)
        return Judged(**values)

    def contrast(self, name: str) -> Judged:
        """The images of one contrast."""
        return self.of([c == name for c in self.contrasts])

    @classmethod
    def joined(cls, parts: Sequence[Judged]) -> Judged:
        """The images of several."""
        values: dict[str, Any] = {}
        for name, value in vars(parts[0]).items():
            each = [getattr(part, name) for part in parts]
            values[name] = np.concatenate(each) if isinstance(value, np.ndarray) else tuple(v for e in each for v in e)
        return cls(**values)

    def volume_dice(self) -> np.ndarray:
        """Dice of myocardium and blood pool of every stack as a whole, (stack, 2)."""
        stacks = np.array(self.stacks)
        totals = [self.overlaps[stacks == name].sum(axis=0) for name in sorted(set(self.stacks))]
        return np.array([2.0 * t[:, 0] / np.maximum(t[:, 1], 1.0) for t in totals])


@dataclass(frozen=True)
class Summary:
    """What a table row says, of the slices that show a heart.

    Attributes:
        images: how many.
        myocardium, blood, deepest: mean Dice.
        error: mean absolute error of the predicted Dice.
        accuracy: share of the slices for which prediction and truth lie on the same side of 0.7.
        agreement_error, agreement_accuracy: the same of the mean agreement.
        flagged: share of the slices.
        bound_kept: share of the slices whose true Dice reaches the lower bound.
        myocardium_3d, blood_3d: mean over the stacks of the Dice of a whole stack.
    """

    images: int
    myocardium: float
    blood: float
    deepest: float
    error: float
    accuracy: float
    agreement_error: float
    agreement_accuracy: float
    flagged: float
    bound_kept: float
    myocardium_3d: float
    blood_3d: float


def truth_of(item: LabelledSlice) -> np.ndarray:
    """The labels that an answer should have, uint8 (row, column): 1 myocardium, 2 blood pool."""
    cavity = np.where(item.labels == LEFT_VENTRICLE, BLOOD_POOL, 0)
    return np.where(item.labels == WALL_LABEL, MYOCARDIUM, cavity).astype(np.uint8)


def stacks_of(slices: Iterable[LabelledSlice]) -> list[list[LabelledSlice]]:
    """Slices by stack, in their order."""
    stacks: dict[str, list[LabelledSlice]] = {}
    for item in slices:
        stacks.setdefault(item.stack, []).append(item)
    return list(stacks.values())


def judge(slices: Iterable[LabelledSlice], model: SegmentationModel) -> Judged:
    """Segment labelled slices, each stack in one call as an analyst would, and hold the answers against the labels."""
    rows: list[tuple[float, ...]] = []
    overlaps, members_of = [], []
    for members in stacks_of(slices):
        results = segment_slices(np.stack([m.image for m in members]), members[0].spacing, model=model)
        for item, result in zip(members, results, strict=True):
            truth = truth_of(item)
            deepest = result.labels
            agreement = np.nan
            if result.candidates is not None:
                deepest = result.candidates.labels(len(model.networks) - 1)
                row = result.candidates.matrix()[candidate_names(len(model.networks)).index(result.candidate)]
                agreement = (row.sum() - 1.0) / (len(row) - 1)
            rows.append(
                (
                    dice(result.labels, truth),
                    dice(result.labels, truth, BLOOD_POOL),
                    dice(deepest, truth),
                    agreement,
                    result.predicted_dice,
                    result.lower_bound,
                    float(result.flagged),
                    float(truth.any()),
                    float(result.labels.any()),
                )
            )
            pairs = [(result.labels == v, truth == v) for v in (MYOCARDIUM, BLOOD_POOL)]
            overlaps.append([[float(np.sum(a & b)), float(a.sum() + b.sum())] for a, b in pairs])
            members_of.append(item)
    columns = np.array(rows).T
    return Judged(
        myocardium=columns[0],
        blood=columns[1],
        deepest=columns[2],
        agreement=columns[3],
        predicted=columns[4],
        lower_bound=columns[5],
        flagged=columns[6] > 0.5,
        there=columns[7] > 0.5,
        answered=columns[8] > 0.5,
        overlaps=np.array(overlaps),
        contrasts=tuple(item.contrast for item in members_of),
        subjects=tuple(item.subject for item in members_of),
        stacks=tuple(item.stack for item in members_of),
        scarred=np.array([item.scarred for item in members_of]),
    )


def summarise(judged: Judged) -> Summary:
    """Means over the slices that show a heart; where no network was asked, the predicted Dice counts as 0."""
    seen = judged.of(judged.there)
    predicted, agreement, bound = (np.nan_to_num(v) for v in (seen.predicted, seen.agreement, seen.lower_bound))
    good = seen.myocardium >= THRESHOLD
    volumes = judged.volume_dice()
    return Summary(
        images=len(seen.myocardium),
        myocardium=float(seen.myocardium.mean()),
        blood=float(seen.blood.mean()),
        deepest=float(seen.deepest.mean()),
        error=float(np.abs(predicted - seen.myocardium).mean()),
        accuracy=float(np.mean((predicted >= THRESHOLD) == good)),
        agreement_error=float(np.abs(agreement - seen.myocardium).mean()),
        agreement_accuracy=float(np.mean((agreement >= THRESHOLD) == good)),
        flagged=float(seen.flagged.mean()),
        bound_kept=float(np.mean(seen.myocardium >= bound)),
        myocardium_3d=float(volumes[:, 0].mean()),
        blood_3d=float(volumes[:, 1].mean()),
    )


def detection(judged: Judged) -> dict[str, float]:
    """How well flags tell bad answers: Dice of the myocardium below 0.7, or a heart where there is none.

    Returns:
        ``bad`` and ``good``, how many; ``bad_flagged`` and ``good_flagged``, the share of each that is flagged.
    """
    bad = judged.myocardium < THRESHOLD
    return {
        "bad": float(bad.sum()),
        "good": float((~bad).sum()),
        "bad_flagged": float(judged.flagged[bad].mean()) if bad.any() else float("nan"),
        "good_flagged": float(judged.flagged[~bad].mean()) if (~bad).any() else float("nan"),
    }


def candidate_examples(slices: Iterable[LabelledSlice], model: SegmentationModel) -> QualityExamples:
    """What the prediction of quality is fitted on; images for which no network was asked are left out."""
    kept, truths, members_of = [], [], []
    for members in stacks_of(slices):
        found = find_candidates(np.stack([m.image for m in members]), members[0].spacing, model)
        for item, candidates in zip(members, found, strict=True):
            if isinstance(candidates, Candidates):
                truth = truth_of(item)
                kept.append(candidates)
                truths.append([dice(candidates.labels(i), truth) for i in range(len(candidates.maps))])
                members_of.append(item)
    return QualityExamples(
        tuple(kept),
        np.array(truths),
        tuple(item.subject for item in members_of),
        np.array([bool(truth_of(item).any()) for item in members_of]),
    )


def seconds_per_slice(image: np.ndarray, model: SegmentationModel, repeats: int = 7) -> dict[str, float]:
    """Best of several timings, seconds a slice: slices one by one, and the stack (slice, row, column) in batches."""

    def best(work: Callable[[], object]) -> float:
        work()
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        return min(times) / len(image)

    return {
        "one by one": best(lambda: [segment_slices(plane[None], model=model) for plane in image]),
        "stack": best(lambda: segment_slices(image, model=model)),
    }
