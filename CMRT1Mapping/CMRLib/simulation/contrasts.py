"""Short-axis images of a simulated slice in every contrast a study holds: T1 maps, LGE, VNE and cine.

Magnitudes and relaxation times are those of `CMRLib.simulation.tissue`; what is not tracked there (the nulling error,
scars, the errors of a map where there is no signal) is drawn at random around nominal values, so that the images have
the range of appearances of real ones rather than the accuracy of a sequence simulation.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from CMRLib.errors import InputError
from CMRLib.simulation.acquisition import acquire, coil_sensitivity, fat_sign
from CMRLib.simulation.anatomy import SliceAnatomy
from CMRLib.simulation.canvas import smooth_field
from CMRLib.simulation.lesions import Lesion
from CMRLib.simulation.signal import Readout
from CMRLib.simulation.tissue import FIELD_STRENGTHS, TISSUES, TissueValues, tissue_values

CONTRASTS = ("t1_rest", "t1_stress", "t1_post", "lge_magnitude", "lge_psir", "vne", "cine")
LABELS = {
    "right blood": 1,
    "right trabecula": 1,
    "myocardium": 2,
    "left blood": 3,
    "papillary muscle": 3,
}
# A scar holds more contrast agent than blood does; its partition coefficient, nominal, as a range.
SCAR_PARTITION = (1.0, 1.7)


class ContrastError(InputError):
    """There is no such contrast."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no contrast '{name}'; use one of {', '.join(CONTRASTS)}.")


def render_contrast(
    anatomy: SliceAnatomy, contrast: str, spacing_mm: float, rng: np.random.Generator, lesion: Lesion | None = None
) -> np.ndarray:
    """An image of a slice as a scanner or its post-processing would show it.

    Args:
        anatomy: the slice.
        contrast: one of `CONTRASTS`.
        spacing_mm: of the anatomy's square pixels.
        rng: draws field strength, tissue values, scar, coils and noise.
        lesion: the scar; by default four slices in ten have one, drawn at random.

    Returns:
        float32 (row, column), T1 maps in ms and the others in arbitrary units.

    Raises:
        ContrastError: unknown contrast.
    """
    if contrast not in CONTRASTS:
        raise ContrastError(contrast)
    field = float(rng.choice(FIELD_STRENGTHS))
    state = {"t1_stress": "stress", "t1_post": "post", "lge_magnitude": "post", "lge_psir": "post"}.get(
        contrast, "rest"
    )
    names, fractions = anatomy.tissues, anatomy.fractions
    values = tissue_values(names, field, state, rng)
    labels = tissue_labels(anatomy)
    if lesion is not None:
        scar = lesion.scar
    else:
        scar = _scar(anatomy, spacing_mm, rng) if rng.random() < 0.4 else np.zeros(labels.shape, dtype=np.float32)
    if contrast.startswith("t1"):
        return _t1_map(anatomy, values, scar, state, field, rng)
    if contrast == "cine":
        signal = _bssfp(values, rng) * np.where(values.fat, abs(fat_sign(field, Readout())), 1.0)
        signed = _mixed(fractions, signal) * anatomy.density
    else:
        null = _null_time(names, values, rng)
        relaxed = values.proton_density * (1.0 - 2.0 * np.exp(-null / np.maximum(values.t1_ms, 1.0)))
        enhanced = 0.68 * (1.0 - 2.0 * np.exp(-null / _scar_t1(field, rng)))
        signed = _mixed(fractions, np.where(values.t1_ms > 0, relaxed, 0.0))
        signed = signed + scar * (enhanced - signed)
        if lesion is not None:  # where no agent arrives, T1 stays the native one
            native = TISSUES["myocardium"].t1_ms[FIELD_STRENGTHS.index(field)]
            signed = signed + lesion.no_reflow * (0.68 * (1.0 - 2.0 * np.exp(-null / native)) - signed)
        signed = signed * anatomy.density
    if contrast == "vne":
        return _vne(anatomy, signed, spacing_mm, rng)
    return _acquired(signed, contrast, anatomy, labels, spacing_mm, rng)


