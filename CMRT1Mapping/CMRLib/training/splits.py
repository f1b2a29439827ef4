"""Which simulated and which real subjects train, validate and test; shared by every network of the extension."""

from __future__ import annotations

import re
from pathlib import Path

SPLITS = ("training", "validation", "test")
# Anatomies with these seeds train; those from TEST_SEED on are only ever tested.
VALIDATION_SEED = 800_000
TEST_SEED = 900_000


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


def split_of_seed(seed: int) -> str:
    """ "test", "validation" or "training", by the seed of a simulated anatomy."""
    if seed >= TEST_SEED:
        return "test"
    return "validation" if seed >= VALIDATION_SEED else "training"
