"""Inversion recovery images with known motion, made like a scanner's, on which motion correction is measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from CMRLib.anatomy.axis import LEVELS
from CMRLib.errors import InputError
from CMRLib.networks.warp import invert
from CMRLib.simulation.acquisition import acquire, coil_sensitivity, magnetisation_images
from CMRLib.simulation.anatomy import ParametricAnatomy, SliceAnatomy
from CMRLib.simulation.breathing import mobility_of
from CMRLib.simulation.labelled_anatomy import LabelledAnatomy
from CMRLib.simulation.motion import random_motion
from CMRLib.simulation.schedule import irregular_rr, schedule
from CMRLib.simulation.signal import INVERSION_EFFICIENCY, SHMOLLI_READOUT, relaxed_signal
from CMRLib.simulation.study import LABELS
from CMRLib.simulation.tissue import TissueValues, tissue_values
from CMRLib.training.splits import TEST_SEED, images_of_split, subject_of

EVALUATION_SETS = 200
SPACING_MM = 0.9375
ACQUIRED_SPACING_MM = 1.875
# Cardiac phase (0 end diastole, 1 end systole) and level of a patient's slices, in the order in which they are used.
PATIENT_SLICES = ((0, "mid"), (1, "basal"), (0, "apical"), (1, "mid"), (0, "basal"), (1, "apical"))


@dataclass(frozen=True)
class EvaluationSet:
    """One set of frames with motion, and what it would be without.

    Attributes:
        number: of the set.
        subject: "SIM" and the seed of a parametric anatomy, or a patient's name.
        severity: of the motion, one of `CMRLib.simulation.motion.SEVERITIES`.
        state: "rest" or "post".
        scheme: "shmolli" or "molli".
        inversion_times_ms: in frame order, which is the order of acquisition.
        spacing_mm: spacing of the square pixels.
        images: float32 (frame, row, column), magnitude.
        phase: float32 (frame, row, column), radians.
        still_images, still_phase: the same without motion and noise, aligned.
        displacement: float32 (frame, 2, row, column) in pixels, from the aligned anatomy into each frame.
        moved: float32 (frame, 2, row, column) in pixels, its inverse: frame i shows at y the anatomy
            at y + moved[i](y).
        labels: uint8 (row, column), aligned: 1 LV myocardium, 2 LV cavity, 3 RV cavity, 0 anything else.
        myocardium: float32 (row, column), aligned, share of the pixel that is LV myocardium.
        noise_sd: standard deviation of the noise in each channel, in the images' units.
    """

    number: int
    subject: str
    severity: str
    state: str
    scheme: str
    inversion_times_ms: tuple[float, ...]
    spacing_mm: float
    images: np.ndarray
    phase: np.ndarray
    still_images: np.ndarray
    still_phase: np.ndarray
    displacement: np.ndarray
    moved: np.ndarray
    labels: np.ndarray
    myocardium: np.ndarray
    noise_sd: float


def severity_of_set(number: int) -> str:
    """The severity of the numbered set; of every 8 numbers 2 are severe, 4 moderate, 1 mild and 1 without motion."""
    turn = (number // 2) % 4
    if turn in (1, 2):
        return "moderate"
    if turn == 0:
        return "severe"
    return "none" if (number // 8 + number) % 2 == 0 else "mild"


def evaluation_set(number: int, acdc: Path | str | None = None) -> EvaluationSet:
    """The set with a number from 0 to 199; the same number gives the same set.

    50 are severe, 100 moderate, 25 mild and 25 without motion, each half with even and half with odd numbers. Even
    numbers show parametric anatomies, odd ones test patients of the folder, every slice once; a fifth is MOLLI 5(3)3
    and the rest ShMOLLI. Neither seeds nor patients are ones that train or that choose anything.

    Args:
        number: 0 to 199.
        acdc: folder with labelled images (see `CMRLib.training.splits.images_of_split`), needed for odd numbers.

    Raises:
        InputError: another number, or no test patients for an odd one.
    """
    if not 0 <= number < EVALUATION_SETS:
        raise InputError(f"There is no set {number}; the numbers are 0 to {EVALUATION_SETS - 1}.")
    turn = number // 2
    subject, anatomy = patient_slice(turn, acdc, "test") if number % 2 else parametric_slice(TEST_SEED + number)
    rng = np.random.default_rng([TEST_SEED, number])
    state = "post" if rng.random() < 0.2 else "rest"
    field_strength = float(rng.choice([1.5, 3.0]))
    values = tissue_values(anatomy.tissues, field_strength, state, rng)
    scheme = "molli" if turn % 5 == 4 else "shmolli"
    plan = schedule(scheme, irregular_rr(float(rng.uniform(650.0, 1100.0)), 0.03, rng))
    shape = (anatomy.density.shape[0], anatomy.density.shape[1])
    sensitivity = coil_sensitivity(shape, SPACING_MM, rng)
    noise_sd = _noise_sd(anatomy, values, sensitivity, float(rng.uniform(15.0, 40.0)))

    severity = severity_of_set(number)
    displacement, moved = _motion(len(plan.image_at_ms), anatomy, severity, TEST_SEED + number)
    signed = magnetisation_images(anatomy, values, plan, field_strength, SHMOLLI_READOUT, INVERSION_EFFICIENCY)
    rows, columns = (2 * round(n * SPACING_MM / ACQUIRED_SPACING_MM / 2) for n in shape)
    still = acquire(signed * sensitivity, (rows, columns), 0.0, rng)
    received = acquire(moved_images(signed, moved) * sensitivity, (rows, columns), noise_sd, rng)

    label_of = np.array([LABELS.get(name, 0) for name in anatomy.tissues], dtype=np.uint8)
    return EvaluationSet(
        number=number,
        subject=subject,
        severity=severity,
        state=state,
        scheme=scheme,
        inversion_times_ms=plan.inversion_times_ms,
        spacing_mm=SPACING_MM,
        images=np.abs(received),
        phase=np.angle(received),
        still_images=np.abs(still),
        still_phase=np.angle(still),
        displacement=displacement,
        moved=moved,
        labels=label_of[np.argmax(anatomy.fractions, axis=0)],
        myocardium=anatomy.fractions[np.isin(anatomy.tissues, "myocardium")].sum(axis=0),
        noise_sd=noise_sd,
    )


def patient_slice(
    turn: int, folder: Path | str | None, split: str, spacing_mm: float = SPACING_MM
) -> tuple[str, SliceAnatomy]:
    """Subject and anatomy of the ``turn``-th slice of the patients of a split: all patients once, then again."""
    if folder is None:
        raise InputError("Sets with odd numbers show patients; give the folder with the labelled images.")
    images: dict[str, list[Path]] = {}
    for path in images_of_split(folder, split):
        images.setdefault(subject_of(path), []).append(path)
    subjects = sorted(images)
    round_number = turn // len(subjects)
    # One further in each round, so that a patient's sets do not all have the same severity.
    subject = subjects[(turn + round_number) % len(subjects)]
    phase, level = PATIENT_SLICES[round_number % len(PATIENT_SLICES)]
    anatomy = LabelledAnatomy.from_files(images[subject][phase % len(images[subject])])
    return subject, anatomy.slice(level, anatomy.field_of_view(spacing_mm), spacing_mm)


def parametric_slice(seed: int, spacing_mm: float = SPACING_MM) -> tuple[str, SliceAnatomy]:
    """Subject and anatomy of a seed, at a level that goes with it."""
    anatomy = ParametricAnatomy.random(seed)
    level = LEVELS[(seed // 2) % len(LEVELS)]
    return f"SIM{seed}", anatomy.slice(level, anatomy.field_of_view(spacing_mm), spacing_mm)


def _motion(frames: int, anatomy: SliceAnatomy, severity: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Displacement and its inverse, float32 (frame, 2, row, column) in pixels."""
    import torch

    assert anatomy.landmarks is not None
    mobility = torch.from_numpy(mobility_of(anatomy, SPACING_MM))
    rows, columns = anatomy.density.shape
    displacement = random_motion(
        frames,
        (rows, columns),
        SPACING_MM,
        severity,
        torch.Generator().manual_seed(seed),
        center=anatomy.landmarks.lv_center,
        mobility=mobility,
    )
    return displacement.numpy(), invert(displacement).numpy()


def moved_images(signed: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Each frame (frame, row, column) at y + moved(y), by cubic splines."""
    pixels = np.indices(signed.shape[1:])
    return np.stack(
        [
            ndimage.map_coordinates(frame, pixels + shift, order=3, mode="nearest")
            for frame, shift in zip(signed, moved, strict=True)
        ]
    )


def _noise_sd(anatomy: SliceAnatomy, values: TissueValues, sensitivity: np.ndarray, snr: float) -> float:
    """Standard deviation of the noise for which the relaxed myocardium has this signal-to-noise ratio on average."""
    chosen = np.isin(anatomy.tissues, "myocardium")
    share = anatomy.fractions[chosen].sum(axis=0)
    relaxed = (values.proton_density * relaxed_signal(values.t1_ms, values.t2_ms))[chosen].mean()
    strength = share * relaxed * anatomy.density * np.abs(sensitivity)
    return float(strength.sum() / share.sum()) / snr