def _center(anatomy: SliceAnatomy) -> tuple[float, float]:
    """LV centre, or the image's where the slice shows no heart."""
    if anatomy.landmarks is not None:
        return anatomy.landmarks.lv_center
    rows, columns = anatomy.density.shape
    return (rows - 1) / 2.0, (columns - 1) / 2.0


def tissue_labels(anatomy: SliceAnatomy) -> np.ndarray:
    """Labels of a slice as expert contours have them, trabeculae and papillary muscles inside the cavities.

    Returns:
        uint8 (row, column): 1 RV cavity, 2 LV myocardium, 3 LV cavity, 0 anything else.
    """
    label_of = np.array([LABELS.get(name, 0) for name in anatomy.tissues], dtype=np.uint8)
    return label_of[np.argmax(anatomy.fractions, axis=0)]


def _mixed(fractions: np.ndarray, signal: np.ndarray) -> np.ndarray:
    """Sum of the tissues' signals weighted with their shares, (row, column)."""
    return np.tensordot(signal.astype(np.float32), fractions, axes=1)


def _bssfp(values: TissueValues, rng: np.random.Generator) -> np.ndarray:
    """Steady-state signal of balanced SSFP for TR << T1, T2 on resonance, (tissue,): Freeman and Hill's formula.

    M0 sin(a) / (1 + cos(a) + (1 - cos(a)) T1 / T2), with inflow raising what is replaced between beats.
    """
    angle = np.deg2rad(rng.uniform(40.0, 70.0))
    ratio = np.maximum(values.t1_ms, 1.0) / values.t2_ms
    steady = np.sin(angle) / (1.0 + np.cos(angle) + (1.0 - np.cos(angle)) * ratio)
    inflow = 1.0 + values.replaced * rng.uniform(0.0, 0.6)
    return np.where(values.t1_ms > 0, values.proton_density * steady * inflow, 0.0)


def _null_time(names: tuple[str, ...], values: TissueValues, rng: np.random.Generator) -> float:
    """Inversion time (ms) that nulls the myocardium, as well as an operator finds it."""
    return float(values.t1_ms[names.index("myocardium")] * np.log(2.0) * rng.normal(1.0, 0.09))


def _scar_t1(field: float, rng: np.random.Generator) -> float:
    """T1 (ms) of a scar after contrast."""
    native = TISSUES["myocardium"].t1_ms[FIELD_STRENGTHS.index(field)] * 1.25
    blood_rate_change = 1.0 / 508.0 - 1.0 / 1820.0  # as in CMRLib.simulation.tissue, source e
    return 1.0 / (1.0 / native + float(rng.uniform(*SCAR_PARTITION)) * blood_rate_change)


def _scar(anatomy: SliceAnatomy, spacing_mm: float, rng: np.random.Generator) -> np.ndarray:
    """Share of each pixel that is scar: a sector of the wall from the cavity outwards, or a patch at mid wall."""
    wall = anatomy.fractions[anatomy.tissues.index("myocardium")]
    cavity = anatomy.fractions[[anatomy.tissues.index(n) for n in ("left blood", "papillary muscle")]].sum(axis=0) > 0.5
    if not cavity.any():
        return np.zeros_like(wall)
    rows, columns = np.indices(wall.shape)
    row, column = _center(anatomy)
    angle = np.arctan2(rows - row, columns - column)
    away = np.abs((angle - rng.uniform(-np.pi, np.pi) + np.pi) % (2.0 * np.pi) - np.pi)
    depth = ndimage.distance_transform_edt(~cavity) * spacing_mm
    outer = rng.uniform(2.0, 12.0)
    inner = 0.0 if rng.random() < 0.7 else 0.4 * outer
    edge = outer + 1.5 * smooth_field(rng, wall.shape, 4.0 / spacing_mm)
    inside = (away < rng.uniform(0.2, 1.1)) & (depth < edge) & (depth >= inner)
    return (wall * ndimage.gaussian_filter(inside.astype(np.float32), 0.8 / spacing_mm)).astype(np.float32)


