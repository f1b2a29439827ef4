"""Which simulated and which real subjects train, validate and test; shared by every network of the extension."""

from __future__ import annotations

import re
from pathlib import Path

from CMRLib.errors import InputError
from CMRLib.simulation.labelled_anatomy import labelled_images

SPLITS = ("training", "validation", "test")
# Anatomies with these seeds train; those from TEST_SEED on are only ever tested.
VALIDATION_SEED = 800_000
TEST_SEED = 900_000
_FIRST_SEEDS = {"training": 0, "validation": VALIDATION_SEED, "test": TEST_SEED}


def subject_of(path: Path) -> str:
    """The subject that a file belongs to: its name up to the first underscore that follows a number."""
    match = re.match(r"(.*?\d+)(?:_|\.|$)", path.name)
    return match.group(1) if match else path.name.partition(".")[0]


def split_of(subject: str) -> str:
    """ "test", "validation" or "training", fixed by the subject's number.

    Test is every number divisible by 5 and is never used to choose anything; validation is every number that ends in 1.
    """
    digits = re.findall(r"\d+", subject)
    number = int(digits[-1]) if digits else 1
    if number % 5 == 0:
        return "test"
    return "validation" if number % 10 == 1 else "training"


def images_of_split(folder: Path | str, split: str) -> list[Path]:
    """The images with labels beside them, of a folder's subjects in a split, sorted by name.

    Raises:
        InputError: the folder holds no labelled image, or none of that split.
    """
    images = [path for path in labelled_images(folder) if split_of(subject_of(path)) == split]
    if not images:
        raise InputError(f"{folder} holds no {split} subject (numbers ending in 1 validate, in 0 or 5 test).")
    return images


def split_of_seed(seed: int) -> str:
    """ "test", "validation" or "training", by the seed of a simulated anatomy."""
    if seed >= TEST_SEED:
        return "test"
    return "validation" if seed >= VALIDATION_SEED else "training"


def seeds_of_split(split: str, count: int, skip: int = 0) -> range:
    """Seeds of simulated anatomies of a split.

    Args:
        split: one of `SPLITS`.
        count: how many.
        skip: how many to leave out before them.

    Raises:
        InputError: the split has fewer.
    """
    first = _FIRST_SEEDS[split] + skip
    if count and split_of_seed(first + count - 1) != split:
        raise InputError(f"There are no {count} anatomies for {split}; ask for fewer.")
    return range(first, first + count)
