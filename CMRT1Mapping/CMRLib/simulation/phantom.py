"""A simulated tube phantom of the kind used to check T1 mapping."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from CMRLib.errors import InputError
from CMRLib.geometry import Geometry
from CMRLib.simulation.acquisition import coil_sensitivity
from CMRLib.simulation.anatomy import SliceAnatomy
from CMRLib.simulation.canvas import Canvas, ellipse
from CMRLib.simulation.schedule import schedule
from CMRLib.simulation.signal import INVERSION_EFFICIENCY, SHMOLLI_READOUT, Readout
from CMRLib.simulation.study import SLICE_THICKNESS_MM, SimulatedStudy, simulate_acquisition, stream
from CMRLib.simulation.tissue import TissueValues

# Nominal: the range that T1 phantoms for the heart cover, blood and myocardium, native and after contrast.
TUBE_T1_MS = (300.0, 450.0, 600.0, 800.0, 1000.0, 1200.0, 1400.0, 1700.0, 2200.0)
TUBE_T2_MS = (45.0, 150.0, 48.0, 50.0, 50.0, 50.0, 50.0, 240.0, 240.0)
TUBE_RADIUS_MM = 11.0
TUBE_DISTANCE_MM = 30.0
GEL_T1_MS, GEL_T2_MS = 850.0, 60.0


def simulate_phantom(
    seed: int = 0,
    *,
    t1_ms: Sequence[float] = TUBE_T1_MS,
    t2_ms: Sequence[float] = TUBE_T2_MS,
    field_strength: float = 1.5,
    scheme: str = "shmolli",
    snr: float = 50.0,
    rr_ms: float = 1000.0,
    shape: tuple[int, int] = (288, 384),
    spacing_mm: float = 0.9375,
    acquired_spacing_mm: float = 1.875,
    shading: float = 1.0,
    readout: Readout = SHMOLLI_READOUT,
    inversion_efficiency: float = INVERSION_EFFICIENCY,
) -> SimulatedStudy:
    """Simulate nine tubes, three by three and numbered row by row, in a box of gel, in one axial slice.

    Args:
        seed: of noise and shading.
        t1_ms, t2_ms: of the nine tubes.
        snr: mean signal of the fully relaxed tubes over the standard deviation of the noise in one channel.

    The other arguments are those of `CMRLib.simulation.study.simulate_study`.

    Returns:
        A study of one acquisition. In its truth, the labels are the tubes' numbers 1 to 9 and there are no landmarks.

    Raises:
        InputError: not nine tubes, or an argument out of its range.
    """
    if len(t1_ms) != 9 or len(t2_ms) != 9:
        raise InputError("The phantom has nine tubes; give nine T1 and nine T2 values.")
    tubes = tuple(f"tube {number}" for number in range(1, 10))
    names = ("air", "gel", *tubes)
    canvas = Canvas(shape, spacing_mm, names)
    canvas.fill((0.0, 0.0), [(ellipse(52.0, 52.0, exponent=8.0), "gel")])
    for number, tube in enumerate(tubes):
        x, y = ((number % 3) - 1) * TUBE_DISTANCE_MM, ((number // 3) - 1) * TUBE_DISTANCE_MM
        canvas.fill((x, y), [(ellipse(TUBE_RADIUS_MM, TUBE_RADIUS_MM), tube)])
    values = TissueValues(
        t1_ms=np.array([1000.0, GEL_T1_MS, *t1_ms]),
        t2_ms=np.array([50.0, GEL_T2_MS, *t2_ms]),
        proton_density=np.array([0.0] + [0.9] * 10),
        fat=np.zeros(11, dtype=bool),
        replaced=np.zeros(11),
    )
    uniform = np.ones(shape, dtype=np.float32)
    acquisition = simulate_acquisition(
        SliceAnatomy(names, canvas.fractions(), uniform, uniform, None),
        values,
        Geometry(
            origin=(-(shape[1] - 1) / 2.0 * spacing_mm, -(shape[0] - 1) / 2.0 * spacing_mm, 0.0),
            spacing=(spacing_mm, spacing_mm, SLICE_THICKNESS_MM),
        ),
        schedule(scheme, rr_ms),
        reference=tubes,
        labels={name: number for number, name in enumerate(tubes, start=1)},
        field_strength=field_strength,
        snr=snr,
        sensitivity=coil_sensitivity(shape, spacing_mm, stream(seed, "coil"), shading),
        rng=stream(seed, "noise"),
        readout=readout,
        inversion_efficiency=inversion_efficiency,
        acquired_spacing_mm=acquired_spacing_mm,
    )
    return SimulatedStudy(f"PHANTOM{seed:04d}", seed, field_strength, readout, (acquisition,))