def t1_without_errors(anatomy: SliceAnatomy, values: TissueValues) -> tuple[np.ndarray, np.ndarray]:
    """T1 in ms as a map shows it that nothing disturbs: the signal-weighted mean of the tissues in a pixel.

    Returns:
        float32 (row, column), and the proton density that the pixel's signal comes from, likewise.
    """
    density = values.proton_density * (values.t1_ms > 0)
    weight = _mixed(anatomy.fractions, density)
    t1 = _mixed(anatomy.fractions, density * values.t1_ms) / np.maximum(weight, 1e-3)
    return t1 * anatomy.t1_factor, weight


def _t1_map(
    anatomy: SliceAnatomy,
    values: TissueValues,
    scar: np.ndarray,
    state: str,
    field: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """T1 in ms with the errors of a fit at a finite SNR."""
    t1, weight = t1_without_errors(anatomy, values)
    scarred = _scar_t1(field, rng) if state == "post" else 1.25 * values.t1_ms[anatomy.tissues.index("myocardium")]
    t1 = t1 + scar * (scarred - t1)
    shape = t1.shape
    grain = smooth_field(rng, shape, 0.7)
    # At a low signal the error grows until the fit's answer is any number of its range.
    relative = rng.uniform(0.015, 0.05) / np.maximum(weight, 0.02)
    t1 = t1 * (1.0 + relative * grain)
    lost = weight < 0.08
    top = float(rng.uniform(1500.0, 4000.0))
    t1[lost] = np.abs(rng.uniform(-0.2, 1.0, shape) * top)[lost]
    if rng.random() < 0.5:
        t1[weight < float(rng.uniform(0.02, 0.12))] = 0.0
    return np.clip(ndimage.gaussian_filter(t1, rng.uniform(0.2, 0.7)), 0.0, 5000.0).astype(np.float32)


def _acquired(
    signed: np.ndarray,
    contrast: str,
    anatomy: SliceAnatomy,
    labels: np.ndarray,
    spacing_mm: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Coils, limited resolution and noise; magnitude, or for PSIR the part in phase with the coils."""
    shape = signed.shape
    sensitivity = coil_sensitivity(shape, spacing_mm, rng, shading=float(rng.uniform(0.0, 1.2)))
    resolution = float(rng.uniform(1.4, 2.2))
    rows, columns = (max(2, min(n, 2 * round(n * spacing_mm / resolution / 2))) for n in shape)
    blood = np.abs(signed[labels == LABELS["left blood"]])
    level = float(blood.mean()) if blood.size else float(np.abs(signed).max())
    noise = max(level, 1e-6) / float(rng.uniform(8.0, 40.0))
    received = acquire((signed * sensitivity)[None], (rows, columns), noise, rng)[0]
    if contrast == "lge_psir":
        image = np.real(received * np.exp(-1j * np.angle(sensitivity))) / np.maximum(np.abs(sensitivity), 0.2)
        return (image - image.min() + 1e-3).astype(np.float32) if rng.random() < 0.7 else image.astype(np.float32)
    return np.abs(received).astype(np.float32)


def _vne(anatomy: SliceAnatomy, signed: np.ndarray, spacing_mm: float, rng: np.random.Generator) -> np.ndarray:
    """An image in the style of virtual native enhancement: LGE-like, smooth, in a field of view around the heart.

    VNE images are made by a generative network from native images; here only their appearance is imitated: dark
    myocardium, grey blood, bright scar, little noise, and nothing outside a square around the heart.
    """
    shape = signed.shape
    image = np.abs(signed) ** float(rng.uniform(0.7, 1.2))
    image = ndimage.gaussian_filter(image, rng.uniform(0.5, 1.1) / spacing_mm)
    image = image * (1.0 + 0.03 * smooth_field(rng, shape, 1.5)) + 1e-3
    center = np.array(_center(anatomy)) + rng.normal(0.0, 10.0, 2) / spacing_mm
    half = rng.uniform(64.0, 100.0) / spacing_mm
    rows, columns = np.indices(shape)
    outside = (np.abs(rows - center[0]) > half) | (np.abs(columns - center[1]) > half)
    return np.where(outside, 0.0, image).astype(np.float32)
