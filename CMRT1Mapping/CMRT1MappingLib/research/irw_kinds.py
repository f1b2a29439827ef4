"""Inversion recovery images of many kinds, still or moved, on which the decision to correct motion is measured.

What a correction must leave alone is more than the hearts it was made for: phantoms, flat tissue, images with hardly
any noise, with much, blurred ones, 5 to 11 frames, with and without phase.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from CMRLib.errors import InputError
from CMRLib.networks.warp import invert
from CMRLib.simulation.acquisition import acquire, coil_sensitivity, magnetisation_images
from CMRLib.simulation.anatomy import SliceAnatomy
from CMRLib.simulation.breathing import mobility_of
from CMRLib.simulation.canvas import smooth_field
from CMRLib.simulation.motion import random_motion
from CMRLib.simulation.schedule import Schedule, irregular_rr, schedule
from CMRLib.simulation.signal import INVERSION_EFFICIENCY, SHMOLLI_READOUT
from CMRLib.simulation.tissue import tissue_values
from CMRLib.training.splits import TEST_SEED, VALIDATION_SEED
from CMRT1MappingLib.research.irw_evaluation import EvaluationSet, moved_images, parametric_slice, patient_slice

KINDS = ("flat", "nested", "tubes", "texture", "heart", "patient", "artefact")
COURSES = ("still", "mild", "moderate", "severe", "jump")
# 5 to 11 frames; ShMOLLI and MOLLI 5(3)3 are what is scanned most.
PATTERNS = ("shmolli", "5(3)3", "shmolli", "5(3)3", "4(1s)3(1s)2", "5", "3(3)3(3)5", "6", "3(3)5", "5(3)5")
B_OVER_A, T1_STAR_OVER_T1 = 2.0, 0.9  # of the tissues that are drawn without an anatomy
FRAMES_OFF = 2  # that jump in the kind "jump"


@dataclass(frozen=True)
class Case:
    """One acquisition.

    Attributes:
        kind: one of `KINDS`.
        item: its images and their truth; ``item.myocardium`` marks the pixels whose T1 counts.
        with_phase: whether the phase is there.
        course: how the frames moved: "still", or a severity.
    """

    kind: str
    item: EvaluationSet
    with_phase: bool
    course: str


@dataclass(frozen=True)
class _Scene:
    """What is imaged: signed images (frame, row, column) without motion, where T1 counts, and how it is imaged."""

    signed: np.ndarray
    counts: np.ndarray
    plan: Schedule
    spacing_mm: float
    snr: float
    zero_filled: float
    shading: float
    mobility: np.ndarray | None
    center: tuple[float, float]
    strength: float


def _plan(number: int, rng: np.random.Generator) -> Schedule:
    return schedule(PATTERNS[number % len(PATTERNS)], irregular_rr(float(rng.uniform(600.0, 1200.0)), 0.03, rng))


def _recovery(t1: np.ndarray, density: np.ndarray, plan: Schedule) -> np.ndarray:
    times = np.asarray(plan.inversion_times_ms)[:, None, None]
    signed: np.ndarray = density * (1.0 - B_OVER_A * np.exp(-times / (T1_STAR_OVER_T1 * t1)))
    return signed.astype(np.float32)


def _shape(rng: np.random.Generator) -> tuple[tuple[int, int], float]:
    """Rows and columns of a field of view, and the pixel spacing."""
    spacing = float(rng.choice([0.9375, 1.2, 1.4, 1.8, 2.1]))
    rows, columns = (int(2 * round(mm / spacing / 2)) for mm in (rng.uniform(180.0, 270.0), rng.uniform(220.0, 340.0)))
    return (rows, columns), spacing


def _drawn_scene(
    number: int,
    rng: np.random.Generator,
    t1: np.ndarray,
    density: np.ndarray,
    spacing: float,
    snr: float,
    counts: np.ndarray | None = None,
) -> _Scene:
    plan = _plan(number, rng)
    rows, columns = t1.shape
    if counts is None:
        counts = ndimage.binary_erosion(density > 0.3, iterations=4)
    return _Scene(
        _recovery(t1, density, plan),
        counts.astype(np.float32),
        plan,
        spacing,
        snr,
        float(rng.choice([1.0, 1.0, 2.0])),
        float(rng.choice([0.0, 0.5, 1.0])),
        None,
        ((rows - 1) / 2.0, (columns - 1) / 2.0),
        1.0,
    )


def _disc(shape: tuple[int, int], radius: float, exponent: float = 2.0) -> np.ndarray:
    """A soft-edged disc (or, with a larger exponent, a box) around the middle, share of each pixel."""
    rows, columns = (np.abs(np.arange(n) - (n - 1) / 2.0) / radius for n in shape)
    distance = (rows[:, None] ** exponent + columns[None, :] ** exponent) ** (1.0 / exponent)
    return np.clip((1.0 - distance) * radius + 0.5, 0.0, 1.0)


def _flat(number: int, rng: np.random.Generator) -> _Scene:
    """One tissue, or two with a smooth change between them, hardly any noise."""
    shape, spacing = _shape(rng)
    body = _disc(shape, rng.uniform(0.25, 0.6) * min(shape), float(rng.choice([2.0, 8.0])))
    t1 = np.full(shape, float(rng.uniform(300.0, 1800.0)))
    t1 = t1 * (1.0 + rng.choice([0.0, 0.02, 0.1]) * smooth_field(rng, shape, rng.uniform(15.0, 50.0) / spacing))
    if number % 3 == 0:
        body = np.full(shape, 0.9)  # tissue to the edge of the image
    return _drawn_scene(
        number, rng, np.clip(t1, 150.0, 2500.0), body, spacing, float(np.exp(rng.uniform(np.log(60.0), np.log(1500.0))))
    )


def _nested(number: int, rng: np.random.Generator) -> _Scene:
    """Discs in a body: blood in a wall, both flat, with edges of any sharpness and hardly any noise."""
    shape, spacing = _shape(rng)
    body = _disc(shape, 0.45 * min(shape), 4.0)
    outer, inner = (_disc(shape, r / spacing) for r in (rng.uniform(28.0, 40.0), rng.uniform(15.0, 25.0)))
    wall, blood, rest = rng.uniform(800.0, 1300.0), rng.uniform(1300.0, 2000.0), rng.uniform(400.0, 900.0)
    t1 = rest + (wall - rest) * outer + (blood - wall) * inner
    blur = rng.uniform(0.0, 3.0)
    t1, density = ndimage.gaussian_filter(t1, blur), ndimage.gaussian_filter(body * (0.8 + 0.2 * inner), blur)
    counts = ndimage.binary_erosion((outer > 0.99) & (inner < 0.01), iterations=1)
    return _drawn_scene(
        number, rng, t1, density, spacing, float(np.exp(rng.uniform(np.log(60.0), np.log(1000.0)))), counts
    )


def _tubes(number: int, rng: np.random.Generator) -> _Scene:
    """Tubes of many T1 in a box or in air."""
    shape, spacing = _shape(rng)
    box = _disc(shape, 0.4 * min(shape), 8.0)
    t1, density = np.full(shape, 850.0), box * float(rng.choice([0.0, 0.9]))
    counts = np.zeros(shape, bool)
    side = 0.25 * min(shape)
    grid = np.indices(shape) - (np.array(shape) - 1).reshape(2, 1, 1) / 2.0
    for place in range(9):
        r, c = ((place // 3) - 1) * side, ((place % 3) - 1) * side
        share = np.clip(rng.uniform(0.25, 0.4) * side - np.hypot(grid[0] - r, grid[1] - c) + 0.5, 0.0, 1.0)
        value = float(rng.uniform(250.0, 2000.0))
        t1 = t1 + (value - t1) * (share > 0)
        density = density + (0.95 - density) * share
        counts |= share >= 1.0
    counts = ndimage.binary_erosion(counts, iterations=1)
    return _drawn_scene(
        number, rng, t1, density, spacing, float(np.exp(rng.uniform(np.log(20.0), np.log(500.0)))), counts
    )


def _texture(number: int, rng: np.random.Generator) -> _Scene:
    """T1 and density that vary everywhere, coarsely or finely."""
    shape, spacing = _shape(rng)
    size = float(rng.uniform(2.0, 12.0)) / spacing
    t1 = np.clip(1000.0 + 300.0 * smooth_field(rng, shape, size), 250.0, 2500.0)
    density = np.clip(0.8 + 0.15 * smooth_field(rng, shape, size), 0.1, 1.5) * _disc(shape, 0.5 * min(shape), 4.0)
    return _drawn_scene(number, rng, t1, density, spacing, float(np.exp(rng.uniform(np.log(15.0), np.log(300.0)))))


def _anatomy_scene(number: int, rng: np.random.Generator, anatomy: SliceAnatomy, spacing: float, snr: float) -> _Scene:
    assert anatomy.landmarks is not None
    field_strength = float(rng.choice([1.5, 3.0]))
    values = tissue_values(anatomy.tissues, field_strength, "post" if rng.random() < 0.25 else "rest", rng)
    plan = _plan(number, rng)
    signed = magnetisation_images(anatomy, values, plan, field_strength, SHMOLLI_READOUT, INVERSION_EFFICIENCY)
    blur = float(rng.choice([0.0, 0.0, 0.8, 1.5]))
    if blur:
        signed = np.stack([ndimage.gaussian_filter(frame, blur) for frame in signed])
    share = anatomy.fractions[np.isin(anatomy.tissues, "myocardium")].sum(axis=0)
    return _Scene(
        signed,
        share,
        plan,
        spacing,
        snr,
        float(rng.choice([1.0, 2.0])),
        1.0,
        mobility_of(anatomy, spacing),
        anatomy.landmarks.lv_center,
        0.85,
    )


def _heart(number: int, rng: np.random.Generator, seed: int) -> _Scene:
    spacing = float(rng.choice([0.9375, 1.2, 1.5, 1.8]))
    _, anatomy = parametric_slice(seed + number, spacing)
    return _anatomy_scene(number, rng, anatomy, spacing, float(np.exp(rng.uniform(np.log(10.0), np.log(250.0)))))


def _patient(number: int, rng: np.random.Generator, acdc: Path, split: str) -> _Scene:
    spacing = float(rng.choice([0.9375, 1.2, 1.5, 1.8]))
    _, anatomy = patient_slice(number, acdc, split, spacing)
    return _anatomy_scene(number, rng, anatomy, spacing, float(np.exp(rng.uniform(np.log(10.0), np.log(250.0)))))


def _flow(scene: _Scene, rng: np.random.Generator) -> _Scene:
    """Frames that differ in more than contrast: blood and the whole image brighter or darker, a ghost."""
    signed = scene.signed.copy()
    patch = ndimage.gaussian_filter((rng.random(signed.shape[1:]) < 0.002).astype(float), 8.0)
    patch /= max(float(patch.max()), 1e-6)
    for frame in signed:
        frame *= 1.0 + 0.05 * rng.standard_normal() + 0.15 * rng.standard_normal() * patch
        if rng.random() < 0.3:
            frame += 0.04 * np.roll(frame, frame.shape[0] // int(rng.choice([2, 3])), axis=0)
    return replace(scene, signed=signed.astype(np.float32))


def case(kind: str, number: int, course: str = "still", *, acdc: Path | None = None, split: str = "validation") -> Case:
    """An acquisition of a kind; the same arguments give the same one.

    Args:
        kind: one of `KINDS`.
        number: 0 or more.
        course: "still", "mild", "moderate" or "severe" (see `CMRLib.simulation.motion`), or "jump": a frame or two are
            off by some millimetres as a whole and the others still.
        acdc: folder of labelled patients, for the kind "patient".
        split: "validation" to choose with, "test" to report.

    Raises:
        InputError: there is no such kind or course, or no folder for patients.
    """
    if kind not in KINDS:
        raise InputError(f"There is no kind '{kind}'; use one of {', '.join(KINDS)}.")
    if course not in COURSES:
        raise InputError(f"There is no course '{course}'; use one of {', '.join(COURSES)}.")
    seed = TEST_SEED if split == "test" else VALIDATION_SEED
    rng = np.random.default_rng([seed, KINDS.index(kind), number])
    if kind == "patient":
        if acdc is None:
            raise InputError("The kind 'patient' needs the folder with the labelled images.")
        scene = _patient(number, rng, acdc, split)
    elif kind in ("heart", "artefact"):
        scene = _heart(number + (1000 if kind == "artefact" else 500), rng, seed)
        scene = _flow(scene, rng) if kind == "artefact" else scene
    else:
        makers: dict[str, Callable[[int, np.random.Generator], _Scene]] = {
            "flat": _flat,
            "nested": _nested,
            "tubes": _tubes,
            "texture": _texture,
        }
        scene = makers[kind](number, rng)
    item = _acquired(scene, number, course, rng)
    return Case(kind, item, bool((number // 2) % 2 == 0), course)


def displacement_of(
    course: str,
    frames: int,
    shape: tuple[int, int],
    spacing_mm: float,
    rng: np.random.Generator,
    center: tuple[float, float],
    mobility: np.ndarray | None,
) -> np.ndarray:
    """Displacement, float32 (frame, 2, row, column) in pixels, zero mean over the frames."""
    import torch

    if course == "jump":
        shifts = np.zeros((frames, 2))
        off = rng.choice(frames, FRAMES_OFF if rng.random() < 0.5 else 1, replace=False)
        for frame in off:
            angle, length = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(2.0, 8.0) / spacing_mm
            shifts[frame] = length * np.cos(angle), length * np.sin(angle)
        shifts -= shifts.mean(axis=0)
        return np.broadcast_to(shifts[:, :, None, None], (frames, 2, *shape)).astype(np.float32)
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    where = None if mobility is None else torch.from_numpy(mobility)
    found: np.ndarray = random_motion(
        frames, shape, spacing_mm, "none" if course == "still" else course, generator, center=center, mobility=where
    ).numpy()
    return found


def _acquired(scene: _Scene, number: int, course: str, rng: np.random.Generator) -> EvaluationSet:
    import torch

    frames, rows, columns = scene.signed.shape
    displacement = displacement_of(course, frames, (rows, columns), scene.spacing_mm, rng, scene.center, scene.mobility)
    moved = invert(torch.from_numpy(displacement)).numpy()
    sensitivity = coil_sensitivity((rows, columns), scene.spacing_mm, rng, scene.shading)
    acquired = (2 * int(rows / scene.zero_filled / 2), 2 * int(columns / scene.zero_filled / 2))
    received = moved_images(scene.signed, moved) if displacement.any() else scene.signed
    noise = scene.strength / scene.snr
    still = acquire(scene.signed * sensitivity, acquired, 0.0, rng)
    images = acquire(received * sensitivity, acquired, noise, rng)
    return EvaluationSet(
        number=number,
        subject="",
        severity="none" if course == "still" else course,
        state="rest",
        scheme=scene.plan.scheme,
        inversion_times_ms=scene.plan.inversion_times_ms,
        spacing_mm=scene.spacing_mm,
        images=np.abs(images),
        phase=np.angle(images),
        still_images=np.abs(still),
        still_phase=np.angle(still),
        displacement=displacement,
        moved=moved,
        labels=(scene.counts > 0.5).astype(np.uint8),
        myocardium=scene.counts.astype(np.float32),
        noise_sd=noise,
    )
