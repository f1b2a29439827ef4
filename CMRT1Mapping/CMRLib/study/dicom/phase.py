"""What turns a phase image's values into radians, from what its header says."""

from __future__ import annotations

import math

from CMRLib.study.dicom.headers import FrameHeader

_RADIANS = {
    **dict.fromkeys(("rad", "radian", "radians"), 1.0),
    **dict.fromkeys(("mrad", "milliradian", "milliradians"), 1e-3),
    **dict.fromkeys(("deg", "degree", "degrees"), math.pi / 180.0),
}
# Full ranges of values that stand for one turn where no unit is given: Siemens stores 12 bit (0..4095, rescaled by
# slope 2 and intercept -4096 to -4096..4094), Philips rescales to radians or milliradians.
_ONE_TURN = (4096.0, 8192.0, 2.0 * math.pi, 2000.0 * math.pi, 360.0)
_RANGE_TOLERANCE = 0.01


def radians_per_value(header: FrameHeader) -> float | None:
    """How many radians one unit of a phase image's rescaled value is, or None where the header does not tell.

    A unit given by Rescale Type (0028,1054) or a real world value mapping decides. Without one, the range of values
    that the stored bits and the rescaling span must be one of the known ranges for a full turn; GE writes
    milliradians into signed 16 bit words without saying so.
    """
    if header.units in _RADIANS:
        return _RADIANS[header.units]
    span = 2.0**header.bits_stored * abs(header.slope)
    for turn in _ONE_TURN:
        if abs(span - turn) <= _RANGE_TOLERANCE * turn:
            return 2.0 * math.pi / span
    if header.manufacturer.startswith("GE ") and header.is_signed and header.slope == 1.0:
        return 1e-3
    return None
