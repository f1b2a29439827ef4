"""A small bank of scenes for the tests of stress reactivity."""

from functools import cache

from CMRStressReactivityLib.research.scenes import FIRST_SEED, make_scenes


@cache
def small_bank():
    """Three simulated slices."""
    return make_scenes(range(FIRST_SEED, FIRST_SEED + 3), None, "training")
