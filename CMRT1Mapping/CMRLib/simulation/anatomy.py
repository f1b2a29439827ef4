"""Anatomy of a short-axis slice as tissue fractions per pixel, and the parametric body that makes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from CMRLib.anatomy.axis import LEVELS, check_level
from CMRLib.anatomy.landmarks import Point, SliceLandmarks
from CMRLib.simulation.canvas import Canvas, angles, smooth_field
from CMRLib.simulation.heart import Heart
from CMRLib.simulation.tissue import TISSUES
from CMRLib.simulation.torso import Torso

# Distance (mm) of each level from the basal one, along the left ventricle's long axis towards the apex; nominal.
LEVEL_POSITION_MM = {"basal": 0.0, "mid": 20.0, "apical": 40.0}
# Relative variation of the proton density inside a tissue, 0.04 where it is not named; nominal.
TEXTURE = {"lung": 0.25, "liver": 0.06, "epicardial fat": 0.12}


@dataclass(frozen=True)
class SliceAnatomy:
    """One slice as the scanner finds it.

    Attributes:
        tissues: names of the tissues, keys of `CMRLib.simulation.tissue.TISSUES`.
        fractions: float32 (tissue, row, column), share of each pixel; the shares add up to 1.
        density: float32 (row, column), local factor of the proton density (texture).
        t1_factor: float32 (row, column), local factor of T1.
        landmarks: where the ventricles are; None where there is no heart.
    """

    tissues: tuple[str, ...]
    fractions: np.ndarray
    density: np.ndarray
    t1_factor: np.ndarray
    landmarks: SliceLandmarks | None


class Anatomy(Protocol):
    """What a simulated study needs of an anatomy."""

    def field_of_view(self, spacing_mm: float) -> tuple[int, int]:
        """Rows and columns of the anatomy's own field of view."""

    def slice(self, level: str, shape: tuple[int, int], spacing_mm: float) -> SliceAnatomy:
        """The slice at "basal", "mid" or "apical" level on a grid of rows and columns with square pixels."""


def _torso_around(heart: Heart, torso: Torso, heart_position: Point, rng: np.random.Generator) -> Point:
    """Centre of a body whose heart lies left and in front of it and, with its fat, a little inside the chest wall."""
    across, down = rng.normal(-22.0, 6.0), rng.normal(42.0, 5.0)
    cos, sin = np.cos(torso.rotation), np.sin(torso.rotation)
    position = np.array(heart_position) + [cos * across - sin * down, sin * across + cos * down]
    outline = heart.outlines("basal")["fat"] + 2.0
    edge = np.array(heart_position) + outline[:, None] * np.column_stack([np.cos(angles()), np.sin(angles())])
    for _ in range(10):
        from_center = edge - position
        distance = np.linalg.norm(from_center, axis=1)
        direction = np.arctan2(from_center[:, 1], from_center[:, 0])
        excess = distance - np.interp(direction % (2.0 * np.pi), angles(), torso.cavity(), period=2.0 * np.pi)
        worst = int(np.argmax(excess))
        if excess[worst] <= 0:
            break
        position = position + from_center[worst] / distance[worst] * (excess[worst] + 0.5)
    return float(position[0]), float(position[1])


@dataclass(frozen=True)
class ParametricAnatomy:
    """A body made of smooth parametric shapes.

    Attributes:
        heart, torso: their numbers.
        heart_position: (x, y) of the LV's centre at mid level in mm from the centre of the image.
        torso_position: (x, y) of the body's centre.
        axis_tilt: (x, y) shift in mm of the LV's centre per mm from mid level towards the apex.
        seed: of the texture.
    """

    heart: Heart
    torso: Torso
    heart_position: Point
    torso_position: Point
    axis_tilt: Point
    seed: int

    @classmethod
    def random(cls, seed: int | np.random.Generator = 0) -> ParametricAnatomy:
        """Draw a body; the same seed gives the same body."""
        rng = np.random.default_rng(seed)
        torso = Torso.random(rng)
        heart = Heart.random(rng, torso.rotation)
        x, y = float(rng.normal(12.0, 9.0)), float(rng.normal(-16.0, 8.0))
        return cls(
            heart=heart,
            torso=torso,
            heart_position=(x, y),
            torso_position=_torso_around(heart, torso, (x, y), rng),
            axis_tilt=(float(rng.normal(0.04, 0.05)), float(rng.normal(0.02, 0.04))),
            seed=int(rng.integers(2**31)),
        )

    def field_of_view(self, spacing_mm: float) -> tuple[int, int]:
        """Rows and columns of 270 mm x 360 mm, the field of view of the ShMOLLI scan in MRKonrad/tomato."""
        return round(270.0 / spacing_mm), round(360.0 / spacing_mm)

    def lv_center(self, level: str) -> Point:
        """(x, y) of the LV's centre at a level, mm from the centre of the image."""
        along = LEVEL_POSITION_MM[level] - LEVEL_POSITION_MM["mid"]
        return (
            self.heart_position[0] + along * self.axis_tilt[0],
            self.heart_position[1] + along * self.axis_tilt[1],
        )

    def slice(self, level: str, shape: tuple[int, int], spacing_mm: float) -> SliceAnatomy:
        """Render a level; see `Anatomy`.

        Raises:
            InputError: unknown level.
        """
        check_level(level)
        names = tuple(TISSUES)
        canvas = Canvas(shape, spacing_mm, names)
        center = self.lv_center(level)
        self.torso.paint(canvas, level, self.torso_position)
        self.heart.paint(canvas, level, center)

        def pixel(point: Point) -> Point:
            return point[1] / spacing_mm + (shape[0] - 1) / 2.0, point[0] / spacing_mm + (shape[1] - 1) / 2.0

        anterior, inferior = self.heart.insertion_points(level, center)
        fractions = canvas.fractions()
        rng = np.random.default_rng([self.seed, LEVELS.index(level)])
        fine, coarse = (smooth_field(rng, shape, size / spacing_mm) for size in (1.6, 12.0))
        grain = np.array([TEXTURE.get(name, 0.04) for name in names], dtype=np.float32)
        amplitude = np.tensordot(grain, fractions, axes=1)
        return SliceAnatomy(
            tissues=names,
            fractions=fractions,
            density=np.clip(1.0 + amplitude * (0.8 * fine + 0.6 * coarse), 0.2, 2.0).astype(np.float32),
            t1_factor=np.ones(shape, dtype=np.float32),
            landmarks=SliceLandmarks(pixel(center), pixel(anterior), pixel(inferior)),
        )
