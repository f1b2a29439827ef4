"""Anatomies kept in memory for training on simulated inversion recovery images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from CMRLib.anatomy.axis import LEVELS
from CMRLib.anatomy.insertions import LEFT_VENTRICLE, MYOCARDIUM
from CMRLib.errors import InputError
from CMRLib.files.images import read_image
from CMRLib.simulation.anatomy import ParametricAnatomy, SliceAnatomy
from CMRLib.simulation.breathing import mobility_of
from CMRLib.simulation.canvas import smooth_field
from CMRLib.simulation.labelled_anatomy import LabelledAnatomy, labels_beside
from CMRLib.simulation.tissue import TISSUES
from CMRLib.training.banks import Bank
from CMRLib.training.splits import SPLITS, images_of_split, split_of_seed, subject_of

NAMES = tuple(TISSUES)
SPACING_MM = 1.2
SIZE = 240
HEART_GROWN_MM = 4.0
HEART = ("myocardium", "papillary muscle", "left blood", "right blood", "right trabecula")
# Tissue that breathing moves little.
SIGNAL_FREE = ("air", "lung", "bone")
MOBILITY_STEP = 4
# What one step of the stored factors means.
DENSITY_STEP, T1_STEP, T1_ZERO = 1.0 / 100.0, 1.0 / 400.0, 128
KINDS = ("parametric", "labelled", "shapes")


@dataclass(frozen=True)
class IrwBank(Bank):
    """Slices on a grid of SIZE x SIZE pixels of SPACING_MM, the LV's centre in its middle.

    Attributes:
        tissue: uint8 (slice, 2, row, column), the two tissues with the largest shares, numbered as TISSUES.
        share: uint8 (slice, row, column), share of the first of them; 255 is all.
        density: uint8 (slice, row, column), local factor of the proton density in DENSITY_STEP.
        t1_factor: uint8 (slice, row, column), local factor of T1, less 1, in T1_STEP from T1_ZERO on.
        heart: uint8 (slice, row, column), 255 in the ventricles and the LV's wall and up to 4 mm around.
        mobility: uint8 (slice, row, column) on every fourth pixel, how far the tissue follows the breathing.
        kind: int (slice,), index into KINDS.
        subjects: subject of each slice.
        split: what the slices may be used for.
    """

    tissue: np.ndarray
    share: np.ndarray
    density: np.ndarray
    t1_factor: np.ndarray
    heart: np.ndarray
    mobility: np.ndarray
    kind: np.ndarray
    subjects: tuple[str, ...]
    split: str

    def __len__(self) -> int:
        return len(self.kind)


def _packed(anatomy: SliceAnatomy) -> dict[str, np.ndarray]:
    """The arrays of one slice of the bank."""
    number = np.array([NAMES.index(name) for name in anatomy.tissues], dtype=np.uint8)
    order = np.argpartition(-anatomy.fractions, 1, axis=0)[:2]
    shares = np.take_along_axis(anatomy.fractions, order, axis=0)
    first = shares[0] / np.maximum(shares.sum(axis=0), 1e-6)
    heart = anatomy.fractions[[name in HEART for name in anatomy.tissues]].sum(axis=0) > 0.5
    heart &= anatomy.landmarks is not None
    grown = ndimage.distance_transform_edt(~heart) * SPACING_MM if heart.any() else np.full(heart.shape, np.inf)
    # One pixel of a ramp, so that the edge keeps its place when it is sampled.
    near = np.clip(0.5 + (HEART_GROWN_MM - grown) / SPACING_MM, 0.0, 1.0)
    return {
        "tissue": number[order],
        "share": np.rint(first * 255.0).astype(np.uint8),
        "density": np.clip(np.rint(anatomy.density / DENSITY_STEP), 0, 255).astype(np.uint8),
        "t1_factor": np.clip(np.rint((anatomy.t1_factor - 1.0) / T1_STEP) + T1_ZERO, 0, 255).astype(np.uint8),
        "heart": np.rint(near * 255.0).astype(np.uint8),
        "mobility": np.rint(mobility_of(anatomy, SPACING_MM)[::MOBILITY_STEP, ::MOBILITY_STEP] * 255.0).astype(
            np.uint8
        ),
    }


def _centered(anatomy: SliceAnatomy) -> SliceAnatomy:
    """The slice with the LV's centre in the middle of SIZE x SIZE pixels; air around it."""
    if anatomy.landmarks is None:
        raise InputError("A slice without a heart cannot be centred on it.")
    top, left = (round(at - (SIZE - 1) / 2.0) for at in anatomy.landmarks.lv_center)

    def moved(values: np.ndarray, outside: float) -> np.ndarray:
        result = np.full((*values.shape[:-2], SIZE, SIZE), outside, dtype=values.dtype)
        rows, columns = values.shape[-2:]
        r0, r1, c0, c1 = max(top, 0), min(top + SIZE, rows), max(left, 0), min(left + SIZE, columns)
        result[..., r0 - top : r1 - top, c0 - left : c1 - left] = values[..., r0:r1, c0:c1]
        return result

    fractions = moved(anatomy.fractions, 0.0)
    fractions[anatomy.tissues.index("air")] += 1.0 - fractions.sum(axis=0)
    return SliceAnatomy(
        anatomy.tissues, fractions, moved(anatomy.density, 1.0), moved(anatomy.t1_factor, 1.0), anatomy.landmarks
    )


