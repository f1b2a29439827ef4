"""Fits of the same images, which many tests of nodes and panels begin with, computed once for a file of tests."""

import hashlib
from dataclasses import fields, replace

import numpy as np
import pytest

from CMRT1MappingLib.fit import reconstruction
from CMRT1MappingLib.motion import judgement


def _key(value):
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype.str, hashlib.sha256(value.tobytes()).hexdigest()
    return repr(value)


def _copy(maps):
    arrays = {field.name: getattr(maps, field.name) for field in fields(maps)}
    return replace(maps, **{name: value.copy() for name, value in arrays.items() if isinstance(value, np.ndarray)})


@pytest.fixture(scope="module")
def remembered_fits():
    """`fit_stack` that fits nothing twice; it reports the progress again, and whoever computes is asked for again."""
    fit, known = reconstruction.fit_stack, {}

    def fit_stack(magnitude, times, phase, scheme, options, device, floor, progress=None):
        key = tuple(map(_key, (magnitude, times, phase, scheme, options, device, floor)))
        if key not in known:
            told = []

            def note(fraction):
                told.append(fraction)
                if progress is not None:
                    progress(fraction)

            known[key] = fit(magnitude, times, phase, scheme, options, device, floor, note), told
            return _copy(known[key][0])
        reconstruction.resolve_device(device)
        maps, told = known[key]
        for fraction in told if progress is not None else ():
            progress(fraction)
        return _copy(maps)

    with pytest.MonkeyPatch.context() as patch:
        for module in (reconstruction, judgement):
            patch.setattr(module, "fit_stack", fit_stack)
        yield
