"""What the panel of CMR T1 Mapping says of maps and pixels, in the user's language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from slicer.i18n import tr as _

from CMRLib import provenance
from CMRLib.scene.volumes import volumeArray
from CMRT1MappingLib.fit.curve import PixelCurve
from CMRT1MappingLib.fit.reconstruction import PixelFlag
from CMRT1MappingLib.mapping import MOTION_OFF
from CMRT1MappingLib.motion.correction import Correction
from CMRT1MappingLib.scene import motionoutcome, plots, t1maps


def summaryOf(nodes: Mapping[str, Any]) -> str:
    """What maps (result -> node) were computed and what became of the motion; empty where there are none.

    What makes a map worthless comes first.
    """
    if not {"t1", "samples", "flags"} <= set(nodes):
        return ""
    fitted = volumeArray(nodes["samples"]) > 0
    flags = volumeArray(nodes["flags"]).astype(np.uint8)
    doubtful = fitted & (flags & (PixelFlag.POLARITY_UNCERTAIN | PixelFlag.T1_UNRESOLVED) > 0)
    text = _("Fitted {fitted} pixels on {device}; {doubtful} of them are marked as not to be trusted.").format(
        fitted=np.count_nonzero(fitted),
        doubtful=np.count_nonzero(doubtful),
        device=nodes["t1"].GetAttribute(provenance.DEVICE),
    )
    warning = nodes["t1"].GetAttribute(f"CMR.{t1maps.WARNING}") or ""
    return " ".join(part for part in (warning, text, motionOf(nodes["t1"])) if part)


def motionOf(t1Map: Any) -> str:
    """What became of the motion correction of a map; empty where the map does not tell."""
    outcome = motionoutcome.outcomeOf(t1Map)
    if outcome is None:
        return ""
    texts = {
        Correction.KEPT.value: _(
            "Motion in the {region} was {pixels:.1f} px ({mm:.1f} mm) on average; correcting it raised R² there from "
            "{before:.3f} to {after:.3f} (smoothing alone: {smoothed:.3f})."
        ),
        Correction.STILL.value: _(
            "Motion in the {region} was {pixels:.1f} px ({mm:.1f} mm) on average and needed no correction."
        ),
        Correction.NO_BETTER.value: _(
            "Correcting the estimated motion ({pixels:.1f} px, {mm:.1f} mm on average) did not improve R² in the "
            "{region} by more than smoothing does ({before:.3f} before, {after:.3f} after, {smoothed:.3f} if only "
            "smoothed), so the images were fitted as acquired."
        ),
        Correction.NOT_POSSIBLE.value: _("The images were fitted as acquired: {obstacle}"),
        MOTION_OFF: _("Motion was not corrected."),
    }
    regions = {"heart": _("heart"), "image": _("image")}
    return texts[outcome.outcome].format(
        region=regions.get(outcome.region),
        pixels=outcome.pixels,
        mm=outcome.mm,
        before=outcome.r2Before,
        after=outcome.r2After,
        smoothed=outcome.r2Smoothed,
        obstacle=outcome.obstacle,
    )


def curveText(curve: PixelCurve, row: int, column: int) -> str:
    """The numbers of a pixel as rich text, with the colors of the plot explained."""
    place = _("Row {row}, column {column}").format(row=row, column=column)
    if curve.samples == 0:
        return _("{place}: no signal to fit.").format(place=place)
    dots = {name: f'<span style="color: rgb{color}">&#9679;</span>' for name, color in plots.SERIES_COLORS.items()}
    text = _(
        "<b>T1 {t1:.0f} ± {error:.0f} ms</b> (standard error), T1* {t1Star:.0f} ms, R² {r2:.4f}<br>"
        "{place}: {used} {samples} of {all} samples used"
    ).format(
        place=place,
        t1=curve.t1,
        error=curve.t1_error,
        t1Star=curve.t1_star,
        r2=curve.r2,
        used=dots[plots.USED],
        samples=curve.samples,
        all=len(curve.used),
    )
    if curve.samples < len(curve.used):
        text += _(", {notUsed} {rest} not used").format(
            notUsed=dots[plots.NOT_USED], rest=len(curve.used) - curve.samples
        )
    if curve.flags:
        text += "<br>" + _("Not to be trusted: {flags}.").format(flags=t1maps.flagWords(curve.flags))
    return text
