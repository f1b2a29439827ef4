"""The parametric surroundings of the heart: chest wall, lungs, spine and the organs below the diaphragm."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from CMRLib.simulation.canvas import ANGLES, Canvas, angles, ellipse, wavy

# How far the abdominal organs reach into the slice; towards the apex the oblique plane cuts more of them. Nominal.
ABDOMEN_SCALE = {"basal": 0.9, "mid": 1.0, "apical": 1.08}
SKIN_MM = 1.6

Spots = Iterator[tuple[tuple[float, float], np.ndarray]]


@dataclass(frozen=True)
class Torso:
    """The numbers that make one body in a short-axis plane; lengths in mm, angles in radians, clockwise on display.

    Means and spreads are nominal for adults lying on their back; the chest is up on display, the spine down.
    """

    half_width: float
    half_height: float
    rotation: float
    fat: float
    muscle: float
    stomach: str
    seed: int

    @classmethod
    def random(cls, rng: np.random.Generator) -> Torso:
        """Draw a body."""
        return cls(
            half_width=float(rng.normal(134.0, 8.0)),
            half_height=float(rng.normal(88.0, 6.0)),
            rotation=float(np.deg2rad(np.clip(rng.normal(-24.0, 15.0), -62.0, 8.0))),
            fat=float(np.clip(rng.lognormal(np.log(14.0), 0.45), 5.0, 38.0)),
            muscle=float(rng.uniform(8.0, 14.0)),
            stomach=str(rng.choice(["fluid", "gas and fluid", "empty"], p=[0.4, 0.35, 0.25])),
            seed=int(rng.integers(2**31)),
        )

    def cavity(self) -> np.ndarray:
        """Outline of the chest's inside about the body's centre, (ANGLES,) mm."""
        waves = wavy(np.random.default_rng([self.seed, 1]), 0.02, range(2, 6))
        return ellipse(self.half_width, self.half_height, self.rotation, 2.3) * (1.0 + waves)

    def paint(self, canvas: Canvas, level: str, center: tuple[float, float]) -> None:
        """Paint everything but the heart; ``center`` is the body's, (x, y)."""
        painter = _Painter(self, canvas, center, np.random.default_rng(self.seed))
        painter.chest_wall()
        painter.mediastinum()
        painter.lung_vessels()
        painter.abdomen(ABDOMEN_SCALE[level])
        painter.spine()


