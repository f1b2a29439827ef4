"""T1 maps of aligned images, where aligning them makes the curves fit better; otherwise of the images as acquired.

Better means better than smoothing alone would make them, see `CMRT1MappingLib.motion.judgement`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from CMRLib.errors import InputError
from CMRT1MappingLib.fit.reconstruction import FitOptions, T1Maps, reconstruct
from CMRT1MappingLib.motion.estimation import (
    DEFAULT_MODEL,
    MotionModel,
    apply_motion,
    check_motion_input,
    estimate_motion,
    load_motion_model,
)
from CMRT1MappingLib.motion.judgement import LEAST_GAIN, LEAST_GAIN_UNREFINED, judge, summary_r2
from CMRT1MappingLib.motion.refinement import refine_motion

if TYPE_CHECKING:
    from CMRLib.networks.models import ModelEntry

FEWEST_HEART_PIXELS = 100  # fewer are taken for no heart
LARGEST_HEART_CM2 = 180.0  # more is something else; both ventricles of a much dilated heart cover about 120
LEAST_MOTION_PX = 0.1  # mean in the heart; less is not worth an interpolation


class Correction(Enum):
    """What became of the motion correction of an acquisition."""

    KEPT = "corrected"
    STILL = "not needed"
    NO_BETTER = "no better"
    NOT_POSSIBLE = "not possible"


@dataclass(frozen=True)
class CorrectedMaps:
    """Maps of the aligned images, or of those acquired where they were not aligned or aligning them did not help.

    Attributes:
        maps: what was kept; ``original`` itself where the images were not corrected.
        original: maps of the images as acquired.
        images, phase: those that ``maps`` were fitted to, float32 (frame, row, column); phase None if there was none.
        displacement: the estimated motion, float32 (frame, 2, row, column), (row, column) shift in pixels: aligned
            image i at x is image i at x + displacement_i(x). Zero where none was estimated.
        heart: pixels over which motion and R² are averaged, bool (row, column): the fitted ones in the heart, or all
            fitted ones where no heart was found.
        motion_px: mean length of the displacement over those pixels and the frames, pixels.
        r2_before, r2_after: mean R² over those pixels but the worst tenth, of the images as acquired and as aligned, a
            pixel without a fit counting as 0; the same number where no aligned images were fitted. Where the network's
            answer did not help, "aligned" is by that, without the refinement.
        r2_smoothed: the same of the images as acquired but smoothed as much as the aligned ones are by interpolation,
            which is what ``r2_after`` has to be held against; ``r2_before`` where no aligned images were fitted.
        outcome: what became of it.
        model: the network that estimated the motion; None where it was not asked.
        obstacle: why it was not asked, as a sentence; "" where it was.
    """

    maps: T1Maps
    original: T1Maps
    images: np.ndarray
    phase: np.ndarray | None
    displacement: np.ndarray
    heart: np.ndarray
    motion_px: float
    r2_before: float
    r2_after: float
    r2_smoothed: float
    outcome: Correction
    model: ModelEntry | None
    obstacle: str

    @property
    def kept(self) -> bool:
        """Whether ``maps`` are those of the aligned images."""
        return self.outcome is Correction.KEPT

    @property
    def device(self) -> str:
        """Where it was computed."""
        return self.maps.device

    @property
    def explanation(self) -> str:
        """What became of the correction, as a sentence."""
        if self.outcome is Correction.NOT_POSSIBLE:
            return f"The images were fitted as acquired: {self.obstacle}"
        if self.outcome is Correction.STILL:
            return f"Motion of {self.motion_px:.2f} pixels needed no correction; the images were fitted as acquired."
        change = (
            f"R² {self.r2_before:.4f} before, {self.r2_after:.4f} after, "
            f"{self.r2_smoothed:.4f} if smoothed as much but not moved"
        )
        if self.outcome is Correction.NO_BETTER:
            return (
                f"Motion correction did not improve the fit by more than smoothing does ({change}); "
                "the images were fitted as acquired."
            )
        return f"Motion of {self.motion_px:.2f} pixels was corrected ({change})."

    def parameters(self) -> dict[str, Any]:
        """What happened, for the provenance of every result (see `CMRLib.provenance.result_attributes`)."""
        if self.model is None:
            return {"MotionCorrection": self.outcome.value}
        return {
            "MotionCorrection": self.outcome.value,
            "Model": self.model.id,
            "ModelSHA256": self.model.sha256,
            "MotionPixels": round(self.motion_px, 4),
            "R2Before": round(self.r2_before, 6),
            "R2After": round(self.r2_after, 6),
            "R2Smoothed": round(self.r2_smoothed, 6),
        }


def correct_and_reconstruct(
    images: np.ndarray,
    inversion_times_ms: Sequence[float] | np.ndarray,
    phase: np.ndarray | None = None,
    spacing_mm: tuple[float, float] = (1.0, 1.0),
    *,
    scheme: str = "shmolli",
    options: FitOptions | None = None,
    model: MotionModel | str | Path = DEFAULT_MODEL,
    device: str = "auto",
    refine: bool = True,
    progress: Callable[[float], None] | None = None,
) -> CorrectedMaps:
    """Align the images of an acquisition with each other, and map T1.

    The aligned images are kept where R² in the heart comes closer to 1 than it does by smoothing alone, by
    `CMRT1MappingLib.motion.judgement.LEAST_GAIN` or more, and where the network's answer alone does so by
    `CMRT1MappingLib.motion.judgement.LEAST_GAIN_UNREFINED`. Motion of less than `LEAST_MOTION_PX` leaves
    the images as they are, and so do images that the network is not made for (see
    `CMRT1MappingLib.motion.estimation.check_motion_input`).

    Args:
        images: magnitude images, axes (frame, row, column), any unit.
        inversion_times_ms, phase, scheme, options: see `CMRT1MappingLib.fit.reconstruction.reconstruct`. With phase
            the images are moved as complex numbers, so that a sign moves with its magnitude.
        spacing_mm: distance between pixel centres along (row index, column index).
        model: a loaded model, an id or a weights file.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        refine: whether the network also looks at the mirrored images and its answer is refined, see
            `CMRT1MappingLib.motion.refinement`.
        progress: called with the fraction done; what it raises ends the work.

    Raises:
        InputError: images, phase or inversion times cannot be used, or there is no such model.
        DeviceError: the device is not available.
        MissingDependencyError: PyTorch or the weights are missing, or the weights are damaged.
    """

    done = progress or (lambda fraction: None)

    def fit(images: np.ndarray, phase: np.ndarray | None, start: float, stop: float) -> T1Maps:
        part = _part(done, start, stop)
        return reconstruct(
            images, inversion_times_ms, phase, scheme=scheme, options=options, device=device, progress=part
        )

    original = fit(images, phase, 0.0, 0.4)
    images = np.asarray(images, dtype=np.float32)
    phase = None if phase is None else np.asarray(phase, dtype=np.float32)
    fitted = original.samples > 0
    try:
        check_motion_input(images, spacing_mm)
    except InputError as error:
        nowhere = np.zeros((len(images), 2, *images.shape[1:]), np.float32)
        r2 = summary_r2(original, fitted)
        done(1.0)
        return CorrectedMaps(
            original,
            original,
            images,
            phase,
            nowhere,
            fitted,
            0.0,
            r2,
            r2,
            r2,
            Correction.NOT_POSSIBLE,
            None,
            str(error),
        )

    loaded = load_motion_model(model, device) if isinstance(model, (str, Path)) else model
    motion = estimate_motion(images, spacing_mm, model=loaded, mirrored=refine, progress=_part(done, 0.4, 0.55))
    heart = (motion.heart > 0.5) & fitted
    pixels = np.count_nonzero(heart)
    if pixels < FEWEST_HEART_PIXELS or pixels * spacing_mm[0] * spacing_mm[1] / 100.0 > LARGEST_HEART_CM2:
        heart = fitted
    shift = motion.displacement
    if refine:
        latest = int(np.argmax(inversion_times_ms))
        shift = refine_motion(images, shift, heart, spacing_mm, phase, reference=latest)
    length = float(np.hypot(shift[:, 0], shift[:, 1])[:, heart].mean())
    r2 = summary_r2(original, heart)
    as_acquired = CorrectedMaps(
        original, original, images, phase, shift, heart, length, r2, r2, r2, Correction.STILL, motion.model, ""
    )
    if length < LEAST_MOTION_PX:
        done(1.0)
        return as_acquired

    # The network's answer first: refinement is fitted to the images, and so, a little, to their noise.
    steps = [(motion.displacement, LEAST_GAIN_UNREFINED)] if refine else []
    for tried, least in (*steps, (shift, LEAST_GAIN)):
        aligned, aligned_phase = apply_motion(images, tried, phase)
        found = judge(
            images,
            phase,
            aligned,
            aligned_phase,
            tried,
            heart,
            inversion_times_ms,
            scheme=scheme,
            options=options,
            device=device,
        )
        done(0.65 if tried is motion.displacement else 0.7)
        if found.gain < least:
            done(1.0)
            return replace(
                as_acquired, r2_after=found.aligned, r2_smoothed=found.smoothed, outcome=Correction.NO_BETTER
            )
    maps = fit(aligned, aligned_phase, 0.7, 1.0)
    return replace(
        as_acquired,
        r2_smoothed=found.smoothed,
        maps=maps,
        images=aligned,
        phase=aligned_phase,
        r2_after=summary_r2(maps, heart),
        outcome=Correction.KEPT,
    )


def _part(whole: Callable[[float], None], start: float, stop: float) -> Callable[[float], None]:
    """Reports the fraction done of a part of the work as that of the whole."""
    return lambda fraction: whole(start + (stop - start) * fraction)
