"""Other ways to register rest and stress, which ``cmr-evaluate stress`` holds this repository's against."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from benchmark_motion import Elastix
from benchmark_peers import make_peers_environment

from CMRStressReactivityLib.registration import SPACING_MM
from CMRStressReactivityLib.research.evaluation import Method

WORKER = Path(__file__).with_name("benchmark_stress_peers.py")
NAMES = {"elastix": "elastix, B-spline", "greedy": "greedy"}


@contextmanager
def peer_methods(threads: int) -> Iterator[dict[str, Method]]:
    """The other software's rows of ``cmr-evaluate stress``; it runs as long as the ``with`` statement."""
    python = make_peers_environment()
    with ExitStack() as running:
        methods = {}
        for name, title in NAMES.items():
            peer = running.enter_context(Elastix(python, threads, WORKER, name))
            methods[title] = Method(_pairwise(peer), peer.settings(), slow=True)
        yield methods


def _pairwise(peer: Elastix):
    def register(fixed: np.ndarray, moving: np.ndarray) -> np.ndarray:
        return peer.groupwise(np.stack([fixed, moving]), SPACING_MM)

    return register
