"""The parametric heart: left and right ventricle, papillary muscles and epicardial fat in a short-axis slice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from CMRLib.simulation.canvas import ANGLES, Canvas, angles, ellipse, wavy

# Size of each structure relative to mid level; nominal, after the heart's usual shape.
CAVITY_SCALE = {"basal": 1.08, "mid": 1.0, "apical": 0.68}
WALL_SCALE = {"basal": 1.03, "mid": 1.0, "apical": 0.92}
RV_DEPTH_SCALE = {"basal": 1.1, "mid": 1.0, "apical": 0.5}
RV_SPAN_SCALE = {"basal": 1.05, "mid": 1.0, "apical": 0.82}


@dataclass(frozen=True)
class Heart:
    """The numbers that make one heart; lengths in mm at mid level, angles in radians, clockwise on display.

    Means and spreads are nominal for adults in mid diastole.
    """

    cavity_radius: float
    wall: float
    septum_extra: float
    ellipticity: float
    septum_angle: float
    rv_half_span: float
    rv_depth: float
    rv_wall: float
    rv_skew: float
    papillary_radius: float
    fat: float
    seed: int

    @classmethod
    def random(cls, rng: np.random.Generator, body_rotation: float = 0.0) -> Heart:
        """Draw a heart in a body rotated by so much; the septum follows the body, though not all the way."""
        return cls(
            cavity_radius=float(np.clip(rng.normal(23.5, 2.8), 17.0, 32.0)),
            wall=float(np.clip(rng.normal(8.5, 1.3), 6.0, 13.0)),
            septum_extra=float(np.clip(rng.normal(0.8, 0.5), -0.3, 2.5)),
            ellipticity=float(rng.uniform(-0.06, 0.06)),
            septum_angle=float(np.deg2rad(rng.normal(208.0, 10.0)) + 0.6 * body_rotation),
            rv_half_span=float(np.deg2rad(np.clip(rng.normal(70.0, 6.0), 56.0, 84.0))),
            rv_depth=float(np.clip(rng.normal(26.0, 4.5), 16.0, 40.0)),
            rv_wall=float(rng.uniform(2.4, 3.6)),
            rv_skew=float(rng.normal(-0.25, 0.15)),
            papillary_radius=float(rng.uniform(4.0, 5.8)),
            fat=float(np.clip(rng.normal(2.3, 0.9), 0.7, 4.5)),
            seed=int(rng.integers(2**31)),
        )

    def outlines(self, level: str) -> dict[str, np.ndarray]:
        """Outlines about the centre of the LV cavity, (ANGLES,) mm: "cavity", "epicardium", "rv", "heart", "fat"."""
        theta = angles()
        rng = np.random.default_rng([self.seed, sorted(CAVITY_SCALE).index(level)])
        from_septum = (theta - self.septum_angle + np.pi) % (2.0 * np.pi) - np.pi
        radius = self.cavity_radius * CAVITY_SCALE[level]
        axis = self.septum_angle + rng.normal(0.0, 0.3)
        cavity = ellipse(radius * (1.0 + self.ellipticity), radius * (1.0 - self.ellipticity), axis)
        wall = self.wall * WALL_SCALE[level] + self.septum_extra * np.cos(from_septum)
        epicardium = cavity + wall * (1.0 + wavy(rng, 0.035, range(2, 5)))
        # Trabeculae roughen the cavity's outline away from the smooth septum.
        rough = wavy(rng, 0.028, range(7, 19)) * (0.35 + 0.65 * (np.abs(from_septum) > 1.0))
        cavity = cavity * (1.0 + wavy(rng, 0.012, range(3, 6)) + rough)

        half_span = self.rv_half_span * RV_SPAN_SCALE[level]
        u = np.clip(from_septum / half_span, -1.0, 1.0)
        bulge = np.maximum(1.0 - u**2, 0.0) ** 0.5 * (1.0 + self.rv_skew * u)
        depth = self.rv_depth * RV_DEPTH_SCALE[level] * bulge * (1.0 + wavy(rng, 0.05, range(2, 6)))
        heart = epicardium + depth
        # Where the outline runs obliquely, a layer is thicker along the radius than across.
        slope = (np.roll(heart, -1) - np.roll(heart, 1)) / (2.0 * theta[1] * heart)
        along_radius = np.minimum(np.hypot(1.0, slope), 4.0)
        free_wall = np.minimum(self.rv_wall * along_radius, depth)
        groove = np.exp(-(((np.abs(from_septum) - half_span) / 0.22) ** 2))
        thickness = self.fat * (0.45 + 1.3 * groove + 0.8 * (np.abs(from_septum) < half_span))
        fat = heart + thickness * np.clip(1.0 + wavy(rng, 0.45, range(2, 8)), 0.1, None)
        return {
            "cavity": cavity,
            "epicardium": epicardium,
            "rv": np.maximum(heart - free_wall, epicardium),
            "heart": heart,
            "fat": fat,
        }

    def insertion_points(self, level: str, center: tuple[float, float]) -> tuple[tuple[float, float], ...]:
        """Anterior and inferior RV insertion points (x, y): where the RV's wall leaves the LV's epicardium.

        The anterior one lies clockwise of the septum on display, as in every short-axis view that is not mirrored.
        """
        epicardium = self.outlines(level)["epicardium"]
        points = []
        for side in (1.0, -1.0):
            angle = self.septum_angle + side * self.rv_half_span * RV_SPAN_SCALE[level]
            radius = np.interp(angle % (2.0 * np.pi), angles(), epicardium, period=2.0 * np.pi)
            points.append((float(center[0] + radius * np.cos(angle)), float(center[1] + radius * np.sin(angle))))
        return tuple(points)

    def paint(self, canvas: Canvas, level: str, center: tuple[float, float]) -> None:
        """Paint the heart, its fat first; ``center`` is the LV's, (x, y)."""
        rng = np.random.default_rng([self.seed, 10 + sorted(CAVITY_SCALE).index(level)])
        outline = self.outlines(level)
        canvas.fill(
            center,
            [
                (outline["fat"], "epicardial fat"),
                (outline["heart"], "right ventricular wall"),
                (outline["rv"], "right blood"),
                (outline["epicardium"], "myocardium"),
                (outline["cavity"], "left blood"),
            ],
        )
        self._paint_papillaries(canvas, level, center, outline["cavity"], rng)
        self._paint_rv_trabeculae(canvas, level, center, outline, rng)

    def _paint_papillaries(
        self, canvas: Canvas, level: str, center: tuple[float, float], cavity: np.ndarray, rng: np.random.Generator
    ) -> None:
        """Anterolateral and posteromedial muscle: in the wall at mid level, split at the apex, slim at the base."""
        size = self.papillary_radius * {"basal": 0.62, "mid": 1.0, "apical": 0.8}[level]
        for offset in (np.deg2rad(118.0), np.deg2rad(-122.0)):
            for _ in range(2 if level == "apical" else 1):
                angle = self.septum_angle + offset + rng.normal(0.0, 0.13)
                edge = cavity[round(angle / (2.0 * np.pi) * ANGLES) % ANGLES]
                reach = edge - size * rng.uniform(0.75, 1.25)
                spot = (center[0] + reach * np.cos(angle), center[1] + reach * np.sin(angle))
                shape = ellipse(size * 1.2, size * 0.85, angle) * (1.0 + wavy(rng, 0.06, range(2, 5)))
                canvas.fill(spot, [(shape, "papillary muscle")], only=["left blood"])

    def _paint_rv_trabeculae(
        self,
        canvas: Canvas,
        level: str,
        center: tuple[float, float],
        outline: dict[str, np.ndarray],
        rng: np.random.Generator,
    ) -> None:
        """Small bundles along the RV's free wall, more of them towards the apex."""
        for _ in range({"basal": 3, "mid": 6, "apical": 6}[level]):
            angle = self.septum_angle + self.rv_half_span * rng.uniform(-0.75, 0.75) * RV_SPAN_SCALE[level]
            edge = outline["rv"][round(angle / (2.0 * np.pi) * ANGLES) % ANGLES]
            reach = edge - rng.uniform(0.0, 3.0)
            spot = (center[0] + reach * np.cos(angle), center[1] + reach * np.sin(angle))
            shape = ellipse(rng.uniform(1.5, 3.5), rng.uniform(0.9, 1.6), angle + rng.normal(0.0, 0.5))
            canvas.fill(spot, [(shape, "right trabecula")], only=["right blood"])
