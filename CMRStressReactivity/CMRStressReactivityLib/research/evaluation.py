"""How well registrations bring stress maps onto rest maps, on simulated pairs whose truth is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from CMRLib.anatomy.aha import label_slice
from CMRLib.anatomy.axis import LEVELS
from CMRLib.anatomy.landmarks import SliceLandmarks
from CMRLib.errors import InputError
from CMRLib.training.answers import kept_displacement
from CMRLib.training.splits import seeds_of_split
from CMRStressReactivityLib.reactivity import reactivity_map
from CMRStressReactivityLib.registration import registered
from CMRStressReactivityLib.research.scenes import SceneBank, make_scenes

SEED = 17
FEWEST_PIXELS = 20  # of a segment
TEST_ANATOMIES, TEST_STACKS = 170, 20  # of which some levels show no ring
REVERSED_EVERY = 3  # the rest map is registered to the stress map of every third pair


@dataclass(frozen=True)
class EvaluationPair:
    """One pair and its truth; arrays are (row, column) on the grid of the rest map, unless they say otherwise.

    Attributes:
        number: of the pair.
        subject, response, level, field, real: what it shows.
        rest, stress: float32, T1 in ms with errors, 0 where there is none.
        clean, unmoved: the same without errors and, for stress, without motion.
        displacement: float32 (2, row, column) in pixels; stress at x + displacement(x) shows what rest shows at x.
        back: that of the other way, from the stress map's grid into the rest map.
        share, moved_share: float32, shares of the rest map's and of the stress map's pixels that are myocardium.
        segments: uint8, AHA segments of the myocardium; 0 everywhere where the landmarks are not known.
    """

    number: int
    subject: str
    response: str
    level: str
    field: float
    real: bool
    rest: np.ndarray
    stress: np.ndarray
    clean: np.ndarray
    unmoved: np.ndarray
    displacement: np.ndarray
    back: np.ndarray
    share: np.ndarray
    moved_share: np.ndarray
    segments: np.ndarray

    @property
    def myocardium(self) -> np.ndarray:
        """Where the rest map shows myocardium, bool."""
        return self.share > 0.5

    @property
    def moved(self) -> np.ndarray:
        """Where the stress map shows it, bool."""
        return self.moved_share > 0.5

    def truth(self) -> np.ndarray:
        """dT1 in percent that maps without errors have, (row, column)."""
        return reactivity_map(self.clean, self.unmoved).percent


# From fixed and moving map (T1 in ms, 0 where there is none) to the displacement, float32 (2, row, column) in pixels.
Register = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Method:
    """One row of the tables.

    Attributes:
        register: fixed and moving map to the displacement.
        settings: what else its answer depends on; a kept answer of other settings is not used.
        slow: whether its answers are worth keeping.
        timed: whether its time says anything.
    """

    register: Register
    settings: str = ""
    slow: bool = False
    timed: bool = True


@dataclass(frozen=True)
class PairErrors:
    """What one method makes of one pair.

    Attributes:
        dice: of the myocardium, rest's and the registered stress map's.
        displacement_px: mean distance from the true displacement in the myocardium.
        folded: share of all pixels that fold.
        found, true: mean dT1 in the myocardium, percent.
        reversed: the same two of the rest map registered to the stress map; None where that is not measured.
        segments: number -> (found, true) mean dT1 of each segment.
    """

    dice: float
    displacement_px: float
    folded: float
    found: float
    true: float
    reversed: tuple[float, float] | None
    segments: dict[int, tuple[float, float]] = field(default_factory=dict)


def unseen_scenes(
    acdc: Path | None, cache: Path | None = None, anatomies: int = TEST_ANATOMIES, stacks: int = TEST_STACKS
) -> SceneBank:
    """Scenes that nothing was trained or tuned on.

    Args:
        acdc: folder of labelled cine stacks in ACDC's format, or None.
        cache: folder that keeps them between evaluations.
        anatomies: number of simulated bodies.
        stacks: number of real ones.
    """
    path = cache / f"stress-test-{anatomies}{f'-acdc-{stacks}' if acdc else ''}.npz" if cache else None
    return SceneBank.load_or_make(path, lambda: make_scenes(seeds_of_split("test", anatomies), acdc, "test", stacks))


def evaluation_pair(scenes: SceneBank, number: int, response: str | None = None) -> EvaluationPair:
    """Pair ``number``: simulated bodies and real hearts in turn where there are both; the same number, the same pair.

    Args:
        scenes: see `unseen_scenes`.
        number: of the pair.
        response: see `CMRStressReactivityLib.research.pairs.random_pairs`.
    """
    kinds = [np.flatnonzero(scenes.real == real) for real in (False, True)]
    kinds = [kind for kind in kinds if kind.size]
    own = kinds[number % len(kinds)]
    # Steps that are prime to the numbers of scenes visit all of them before any comes again.
    scene = int(own[(number // len(kinds) * 97) % own.size])
    return replace(pair_of_scene(scenes, scene, SEED * 100_000 + number, response), number=number)


def pair_of_scene(scenes: SceneBank, scene: int, seed: int, response: str | None = None) -> EvaluationPair:
    """The pair that a scene and a seed make; slices of one heart move and respond alike with the same seed."""
    import torch

    from CMRLib.networks.warp import invert
    from CMRStressReactivityLib.research.pairs import RESPONSES, random_pairs

    generator = torch.Generator().manual_seed(seed)
    with torch.inference_mode():
        batch = random_pairs(scenes, 1, generator, scenes=[scene], varied=False, response=response)
        back = invert(batch.displacement)[0].numpy()
    share, moved = batch.myocardium[0, 0].numpy(), batch.moved[0, 0].numpy()
    level = LEVELS[int(scenes.level[scene])]
    return EvaluationPair(
        number=seed,
        subject=scenes.subjects[scene],
        response=list(RESPONSES)[int(batch.response[0])],
        level=level,
        field=float(scenes.field[scene]),
        real=bool(scenes.real[scene]),
        rest=batch.rest[0, 0].numpy(),
        stress=batch.stress[0, 0].numpy(),
        clean=batch.clean[0, 0].numpy(),
        unmoved=batch.unmoved[0, 0].numpy(),
        displacement=batch.displacement[0].numpy(),
        back=back,
        share=share,
        moved_share=moved,
        segments=_segments(share > 0.5, batch.landmarks[0].numpy(), level),
    )


def _segments(myocardium: np.ndarray, landmarks: np.ndarray, level: str) -> np.ndarray:
    nothing = np.zeros(myocardium.shape, np.uint8)
    if not np.all(np.isfinite(landmarks[:2])):
        return nothing
    points = [(float(row), float(column)) for row, column in landmarks[:2]]
    try:
        return label_slice(myocardium, SliceLandmarks(points[0], points[1]), level)
    except InputError:  # a wall that is not closed at the outflow tract
        return nothing


def measure_pair(
    pair: EvaluationPair, methods: Mapping[str, Method], cache: Path | None = None
) -> dict[str, PairErrors]:
    """The errors of every method on one pair; answers of slow methods are kept in the folder ``cache``."""
    return {name: _measured(pair, name, method, cache) for name, method in methods.items()}


def _measured(pair: EvaluationPair, name: str, method: Method, cache: Path | None) -> PairErrors:
    import torch

    from CMRLib.networks.warp import folded_share

    there = _answer(method, name, pair.rest, pair.stress, cache, f"{pair.number:03d}")
    inside = pair.myocardium
    changes = reactivity_map(pair.rest, registered(pair.stress, there)).percent
    truth = pair.truth()
    moved = registered(pair.moved_share + 1.0, there) > 1.5
    numbers = [int(n) for n in np.unique(pair.segments[pair.segments > 0])]
    parts = {n: pair.segments == n for n in numbers if np.sum(pair.segments == n) >= FEWEST_PIXELS}
    return PairErrors(
        dice=2.0 * float(np.sum(moved & inside)) / float(moved.sum() + inside.sum()),
        displacement_px=float(np.hypot(*(there - pair.displacement))[inside].mean()),
        folded=folded_share(torch.from_numpy(np.ascontiguousarray(there))[None]),
        found=_mean(changes, inside),
        true=_mean(truth, inside),
        reversed=_reversed(pair, name, method, cache) if pair.number % REVERSED_EVERY == 0 else None,
        segments={n: (_mean(changes, part), _mean(truth, part)) for n, part in parts.items()},
    )


def _reversed(pair: EvaluationPair, name: str, method: Method, cache: Path | None) -> tuple[float, float]:
    back = _answer(method, name, pair.stress, pair.rest, cache, f"{pair.number:03d}-reversed")
    changes = reactivity_map(pair.stress, registered(pair.rest, back)).percent
    return _mean(changes, pair.moved), _mean(reactivity_map(pair.unmoved, pair.clean).percent, pair.myocardium)


def _mean(values: np.ndarray, region: np.ndarray) -> float:
    """Mean of the region's finite values; 0 where there is none, which is no response found."""
    inside = values[region & np.isfinite(values)]
    return float(inside.mean(dtype=np.float64)) if inside.size else 0.0


def _answer(
    method: Method, name: str, fixed: np.ndarray, moving: np.ndarray, cache: Path | None, number: str
) -> np.ndarray:
    if cache is None or not method.slow:
        return method.register(fixed, moving)
    file = cache / f"{name.replace(' ', '-').replace(',', '')}-{number}.npz"
    return kept_displacement(file, np.stack([fixed, moving]), method.settings, lambda: method.register(fixed, moving))


def uncorrected(fixed: np.ndarray, moving: np.ndarray) -> np.ndarray:
    """No motion."""
    return np.zeros((2, *fixed.shape), np.float32)
