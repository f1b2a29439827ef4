"""What can be a patient's haematocrit, the share of the blood's volume that is red cells."""

from __future__ import annotations

HEMATOCRIT_RANGE = (0.10, 0.75)  # of a living person's; anything else is a slip of the pen


def hematocrit_fault(value: float) -> str:
    """Why a number is no haematocrit, as a clause with the remedy; "" where it is one."""
    low, high = HEMATOCRIT_RANGE
    if low <= value <= high:
        return ""
    if 100 * low <= value <= 100 * high:
        return f"a haematocrit is stated as a fraction, not in percent: {value / 100:g} instead of {value:g}"
    return f"{value:g} is no haematocrit of a patient; state a fraction from {low:g} to {high:g}"
