"""The haematocrit: measured, or estimated from the blood's native T1, in which case it is called synthetic.

A blood sample is the standard. The synthetic haematocrit (Treibel et al., JACC Cardiovasc Imaging 2016;9:54-63) rests
on the relaxation rate of blood rising with its share of red cells, Hct = slope / T1 + intercept, with coefficients of
one field strength and one kind of sequence:

- 1.5 T: 866.0 / T1 - 0.1232, of the same paper, MOLLI.
- 3 T: 1355.52 / T1 - 0.310, Reiter et al., Eur J Radiol 2024;178:111659 (MOLLI 5(3)3, 167 examinations, r = 0.71).

With other sequences, scanners or patients they are off: Raucci et al., J Cardiovasc Magn Reson 2017;19:42, and Shang et
al., J Cardiovasc Magn Reson 2018;20:56, warn of errors that change a diagnosis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from CMRLib.errors import InputError
from CMRLib.study.hematocrit import HEMATOCRIT_RANGE, hematocrit_fault

MEASURED, SYNTHETIC = "measured", "synthetic"

# Tesla -> (slope in ms, intercept).
COEFFICIENTS = {1.5: (866.0, -0.1232), 3.0: (1355.52, -0.310)}
FIELD_TOLERANCE_T = 0.25
# ECV by synthetic and by measured haematocrit differ by 1.55 percentage points of 26.6 (SD, from the limits -2.82 to
# 3.27 of Robison et al., J Cardiovasc Magn Reson 2018;20:19): 5.8 % of 1 - Hct, which is some 0.59.
SYNTHETIC_ERROR = 0.035


@dataclass(frozen=True)
class Hematocrit:
    """A haematocrit.

    Attributes:
        value: share of the blood's volume that is red cells, 0 to 1.
        error: its standard error; 0 for a measured one whose error nobody stated.
        source: "measured" or "synthetic".
    """

    value: float
    error: float = 0.0
    source: str = MEASURED

    @property
    def is_synthetic(self) -> bool:
        """Whether it was estimated from the blood's T1 rather than measured."""
        return self.source == SYNTHETIC


def measured_hematocrit(value: float, error: float = 0.0) -> Hematocrit:
    """A haematocrit from a blood sample.

    Args:
        value: a fraction, 0 to 1.
        error: its standard error, where it is known.

    Raises:
        InputError: it is no haematocrit, or its error is negative.
    """
    if fault := hematocrit_fault(value):
        raise InputError(f"The haematocrit cannot be used: {fault}.")
    if not (math.isfinite(error) and error >= 0):
        raise InputError("The standard error of a haematocrit is a fraction of 0 or more; correct it.")
    return Hematocrit(float(value), float(error))


def synthetic_hematocrit(blood_t1_ms: float, field_strength_t: float | None) -> Hematocrit:
    """The haematocrit estimated from the blood's native T1; see the module's text for the equations.

    Args:
        blood_t1_ms: of the left ventricle's blood before contrast.
        field_strength_t: of the scanner.

    Raises:
        InputError: the field strength is not known or has no equation, or the result is no haematocrit.
    """
    remedy = "state the haematocrit of a blood sample"
    if field_strength_t is None:
        raise InputError(f"The scanner's field strength is not known, so there is no synthetic haematocrit; {remedy}.")
    nearest = min(COEFFICIENTS, key=lambda tesla: abs(tesla - field_strength_t))
    if abs(nearest - field_strength_t) > FIELD_TOLERANCE_T:
        known = " and ".join(f"{tesla:g}" for tesla in COEFFICIENTS)
        raise InputError(
            f"There is no equation of the synthetic haematocrit for {field_strength_t:g} T, only for {known} T; "
            f"{remedy}."
        )
    slope, intercept = COEFFICIENTS[nearest]
    value = slope / blood_t1_ms + intercept if blood_t1_ms > 0 else math.nan
    if not HEMATOCRIT_RANGE[0] <= value <= HEMATOCRIT_RANGE[1]:
        raise InputError(
            f"The blood's native T1 of {blood_t1_ms:.0f} ms at {nearest:g} T gives no plausible haematocrit; check the "
            f"blood pool, or {remedy}."
        )
    return Hematocrit(value, SYNTHETIC_ERROR, SYNTHETIC)
