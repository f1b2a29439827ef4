"""Coded terms, as nodes, files and DICOM objects keep them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Term:
    """A coded term.

    Attributes:
        value: the code.
        scheme: whose code it is, as "SCT" (SNOMED CT), "DCM" (DICOM) or "UCUM" (units).
        meaning: in words.
    """

    value: str
    scheme: str
    meaning: str


OWN_SCHEME = "99CMRMAPPING"  # of terms that DICOM does not have
MILLISECOND = Term("ms", "UCUM", "millisecond")
MILLIMETER = Term("mm", "UCUM", "millimeter")
PERCENT = Term("%", "UCUM", "percent")
NO_UNITS = Term("1", "UCUM", "no units")
ARBITRARY_UNIT = Term("[arb'U]", "UCUM", "arbitrary unit")
MEAN = Term("373098007", "SCT", "Mean")
T1 = Term("113063", "DCM", "T1")
R2 = Term("126220", "DCM", "R2-Coefficient")
T1_REACTIVITY = Term("t1-reactivity", OWN_SCHEME, "Change of T1 from rest to stress")
T1_REACTIVITY_ERROR = Term("t1-reactivity-error", OWN_SCHEME, "Standard error of the change of T1 from rest to stress")
ECV = Term("extracellular-volume", OWN_SCHEME, "Extracellular volume fraction of the myocardium")
LEFT_VENTRICLE = Term("87878005", "SCT", "Left ventricle")
