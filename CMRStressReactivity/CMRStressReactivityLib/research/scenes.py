"""Native T1 maps of simulated bodies and of labelled real hearts, from which pairs of rest and stress are made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from CMRLib.anatomy.axis import LEVELS, levels_along_stack
from CMRLib.anatomy.insertions import LEFT_VENTRICLE, MYOCARDIUM
from CMRLib.errors import InputError
from CMRLib.simulation.anatomy import ParametricAnatomy, SliceAnatomy
from CMRLib.simulation.contrasts import t1_without_errors, tissue_labels
from CMRLib.simulation.labelled_anatomy import LabelledAnatomy
from CMRLib.simulation.tissue import FIELD_STRENGTHS, tissue_values
from CMRLib.training.banks import Bank
from CMRLib.training.splits import images_of_split, split_of_seed, subject_of
from CMRStressReactivityLib.reactivity import wall_depth
from CMRStressReactivityLib.registration import SPACING_MM

SIZE = 240
SPLEEN = 4  # beside the labels of the heart
DEPTH_STEP = 1.0 / 254.0
FEWEST_PIXELS = 150  # of myocardium: a slice through the tip of the apex or through the outflow tract has no ring
FIRST_SEED = 200_000  # of the training bodies; those of other networks begin elsewhere


@dataclass(frozen=True)
class SceneBank(Bank):
    """Slices on a grid of SIZE x SIZE pixels of `CMRStressReactivityLib.registration.SPACING_MM`, the LV in the middle.

    Attributes:
        t1: uint16 (scene, row, column), T1 at rest in ms without errors.
        density: uint8 (scene, row, column), proton density behind a pixel's signal; 255 is that of water.
        labels: uint8 (scene, row, column): 1 RV cavity, 2 LV myocardium, 3 LV cavity, 4 spleen, 0 anything else.
        depth: uint8 (scene, row, column), depth in the wall from 0 at the cavity to 254; 255 outside it.
        landmarks: float32 (scene, 3, 2), (row, column) of LV centre, anterior and inferior insertion; NaN if unknown.
        neighbour: int (scene,), number of the scene of the next slice towards the apex, -1 where there is none.
        level: int (scene,), index into `CMRLib.anatomy.axis.LEVELS`.
        field: float32 (scene,), field strength in T.
        real: bool (scene,), whether the heart is that of a patient.
        subjects: subject of each scene.
        split: what they may be used for.
    """

    t1: np.ndarray
    density: np.ndarray
    labels: np.ndarray
    depth: np.ndarray
    landmarks: np.ndarray
    neighbour: np.ndarray
    level: np.ndarray
    field: np.ndarray
    real: np.ndarray
    subjects: tuple[str, ...]
    split: str

    def __len__(self) -> int:
        return len(self.t1)


def _scene(anatomy: SliceAnatomy, field: float, rng: np.random.Generator, middle: np.ndarray) -> dict[str, np.ndarray]:
    """The arrays of one scene, cut out around ``middle``, (row, column)."""
    values = tissue_values(anatomy.tissues, field, "rest", rng)
    t1, density = t1_without_errors(anatomy, values)
    labels = tissue_labels(anatomy)
    labels[np.argmax(anatomy.fractions, axis=0) == anatomy.tissues.index("spleen")] = SPLEEN
    wall = np.nan_to_num(wall_depth(labels == MYOCARDIUM) / DEPTH_STEP, nan=255.0)
    start = np.rint(middle - (SIZE - 1) / 2.0).astype(int)

    def cut(image: np.ndarray, outside: float) -> np.ndarray:
        padded = np.pad(image, SIZE, constant_values=outside)
        return padded[tuple(slice(s + SIZE, s + 2 * SIZE) for s in start)]

    assert anatomy.landmarks is not None
    return {
        "t1": np.rint(np.clip(cut(t1, 0.0), 0, 6000)).astype(np.uint16),
        "density": np.rint(255.0 * np.clip(cut(density, 0.0), 0, 1)).astype(np.uint8),
        "labels": cut(labels, 0),
        "depth": np.rint(cut(wall, 255.0)).astype(np.uint8),
        "landmarks": (anatomy.landmarks.points() - start).astype(np.float32),
    }


def _has_ring(anatomy: SliceAnatomy) -> bool:
    labels = tissue_labels(anatomy)
    try:
        wall_depth(labels == MYOCARDIUM)
    except InputError:
        return False
    return np.sum(labels == MYOCARDIUM) >= FEWEST_PIXELS and np.sum(labels == LEFT_VENTRICLE) >= FEWEST_PIXELS // 5


def parametric_scenes(seed: int) -> Iterator[tuple[SliceAnatomy, str]]:
    """One level of the body with this seed, where it shows a ring, and the level."""
    anatomy = ParametricAnatomy.random(seed)
    level = LEVELS[seed % len(LEVELS)]
    body = anatomy.slice(level, anatomy.field_of_view(SPACING_MM), SPACING_MM)
    if _has_ring(body):
        yield body, level


def labelled_scenes(image: Path) -> Iterator[tuple[SliceAnatomy, str]]:
    """All slices of a labelled stack that show a ring, from base to apex, and their levels."""
    stack = LabelledAnatomy.from_files(image)
    numbers = stack.levels().tolist()
    levels = levels_along_stack(range(len(numbers)))
    for rank, number in enumerate(numbers):
        body = stack.numbered(number, stack.field_of_view(SPACING_MM), SPACING_MM)
        if _has_ring(body):
            yield body, levels[rank]


def make_scenes(seeds: Iterable[int], acdc: Path | str | None, split: str, stacks: int | None = None) -> SceneBank:
    """Render scenes into a bank.

    Args:
        seeds: of parametric bodies, one slice each.
        acdc: folder of labelled short-axis images, or None; the patients of this split are taken.
        split: one of `CMRLib.training.splits.SPLITS`.
        stacks: how many of the labelled images to take, evenly spread; None for all.

    Raises:
        InputError: a seed of another split, a folder without patients of the split, or nothing to put into the bank.
    """
    seeds = list(seeds)
    foreign = [seed for seed in seeds if split_of_seed(seed) != split]
    if foreign:
        raise InputError(f"The seed {foreign[0]} belongs to the {split_of_seed(foreign[0])} anatomies, not {split}.")
    images = images_of_split(acdc, split) if acdc is not None else []
    if stacks is not None and images:
        images = [images[i] for i in np.linspace(0, len(images) - 1, min(stacks, len(images))).round().astype(int)]
    scenes: list[dict[str, np.ndarray]] = []
    about: list[tuple[int, int, float, bool, str]] = []

    def add(bodies: Iterable[tuple[SliceAnatomy, str]], subject: str, seed: int, *, real: bool) -> None:
        shown = list(bodies)
        rng = np.random.default_rng([seed, 31])
        field = float(rng.choice(FIELD_STRENGTHS))
        tissue_seed = int(rng.integers(2**31))
        if shown:
            middle = np.mean([body.landmarks.lv_center for body, _ in shown if body.landmarks is not None], axis=0)
        for rank, (body, level) in enumerate(shown):
            following = len(scenes) + 1 if rank + 1 < len(shown) else -1
            # The same generator for all slices of a body, which has the same tissues in all of them.
            scenes.append(_scene(body, field, np.random.default_rng(tissue_seed), middle))
            about.append((following, LEVELS.index(level), field, real, subject))

    for seed in seeds:
        add(parametric_scenes(seed), f"SIM{seed}", seed, real=False)
    for number, image in enumerate(images):
        add(labelled_scenes(image), subject_of(image), number, real=True)
    if not scenes:
        raise InputError("There is nothing to put into the bank; give seeds, or a folder with labelled images.")
    neighbour, level, field, real, subjects = zip(*about, strict=True)
    return SceneBank(
        **{name: np.stack([scene[name] for scene in scenes]) for name in scenes[0]},
        neighbour=np.array(neighbour),
        level=np.array(level),
        field=np.array(field, dtype=np.float32),
        real=np.array(real),
        subjects=subjects,
        split=split,
    )
