"""Whether a stress map lies well on its rest map, and why not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from CMRStressReactivityLib.registration import Registration, registered

# Nominal: hearts move by 1 to 2 cm from breath-hold to breath-hold; the thesis's pairs overlap by 0.86 ± 0.04 after
# registration (chapter 3).
FARTHEST_MM = 20.0
MOST_FOLDED = 0.001
LEAST_DICE = 0.75


@dataclass(frozen=True)
class Judgement:
    """What can be said of a registration without its truth.

    Attributes:
        likeness_before, likeness: mean squared local correlation of the maps around the myocardium, 0 to 1, as acquired
            and registered.
        folded: share of the pixels there where the displacement folds.
        moved_mm: mean displacement there.
        dice_before, dice: of the myocardium in both maps; None without both contours.
        reasons: why the alignment is doubtful, a sentence each; empty where it is not.
    """

    likeness_before: float
    likeness: float
    folded: float
    moved_mm: float
    dice_before: float | None
    dice: float | None
    reasons: tuple[str, ...]

    @property
    def is_doubtful(self) -> bool:
        """Whether someone should look at it."""
        return bool(self.reasons)


def judge(
    rest: np.ndarray,
    stress: np.ndarray,
    registration: Registration,
    around: np.ndarray,
    spacing_mm: tuple[float, float],
    *,
    contours: tuple[np.ndarray, np.ndarray] | None = None,
    doubt: str = "",
) -> Judgement:
    """Judge a registration.

    Args:
        rest, stress: T1 in ms, (row, column), as they were registered.
        registration: see `CMRStressReactivityLib.registration.register`.
        around: bool (row, column), the left ventricle and what borders on it, in the rest map.
        spacing_mm: distance of rows and of columns.
        contours: the myocardium in the rest map and in the stress map, bool (row, column) each, where both are known.
        doubt: that of the slices' match, see `CMRStressReactivityLib.matching.SliceMatch`.
    """
    import torch

    from CMRLib.networks.warp import jacobian_determinant

    displacement = registration.displacement
    before = likeness(rest, stress, around)
    after = likeness(rest, registered(stress, displacement), around)
    determinant = jacobian_determinant(torch.from_numpy(displacement)[None])[0].numpy()
    folded = float(np.mean(determinant[around] <= 0))
    length = np.hypot(displacement[0] * spacing_mm[0], displacement[1] * spacing_mm[1])
    moved = float(length[around].mean())
    overlaps: tuple[float | None, float | None] = (None, None)
    reasons = [doubt] if doubt else []
    if contours is not None:
        fixed, moving = (np.asarray(mask, dtype=bool) for mask in contours)
        # A mask of ones and twos, because 0 is no value.
        brought = registered(moving + 1.0, displacement) > 1.5
        overlaps = (dice(fixed, moving), dice(fixed, brought))
        if dice(fixed, brought) < LEAST_DICE:
            reasons.append(
                f"The contours overlap little after registration (Dice {dice(fixed, brought):.2f}); check both."
            )
    if after <= before and moved > 0:
        reasons.append("The maps are no more alike after registration than before; compare them by eye.")
    if folded > MOST_FOLDED:
        reasons.append(f"The displacement folds in {100 * folded:.1f} % of the heart; do not trust dT1 there.")
    if moved > FARTHEST_MM:
        reasons.append(f"The heart would have moved by {moved:.0f} mm; check that both maps show the same slice.")
    return Judgement(before, after, folded, moved, *overlaps, tuple(reasons))


def likeness(one: np.ndarray, other: np.ndarray, around: np.ndarray) -> float:
    """Mean squared local correlation of two T1 maps where their windows show a pattern, 0 to 1."""
    import torch

    from CMRStressReactivityLib.refinement import local_correlation
    from CMRStressReactivityLib.registration import scaled_t1

    maps = [
        scaled_t1(torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32)))[None, None] for image in (one, other)
    ]
    squared, weight = (part[0, 0].numpy()[np.asarray(around, dtype=bool)] for part in local_correlation(*maps))
    return float((squared * weight).sum() / max(float(weight.sum()), 1e-9))


def dice(one: np.ndarray, other: np.ndarray) -> float:
    """Overlap of two masks, 0 to 1; 0 where both are empty."""
    return 2.0 * float(np.sum(one & other)) / max(float(one.sum() + other.sum()), 1.0)
