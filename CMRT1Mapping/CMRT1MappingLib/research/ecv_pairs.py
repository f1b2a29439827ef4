"""Native and post-contrast acquisitions of one simulated slice with known ECV, between which the heart has moved."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from CMRLib.anatomy.aha import label_slice
from CMRLib.anatomy.axis import LEVELS
from CMRLib.errors import InputError
from CMRLib.geometry import Geometry
from CMRLib.simulation.acquisition import coil_sensitivity
from CMRLib.simulation.anatomy import LEVEL_POSITION_MM, ParametricAnatomy, SliceAnatomy
from CMRLib.simulation.breathing import mobility_of
from CMRLib.simulation.lesions import random_lesion
from CMRLib.simulation.motion import random_motion
from CMRLib.simulation.schedule import irregular_rr, schedule
from CMRLib.simulation.signal import SHMOLLI_READOUT, inversion_recovery_signals, relaxed_signal
from CMRLib.simulation.study import SimulatedAcquisition, short_axis_geometry, simulate_acquisition, stream
from CMRLib.simulation.tissue import BLOOD_RATE_CHANGE, MYOCARDIAL, TISSUES, TissueValues, tissue_values
from CMRLib.training.splits import TEST_SEED
from CMRT1MappingLib.fit.reconstruction import FitOptions, PixelFlag, T1Maps, fit_stack, reconstruct

SHAPE, SPACING_MM = (200, 216), 0.9375
# ECV of the myocardium and of a scar, from health (some 26 %) to amyloid; haematocrit of patients; signal to noise.
ECV_PERCENT, SCAR_PERCENT = (22.0, 45.0), (48.0, 65.0)
HEMATOCRIT = (0.30, 0.50)
SNR = (20.0, 45.0)
READINGS = 400  # of a tissue, for what the sequence reads on average
SCARRED = 0.4  # of the slices
# How far the heart lies elsewhere after contrast, as between rest and stress: a shift of the image, and what deforms.
SHIFT_MM = 4.2
SEVERITIES = {"mild": 0.2, "moderate": 0.5, "severe": 0.3}
BLOOD, MYOCARDIUM = 2, 1  # of `CMRLib.simulation.study.LABELS`


@dataclass(frozen=True)
class MeasuredT1:
    """A T1 map and its standard error in ms, float32 (row, column); 0 where there is none."""

    t1: np.ndarray
    error: np.ndarray


@dataclass(frozen=True)
class EcvPair:
    """One pair and its truth; arrays are (row, column) on the grid of the native map.

    Attributes:
        number: of the pair.
        level, field: slice and field strength in T.
        native: the map before contrast.
        post: the map after contrast, of the heart elsewhere.
        still: the map after contrast as it would be had nothing moved.
        displacement: float32 (2, row, column) in pixels; post at x + displacement(x) shows what native shows at x.
        percent: float32, the ECV that the tissue has; NaN outside the myocardium.
        read: float32, the ECV that T1 as the sequence reads it of pure tissue gives on average; NaN likewise.
        labels: uint8, 1 LV myocardium, 2 LV cavity with its papillary muscles, 0 or more elsewhere.
        segments: uint8, AHA segments of the myocardium.
        hematocrit: of the blood.
        geometry: of all maps.
    """

    number: int
    level: str
    field: float
    native: MeasuredT1
    post: MeasuredT1
    still: MeasuredT1
    displacement: np.ndarray
    percent: np.ndarray
    read: np.ndarray
    labels: np.ndarray
    segments: np.ndarray
    hematocrit: float
    geometry: Geometry

    @property
    def myocardium(self) -> np.ndarray:
        """Where the native map shows myocardium, bool."""
        return self.labels == MYOCARDIUM


def simulated_pair(number: int, first_seed: int = TEST_SEED) -> EcvPair:
    """Pair ``number``; the same number and first seed give the same pair.

    Args:
        number: from 0.
        first_seed: of the anatomies; the default is that of anatomies that nothing is chosen on.
    """
    seed, level = first_seed + number, LEVELS[number % len(LEVELS)]
    rng = stream(seed, "ecv")
    body = ParametricAnatomy.random(seed).slice(level, SHAPE, SPACING_MM)
    landmarks = body.landmarks
    if landmarks is None:
        raise InputError(f"The anatomy {seed} shows no heart; choose another number.")
    field, hematocrit = float(rng.choice([1.5, 3.0])), float(rng.uniform(*HEMATOCRIT))
    scar = random_lesion(body, SPACING_MM, rng).scar if rng.random() < SCARRED else np.zeros(SHAPE, np.float32)
    body = _with_scar(body, scar)
    muscle_percent, scar_percent = float(rng.uniform(*ECV_PERCENT)), float(rng.uniform(*SCAR_PERCENT))
    native, post = _tissues(body, field, (muscle_percent, scar_percent), hematocrit, seed)
    displacement = _displacement(body, rng)
    geometry = short_axis_geometry(seed, SHAPE, SPACING_MM, LEVEL_POSITION_MM[level])
    rr_ms, snr = float(rng.uniform(700.0, 1100.0)), float(rng.uniform(*SNR))

    def acquired(values: TissueValues, moved: np.ndarray | None, purpose: str) -> SimulatedAcquisition:
        plan = schedule("shmolli", irregular_rr(rr_ms, 0.03, stream(seed, "rhythm", purpose)))
        return simulate_acquisition(
            body,
            values,
            geometry,
            plan,
            reference=("myocardium", "scar"),
            field_strength=field,
            snr=snr,
            sensitivity=coil_sensitivity(SHAPE, SPACING_MM, stream(seed, "coil")),
            rng=stream(seed, "noise", purpose),
            displacement=None if moved is None else np.repeat(moved[None], len(plan.inversion_times_ms), axis=0),
        )

    before = acquired(native, None, "native")
    shares = {name: body.fractions[body.tissues.index(name)] for name in ("myocardium", "scar")}
    wall = shares["myocardium"] + shares["scar"]
    labels = before.truth.labels.copy()
    labels[(wall > 0.5) & (labels == 0)] = MYOCARDIUM  # where scar is most of the pixel

    def mixed(muscle: float, of_scar: float) -> np.ndarray:
        mean = (shares["myocardium"] * muscle + shares["scar"] * of_scar) / np.maximum(wall, 1e-3)
        return np.where(labels == MYOCARDIUM, mean, np.nan).astype(np.float32)

    return EcvPair(
        number=number,
        level=level,
        field=field,
        native=_mapped(before),
        post=_mapped(acquired(post, displacement, "post")),
        still=_mapped(acquired(post, None, "post")),
        displacement=displacement,
        percent=mixed(muscle_percent, scar_percent),
        read=mixed(*_read(body, (native, post), rr_ms, snr, hematocrit, stream(seed, "readings"))),
        labels=labels,
        segments=label_slice(labels == MYOCARDIUM, landmarks, level, geometry),
        hematocrit=hematocrit,
        geometry=geometry,
    )


def _with_scar(body: SliceAnatomy, scar: np.ndarray) -> SliceAnatomy:
    """The slice with scar as one more tissue."""
    muscle = body.tissues.index("myocardium")
    fractions = np.concatenate([body.fractions, np.minimum(scar, body.fractions[muscle])[None]])
    fractions[muscle] -= fractions[-1]
    return replace(body, tissues=(*body.tissues, "scar"), fractions=fractions)


def _tissues(
    body: SliceAnatomy, field: float, percent: tuple[float, float], hematocrit: float, seed: int
) -> tuple[TissueValues, TissueValues]:
    """Values before and after contrast, muscle and scar with these ECV."""
    names = body.tissues[:-1]
    native = tissue_values(names, field, "rest", stream(seed, "tissue"))
    muscle = names.index("myocardium")

    def with_scar(values: np.ndarray, last: float) -> np.ndarray:
        return np.append(values, np.asarray(last, dtype=values.dtype))

    native = TissueValues(
        t1_ms=with_scar(native.t1_ms, 1.1 * native.t1_ms[muscle]),
        t2_ms=with_scar(native.t2_ms, native.t2_ms[muscle]),
        proton_density=with_scar(native.proton_density, native.proton_density[muscle]),
        fat=with_scar(native.fat, False),
        replaced=with_scar(native.replaced, native.replaced[muscle]),
    )
    partition = np.array([TISSUES[name].partition for name in names] + [percent[1] / 100.0 / (1.0 - hematocrit)])
    partition[np.isin(body.tissues, MYOCARDIAL)] = percent[0] / 100.0 / (1.0 - hematocrit)
    return native, replace(native, t1_ms=1.0 / (1.0 / native.t1_ms + partition * BLOOD_RATE_CHANGE))


def _read(
    body: SliceAnatomy,
    states: tuple[TissueValues, TissueValues],
    rr_ms: float,
    snr: float,
    hematocrit: float,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """ECV in percent of muscle and of scar by T1 as the sequence reads it of each tissue alone at the pair's noise."""
    chosen = [body.tissues.index(name) for name in ("myocardium", "scar", "left blood")]
    plan = schedule("shmolli", irregular_rr(rr_ms, 0.0, rng))
    times = np.asarray(plan.inversion_times_ms, dtype=np.float32)
    rates = []
    for values in states:
        t1, t2, replaced, density = (
            part[chosen] for part in (values.t1_ms, values.t2_ms, values.replaced, values.proton_density)
        )
        relaxed = density * relaxed_signal(t1, t2, SHMOLLI_READOUT)
        signals = density * inversion_recovery_signals(t1, t2, plan, replaced=replaced)
        noise = rng.standard_normal((2, *signals.shape, READINGS)) * relaxed[0] / snr
        received = signals[..., None] + noise[0] + 1j * noise[1]
        magnitude, phase = np.abs(received).astype(np.float32), np.angle(received).astype(np.float32)
        maps = fit_stack(magnitude, times, phase, "shmolli", FitOptions(), "cpu", floor=0.0)
        # ECV is averaged over muscle, T1 over blood.
        rates.append([*np.mean(1.0 / maps.t1[:2], axis=1), 1.0 / np.mean(maps.t1[2])])
    muscle, scar, blood = np.subtract(rates[1], rates[0]).tolist()
    factor = 100.0 * (1.0 - hematocrit) / blood
    return factor * muscle, factor * scar


def _displacement(body: SliceAnatomy, rng: np.random.Generator) -> np.ndarray:
    """Where the native slice's tissue lies after contrast, float32 (2, row, column) in pixels."""
    import torch

    assert body.landmarks is not None
    severity = str(rng.choice(list(SEVERITIES), p=list(SEVERITIES.values())))
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    mobility = torch.from_numpy(mobility_of(body, SPACING_MM))
    # Of two frames with no mean displacement, the second one.
    moved = random_motion(2, SHAPE, SPACING_MM, severity, generator, body.landmarks.lv_center, mobility)[1].numpy()
    shift = SHIFT_MM * np.clip(rng.standard_normal(2), -2.5, 2.5) / SPACING_MM
    result: np.ndarray = (moved + shift[:, None, None]).astype(np.float32)
    return result


def _mapped(acquisition: SimulatedAcquisition) -> MeasuredT1:
    maps: T1Maps = reconstruct(acquisition.images, acquisition.inversion_times_ms, acquisition.phase, device="cpu")
    there = (maps.samples > 0) & (maps.flags & PixelFlag.NO_SIGNAL == 0)
    return MeasuredT1(np.where(there, maps.t1, 0.0), np.where(there, maps.t1_error, 0.0))
