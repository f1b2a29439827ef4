"""A simulated study: several inversion recovery acquisitions of one anatomy, with the truth behind them."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from CMRLib.anatomy.landmarks import SliceLandmarks
from CMRLib.errors import InputError
from CMRLib.geometry import Geometry
from CMRLib.simulation.acquisition import acquire, coil_sensitivity, magnetisation_images, moved
from CMRLib.simulation.anatomy import LEVEL_POSITION_MM, Anatomy, ParametricAnatomy, SliceAnatomy
from CMRLib.simulation.schedule import Schedule, irregular_rr, schedule
from CMRLib.simulation.signal import INVERSION_EFFICIENCY, SHMOLLI_READOUT, Readout, relaxed_signal
from CMRLib.simulation.tissue import STATES, TissueValues, tissue_values

SLICE_THICKNESS_MM = 8.0
# Seconds from the start of the study to the first acquisition of each state, and its heart beats' length relative to
# rest (adenosine raises the heart rate by about a third); nominal.
STATE_START_S = {"rest": 0.0, "stress": 900.0, "post": 2700.0}
STATE_RR_FACTOR = {"rest": 1.0, "stress": 0.75, "post": 1.0}
SECONDS_BETWEEN_SLICES = 45.0
LABELS = {"myocardium": 1, "left blood": 2, "papillary muscle": 2, "right blood": 3, "right trabecula": 3}


@dataclass(frozen=True)
class Truth:
    """What the reconstruction of an acquisition should find; maps are (row, column).

    Attributes:
        t1: float32 ms, T1 of the tissue that gives the largest share of the pixel; 0 in air.
        labels: uint8, 1 LV myocardium, 2 LV cavity and 3 RV cavity (papillary muscles and
            trabeculae included, as in ACDC's contours), 0 anything else.
        myocardium: float32, share of the pixel that is LV myocardium.
        landmarks: LV centre and RV insertion points, (row, column); None where there is no heart.
        displacement: float32 (frame, 2, row, column), where each frame shows what the maps above have at a pixel:
            (row, column) shift in pixels, zero mean over the frames; None where nothing moves.
    """

    t1: np.ndarray
    labels: np.ndarray
    myocardium: np.ndarray
    landmarks: SliceLandmarks | None
    displacement: np.ndarray | None = None


@dataclass(frozen=True)
class SimulatedAcquisition:
    """One scheme run on one slice.

    Attributes:
        state: "rest", "stress" or "post".
        slice: "basal", "mid" or "apical".
        schedule: times of inversions and images.
        images: float32 (frame, row, column), magnitude, arbitrary units.
        phase: float32 (frame, row, column), radians in [-pi, pi); a pixel's phase turns by pi where its signal's sign
            changes.
        geometry: placement of the slice.
        noise_sd: standard deviation of the noise in each channel, in the images' units.
        start_s: start of the acquisition after that of the study.
        truth: what is really there.
    """

    state: str
    slice: str
    schedule: Schedule
    images: np.ndarray
    phase: np.ndarray
    geometry: Geometry
    noise_sd: float
    start_s: float
    truth: Truth

    @property
    def scheme(self) -> str:
        """ "shmolli", "molli" or "look-locker"."""
        return self.schedule.scheme

    @property
    def inversion_times_ms(self) -> tuple[float, ...]:
        """Inversion times in frame order, which is the order of acquisition."""
        return self.schedule.inversion_times_ms


@dataclass(frozen=True)
class SimulatedStudy:
    """All acquisitions of one simulated subject.

    Attributes:
        id: "SIM" and the seed.
        seed: what the study was made from.
        field_strength: tesla.
        readout: of every image.
        acquisitions: by state and, within it, from base to apex.
    """

    id: str
    seed: int
    field_strength: float
    readout: Readout
    acquisitions: tuple[SimulatedAcquisition, ...]


def stream(seed: int, *purpose: str) -> np.random.Generator:
    """A random generator for one purpose, independent of what else is simulated from the same seed.

    Raises:
        InputError: the seed is not a whole number, 0 or more.
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise InputError("The seed of a simulation must be a whole number, 0 or more.")
    return np.random.default_rng([seed, *(zlib.crc32(word.encode()) for word in purpose)])


def short_axis_geometry(seed: int, shape: tuple[int, int], spacing_mm: float, position_mm: float = 0.0) -> Geometry:
    """A plausible short-axis plane, ``position_mm`` from the base towards the apex.

    The apex points to the left, the front and the feet. On display the slice is seen from the apex: columns grow
    towards the patient's left and back, rows towards the feet and the back.
    """
    rng = stream(seed, "plane")
    apex = np.array([0.68, -0.52, -0.52]) + rng.normal(0.0, 0.06, 3)
    apex /= np.linalg.norm(apex)
    i = np.array([0.72, 0.69, 0.08]) + rng.normal(0.0, 0.05, 3)
    i -= apex * (i @ apex)
    i /= np.linalg.norm(i)
    k = -apex
    j = np.cross(k, i)
    center = np.array([-25.0, -40.0, 15.0]) + rng.normal(0.0, 8.0, 3) + apex * position_mm
    origin = center - spacing_mm * ((shape[1] - 1) / 2.0 * i + (shape[0] - 1) / 2.0 * j)
    return Geometry(
        origin=(float(origin[0]), float(origin[1]), float(origin[2])),
        spacing=(spacing_mm, spacing_mm, SLICE_THICKNESS_MM),
        direction=tuple(float(v) for v in np.column_stack([i, j, k]).ravel()),
    )


def _motion(anatomy: SliceAnatomy, severity: str, frames: int, spacing_mm: float, seed: int) -> np.ndarray | None:
    """A random displacement as in `Truth`; None for the severity "none"."""
    import torch

    from CMRLib.simulation.breathing import mobility_of
    from CMRLib.simulation.motion import random_motion

    if severity == "none":
        return None
    center = None if anatomy.landmarks is None else anatomy.landmarks.lv_center
    mobility = torch.from_numpy(mobility_of(anatomy, spacing_mm))
    generator = torch.Generator().manual_seed(seed)
    motion = random_motion(frames, anatomy.density.shape, spacing_mm, severity, generator, center, mobility)
    displacement: np.ndarray = motion.numpy()
    return displacement


def _truth(
    anatomy: SliceAnatomy, values: TissueValues, labels: Mapping[str, int], displacement: np.ndarray | None
) -> Truth:
    dominant = np.argmax(anatomy.fractions, axis=0)
    t1 = np.where(values.proton_density > 0, values.t1_ms, 0.0)[dominant] * anatomy.t1_factor
    label_of = np.array([labels.get(name, 0) for name in anatomy.tissues], dtype=np.uint8)
    myocardium = [name == "myocardium" for name in anatomy.tissues]
    return Truth(
        t1=t1.astype(np.float32),
        labels=label_of[dominant],
        myocardium=anatomy.fractions[myocardium].sum(axis=0),
        landmarks=anatomy.landmarks,
        displacement=displacement,
    )


def simulate_acquisition(
    anatomy: SliceAnatomy,
    values: TissueValues,
    geometry: Geometry,
    plan: Schedule,
    *,
    reference: Sequence[str] = ("myocardium",),
    labels: Mapping[str, int] = LABELS,
    field_strength: float = 1.5,
    snr: float = 25.0,
    sensitivity: np.ndarray,
    rng: np.random.Generator,
    readout: Readout = SHMOLLI_READOUT,
    inversion_efficiency: float = INVERSION_EFFICIENCY,
    acquired_spacing_mm: float = 1.875,
    displacement: np.ndarray | None = None,
) -> SimulatedAcquisition:
    """Run one scheme on one slice; see `simulate_study` for the meaning of the options.

    The state, position and start of the result are left at "rest", "mid" and 0.

    Args:
        anatomy: the slice.
        values: of its tissues.
        geometry: its placement.
        plan: times of inversions and images.
        reference: names of the tissues whose relaxed signal defines the SNR.
        labels: label of each tissue in the truth; 0 for the others.
        sensitivity: complex (row, column), of the receiver.
        rng: generator of the noise.
        displacement: where the anatomy is in each frame, see `Truth`; None where it stays.

    Raises:
        InputError: an argument out of its range, an image smaller than 16 pixels, or none of the reference's tissues.
    """
    if min(anatomy.density.shape) < 16:
        raise InputError("A simulated image must be at least 16 pixels high and wide.")
    if not snr > 0:
        raise InputError("The signal-to-noise ratio must be positive.")
    uniform = magnetisation_images(anatomy, values, plan, field_strength, readout, inversion_efficiency)
    if displacement is not None:
        uniform = moved(uniform, displacement)
    relaxed = values.proton_density * relaxed_signal(values.t1_ms, values.t2_ms, readout)
    chosen = np.isin(anatomy.tissues, list(reference))
    share = anatomy.fractions[chosen]
    if not share.any():
        raise InputError("The simulated slice shows no myocardium, so that no signal-to-noise ratio can be set.")
    strength = share * relaxed[chosen, None, None] * np.abs(sensitivity) * anatomy.density
    noise_sd = float(strength.sum() / share.sum()) / snr
    spacing = geometry.spacing[0]
    rows, columns = (max(2, min(n, 2 * round(n * spacing / acquired_spacing_mm / 2))) for n in anatomy.density.shape)
    received = acquire(uniform * sensitivity, (rows, columns), noise_sd, rng)
    return SimulatedAcquisition(
        state="rest",
        slice="mid",
        schedule=plan,
        images=np.abs(received).astype(np.float32),
        phase=np.angle(received).astype(np.float32),
        geometry=geometry,
        noise_sd=noise_sd,
        start_s=0.0,
        truth=_truth(anatomy, values, labels, displacement),
    )


def simulate_study(
    seed: int = 0,
    *,
    field_strength: float = 1.5,
    scheme: str = "shmolli",
    slices: Sequence[str] = ("basal", "mid", "apical"),
    states: Sequence[str] = ("rest",),
    snr: float = 25.0,
    rr_ms: float = 900.0,
    rr_variability: float = 0.0,
    shape: tuple[int, int] | None = None,
    spacing_mm: float = 0.9375,
    acquired_spacing_mm: float = 1.875,
    anatomy: Anatomy | None = None,
    shading: float = 1.0,
    readout: Readout = SHMOLLI_READOUT,
    inversion_efficiency: float = INVERSION_EFFICIENCY,
    motion: Mapping[str, str] | None = None,
) -> SimulatedStudy:
    """Simulate a subject; the same arguments give the same numbers.

    Args:
        seed: of everything random.
        field_strength: 1.5 or 3.0 (T).
        scheme: "shmolli", "molli" or a pattern such as "5(3s)3"; see `CMRLib.simulation.schedule.schedule`.
        slices: any of basal, mid, apical.
        states: any of rest, stress, post.
        snr: mean signal of the fully relaxed myocardium over the standard deviation of the noise in one channel.
        rr_ms: mean RR interval at rest; stress has 0.75 of it.
        rr_variability: standard deviation of the RR intervals as a fraction of the mean (arrhythmia).
        shape: rows and columns; by default the anatomy's own field of view.
        spacing_mm: pixel spacing of the images.
        acquired_spacing_mm: resolution of the measurement, from which the images are interpolated.
        anatomy: by default a parametric body drawn from the seed.
        shading: strength of the receive coils' shading, 0 for none.
        readout, inversion_efficiency: see `CMRLib.simulation.signal`.
        motion: level -> severity of the motion between the frames of its acquisitions, see
            `CMRLib.simulation.motion`; levels that are not named lie still.

    Raises:
        InputError: an argument out of its range.
    """
    if not slices or not states:
        raise InputError("A simulated study needs at least one slice and one state.")
    unknown = [state for state in states if state not in STATES]
    if unknown:
        raise InputError(f"There is no state '{unknown[0]}'; use one of {', '.join(STATES)}.")
    motion = motion or {}
    if lost := sorted(set(motion) - set(slices)):
        raise InputError(f"There is no slice '{lost[0]}' to move in this simulation; add it to the slices.")
    anatomy = anatomy or ParametricAnatomy.random(stream(seed, "anatomy"))
    shape = shape or anatomy.field_of_view(spacing_mm)
    acquisitions = []
    rendered = [(level, anatomy.slice(level, shape, spacing_mm)) for level in slices]
    for state in states:
        for number, (level, body) in enumerate(rendered):
            values = tissue_values(body.tissues, field_strength, state, stream(seed, "tissue"))
            rhythm = irregular_rr(rr_ms * STATE_RR_FACTOR[state], rr_variability, stream(seed, "rhythm", state, level))
            plan = schedule(scheme, rhythm)
            displacement = None
            if level in motion:
                draw = int(stream(seed, "motion", state, level).integers(2**31))
                displacement = _motion(body, motion[level], len(plan.inversion_times_ms), spacing_mm, draw)
            acquisition = simulate_acquisition(
                body,
                values,
                short_axis_geometry(seed, shape, spacing_mm, LEVEL_POSITION_MM[level]),
                plan,
                field_strength=field_strength,
                snr=snr,
                sensitivity=coil_sensitivity(shape, spacing_mm, stream(seed, "coil", level), shading),
                rng=stream(seed, "noise", state, level),
                readout=readout,
                inversion_efficiency=inversion_efficiency,
                acquired_spacing_mm=acquired_spacing_mm,
                displacement=displacement,
            )
            start = STATE_START_S[state] + number * SECONDS_BETWEEN_SLICES
            acquisitions.append(replace(acquisition, state=state, slice=level, start_s=start))
    return SimulatedStudy(f"SIM{seed:04d}", int(seed), field_strength, readout, tuple(acquisitions))
