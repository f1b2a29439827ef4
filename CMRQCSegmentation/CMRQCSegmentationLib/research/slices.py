"""Labelled slices as they are in their files, or as the simulator makes them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from CMRLib.anatomy.axis import LEVELS
from CMRLib.errors import InputError
from CMRLib.simulation.anatomy import ParametricAnatomy, SliceAnatomy
from CMRLib.simulation.contrasts import CONTRASTS, ContrastError, render_contrast, tissue_labels
from CMRLib.simulation.labelled_anatomy import LabelledAnatomy
from CMRLib.simulation.lesions import random_lesion
from CMRLib.training.labelled_folders import ACDC, EMIDEC, read_labelled_folder
from CMRLib.training.splits import images_of_split, subject_of

DATA_SETS = {data_set.name: data_set for data_set in (ACDC, EMIDEC)}
EMIDEC_LESIONS = (3, 4)  # its labels of infarct and no-reflow
SPACINGS = "spacing.csv"
LESION_CHANCE = 0.55  # share of the simulated hearts with a scar
LESION_FEWEST_MM2 = 30.0  # below which a heart counts as healthy


@dataclass(frozen=True)
class LabelledSlice:
    """A slice with its labels.

    Attributes:
        image: float32 (row, column).
        labels: uint8 (row, column): 1 RV cavity, 2 LV myocardium, 3 LV cavity, 0 anything else.
        spacing: (row, column) in mm; only its ratio matters.
        subject, contrast: who and what.
        stack: the slices that belong together share it.
        scarred: whether the labels or the simulation show a scar.
    """

    image: np.ndarray
    labels: np.ndarray
    spacing: tuple[float, float]
    subject: str
    contrast: str
    stack: str
    scarred: bool = False


def read_data_set(folder: Path | str, name: str, split: str | None = None) -> Iterator[LabelledSlice]:
    """All slices of a folder in the layout of "acdc" or "emidec", labelled or not.

    True spacings are taken from ``spacing.csv`` in the folder (image, row_mm, column_mm) where it is, else from the
    headers.

    Args:
        folder: of the files.
        name: of the data set.
        split: whose subjects' slices; None for all.

    Raises:
        InputError: no pair of image and labels in the folder, or a pair that does not match.
    """
    spacings = read_spacings(Path(folder) / SPACINGS)
    for stack in read_labelled_folder(folder, DATA_SETS[name], split):
        spacing = spacings.get(stack.name.partition(".")[0], (stack.geometry.spacing[1], stack.geometry.spacing[0]))
        for image, labels, values in zip(stack.images, stack.labels, stack.values, strict=True):
            scarred = name == EMIDEC.name and bool(np.isin(values, EMIDEC_LESIONS).any())
            yield LabelledSlice(image, labels, spacing, stack.subject, name, stack.name, scarred)


def read_spacings(path: Path) -> dict[str, tuple[float, float]]:
    """(row, column) spacing in mm by image name; empty where there is no such file.

    Raises:
        InputError: the file lacks a column or holds something that is no number.
    """
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return {row["image"]: (float(row["row_mm"]), float(row["column_mm"])) for row in csv.DictReader(file)}
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} needs the columns image, row_mm and column_mm, all numbers.") from error


def simulated_slices(
    seeds: Iterable[int], contrasts: Sequence[str] = CONTRASTS, per_seed: int | None = None
) -> Iterator[LabelledSlice]:
    """Images of the parametric bodies with these seeds, one level a seed in turn.

    Args:
        seeds: of the bodies.
        contrasts: to render.
        per_seed: how many of them, drawn for each body; None for all.

    Raises:
        ContrastError: unknown contrast.
    """
    _check(contrasts)
    for seed in seeds:
        rng = np.random.default_rng([seed, 7])
        spacing = float(rng.uniform(0.9, 1.6))
        anatomy = ParametricAnatomy.random(seed)
        body = anatomy.slice(LEVELS[seed % len(LEVELS)], anatomy.field_of_view(spacing), spacing)
        yield from _rendered(body, spacing, f"SIM{seed}", f"SIM{seed}", contrasts, per_seed, rng)


def rendered_slices(
    folder: Path | str,
    split: str,
    contrasts: Sequence[str] = CONTRASTS,
    per_slice: int = 1,
    every: int = 1,
    seed: int = 0,
) -> Iterator[LabelledSlice]:
    """Contrasts rendered from the labelled hearts of a folder in ACDC's layout.

    Args:
        folder: of images and labels.
        split: whose hearts.
        contrasts: to draw from.
        per_slice: how many of each slice.
        every: take every so many slices.
        seed: of spacings, contrasts and noise.

    Raises:
        ContrastError: unknown contrast.
        InputError: no pair of image and labels in the folder, or a pair that does not match.
    """
    _check(contrasts)
    spacings = read_spacings(Path(folder) / SPACINGS)
    for number, path in enumerate(images_of_split(folder, split)):
        name = path.name.partition(".")[0]
        source = LabelledAnatomy.from_files(path, spacing_mm=spacings[name][0] if name in spacings else None)
        for k in source.levels()[number % every :: every]:
            rng = np.random.default_rng([seed, number, int(k)])
            spacing = float(rng.uniform(0.9, 1.6))
            body = source.numbered(int(k), source.field_of_view(spacing), spacing)
            yield from _rendered(body, spacing, subject_of(path), f"{name} {k}", contrasts, per_slice, rng)


def _check(contrasts: Sequence[str]) -> None:
    unknown = [c for c in contrasts if c not in CONTRASTS]
    if unknown:
        raise ContrastError(unknown[0])


def _rendered(
    body: SliceAnatomy,
    spacing: float,
    subject: str,
    stack: str,
    contrasts: Sequence[str],
    count: int | None,
    rng: np.random.Generator,
) -> Iterator[LabelledSlice]:
    """Images of one body in ``count`` contrasts (None for all), each with a scar of its own or none."""
    labels = tissue_labels(body)
    for contrast in rng.choice(contrasts, min(count or len(contrasts), len(contrasts)), replace=False).tolist():
        lesion = random_lesion(body, spacing, rng)
        if rng.random() > LESION_CHANCE:
            lesion = type(lesion)(lesion.pattern, lesion.scar * 0.0, lesion.no_reflow * 0.0)
        image = render_contrast(body, contrast, spacing, rng, lesion)
        scarred = contrast != "cine" and float(lesion.scar.sum()) * spacing**2 > LESION_FEWEST_MM2
        yield LabelledSlice(image, labels, (spacing, spacing), subject, contrast, f"{stack} {contrast}", scarred)
