"""T1, T2 and proton density of the tissues in the field of view.

Values are nominal: they make the images and their contrast plausible and are no reference ranges. The readouts lower
the T1 that ShMOLLI and MOLLI report by some 4 to 14 %, most where T2 is short (Chow et al., ISMRM 2012 #395, found 10 %
in phantoms like myocardium). Where a source reports such a T1, marked *, the table holds the T1 with which a noise-free
simulated ShMOLLI at RR 900 ms reads the reported one.

Sources, named in the table by their letter:

a* Piechnik et al., J Cardiovasc Magn Reson 2013;15:13: myocardium, ShMOLLI, 1.5 T, 962 ms (SD 25).
b* von Knobelsdorff-Brenkenhoff et al., J Cardiovasc Magn Reson 2013;15:53: mid myocardium, 3 T, T1 1159 ms, T2 45 ms.
c  Hanson et al., Radiology 2020;297:344: pooled myocardial T2, 52 ms at 1.5 T.
d* Native left ventricular blood, 1571 ms (SD 118) in 513 patients: PMC5978936, taken for 1.5 T.
e* MyoMapNet (github.com/HMS-CardiacMR/MyoMapNet): blood at 3 T, 1820 ms native and 508 ms after contrast; myocardium at
   3 T 1170 and 645 ms.
f  Lu et al., Magn Reson Med 2004;52:679: venous blood's T1 is 1584/1664 of arterial blood's.
g* Liu et al., J Cardiovasc Magn Reson 2017;19:1: spleen, ShMOLLI, 1102 ms (SD 66) at 1.5 T and 1352 ms (SD 114) at 3 T;
   40 ms shorter under adenosine.
h  de Bazelaire et al., Radiology 2004;230:652: liver, muscle, marrow, subcutaneous fat (and T2 of spleen) at 3 T.
i  Theilmann et al. (PMC3354915): lung water density 0.25 and T2* 1.8 ms at functional residual capacity; the density
   here is 0.25 exp(-1.07 / 1.8), what is left of it at the echo time.
j  Liu et al., JACC 2018: normal myocardium's T1 rises by 6.2 % under adenosine at 1.5 and at 3 T.
n  nominal textbook value, chosen for a plausible contrast. Proton densities of solid tissues are below their water
   content because bSSFP's own magnetisation transfer saturates them and not blood or fluid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from CMRLib.errors import InputError

FIELD_STRENGTHS = (1.5, 3.0)
STATES = ("rest", "stress", "post")

# Change of the blood's relaxation rate by the contrast agent, 1/ms [e]; taken as the same at both fields.
BLOOD_RATE_CHANGE = 1.0 / 508.0 - 1.0 / 1820.0
STRESS_MYOCARDIUM = 1.062  # [j]
STRESS_SPLEEN_MS = -40.0  # [g]
# Frequency of fat relative to water, in Hz per tesla: -3.4 ppm of 42.577 MHz/T.
FAT_SHIFT_HZ_PER_TESLA = -3.4 * 42.577


@dataclass(frozen=True)
class Tissue:
    """One tissue; the pairs are (1.5 T, 3 T).

    Attributes:
        t1_ms: native T1.
        t1_spread: standard deviation of T1 between subjects, as a fraction of it.
        t2_ms: T2.
        proton_density: relative to water, as seen at the echo time.
        partition: the tissue's change of relaxation rate by contrast agent relative to the blood's.
        replaced: share of the spins that fresh ones, which saw the inversions but no readout, replace between beats.
        source: letters of the module's list, for T1, T2, proton density and partition; n for the rest.
        fat: whether the protons are fat's, which lie at another frequency.
    """

    t1_ms: tuple[float, float]
    t1_spread: float
    t2_ms: tuple[float, float]
    proton_density: float
    partition: float
    source: str
    fat: bool = False
    replaced: float = 0.0


# The myocardial partition coefficient 0.49 is [e]'s own: (1/645 - 1/1170) / BLOOD_RATE_CHANGE.
TISSUES: dict[str, Tissue] = {
    "air": Tissue((1000.0, 1000.0), 0.0, (50.0, 50.0), 0.0, 0.0, "n"),
    "myocardium": Tissue((1080.0, 1324.0), 0.026, (52.0, 45.0), 0.68, 0.49, "T1 a b; T2 c b; n; e"),
    "papillary muscle": Tissue((1080.0, 1324.0), 0.026, (52.0, 45.0), 0.68, 0.49, "as myocardium"),
    "right ventricular wall": Tissue((1080.0, 1324.0), 0.026, (52.0, 45.0), 0.68, 0.49, "as myocardium"),
    "right trabecula": Tissue((1080.0, 1324.0), 0.026, (52.0, 45.0), 0.68, 0.49, "as myocardium"),
    "left blood": Tissue((1637.0, 1897.0), 0.06, (240.0, 160.0), 0.92, 1.0, "T1 d e; n; n; e", replaced=0.7),
    "right blood": Tissue((1558.0, 1806.0), 0.06, (160.0, 90.0), 0.92, 1.0, "T1 d e times f; n; n; e", replaced=0.7),
    "aorta": Tissue((1637.0, 1897.0), 0.06, (240.0, 160.0), 0.92, 1.0, "as left blood", replaced=0.7),
    "vessel": Tissue((1558.0, 1806.0), 0.06, (180.0, 110.0), 0.85, 1.0, "as right blood; n", replaced=0.7),
    "fat": Tissue((340.0, 382.0), 0.04, (60.0, 68.0), 0.90, 0.02, "n h; n h; n; n", fat=True),
    "epicardial fat": Tissue((340.0, 382.0), 0.04, (60.0, 68.0), 0.80, 0.05, "as fat", fat=True),
    "skeletal muscle": Tissue((850.0, 898.0), 0.04, (35.0, 29.0), 0.66, 0.22, "n h; n h; n; n"),
    "lung": Tissue((1100.0, 1200.0), 0.08, (40.0, 35.0), 0.14, 0.45, "n; n; i; n"),
    "liver": Tissue((669.0, 809.0), 0.09, (46.0, 34.0), 0.62, 0.48, "h over 1.21, h; n h; n; n"),
    "spleen": Tissue((1211.0, 1511.0), 0.07, (75.0, 61.0), 0.74, 0.60, "T1 g; T2 n h; n; n"),
    "stomach": Tissue((1800.0, 2000.0), 0.25, (180.0, 150.0), 0.85, 0.0, "n"),
    "stomach wall": Tissue((900.0, 1000.0), 0.06, (50.0, 45.0), 0.66, 0.40, "n"),
    "bone": Tissue((500.0, 550.0), 0.0, (3.0, 3.0), 0.05, 0.05, "n"),
    "marrow": Tissue((550.0, 586.0), 0.10, (52.0, 49.0), 0.55, 0.15, "n h; n h; n; n"),
    "spinal cord": Tissue((900.0, 1000.0), 0.04, (75.0, 75.0), 0.66, 0.0, "n"),
    "cerebrospinal fluid": Tissue((4000.0, 4000.0), 0.05, (1500.0, 1500.0), 1.0, 0.0, "n"),
}

MYOCARDIAL = ("myocardium", "papillary muscle", "right ventricular wall", "right trabecula")
BLOOD = ("left blood", "right blood", "aorta", "vessel")


@dataclass(frozen=True)
class TissueValues:
    """What the signal needs of several tissues; every array has the shape (tissue,).

    Attributes:
        t1_ms: longitudinal relaxation time.
        t2_ms: transverse relaxation time.
        proton_density: relative to water.
        fat: whether the protons are fat's.
        replaced: share of the spins replaced between beats.
    """

    t1_ms: np.ndarray
    t2_ms: np.ndarray
    proton_density: np.ndarray
    fat: np.ndarray
    replaced: np.ndarray


def tissue_values(
    names: Sequence[str], field_strength: float, state: str = "rest", rng: np.random.Generator | None = None
) -> TissueValues:
    """The values of the named tissues at a field strength (T) and in a state (rest, stress or post).

    With ``rng`` the native T1 of each tissue is drawn around its nominal value, once for all kinds of heart muscle and
    once for all blood; a generator in the same state gives the same subject again, whatever the state asked for.

    Stress: the myocardium's T1 times 1.062, the spleen's less 40 ms; blood is left as it is. Post-contrast:
    1 / T1 = 1 / T1_native + partition * BLOOD_RATE_CHANGE, the fast-exchange relation behind the extracellular volume.

    Raises:
        InputError: unknown tissue, field strength or state.
    """
    if field_strength not in FIELD_STRENGTHS:
        raise InputError(f"There are no tissue values for {field_strength} T; use 1.5 or 3.")
    if state not in STATES:
        raise InputError(f"There is no state '{state}'; use one of {', '.join(STATES)}.")
    unknown = [name for name in names if name not in TISSUES]
    if unknown:
        raise InputError(f"There is no tissue '{unknown[0]}'; the tissues are {', '.join(TISSUES)}.")
    column = FIELD_STRENGTHS.index(field_strength)
    deviation = dict.fromkeys(TISSUES, 0.0)
    if rng is not None:
        deviation = dict(zip(TISSUES, np.clip(rng.standard_normal(len(TISSUES)), -2.0, 2.0), strict=True))
        for family in (MYOCARDIAL, BLOOD):
            deviation.update(dict.fromkeys(family, deviation[family[0]]))
    t1 = []
    for name in names:
        tissue = TISSUES[name]
        value = tissue.t1_ms[column] * (1.0 + tissue.t1_spread * deviation[name])
        if state == "stress" and name in MYOCARDIAL:
            value *= STRESS_MYOCARDIUM
        elif state == "stress" and name == "spleen":
            value += STRESS_SPLEEN_MS
        elif state == "post":
            value = 1.0 / (1.0 / value + tissue.partition * BLOOD_RATE_CHANGE)
        t1.append(value)
    chosen = [TISSUES[name] for name in names]
    return TissueValues(
        t1_ms=np.array(t1),
        t2_ms=np.array([tissue.t2_ms[column] for tissue in chosen]),
        proton_density=np.array([tissue.proton_density for tissue in chosen]),
        fat=np.array([tissue.fat for tissue in chosen]),
        replaced=np.array([tissue.replaced for tissue in chosen]),
    )