@dataclass(frozen=True)
class _Painter:
    """Paints one body on one canvas; the order of the calls is part of what a seed means."""

    torso: Torso
    canvas: Canvas
    center: tuple[float, float]
    rng: np.random.Generator

    def place(self, x: float, y: float) -> tuple[float, float]:
        """A position given in the body's own axes from its centre, as (x, y) of the image."""
        cos, sin = np.cos(self.torso.rotation), np.sin(self.torso.rotation)
        return self.center[0] + cos * x - sin * y, self.center[1] + sin * x + cos * y

    def at(self, angle: float, reach: np.ndarray) -> tuple[float, float]:
        """The position (x, y) at an angle on an outline about the body's centre."""
        radius = reach[round(angle / (2.0 * np.pi) * ANGLES) % ANGLES]
        return self.center[0] + radius * np.cos(angle), self.center[1] + radius * np.sin(angle)

    def spots(self, count: int, x: tuple[float, float], y: tuple[float, float], size: float, shape: float) -> Spots:
        """Random elongated spots in a rectangle of the body's axes: pairs of a position and an outline."""
        for _ in range(count):
            where = self.place(self.rng.uniform(*x), self.rng.uniform(*y))
            width = size + self.rng.gamma(shape, 0.6)
            yield where, ellipse(width * self.rng.uniform(1.0, 2.6), width, self.rng.uniform(0.0, np.pi))

    def chest_wall(self) -> None:
        """Skin, fat, muscle with ribs and breast bone, and lung inside."""
        torso, rng = self.torso, self.rng
        around = angles() - torso.rotation
        cavity = torso.cavity()
        muscle = torso.muscle * np.clip(1.0 + wavy(rng, 0.22, range(2, 7)), 0.5, None)
        # The subcutaneous layer is thickest at the flanks and thin over the breast bone and the spine.
        fat = torso.fat * (0.55 + 0.75 * np.cos(around) ** 2) * np.clip(1.0 + wavy(rng, 0.25, range(2, 6)), 0.3, None)
        self.canvas.fill(
            self.center,
            [
                (cavity + muscle + fat + SKIN_MM, "skeletal muscle"),
                (cavity + muscle + fat, "fat"),
                (cavity + muscle, "skeletal muscle"),
                (cavity, "lung"),
            ],
        )
        angle = rng.uniform(0.0, 0.3)
        while angle < 2.0 * np.pi:
            spine = np.deg2rad(70.0) < angle < np.deg2rad(110.0)
            width = min(0.36 * float(muscle[round(angle / (2.0 * np.pi) * ANGLES) % ANGLES]), 4.2)
            if not spine:
                self.bone(angle + torso.rotation, cavity + 0.45 * muscle, rng.uniform(6.0, 9.5), width)
            angle += rng.uniform(0.24, 0.34)
        self.bone(np.deg2rad(rng.normal(255.0, 7.0)) + torso.rotation, cavity + 0.5 * muscle, 18.0, 6.0)

    def bone(self, angle: float, reach: np.ndarray, length: float, width: float) -> None:
        """A flat bone in the chest wall: a thin dark shell around marrow."""
        along = angle + np.pi / 2.0 + self.rng.normal(0.0, 0.1)
        marrow = ellipse(length - 1.2, max(width - 1.2, 0.8), along)
        self.canvas.fill(self.at(angle, reach), [(ellipse(length, width, along), "bone"), (marrow, "marrow")])

    def mediastinum(self) -> None:
        """Fat between the heart and the breast bone."""
        rng = self.rng
        outline = ellipse(rng.uniform(30.0, 55.0), rng.uniform(12.0, 24.0), self.torso.rotation + rng.normal(0.1, 0.15))
        where = self.place(rng.normal(-2.0, 8.0), -0.92 * self.torso.half_height)
        self.canvas.fill(where, [(outline * (1.0 + wavy(rng, 0.08, range(2, 7))), "epicardial fat")], only=["lung"])

    def lung_vessels(self) -> None:
        """Vessels across the lungs."""
        x, y = 0.95 * self.torso.half_width, 0.95 * self.torso.half_height
        for where, outline in self.spots(90, (-x, x), (-y, y), 0.7, 1.5):
            self.canvas.fill(where, [(outline, "vessel")], only=["lung"])

    def organ(
        self, x: float, y: float, a: float, b: float, rotation: float, waves: float
    ) -> tuple[tuple[float, float], np.ndarray]:
        """Position and outline of an organ given in the body's axes."""
        outline = ellipse(a, b, rotation + self.torso.rotation, 2.2)
        return self.place(x, y), outline * (1.0 + wavy(self.rng, waves, range(2, 6)))

    def abdomen(self, scale: float) -> None:
        """Liver, spleen, stomach and fat with bowel, under the diaphragm."""
        fill, rng = self.canvas.fill, self.rng
        liver = self.organ(-78.0, 24.0, 82.0 * scale, 62.0 * scale, 0.25, 0.05)
        fat = self.organ(8.0, 62.0, 74.0 * scale, 34.0 * scale, 0.08, 0.06)
        stomach = self.organ(62.0, 44.0, rng.uniform(26.0, 38.0) * scale, rng.uniform(18.0, 26.0) * scale, 0.3, 0.06)
        spleen = self.organ(103.0, 52.0, rng.uniform(36.0, 46.0) * scale, rng.uniform(17.0, 23.0) * scale, -1.0, 0.05)
        for (where, outline), thickness in ((fat, 2.4), (liver, 2.4), (spleen, 2.4), (stomach, 5.5)):
            fill(where, [(outline + thickness, "skeletal muscle")], only=["lung", "vessel"])
        below = ["lung", "vessel", "skeletal muscle", "epicardial fat"]
        fill(fat[0], [(fat[1], "epicardial fat")], only=below)
        fill(liver[0], [(liver[1], "liver")], only=below)
        fill(spleen[0], [(spleen[1], "spleen")], only=below)
        fill(stomach[0], [(stomach[1], "stomach wall")], only=[*below, "liver", "spleen"])
        if self.torso.stomach != "empty":
            fill(stomach[0], [(stomach[1] - 4.0, "stomach")], only=["stomach wall"])
        if self.torso.stomach == "gas and fluid":
            # Gas rises to the front.
            gas = np.where(np.sin(angles() - self.torso.rotation) < -0.25, stomach[1] - 4.0, 0.0)
            fill(stomach[0], [(gas, "air")], only=["stomach"])
        for where, outline in self.spots(30, (-150.0, 0.0), (-40.0, 85.0), 0.8, 2.0):
            fill(where, [(outline, "vessel")], only=["liver"])
        for where, outline in self.spots(9, (-35.0, 70.0), (35.0, 82.0), 3.5, 4.0):
            content = str(rng.choice(["vessel", "stomach wall", "stomach wall", "skeletal muscle"]))
            fill(where, [(outline, content)], only=["epicardial fat"])

    def spine(self) -> None:
        """Vertebra with the spinal canal, the muscles beside it, and the vessels and the gullet in front of it."""
        fill, rng, turn = self.canvas.fill, self.rng, self.torso.rotation
        y = 0.86 * self.torso.half_height
        soft = ["lung", "vessel", "epicardial fat", "liver", "spleen", "fat", "stomach wall"]
        for side in (-1.0, 1.0):
            where = self.place(-6.0 + side * 31.0, y + 16.0)
            fill(where, [(ellipse(25.0, 17.0, turn + side * 0.2), "skeletal muscle")], only=soft)
        size = rng.uniform(18.0, 22.0)
        shell, marrow = ellipse(size + 1.5, size * 0.82 + 1.5, turn), ellipse(size, size * 0.82, turn)
        fill(self.place(-6.0, y - 6.0), [(shell, "bone"), (marrow, "marrow")])
        canal = [
            (ellipse(12.5, 11.5), "bone"),
            (ellipse(8.0, 7.0), "cerebrospinal fluid"),
            (ellipse(5.5, 4.5), "spinal cord"),
        ]
        fill(self.place(-6.0, y + 17.0), canal)
        size = rng.uniform(10.0, 13.0)
        aorta = [(ellipse(size + 1.5, size + 1.5), "skeletal muscle"), (ellipse(size, size), "aorta")]
        fill(self.place(22.0 + rng.normal(0.0, 3.0), y - 24.0), aorta)
        fill(self.place(-38.0 + rng.normal(0.0, 4.0), y - 34.0), [(ellipse(12.0, 9.0, 0.5), "vessel")])
        fill(self.place(4.0, y - 34.0), [(ellipse(9.0, 6.0), "skeletal muscle")])