def parametric_slice(seed: int) -> SliceAnatomy:
    """One level of the parametric anatomy with this seed, on the bank's grid."""
    anatomy = ParametricAnatomy.random(seed)
    level = LEVELS[seed % len(LEVELS)]
    return _centered(anatomy.slice(level, anatomy.field_of_view(SPACING_MM), SPACING_MM))


def labelled_slices(image: Path) -> Iterator[SliceAnatomy]:
    """Every slice of a labelled stack that shows the LV's wall and cavity, on the bank's grid."""
    pixels, _ = read_image(image)
    labels, _ = read_image(labels_beside(image))
    for image_slice, label in zip(pixels, labels.astype(np.uint8), strict=True):
        if np.sum(label == MYOCARDIUM) < 40 or np.sum(label == LEFT_VENTRICLE) < 20:
            continue
        anatomy = LabelledAnatomy(image_slice[None], label[None])
        yield _centered(anatomy.slice("mid", anatomy.field_of_view(SPACING_MM), SPACING_MM))


def shape_slice(seed: int) -> SliceAnatomy:
    """Random shapes instead of a body: smooth regions, ellipses or tubes, each of a tissue's number without meaning."""
    rng = np.random.default_rng([seed, 77])
    shape = (SIZE, SIZE)
    row, column = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2.0
    count = len(NAMES)
    fine = [smooth_field(rng, shape, rng.uniform(4.0, 20.0)) for _ in range(int(rng.integers(3, 8)))]
    regions = rng.permutation(count)[np.argmax(fine, axis=0)] if rng.random() < 0.7 else np.zeros(shape, dtype=int)
    tubes = rng.random() < 0.3
    # From small tubes to the bottles beside a phantom.
    radius = rng.uniform(8.0, 14.0) if tubes else np.exp(rng.uniform(np.log(6.0), np.log(50.0)))
    for number in range(int(rng.integers(4, 16))):
        r0, c0 = rng.normal(0.0, 55.0, 2)
        if tubes:
            r0, c0 = (number // 3 - 1) * 2.6 * radius, (number % 3 - 1) * 2.6 * radius
        a, b = (radius, radius) if tubes else radius * rng.uniform(0.5, 1.6, 2)
        turn = rng.uniform(0.0, np.pi)
        u = (column - c0) * np.cos(turn) + (row - r0) * np.sin(turn)
        v = (row - r0) * np.cos(turn) - (column - c0) * np.sin(turn)
        distance = np.hypot(u / a, v / b)
        tissue = int(rng.integers(1, count))
        regions[distance < 1.0] = tissue
        if rng.random() < 0.4:
            regions[distance < rng.uniform(0.4, 0.85)] = int(rng.integers(1, count))
    outline = np.hypot(row / rng.uniform(70.0, 120.0), column / rng.uniform(80.0, 130.0)) + 0.08 * fine[0]
    regions[outline > 1.0] = 0
    fractions = np.stack([ndimage.gaussian_filter((regions == i).astype(np.float32), 0.5) for i in range(count)])
    fractions /= fractions.sum(axis=0)
    grain = rng.uniform(0.02, 0.12)
    density = 1.0 + grain * (smooth_field(rng, shape, 1.4) + smooth_field(rng, shape, 10.0))
    return SliceAnatomy(
        NAMES,
        fractions,
        np.clip(density, 0.2, 2.0).astype(np.float32),
        np.ones(shape, dtype=np.float32),
        None,
    )


def make_bank(
    seeds: Iterable[int],
    acdc: Path | str | None = None,
    split: str = "training",
    *,
    shapes: int | None = None,
) -> IrwBank:
    """Render anatomies into a bank.

    Args:
        seeds: of parametric anatomies, one slice each.
        acdc: folder of labelled short-axis images; every slice of the patients of this split is taken.
        split: "training" or "validation".
        shapes: slices of random shapes; by default a fifth as many as seeds.

    Raises:
        InputError: a seed of another split, an unknown split, a folder without patients of the split, or nothing to
            put into the bank.
    """
    seeds = list(seeds)
    if split not in SPLITS[:2]:
        raise InputError(f"There is no bank for '{split}'; use training or validation.")
    foreign = [seed for seed in seeds if split_of_seed(seed) != split]
    if foreign:
        raise InputError(f"The seed {foreign[0]} belongs to the {split_of_seed(foreign[0])} anatomies, not {split}.")
    slices: list[dict[str, np.ndarray]] = []
    kinds: list[int] = []
    subjects: list[str] = []

    def add(anatomy: SliceAnatomy, kind: str, subject: str) -> None:
        slices.append(_packed(anatomy))
        kinds.append(KINDS.index(kind))
        subjects.append(subject)

    for seed in seeds:
        add(parametric_slice(seed), "parametric", f"SIM{seed}")
    for image in images_of_split(acdc, split) if acdc is not None else []:
        for anatomy in labelled_slices(image):
            add(anatomy, "labelled", subject_of(image))
    first = seeds[0] if seeds else 0
    for number in range(len(seeds) // 5 if shapes is None else shapes):
        add(shape_slice(first + number), "shapes", f"SHAPES{first + number}")
    if not slices:
        raise InputError("There is nothing to put into the bank; give seeds, or a folder with labelled images.")
    stacked = {name: np.stack([arrays[name] for arrays in slices]) for name in slices[0]}
    return IrwBank(**stacked, kind=np.array(kinds), subjects=tuple(subjects), split=split)
